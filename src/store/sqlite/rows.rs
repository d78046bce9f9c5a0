//! Between rows and what they mean: instants, ids, subscriptions, deliveries, attempts.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::address::EndpointUrl;
use crate::delivery::{Attempt, Delivery, DeliveryState, Next};
use crate::id::{DeliveryId, SubscriptionId};
use crate::outcome::{ErrorClass, Outcome, Timings};
use crate::signature::Secret;
use crate::store::{Settlement, StoreError, StoreErrorKind};
use crate::subscription::{DisabledReason, EventFilter, Health, Options, Subscription, SubscriptionStatus};

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

pub(super) fn subscription(row: &SqliteRow) -> Result<Subscription, Unread> {
    let filter: Vec<String> = serde_json::from_str(row.try_get("filter")?)
        .map_err(|_| "column filter is no list of patterns in JSON")?;
    // The policy is left to the client, which judges URL and addresses on every dial: a policy that was narrowed
    // since has to refuse an attempt, visibly, and not make the subscription unreadable.
    let url = EndpointUrl::from_storage(row.try_get("url")?)?;
    let mut subscription = Subscription::from_parts(
        SubscriptionId::from_u128(uuid(row, "id")?),
        instant(row.try_get("created_at")?)?,
        row.try_get::<String, _>("organization")?,
        url,
        EventFilter::new(filter)?,
    );
    subscription.secrets = secrets(Zeroizing::new(row.try_get("secrets")?))?;
    subscription.status = status(row.try_get("status")?, row.try_get("disabled_at")?)?;
    subscription.options = Options::from_storage(&Zeroizing::new(row.try_get::<String, _>("options")?))?;
    subscription.health = Health::from_storage(row.try_get("health")?)?;
    Ok(subscription)
}

pub(super) fn delivery(row: &SqliteRow) -> Result<Delivery, Unread> {
    let mut delivery = Delivery::new(
        DeliveryId::from_u128(uuid(row, "id")?),
        SubscriptionId::from_u128(uuid(row, "subscription")?),
        row.try_get::<&str, _>("event_id")?.parse()?,
        row.try_get::<&str, _>("type")?.parse()?,
        instant(row.try_get("created_at")?)?,
    );
    delivery.state =
        DeliveryState::parse(row.try_get("state")?).ok_or("column state is none that this version knows")?;
    delivery.attempts = row.try_get("attempts")?;
    delivery.due_at = match delivery.state {
        DeliveryState::Pending => optional_instant(row.try_get("due_at")?)?,
        _ => None,
    };
    Ok(delivery)
}

pub(super) fn attempt(row: &SqliteRow) -> Result<Attempt, Unread> {
    let outcome = match row.try_get::<Option<u16>, _>("status")? {
        Some(status) => {
            let retry_after: Option<i64> = row.try_get("retry_after")?;
            Outcome::answered(StatusCode::from_u16(status)?)
                .with_retry_after(retry_after.map(duration).transpose()?)
        }
        None => {
            let class: &str = row.try_get("error")?;
            let class = ErrorClass::ALL.into_iter().find(|known| known.as_str() == class);
            Outcome::Failed(class.ok_or("column error is none that this version knows")?)
        }
    };
    let attempt = Attempt::new(
        row.try_get("number")?,
        instant(row.try_get("started_at")?)?,
        duration(row.try_get("duration")?)?,
        outcome,
    );
    let phase = |name| row.try_get::<Option<i64>, _>(name)?.map(duration).transpose();
    let mut timings = Timings::new(duration(row.try_get("total")?)?);
    timings.dns = phase("dns")?;
    timings.connect = phase("connect")?;
    timings.tls = phase("tls")?;
    timings.first_byte = phase("first_byte")?;
    Ok(attempt.with_timings(timings).with_response_excerpt(row.try_get::<String, _>("excerpt")?))
}

