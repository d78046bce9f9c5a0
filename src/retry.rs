//! [`RetryPolicy`]: when is the next attempt, and is there one.
//!
//! A calculator and nothing else: the time that has passed, the seed of the jitter and the endpoint's
//! `Retry-After` are arguments, so the same arguments give the same answer on every machine and in every
//! version. A scheduler of your own needs two calls: [`retry_after`] on the answer's headers, and
//! [`RetryPolicy::next`].

use std::borrow::Cow;
use std::iter::FusedIterator;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;
use httpdate::HttpDate;
use time::OffsetDateTime;

use crate::{Error, ErrorKind};

/// When a failed delivery is tried again, and when it is given up.
///
/// A policy is a plan of nominal waits ([`none`](Self::none), [`delays`](Self::delays) or
/// [`exponential`](Self::exponential)), a [`Jitter`] around them, and optional limits on the attempts and on
/// the time since the first attempt. It is checked when built, so no question asked of it fails later.
///
/// Attempts are counted from 1: the first attempt is 1, the first retry is 2.
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
    plan: Plan,
    jitter: Jitter,
    /// The caller's limit alone; a list of delays has one of its own.
    attempt_limit: Option<u32>,
    max_elapsed: Option<Duration>,
}

impl RetryPolicy {
    /// The longest delay a policy may plan: 365 days.
    pub const MAX_DELAY: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    /// One attempt and no retry.
    ///
    /// ```
    /// let policy = hookwire::RetryPolicy::none();
    /// assert_eq!(policy.max_attempts(), Some(1));
    /// assert_eq!(policy.delay_after(1), None);
    /// ```
    pub const fn none() -> Self {
        Self { plan: Plan::Once, jitter: Jitter::None, attempt_limit: None, max_elapsed: None }
    }

    /// A retry after each of `delays`, each counted from the failure before it: one attempt more than there are
    /// delays.
    ///
    /// A delay of zero is a retry at once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RetryPolicy`] when the list is empty (that is [`none`](Self::none)), holds nothing but zeros,
    /// a delay over [`MAX_DELAY`](Self::MAX_DELAY), or more than 10,000 delays.
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

    /// A policy whose delay is `first` and then grows by `factor` with each failure.
    ///
    /// The number of attempts has no limit until [`with_max_attempts`](Exponential::with_max_attempts) sets one.
    /// The values are judged by [`build`](Exponential::build).
    ///
    /// ```
    /// use std::time::Duration;
    /// use hookwire::RetryPolicy;
    ///
    /// let policy = RetryPolicy::exponential(Duration::from_secs(1), 2.0).with_max_attempts(4).build()?;
    /// let delays: Vec<_> = (1..=4).map(|attempt| policy.delay_after(attempt)).collect();
    /// assert_eq!(delays, [Some(1), Some(2), Some(4), None].map(|s| s.map(Duration::from_secs)));
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub const fn exponential(first: Duration, factor: f64) -> Exponential {
        Exponential {
            curve: Curve { first, factor, max_delay: None },
            jitter: Jitter::None,
            attempt_limit: None,
            max_elapsed: None,
        }
    }

    /// The same policy with its delays moved by `jitter`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RetryPolicy`] when a [proportional](Jitter::Proportional) ratio is not within 0 to 1.
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

    /// The same policy with at most `attempts` attempts, the first one included.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RetryPolicy`] when `attempts` is zero, more than a list of delays provides for, or so many
    /// that an exponential delay without a cap would pass [`MAX_DELAY`](Self::MAX_DELAY).
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

    /// The same policy, giving up where a retry would come later than `elapsed` after the first attempt.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RetryPolicy`] when `elapsed` is zero or too short for the first retry.
    ///
    /// ```
    /// use std::time::Duration;
    /// use hookwire::RetryPolicy;
    ///
    /// let policy = RetryPolicy::delays([60, 60].map(Duration::from_secs))?.with_max_elapsed(Duration::from_secs(120))?;
    /// assert!(policy.next(2, Duration::from_secs(60), 0, None).is_some());
    /// assert!(policy.next(2, Duration::from_secs(61), 0, None).is_none());
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn with_max_elapsed(mut self, elapsed: Duration) -> Result<Self, Error> {
        self.max_elapsed = Some(elapsed);
        self.checked()
    }

