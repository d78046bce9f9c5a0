//! Conversions for SQLite: columns are read, parameters bound, and the rows of a batch written as JSON.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row as _, SqlStr, Sqlite};
use time::OffsetDateTime;

use crate::delivery::{DeliveryState, Next};
use crate::store::sql::attempt::AttemptRow;
use crate::store::sql::columns::{Columns, FAR, Unread, json, micros, reach, span};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::value::Value;
use crate::store::{NewDelivery, NewEvent, Settlement};

/// The parts of a shared statement as SQLite spells them, and the texts that it can hold.
pub(super) const DIALECT: Dialect = Dialect {
    placeholder: '?',
    now: "{0}",
    later: "min({0} + {1}, 253402300799000000)",
    seek: "{0}",
    skip_locked: "",
    deliveries: "{p}deliveries",
    finished: "{p}history",
    longest_key: None,
    holds_nul: true,
};

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

/// Returns a statement with its parameters.
pub(super) fn query(statement: &SqlStr, values: &[Value<'_>]) -> Query<'static, Sqlite, SqliteArguments> {
    values.iter().fold(sqlx::query(statement.clone()), |query, value| match *value {
        Value::Id(id) => query.bind(blob(id)),
        Value::Number(number) => query.bind(number),
        Value::Text(text) => query.bind(text.map(str::to_owned)),
        Value::Bytes(bytes) => query.bind(bytes.map(<[u8]>::to_vec)),
    })
}

pub(super) fn blob(uuid: u128) -> Vec<u8> {
    uuid.to_be_bytes().to_vec()
}

/// Writes an id in hex, because JSON has no bytes. SQLite's `unhex` reads it.
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
    contract: &'a str,
    id: &'a str,
    version: &'a str,
    r#type: &'a str,
    at: i64,
    unwanted_at: Option<i64>,
    attributes: Option<String>,
    trace: Option<String>,
    edition: Option<i64>,
    from: usize,
    len: usize,
}

impl<'a> EventRow<'a> {
    /// Makes the row of an event whose newest payload begins at `from`.
    pub(super) fn new(event: &'a NewEvent, from: usize) -> Self {
        let at = micros(event.inserted_at);
        Self {
            organization: &event.organization,
            contract: event.contract.name(),
            id: event.id.as_str(),
            version: event.contract.version(),
            r#type: event.event_type.as_str(),
            at,
            unwanted_at: event.deliveries.is_empty().then_some(at),
            attributes: (!event.attributes.is_empty()).then(|| json(&event.attributes)),
            trace: event.trace.map(|trace| trace.to_string()),
            edition: event.edition.map(|edition| edition.number().cast_signed()),
            from,
            len: event.payload.len(),
        }
    }
}

/// The payload of an older version, as JSON that the inserting statement reads.
#[derive(Serialize)]
pub(super) struct PayloadRow<'a> {
    pub(super) event: i64,
    pub(super) version: &'a str,
    /// The position at which its digest begins.
    pub(super) digest: usize,
    pub(super) from: usize,
    pub(super) len: usize,
}

/// An event that may be known, as JSON that the comparing statement reads.
#[derive(Serialize)]
pub(super) struct NamedRow<'a> {
    pub(super) organization: &'a str,
    pub(super) contract: &'a str,
    pub(super) id: &'a str,
    /// The digests of its payloads in hex, by their versions.
    pub(super) digests: Vec<(&'a str, String)>,
}

/// The length of a digest.
pub(super) const DIGEST: usize = 32;

/// A delivery to be made, as JSON that the inserting statements read.
#[derive(Serialize)]
pub(super) struct DeliveryRow<'a> {
    id: String,
    event: i64,
    subscription: String,
    version: Option<&'a str>,
    key: Option<&'a str>,
    rank: u32,
    at: i64,
    until: Option<i64>,
}

impl<'a> DeliveryRow<'a> {
    /// Makes the row of a delivery. `rank` counts the deliveries of its subscription and key before it in the
    /// batch.
    pub(super) fn new(
        delivery: &NewDelivery,
        event: i64,
        version: Option<&'a str>,
        key: Option<&'a str>,
        rank: u32,
        at: OffsetDateTime,
    ) -> Self {
        Self {
            id: hex(delivery.id.as_u128()),
            event,
            subscription: hex(delivery.subscription.as_u128()),
            version,
            key,
            rank,
            at: micros(at),
            until: delivery.lease.map(|lease| later(at, lease)),
        }
    }
}

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
    #[serde(borrow)]
    version: Option<Cow<'a, str>>,
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
        match column {
            "version" => Ok(self.version.as_deref()),
            _ => Err(missing(column)),
        }
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

/// The changes of settlements to a subscription, as JSON that a statement reads.
#[derive(Default, Serialize)]
pub(super) struct SubscriptionChange {
    id: String,
    paused_until: Option<i64>,
    paused_at: Option<i64>,
    status: Option<&'static str>,
    disabled_at: Option<i64>,
}

impl SubscriptionChange {
    pub(super) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), ..Self::default() }
    }

    /// Adds a settlement. The longest pause counts, and the first reason.
    pub(super) fn add(&mut self, settlement: &Settlement) {
        self.paused_until =
            self.paused_until.max(settlement.pause().map(|pause| later(settlement.now, pause)));
        let paused_at = settlement.pause().map(|_| micros(settlement.now));
        self.paused_at = self.paused_at.into_iter().chain(paused_at).min();
        if let (None, Some(reason)) = (self.status, settlement.disable()) {
            self.status = Some(reason.as_str());
            self.disabled_at = Some(micros(settlement.now));
        }
    }
}

/// A lease that is asked for, as JSON that a settling statement reads.
#[derive(Serialize)]
pub(super) struct LeaseRow {
    pub(super) id: String,
    pub(super) lease: i64,
}

/// One settlement with its attempt, as JSON that the settling statements read.
#[derive(Serialize)]
pub(super) struct SettlementRow<'a> {
    id: String,
    lease: i64,
    /// Set if the delivery ends.
    state: Option<&'static str>,
    finished_at: Option<i64>,
    /// Set if it does not.
    due_at: Option<i64>,
    late: i64,
    /// Set where it is handed back with a delay.
    kept_at: Option<i64>,
    tried: u8,
    #[serde(flatten)]
    attempt: Option<AttemptRow<'a>>,
}

impl<'a> SettlementRow<'a> {
    pub(super) fn new(settlement: &'a Settlement, lease: i64) -> Self {
        let (state, due_at) = match settlement.next {
            Next::Done => (Some(DeliveryState::Delivered), None),
            Next::Retry { after } => (None, Some(later(settlement.now, after))),
            Next::Dead { reason } => (Some(DeliveryState::Dead(reason)), None),
        };
        Self {
            id: hex(settlement.key.as_u128()),
            lease,
            state: state.map(DeliveryState::as_str),
            finished_at: state.map(|_| micros(settlement.now)),
            due_at,
            late: reach(settlement.late),
            kept_at: settlement.keeps_back().then(|| micros(settlement.now)),
            tried: u8::from(settlement.attempt.is_some()),
            attempt: settlement.log().map(AttemptRow::new),
        }
    }

    /// Returns whether the delivery ends.
    pub(super) fn is_end(&self) -> bool {
        self.state.is_some()
    }

    pub(super) fn is_tried(&self) -> bool {
        self.tried > 0
    }

    /// Returns the lease alone.
    pub(super) fn lease(&self) -> LeaseRow {
        LeaseRow { id: self.id.clone(), lease: self.lease }
    }
}
