//! The dispatcher's spans and events.
#![cfg(feature = "tracing")]

use std::error::Error as _;

use tracing::{Instrument as _, Span, debug, error, field, info, info_span, warn};

use super::class::class;
use crate::delivery::{Attempt, Next};
use crate::dispatch::fault::{FaultEvent, FaultKind, FaultScope};
use crate::dispatch::finished::Finished;
use crate::event::TraceParent;
use crate::id::SubscriptionId;
use crate::outcome::FailureReason;
use crate::store::{Leased, Settled, StoreError};

/// Puts an attempt into its span.
pub(in crate::dispatch) fn in_span<F: Future>(
    claimed: &Leased,
    trace: Option<TraceParent>,
    future: F,
) -> impl Future<Output = F::Output> + use<F> {
    let span = info_span!(
        "attempt",
        delivery = %claimed.delivery,
        subscription = %claimed.subscription.id,
        event = %claimed.event,
        attempt = claimed.attempt,
        trace_id = field::Empty,
        span_id = field::Empty,
        status = field::Empty,
        reason = field::Empty,
    );
    if let Some(trace) = trace.filter(|_| !span.is_disabled()) {
        span.record("trace_id", format_args!("{:032x}", u128::from_be_bytes(trace.trace_id())));
        span.record("span_id", format_args!("{:016x}", u64::from_be_bytes(trace.parent_id())));
    }
    future.instrument(span)
}

pub(super) fn attempted(attempt: &Attempt, next: &Next) {
    let failure = attempt.reason.map(FailureReason::as_str);
    let span = Span::current();
    // A delivery that cannot be read has no span of its own.
    if span.metadata().is_some_and(|metadata| metadata.name() == "attempt") {
        if let Some(status) = attempt.status() {
            span.record("status", status.as_u16());
        }
        if let Some(reason) = failure {
            span.record("reason", reason);
        }
    }
    let outcome = match next {
        Next::Done => "delivered",
        Next::Retry { .. } => "retry",
        Next::Dead { reason } => {
            return warn!(outcome = "dead", ?reason, result = class(attempt), failure, "delivery given up");
        }
    };
    debug!(outcome, result = class(attempt), failure, duration = ?attempt.duration, "attempt ended");
}

pub(super) fn settled(finished: &[Finished], settled: &[Settled]) {
    for (finished, settled) in finished.iter().zip(settled) {
        let delivery = finished.settlement.key;
        match (settled, finished.settlement.disable()) {
            (Settled::Stale, _) => info!(%delivery, "lease had ended, nothing was written"),
            (Settled::Done, Some(reason)) => {
                warn!(%delivery, reason = reason.as_str(), "subscription disabled");
            }
            (Settled::Done, None) => {}
        }
    }
}

pub(super) fn store_failed(call: &'static str, error: &StoreError) {
    warn!(call, %error, cause = error.source().map(field::display), "store failed");
}

pub(super) fn own_fault(fault: &FaultEvent<'_>) {
    let FaultEvent { delivery, reason, due_in, .. } = fault;
    let (scope, kind) = (fault.scope.as_str(), fault.kind.as_str());
    match fault.scope {
        // The outage itself is told once.
        FaultScope::Process => debug!(%delivery, scope, kind, reason, ?due_in, "fault on this side"),
        _ => warn!(%delivery, scope, kind, reason, ?due_in, "fault on this side"),
    }
}

pub(super) fn keyless(before: usize, now: usize) {
    match (before, now) {
        (0, _) => error!("a subscription's secret does not open, expected its key in the key ring"),
        (_, 0) => info!("every secret that was tried opens again"),
        _ => {}
    }
}

/// Reports a fault that slows down all sending.
pub(in crate::dispatch) fn outage_began(kind: FaultKind) {
    error!(kind = kind.as_str(), "sending slows down for a fault of this process");
}

/// Reports that sending goes on at full speed.
pub(in crate::dispatch) fn outage_ended(kind: FaultKind) {
    info!(kind = kind.as_str(), "sending goes on at full speed");
}

pub(super) fn subscription_unread(id: SubscriptionId, error: &StoreError) {
    debug!(subscription = %id, cause = error.source().map(field::display), "subscription cannot be read");
}

pub(super) fn expired(deliveries: u64) {
    warn!(deliveries, "deliveries waited for too long and expired");
}

pub(super) fn pruned(rows: u64) {
    debug!(rows, "pruned");
}
