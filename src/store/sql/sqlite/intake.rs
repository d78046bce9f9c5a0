//! [`SqliteStore`] as an [`Intake`].

use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;

use super::error::failed;
use super::rows::later;
use super::store::SqliteStore;
use crate::delivery::Next;
use crate::store::sql::columns::{Columns as _, Unread, corrupt, json, micros, stored_lease};
use crate::store::sql::database::Database as _;
use crate::store::sql::intake;
use crate::store::{
    GivenUpRequest, InboxKey, Intake, Lease, LeaseRequests, LeasedRequests, RequestAttempt, Settled,
    Settlement, StoreError, Stored, StoredRequest, WaitingRequests,
};

impl SqliteStore {
    /// Mends the times of a queue's requests that were written by a clock that was ahead.
    async fn mend_requests(&self, queue: &str, now: OffsetDateTime) -> Result<(), StoreError> {
        let now = micros(now);
        if let Some(ahead) = self.clocks.ahead_from(Some(queue), now) {
            let values = [now.into(), queue.into(), ahead.into()];
            if !self.read(&self.sql.requests_ahead, &values[1..]).await?.is_empty() {
                self.change(&self.sql.mend_requests, &values).await?;
            }
        }
        self.clocks.note(Some(queue), now);
        Ok(())
    }
}

impl Intake for SqliteStore {
    async fn store_requests(&self, requests: &[StoredRequest]) -> Result<Vec<Stored>, StoreError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        self.writer.store_requests(requests).await
    }

    async fn next_due(&self, queue: &str, now: OffsetDateTime) -> Result<Option<Duration>, StoreError> {
        self.mend_requests(queue, now).await?;
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
        self.mend_requests(&take.queue, take.now).await?;
        intake::lease_requests(self, take).await
    }

    async fn extend_requests(
        &self,
        leases: &[(InboxKey, Lease)],
        lease: Duration,
        now: OffsetDateTime,
    ) -> Result<Vec<Settled>, StoreError> {
        let asked: Vec<_> = leases
            .iter()
            .filter_map(|(key, lease)| Some((&*key.source, key.id.as_str(), stored_lease(*lease)?)))
            .collect();
        if asked.is_empty() {
            return Ok(vec![Settled::Stale; leases.len()]);
        }
        let mut writing = self.writer.begin().await?;
        let extended = sqlx::query(self.sql.extend_requests.clone())
            .bind(json(&asked))
            .bind(later(now, lease))
            .fetch_all(writing.connection())
            .await
            .map_err(failed)?;
        let done = extended
            .iter()
            .map(|row| Ok((row.text("source")?, row.text("id")?, row.lease()?)))
            .collect::<Result<HashSet<_>, Unread>>()
            .map_err(corrupt)?;
        let tell = |(key, lease): &(InboxKey, Lease)| {
            if done.contains(&(&*key.source, key.id.as_str(), *lease)) {
                Settled::Done
            } else {
                Settled::Stale
            }
        };
        let told = leases.iter().map(tell).collect();
        writing.commit().await?;
        Ok(told)
    }

    async fn settle_requests(
        &self,
        settlements: &[Settlement<InboxKey, RequestAttempt>],
        keep: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        // If two settlements have one lease, the first counts, as it would in two batches.
        let mut seen = HashSet::new();
        let asked: Vec<_> = settlements
            .iter()
            .enumerate()
            .filter(|(_, settlement)| seen.insert((&settlement.key, settlement.lease)))
            .filter_map(|(place, settlement)| {
                Some((place, Row::new(settlement, keep, stored_lease(settlement.lease)?)))
            })
            .collect();
        let mut told = vec![Settled::Stale; settlements.len()];
        if asked.is_empty() {
            return Ok(told);
        }
        let rows: Vec<_> = asked.iter().map(|(_, row)| row).collect();
        let mut writing = self.writer.begin().await?;
        let settled = sqlx::query(self.sql.settle_requests.clone())
            .bind(json(&rows))
            .fetch_all(writing.connection())
            .await
            .map_err(failed)?;
        let done = settled
            .iter()
            // Settling uses the lease up by raising its number.
            .map(|row| Ok((row.text("source")?, row.text("id")?, row.number("lease")?.saturating_sub(1))))
            .collect::<Result<HashSet<_>, Unread>>()
            .map_err(corrupt)?;
        for (place, row) in &asked {
            if done.contains(&(row.source, row.id, row.lease)) {
                told[*place] = Settled::Done;
            }
        }
        writing.commit().await?;
        Ok(told)
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

/// One settlement, as JSON that the settling statement reads.
#[derive(Serialize)]
struct Row<'a> {
    source: &'a str,
    id: &'a str,
    lease: i64,
    due_at: Option<i64>,
    given_up_at: Option<i64>,
    keep_until: Option<i64>,
    reason: Option<&'a str>,
    tried: u8,
}

impl<'a> Row<'a> {
    fn new(settlement: &'a Settlement<InboxKey, RequestAttempt>, keep: Duration, lease: i64) -> Self {
        let Settlement { key, now, attempt, next, .. } = settlement;
        let row = Self {
            source: &key.source,
            id: key.id.as_str(),
            lease,
            due_at: None,
            given_up_at: None,
            keep_until: None,
            reason: settlement.failure(),
            tried: attempt.is_some().into(),
        };
        match *next {
            Next::Done => Self { keep_until: Some(later(*now, keep)), ..row },
            Next::Retry { after } => Self { due_at: Some(later(*now, after)), ..row },
            Next::Dead { .. } => Self { given_up_at: Some(micros(*now)), ..row },
        }
    }
}
