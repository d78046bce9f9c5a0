//! Spans and numbers of the dispatcher, for features `tracing` and `metrics`. Without them every function here is empty.
//!
//! Spans (`tracing`): `attempt` with `delivery`, `subscription`, `event` and `attempt`; events at its end with `outcome`, and a
//! warning for a dead letter, for a disabled endpoint and for a store that cannot be reached.
//!
//! Numbers (`metrics`):
//!
//! | name | kind | labels |
//! |---|---|---|
//! | `hookwire_attempts_total` | counter | `outcome`: `delivered`, `retry`, `dead` |
//! | `hookwire_attempt_failures_total` | counter | `class`: the status code, or the class of fault |
//! | `hookwire_attempt_duration_seconds` | histogram | |
//! | `hookwire_stale_settlements_total` | counter | |
//! | `hookwire_store_errors_total` | counter | `call` |
//! | `hookwire_in_flight` | gauge | |
//! | `hookwire_pruned_rows_total` | counter | |
//!
//! No label has a value that a peer chooses or that grows with the number of subscriptions.

use crate::delivery::{Attempt, Next};
use crate::dispatch::attempt::Ended;
use crate::store::{Claimed, Settled, StoreError};

#[cfg(feature = "tracing")]
pub(super) fn in_span<F: Future>(claimed: &Claimed, future: F) -> impl Future<Output = F::Output> + use<F> {
    use tracing::Instrument as _;

    future.instrument(tracing::info_span!(
        "attempt",
        delivery = %claimed.delivery,
        subscription = %claimed.subscription.id,
        event = %claimed.event,
        attempt = claimed.attempt,
    ))
}

#[cfg(not(feature = "tracing"))]
pub(super) fn in_span<F: Future>(_: &Claimed, future: F) -> F {
    future
}

/// An attempt ended; called within its span.
pub(super) fn attempted(attempt: &Attempt, next: &Next) {
    let outcome = match next {
        Next::Delivered => "delivered",
        Next::Retry { .. } => "retry",
        Next::Dead { .. } => "dead",
    };
    #[cfg(feature = "tracing")]
    match next {
        Next::Dead { reason } => {
            tracing::warn!(outcome, ?reason, result = class(attempt), "delivery given up")
        }
        _ => tracing::debug!(outcome, result = class(attempt), duration = ?attempt.duration, "attempt ended"),
    }
    #[cfg(feature = "metrics")]
    {
        // With the labels in the program's text nothing is made for a recorder that nobody installed.
        match next {
            Next::Delivered => metrics::counter!("hookwire_attempts_total", "outcome" => "delivered"),
            Next::Retry { .. } => metrics::counter!("hookwire_attempts_total", "outcome" => "retry"),
            Next::Dead { .. } => metrics::counter!("hookwire_attempts_total", "outcome" => "dead"),
        }
        .increment(1);
        metrics::histogram!("hookwire_attempt_duration_seconds").record(attempt.duration.as_secs_f64());
        if *next != Next::Delivered {
            metrics::counter!("hookwire_attempt_failures_total", "class" => class(attempt)).increment(1);
        }
    }
    _ = (attempt, outcome);
}

/// A batch was settled.
pub(super) fn settled(ended: &[Ended], settled: &[Settled]) {
    let stale = settled.iter().filter(|settled| **settled == Settled::Stale).count();
    #[cfg(feature = "tracing")]
    for (ended, settled) in ended.iter().zip(settled) {
        if *settled == Settled::Stale {
            tracing::info!(delivery = %ended.settlement.delivery, "lease had ended, nothing was written");
        }
        if let Some(reason) = ended.settlement.disable.filter(|_| *settled == Settled::Done) {
            tracing::warn!(delivery = %ended.settlement.delivery, reason = reason.as_str(), "subscription disabled");
        }
    }
    #[cfg(feature = "metrics")]
    metrics::counter!("hookwire_stale_settlements_total").increment(stale as u64);
    _ = (ended, stale);
}

/// A call of the store failed.
pub(super) fn store_failed(call: &'static str, error: &StoreError) {
    #[cfg(feature = "tracing")]
    tracing::warn!(call, %error, cause = std::error::Error::source(error).map(tracing::field::display), "store failed");
    #[cfg(feature = "metrics")]
    metrics::counter!("hookwire_store_errors_total", "call" => call).increment(1);
    _ = (call, error);
}

/// A batch of what retention no longer wants was deleted.
pub(super) fn pruned(rows: u64) {
    #[cfg(feature = "tracing")]
    tracing::debug!(rows, "pruned");
    #[cfg(feature = "metrics")]
    metrics::counter!("hookwire_pruned_rows_total").increment(rows);
    _ = rows;
}

/// How many attempts are under way.
pub(super) fn in_flight(attempts: usize) {
    #[cfg(feature = "metrics")]
    metrics::gauge!("hookwire_in_flight").set(attempts as f64);
    _ = attempts;
}

#[cfg(any(feature = "tracing", feature = "metrics"))]
fn class(attempt: &Attempt) -> String {
    use crate::outcome::Outcome;

    match attempt.outcome {
        Outcome::Answered { status, .. } => status.as_str().to_owned(),
        Outcome::Failed(class) => class.as_str().to_owned(),
    }
}
