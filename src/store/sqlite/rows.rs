//! Between rows and SQLite: how columns are read, and rows of a batch as JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use time::OffsetDateTime;

use crate::delivery::{Attempt, DeliveryState, Next};
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::columns::{Columns, FAR, Unread, json, micros, outcome_columns, span};
use crate::store::{NewEvent, Settlement};

impl Columns for SqliteRow {
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
        let bytes: &[u8] = self.try_get(column)?;
        Ok(u128::from_be_bytes(bytes.try_into().map_err(|_| format!("column {column} has not 16 bytes"))?))
    }
}

pub(super) fn blob(uuid: u128) -> Vec<u8> {
    uuid.to_be_bytes().to_vec()
}

/// For JSON, which has no bytes; SQLite's `unhex` turns it back.
pub(super) fn hex(uuid: u128) -> String {
    format!("{uuid:032x}")
}

pub(super) fn later(at: OffsetDateTime, after: Duration) -> i64 {
    micros(at).saturating_add(span(after)).min(micros(FAR))
}

/// An event to be written, as JSON that the inserting statement reads.
#[derive(Serialize)]
pub(super) struct EventRow<'a> {
    organization: &'a str,
    id: &'a str,
    r#type: &'a str,
    at: i64,
    unwanted_at: Option<i64>,
    attributes: Option<String>,
    from: usize,
    len: usize,
}

impl<'a> EventRow<'a> {
    /// One whose payload begins at `from`.
    pub(super) fn new(event: &'a NewEvent, from: usize) -> Self {
        let at = micros(event.inserted_at);
        Self {
            organization: &event.organization,
            id: event.id.as_str(),
            r#type: event.event_type.as_str(),
            at,
            unwanted_at: event.deliveries.is_empty().then_some(at),
            attributes: (!event.attributes.is_empty()).then(|| json(&event.attributes)),
            from,
            len: event.payload.len(),
        }
    }
}

/// How long a digest is.
pub(super) const DIGEST: usize = 32;

/// A due delivery, as JSON that the claiming statement wrote.
#[derive(Deserialize)]
pub(super) struct DueRow<'a> {
    id: &'a str,
    event: i64,
    subscription: &'a str,
    lease: i64,
    attempts: i64,
    first_attempt_at: Option<i64>,
    was_due_at: i64,
    is_ordered: i64,
}

impl Columns for DueRow<'_> {
    fn text(&self, column: &str) -> Result<&str, Unread> {
        match column {
            "id" => Ok(self.id),
            "subscription" => Ok(self.subscription),
            _ => Err(missing(column)),
        }
    }

    fn optional_bytes(&self, column: &str) -> Result<Option<&[u8]>, Unread> {
        Err(missing(column))
    }

    fn optional_text(&self, column: &str) -> Result<Option<&str>, Unread> {
        Err(missing(column))
    }

    fn optional_number(&self, column: &str) -> Result<Option<i64>, Unread> {
        match column {
            "event" => Ok(Some(self.event)),
            "lease" => Ok(Some(self.lease)),
            "attempts" => Ok(Some(self.attempts)),
            "first_attempt_at" => Ok(self.first_attempt_at),
            "was_due_at" => Ok(Some(self.was_due_at)),
            "is_ordered" => Ok(Some(self.is_ordered)),
            _ => Err(missing(column)),
        }
    }

    fn uuid(&self, column: &str) -> Result<u128, Unread> {
        let text = self.text(column)?;
        match text.len() {
            32 => Ok(u128::from_str_radix(text, 16)?),
            _ => Err(format!("column {column} has not 16 bytes").into()),
        }
    }
}

fn missing(column: &str) -> Unread {
    format!("column {column} was not asked for").into()
}

/// A delivery to be made, as JSON that the inserting statement reads.
#[derive(Serialize)]
pub(super) struct DeliveryRow<'a> {
    id: String,
    event: i64,
    subscription: String,
    key: Option<&'a str>,
    rank: u32,
    at: i64,
}

impl<'a> DeliveryRow<'a> {
    /// One that has `rank` others of its subscription and key before it in its batch.
    pub(super) fn new(
        id: DeliveryId,
        event: i64,
        subscription: SubscriptionId,
        key: Option<&'a str>,
        rank: u32,
        at: i64,
    ) -> Self {
        Self { id: hex(id.as_u128()), event, subscription: hex(subscription.as_u128()), key, rank, at }
    }
}

/// What settlements change on a subscription, as JSON that a statement reads.
#[derive(Default, Serialize)]
pub(super) struct SubscriptionRow {
    id: String,
    paused_until: Option<i64>,
    status: Option<&'static str>,
    disabled_at: Option<i64>,
}

impl SubscriptionRow {
    pub(super) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), ..Self::default() }
    }

    /// The longest pause counts, and the first reason.
    pub(super) fn add(&mut self, settlement: &Settlement) {
        self.paused_until = self.paused_until.max(settlement.pause.map(|pause| later(settlement.now, pause)));
        if let (None, Some(reason)) = (self.status, settlement.disable) {
            self.status = Some(reason.as_str());
            self.disabled_at = Some(micros(settlement.now));
        }
    }
}

/// One settlement's new state, as JSON that the settling statement reads.
#[derive(Serialize)]
pub(super) struct SettlementRow {
    id: String,
    lease: i64,
    state: &'static str,
    due_at: Option<i64>,
    finished_at: Option<i64>,
    tried: u8,
    started_at: Option<i64>,
}

impl SettlementRow {
    pub(super) fn new(settlement: &Settlement, lease: i64) -> Self {
        let (state, due_at) = match settlement.next {
            Next::Delivered => (DeliveryState::Delivered, None),
            Next::Retry { after } => (DeliveryState::Pending, Some(later(settlement.now, after))),
            Next::Dead { reason } => (DeliveryState::Dead(reason), None),
        };
        Self {
            id: hex(settlement.delivery.as_u128()),
            lease,
            state: state.as_str(),
            due_at,
            finished_at: due_at.is_none().then(|| micros(settlement.now)),
            tried: u8::from(settlement.attempt.is_some()),
            started_at: settlement.attempt.as_ref().map(|attempt| micros(attempt.started_at)),
        }
    }
}

/// One attempt, and the lease that it was made under, as JSON that the logging statement reads.
#[derive(Serialize)]
pub(super) struct AttemptRow<'a> {
    delivery: String,
    lease: Option<i64>,
    number: u32,
    started_at: i64,
    duration: i64,
    dns: Option<i64>,
    connect: Option<i64>,
    tls: Option<i64>,
    first_byte: Option<i64>,
    total: i64,
    status: Option<u16>,
    retry_after: Option<i64>,
    error: Option<&'static str>,
    excerpt: &'a str,
}

impl<'a> AttemptRow<'a> {
    pub(super) fn new(delivery: DeliveryId, lease: Option<i64>, attempt: &'a Attempt) -> Self {
        let (status, error, retry_after) = outcome_columns(&attempt.outcome);
        Self {
            delivery: hex(delivery.as_u128()),
            lease,
            number: attempt.number,
            started_at: micros(attempt.started_at),
            duration: span(attempt.duration),
            dns: attempt.timings.dns.map(span),
            connect: attempt.timings.connect.map(span),
            tls: attempt.timings.tls.map(span),
            first_byte: attempt.timings.first_byte.map(span),
            total: span(attempt.timings.total),
            status,
            retry_after,
            error,
            excerpt: &attempt.response_excerpt,
        }
    }
}
