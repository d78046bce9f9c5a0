//! Conversions between the columns of a SQL database and instants, ids, subscriptions, deliveries and
//! attempts.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::address::EndpointUrl;
use crate::contract::ContractId;
use crate::delivery::{Attempt, Delivery, DeliveryState};
use crate::id::{DeliveryId, SubscriptionId};
use crate::outcome::{ErrorClass, FailureReason, Outcome, Timings};
use crate::signature::StoredSecret;
use crate::store::{
    ContractBacklog, Count, Cursor, EventRecord, Latency, Lease, Page, RoutingParts, Scanned, StoreError,
    StoreErrorKind,
};
use crate::subscription::{DisabledReason, EventFilter, Health, Options, Subscription, SubscriptionStatus};

/// A row of a driver, read by the names of its columns.
pub(in crate::store) trait Columns {
    fn text(&self, column: &str) -> Result<&str, Unread>;
    /// Returns the bytes of a column, or the UTF-8 of its text.
    fn optional_bytes(&self, column: &str) -> Result<Option<&[u8]>, Unread>;
    fn optional_text(&self, column: &str) -> Result<Option<&str>, Unread>;
    fn optional_number(&self, column: &str) -> Result<Option<i64>, Unread>;
    fn uuid(&self, column: &str) -> Result<u128, Unread>;

    fn number(&self, column: &str) -> Result<i64, Unread> {
        Ok(self.optional_number(column)?.ok_or_else(|| format!("column {column} is empty"))?)
    }

    fn count(&self, column: &str) -> Result<u32, Unread> {
        Ok(u32::try_from(self.number(column)?).map_err(|_| format!("column {column} is no count"))?)
    }

    fn instant(&self, column: &str) -> Result<OffsetDateTime, Unread> {
        instant(self.number(column)?)
    }

    fn optional_instant(&self, column: &str) -> Result<Option<OffsetDateTime>, Unread> {
        self.optional_number(column)?.map(instant).transpose()
    }

    fn duration(&self, column: &str) -> Result<Duration, Unread> {
        duration(self.number(column)?)
    }

    fn optional_duration(&self, column: &str) -> Result<Option<Duration>, Unread> {
        self.optional_number(column)?.map(duration).transpose()
    }

    fn lease(&self) -> Result<Lease, Unread> {
        Ok(Lease::new(u64::try_from(self.number("lease")?)?))
    }
}

/// The reason why a row cannot be read. Its text names the column and never the value.
#[derive(Debug)]
pub(in crate::store) struct Unread(Box<dyn StdError + Send + Sync>);

