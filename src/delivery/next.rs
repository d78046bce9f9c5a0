//! [`Next`]: the next state of a delivery after an attempt, computed from its [`Progress`] and the outcome.

use std::time::Duration;

use crate::contract::{Contract, Judgement};
use crate::delivery::state::DeadReason;
use crate::outcome::Outcome;
use crate::retry::RetryPolicy;

/// The progress of a delivery whose attempt just ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// The number of the attempt that just ended, from 1.
    pub attempt: u32,
    /// The time since the first attempt began.
    pub elapsed: Duration,
    /// Picks the jitter: the same for all attempts of a delivery, so that it is reproducible.
    pub seed: u64,
}

impl Progress {
    /// Makes the progress of a delivery whose `attempt` ended `elapsed` after its first attempt began.
    pub const fn new(attempt: u32, elapsed: Duration, seed: u64) -> Self {
        Self { attempt, elapsed, seed }
    }
}

/// The next state of a delivery, or of a stored request, after an attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Next {
    /// It is delivered, or handled.
    Done,
    /// It is tried again.
    #[non_exhaustive]
    Retry {
        /// How long after the settlement.
        after: Duration,
    },
    /// Nothing attempts it again by itself: it is a dead letter, or a request that was given up.
    #[non_exhaustive]
    Dead {
        /// Why it is one.
        reason: DeadReason,
    },
}

impl Next {
    /// Judges `outcome` under `contract`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use hookwire::delivery::{Next, Progress};
    /// use hookwire::{Contract, Outcome};
    /// use http::StatusCode;
    ///
    /// let failed = Outcome::answered(StatusCode::INTERNAL_SERVER_ERROR);
    /// let first = Progress::new(1, Duration::ZERO, 7);
    /// assert_eq!(Next::after(&Contract::allison(), first, &failed), Next::retry(Duration::from_secs(60)));
    /// ```
    pub fn after(contract: &Contract, progress: Progress, outcome: &Outcome) -> Self {
        Self::by(contract, contract.retry(), progress, outcome)
    }

    /// Judges `outcome` under `contract`, with another retry policy than the contract's: a subscription's own
    /// ([`Options::retry`](crate::subscription::Options::retry)).
    pub fn by(contract: &Contract, retry: &RetryPolicy, progress: Progress, outcome: &Outcome) -> Self {
        match contract.judge(outcome) {
            Judgement::Success => Self::Done,
            Judgement::Final => Self::dead(DeadReason::Refused),
            Judgement::Gone => Self::dead(DeadReason::Gone),
            Judgement::Retry => retry
                .next(progress.attempt, progress.elapsed, progress.seed, outcome.retry_after())
                .map_or(Self::dead(DeadReason::Exhausted), Self::retry),
        }
    }

    /// Has the delivery tried again after `after`.
    pub const fn retry(after: Duration) -> Self {
        Self::Retry { after }
    }

    /// Makes the delivery a dead letter for `reason`.
    pub const fn dead(reason: DeadReason) -> Self {
        Self::Dead { reason }
    }
}
