//! [`PostgresStore`] as an [`Inbox`].

use std::time::Duration;

use sqlx::{PgConnection, Row as _};
use time::OffsetDateTime;

use super::errors::failed;
use super::store::PostgresStore;
use super::values::{indexed, query};
use crate::store::built_in::ABANDONED_KEPT;
use crate::store::sql::columns::{Columns as _, corrupt, reach};
use crate::store::sql::inbox;
use crate::store::{Inbox, InboxKey, Lease, Reservation, StoreError, TransactionalInbox};

impl Inbox for PostgresStore {
    async fn reserve(
        &self,
        key: &InboxKey,
        lease: Duration,
        now: OffsetDateTime,
    ) -> Result<Reservation, StoreError> {
        let source = indexed("source", &key.source)?;
        let row = self
            .one(|| {
                sqlx::query(self.shared.sql.reserve.clone())
                    .bind(source)
                    .bind(key.id.as_str())
                    .bind(self.caller(now))
                    .bind(reach(lease))
                    .bind(reach(lease.saturating_add(ABANDONED_KEPT)))
            })
            .await?;
        if row.optional_number("lease").map_err(corrupt)?.is_some() {
            return Ok(Reservation::New(row.lease().map_err(corrupt)?));
        }
        let is_committed: Option<bool> = row.try_get("is_committed").map_err(failed)?;
        // An id that was pruned at this moment counts as in flight. The next call finds it new.
        Ok(if is_committed == Some(true) { Reservation::Done } else { Reservation::InFlight })
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

impl TransactionalInbox for PostgresStore {
    type Connection = PgConnection;

    async fn commit_in(
        &self,
        connection: &mut PgConnection,
        key: &InboxKey,
        lease: Lease,
        keep: Duration,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let Some(values) = inbox::committing(self, key, lease, keep, now) else { return Ok(false) };
        let committed = self.rows_on(connection, query(&self.shared.common.commit, &values)).await?;
        Ok(!committed.is_empty())
    }
}
