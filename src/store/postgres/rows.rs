//! Between rows and PostgreSQL: how columns are read, and batches as arrays, a list for each column.

use std::borrow::Cow;
use std::collections::HashMap;

use sha2::{Digest as _, Sha256};
use sqlx::Row as _;
use sqlx::SqlStr;
use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::Query;
use time::OffsetDateTime;
use uuid::Uuid;

use super::intake::{index, storable};
use crate::delivery::{DeliveryState, Next};
use crate::id::SubscriptionId;
use crate::store::columns::{Columns, FAR, Unread, json, micros, outcome_columns, span, stored_lease};
use crate::store::{
    Conclusion, KeptRequest, NewEvent, RequestSettlement, Settlement, StoreError, StoreErrorKind,
};

impl Columns for PgRow {
    fn text(&self, column: &str) -> Result<&str, Unread> {
        Ok(self.try_get(column)?)
    }

    fn optional_bytes(&self, column: &str) -> Result<Option<&[u8]>, Unread> {
        Ok(self.try_get(column)?)
    }

    fn optional_text(&self, column: &str) -> Result<Option<&str>, Unread> {
        Ok(self.try_get(column)?)
    }

    fn optional_number(&self, column: &str) -> Result<Option<i64>, Unread> {
        Ok(self.try_get(column)?)
    }

    fn uuid(&self, column: &str) -> Result<u128, Unread> {
        Ok(self.try_get::<Uuid, _>(column)?.as_u128())
    }
}

/// Events to be inserted, sorted by organization and id, and their deliveries in the order given.
#[derive(Default)]
pub(super) struct EventRows<'a> {
    /// For each row, which of the events given it is.
    pub(super) places: Vec<usize>,
    organizations: Vec<&'a str>,
    ids: Vec<&'a str>,
    types: Vec<&'a str>,
    digests: Vec<Vec<u8>>,
    at: Vec<i64>,
    unwanted: Vec<bool>,
    attributes: Vec<Option<String>>,
    payloads: Vec<&'a [u8]>,
    deliveries: Vec<Uuid>,
    of: Vec<i32>,
    subscriptions: Vec<Uuid>,
    lanes: Vec<Option<i64>>,
}

impl<'a> EventRows<'a> {
    pub(super) fn new(events: &[&'a NewEvent]) -> Result<Self, StoreError> {
        let mut rows = Self { places: (0..events.len()).collect(), ..Self::default() };
        rows.places.sort_by_key(|place| (&events[*place].organization, events[*place].id.as_str(), *place));
        for event in rows.places.iter().map(|place| events[*place]) {
            rows.organizations.push(indexed("organization", &event.organization)?);
            rows.ids.push(event.id.as_str());
            rows.types.push(event.event_type.as_str());
            rows.digests.push(Sha256::digest(&event.payload).to_vec());
            rows.at.push(bounded(event.inserted_at));
            rows.unwanted.push(event.deliveries.is_empty());
            rows.attributes.push((!event.attributes.is_empty()).then(|| json(&event.attributes)));
            rows.payloads.push(&event.payload);
        }
        let row_of: HashMap<_, _> = rows.places.iter().zip(1..).map(|(place, row)| (*place, row)).collect();
        for (place, event) in events.iter().enumerate() {
            for (delivery, subscription) in &event.deliveries {
                rows.deliveries.push(Uuid::from_u128(delivery.as_u128()));
                rows.of.push(row_of[&place]);
                rows.subscriptions.push(Uuid::from_u128(subscription.as_u128()));
                rows.lanes.push(event.ordering_key.as_deref().map(|key| lane(*subscription, key)));
            }
        }
        Ok(rows)
    }

    pub(super) fn query(&self, sql: &SqlStr) -> Query<'static, Postgres, PgArguments> {
        sqlx::query(sql.clone())
            .bind(&self.organizations)
            .bind(&self.ids)
            .bind(&self.types)
            .bind(&self.digests)
            .bind(&self.at)
            .bind(&self.unwanted)
            .bind(&self.attributes)
            .bind(&self.payloads)
            .bind(&self.deliveries)
            .bind(&self.of)
            .bind(&self.subscriptions)
            .bind(&self.lanes)
    }
}

/// Settlements sorted by delivery.
#[derive(Default)]
pub(super) struct SettlementRows<'a> {
    /// For each row, which of the settlements given it is.
    pub(super) places: Vec<usize>,
    ids: Vec<Uuid>,
    leases: Vec<i64>,
    now: Vec<Option<i64>>,
    states: Vec<&'static str>,
    after: Vec<Option<i64>>,
    pauses: Vec<Option<i64>>,
    disable: Vec<Option<&'static str>>,
    attempts: AttemptColumns<'a>,
}

