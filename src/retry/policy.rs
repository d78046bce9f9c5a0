//! [`RetryPolicy`]: decides when a failed delivery is tried again.

use std::num::NonZeroU32;
use std::time::Duration;

use super::jitter::{Jitter, between, draw};
use super::plan::{self, Curve, MAX_LISTED, Plan, nanos, nonsense};
use crate::error::Error;

/// Decides when a failed delivery is tried again, and when it is given up.
///
/// A policy is a plan of nominal waits ([`none`](Self::none), [`delays`](Self::delays) or
/// [`exponential`](Self::exponential)), a [`Jitter`] around them, and optional limits on the attempts and on
/// the time since the first attempt. It is checked when it is built, so no later call fails.
///
/// Attempts are counted from 1: the first attempt is 1, the first retry is 2.
///
/// serde reads and writes a policy; the [module](crate::retry) has the fields.
///
/// ```
/// use std::time::Duration;
/// use hookwire::{Jitter, RetryPolicy};
///
/// let policy = RetryPolicy::exponential(Duration::from_secs(30), 2.0)
///     .with_max_delay(Duration::from_secs(3_600))
///     .with_max_attempts(8)
///     .with_jitter(Jitter::Proportional(0.1))
///     .build()?;
/// assert_eq!(policy.delay_after(1), Some(Duration::from_secs(30)));
///
/// // Attempt 1 has just failed: wait 30 s ± 10 %, the same for this seed whenever it is asked.
/// let wait = policy.next(1, Duration::from_secs(2), 42, None).unwrap();
/// assert!((27..=33).contains(&wait.as_secs()));
/// // Attempt 8 was the last.
/// assert_eq!(policy.next(8, Duration::from_secs(4_000), 42, None), None);
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    pub(super) plan: Plan,
    pub(super) jitter: Jitter,
    /// The caller's limit alone; a list of delays has a limit of its own.
    pub(super) attempt_limit: Option<u32>,
    pub(super) max_elapsed: Option<Duration>,
}

impl RetryPolicy {
    /// The longest delay a policy may plan: 365 days.
    pub const MAX_DELAY: Duration = plan::MAX_DELAY;

    /// Makes a policy of one attempt and no retry.
    ///
    /// ```
    /// let policy = hookwire::RetryPolicy::none();
    /// assert_eq!(policy.max_attempts(), Some(1));
    /// assert_eq!(policy.delay_after(1), None);
    /// ```
    pub const fn none() -> Self {
        Self { plan: Plan::Once, jitter: Jitter::None, attempt_limit: None, max_elapsed: None }
    }

    /// Makes a policy with a retry after each of `delays`, each counted from the failure before it: one
    /// attempt more than there are delays.
    ///
    /// A delay of zero means an immediate retry.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RetryPolicy`](crate::ErrorKind::RetryPolicy) when the list is empty (that is
    /// [`none`](Self::none)), holds nothing but zeros, a delay over [`MAX_DELAY`](Self::MAX_DELAY), or more
    /// than 10,000 delays.
    ///
    /// ```
    /// use std::time::Duration;
    /// use hookwire::RetryPolicy;
    ///
    /// let policy = RetryPolicy::delays([60, 900, 3_600].map(Duration::from_secs))?;
    /// assert_eq!(policy.max_attempts(), Some(4));
    /// assert_eq!(policy.delay_after(2), Some(Duration::from_secs(900)));
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn delays(delays: impl IntoIterator<Item = Duration>) -> Result<Self, Error> {
        // One more than allowed is enough to refuse an iterator without an end.
        let delays = delays.into_iter().take(MAX_LISTED + 1).collect();
        Self { plan: Plan::Delays(delays), ..Self::none() }.checked()
    }