    /// How long to wait now that `attempt` (counted from 1) has failed; `None` is to give up.
    ///
    /// - Whether there is a retry is decided by the nominal delay alone: there is none after the last attempt, nor
    ///   where `elapsed`, the real time since the first attempt began, plus the nominal delay passes the policy's
    ///   [`max_elapsed`](Self::max_elapsed). Jitter and `retry_after` move a retry, they neither make nor take one,
    ///   and they move it no further than `max_elapsed`.
    /// - `seed` should differ from delivery to delivery and stay the same for all attempts of one; it is mixed with
    ///   `attempt`. What a seed gives is stable: attempt *n* draws the *n*-th output of SplitMix64 started at `seed`.
    /// - `retry_after` is the wait the endpoint asked for ([`retry_after()`]). The result is never shorter than the
    ///   planned delay with its jitter, and a wish beyond [`largest_delay`](Self::largest_delay) counts as that
    ///   delay, so that an endpoint cannot park its deliveries. RFC 9110 section 10.2.3; Standard Webhooks asks to
    ///   obey it within bounds.
    ///
    /// There is nothing after attempt 0, which does not exist.
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

    /// The nominal wait after `attempt` (counted from 1) has failed: no jitter, no `Retry-After`, and no limit but
    /// that on attempts. `None` is to give up, and the answer for attempt 0, which does not exist.
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

