//! [`SqliteStore`] as an [`Inbox`].

use std::time::Duration;

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Row as _, Sqlite, SqliteConnection};
use time::OffsetDateTime;

use super::rows::later;
use super::{SqliteStore, failed};
use crate::store::columns::{Columns as _, corrupt, micros};
use crate::store::{ABANDONED_KEPT, Inbox, InboxKey, Lease, Reservation, StoreError, TransactionalInbox};

impl Inbox for SqliteStore {
    async fn reserve(
        &self,
        key: &InboxKey,
        now: OffsetDateTime,
        lease: Duration,
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
        Ok(if committed { Reservation::Done } else { Reservation::InFlight })
    }

    async fn commit(
        &self,
        key: &InboxKey,
        lease: Lease,
        now: OffsetDateTime,
        keep: Duration,
    ) -> Result<bool, StoreError> {
        let Ok(lease) = i64::try_from(lease.number()) else { return Ok(false) };
        let mut transaction = self.writer.begin().await?;
        let committing = self.committing(key, lease, now, keep);
        let done = committing.execute(transaction.connection()).await.map_err(failed)?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    async fn release(&self, key: &InboxKey, lease: Lease) -> Result<bool, StoreError> {
        let Ok(lease) = i64::try_from(lease.number()) else { return Ok(false) };
        let mut transaction = self.writer.begin().await?;
        let done = sqlx::query(self.sql.release.clone())
            .bind(&*key.source)
            .bind(key.id.as_str())
            .bind(lease)
            .execute(transaction.connection())
            .await
            .map_err(failed)?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    async fn prune(&self, now: OffsetDateTime, limit: u32) -> Result<u64, StoreError> {
        let mut transaction = self.writer.begin().await?;
        let done = sqlx::query(self.sql.prune.clone())
            .bind(micros(now))
            .bind(limit)
            .execute(transaction.connection())
            .await
            .map_err(failed)?;
        transaction.commit().await?;
        Ok(done.rows_affected())
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
        now: OffsetDateTime,
        keep: Duration,
    ) -> Result<bool, StoreError> {
        let Ok(lease) = i64::try_from(lease.number()) else { return Ok(false) };
        let done = self.committing(key, lease, now, keep).execute(connection).await.map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }
}

impl SqliteStore {
    fn committing<'q>(
        &self,
        key: &'q InboxKey,
        lease: i64,
        now: OffsetDateTime,
        keep: Duration,
    ) -> Query<'q, Sqlite, SqliteArguments> {
        sqlx::query(self.sql.commit.clone())
            .bind(&*key.source)
            .bind(key.id.as_str())
            .bind(lease)
            .bind(later(now, keep))
    }
}
