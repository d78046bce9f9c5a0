//! Deliveries, attempts, events and statistics, as answers show them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;

use crate::contract::{Contract, Judgement, Rotation, Versions};
use crate::delivery::{Attempt, DeadReason, Delivery, DeliveryState};
use crate::dispatch::Emitted;
use crate::event::{EventId, EventKind};
use crate::id::{DeliveryId, SubscriptionId};
use crate::manage::instant;
use crate::manage::{Listed, SubscriptionView};
use crate::outcome::{FailureReason, Outcome};
use crate::store::{Backlog, Count, Cursor, EventRecord, Page, Period, Statistics};

/// One item.
#[derive(Serialize)]
pub(super) struct One<T> {
    pub(super) data: T,
}

/// A page of items.
#[derive(Serialize)]
pub(super) struct Many<T> {
    data: Vec<T>,
    next: Option<String>,
}

impl<T> Many<T> {
    pub(super) fn of(page: Page<T>, tag: &str) -> Self {
        Self { data: page.items, next: page.next.map(|next| tagged(next, tag)) }
    }

    pub(super) const fn all(data: Vec<T>) -> Self {
        Self { data, next: None }
    }
}

/// A page of subscriptions.
#[derive(Serialize)]
pub(super) struct SubscriptionsShown {
    data: Vec<SubscriptionView>,
    unreadable: Vec<SubscriptionId>,
    next: Option<String>,
}

impl SubscriptionsShown {
    pub(super) fn of(listed: Listed, tag: &str) -> Self {
        let next = listed.next.map(|next| tagged(next, tag));
        Self { data: listed.items, unreadable: listed.unreadable, next }
    }
}

/// The text of a place in the list that `tag` tells from others.
fn tagged(next: Cursor, tag: &str) -> String {
    format!("{tag}-{next}")
}

/// The caller's access, and the time.
#[derive(Serialize)]
pub(super) struct SessionShown<'a> {
    pub(super) organization: &'a str,
    pub(super) label: Option<&'a str>,
    pub(super) scope: &'static str,
    #[serde(serialize_with = "instant::option")]
    pub(super) expires_at: Option<OffsetDateTime>,
    #[serde(serialize_with = "instant::serialize")]
    pub(super) now: OffsetDateTime,
}

/// How a contract delivers.
#[derive(Serialize)]
pub(super) struct ContractShown {
    name: String,
    versions: Vec<String>,
    signature_headers: Vec<&'static str>,
    tolerance_seconds: u64,
    timeout_seconds: f64,
    success: [u16; 2],
    /// The nominal delays before retries; at most a hundred of them.
    retry_seconds: Vec<f64>,
    disables_on_gone: bool,
    /// How long an endpoint may only fail before it is disabled.
    disables_after_seconds: Option<f64>,
    /// How long old secrets sign beside a new one.
    rotation_overlap_seconds: u64,
}

impl ContractShown {
    pub(super) fn of(versions: &Versions) -> Self {
        let contract = versions.newest();
        let retry = contract.retry();
        Self {
            name: contract.name().to_owned(),
            versions: versions.iter().map(|it| it.version().to_owned()).collect(),
            signature_headers: contract.scheme().map(|it| it.headers().collect()).unwrap_or_default(),
            tolerance_seconds: contract.tolerance().as_secs(),
            timeout_seconds: contract.timeout().as_secs_f64(),
            success: [*contract.success().start(), *contract.success().end()],
            retry_seconds: (1..=MOST_DELAYS)
                .map_while(|attempt| retry.delay_after(attempt))
                .map(|delay| delay.as_secs_f64())
                .collect(),
            disables_on_gone: contract.disables_on_gone(),
            disables_after_seconds: contract.auto_disable().map(|rule| rule.after().as_secs_f64()),
            rotation_overlap_seconds: match contract.rotation() {
                Rotation::Overlap(overlap) => overlap.as_secs(),
                Rotation::Immediate => 0,
            },
        }
    }
}

/// The delivery that was made in place of another.
#[derive(Serialize)]
pub(super) struct Retried {
    pub(super) delivery_id: Option<DeliveryId>,
}