impl<E: Into<Box<dyn StdError + Send + Sync>>> From<E> for Unread {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl From<Unread> for StoreError {
    fn from(unread: Unread) -> Self {
        Self::new(StoreErrorKind::Corrupt, unread.0)
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

pub(in crate::store) fn corrupt(source: impl Into<Unread>) -> StoreError {
    source.into().into()
}

/// Converts a driver's error; `kind_of` classifies the database's error codes.
pub(in crate::store) fn fault(
    error: sqlx::Error,
    kind_of: impl FnOnce(&str) -> StoreErrorKind,
) -> StoreError {
    let kind = match &error {
        sqlx::Error::Database(error) => kind_of(&error.code().unwrap_or_default()),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => StoreErrorKind::Unavailable,
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::Decode(_)
        | sqlx::Error::RowNotFound => StoreErrorKind::Corrupt,
        _ => StoreErrorKind::Backend,
    };
    StoreError::new(kind, error)
}

/// Reads a subscription; `id` names the column of its id.
pub(in crate::store) fn subscription(row: &impl Columns, id: &str) -> Result<Subscription, Unread> {
    // The client checks URL and addresses on every connection. If the policy was narrowed since, an attempt
    // is refused visibly, and the subscription stays readable.
    let url = EndpointUrl::from_storage(row.text("url")?)?;
    let mut subscription = Subscription::from_parts(
        SubscriptionId::from_u128(row.uuid(id)?),
        row.instant("created_at")?,
        row.text("organization")?,
        ContractId::new(row.text("contract")?, row.text("version")?)?,
        url,
        EventFilter::from_storage(row.text("filter")?)?,
    );
    (subscription.secrets, subscription.secrets_until) = secrets(row.text("secrets")?)?;
    subscription.status = status(row.text("status")?, row.optional_instant("disabled_at")?)?;
    subscription.options = Options::from_storage(row.text("options")?)?;
    subscription.health = Health::from_storage(row.text("health")?)?;
    Ok(subscription)
}

pub(in crate::store) fn delivery(row: &impl Columns) -> Result<Delivery, Unread> {
    let mut delivery = Delivery::new(
        DeliveryId::from_u128(row.uuid("id")?),
        SubscriptionId::from_u128(row.uuid("subscription")?),
        contract(row)?,
        row.text("event_id")?.parse()?,
        row.text("type")?.parse()?,
        row.instant("created_at")?,
    );
    delivery.state =
        row.text("state")?.parse().map_err(|_| "column state is none that this version knows")?;
    delivery.attempts = row.count("attempts")?;
    delivery.due_at = match delivery.state {
        DeliveryState::Pending => row.optional_instant("due_at")?,
        _ => None,
    };
    delivery.note = row.optional_text("note")?.map(str::to_owned);
    delivery.is_test = row.optional_number("is_test")?.is_some_and(|is_test| is_test != 0);
    Ok(delivery)
}

/// Reads the contract of a delivery: the name of its event's contract, and its own version or the event's
/// newest.
fn contract(row: &impl Columns) -> Result<ContractId, Unread> {
    let version = row.optional_text("version")?.map_or_else(|| row.text("newest"), Ok)?;
    Ok(ContractId::new(row.text("contract")?, version)?)
}

/// Reads an event with its payload.
pub(in crate::store) fn event_with_payload(row: &impl Columns) -> Result<EventRecord, Unread> {
    let mut event = event(row)?;
    event.payload = row.optional_bytes("payload")?.map(Bytes::copy_from_slice);
    Ok(event)
}

fn event(row: &impl Columns) -> Result<EventRecord, Unread> {
    let mut event = EventRecord::new(
        ContractId::new(row.text("contract")?, row.text("version")?)?,
        row.text("id")?.parse()?,
        row.text("type")?.parse()?,
        row.instant("created_at")?,
    );
    if let Some(attributes) = row.optional_text("attributes")? {
        event.attributes =
            serde_json::from_str(attributes).map_err(|_| "column attributes is none in JSON")?;
    }
    Ok(event)
}

/// Reads a page of events from rows that also have the events' row numbers.
pub(in crate::store) fn events(rows: &[impl Columns], limit: u32) -> Result<Page<EventRecord>, Unread> {
    let read = |row| Ok::<_, Unread>((Columns::number(row, "pk")?, event(row)?));
    let found = rows.iter().map(read).collect::<Result<_, _>>()?;
    let cursor = |(pk, _): &(i64, EventRecord)| Cursor::new(0, u128::try_from(*pk).unwrap_or(0));
    Ok(Page::cut(found, limit, cursor).map(|(_, event)| event))
}

/// Reads a slot, and how many of its attempts had one outcome.
pub(in crate::store) fn counted(row: &impl Columns) -> Result<(u64, Count), Unread> {
    let count = Count { outcome: outcome(row)?, attempts: u64::try_from(row.number("attempts")?)? };
    Ok((u64::try_from(row.number("slot")?)?, count))
}

/// Reads the number of due deliveries of a contract, and how long the oldest has waited.
pub(in crate::store) fn contract_backlog(row: &impl Columns) -> Result<ContractBacklog, Unread> {
    let due = u64::from(row.count("due")?);
    Ok(ContractBacklog::new(row.text("contract")?, due, row.duration("waited")?))
}

/// Reads the latency of a period, or `None` if no attempt was answered.
pub(in crate::store) fn latency(row: &impl Columns) -> Result<Option<Latency>, Unread> {
    let Some(median) = row.optional_duration("median")? else { return Ok(None) };
    let (p95, p99) = (row.duration("p95")?, row.duration("p99")?);
    Ok(Some(Latency { median, p95, p99, max: row.duration("longest")? }))
}

pub(in crate::store) fn attempt(row: &impl Columns) -> Result<Attempt, Unread> {
    let mut outcome = outcome(row)?;
    if outcome.status().is_some() {
        outcome = outcome.with_retry_after(row.optional_duration("retry_after")?);
    }
    let mut attempt =
        Attempt::new(row.count("number")?, row.instant("started_at")?, row.duration("duration")?, outcome);
    if let Outcome::Failed(class) = outcome {
        // A newer version may know more reasons; the class stays readable.
        let reason = row.optional_text("reason")?.and_then(|reason| reason.parse().ok());
        let status = row.optional_number("head_status")?.map(status_code).transpose()?;
        attempt = attempt.with_reason(reason.unwrap_or_else(|| FailureReason::of(class)), status);
    }
    let mut timings = Timings::new(row.duration("total")?);
    timings.dns = row.optional_duration("dns")?;
    timings.connect = row.optional_duration("connect")?;
    timings.tls = row.optional_duration("tls")?;
    timings.first_byte = row.optional_duration("first_byte")?;
    let excerpt = std::str::from_utf8(row.optional_bytes("excerpt")?.ok_or("column excerpt is empty")?)?;
    Ok(attempt.with_timings(timings).with_response_excerpt(excerpt))
}

fn outcome(row: &impl Columns) -> Result<Outcome, Unread> {
    Ok(match row.optional_number("status")? {
        Some(status) => Outcome::answered(status_code(status)?),
        None => {
            let class = row.text("error")?.parse::<ErrorClass>();
            Outcome::Failed(class.map_err(|_| "column error is none that this version knows")?)
        }
    })
}

fn status_code(status: i64) -> Result<StatusCode, Unread> {
    Ok(StatusCode::from_u16(u16::try_from(status)?)?)
}

/// Reads a row of a scan. If its subscription cannot be read, the scan goes on.
pub(in crate::store) fn scanned(row: &impl Columns) -> Result<Scanned, StoreError> {
    let id = SubscriptionId::from_u128(row.uuid("id").map_err(corrupt)?);
    Ok(match subscription(row, "id") {
        Ok(subscription) => Scanned::new(id, Ok(subscription)),
        Err(unread) => Scanned::new(id, Err(unread.into())).with_routing(routing(row).ok()),
    })
}

/// The place behind a row of this time and id, the same as `Cursor::at` makes. The time may be beyond what an
/// instant holds, in a row that cannot be read.
pub(in crate::store) const fn cursor(at: i64, id: u128) -> Cursor {
    Cursor::new((at as i128 * 1_000).wrapping_add(1 << 100) as u128, id)
}

/// The time of a [`cursor`].
pub(in crate::store) fn cursor_time(cursor: Cursor) -> i64 {
    let nanos = i128::try_from(cursor.major()).unwrap_or(i128::MAX).saturating_sub(1 << 100);
    let micros = nanos.div_euclid(1_000);
    i64::try_from(micros).unwrap_or(if micros < 0 { i64::MIN } else { i64::MAX })
}

/// The parts of a subscription's row that say which events go there.
fn routing(row: &impl Columns) -> Result<RoutingParts, Unread> {
    Ok(RoutingParts::new(
        ContractId::new(row.text("contract")?, row.text("version")?)?,
        EventFilter::from_storage(row.text("filter")?)?,
        // Not where the status is what cannot be read: the delivery waits all the same.
        row.text("status")?.parse::<DisabledReason>().is_ok(),
    ))
}

/// Returns the least id after `after`, as a number, or `None` after the greatest id.
pub(in crate::store) fn behind(after: Option<SubscriptionId>) -> Option<u128> {
    after.map_or(Some(0), |after| after.as_u128().checked_add(1))
}

/// Returns the number of a lease as rows hold it, or `None` for a number that no claim gives; such a lease is
/// stale.
pub(in crate::store) fn stored_lease(lease: Lease) -> Option<i64> {
    i64::try_from(lease.number()).ok().filter(|number| *number > 0)
}

/// Writes the secrets of a subscription as JSON, an old one after the time until which it signs.
pub(in crate::store) fn secrets_text(subscription: &Subscription) -> Zeroizing<String> {
    let until = subscription.secrets_until.iter().map(|until| format!("{UNTIL}{}:", micros(*until)));
    let until = [String::new()].into_iter().chain(until).chain(std::iter::repeat(String::new()));
    let with = |(secret, until): (&StoredSecret, String)| {
        let stored = secret.to_storage();
        let mut text = Zeroizing::new(String::with_capacity(until.len() + stored.len()));
        text.push_str(&until);
        text.push_str(&stored);
        text
    };
    let stored: Vec<_> = subscription.secrets.iter().zip(until).map(with).collect();
    let texts: Vec<&str> = stored.iter().map(|text| text.as_str()).collect();
    // Reserve enough room, because a buffer that grows leaves an unwiped copy behind.
    let room = texts.iter().map(|text| 6 * text.len() + 3).sum::<usize>() + 2;
    let mut json = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer(&mut *json, &texts).expect("invariant: a list of strings can be written as JSON");
    let json = std::mem::take(&mut *json);
    Zeroizing::new(String::from_utf8(json).expect("invariant: JSON is UTF-8"))
}

pub(in crate::store) fn status_columns(status: &SubscriptionStatus) -> (&'static str, Option<i64>) {
    match status {
        SubscriptionStatus::Enabled => (ENABLED, None),
        SubscriptionStatus::Disabled { reason, at } => (reason.as_str(), Some(micros(*at))),
    }
}

/// Returns the status, the error class and the retry-after of an outcome.
pub(in crate::store) fn outcome_columns(
    outcome: &Outcome,
) -> (Option<u16>, Option<&'static str>, Option<i64>) {
    let error = match outcome {
        Outcome::Answered { .. } => None,
        Outcome::Failed(class) => Some(class.as_str()),
    };
    (outcome.status().map(|status| status.as_u16()), error, outcome.retry_after().map(span))
}

pub(in crate::store) fn micros(at: OffsetDateTime) -> i64 {
    // Every year that `OffsetDateTime` can hold, large dates included, fits.
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000)).unwrap_or(i64::MAX)
}

/// Returns an instant to which a span can be added.
pub(in crate::store) fn bounded(at: OffsetDateTime) -> i64 {
    micros(at).clamp(-micros(FAR), micros(FAR))
}

/// Returns a span that can be added to a bounded instant.
pub(in crate::store) fn reach(duration: Duration) -> i64 {
    span(duration).min(micros(FAR))
}

pub(in crate::store) fn span(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

pub(in crate::store) fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("invariant: rows of text and numbers can be written as JSON")
}

fn instant(micros: i64) -> Result<OffsetDateTime, Unread> {
    Ok(OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000)?)
}

