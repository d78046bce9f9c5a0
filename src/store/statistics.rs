//! [`Statistics`]: the outcomes of a subscription's attempts, counted the same way by every store.

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;

use super::period::Period;
use crate::outcome::Outcome;
use crate::subscription::Health;

/// The outcomes of a subscription's attempts in a period, and its pending deliveries.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Statistics {
    /// The number of attempts by outcome, all slots together.
    pub outcomes: Vec<Count>,
    /// The number of attempts by outcome for each slot that has an attempt, in the order of time.
    pub slots: Vec<Slot>,
    /// How long the answered attempts took; `None` when none was answered.
    pub latency: Option<Latency>,
    /// Whether there were more deliveries than are read ([`Period::MOST_DELIVERIES`]), so that only the
    /// newest are counted.
    pub is_cut: bool,
    /// The health of the endpoint now, which says since when it fails.
    pub health: Health,
    /// The pending deliveries now.
    pub backlog: Backlog,
}

impl Statistics {
    /// Adds up `counts`, each with the number of its slot in `period`.
    pub fn from_counts(period: &Period, counts: impl IntoIterator<Item = (u64, Count)>) -> Self {
        let mut slots = BTreeMap::<u64, Vec<Count>>::new();
        let mut outcomes = Vec::new();
        for (slot, counted) in counts {
            add(slots.entry(slot).or_default(), counted);
            add(&mut outcomes, counted);
        }
        let slots = slots
            .into_iter()
            .map(|(number, outcomes)| Slot { at: period.slot_at(number), outcomes })
            .collect();
        Self { outcomes, slots, ..Self::default() }
    }

    /// The number of all attempts.
    pub fn attempts(&self) -> u64 {
        self.outcomes.iter().map(|count| count.attempts).sum()
    }

    /// The share of the attempts for whose outcome `is_success` holds, from 0 to 1; `None` when there were no
    /// attempts.
    pub fn share(&self, is_success: impl Fn(&Outcome) -> bool) -> Option<f64> {
        let all = self.attempts();
        let counted = self.outcomes.iter().filter(|count| is_success(&count.outcome));
        let counted: u64 = counted.map(|count| count.attempts).sum();
        (all > 0).then(|| counted as f64 / all as f64)
    }
}

/// How long answered attempts took.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Latency {
    /// Half of them took no longer than this.
    pub median: Duration,
    /// 95 of 100 took no longer than this.
    pub p95: Duration,
    /// 99 of 100 took no longer than this.
    pub p99: Duration,
    /// The slowest took this long.
    pub max: Duration,
}

impl Latency {
    /// Computes the latency of attempts that took this long each; `None` for no attempts.
    pub fn of(mut took: Vec<Duration>) -> Option<Self> {
        took.sort_unstable();
        let max = *took.last()?;
        // The least duration that this many of a hundred do not exceed (nearest rank).
        let rank = |part: usize| took[(took.len() * part).div_ceil(100).max(1) - 1];
        Some(Self { median: rank(50), p95: rank(95), p99: rank(99), max })
    }
}

/// The pending deliveries of a subscription.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Backlog {
    /// How many there are, up to [`MOST`](Self::MOST).
    pub pending: u64,
    /// When the oldest of those that were counted was made.
    pub since: Option<OffsetDateTime>,
}

impl Backlog {
    /// The number up to which they are counted; at this number there may be more.
    pub const MOST: u32 = 10_000;

    /// Makes a backlog of this many deliveries, the oldest of which was made at `since`.
    pub const fn new(pending: u64, since: Option<OffsetDateTime>) -> Self {
        Self { pending, since }
    }
}

/// The due deliveries of one contract.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ContractBacklog {
    /// The contract's name.
    pub contract: String,
    /// How many deliveries are due, up to [`Backlog::MOST`].
    pub due: u64,
    /// For how long the delivery that waits longest could have been claimed.
    pub waited: Duration,
}

impl ContractBacklog {
    /// Makes the backlog of a contract of which this many deliveries are due, the oldest for `waited`.
    pub fn new(contract: impl Into<String>, due: u64, waited: Duration) -> Self {
        Self { contract: contract.into(), due, waited }
    }
}

/// The attempts of one slot.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Slot {
    /// When the slot begins.
    pub at: OffsetDateTime,
    /// The number of attempts by outcome.
    pub outcomes: Vec<Count>,
}

/// The number of attempts with one outcome.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Count {
    /// The outcome, without the wait that an endpoint asked for.
    pub outcome: Outcome,
    /// The number of attempts.
    pub attempts: u64,
}

impl Count {
    /// Makes a count of this many attempts with this outcome.
    pub const fn new(outcome: Outcome, attempts: u64) -> Self {
        Self { outcome: outcome.with_retry_after(None), attempts }
    }
}

/// Adds to counts that are sorted: failures without an answer first, then by status.
fn add(counts: &mut Vec<Count>, counted: Count) {
    let order = |outcome: &Outcome| match outcome {
        Outcome::Answered { status, .. } => (status.as_u16(), ""),
        Outcome::Failed(class) => (0, class.as_str()),
    };
    match counts.binary_search_by_key(&order(&counted.outcome), |count| order(&count.outcome)) {
        Ok(at) => counts[at].attempts += counted.attempts,
        Err(at) => counts.insert(at, counted),
    }
}