/// Empty where nothing was tried.
#[derive(Default)]
struct AttemptColumns<'a> {
    numbers: Vec<Option<i64>>,
    started_at: Vec<Option<i64>>,
    durations: Vec<Option<i64>>,
    dns: Vec<Option<i64>>,
    connect: Vec<Option<i64>>,
    tls: Vec<Option<i64>>,
    first_byte: Vec<Option<i64>>,
    totals: Vec<Option<i64>>,
    statuses: Vec<Option<i64>>,
    retry_after: Vec<Option<i64>>,
    errors: Vec<Option<&'static str>>,
    excerpts: Vec<Option<&'a [u8]>>,
}

impl<'a> SettlementRows<'a> {
    pub(super) fn new(settlements: &'a [Settlement], now: impl Fn(OffsetDateTime) -> Option<i64>) -> Self {
        let mut rows = Self::default();
        let mut kept: Vec<_> = settlements
            .iter()
            .enumerate()
            .filter_map(|(place, settlement)| Some((settlement, stored_lease(settlement.lease)?, place)))
            .collect();
        kept.sort_by_key(|(settlement, lease, place)| (settlement.delivery, *lease, *place));
        // The same lease twice in one batch: the first counts, as it would in two batches.
        kept.dedup_by_key(|(settlement, lease, _)| (settlement.delivery, *lease));
        for (settlement, lease, place) in kept {
            rows.push(settlement, lease, place, now(settlement.now));
        }
        rows
    }

    pub(super) fn query(&self, sql: &SqlStr) -> Query<'static, Postgres, PgArguments> {
        let attempts = &self.attempts;
        sqlx::query(sql.clone())
            .bind(&self.ids)
            .bind(&self.leases)
            .bind(&self.now)
            .bind(&self.states)
            .bind(&self.after)
            .bind(&self.pauses)
            .bind(&self.disable)
            .bind(&attempts.numbers)
            .bind(&attempts.started_at)
            .bind(&attempts.durations)
            .bind(&attempts.dns)
            .bind(&attempts.connect)
            .bind(&attempts.tls)
            .bind(&attempts.first_byte)
            .bind(&attempts.totals)
            .bind(&attempts.statuses)
            .bind(&attempts.retry_after)
            .bind(&attempts.errors)
            .bind(&attempts.excerpts)
    }

    fn push(&mut self, settlement: &'a Settlement, lease: i64, place: usize, now: Option<i64>) {
        let (state, after) = match settlement.next {
            Next::Delivered => (DeliveryState::Delivered, None),
            Next::Retry { after } => (DeliveryState::Pending, Some(reach(after))),
            Next::Dead { reason } => (DeliveryState::Dead(reason), None),
        };
        self.places.push(place);
        self.ids.push(Uuid::from_u128(settlement.delivery.as_u128()));
        self.leases.push(lease);
        self.now.push(now);
        self.states.push(state.as_str());
        self.after.push(after);
        self.pauses.push(settlement.pause.map(reach));
        self.disable.push(settlement.disable.map(|reason| reason.as_str()));
        let attempt = settlement.attempt.as_ref();
        let timings = attempt.map(|attempt| &attempt.timings);
        let (status, error, retry_after) =
            attempt.map_or((None, None, None), |attempt| outcome_columns(&attempt.outcome));
        let columns = &mut self.attempts;
        columns.numbers.push(attempt.map(|attempt| attempt.number.into()));
        columns.started_at.push(attempt.map(|attempt| micros(attempt.started_at)));
        columns.durations.push(attempt.map(|attempt| span(attempt.duration)));
        columns.dns.push(timings.and_then(|timings| timings.dns).map(span));
        columns.connect.push(timings.and_then(|timings| timings.connect).map(span));
        columns.tls.push(timings.and_then(|timings| timings.tls).map(span));
        columns.first_byte.push(timings.and_then(|timings| timings.first_byte).map(span));
        columns.totals.push(timings.map(|timings| span(timings.total)));
        columns.statuses.push(status.map(i64::from));
        columns.retry_after.push(retry_after);
        columns.errors.push(error);
        columns.excerpts.push(attempt.map(|attempt| attempt.response_excerpt.as_bytes()));
    }
}