/// An item with a secret that is shown this once.
#[derive(Serialize)]
pub(super) struct WithSecret<'a, T> {
    pub(super) data: T,
    pub(super) secret: Option<&'a str>,
    pub(super) warning: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct DeliveryShown {
    id: DeliveryId,
    subscription_id: SubscriptionId,
    /// The contract under which it was made, and the version of the data that it sends.
    contract: String,
    version: String,
    event_id: EventId,
    event_type: String,
    state: &'static str,
    /// The reason why it is dead, in words.
    reason: Option<&'static str>,
    note: Option<String>,
    test: bool,
    attempts: u32,
    #[serde(serialize_with = "instant::option")]
    due_at: Option<OffsetDateTime>,
    #[serde(serialize_with = "instant::serialize")]
    created_at: OffsetDateTime,
}

impl From<Delivery> for DeliveryShown {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            subscription_id: delivery.subscription,
            contract: delivery.contract.name().to_owned(),
            version: delivery.contract.version().to_owned(),
            event_id: delivery.event,
            event_type: delivery.event_type.to_string(),
            state: delivery.state.as_str(),
            reason: match delivery.state {
                DeliveryState::Dead(reason) => Some(words(reason)),
                DeliveryState::Pending | DeliveryState::Delivered => None,
            },
            note: delivery.note,
            test: delivery.is_test,
            attempts: delivery.attempts,
            due_at: delivery.due_at,
            created_at: delivery.created_at,
        }
    }
}

#[derive(Serialize)]
pub(super) struct DeliveryWithAttempts {
    #[serde(flatten)]
    pub(super) delivery: DeliveryShown,
    pub(super) attempt_log: Vec<AttemptShown>,
}

#[derive(Serialize)]
pub(super) struct AttemptShown {
    number: u32,
    #[serde(serialize_with = "instant::serialize")]
    started_at: OffsetDateTime,
    duration_ms: f64,
    delivered: bool,
    status: Option<u16>,
    error: Option<&'static str>,
    /// Why it failed, and the same in words.
    reason: Option<&'static str>,
    explanation: Option<&'static str>,
    timings: TimingsShown,
    response_excerpt: String,
}

#[derive(Serialize)]
struct TimingsShown {
    dns_ms: Option<f64>,
    connect_ms: Option<f64>,
    tls_ms: Option<f64>,
    first_byte_ms: Option<f64>,
    total_ms: f64,
}

impl AttemptShown {
    pub(super) fn of(attempt: Attempt, contract: &Contract) -> Self {
        let timings = &attempt.timings;
        Self {
            number: attempt.number,
            started_at: attempt.started_at,
            duration_ms: millis(attempt.duration),
            delivered: contract.judge(&attempt.outcome) == Judgement::Success,
            status: attempt.status().map(|status| status.as_u16()),
            error: error(&attempt.outcome),
            reason: attempt.reason.map(FailureReason::as_str),
            explanation: attempt.reason.map(FailureReason::explanation),
            timings: TimingsShown {
                dns_ms: timings.dns.map(millis),
                connect_ms: timings.connect.map(millis),
                tls_ms: timings.tls.map(millis),
                first_byte_ms: timings.first_byte.map(millis),
                total_ms: millis(timings.total),
            },
            response_excerpt: attempt.response_excerpt,
        }
    }
}

#[derive(Serialize)]
pub(super) struct TestShown {
    pub(super) event_id: EventId,
    pub(super) event_type: String,
    pub(super) delivery_id: DeliveryId,
    pub(super) delivered: bool,
    pub(super) attempt: AttemptShown,
}

#[derive(Serialize)]
pub(super) struct Replayed {
    pub(super) replayed: u64,
}

/// An event that was emitted.
#[derive(Serialize)]
pub(super) struct EmittedShown<'a> {
    id: &'a EventId,
    deliveries: usize,
    duplicate: bool,
}

impl<'a> From<&'a Emitted> for EmittedShown<'a> {
    fn from(emitted: &'a Emitted) -> Self {
        Self { id: &emitted.id, deliveries: emitted.deliveries, duplicate: emitted.duplicate }
    }
}

#[derive(Serialize)]
pub(super) struct EventShown {
    id: EventId,
    r#type: String,
    #[serde(serialize_with = "instant::serialize")]
    created_at: OffsetDateTime,
    attributes: BTreeMap<String, Vec<String>>,
    test: bool,
    /// The envelope as it is sent. Lists do not show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Box<RawValue>>,
}

