//! [`PostgresStore`] as an [`Inbox`].

use std::time::Duration;

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row as _};
use time::OffsetDateTime;

use super::rows::{indexed, reach};
use super::{PostgresStore, failed};
use crate::store::columns::{Columns as _, corrupt};
use crate::store::{ABANDONED_KEPT, Inbox, InboxKey, Lease, Reservation, StoreError, TransactionalInbox};

impl Inbox for PostgresStore {
    async fn reserve(
        &self,
        key: &InboxKey,
        now: OffsetDateTime,
        lease: Duration,
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
        // One that was pruned at this moment is new to whoever comes next.
        Ok(if is_committed == Some(true) { Reservation::Done } else { Reservation::InFlight })
    }

    async fn commit(
        &self,
        key: &InboxKey,
        lease: Lease,
        now: OffsetDateTime,
        keep: Duration,
    ) -> Result<bool, StoreError> {
        let (Ok(lease), Ok(source)) = (i64::try_from(lease.number()), indexed("source", &key.source)) else {
            return Ok(false);
        };
        let done = self.rows(|| self.committing(source, key, lease, now, keep)).await?;
        Ok(!done.is_empty())
    }

    async fn release(&self, key: &InboxKey, lease: Lease) -> Result<bool, StoreError> {
        let (Ok(lease), Ok(source)) = (i64::try_from(lease.number()), indexed("source", &key.source)) else {
            return Ok(false);
        };
        let query =
            || sqlx::query(self.shared.sql.release.clone()).bind(source).bind(key.id.as_str()).bind(lease);
        Ok(!self.rows(query).await?.is_empty())
    }

    async fn prune(&self, now: OffsetDateTime, limit: u32) -> Result<u64, StoreError> {
        let query =
            || sqlx::query(self.shared.sql.prune.clone()).bind(self.caller(now)).bind(i64::from(limit));
        Ok(u64::try_from(self.rows(query).await?.len()).unwrap_or(u64::MAX))
    }
}

impl TransactionalInbox for PostgresStore {
    type Connection = PgConnection;

    async fn commit_in(
        &self,
        connection: &mut PgConnection,
        key: &InboxKey,
        lease: Lease,
        now: OffsetDateTime,
        keep: Duration,
    ) -> Result<bool, StoreError> {
        let (Ok(lease), Ok(source)) = (i64::try_from(lease.number()), indexed("source", &key.source)) else {
            return Ok(false);
        };
        let committing = self.committing(source, key, lease, now, keep);
        Ok(committing.fetch_optional(connection).await.map_err(failed)?.is_some())
    }
}

impl PostgresStore {
    fn committing(
        &self,
        source: &str,
        key: &InboxKey,
        lease: i64,
        now: OffsetDateTime,
        keep: Duration,
    ) -> Query<'static, Postgres, PgArguments> {
        sqlx::query(self.shared.sql.commit.clone())
            .bind(source)
            .bind(key.id.as_str())
            .bind(lease)
            .bind(self.caller(now))
            .bind(reach(keep))
    }
}
