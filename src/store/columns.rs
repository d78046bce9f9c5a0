//! Between the columns of a SQL database and what they mean: instants, ids, subscriptions, deliveries, attempts.
#![cfg(any(feature = "postgres", feature = "sqlite"))]

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::address::EndpointUrl;
use crate::delivery::{Attempt, Delivery, DeliveryState};
use crate::id::{DeliveryId, SubscriptionId};
use crate::outcome::{ErrorClass, Outcome, Timings};
use crate::signature::StoredSecret;
use crate::store::{Count, Cursor, EventRecord, Latency, Lease, Page, StoreError, StoreErrorKind};
use crate::subscription::{DisabledReason, EventFilter, Health, Options, Subscription, SubscriptionStatus};

/// A row of a driver, read by the names of its columns.
pub(super) trait Columns {
    fn text(&self, column: &str) -> Result<&str, Unread>;
    /// Text is its UTF-8.
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

/// Why a row cannot be read; its text names the column and never the value.
#[derive(Debug)]
pub(super) struct Unread(Box<dyn StdError + Send + Sync>);

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

pub(super) fn corrupt(source: impl Into<Unread>) -> StoreError {
    source.into().into()
}

/// A driver's error; of one that the database told, `told` says which kind it is.
pub(super) fn fault(error: sqlx::Error, told: impl FnOnce(&str) -> StoreErrorKind) -> StoreError {
    let kind = match &error {
        sqlx::Error::Database(error) => told(&error.code().unwrap_or_default()),
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

/// The subscription whose id is in the column of this name.
pub(super) fn subscription(row: &impl Columns, id: &str) -> Result<Subscription, Unread> {
    // The policy is left to the client, which judges URL and addresses on every dial: a policy that was narrowed
    // since has to refuse an attempt, visibly, and not make the subscription unreadable.
    let url = EndpointUrl::from_storage(row.text("url")?)?;
    let mut subscription = Subscription::from_parts(
        SubscriptionId::from_u128(row.uuid(id)?),
        row.instant("created_at")?,
        row.text("organization")?,
        url,
        EventFilter::from_storage(row.text("filter")?)?,
    );
    (subscription.secrets, subscription.secrets_until) = secrets(row.text("secrets")?)?;
    subscription.status = status(row.text("status")?, row.optional_instant("disabled_at")?)?;
    subscription.options = Options::from_storage(row.text("options")?)?;
    subscription.health = Health::from_storage(row.text("health")?)?;
    Ok(subscription)
}

pub(super) fn delivery(row: &impl Columns) -> Result<Delivery, Unread> {
    let mut delivery = Delivery::new(
        DeliveryId::from_u128(row.uuid("id")?),
        SubscriptionId::from_u128(row.uuid("subscription")?),
        row.text("event_id")?.parse()?,
        row.text("type")?.parse()?,
        row.instant("created_at")?,
    );
    delivery.state =
        DeliveryState::parse(row.text("state")?).ok_or("column state is none that this version knows")?;
    delivery.attempts = row.count("attempts")?;
    delivery.due_at = match delivery.state {
        DeliveryState::Pending => row.optional_instant("due_at")?,
        _ => None,
    };
    delivery.note = row.optional_text("note")?.map(str::to_owned);
    delivery.is_test = row.optional_number("is_test")?.is_some_and(|is_test| is_test != 0);
    Ok(delivery)
}

/// An event, with its payload where that was asked for.
pub(super) fn event(row: &impl Columns) -> Result<EventRecord, Unread> {
    let mut event =
        EventRecord::new(row.text("id")?.parse()?, row.text("type")?.parse()?, row.instant("created_at")?);
    if let Some(attributes) = row.optional_text("attributes")? {
        event.attributes =
            serde_json::from_str(attributes).map_err(|_| "column attributes is none in JSON")?;
    }
    event.payload = row.optional_bytes("payload")?.map(Bytes::copy_from_slice);
    Ok(event)
}

/// A page of events, which come with their numbers.
pub(super) fn events(rows: &[impl Columns], limit: u32) -> Result<Page<EventRecord>, Unread> {
    let read = |row| Ok::<_, Unread>((Columns::number(row, "pk")?, event(row)?));
    let found = rows.iter().map(read).collect::<Result<_, _>>()?;
    let cursor = |(pk, _): &(i64, EventRecord)| Cursor::new(0, u128::try_from(*pk).unwrap_or(0));
    Ok(Page::cut(found, limit, cursor).map(|(_, event)| event))
}

/// How many attempts of which slot ended in one way.
pub(super) fn counted(row: &impl Columns) -> Result<(u64, Count), Unread> {
    let count = Count { outcome: outcome(row)?, attempts: u64::try_from(row.number("attempts")?)? };
    Ok((u64::try_from(row.number("slot")?)?, count))
}

/// Nothing when no attempt was answered.
pub(super) fn latency(row: &impl Columns) -> Result<Option<Latency>, Unread> {
    let Some(median) = row.optional_duration("median")? else { return Ok(None) };
    let (p95, p99) = (row.duration("p95")?, row.duration("p99")?);
    Ok(Some(Latency { median, p95, p99, max: row.duration("longest")? }))
}

pub(super) fn attempt(row: &impl Columns) -> Result<Attempt, Unread> {
    let mut outcome = outcome(row)?;
    if outcome.status().is_some() {
        outcome = outcome.with_retry_after(row.optional_duration("retry_after")?);
    }
    let attempt =
        Attempt::new(row.count("number")?, row.instant("started_at")?, row.duration("duration")?, outcome);
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
        Some(status) => Outcome::answered(StatusCode::from_u16(u16::try_from(status)?)?),
        None => {
            let class = row.text("error")?;
            let class = ErrorClass::ALL.into_iter().find(|known| known.as_str() == class);
            Outcome::Failed(class.ok_or("column error is none that this version knows")?)
        }
    })
}

/// The least id behind `after`, as its number; nothing behind the last that there can be.
pub(super) fn behind(after: Option<SubscriptionId>) -> Option<u128> {
    after.map_or(Some(0), |after| after.as_u128().checked_add(1))
}

/// A number that no row can hold, or no claim gave, is stale.
pub(super) fn stored_lease(lease: Lease) -> Option<i64> {
    i64::try_from(lease.number()).ok().filter(|number| *number > 0)
}

/// The secrets of a subscription, an old one behind the time until which it signs.
pub(super) fn secrets_text(subscription: &Subscription) -> Zeroizing<String> {
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
    // Written into room enough, so that no outgrown buffer is left behind unwiped.
    let room = texts.iter().map(|text| 6 * text.len() + 3).sum::<usize>() + 2;
    let mut json = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer(&mut *json, &texts).expect("invariant: a list of strings can be written as JSON");
    let json = std::mem::take(&mut *json);
    Zeroizing::new(String::from_utf8(json).expect("invariant: JSON is UTF-8"))
}

pub(super) fn status_columns(status: &SubscriptionStatus) -> (&'static str, Option<i64>) {
    match status {
        SubscriptionStatus::Enabled => (ENABLED, None),
        SubscriptionStatus::Disabled { reason, at } => (reason.as_str(), Some(micros(*at))),
    }
}

/// The status or the error class of an outcome, and when the endpoint wants to be asked again.
pub(super) fn outcome_columns(outcome: &Outcome) -> (Option<u16>, Option<&'static str>, Option<i64>) {
    let error = match outcome {
        Outcome::Answered { .. } => None,
        Outcome::Failed(class) => Some(class.as_str()),
    };
    (outcome.status().map(|status| status.as_u16()), error, outcome.retry_after().map(span))
}

pub(super) fn micros(at: OffsetDateTime) -> i64 {
    // Every year that `OffsetDateTime` can hold, large dates included, fits.
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000)).unwrap_or(i64::MAX)
}

pub(super) fn span(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn json(value: &(impl Serialize + ?Sized)) -> String {
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
    let reason = DisabledReason::parse(text).ok_or("column status is none that this version knows")?;
    let at = disabled_at.ok_or("column disabled_at is empty on a disabled subscription")?;
    Ok(SubscriptionStatus::disabled(reason, at))
}

/// Before an old secret, which begins otherwise. As stored: never change it.
const UNTIL: &str = "until:";

/// As stored: never change it.
pub(super) const ENABLED: &str = "enabled";

/// The last instant that can be read back.
pub(super) const FAR: OffsetDateTime = time::macros::datetime!(9999-12-31 23:59:59 UTC);
