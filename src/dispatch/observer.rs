//! [`Observer`]: hears what happens to deliveries and endpoints, for alerts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use time::OffsetDateTime;

use crate::delivery::{Attempt, DeadReason, Next};
use crate::dispatch::fault::FaultEvent;
use crate::dispatch::finished::Finished;
use crate::dispatch::health::Change;
use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};
use crate::subscription::DisabledReason;

/// Hears what happens to deliveries and endpoints, for alerts and logs.
///
/// Each method does nothing by default. The dispatcher calls them on its own task, one at a time, after the
/// store has written what happened, so hand slow work to another task. A panic ends the call and nothing
/// else.
///
/// After a crash, a call may be made twice or not at all. If the store's answer to a settlement is lost, the
/// settlement is repeated, and its calls are made at least once, even if the lease had ended and another
/// dispatcher attempts the delivery again. The store has the truth.
pub trait Observer: Send + Sync {
    /// A delivery reached its endpoint.
    fn delivered(&self, event: &AttemptEvent<'_>) {
        _ = event;
    }

    /// An attempt failed. The delivery is tried again, unless a call of [`given_up`](Self::given_up) follows.
    fn attempt_failed(&self, event: &AttemptEvent<'_>) {
        _ = event;
    }

    /// A delivery became a dead letter.
    fn given_up(&self, event: &AttemptEvent<'_>, reason: DeadReason) {
        _ = (event, reason);
    }

    /// An endpoint has failed for longer than one of the dispatcher's
    /// [thresholds](crate::dispatch::Dispatcher::with_failing_thresholds).
    fn failing(&self, subscription: SubscriptionId, since: OffsetDateTime, threshold: Duration) {
        _ = (subscription, since, threshold);
    }

    /// An endpoint that had failed since `failing_since` took a delivery again.
    fn recovered(&self, subscription: SubscriptionId, failing_since: OffsetDateTime) {
        _ = (subscription, failing_since);
    }

    /// A fault on this side kept a delivery back, or cost it an attempt: a key that does not open, a row that
    /// cannot be read, no descriptor left.
    fn own_fault(&self, fault: &FaultEvent<'_>) {
        _ = fault;
    }

    /// A subscription was disabled.
    fn disabled(&self, subscription: SubscriptionId, reason: DisabledReason) {
        _ = (subscription, reason);
    }

    /// The dispatcher asked the store for what is due: the oldest due delivery of the contract called
    /// `contract` has waited for `age`. It is called for each contract of the dispatcher, with zero where
    /// nothing is due.
    ///
    /// A dispatcher says nothing of contracts that it does not have:
    /// [`Records::backlog_by_contract`](crate::Records::backlog_by_contract) does.
    fn oldest_due(&self, contract: &str, age: Duration) {
        _ = (contract, age);
    }
}

/// An attempt that has ended, as an [`Observer`] hears of it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AttemptEvent<'a> {
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

/// Tells the observer about an attempt that is settled.
pub(super) fn observe(observer: &dyn Observer, ended: &Finished) {
    if let Some(fault) = ended.fault_event() {
        guarded(|| observer.own_fault(&fault));
    }
    let (Some(claimed), Some(attempt)) = (&ended.claimed, ended.settlement.log()) else { return };
    let event = AttemptEvent {
        delivery: claimed.delivery,
        subscription: claimed.subscription.id,
        event: &claimed.event,
        event_type: claimed.event_type.as_str(),
        attempt,
    };
    guarded(|| match ended.settlement.next {
        Next::Done => observer.delivered(&event),
        Next::Retry { .. } => observer.attempt_failed(&event),
        Next::Dead { reason } => {
            observer.attempt_failed(&event);
            observer.given_up(&event, reason);
        }
    });
    if let Some(reason) = ended.settlement.disable() {
        guarded(|| observer.disabled(claimed.subscription.id, reason));
    }
}

/// Tells the observer about a change of an endpoint's health.
pub(super) fn observe_change(observer: &dyn Observer, id: SubscriptionId, change: &Change) {
    guarded(|| match *change {
        Change::Recovered { failing_since } => observer.recovered(id, failing_since),
        Change::Failing { since, threshold } => observer.failing(id, since, threshold),
        Change::Disabled => observer.disabled(id, DisabledReason::Failing),
    });
}

/// Tells the observer about the age of a contract's oldest due delivery.
pub(super) fn observe_age(observer: &dyn Observer, contract: &str, age: Duration) {
    guarded(|| observer.oldest_due(contract, age));
}

/// The observer is the caller's own code, so a panic ends the call and nothing else.
fn guarded(call: impl FnOnce()) {
    drop(catch_unwind(AssertUnwindSafe(call)));
}
