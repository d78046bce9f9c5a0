//! Delays in the units that platforms publish them in.

use std::time::Duration;

use crate::retry::RetryPolicy;

/// The policy of these delays, in seconds.
pub(super) fn listed(delays: &[u64]) -> RetryPolicy {
    RetryPolicy::delays(delays.iter().map(|delay| seconds(*delay)))
        .expect("invariant: these delays make a policy")
}

pub(super) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) const MINUTE: u64 = 60;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;
