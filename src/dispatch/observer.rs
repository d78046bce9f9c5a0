//! [`Observer`]: is told what happens to deliveries and endpoints, for alerts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use time::OffsetDateTime;

use crate::delivery::{Attempt, DeadReason, Next};
use crate::dispatch::attempt::Ended;
use crate::dispatch::health::Change;
use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};
use crate::subscription::DisabledReason;

/// Is told what happens to deliveries and endpoints.
///
/// Every method does nothing unless it is written. They are called on the dispatcher's own task, one at a time, after the store
/// has taken the happening down: hand slow work to somebody else. A panic costs the call and nothing more. After a crash a
/// happening may be told twice or not at all; the store has the truth.
pub trait Observer: Send + Sync {
    /// A delivery reached its endpoint.
    fn delivered(&self, happening: &Happening<'_>) {
        _ = happening;
    }

    /// An attempt failed; the delivery is tried again, or given up as told next.
    fn attempt_failed(&self, happening: &Happening<'_>) {
        _ = happening;
    }

    /// A delivery became a dead letter.
    fn given_up(&self, happening: &Happening<'_>, reason: DeadReason) {
        _ = (happening, reason);
    }

    /// An endpoint has failed for longer than one of the dispatcher's thresholds.
    fn failing(&self, subscription: SubscriptionId, since: OffsetDateTime, threshold: Duration) {
        _ = (subscription, since, threshold);
    }

    /// An endpoint that failed took a delivery again.
    fn recovered(&self, subscription: SubscriptionId, failing_since: OffsetDateTime) {
        _ = (subscription, failing_since);
    }

    /// A subscription was disabled.
    fn disabled(&self, subscription: SubscriptionId, reason: DisabledReason) {
        _ = (subscription, reason);
    }
}

/// What an [`Observer`] is told of an attempt.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Happening<'a> {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Its subscription.
    pub subscription: SubscriptionId,
    /// Its event.
    pub event: &'a EventId,
    /// The type of that event.
    pub event_type: &'a str,
    /// The attempt.
    pub attempt: &'a Attempt,
}

/// Tells what became of an attempt that is settled.
pub(super) fn observe(observer: &dyn Observer, ended: &Ended) {
    let (Some(claimed), Some(attempt)) = (&ended.claimed, &ended.settlement.attempt) else { return };
    let happening = Happening {
        delivery: claimed.delivery,
        subscription: claimed.subscription.id,
        event: &claimed.event,
        event_type: claimed.event_type.as_str(),
        attempt,
    };
    guarded(|| match ended.settlement.next {
        Next::Delivered => observer.delivered(&happening),
        Next::Retry { .. } => observer.attempt_failed(&happening),
        Next::Dead { reason } => {
            observer.attempt_failed(&happening);
            observer.given_up(&happening, reason);
        }
    });
    if let Some(reason) = ended.settlement.disable {
        guarded(|| observer.disabled(claimed.subscription.id, reason));
    }
}

/// Tells what became of an endpoint.
pub(super) fn observe_change(observer: &dyn Observer, id: SubscriptionId, change: &Change) {
    guarded(|| match *change {
        Change::Recovered { failing_since } => observer.recovered(id, failing_since),
        Change::Failing { since, threshold } => observer.failing(id, since, threshold),
        Change::Disabled => observer.disabled(id, DisabledReason::Failing),
    });
}

/// An observer is the caller's own: its panic ends the call and nothing else.
fn guarded(call: impl FnOnce()) {
    drop(catch_unwind(AssertUnwindSafe(call)));
}