fn duration(micros: i64) -> Result<Duration, Unread> {
    Ok(Duration::from_micros(u64::try_from(micros).map_err(|_| "a duration is negative")?))
}

fn secrets(stored: &str) -> Result<(Vec<StoredSecret>, Vec<OffsetDateTime>), Unread> {
    let texts: Vec<Zeroizing<String>> = serde_json::from_str::<Vec<String>>(stored)
        .map_err(|_| "column secrets is no list of texts in JSON")?
        .into_iter()
        .map(Zeroizing::new)
        .collect();
    let mut secrets = Vec::with_capacity(texts.len());
    let mut times = Vec::new();
    for text in &texts {
        let text = match text.strip_prefix(UNTIL).and_then(|text| text.split_once(':')) {
            Some((until, text)) => {
                times.push(instant(until.parse()?)?);
                text
            }
            None => text,
        };
        secrets.push(StoredSecret::from_storage(text)?);
    }
    Ok((secrets, times))
}

fn status(text: &str, disabled_at: Option<OffsetDateTime>) -> Result<SubscriptionStatus, Unread> {
    if text == ENABLED {
        return Ok(SubscriptionStatus::Enabled);
    }
    let reason = text.parse().map_err(|_| "column status is none that this version knows")?;
    let at = disabled_at.ok_or("column disabled_at is empty on a disabled subscription")?;
    Ok(SubscriptionStatus::disabled(reason, at))
}

/// The prefix of an old secret; no secret begins like it. It is stored, so never change it.
const UNTIL: &str = "until:";

/// The stored status of an enabled subscription: never change it.
pub(in crate::store) const ENABLED: &str = "enabled";

/// The last instant that can be read back.
pub(in crate::store) const FAR: OffsetDateTime = time::macros::datetime!(9999-12-31 23:59:59 UTC);
