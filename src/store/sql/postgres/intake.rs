//! [`PostgresStore`] as an [`Intake`]: one statement for each call.

use std::collections::HashSet;
use std::time::Duration;

use time::OffsetDateTime;

use super::request_rows::{CopyRows, RequestRows, RequestSettlementRows};
use super::store::PostgresStore;
use super::values::{places, storable};
use crate::store::sql::columns::{reach, stored_lease};
use crate::store::sql::intake;
use crate::store::{
    GivenUpRequest, InboxKey, Intake, Lease, LeaseRequests, LeasedRequests, RequestAttempt, Settled,
    Settlement, StoreError, Stored, StoredRequest, WaitingRequests,
};

impl Intake for PostgresStore {
    async fn store_requests(&self, requests: &[StoredRequest]) -> Result<Vec<Stored>, StoreError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let mut copies = HashSet::new();
        let asked = CopyRows::new(requests);
        if !asked.is_empty() {
            let row = self.one(|| asked.query(&self.shared.sql.copies_of_requests)).await?;
            copies = asked.found(&row)?;
        }
        let rows = RequestRows::new(requests, &copies, |now| self.caller(now))?;
        let row = self.one(|| rows.query(&self.shared.sql.store_requests)).await?;
        rows.outcomes(&row, requests.len())
    }

    async fn next_due(&self, queue: &str, now: OffsetDateTime) -> Result<Option<Duration>, StoreError> {
        intake::next_due(self, queue, now).await
    }

    async fn waiting(
        &self,
        queue: &str,
        limit: u32,
        now: OffsetDateTime,
    ) -> Result<WaitingRequests, StoreError> {
        intake::waiting(self, queue, limit, now).await
    }

    async fn lease_requests(&self, take: &LeaseRequests) -> Result<LeasedRequests, StoreError> {
        intake::lease_requests(self, take).await
    }

    async fn extend_requests(
        &self,
        leases: &[(InboxKey, Lease)],
        lease: Duration,
        now: OffsetDateTime,
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
        let extended: HashSet<_> = places(&row, "done")?.filter_map(|place| asked.get(place)).collect();
        let outcome = |(key, lease): &(InboxKey, Lease)| match stored_lease(*lease) {
            Some(number) if extended.contains(&(key, number)) => Settled::Done,
            _ => Settled::Stale,
        };
        Ok(leases.iter().map(outcome).collect())
    }

    async fn settle_requests(
        &self,
        settlements: &[Settlement<InboxKey, RequestAttempt>],
        keep: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        let rows = RequestSettlementRows::new(settlements, keep, |now| self.caller(now));
        if rows.is_empty() {
            return Ok(vec![Settled::Stale; settlements.len()]);
        }
        let row = self.one(|| rows.query(&self.shared.sql.settle_requests)).await?;
        rows.outcomes(&row, settlements.len())
    }

    async fn given_up(
        &self,
        queue: &str,
        after: Option<&InboxKey>,
        limit: u32,
    ) -> Result<Vec<GivenUpRequest>, StoreError> {
        intake::given_up(self, queue, after, limit).await
    }

    async fn put_back(&self, key: &InboxKey, now: OffsetDateTime) -> Result<bool, StoreError> {
        intake::put_back(self, key, now).await
    }

    async fn close_given_up(
        &self,
        key: &InboxKey,
        keep: Duration,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        intake::close_given_up(self, key, keep, now).await
    }

    async fn expire_given_up(
        &self,
        queue: &str,
        age: Duration,
        keep: Duration,
        limit: u32,
        now: OffsetDateTime,
    ) -> Result<Vec<InboxKey>, StoreError> {
        intake::expire_given_up(self, queue, age, keep, limit, now).await
    }

    async fn prune_done(&self, limit: u32, now: OffsetDateTime) -> Result<u64, StoreError> {
        intake::prune_done(self, limit, now).await
    }
}
