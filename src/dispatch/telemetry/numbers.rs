//! The dispatcher's numbers.
#![cfg(feature = "metrics")]

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use super::class::class;
use crate::delivery::{Attempt, Next};
use crate::dispatch::fault::{FaultEvent, FaultKind, FaultScope};
use crate::outcome::ErrorClass;
use crate::store::Settled;

/// Describes every number, and has each counter begin at zero: an alert on its increase would miss the first
/// event otherwise.
pub(in crate::dispatch) fn begin() {
    describe_counters();
    describe_gauges_and_histograms();
    for outcome in ["delivered", "retry", "dead"] {
        counter!("hookwire_attempts_total", "outcome" => outcome).increment(0);
    }
    for class in ErrorClass::ALL {
        counter!("hookwire_attempt_failures_total", "class" => class.as_str()).increment(0);
    }
    for (scope, kind) in FaultKind::ALL.iter().flat_map(|kind| kind.scopes().iter().map(move |s| (s, kind))) {
        faults(*scope, *kind).increment(0);
    }
    for call in CALLS {
        counter!("hookwire_store_errors_total", "call" => *call).increment(0);
    }
    for name in [STALE, PRUNED, EXPIRED, UNREADABLE] {
        counter!(name).increment(0);
    }
    for name in [IN_FLIGHT, KEYLESS, LIMITED] {
        gauge!(name).set(0.0);
    }
}

fn describe_counters() {
    describe_counter!("hookwire_attempts_total", "Attempts, by what became of the delivery.");
    describe_counter!(
        "hookwire_attempt_failures_total",
        "Attempts that did not deliver, by the status code or the class of failure."
    );
    describe_counter!("hookwire_own_faults_total", "Faults on this side, by their scope and kind.");
    describe_counter!("hookwire_store_errors_total", "Calls of the store that failed.");
    describe_counter!(STALE, "Attempts that were not written, because their leases had ended.");
    describe_counter!(PRUNED, "Old rows that retention deleted.");
    describe_counter!(EXPIRED, "Deliveries that waited for too long.");
    describe_counter!(UNREADABLE, "How often an emit met a subscription that cannot be read.");
}

fn describe_gauges_and_histograms() {
    describe_gauge!(IN_FLIGHT, "Attempts under way.");
    describe_gauge!(KEYLESS, "Subscriptions whose secrets this process cannot open.");
    describe_gauge!(
        LIMITED,
        "Subscriptions whose endpoints give no answer, which share a part of the attempts."
    );
    describe_gauge!(OLDEST_DUE, Unit::Seconds, "For how long the oldest due delivery has been due.");
    describe_histogram!(DURATION, Unit::Seconds, "How long attempts took.");
    describe_histogram!(
        LATENESS,
        Unit::Seconds,
        "How long deliveries had been due when their attempts began."
    );
    describe_histogram!(
        TO_DELIVERED,
        Unit::Seconds,
        "From the emit of an event, or its replay, to its delivery."
    );
}

pub(super) fn attempted(attempt: &Attempt, next: &Next) {
    // Labels that are literals cost nothing where no recorder is installed.
    match next {
        Next::Done => counter!("hookwire_attempts_total", "outcome" => "delivered"),
        Next::Retry { .. } => counter!("hookwire_attempts_total", "outcome" => "retry"),
        Next::Dead { .. } => counter!("hookwire_attempts_total", "outcome" => "dead"),
    }
    .increment(1);
    histogram!(DURATION).record(attempt.duration.as_secs_f64());
    if *next != Next::Done {
        counter!("hookwire_attempt_failures_total", "class" => class(attempt)).increment(1);
    }
}

/// Reports how long a delivery had been due when its attempt began.
pub(in crate::dispatch) fn late(late: Duration) {
    histogram!(LATENESS).record(late.as_secs_f64());
}

/// Reports how long an event took from its emit to its endpoint.
pub(super) fn delivered(after: Duration) {
    histogram!(TO_DELIVERED).record(after.as_secs_f64());
}

pub(super) fn settled(settled: &[Settled]) {
    let stale = settled.iter().filter(|settled| **settled == Settled::Stale).count();
    counter!(STALE).increment(stale as u64);
}

pub(super) fn store_failed(call: &'static str) {
    counter!("hookwire_store_errors_total", "call" => call).increment(1);
    faults(FaultScope::Process, FaultKind::Store).increment(1);
}

pub(super) fn own_fault(fault: &FaultEvent<'_>) {
    faults(fault.scope, fault.kind).increment(1);
}

fn faults(scope: FaultScope, kind: FaultKind) -> metrics::Counter {
    counter!("hookwire_own_faults_total", "scope" => scope.as_str(), "kind" => kind.as_str())
}

pub(super) fn keyless(subscriptions: usize) {
    gauge!(KEYLESS).set(subscriptions as f64);
}

/// Reports for how long the oldest due delivery of a contract has been due.
pub(in crate::dispatch) fn oldest_due(contract: &str, age: Duration) {
    gauge!(OLDEST_DUE, "contract" => contract.to_owned()).set(age.as_secs_f64());
}

pub(super) fn subscription_unread() {
    counter!(UNREADABLE).increment(1);
}

pub(super) fn expired(deliveries: u64) {
    counter!(EXPIRED).increment(deliveries);
}

pub(super) fn pruned(rows: u64) {
    counter!(PRUNED).increment(rows);
}

/// Reports how many subscriptions have endpoints that give no answer.
pub(in crate::dispatch) fn limited(subscriptions: usize) {
    gauge!(LIMITED).set(subscriptions as f64);
}

/// Reports how many attempts are in flight.
pub(in crate::dispatch) fn in_flight(attempts: usize) {
    gauge!(IN_FLIGHT).set(attempts as f64);
}

const CALLS: &[&str] =
    &["look", "claim", "extend", "settle", "hand back", "put_health", "prune", "notify", "listen", "expire"];
const STALE: &str = "hookwire_stale_settlements_total";
const PRUNED: &str = "hookwire_pruned_rows_total";
const EXPIRED: &str = "hookwire_expired_deliveries_total";
const UNREADABLE: &str = "hookwire_unreadable_subscriptions_total";
const IN_FLIGHT: &str = "hookwire_in_flight";
const KEYLESS: &str = "hookwire_subscriptions_without_key";
const LIMITED: &str = "hookwire_endpoints_limited";
const OLDEST_DUE: &str = "hookwire_oldest_due_seconds";
const DURATION: &str = "hookwire_attempt_duration_seconds";
const LATENESS: &str = "hookwire_lateness_seconds";
const TO_DELIVERED: &str = "hookwire_emit_to_delivered_seconds";