/// Requests to be kept, sorted by key, each key once.
#[derive(Default)]
pub(super) struct RequestRows<'a> {
    /// For each row, which of the requests given it is.
    places: Vec<usize>,
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
    pub(super) fn new(
        requests: &'a [KeptRequest],
        now: impl Fn(OffsetDateTime) -> Option<i64>,
    ) -> Result<Self, StoreError> {
        let mut rows = Self { places: (0..requests.len()).collect(), ..Self::default() };
        rows.places.sort_by_key(|place| (&requests[*place].key, *place));
        // Of one that is there twice the first is new, as it would be in two batches.
        rows.places.dedup_by_key(|place| &requests[*place].key);
        for request in rows.places.iter().map(|place| &requests[*place]) {
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

    /// Which of those given a row of this number is.
    pub(super) fn place(&self, number: i64) -> Option<usize> {
        self.places.get(index(number)?).copied()
    }
}

/// Settlements of taken requests, sorted by key.
#[derive(Default)]
pub(super) struct IntakeRows<'a> {
    /// For each row, which of the settlements given it is.
    places: Vec<usize>,
    sources: Vec<&'a str>,
    ids: Vec<&'a str>,
    leases: Vec<i64>,
    now: Vec<Option<i64>>,
    conclusions: Vec<&'static str>,
    after: Vec<i64>,
    reasons: Vec<Cow<'a, str>>,
}

impl<'a> IntakeRows<'a> {
    pub(super) fn new(
        settlements: &'a [RequestSettlement],
        now: impl Fn(OffsetDateTime) -> Option<i64>,
    ) -> Self {
        let mut rows = Self::default();
        let mut kept: Vec<_> = settlements
            .iter()
            .enumerate()
            .filter_map(|(place, settlement)| Some((settlement, stored_lease(settlement.lease)?, place)))
            .collect();
        kept.sort_by_key(|(settlement, lease, place)| (&settlement.key, *lease, *place));
        kept.dedup_by_key(|(settlement, lease, _)| (&settlement.key, *lease));
        for (settlement, lease, place) in kept {
            let (conclusion, after, reason) = match &settlement.conclusion {
                Conclusion::Done { keep } => ("done", reach(*keep), ""),
                Conclusion::Retry { after, reason } => ("retry", reach(*after), reason.as_str()),
                Conclusion::GiveUp { reason } => ("give_up", 0, reason.as_str()),
                Conclusion::HandBack => ("hand_back", 0, ""),
            };
            rows.places.push(place);
            rows.sources.push(storable(&settlement.key.source));
            rows.ids.push(settlement.key.id.as_str());
            rows.leases.push(lease);
            rows.now.push(now(settlement.now));
            rows.conclusions.push(conclusion);
            rows.after.push(after);
            rows.reasons.push(without_nul(reason));
        }
        rows
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn query(&self, sql: &SqlStr) -> Query<'static, Postgres, PgArguments> {
        sqlx::query(sql.clone())
            .bind(&self.sources)
            .bind(&self.ids)
            .bind(&self.leases)
            .bind(&self.now)
            .bind(&self.conclusions)
            .bind(&self.after)
            .bind(&self.reasons)
    }

    /// Which of those given a row of this number is.
    pub(super) fn place(&self, number: i64) -> Option<usize> {
        self.places.get(index(number)?).copied()
    }
}

/// A text as PostgreSQL can hold it.
fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// What a subscription's deliveries of one ordering key share.
fn lane(subscription: SubscriptionId, key: &str) -> i64 {
    let digest =
        Sha256::new().chain_update(subscription.as_u128().to_be_bytes()).chain_update(key).finalize();
    let (first, _) = digest.split_first_chunk().expect("invariant: SHA-256 has 32 bytes");
    i64::from_be_bytes(*first)
}

/// A text that an index holds, whose pages have room for so much and not more.
pub(super) fn indexed<'a>(name: &str, text: &'a str) -> Result<&'a str, StoreError> {
    let refuse = |what: String| Err(StoreError::new(StoreErrorKind::Backend, what));
    if text.contains('\0') {
        return refuse(format!("{name} contains a NUL, which text in PostgreSQL cannot hold"));
    }
    if text.len() > MAX_INDEXED {
        return refuse(format!("{name} has {} bytes, expected at most {MAX_INDEXED}", text.len()));
    }
    Ok(text)
}

/// An instant, or a duration, to which another can be added.
pub(super) fn bounded(at: OffsetDateTime) -> i64 {
    micros(at).clamp(-micros(FAR), micros(FAR))
}

pub(super) fn reach(duration: std::time::Duration) -> i64 {
    span(duration).min(micros(FAR))
}

const MAX_INDEXED: usize = 1_000;
