//! [`Settlement`]: the end of a lease; [`Settled`] and [`HealthWritten`]: results of writing.

use std::time::Duration;

use time::OffsetDateTime;

use crate::delivery::{Attempt, Next};
use crate::id::DeliveryId;
use crate::store::inbox::InboxKey;
use crate::store::lease::Lease;
use crate::subscription::DisabledReason;

/// The end of a lease: the attempt that was made, and the next state of the row.
///
/// `Settlement` alone is a delivery's, with its id as key and a [`DeliveryAttempt`]. A stored request has
/// `Settlement<InboxKey, RequestAttempt>`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Settlement<K = DeliveryId, A = DeliveryAttempt> {
    /// The row's key: the id of the delivery, or the key of the request.
    pub key: K,
    /// The lease that ends.
    pub lease: Lease,
    /// The attempt; `None` hands the row back untried, and the lease does not count as an attempt. A delivery
    /// that is handed back with a delay is kept back by a fault on this side, from then until an attempt.
    pub attempt: Option<A>,
    /// The next state of the row.
    pub next: Next,
    /// How much of the time before `now`, and until a row that is handed back is due, does not count towards
    /// the retry policy's total time. It is added to the row's `first_attempt_at`, once it has one.
    pub late: Duration,
    /// The caller's time: delays count from it.
    pub now: OffsetDateTime,
}

impl<K, A> Settlement<K, A> {
    /// Hands a row back untried, due again at once.
    pub const fn hand_back(key: K, lease: Lease, now: OffsetDateTime) -> Self {
        Self { key, lease, attempt: None, next: Next::retry(Duration::ZERO), late: Duration::ZERO, now }
    }

    /// Sets how much time does not count towards the retry policy's total time.
    pub const fn with_late(mut self, late: Duration) -> Self {
        self.late = late;
        self
    }

    /// Sets how long after `now` a row that is handed back is due, if there was no attempt.
    pub const fn with_delay(mut self, after: Duration) -> Self {
        if self.attempt.is_none() {
            self.next = Next::retry(after);
        }
        self
    }
}

impl Settlement {
    /// Makes the settlement of an attempt at a delivery that ended at `now`.
    pub const fn new(
        key: DeliveryId,
        lease: Lease,
        attempt: Attempt,
        next: Next,
        now: OffsetDateTime,
    ) -> Self {
        let attempt = DeliveryAttempt { log: attempt, disable: None, pause: None };
        Self { key, lease, attempt: Some(attempt), next, late: Duration::ZERO, now }
    }

    /// Sets for how long nothing more is claimed of the delivery's subscription, if there was an attempt.
    pub const fn with_pause(mut self, pause: Duration) -> Self {
        if let Some(attempt) = &mut self.attempt {
            attempt.pause = Some(pause);
        }
        self
    }

    /// Sets that the delivery's subscription is disabled, and why, if there was an attempt.
    pub const fn with_disable(mut self, reason: DisabledReason) -> Self {
        if let Some(attempt) = &mut self.attempt {
            attempt.disable = Some(reason);
        }
        self
    }

    /// The attempt as it is logged; `None` where the delivery is handed back untried.
    pub fn log(&self) -> Option<&Attempt> {
        self.attempt.as_ref().map(|attempt| &attempt.log)
    }

    /// For how long nothing more is claimed of the delivery's subscription; see [`DeliveryAttempt::pause`].
    pub fn pause(&self) -> Option<Duration> {
        self.attempt.as_ref()?.pause
    }

    /// Whether it hands the delivery back with a delay.
    pub(in crate::store) fn keeps_back(&self) -> bool {
        let has_delay = matches!(self.next, Next::Retry { after } if !after.is_zero());
        self.attempt.is_none() && has_delay
    }

    /// Why the same step disables the delivery's subscription, if it does.
    pub fn disable(&self) -> Option<DisabledReason> {
        self.attempt.as_ref()?.disable
    }
}

impl Settlement<InboxKey, RequestAttempt> {
    /// Makes the settlement of a request that was handled at `now`.
    pub const fn handled(key: InboxKey, lease: Lease, now: OffsetDateTime) -> Self {
        let attempt = Some(RequestAttempt { failure: None });
        Self { key, lease, attempt, next: Next::Done, late: Duration::ZERO, now }
    }

    /// Makes the settlement of an attempt at a request that failed at `now`, and why.
    pub fn failed(
        key: InboxKey,
        lease: Lease,
        failure: impl Into<String>,
        next: Next,
        now: OffsetDateTime,
    ) -> Self {
        let attempt = RequestAttempt { failure: Some(failure.into()) };
        Self { key, lease, attempt: Some(attempt), next, late: Duration::ZERO, now }
    }

    /// Why the attempt failed, for people to read; `None` where it did not, and where none was made.
    pub fn failure(&self) -> Option<&str> {
        self.attempt.as_ref()?.failure.as_deref()
    }
}

/// An attempt at a delivery, and its effects on the delivery's subscription.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeliveryAttempt {
    /// The attempt as it is logged.
    pub log: Attempt,
    /// Why the same step disables the delivery's subscription, if it does.
    pub disable: Option<DisabledReason>,
    /// For how long after the settlement nothing more is claimed of the delivery's subscription. A pause that
    /// ends later stays. Leases are not touched by it.
    pub pause: Option<Duration>,
}

/// An attempt at handling a stored request.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RequestAttempt {
    /// Why it failed, for people to read; `None` when the request was handled.
    pub failure: Option<String>,
}

/// The result of settling or extending one lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Settled {
    /// It was written.
    Done,
    /// The lease is not the row's last, or was used up: nothing was changed.
    Stale,
}

/// The result of [`Store::put_health`](crate::Store::put_health).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum HealthWritten {
    /// Another call wrote it since, or the subscription is gone: nothing was changed.
    Stale,
    /// The health was written, and the subscription's status is as it was.
    Done,
    /// The health was written, and the subscription, which was enabled, is disabled.
    Disabled,
}