    /// Every attempt with its nominal time, the first one at `start`, for as long as the policy allows.
    ///
    /// Attempts are taken to last no time. Without a limit the timeline goes on until the calendar of
    /// [`OffsetDateTime`] ends.
    ///
    /// ```
    /// use std::time::Duration;
    /// use hookwire::RetryPolicy;
    /// use time::macros::datetime;
    ///
    /// let policy = RetryPolicy::delays([60, 900].map(Duration::from_secs))?;
    /// let last = policy.timeline(datetime!(2026-04-17 19:00 UTC)).last().unwrap();
    /// assert_eq!((last.attempt, last.at), (3, datetime!(2026-04-17 19:16 UTC)));
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub const fn timeline(&self, start: OffsetDateTime) -> Timeline<'_> {
        let first = Planned { attempt: 1, delay: Duration::ZERO, elapsed: Duration::ZERO, at: start };
        Timeline { policy: self, start, next: Some(first) }
    }

    /// How many attempts there are at most, the first one included; `None` is no limit.
    pub fn max_attempts(&self) -> Option<u32> {
        let planned = match &self.plan {
            Plan::Once => 1,
            Plan::Delays(delays) => u32::try_from(delays.len()).unwrap_or(u32::MAX).saturating_add(1),
            Plan::Exponential(_) => return self.attempt_limit,
        };
        Some(self.attempt_limit.map_or(planned, |limit| limit.min(planned)))
    }

    /// How long after the first attempt a retry may still come; `None` is no limit.
    pub const fn max_elapsed(&self) -> Option<Duration> {
        self.max_elapsed
    }

    /// The largest nominal delay that is ever planned: what a `Retry-After` is held to.
    ///
    /// `None` when there is no retry. A delay that its limit on attempts never lets an exponential policy reach does
    /// not count, and nothing beyond [`max_elapsed`](Self::max_elapsed) does.
    ///
    /// ```
    /// use std::time::Duration;
    /// use hookwire::RetryPolicy;
    ///
    /// let policy = RetryPolicy::exponential(Duration::from_secs(30), 2.0).with_max_delay(Duration::from_secs(3_600));
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
        // The waits before this one are drawn again, so that nothing has to be remembered between two calls.
        let steps = attempt.saturating_sub(DECORRELATED_WINDOW).saturating_add(1)..=attempt;
        Duration::from_nanos(steps.fold(smallest, |previous, step| {
            between(smallest, previous.saturating_mul(3).min(largest), draw(seed, step))
        }))
    }

    /// Nanoseconds that no jitter passes: the cap, where there is one.
    fn ceiling(&self) -> u64 {
        match &self.plan {
            Plan::Exponential(Curve { max_delay: Some(max), .. }) => nanos(*max),
            _ => u64::MAX,
        }
    }

    /// The listed delays that the limit on attempts leaves.
    fn listed(&self) -> &[Duration] {
        let Plan::Delays(delays) = &self.plan else { return &[] };
        let left = self.attempt_limit.map_or(usize::MAX, |limit| limit.saturating_sub(1) as usize);
        &delays[..delays.len().min(left)]
    }

    /// The last attempt whose failure is followed by another.
    fn last_retry(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.max_attempts().map_or(u32::MAX, |max| max.saturating_sub(1)))
    }

    fn checked(self) -> Result<Self, Error> {
        self.plan.check()?;
        self.jitter.check()?;
        self.check_attempts()?;
        if self.max_elapsed.is_some_and(|max| max.is_zero()) {
            return Err(nonsense(
                "maximum elapsed time is zero, expected a longer time or `RetryPolicy::none()`",
            ));
        }
        if let (Some(first), Some(max)) = (self.delay_after(1), self.max_elapsed)
            && first > max
        {
            return Err(nonsense(format!(
                "maximum elapsed time is {max:?}, expected at least the first delay ({first:?}) or \
                 `RetryPolicy::none()`",
            )));
        }
        if self.largest_delay().is_some_and(|largest| largest.is_zero()) {
            return Err(nonsense("every delay is zero, expected at least one that is longer"));
        }
        Ok(self)
    }

    fn check_attempts(&self) -> Result<(), Error> {
        match (&self.plan, self.attempt_limit) {
            (_, Some(0)) => Err(nonsense("maximum of attempts is zero, expected at least 1: the first one counts")),
            (Plan::Once, Some(limit)) if limit > 1 => Err(nonsense(format!(
                "maximum of attempts is {limit}, expected 1: a policy without delays has no retry",
            ))),
            (Plan::Delays(delays), Some(limit)) if limit as usize > delays.len() + 1 => Err(nonsense(format!(
                "maximum of attempts is {limit}, expected at most {}: one more than there are delays",
                delays.len() + 1,
            ))),
            (Plan::Exponential(curve @ Curve { max_delay: None, .. }), _)
                // Within a bounded time no delay beyond it is ever waited for.
                if self.max_elapsed.is_none_or(|max| max > Self::MAX_DELAY)
                    && self.last_retry().is_some_and(|retry| curve.passes_max(retry)) =>
            {
                Err(nonsense(format!(
                    "exponential delay grows past {:?}, expected a maximum delay, fewer attempts or a maximum \
                     elapsed time",
                    Self::MAX_DELAY,
                )))
            }
            _ => Ok(()),
        }
    }
}

/// A [`RetryPolicy`] with exponential delays in the making.
///
/// Made by [`RetryPolicy::exponential`]. Nothing is judged before [`build`](Self::build), so a chain never breaks.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a policy comes from `build`"]
pub struct Exponential {
    curve: Curve,
    jitter: Jitter,
    attempt_limit: Option<u32>,
    max_elapsed: Option<Duration>,
}

impl Exponential {
    /// Lets no delay grow past `max`; jitter doesn't pass it either.
    pub const fn with_max_delay(mut self, max: Duration) -> Self {
        self.curve.max_delay = Some(max);
        self
    }

    /// Allows at most `attempts` attempts, the first one included.
    pub const fn with_max_attempts(mut self, attempts: u32) -> Self {
        self.attempt_limit = Some(attempts);
        self
    }