    /// Sets the jitter that moves the delays.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RetryPolicy`](crate::ErrorKind::RetryPolicy) when a [proportional](Jitter::Proportional)
    /// ratio is not within 0 to 1.
    ///
    /// ```
    /// use std::time::Duration;
    /// use hookwire::{Jitter, RetryPolicy};
    ///
    /// let policy = RetryPolicy::delays([Duration::from_secs(60)])?.with_jitter(Jitter::Equal)?;
    /// assert!(policy.next(1, Duration::ZERO, 7, None).unwrap() >= Duration::from_secs(30));
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn with_jitter(mut self, jitter: Jitter) -> Result<Self, Error> {
        self.jitter = jitter;
        self.checked()
    }

    /// Sets the maximum of attempts, the first one included.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RetryPolicy`](crate::ErrorKind::RetryPolicy) when `attempts` is zero, more than a list of
    /// delays provides for, or so many that an exponential delay without a cap would pass
    /// [`MAX_DELAY`](Self::MAX_DELAY).
    ///
    /// ```
    /// use std::time::Duration;
    /// use hookwire::RetryPolicy;
    ///
    /// let policy = RetryPolicy::delays([60, 900].map(Duration::from_secs))?;
    /// assert_eq!(policy.clone().with_max_attempts(2)?.delay_after(2), None);
    /// assert!(policy.with_max_attempts(4).is_err(), "two delays make three attempts");
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn with_max_attempts(mut self, attempts: u32) -> Result<Self, Error> {
        self.attempt_limit = Some(attempts);
        self.checked()
    }

    /// Sets the time after the first attempt beyond which no retry is made.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RetryPolicy`](crate::ErrorKind::RetryPolicy) when `elapsed` is zero or too short for the
    /// first retry.
    ///
    /// ```
    /// use std::time::Duration;
    /// use hookwire::RetryPolicy;
    ///
    /// let policy = RetryPolicy::delays([60, 60].map(Duration::from_secs))?
    ///     .with_max_elapsed(Duration::from_secs(120))?;
    /// assert!(policy.next(2, Duration::from_secs(60), 0, None).is_some());
    /// assert!(policy.next(2, Duration::from_secs(61), 0, None).is_none());
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn with_max_elapsed(mut self, elapsed: Duration) -> Result<Self, Error> {
        self.max_elapsed = Some(elapsed);
        self.checked()
    }

    /// Returns how long to wait after `attempt` (counted from 1) has failed; `None` means to give up.
    ///
    /// - The nominal delay alone decides whether there is a retry: there is none after the last attempt, and
    ///   none where `elapsed`, the real time since the first attempt began, plus the nominal delay passes the
    ///   policy's [`max_elapsed`](Self::max_elapsed). Jitter and `retry_after` only move a retry, and no
    ///   further than `max_elapsed`.
    /// - `seed` should differ from delivery to delivery and stay the same for all attempts of one; it is
    ///   mixed with `attempt`. A seed gives the same waits in every version: attempt *n* draws the *n*-th
    ///   output of SplitMix64 started at `seed`.
    /// - `retry_after` is the wait that the endpoint asked for ([`retry_after`](crate::retry::retry_after)).
    ///   The result is never shorter than the planned delay with its jitter. A longer wait than
    ///   [`largest_delay`](Self::largest_delay) counts as that delay, so that an endpoint cannot park its
    ///   deliveries. RFC 9110 section 10.2.3; Standard Webhooks asks to obey it within bounds.
    ///
    /// The result for attempt 0, which does not exist, is `None`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use hookwire::RetryPolicy;
    ///
    /// let policy = RetryPolicy::delays([60, 900].map(Duration::from_secs))?;
    /// let wait = |retry_after| policy.next(1, Duration::ZERO, 42, Some(Duration::from_secs(retry_after)));
    /// assert_eq!(wait(10), Some(Duration::from_secs(60)));
    /// assert_eq!(wait(120), Some(Duration::from_secs(120)));
    /// assert_eq!(wait(86_400), Some(Duration::from_secs(900)));
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn next(
        &self,
        attempt: u32,
        elapsed: Duration,
        seed: u64,
        retry_after: Option<Duration>,
    ) -> Option<Duration> {
        let nominal = self.delay_after(attempt)?;
        let left = self.max_elapsed.map_or(Some(Duration::MAX), |max| max.checked_sub(elapsed))?;
        if nominal > left {
            return None;
        }
        let planned = self.with_jitter_drawn(nominal, attempt, seed);
        let asked = retry_after.unwrap_or_default().min(self.largest_delay()?);
        Some(planned.max(asked).min(left))
    }

