//! [`Statistics`]: what came of a subscription's attempts, counted the same way by every store.

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;

use super::Period;
use crate::outcome::Outcome;
use crate::subscription::Health;

/// What came of a subscription's attempts in a period, and what it has pending.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Statistics {
    /// How many attempts ended in which way, all slots together.
    pub outcomes: Vec<Count>,
    /// The same for each slot in which there was an attempt, in the order of time.
    pub slots: Vec<Slot>,
    /// How long the attempts took that were answered; `None` when none was.
    pub latency: Option<Latency>,
    /// Whether there were more deliveries than are looked at ([`Period::MOST_DELIVERIES`]), so that only the newest are counted.
    pub is_cut: bool,
    /// How the endpoint fares now; it tells since when it fails.
    pub health: Health,
    /// What is pending now.
    pub backlog: Backlog,
}

impl Statistics {
    /// What `counts`, each with the number of its slot in `period`, come to together.
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

    /// How many attempts there were.
    pub fn attempts(&self) -> u64 {
        self.outcomes.iter().map(|count| count.attempts).sum()
    }

    /// Which share of the attempts ended as `is_success` says, from 0 to 1; `None` when there were none.
    pub fn share(&self, is_success: impl Fn(&Outcome) -> bool) -> Option<f64> {
        let all = self.attempts();
        let counted = self.outcomes.iter().filter(|count| is_success(&count.outcome));
        let counted: u64 = counted.map(|count| count.attempts).sum();
        (all > 0).then(|| counted as f64 / all as f64)
    }
}

/// How long attempts took that were answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Latency {
    /// No longer than this did half of them take.
    pub median: Duration,
    /// No longer than this did 95 of 100 take.
    pub p95: Duration,
    /// No longer than this did 99 of 100 take.
    pub p99: Duration,
    /// The slowest.
    pub max: Duration,
}

impl Latency {
    /// Of attempts that took so long.
    pub fn of(mut took: Vec<Duration>) -> Option<Self> {
        took.sort_unstable();
        let max = *took.last()?;
        // The least that so many of a hundred do not exceed.
        let rank = |part: usize| took[(took.len() * part).div_ceil(100).max(1) - 1];
        Some(Self { median: rank(50), p95: rank(95), p99: rank(99), max })
    }
}

/// What a subscription has pending.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Backlog {
    /// How many deliveries, up to [`MOST`](Self::MOST).
    pub pending: u64,
    /// When the oldest of those that were counted was made.
    pub since: Option<OffsetDateTime>,
}

impl Backlog {
    /// How many are counted: where it is this many, there may be more.
    pub const MOST: u32 = 10_000;

    /// This many, the oldest made at `since`.
    pub const fn new(pending: u64, since: Option<OffsetDateTime>) -> Self {
        Self { pending, since }
    }
}

/// Attempts of one slot.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Slot {
    /// When the slot begins.
    pub at: OffsetDateTime,
    /// How many attempts ended in which way.
    pub outcomes: Vec<Count>,
}

/// How many attempts ended in one way.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Count {
    /// The way, without a wait that was asked for.
    pub outcome: Outcome,
    /// How many.
    pub attempts: u64,
}

impl Count {
    /// So many that ended so.
    pub const fn new(outcome: Outcome, attempts: u64) -> Self {
        Self { outcome: outcome.with_retry_after(None), attempts }
    }
}

/// Kept in order: what failed without an answer first, then by status.
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