    /// Gives up where a retry would come later than `elapsed` after the first attempt.
    pub const fn with_max_elapsed(mut self, elapsed: Duration) -> Self {
        self.max_elapsed = Some(elapsed);
        self
    }

    /// Moves the delays by `jitter`.
    pub const fn with_jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// The policy, when it can be followed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RetryPolicy`] when
    ///
    /// - the first delay or the maximum delay is zero or over [`RetryPolicy::MAX_DELAY`], or the maximum is shorter
    ///   than the first;
    /// - the factor is not a finite number of at least 1;
    /// - the delay grows past [`RetryPolicy::MAX_DELAY`], because neither a maximum delay nor a maximum of attempts
    ///   nor a maximum elapsed time stops it;
    /// - the maximum of attempts is zero, or the maximum elapsed time shorter than the first delay;
    /// - a proportional jitter's ratio is not within 0 to 1.
    ///
    /// ```
    /// use std::time::Duration;
    /// use hookwire::RetryPolicy;
    ///
    /// let error = RetryPolicy::exponential(Duration::from_secs(30), f64::NAN).with_max_attempts(8).build().unwrap_err();
    /// assert_eq!(error.to_string(), "exponential factor is NaN, expected a finite number of at least 1");
    /// ```
    pub fn build(self) -> Result<RetryPolicy, Error> {
        let Self { curve, jitter, attempt_limit, max_elapsed } = self;
        RetryPolicy { plan: Plan::Exponential(curve), jitter, attempt_limit, max_elapsed }.checked()
    }
}

/// How the delays of a [`RetryPolicy`] are spread, so that deliveries that failed together don't return together.
///
/// Every draw is uniform over the whole nanoseconds of its range, both ends included. No jitter passes the maximum
/// delay of an exponential policy: the range ends there, so waits don't pile up at the cap.
///
/// ```
/// use std::time::Duration;
/// use hookwire::{Jitter, RetryPolicy};
///
/// let policy = RetryPolicy::delays([Duration::from_secs(60)])?.with_jitter(Jitter::Full)?;
/// let (one, other) = (policy.next(1, Duration::ZERO, 1, None), policy.next(1, Duration::ZERO, 2, None));
/// assert_ne!(one, other, "each delivery has its own");
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Jitter {
    /// The nominal delay itself.
    #[default]
    None,
    /// The nominal delay plus or minus this ratio of it, 0 to 1.
    ///
    /// The one jitter that may pass the nominal delay, by the ratio.
    Proportional(f64),
    /// From zero to the nominal delay.
    Full,
    /// From half the nominal delay to all of it.
    Equal,
    /// From the policy's smallest delay that is not zero to three times the wait before, at most the
    /// [largest delay](RetryPolicy::largest_delay).
    ///
    /// The delays between the smallest and the largest play no part but to decide about `max_elapsed`. The waits
    /// before are those that the same seed gave, unmoved by `Retry-After`; at most 1,024 are looked back upon, so
    /// attempt four billion costs no more than attempt 1,024. After "Exponential Backoff And Jitter" of the AWS
    /// Architecture Blog.
    Decorrelated,
}

impl Jitter {
    fn check(self) -> Result<(), Error> {
        match self {
            Self::Proportional(ratio) if !(0.0..=1.0).contains(&ratio) => {
                Err(nonsense(format!("jitter ratio is {ratio}, expected a number from 0 to 1")))
            }
            _ => Ok(()),
        }
    }
}

/// The attempts of a [`RetryPolicy`] in order, each with its nominal time: [`RetryPolicy::timeline`].
#[derive(Clone, Debug)]
pub struct Timeline<'a> {
    policy: &'a RetryPolicy,
    start: OffsetDateTime,
    next: Option<Planned>,
}

