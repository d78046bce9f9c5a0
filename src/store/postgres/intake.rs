//! [`PostgresStore`] as an [`Intake`]: one statement for each call.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::Row as _;
use time::OffsetDateTime;

use super::rows::{IntakeRows, RequestRows, indexed, reach};
use super::{PostgresStore, failed};
use crate::store::columns::{Columns as _, corrupt, stored_lease};
use crate::store::requests;
use crate::store::{
    GivenUpRequest, InboxKey, Intake, Kept, KeptRequest, Lease, NO_ATTEMPT_LEFT, RequestSettlement, Settled,
    StoreError, Take, Taken,
};

impl Intake for PostgresStore {
    async fn keep(&self, requests: &[KeptRequest]) -> Result<Vec<Kept>, StoreError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let rows = RequestRows::new(requests, |now| self.caller(now))?;
        let row = self.one(|| rows.query(&self.shared.sql.keep_requests)).await?;
        let new: Vec<i64> = row.try_get("done").map_err(failed)?;
        let mut told = vec![Kept::Duplicate; requests.len()];
        for place in new.iter().filter_map(|place| rows.place(*place)) {
            told[place] = Kept::New;
        }
        Ok(told)
    }

    async fn next_due(&self, queue: &str, now: OffsetDateTime) -> Result<Option<Duration>, StoreError> {
        // What could not be written is not there.
        let Ok(queue) = indexed("queue", queue) else { return Ok(None) };
        let query =
            || sqlx::query(self.shared.sql.next_due_request.clone()).bind(queue).bind(self.caller(now));
        let row = self.rows(query).await?.pop();
        let Some(wait) = row.map(|row| row.number("wait")).transpose().map_err(corrupt)? else {
            return Ok(None);
        };
        Ok(Some(Duration::from_micros(u64::try_from(wait).unwrap_or(0))))
    }

    async fn take(&self, take: &Take) -> Result<Taken, StoreError> {
        let Ok(queue) = indexed("queue", &take.queue) else { return Ok(Taken::default()) };
        let query = || {
            sqlx::query(self.shared.sql.take_requests.clone())
                .bind(queue)
                .bind(self.caller(take.now))
                .bind(reach(take.lease))
                .bind(i64::from(take.limit))
                .bind(take.max_attempts.map_or(i64::MAX, i64::from))
                .bind(NO_ATTEMPT_LEFT)
        };
        requests::taken(queue, &self.rows(query).await?)
    }

    async fn extend_taken(
        &self,
        leases: &[(InboxKey, Lease)],
        now: OffsetDateTime,
        lease: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        let mut asked: Vec<_> =
            leases.iter().filter_map(|(key, lease)| Some((key, stored_lease(*lease)?))).collect();
        if asked.is_empty() {
            return Ok(vec![Settled::Stale; leases.len()]);
        }
        asked.sort_unstable();
        let sources: Vec<_> = asked.iter().map(|(key, _)| storable(&key.source)).collect();
        let ids: Vec<_> = asked.iter().map(|(key, _)| key.id.as_str()).collect();
        let numbers: Vec<_> = asked.iter().map(|(_, lease)| *lease).collect();
        let row = self
            .one(|| {
                sqlx::query(self.shared.sql.extend_requests.clone())
                    .bind(&sources)
                    .bind(&ids)
                    .bind(&numbers)
                    .bind(self.caller(now))
                    .bind(reach(lease))
            })
            .await?;
        let done: Vec<i64> = row.try_get("done").map_err(failed)?;
        let extended: HashSet<_> = done.iter().filter_map(|place| asked.get(index(*place)?)).collect();
        let tell = |(key, lease): &(InboxKey, Lease)| match stored_lease(*lease) {
            Some(number) if extended.contains(&(key, number)) => Settled::Done,
            _ => Settled::Stale,
        };
        Ok(leases.iter().map(tell).collect())
    }

    async fn settle_taken(&self, settlements: &[RequestSettlement]) -> Result<Vec<Settled>, StoreError> {
        let rows = IntakeRows::new(settlements, |now| self.caller(now));
        let mut told = vec![Settled::Stale; settlements.len()];
        if rows.is_empty() {
            return Ok(told);
        }
        let row = self.one(|| rows.query(&self.shared.sql.settle_requests)).await?;
        let done: Vec<i64> = row.try_get("done").map_err(failed)?;
        for place in done.iter().filter_map(|place| rows.place(*place)) {
            told[place] = Settled::Done;
        }
        Ok(told)
    }

    async fn given_up(
        &self,
        queue: &str,
        after: Option<&InboxKey>,
        limit: u32,
    ) -> Result<Vec<GivenUpRequest>, StoreError> {
        let Ok(queue) = indexed("queue", queue) else { return Ok(Vec::new()) };
        let rows = self
            .rows(|| {
                sqlx::query(self.shared.sql.given_up_requests.clone())
                    .bind(queue)
                    // Before every id, as none is empty.
                    .bind(after.map_or("", |after| storable(&after.source)))
                    .bind(after.map_or("", |after| after.id.as_str()))
                    .bind(i64::from(limit))
            })
            .await?;
        rows.iter().map(|row| requests::given_up(queue, row)).collect::<Result<_, _>>().map_err(corrupt)
    }

    async fn put_back(&self, key: &InboxKey, now: OffsetDateTime) -> Result<bool, StoreError> {
        let query = || {
            sqlx::query(self.shared.sql.put_back_request.clone())
                .bind(storable(&key.source))
                .bind(key.id.as_str())
                .bind(self.caller(now))
        };
        Ok(!self.rows(query).await?.is_empty())
    }

    async fn close_given_up(
        &self,
        key: &InboxKey,
        now: OffsetDateTime,
        keep: Duration,
    ) -> Result<bool, StoreError> {
        let query = || {
            sqlx::query(self.shared.sql.close_request.clone())
                .bind(storable(&key.source))
                .bind(key.id.as_str())
                .bind(self.caller(now))
                .bind(reach(keep))
        };
        Ok(!self.rows(query).await?.is_empty())
    }

    async fn prune_kept(&self, now: OffsetDateTime, limit: u32) -> Result<u64, StoreError> {
        let query = || {
            sqlx::query(self.shared.sql.prune_requests.clone()).bind(self.caller(now)).bind(i64::from(limit))
        };
        Ok(u64::try_from(self.rows(query).await?.len()).unwrap_or(u64::MAX))
    }
}

/// The source as it can be sent; one that cannot be written is nobody's.
pub(super) fn storable(source: &str) -> &str {
    indexed("source", source).unwrap_or_default()
}

/// The index of a place, which counts from 1.
pub(super) fn index(place: i64) -> Option<usize> {
    usize::try_from(place).ok()?.checked_sub(1)
}
