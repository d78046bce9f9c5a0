//! The parts of a [`Contract`](crate::Contract) that are types of their own.

use std::time::Duration;

/// The meaning of an attempt's outcome for its delivery.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Judgement {
    /// Delivered.
    Success,
    /// Failed, and tried again if the policy has an attempt left.
    Retry,
    /// Failed for good: another attempt would meet the same answer.
    Final,
    /// The endpoint said that it is gone: the delivery and its subscription end.
    Gone,
}

/// Which failures a contract tries again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Retryable {
    /// Everything that is not a success.
    AnyFailure,
    /// Network faults, time-outs among them, and 5xx; every other answer is final.
    FaultsAndServerErrors,
}

/// How long an old secret signs after a new one was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Rotation {
    /// The new secret replaces the old one at once.
    Immediate,
    /// Both sign for this long.
    Overlap(Duration),
}

/// When a subscription that keeps failing is disabled.
///
/// A run of failures counts once it has at least `failures` failed attempts, with at least `spread` between
/// the first and the last of them inside `window`; when it then lasts for `after` without one success, the
/// subscription is disabled. One success clears it.
///
/// ```
/// use std::time::Duration;
/// use hookwire::contract::AutoDisable;
///
/// const HOUR: Duration = Duration::from_secs(3600);
/// let rule = AutoDisable::failing_for(HOUR * 120).with_trigger(3, HOUR * 12, HOUR * 24);
/// assert_eq!(rule.after(), HOUR * 120);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AutoDisable {
    after: Duration,
    failures: u32,
    spread: Duration,
    window: Duration,
}

impl AutoDisable {
    /// Disables after this long of nothing but failures, from the first one on.
    pub const fn failing_for(after: Duration) -> Self {
        Self { after, failures: 1, spread: Duration::ZERO, window: Duration::MAX }
    }

    /// Sets that the timer starts only with `failures` failed attempts, spread over at least `spread` inside
    /// `window`.
    pub fn with_trigger(mut self, failures: u32, spread: Duration, window: Duration) -> Self {
        self.failures = failures;
        self.spread = spread;
        self.window = window;
        self
    }

    /// How long failures last before the subscription is disabled, counted from when the timer started.
    pub fn after(&self) -> Duration {
        self.after
    }

    /// How many failed attempts start the timer.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// How far apart the first and the last of them are at least.
    pub fn spread(&self) -> Duration {
        self.spread
    }

    /// The window that they fall in.
    pub fn window(&self) -> Duration {
        self.window
    }
}

/// The place of the ordering key in the data of some event types.
///
/// ```
/// use hookwire::contract::OrderingRule;
/// use hookwire::Contract;
///
/// const BY_ORDER: &[OrderingRule] = &[OrderingRule::new("order.", &["/order_id"])];
/// let contract = Contract::standard_webhooks().with_ordering(BY_ORDER);
/// # assert_eq!(contract.ordering(), BY_ORDER);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OrderingRule {
    prefix: &'static str,
    pointers: &'static [&'static str],
}

impl OrderingRule {
    /// For event types whose name begins with `prefix`, takes the first of these JSON pointers (RFC 6901)
    /// that finds text or a number in the data. A contract follows the first of its rules whose prefix fits.
    pub const fn new(prefix: &'static str, pointers: &'static [&'static str]) -> Self {
        Self { prefix, pointers }
    }

    /// How the names of the event types begin.
    pub const fn prefix(&self) -> &'static str {
        self.prefix
    }

    /// The JSON pointers, in the order they are tried.
    pub const fn pointers(&self) -> &'static [&'static str] {
        self.pointers
    }
}