impl Timeline<'_> {
    fn after(&self, planned: Planned) -> Option<Planned> {
        let delay = self.policy.delay_after(planned.attempt)?;
        let elapsed = planned.elapsed.checked_add(delay)?;
        if self.policy.max_elapsed.is_some_and(|max| elapsed > max) {
            return None;
        }
        let at = self.start.checked_add(elapsed.try_into().ok()?)?;
        Some(Planned { attempt: planned.attempt.checked_add(1)?, delay, elapsed, at })
    }
}

impl Iterator for Timeline<'_> {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        let planned = self.next.take()?;
        self.next = self.after(planned);
        Some(planned)
    }
}

impl FusedIterator for Timeline<'_> {}

/// One attempt of a [`Timeline`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct Planned {
    /// Which attempt, counted from 1.
    pub attempt: u32,
    /// The wait since the attempt before; zero for the first.
    pub delay: Duration,
    /// The time since the first attempt.
    pub elapsed: Duration,
    /// The instant of the attempt, in the offset of the timeline's start.
    pub at: OffsetDateTime,
}

/// The wait that `headers` ask for by `Retry-After`, counted from `now`, the answer's arrival.
///
/// As [`parse_retry_after`] reads each value. The field is meant to occur once (RFC 9110 section 10.2.3); where it is
/// repeated, the longest wait counts, because to come late is the lesser fault and the policy bounds it anyway.
///
/// ```
/// use std::time::Duration;
/// use hookwire::retry::retry_after;
/// use http::{HeaderMap, HeaderValue, header};
/// use time::macros::datetime;
///
/// let mut headers = HeaderMap::new();
/// headers.insert(header::RETRY_AFTER, HeaderValue::from_static("Fri, 17 Apr 2026 19:02:00 GMT"));
/// let now = datetime!(2026-04-17 19:00 UTC);
/// assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(120)));
/// ```
pub fn retry_after(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    headers.get_all(RETRY_AFTER).iter().filter_map(|value| parse_retry_after(value.as_bytes(), now)).max()
}

/// The wait that one `Retry-After` value asks for, counted from `now`; `None` for a value that is neither seconds
/// nor a date.
///
/// RFC 9110 section 10.2.3: a number of whole seconds, or an HTTP date in any of its three forms (section 5.6.7). A
/// date in the past is a wait of zero; a number too large to hold is the longest wait there is
/// (`u64::MAX` seconds). Signs, fractions and exponents are not numbers here. Spaces and tabs around the value are
/// no part of it (section 5.5). A leap second is not understood.
///
/// ```
/// use std::time::Duration;
/// use hookwire::retry::parse_retry_after;
/// use time::macros::datetime;
///
/// let now = datetime!(2026-04-17 19:00 UTC);
/// assert_eq!(parse_retry_after(b"120", now), Some(Duration::from_secs(120)));
/// assert_eq!(parse_retry_after(b"-1", now), None);
/// ```
pub fn parse_retry_after(value: &[u8], now: OffsetDateTime) -> Option<Duration> {
    let text = str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Nothing but digits: the only way to fail is to be too large.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = OffsetDateTime::from(SystemTime::from(HttpDate::from_str(text).ok()?));
    Some((date - now).try_into().unwrap_or(Duration::ZERO))
}

#[derive(Clone, Debug, PartialEq)]
enum Plan {
    Once,
    Delays(Vec<Duration>),
    Exponential(Curve),
}

impl Plan {
    fn check(&self) -> Result<(), Error> {
        match self {
            Self::Once => Ok(()),
            Self::Delays(delays) if delays.is_empty() => {
                Err(nonsense("list of delays is empty, expected at least one or `RetryPolicy::none()`"))
            }
            Self::Delays(delays) if delays.len() > MAX_LISTED => {
                Err(nonsense(format!("list of delays is too long, expected at most {MAX_LISTED}")))
            }
            Self::Delays(delays) => delays.iter().try_for_each(|delay| check_delay("delay", *delay)),
            Self::Exponential(curve) => curve.check(),
        }
    }
}

/// Delays that grow by a factor.
#[derive(Clone, Debug, PartialEq)]
struct Curve {
    first: Duration,
    factor: f64,
    max_delay: Option<Duration>,
}

