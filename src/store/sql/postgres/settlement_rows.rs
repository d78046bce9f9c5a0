//! [`SettlementRows`]: settlements to write, as arrays with one element per row.

use sqlx::SqlStr;
use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::Query;
use time::OffsetDateTime;
use uuid::Uuid;

use super::values::places;
use crate::delivery::{DeliveryState, Next};
use crate::store::sql::attempt::AttemptRow;
use crate::store::sql::columns::{reach, stored_lease};
use crate::store::{Settled, Settlement, StoreError};

/// Settlements sorted by delivery.
#[derive(Default)]
pub(super) struct SettlementRows<'a> {
    /// The index of each row's settlement among the settlements given.
    indexes: Vec<usize>,
    ids: Vec<Uuid>,
    leases: Vec<i64>,
    now: Vec<Option<i64>>,
    states: Vec<&'static str>,
    after: Vec<Option<i64>>,
    late: Vec<i64>,
    pauses: Vec<Option<i64>>,
    disable: Vec<Option<&'static str>>,
    attempts: AttemptColumns<'a>,
}

/// The columns of attempts, NULL where a delivery was handed back untried.
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
    reasons: Vec<Option<&'static str>>,
    head_statuses: Vec<Option<i64>>,
    excerpts: Vec<Option<&'a [u8]>>,
}

impl<'a> SettlementRows<'a> {
    pub(super) fn new(settlements: &'a [Settlement], now: impl Fn(OffsetDateTime) -> Option<i64>) -> Self {
        let mut rows = Self::default();
        let mut valid: Vec<_> = settlements
            .iter()
            .enumerate()
            .filter_map(|(index, settlement)| Some((settlement, stored_lease(settlement.lease)?, index)))
            .collect();
        valid.sort_by_key(|(settlement, lease, index)| (settlement.key, *lease, *index));
        // If two settlements have one lease, the first counts, as it would in two batches.
        valid.dedup_by_key(|(settlement, lease, _)| (settlement.key, *lease));
        for (settlement, lease, index) in valid {
            rows.push(settlement, lease, index, now(settlement.now));
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
            .bind(&self.late)
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
            .bind(&attempts.reasons)
            .bind(&attempts.head_statuses)
            .bind(&attempts.excerpts)
    }

    /// The outcome of each settlement, in the order in which the settlements were given.
    pub(super) fn outcomes(&self, row: &PgRow, len: usize) -> Result<Vec<Settled>, StoreError> {
        let mut outcomes = vec![Settled::Stale; len];
        for index in places(row, "done")?.filter_map(|place| self.indexes.get(place)) {
            outcomes[*index] = Settled::Done;
        }
        Ok(outcomes)
    }

    fn push(&mut self, settlement: &'a Settlement, lease: i64, index: usize, now: Option<i64>) {
        let (state, after) = match settlement.next {
            Next::Done => (DeliveryState::Delivered, None),
            Next::Retry { after } => (DeliveryState::Pending, Some(reach(after))),
            Next::Dead { reason } => (DeliveryState::Dead(reason), None),
        };
        self.indexes.push(index);
        self.ids.push(Uuid::from_u128(settlement.key.as_u128()));
        self.leases.push(lease);
        self.now.push(now);
        self.states.push(state.as_str());
        self.after.push(after);
        self.late.push(reach(settlement.late));
        self.pauses.push(settlement.pause().map(reach));
        self.disable.push(settlement.disable().map(|reason| reason.as_str()));
        self.attempts.push(settlement.log().map(AttemptRow::new));
    }
}

impl<'a> AttemptColumns<'a> {
    fn push(&mut self, attempt: Option<AttemptRow<'a>>) {
        let attempt = attempt.as_ref();
        self.numbers.push(attempt.map(|attempt| attempt.number));
        self.started_at.push(attempt.map(|attempt| attempt.started_at));
        self.durations.push(attempt.map(|attempt| attempt.duration));
        self.dns.push(attempt.and_then(|attempt| attempt.dns));
        self.connect.push(attempt.and_then(|attempt| attempt.connect));
        self.tls.push(attempt.and_then(|attempt| attempt.tls));
        self.first_byte.push(attempt.and_then(|attempt| attempt.first_byte));
        self.totals.push(attempt.map(|attempt| attempt.total));
        self.statuses.push(attempt.and_then(|attempt| attempt.status));
        self.retry_after.push(attempt.and_then(|attempt| attempt.retry_after));
        self.errors.push(attempt.and_then(|attempt| attempt.error));
        self.reasons.push(attempt.and_then(|attempt| attempt.reason));
        self.head_statuses.push(attempt.and_then(|attempt| attempt.head_status));
        self.excerpts.push(attempt.map(|attempt| attempt.excerpt.as_bytes()));
    }
}
