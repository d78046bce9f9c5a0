//! [`SqliteStore`] as an [`Inbox`].

use std::time::Duration;

use sqlx::{Row as _, SqliteConnection};
use time::OffsetDateTime;

use super::error::failed;
use super::rows::{later, query};
use super::store::SqliteStore;
use crate::store::built_in::ABANDONED_KEPT;
use crate::store::sql::columns::{Columns as _, corrupt, micros};
use crate::store::sql::inbox;
use crate::store::{Inbox, InboxKey, Lease, Reservation, StoreError, TransactionalInbox};

impl Inbox for SqliteStore {
    async fn reserve(
        &self,
        key: &InboxKey,
        lease: Duration,
        now: OffsetDateTime,
    ) -> Result<Reservation, StoreError> {
        let sql = &self.sql;
        let mut transaction = self.writer.begin().await?;
        let reserved = sqlx::query(sql.reserve.clone())
            .bind(&*key.source)
            .bind(key.id.as_str())
            .bind(micros(now))
            .bind(later(now, lease))
            .bind(later(now, lease.saturating_add(ABANDONED_KEPT)))
            .fetch_optional(transaction.connection())
            .await
            .map_err(failed)?;
        if let Some(row) = reserved {
            let lease = row.lease().map_err(corrupt)?;
            transaction.commit().await?;
            return Ok(Reservation::New(lease));
        }
        let committed: bool = sqlx::query(sql.is_committed.clone())
            .bind(&*key.source)
            .bind(key.id.as_str())
            .fetch_one(transaction.connection())
            .await
            .and_then(|row| row.try_get(0))
            .map_err(failed)?;
        // Nothing was written. The lock is free when this returns, and not some time later.
        transaction.roll_back().await?;
        Ok(if committed { Reservation::Done } else { Reservation::InFlight })
    }

    async fn commit(
        &self,
        key: &InboxKey,
        lease: Lease,
        keep: Duration,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        inbox::commit(self, key, lease, keep, now).await
    }

    async fn release(&self, key: &InboxKey, lease: Lease) -> Result<bool, StoreError> {
        inbox::release(self, key, lease).await
    }

    async fn prune_handled(&self, limit: u32, now: OffsetDateTime) -> Result<u64, StoreError> {
        inbox::prune_handled(self, limit, now).await
    }
}

/// A transaction that reads before it commits the event should begin with `BEGIN IMMEDIATE`.
impl TransactionalInbox for SqliteStore {
    type Connection = SqliteConnection;

    async fn commit_in(
        &self,
        connection: &mut SqliteConnection,
        key: &InboxKey,
        lease: Lease,
        keep: Duration,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let Some(values) = inbox::committing(self, key, lease, keep, now) else { return Ok(false) };
        let committed =
            query(&self.shared.commit, &values).fetch_optional(connection).await.map_err(failed)?;
        Ok(committed.is_some())
    }
}