    /// Returns the nominal wait after `attempt` (counted from 1) has failed, without jitter and
    /// `Retry-After`; only the limit on attempts applies. `None` means to give up, and is the result for
    /// attempt 0, which does not exist.
    ///
    /// ```
    /// use std::time::Duration;
    /// use hookwire::RetryPolicy;
    ///
    /// let policy = RetryPolicy::delays([Duration::from_secs(60)])?;
    /// assert_eq!(policy.delay_after(1), Some(Duration::from_secs(60)));
    /// assert_eq!(policy.delay_after(2), None);
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn delay_after(&self, attempt: u32) -> Option<Duration> {
        let retry = NonZeroU32::new(attempt)?;
        if self.max_attempts().is_some_and(|max| attempt >= max) {
            return None;
        }
        match &self.plan {
            Plan::Once => None,
            Plan::Delays(delays) => delays.get(retry.get() as usize - 1).copied(),
            Plan::Exponential(curve) => Some(curve.delay(retry)),
        }
    }

    /// The maximum of attempts, the first one included; `None` for no limit.
    pub fn max_attempts(&self) -> Option<u32> {
        let planned = match &self.plan {
            Plan::Once => 1,
            Plan::Delays(delays) => u32::try_from(delays.len()).unwrap_or(u32::MAX).saturating_add(1),
            Plan::Exponential(_) => return self.attempt_limit,
        };
        Some(self.attempt_limit.map_or(planned, |limit| limit.min(planned)))
    }

    /// How long after the first attempt a retry may still come; `None` for no limit.
    pub const fn max_elapsed(&self) -> Option<Duration> {
        self.max_elapsed
    }

    /// The largest nominal delay that is ever planned, which bounds a `Retry-After`; `None` when there is no
    /// retry.
    ///
    /// A delay that the limit on attempts never lets an exponential policy reach does not count, nor does
    /// anything beyond [`max_elapsed`](Self::max_elapsed).
    ///
    /// ```
    /// use std::time::Duration;
    /// use hookwire::RetryPolicy;
    ///
    /// let policy = RetryPolicy::exponential(Duration::from_secs(30), 2.0)
    ///     .with_max_delay(Duration::from_secs(3_600));
    /// assert_eq!(policy.clone().build()?.largest_delay(), Some(Duration::from_secs(3_600)));
    /// assert_eq!(policy.with_max_attempts(3).build()?.largest_delay(), Some(Duration::from_secs(60)));
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn largest_delay(&self) -> Option<Duration> {
        let largest = match &self.plan {
            Plan::Once => None,
            Plan::Delays(_) => self.listed().iter().max().copied(),
            Plan::Exponential(curve) => self.last_retry().map(|retry| curve.delay(retry)),
        }?;
        Some(self.max_elapsed.map_or(largest, |max| largest.min(max)))
    }

    /// How the delays are spread.
    pub const fn jitter(&self) -> Jitter {
        self.jitter
    }

    fn with_jitter_drawn(&self, nominal: Duration, attempt: u32, seed: u64) -> Duration {
        let nanos = nanos(nominal);
        let (low, high) = match self.jitter {
            Jitter::None => return nominal,
            Jitter::Proportional(ratio) => {
                let spread = (nanos as f64 * ratio) as u64;
                (nanos.saturating_sub(spread), nanos.saturating_add(spread).min(self.ceiling()))
            }
            Jitter::Full => (0, nanos),
            Jitter::Equal => (nanos / 2, nanos),
            Jitter::Decorrelated => return self.decorrelated(attempt, seed),
        };
        Duration::from_nanos(between(low, high, draw(seed, attempt)))
    }

