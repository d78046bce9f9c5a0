//! [`RequestRows`] and [`RequestSettlementRows`]: requests to store and settlements of leased requests, as
//! arrays with one element per row.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use sqlx::SqlStr;
use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::Query;
use time::OffsetDateTime;

use super::values::{indexed, places, storable, without_nul};
use crate::delivery::Next;
use crate::store::sql::columns::{bounded, reach, stored_lease};
use crate::store::{
    Copies, InboxKey, RequestAttempt, Settled, Settlement, StoreError, Stored, StoredRequest,
};

/// Requests to store, sorted by key, each key once.
#[derive(Default)]
pub(super) struct RequestRows<'a> {
    /// The index of each row's request among the requests given.
    indexes: Vec<usize>,
    sources: Vec<&'a str>,
    ids: Vec<&'a str>,
    queues: Vec<&'a str>,
    events: Vec<&'a str>,
    proofs: Vec<Cow<'a, str>>,
    now: Vec<Option<i64>>,
    received_at: Vec<i64>,
    signed_at: Vec<Option<i64>>,
    bodies: Vec<&'a [u8]>,
}

impl<'a> RequestRows<'a> {
    /// The rows of these requests, without those at the indexes `copies`.
    pub(super) fn new(
        requests: &'a [StoredRequest],
        copies: &HashSet<usize>,
        now: impl Fn(OffsetDateTime) -> Option<i64>,
    ) -> Result<Self, StoreError> {
        let indexes = (0..requests.len()).filter(|index| !copies.contains(index)).collect();
        let mut rows = Self { indexes, ..Self::default() };
        rows.indexes.sort_by_key(|index| (&requests[*index].key, *index));
        // If two requests have one key, the first counts, as it would in two batches.
        rows.indexes.dedup_by_key(|index| &requests[*index].key);
        for request in rows.indexes.iter().map(|index| &requests[*index]) {
            rows.sources.push(indexed("source", &request.key.source)?);
            rows.ids.push(request.key.id.as_str());
            rows.queues.push(indexed("queue", &request.queue)?);
            rows.events.push(request.event.as_str());
            rows.proofs.push(without_nul(&request.proof));
            rows.now.push(now(request.received_at));
            rows.received_at.push(bounded(request.received_at));
            rows.signed_at.push(request.signed_at.map(bounded));
            rows.bodies.push(&request.body);
        }
        Ok(rows)
    }

    pub(super) fn query(&self, sql: &SqlStr) -> Query<'static, Postgres, PgArguments> {
        sqlx::query(sql.clone())
            .bind(&self.sources)
            .bind(&self.ids)
            .bind(&self.queues)
            .bind(&self.events)
            .bind(&self.proofs)
            .bind(&self.now)
            .bind(&self.received_at)
            .bind(&self.signed_at)
            .bind(&self.bodies)
    }

    /// The outcome of each request, in the order in which the requests were given.
    pub(super) fn outcomes(&self, row: &PgRow, len: usize) -> Result<Vec<Stored>, StoreError> {
        let mut outcomes = vec![Stored::Duplicate; len];
        for index in places(row, "done")?.filter_map(|place| self.indexes.get(place)) {
            outcomes[*index] = Stored::New;
        }
        Ok(outcomes)
    }
}

/// The ids of which requests to store would be copies, each in a row.
#[derive(Default)]
pub(super) struct CopyRows<'a> {
    /// The places of the requests, from 1.
    places: Vec<i64>,
    sources: Vec<&'a str>,
    ids: Vec<&'a str>,
    since: Vec<i64>,
}

impl<'a> CopyRows<'a> {
    pub(super) fn new(requests: &'a [StoredRequest]) -> Self {
        let mut rows = Self::default();
        for (place, request) in (1..).zip(requests) {
            let Some(Copies { ids, since }) = &request.copies else { continue };
            for id in ids {
                rows.places.push(place);
                rows.sources.push(storable(&request.key.source));
                rows.ids.push(id.as_str());
                rows.since.push(bounded(*since));
            }
        }
        rows
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn query(&self, sql: &SqlStr) -> Query<'static, Postgres, PgArguments> {
        sqlx::query(sql.clone()).bind(&self.places).bind(&self.sources).bind(&self.ids).bind(&self.since)
    }

    /// The indexes of the requests that are copies.
    pub(super) fn found(&self, row: &PgRow) -> Result<HashSet<usize>, StoreError> {
        Ok(places(row, "done")?.collect())
    }
}

/// Settlements of leased requests, sorted by key.
#[derive(Default)]
pub(super) struct RequestSettlementRows<'a> {
    /// The index of each row's settlement among the settlements given.
    indexes: Vec<usize>,
    sources: Vec<&'a str>,
    ids: Vec<&'a str>,
    leases: Vec<i64>,
    now: Vec<Option<i64>>,
    next: Vec<&'static str>,
    after: Vec<i64>,
    reasons: Vec<Option<Cow<'a, str>>>,
    tried: Vec<bool>,
}

impl<'a> RequestSettlementRows<'a> {
    pub(super) fn new(
        settlements: &'a [Settlement<InboxKey, RequestAttempt>],
        keep: Duration,
        now: impl Fn(OffsetDateTime) -> Option<i64>,
    ) -> Self {
        let mut rows = Self::default();
        let mut valid: Vec<_> = settlements
            .iter()
            .enumerate()
            .filter_map(|(index, settlement)| Some((settlement, stored_lease(settlement.lease)?, index)))
            .collect();
        valid.sort_by_key(|(settlement, lease, index)| (&settlement.key, *lease, *index));
        valid.dedup_by_key(|(settlement, lease, _)| (&settlement.key, *lease));
        for (settlement, lease, index) in valid {
            let (next, after) = match settlement.next {
                Next::Done => ("done", keep),
                Next::Retry { after } => ("retry", after),
                Next::Dead { .. } => ("give_up", Duration::ZERO),
            };
            rows.indexes.push(index);
            rows.sources.push(storable(&settlement.key.source));
            rows.ids.push(settlement.key.id.as_str());
            rows.leases.push(lease);
            rows.now.push(now(settlement.now));
            rows.next.push(next);
            rows.after.push(reach(after));
            rows.reasons.push(settlement.failure().map(without_nul));
            rows.tried.push(settlement.attempt.is_some());
        }
        rows
    }

    pub(super) fn is_empty(&self) -> bool {
        self.indexes.is_empty()
    }

    pub(super) fn query(&self, sql: &SqlStr) -> Query<'static, Postgres, PgArguments> {
        sqlx::query(sql.clone())
            .bind(&self.sources)
            .bind(&self.ids)
            .bind(&self.leases)
            .bind(&self.now)
            .bind(&self.next)
            .bind(&self.after)
            .bind(&self.reasons)
            .bind(&self.tried)
    }

    /// The outcome of each settlement, in the order in which the settlements were given.
    pub(super) fn outcomes(&self, row: &PgRow, len: usize) -> Result<Vec<Settled>, StoreError> {
        let mut outcomes = vec![Settled::Stale; len];
        for index in places(row, "done")?.filter_map(|place| self.indexes.get(place)) {
            outcomes[*index] = Settled::Done;
        }
        Ok(outcomes)
    }
}