impl Curve {
    fn delay(&self, retry: NonZeroU32) -> Duration {
        let max = self.max_delay.unwrap_or(RetryPolicy::MAX_DELAY);
        // A float turns into an integer by saturation, infinity too.
        Duration::from_nanos(self.nanos(retry) as u64).min(max)
    }

    fn passes_max(&self, retry: NonZeroU32) -> bool {
        self.nanos(retry) > nanos(RetryPolicy::MAX_DELAY) as f64
    }

    /// Computed by squaring: at most 32 steps, and the same bits on every platform, which `powi` doesn't promise.
    fn nanos(&self, retry: NonZeroU32) -> f64 {
        let (mut result, mut square, mut exponent) = (nanos(self.first) as f64, self.factor, retry.get() - 1);
        while exponent > 0 {
            if exponent & 1 == 1 {
                result *= square;
            }
            square *= square;
            exponent >>= 1;
        }
        result
    }

    fn check(&self) -> Result<(), Error> {
        let Self { first, factor, max_delay } = self;
        check_delay("first delay", *first)?;
        if first.is_zero() {
            return Err(nonsense("first delay is zero, expected a longer one: zero never grows"));
        }
        if !factor.is_finite() || *factor < 1.0 {
            return Err(nonsense(format!(
                "exponential factor is {factor}, expected a finite number of at least 1"
            )));
        }
        let Some(max) = max_delay else { return Ok(()) };
        check_delay("maximum delay", *max)?;
        if max.is_zero() {
            return Err(nonsense("maximum delay is zero, expected at least the first delay"));
        }
        if max < first {
            return Err(nonsense(format!(
                "maximum delay is {max:?}, expected at least the first delay ({first:?})"
            )));
        }
        Ok(())
    }
}

fn check_delay(name: &str, delay: Duration) -> Result<(), Error> {
    if delay > RetryPolicy::MAX_DELAY {
        return Err(nonsense(format!("{name} is {delay:?}, expected at most {:?}", RetryPolicy::MAX_DELAY)));
    }
    Ok(())
}

fn nonsense(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::RetryPolicy, message)
}

/// Saturates at 584 years, which no checked delay comes near.
fn nanos(delay: Duration) -> u64 {
    u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX)
}

/// A number from `low` to `high`, both included, by multiplication (Lemire 2019): no division, and no number is
/// likelier than another by more than its range's share of 2^64.
fn between(low: u64, high: u64, random: u64) -> u64 {
    let width = u128::from(high.saturating_sub(low)) + 1;
    low + ((u128::from(random) * width) >> 64) as u64
}

/// The `attempt`-th output of SplitMix64 (Steele, Lea, Flood 2014) started at `seed`.
///
/// Part of the promise that a seed gives the same delays in every version: never change it.
fn draw(seed: u64, attempt: u32) -> u64 {
    let mut z = seed.wrapping_add(u64::from(attempt).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// More attempts than anyone plans by hand; keeps an iterator without an end from filling the memory.
const MAX_LISTED: usize = 10_000;

/// How many waits a decorrelated one looks back upon: long enough to climb from a second to a year, short enough to
/// take microseconds.
const DECORRELATED_WINDOW: u32 = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_the_outputs_of_the_reference_splitmix64() {
        let of = |seed| (1..=5).map(|attempt| draw(seed, attempt)).collect::<Vec<_>>();
        assert_eq!(draw(0, 1), 0xe220_a839_7b1d_cdaf);
        assert_eq!(
            of(1_234_567),
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821,
            ]
        );
    }

    #[test]
    fn a_draw_reaches_both_ends_of_its_range_and_no_further() {
        assert_eq!(between(3, 5, 0), 3);
        assert_eq!(between(3, 5, u64::MAX), 5);
        assert_eq!(between(7, 7, u64::MAX / 2), 7);
        assert_eq!(between(0, u64::MAX, u64::MAX), u64::MAX);
    }
}
