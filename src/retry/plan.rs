//! [`Plan`]: the nominal delays of a policy.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// The nominal delays of a policy.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Plan {
    Once,
    Delays(Vec<Duration>),
    Exponential(Curve),
}

impl Plan {
    pub(super) fn check(&self) -> Result<(), Error> {
        match self {
            Self::Once => Ok(()),
            Self::Delays(delays) if delays.is_empty() => {
                Err(nonsense("list of delays is empty")
                    .with_expected("at least one or `RetryPolicy::none()`"))
            }
            Self::Delays(delays) if delays.len() > MAX_LISTED => {
                Err(nonsense("list of delays is too long").with_expected(format!("at most {MAX_LISTED}")))
            }
            Self::Delays(delays) => delays.iter().try_for_each(|delay| check_delay("delay", *delay)),
            Self::Exponential(curve) => curve.check(),
        }
    }
}

/// Delays that grow by a factor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Curve {
    pub(super) first: Duration,
    pub(super) factor: f64,
    pub(super) max_delay: Option<Duration>,
}

impl Curve {
    pub(super) fn delay(&self, retry: NonZeroU32) -> Duration {
        let max = self.max_delay.unwrap_or(MAX_DELAY);
        // A float turns into an integer by saturation, infinity too.
        Duration::from_nanos(self.nanos(retry) as u64).min(max)
    }

    pub(super) fn passes_max(&self, retry: NonZeroU32) -> bool {
        self.nanos(retry) > nanos(MAX_DELAY) as f64
    }

    /// Computed by squaring: at most 32 steps, and the same bits on every platform, which `powi` does not
    /// promise.
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

    pub(super) fn check(&self) -> Result<(), Error> {
        let Self { first, factor, max_delay } = self;
        check_delay("first delay", *first)?;
        if first.is_zero() {
            return Err(nonsense("first delay is zero").with_expected("a longer one: zero never grows"));
        }
        if !factor.is_finite() || *factor < 1.0 {
            return Err(nonsense(format!("exponential factor is {factor}"))
                .with_expected("a finite number of at least 1"));
        }
        let Some(max) = max_delay else { return Ok(()) };
        check_delay("maximum delay", *max)?;
        if max.is_zero() {
            return Err(nonsense("maximum delay is zero").with_expected("at least the first delay"));
        }
        if max < first {
            return Err(nonsense(format!("maximum delay is {max:?}"))
                .with_expected(format!("at least the first delay ({first:?})")));
        }
        Ok(())
    }
}

fn check_delay(name: &str, delay: Duration) -> Result<(), Error> {
    if delay > MAX_DELAY {
        return Err(
            nonsense(format!("{name} is {delay:?}")).with_expected(format!("at most {:?}", MAX_DELAY))
        );
    }
    Ok(())
}

pub(super) fn nonsense(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::RetryPolicy, message)
}

/// The delay in nanoseconds; saturates at 584 years, which no checked delay comes near.
pub(super) fn nanos(delay: Duration) -> u64 {
    u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX)
}

/// 365 days.
pub(super) const MAX_DELAY: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// More attempts than anyone plans by hand; keeps an iterator without an end from filling the memory.
pub(super) const MAX_LISTED: usize = 10_000;
