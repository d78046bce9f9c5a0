//! [`Rate`]: how many per second; [`Bucket`]: how many are left now. Pure: time is an argument.

use std::time::Duration;

use time::OffsetDateTime;

use crate::error::{Error, ErrorKind};

/// A token bucket: how many per second, and how many at once after a quiet time.
///
/// ```
/// use hookwire::subscription::Rate;
///
/// let rate = Rate::new(0.5, 3)?;
/// assert_eq!((rate.per_second(), rate.burst()), (0.5, 3));
/// assert!(Rate::new(f64::NAN, 3).is_err());
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    per_second: f64,
    burst: u32,
}

impl Rate {
    /// Makes a rate of this many per second, and `burst` at once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Rate`] unless `per_second` is finite and at least 0.00001 (about one a day), and `burst`
    /// at least 1.
    pub fn new(per_second: f64, burst: u32) -> Result<Self, Error> {
        if !per_second.is_finite() || per_second < MIN_PER_SECOND {
            return Err(Error::new(ErrorKind::Rate, format!("rate is {per_second} per second"))
                .with_expected(format!("a finite number of at least {MIN_PER_SECOND}")));
        }
        if burst == 0 {
            return Err(Error::new(ErrorKind::Rate, "burst is 0").with_expected("1 or more"));
        }
        Ok(Self { per_second, burst })
    }

    /// The number per second; finite and more than zero.
    pub const fn per_second(&self) -> f64 {
        self.per_second
    }

    /// The number that may come at once; one or more.
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// The rate that keeps both rates.
    #[allow(dead_code, reason = "the dispatcher's scheduler asks it")]
    pub(crate) fn lower(self, other: Self) -> Self {
        Self { per_second: self.per_second.min(other.per_second), burst: self.burst.min(other.burst) }
    }
}

/// The state of a token bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: Rate,
    tokens: f64,
    filled_at: OffsetDateTime,
}

impl Bucket {
    pub(crate) fn new(rate: Rate, now: OffsetDateTime) -> Self {
        Self { rate, tokens: f64::from(rate.burst()), filled_at: now }
    }

    #[allow(dead_code, reason = "the dispatcher's scheduler asks it")]
    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    /// Fills the bucket up to `now`, and returns how many whole tokens it has.
    pub(crate) fn fill(&mut self, now: OffsetDateTime) -> u32 {
        self.tokens = self.tokens_at(now);
        self.filled_at = now;
        self.tokens.max(0.0) as u32
    }

    pub(crate) fn spend(&mut self, count: u32) {
        self.tokens -= f64::from(count);
    }

    /// Puts back a token that was not used.
    #[allow(dead_code, reason = "the dispatcher's scheduler asks it")]
    pub(crate) fn give_back(&mut self) {
        self.tokens = (self.tokens + 1.0).min(f64::from(self.rate.burst()));
    }

    /// Adjusts the bucket to a clock that was set back.
    #[allow(dead_code, reason = "the dispatcher's scheduler asks it")]
    pub(crate) fn set_back(&mut self, back: time::Duration) {
        self.filled_at = self.filled_at.checked_sub(back).unwrap_or(self.filled_at);
    }

    fn tokens_at(&self, now: OffsetDateTime) -> f64 {
        // A clock that jumps back gives nothing and takes nothing.
        let passed = (now - self.filled_at).as_seconds_f64().max(0.0);
        (self.tokens + passed * self.rate.per_second()).min(f64::from(self.rate.burst()))
    }

    pub(crate) fn opens_at(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let missing = 1.0 - self.tokens_at(now);
        if missing <= 0.0 {
            return None;
        }
        // Rounded up to a millisecond: just too early, there would be no whole token yet.
        let wait = (missing / self.rate.per_second()).clamp(0.001, MAX_WAIT.as_secs_f64());
        now.checked_add(time::Duration::seconds_f64(wait) + time::Duration::MILLISECOND)
    }

    #[allow(dead_code, reason = "the dispatcher's scheduler asks it")]
    pub(crate) fn is_full(&self, now: OffsetDateTime) -> bool {
        self.tokens_at(now) >= f64::from(self.rate.burst())
    }
}

// About one attempt per day, so that the wait for the next token stays a sensible duration.
const MIN_PER_SECOND: f64 = 0.000_01;
const MAX_WAIT: Duration = Duration::from_secs(86_400);