impl From<EventRecord> for EventShown {
    fn from(event: EventRecord) -> Self {
        Self {
            test: event.is_test(),
            id: event.id,
            r#type: event.event_type.to_string(),
            created_at: event.created_at,
            attributes: event.attributes,
            payload: event.payload.and_then(|payload| serde_json::from_slice(&payload).ok()),
        }
    }
}

#[derive(Serialize)]
pub(super) struct EventTypeShown {
    name: &'static str,
    description: &'static str,
    sample: Box<RawValue>,
    schema: serde_json::Value,
}

impl EventTypeShown {
    pub(super) fn of(kind: &EventKind) -> Self {
        Self {
            name: kind.name(),
            description: kind.description(),
            sample: kind.sample(),
            schema: kind.schema(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct StatisticsShown {
    #[serde(serialize_with = "instant::serialize")]
    since: OffsetDateTime,
    #[serde(serialize_with = "instant::serialize")]
    until: OffsetDateTime,
    slot_seconds: u64,
    attempts: u64,
    success_rate: Option<f64>,
    latency_ms: Option<LatencyShown>,
    outcomes: Vec<CountShown>,
    slots: Vec<SlotShown>,
    /// Whether only the newest deliveries are counted, because there were too many.
    cut: bool,
    #[serde(serialize_with = "instant::option")]
    failing_since: Option<OffsetDateTime>,
    backlog: BacklogShown,
}

#[derive(Serialize)]
struct LatencyShown {
    median: f64,
    p95: f64,
    p99: f64,
    max: f64,
}

#[derive(Serialize)]
struct CountShown {
    status: Option<u16>,
    error: Option<&'static str>,
    delivered: bool,
    attempts: u64,
}

#[derive(Serialize)]
struct SlotShown {
    #[serde(serialize_with = "instant::serialize")]
    at: OffsetDateTime,
    outcomes: Vec<CountShown>,
}

#[derive(Serialize)]
struct BacklogShown {
    pending: u64,
    or_more: bool,
    #[serde(serialize_with = "instant::option")]
    since: Option<OffsetDateTime>,
}

impl StatisticsShown {
    pub(super) fn of(statistics: Statistics, period: &Period, contract: &Contract) -> Self {
        let is_delivered = |outcome: &Outcome| contract.judge(outcome) == Judgement::Success;
        let counts = |counts: &[Count]| -> Vec<_> {
            counts
                .iter()
                .map(|count| CountShown {
                    status: count.outcome.status().map(|status| status.as_u16()),
                    error: error(&count.outcome),
                    delivered: is_delivered(&count.outcome),
                    attempts: count.attempts,
                })
                .collect()
        };
        Self {
            since: period.since,
            until: period.until,
            slot_seconds: period.slot.as_secs(),
            attempts: statistics.attempts(),
            success_rate: statistics.share(is_delivered),
            latency_ms: statistics.latency.map(|latency| LatencyShown {
                median: millis(latency.median),
                p95: millis(latency.p95),
                p99: millis(latency.p99),
                max: millis(latency.max),
            }),
            outcomes: counts(&statistics.outcomes),
            slots: statistics
                .slots
                .iter()
                .map(|slot| SlotShown { at: slot.at, outcomes: counts(&slot.outcomes) })
                .collect(),
            cut: statistics.is_cut,
            failing_since: statistics.health.failing_since(),
            backlog: BacklogShown {
                pending: statistics.backlog.pending,
                or_more: statistics.backlog.pending >= u64::from(Backlog::MOST),
                since: statistics.backlog.since,
            },
        }
    }
}

const fn words(reason: DeadReason) -> &'static str {
    match reason {
        DeadReason::Exhausted => "every attempt failed and none is left",
        DeadReason::Refused => "the endpoint's answer is final",
        DeadReason::Gone => "the endpoint said that it is gone",
        DeadReason::Expired => {
            "it waited for too long while the subscription was disabled or paused, or could not be sent"
        }
        DeadReason::Cancelled => "it was cancelled, or its subscription was deleted",
        DeadReason::Replayed => "another delivery was made in its place",
        DeadReason::Discarded => "it is not wanted any more",
    }
}

const fn error(outcome: &Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Answered { .. } => None,
        Outcome::Failed(class) => Some(class.as_str()),
    }
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1_000.0
}

const MOST_DELAYS: u32 = 100;