pub(super) fn uuid(row: &SqliteRow, column: &str) -> Result<u128, Unread> {
    let bytes: &[u8] = row.try_get(column)?;
    Ok(u128::from_be_bytes(bytes.try_into().map_err(|_| format!("column {column} has not 16 bytes"))?))
}

pub(super) fn blob(uuid: u128) -> Vec<u8> {
    uuid.to_be_bytes().to_vec()
}

/// For JSON, which has no bytes; SQLite's `unhex` turns it back.
pub(super) fn hex(uuid: u128) -> String {
    format!("{uuid:032x}")
}

pub(super) fn filter_text(filter: &EventFilter) -> String {
    let patterns: Vec<_> = filter.patterns().iter().map(ToString::to_string).collect();
    serde_json::to_string(&patterns).expect("invariant: a list of strings can be written as JSON")
}

pub(super) fn secrets_text(secrets: &[Secret]) -> Zeroizing<String> {
    let stored: Vec<_> = secrets.iter().map(Secret::to_storage).collect();
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

pub(super) fn micros(at: OffsetDateTime) -> i64 {
    // Every year that `OffsetDateTime` can hold, large dates included, fits.
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000)).unwrap_or(i64::MAX)
}

pub(super) fn later(at: OffsetDateTime, after: Duration) -> i64 {
    micros(at).saturating_add(span(after)).min(micros(FAR))
}

pub(super) fn span(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
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

/// One attempt, as JSON that the logging statement reads.
#[derive(Serialize)]
pub(super) struct AttemptRow<'a> {
    delivery: String,
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
    pub(super) fn new(delivery: DeliveryId, attempt: &'a Attempt) -> Self {
        Self {
            delivery: hex(delivery.as_u128()),
            number: attempt.number,
            started_at: micros(attempt.started_at),
            duration: span(attempt.duration),
            dns: attempt.timings.dns.map(span),
            connect: attempt.timings.connect.map(span),
            tls: attempt.timings.tls.map(span),
            first_byte: attempt.timings.first_byte.map(span),
            total: span(attempt.timings.total),
            status: attempt.outcome.status().map(|status| status.as_u16()),
            retry_after: attempt.outcome.retry_after().map(span),
            error: match attempt.outcome {
                Outcome::Answered { .. } => None,
                Outcome::Failed(class) => Some(class.as_str()),
            },
            excerpt: &attempt.response_excerpt,
        }
    }
}

pub(super) fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("invariant: rows of text and numbers can be written as JSON")
}

pub(super) fn optional_instant(micros: Option<i64>) -> Result<Option<OffsetDateTime>, Unread> {
    micros.map(instant).transpose()
}

pub(super) fn instant(micros: i64) -> Result<OffsetDateTime, Unread> {
    Ok(OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000)?)
}

fn duration(micros: i64) -> Result<Duration, Unread> {
    Ok(Duration::from_micros(u64::try_from(micros).map_err(|_| "a duration is negative")?))
}

fn secrets(stored: Zeroizing<String>) -> Result<Vec<Secret>, Unread> {
    let texts: Vec<Zeroizing<String>> = serde_json::from_str::<Vec<String>>(&stored)
        .map_err(|_| "column secrets is no list of texts in JSON")?
        .into_iter()
        .map(Zeroizing::new)
        .collect();
    Ok(texts.iter().map(|text| Secret::from_storage(text)).collect::<Result<_, _>>()?)
}

fn status(text: &str, disabled_at: Option<i64>) -> Result<SubscriptionStatus, Unread> {
    if text == ENABLED {
        return Ok(SubscriptionStatus::Enabled);
    }
    let reason = DisabledReason::parse(text).ok_or("column status is none that this version knows")?;
    let at = disabled_at.ok_or("column disabled_at is empty on a disabled subscription")?;
    Ok(SubscriptionStatus::disabled(reason, instant(at)?))
}

/// As stored: never change it.
pub(super) const ENABLED: &str = "enabled";

/// The last instant that can be read back.
const FAR: OffsetDateTime = time::macros::datetime!(9999-12-31 23:59:59 UTC);
