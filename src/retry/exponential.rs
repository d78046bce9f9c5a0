//! [`Exponential`]: builds a policy whose delays grow by a factor.

use std::time::Duration;

use super::jitter::Jitter;
use super::plan::{Curve, Plan};
use super::policy::RetryPolicy;
use crate::error::Error;

impl RetryPolicy {
    /// Starts a policy whose delay is `first` and then grows by `factor` with each failure.
    ///
    /// The number of attempts has no limit until [`with_max_attempts`](Exponential::with_max_attempts) sets
    /// one. [`build`](Exponential::build) checks the values.
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
}

/// Builds a [`RetryPolicy`] with exponential delays.
///
/// [`RetryPolicy::exponential`] makes it. Nothing is checked before [`build`](Self::build), so a chain never
/// breaks.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a policy comes from `build`"]
pub struct Exponential {
    curve: Curve,
    jitter: Jitter,
    attempt_limit: Option<u32>,
    max_elapsed: Option<Duration>,
}

impl Exponential {
    /// Sets the maximum delay, which jitter does not pass either.
    pub const fn with_max_delay(mut self, max: Duration) -> Self {
        self.curve.max_delay = Some(max);
        self
    }

    /// Sets the maximum of attempts, the first one included.
    pub const fn with_max_attempts(mut self, attempts: u32) -> Self {
        self.attempt_limit = Some(attempts);
        self
    }

    /// Sets the time after the first attempt beyond which no retry is made.
    pub const fn with_max_elapsed(mut self, elapsed: Duration) -> Self {
        self.max_elapsed = Some(elapsed);
        self
    }

    /// Sets the jitter that moves the delays.
    pub const fn with_jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Checks the values and makes the policy.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RetryPolicy`](crate::ErrorKind::RetryPolicy) when
    ///
    /// - the first delay or the maximum delay is zero or over [`RetryPolicy::MAX_DELAY`], or the maximum is
    ///   shorter than the first;
    /// - the factor is not a finite number of at least 1;
    /// - the delay grows past [`RetryPolicy::MAX_DELAY`], because neither a maximum delay nor a maximum of
    ///   attempts nor a maximum elapsed time stops it;
    /// - the maximum of attempts is zero, or the maximum elapsed time shorter than the first delay;
    /// - a proportional jitter's ratio is not within 0 to 1.
    ///
    /// ```
    /// use std::time::Duration;
    /// use hookwire::RetryPolicy;
    ///
    /// let policy = RetryPolicy::exponential(Duration::from_secs(30), f64::NAN).with_max_attempts(8);
    /// let error = policy.build().unwrap_err();
    /// assert_eq!(error.to_string(), "exponential factor is NaN, expected a finite number of at least 1");
    /// ```
    pub fn build(self) -> Result<RetryPolicy, Error> {
        let Self { curve, jitter, attempt_limit, max_elapsed } = self;
        RetryPolicy { plan: Plan::Exponential(curve), jitter, attempt_limit, max_elapsed }.checked()
    }
}