    fn decorrelated(&self, attempt: u32, seed: u64) -> Duration {
        let largest = nanos(self.largest_delay().unwrap_or_default());
        let smallest = match &self.plan {
            Plan::Once => 0,
            Plan::Delays(_) => {
                self.listed().iter().map(|delay| nanos(*delay)).filter(|n| *n > 0).min().unwrap_or(0)
            }
            Plan::Exponential(curve) => nanos(curve.first),
        }
        .min(largest);
        // Draw the waits before this one again, so that nothing has to be remembered between two calls.
        let steps = attempt.saturating_sub(DECORRELATED_WINDOW).saturating_add(1)..=attempt;
        Duration::from_nanos(steps.fold(smallest, |previous, step| {
            between(smallest, previous.saturating_mul(3).min(largest), draw(seed, step))
        }))
    }

    /// The nanoseconds that no jitter passes: the maximum delay, where there is one.
    fn ceiling(&self) -> u64 {
        match &self.plan {
            Plan::Exponential(Curve { max_delay: Some(max), .. }) => nanos(*max),
            _ => u64::MAX,
        }
    }

    /// The listed delays that the limit on attempts allows.
    fn listed(&self) -> &[Duration] {
        let Plan::Delays(delays) = &self.plan else { return &[] };
        let left = self.attempt_limit.map_or(usize::MAX, |limit| limit.saturating_sub(1) as usize);
        &delays[..delays.len().min(left)]
    }

    /// The last attempt whose failure is followed by another.
    fn last_retry(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.max_attempts().map_or(u32::MAX, |max| max.saturating_sub(1)))
    }

    pub(super) fn checked(self) -> Result<Self, Error> {
        self.plan.check()?;
        self.jitter.check()?;
        self.check_attempts()?;
        if self.max_elapsed.is_some_and(|max| max.is_zero()) {
            return Err(nonsense("maximum elapsed time is zero")
                .with_expected("a longer time or `RetryPolicy::none()`"));
        }
        if let (Some(first), Some(max)) = (self.delay_after(1), self.max_elapsed)
            && first > max
        {
            return Err(nonsense(format!("maximum elapsed time is {max:?}"))
                .with_expected(format!("at least the first delay ({first:?}) or `RetryPolicy::none()`")));
        }
        if self.largest_delay().is_some_and(|largest| largest.is_zero()) {
            return Err(nonsense("every delay is zero").with_expected("at least one that is longer"));
        }
        Ok(self)
    }

    fn check_attempts(&self) -> Result<(), Error> {
        match (&self.plan, self.attempt_limit) {
            (_, Some(0)) => {
                Err(nonsense("maximum of attempts is zero")
                    .with_expected("at least 1: the first one counts"))
            }
            (Plan::Once, Some(limit)) if limit > 1 => {
                Err(nonsense(format!("maximum of attempts is {limit}"))
                    .with_expected("1: a policy without delays has no retry"))
            }
            (Plan::Delays(delays), Some(limit)) if limit as usize > delays.len() + 1 => {
                let most = delays.len() + 1;
                Err(nonsense(format!("maximum of attempts is {limit}"))
                    .with_expected(format!("at most {most}: one more than there are delays")))
            }
            (Plan::Exponential(curve @ Curve { max_delay: None, .. }), _)
                // A policy that gives up sooner never waits for a longer delay.
                if self.max_elapsed.is_none_or(|max| max > Self::MAX_DELAY)
                    && self.last_retry().is_some_and(|retry| curve.passes_max(retry)) =>
            {
                Err(nonsense(format!("exponential delay grows past {:?}", Self::MAX_DELAY))
                    .with_expected("a maximum delay, fewer attempts or a maximum elapsed time"))
            }
            _ => Ok(()),
        }
    }
}

/// How many waits a decorrelated one looks back upon: long enough to climb from a second to a year, short
/// enough to take microseconds.
const DECORRELATED_WINDOW: u32 = 1_024;
