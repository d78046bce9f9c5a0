//! What becomes of a delivery: (progress, outcome) to next state, pure.

use std::time::Duration;

use crate::contract::{Contract, Judgement};
use crate::delivery::DeadReason;
use crate::outcome::Outcome;
use crate::retry::RetryPolicy;

/// How far a delivery has come with the attempt that just ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// The attempt that just ended, from 1.
    pub attempt: u32,
    /// The time since the first attempt began.
    pub elapsed: Duration,
    /// Picks the jitter; the same for the same delivery, so that it is reproducible.
    pub seed: u64,
}

impl Progress {
    /// A delivery whose `attempt` ended `elapsed` after its first attempt began.
    pub const fn new(attempt: u32, elapsed: Duration, seed: u64) -> Self {
        Self { attempt, elapsed, seed }
    }
}

/// What becomes of a delivery after an attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Next {
    /// It was delivered.
    Delivered,
    /// It is tried again.
    #[non_exhaustive]
    Retry {
        /// After this long.
        after: Duration,
    },
    /// It is a dead letter.
    #[non_exhaustive]
    Dead {
        /// Why.
        reason: DeadReason,
    },
}

impl Next {
    /// What `contract` makes of `outcome`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use hookwire::{Contract, Next, Outcome, Progress};
    /// use http::StatusCode;
    ///
    /// let failed = Outcome::answered(StatusCode::INTERNAL_SERVER_ERROR);
    /// let first = Progress::new(1, Duration::ZERO, 7);
    /// assert_eq!(Next::after(&Contract::allison(), first, &failed), Next::retry(Duration::from_secs(60)));
    /// ```
    pub fn after(contract: &Contract, progress: Progress, outcome: &Outcome) -> Self {
        Self::by(contract, contract.retry(), progress, outcome)
    }

    /// What `contract` makes of `outcome`, with retries by this policy: a subscription's own ([`Options::retry`](crate::Options::retry)).
    pub fn by(contract: &Contract, retry: &RetryPolicy, progress: Progress, outcome: &Outcome) -> Self {
        match contract.judge(outcome) {
            Judgement::Success => Self::Delivered,
            Judgement::Final => Self::dead(DeadReason::Refused),
            Judgement::Gone => Self::dead(DeadReason::Gone),
            Judgement::Retry => retry
                .next(progress.attempt, progress.elapsed, progress.seed, outcome.retry_after())
                .map_or(Self::dead(DeadReason::Exhausted), Self::retry),
        }
    }

    /// Another attempt after `after`.
    pub const fn retry(after: Duration) -> Self {
        Self::Retry { after }
    }

    /// A dead letter for `reason`.
    pub const fn dead(reason: DeadReason) -> Self {
        Self::Dead { reason }
    }
}
