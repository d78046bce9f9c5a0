//! [`Jitter`]: how delays are spread.

use serde::{Deserialize, Serialize};

use super::plan::nonsense;
use crate::error::Error;

/// How the delays of a [`RetryPolicy`](crate::RetryPolicy) are spread, so that deliveries that failed
/// together are not retried together.
///
/// Every draw is uniform over the whole nanoseconds of its range, both ends included. No jitter passes the
/// maximum delay of an exponential policy: the range ends there, so waits do not pile up at the cap.
///
/// serde reads and writes `"none"`, `"full"`, `"equal"`, `"decorrelated"` and `{ "proportional": 0.1 }`.
///
/// ```
/// use std::time::Duration;
/// use hookwire::{Jitter, RetryPolicy};
///
/// let policy = RetryPolicy::delays([Duration::from_secs(60)])?.with_jitter(Jitter::Full)?;
/// let (one, other) = (policy.next(1, Duration::ZERO, 1, None), policy.next(1, Duration::ZERO, 2, None));
/// assert_ne!(one, other, "each delivery has its own wait");
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// Exactly the nominal delay.
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
    /// [largest delay](crate::RetryPolicy::largest_delay).
    ///
    /// The delays between the smallest and the largest only decide about `max_elapsed`. The wait before is
    /// the one that the same seed gave, without any `Retry-After`. At most 1,024 waits are computed, so
    /// attempt four billion costs no more than attempt 1,024. From "Exponential Backoff And Jitter" of the
    /// AWS Architecture Blog.
    Decorrelated,
}

impl Jitter {
    pub(super) fn check(self) -> Result<(), Error> {
        match self {
            Self::Proportional(ratio) if !(0.0..=1.0).contains(&ratio) => {
                Err(nonsense(format!("jitter ratio is {ratio}")).with_expected("a number from 0 to 1"))
            }
            _ => Ok(()),
        }
    }
}

/// A number from `low` to `high`, both included, by multiplication (Lemire 2019): no division, and no number
/// is likelier than another by more than its range's share of 2^64.
pub(super) fn between(low: u64, high: u64, random: u64) -> u64 {
    let width = u128::from(high.saturating_sub(low)) + 1;
    low + ((u128::from(random) * width) >> 64) as u64
}

/// The `attempt`-th output of SplitMix64 (Steele, Lea, Flood 2014) started at `seed`.
///
/// Part of the promise that a seed gives the same delays in every version: never change it.
pub(super) fn draw(seed: u64, attempt: u32) -> u64 {
    let mut z = seed.wrapping_add(u64::from(attempt).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

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
