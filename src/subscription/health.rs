//! [`Health`]: the failures of an endpoint, as far as the contract's rule for disabling it needs them.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::contract::AutoDisable;
use crate::error::{Error, ErrorKind};

/// The failures of an endpoint: since when it fails, and since when the contract's timer runs.
///
/// The store keeps it, so a restart does not reset it. Its size is bounded, however long the failures last.
///
/// ```
/// use std::time::Duration;
/// use hookwire::contract::AutoDisable;
/// use hookwire::subscription::Health;
/// use time::macros::datetime;
///
/// let rule = AutoDisable::failing_for(Duration::from_secs(5 * 86_400));
/// let monday = datetime!(2026-04-13 12:00 UTC);
/// let failing = Health::default().failed(monday, Some(&rule));
/// assert!(!failing.is_hopeless(&rule, monday + time::Duration::days(4)));
/// assert!(failing.is_hopeless(&rule, monday + time::Duration::days(5)));
/// assert_eq!(failing.succeeded(), Health::default());
/// ```
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Health {
    /// The time of the first failure since the last success.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "time::serde::timestamp::microseconds::option"
    )]
    failing_since: Option<OffsetDateTime>,
    /// The time of the last failure.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "time::serde::timestamp::microseconds::option"
    )]
    last_failure_at: Option<OffsetDateTime>,
    /// The number of failures since the last success.
    #[serde(default, skip_serializing_if = "is_zero")]
    failures: u32,
    /// The time when the contract's timer was started.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "time::serde::timestamp::microseconds::option"
    )]
    timer_since: Option<OffsetDateTime>,
    /// Failures before the timer started, as few as decide whether the rule's trigger is met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recent: Vec<Failures>,
}

impl Health {
    /// The time of the first failure since the last success; `None` for a healthy endpoint.
    pub fn failing_since(&self) -> Option<OffsetDateTime> {
        self.failing_since
    }

    /// The time of the last failure; `None` for a healthy endpoint.
    pub fn last_failure_at(&self) -> Option<OffsetDateTime> {
        self.last_failure_at
    }

    /// The number of attempts that failed since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns the health after a successful attempt: a healthy endpoint.
    #[must_use]
    pub fn succeeded(&self) -> Self {
        Self::default()
    }

    /// Returns the health after an attempt that failed at `at`, under the contract's rule.
    ///
    /// Do not call it for a fault on this side, which tells nothing about the endpoint. A time earlier than
    /// that of a failure before means that the clock was set back: earlier failures then count as if they
    /// happened at `at`, in the endpoint's favour.
    #[must_use]
    pub fn failed(&self, at: OffsetDateTime, rule: Option<&AutoDisable>) -> Self {
        let at = to_micros(at);
        let mut health = self.clone();
        health.failing_since = Some(health.failing_since.map_or(at, |since| since.min(at)));
        health.last_failure_at = Some(at);
        health.failures = health.failures.saturating_add(1);
        health.timer_since = health.timer_since.map(|since| since.min(at));
        if let (Some(rule), None) = (rule, health.timer_since) {
            health.note(at, rule);
            if health.triggers(at, rule) {
                health.timer_since = Some(at);
                health.recent.clear();
            }
        }
        health
    }

    /// Whether the endpoint has failed for as long as the rule allows. Ask after a failure.
    pub fn is_hopeless(&self, rule: &AutoDisable, now: OffsetDateTime) -> bool {
        self.timer_since.is_some_and(|since| now - since >= signed(rule.after()))
    }

    /// Writes a text for stores that [`from_storage`](Self::from_storage) reads back: the same text for equal
    /// values, and an empty one for a healthy endpoint.
    #[doc(hidden)]
    pub fn to_storage(&self) -> String {
        if *self == Self::default() {
            return String::new();
        }
        serde_json::to_string(self).expect("invariant: numbers can be written as JSON")
    }

    /// Reads the text that [`to_storage`](Self::to_storage) wrote.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`] for any other text.
    #[doc(hidden)]
    pub fn from_storage(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_str(text).map_err(|error| {
            Error::new(ErrorKind::Subscription, "stored health cannot be read").with_source(error)
        })
    }

    fn note(&mut self, at: OffsetDateTime, rule: &AutoDisable) {
        let window = signed(rule.window());
        for failures in &mut self.recent {
            failures.first = failures.first.min(at);
        }
        self.recent.retain(|failures| at - failures.first <= window);
        self.recent.push(Failures { first: at, count: 1 });
        self.thin(rule);
    }

    /// Forgets failures that can no longer decide anything.
    ///
    /// The trigger needs a failure that is at least `spread` and at most `window` old, with enough failures
    /// since. If the two neighbours of a failure are no further apart than that range is long, then one of
    /// them is in the range whenever the failure is. If the later neighbour already has enough failures
    /// since, either neighbour meets the trigger. So forgetting the failure changes no result.
    fn thin(&mut self, rule: &AutoDisable) {
        let range = signed(rule.window().saturating_sub(rule.spread()));
        for middle in (1..self.recent.len().saturating_sub(1)).rev() {
            let since = total(&self.recent[middle + 1..]);
            let apart = self.recent[middle + 1].first - self.recent[middle - 1].first;
            if apart <= range && since >= rule.failures() {
                self.fold(middle);
            }
        }
        // Only a rule with very many failures, or with a very short range, gets here. The oldest failure
        // decides most.
        while self.recent.len() > MAX_RECENT {
            self.fold(1);
        }
    }

    /// Adds the count of a failure to the failure before it.
    fn fold(&mut self, at: usize) {
        let folded = self.recent.remove(at);
        let before = &mut self.recent[at - 1];
        before.count = before.count.saturating_add(folded.count);
    }

    fn triggers(&self, at: OffsetDateTime, rule: &AutoDisable) -> bool {
        let spread = self.recent.first().map_or(Duration::ZERO, |oldest| at - oldest.first);
        total(&self.recent) >= rule.failures() && spread >= signed(rule.spread())
    }
}

/// A failure, and the number of failures from it up to the next one in the list.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Failures {
    #[serde(with = "time::serde::timestamp::microseconds")]
    first: OffsetDateTime,
    count: u32,
}

fn total(recent: &[Failures]) -> u32 {
    recent.iter().fold(0, |sum, failures| sum.saturating_add(failures.count))
}

/// Stores keep times in UTC and to the microsecond, so a value that was stored reads back equal.
fn to_micros(at: OffsetDateTime) -> OffsetDateTime {
    let at = at.to_offset(time::UtcOffset::UTC);
    at.replace_microsecond(at.microsecond()).expect("invariant: a time's own microseconds are in range")
}

fn signed(duration: std::time::Duration) -> Duration {
    duration.try_into().unwrap_or(Duration::MAX)
}

fn is_zero(failures: &u32) -> bool {
    *failures == 0
}

const MAX_RECENT: usize = 128;
