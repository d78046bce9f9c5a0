//! [`Health`]: how an endpoint fares, as far as the contract's rule for disabling it needs to know.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::contract::AutoDisable;
use crate::error::{Error, ErrorKind};

/// How an endpoint fares: since when it fails, and whether the contract's timer runs.
///
/// It lives in the store, so a restart does not reset it, and holds a bounded number of times however long the failures last.
///
/// ```
/// use std::time::Duration;
/// use hookwire::{AutoDisable, Health};
/// use time::macros::datetime;
///
/// let rule = AutoDisable::failing_for(Duration::from_secs(5 * 86_400));
/// let monday = datetime!(2026-04-13 12:00 UTC);
/// let failing = Health::default().failed(monday, Some(&rule));
/// assert!(!failing.is_hopeless(monday + time::Duration::days(4), &rule));
/// assert!(failing.is_hopeless(monday + time::Duration::days(5), &rule));
/// assert_eq!(failing.succeeded(), Health::default());
/// ```
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Health {
    /// When the first failure since the last success was.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "time::serde::timestamp::microseconds::option"
    )]
    failing_since: Option<OffsetDateTime>,
    /// When the last one was.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "time::serde::timestamp::microseconds::option"
    )]
    last_failure_at: Option<OffsetDateTime>,
    /// How many there were.
    #[serde(default, skip_serializing_if = "is_zero")]
    failures: u32,
    /// When the contract's timer was started.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "time::serde::timestamp::microseconds::option"
    )]
    timer_since: Option<OffsetDateTime>,
    /// Failures before the timer started: as few of them as say when the rule's trigger is met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recent: Vec<Failures>,
}

impl Health {
    /// Since when there were nothing but failures.
    pub fn failing_since(&self) -> Option<OffsetDateTime> {
        self.failing_since
    }

    /// When the last of those failures was.
    pub fn last_failure_at(&self) -> Option<OffsetDateTime> {
        self.last_failure_at
    }

    /// How many attempts failed since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The health after an attempt that succeeded: nothing is held against the endpoint.
    #[must_use]
    pub fn succeeded(&self) -> Self {
        Self::default()
    }

    /// The health after an attempt that failed at `at`, under the contract's rule.
    ///
    /// A fault of one's own says nothing about the endpoint and is not to be told here. A time earlier than one told before
    /// means that the clock was put back: what was before counts as having been now, so that the rule errs for the endpoint.
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

    /// Whether the endpoint has failed for as long as the rule allows: to be asked after a failure.
    pub fn is_hopeless(&self, now: OffsetDateTime, rule: &AutoDisable) -> bool {
        self.timer_since.is_some_and(|since| now - since >= signed(rule.after()))
    }

    /// A text that [`from_storage`](Self::from_storage) reads back, the same for equal healths; empty for a healthy endpoint.
    #[doc(hidden)]
    pub fn to_storage(&self) -> String {
        if *self == Self::default() {
            return String::new();
        }
        serde_json::to_string(self).expect("invariant: numbers can be written as JSON")
    }

    /// The health that [`to_storage`](Self::to_storage) wrote.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`] for a text that it did not write.
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

    /// Forgets the times that can decide nothing any more.
    ///
    /// The trigger asks for a failure that is at least `spread` and at most `window` old, with enough failures since. Where
    /// one's neighbours are no further apart than that range is long, whenever it falls in the range a neighbour does too; and
    /// when the later neighbour already has enough failures since, either of them will do. So this is exact.
    fn thin(&mut self, rule: &AutoDisable) {
        let range = signed(rule.window().saturating_sub(rule.spread()));
        for middle in (1..self.recent.len().saturating_sub(1)).rev() {
            let since = total(&self.recent[middle + 1..]);
            let apart = self.recent[middle + 1].first - self.recent[middle - 1].first;
            if apart <= range && since >= rule.failures() {
                self.fold(middle);
            }
        }
        // Only a rule of very many failures, or of hardly any range, gets here; the oldest says the most.
        while self.recent.len() > MAX_RECENT {
            self.fold(1);
        }
    }

    /// Counts a failure with the one before it.
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

/// A failure, and how many there were from it up to the next one that is remembered.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Failures {
    #[serde(with = "time::serde::timestamp::microseconds")]
    first: OffsetDateTime,
    count: u32,
}

fn total(recent: &[Failures]) -> u32 {
    recent.iter().fold(0, |sum, failures| sum.saturating_add(failures.count))
}

/// What a store gives back is what was put there: times are kept in UTC and to the microsecond.
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
