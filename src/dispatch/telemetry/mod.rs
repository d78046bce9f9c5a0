//! Spans and numbers of the dispatcher, for the features `tracing` and `metrics`.
//!
//! Spans (`tracing`): `attempt` with `delivery`, `subscription`, `event`, `attempt`, and, for an event with a
//! trace, `trace_id` and `span_id`. It ends with an event
//! that has the `outcome`. A dead letter, a disabled endpoint and a store that cannot be reached are
//! warnings.
//!
//! Numbers (`metrics`):
//!
//! | name | kind | labels |
//! |---|---|---|
//! | `hookwire_attempts_total` | counter | `outcome`: `delivered`, `retry`, `dead` |
//! | `hookwire_attempt_failures_total` | counter | `class`: the status code, `other_status` above 599, or the class of failure |
//! | `hookwire_attempt_duration_seconds` | histogram | |
//! | `hookwire_lateness_seconds` | histogram | how long deliveries had been due when their attempts began |
//! | `hookwire_emit_to_delivered_seconds` | histogram | from the emit or the replay of an event to its delivery |
//! | `hookwire_oldest_due_seconds` | gauge | `contract`: the name of one that this dispatcher sends |
//! | `hookwire_own_faults_total` | counter | `scope` and `kind`: see [`FaultScope`](crate::dispatch::FaultScope) and [`FaultKind`](crate::dispatch::FaultKind) |
//! | `hookwire_subscriptions_without_key` | gauge | subscriptions whose secrets this process cannot open |
//! | `hookwire_endpoints_limited` | gauge | subscriptions whose endpoints give no answer |
//! | `hookwire_stale_settlements_total` | counter | |
//! | `hookwire_store_errors_total` | counter | `call` |
//! | `hookwire_unreadable_subscriptions_total` | counter | how often an emit met one |
//! | `hookwire_in_flight` | gauge | |
//! | `hookwire_pruned_rows_total` | counter | |
//! | `hookwire_expired_deliveries_total` | counter | |
//!
//! No label has a value that a peer chooses freely, or one for each subscription. Each number has a
//! description, and each counter is there from the start of
//! [`Dispatcher::run`](crate::dispatch::Dispatcher::run).

mod class;
// Without its feature, each of the two is a file of the same functions that do nothing.
#[cfg_attr(not(feature = "metrics"), path = "no_numbers.rs")]
mod numbers;
#[cfg_attr(not(feature = "tracing"), path = "no_spans.rs")]
mod spans;

pub(super) use numbers::{begin, in_flight, late, limited, oldest_due};
pub(super) use spans::{in_span, outage_began, outage_ended};

use std::time::Duration;

use time::OffsetDateTime;

use crate::delivery::{Attempt, Next};
use crate::dispatch::fault::FaultEvent;
use crate::dispatch::finished::Finished;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::{Settled, StoreError};

/// Reports the end of an attempt, within its span.
pub(super) fn attempted(attempt: &Attempt, next: &Next) {
    spans::attempted(attempt, next);
    numbers::attempted(attempt, next);
}

/// Reports a batch of settlements.
pub(super) fn settled(finished: &[Finished], settled: &[Settled]) {
    spans::settled(finished, settled);
    numbers::settled(settled);
    for (finished, settled) in finished.iter().zip(settled) {
        if let (Next::Done, Settled::Done) = (&finished.settlement.next, settled) {
            numbers::delivered(age(finished.settlement.key, finished.settlement.now));
        }
    }
}

/// Reports a fault on this side that a delivery met.
pub(super) fn own_fault(fault: &FaultEvent<'_>) {
    spans::own_fault(fault);
    numbers::own_fault(fault);
}

/// Reports how many subscriptions have secrets that do not open, before and now.
pub(super) fn keyless(before: usize, now: usize) {
    spans::keyless(before, now);
    numbers::keyless(now);
}

/// The time since a delivery was made, which its id tells to the millisecond.
fn age(delivery: DeliveryId, now: OffsetDateTime) -> Duration {
    let made_at = i128::try_from(delivery.as_u128() >> 80).unwrap_or(i128::MAX);
    let age = now.unix_timestamp_nanos() / 1_000_000 - made_at;
    Duration::from_millis(u64::try_from(age).unwrap_or(0))
}

/// Reports a call of the store that failed.
pub(super) fn store_failed(call: &'static str, error: &StoreError) {
    spans::store_failed(call, error);
    numbers::store_failed(call);
}

/// Reports a subscription whose row cannot be read.
pub(super) fn subscription_unread(id: SubscriptionId, error: &StoreError) {
    spans::subscription_unread(id, error);
    numbers::subscription_unread();
}

/// Reports a batch of deliveries that had waited for too long.
pub(super) fn expired(deliveries: u64) {
    spans::expired(deliveries);
    numbers::expired(deliveries);
}

/// Reports a batch of old rows that were deleted.
pub(super) fn pruned(rows: u64) {
    spans::pruned(rows);
    numbers::pruned(rows);
}
