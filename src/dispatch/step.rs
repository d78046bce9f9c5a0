//! [`Step`]: one batch of deliveries, without a loop.

use std::time::Duration;

use futures_util::future::join_all;
use http::HeaderMap;
use time::OffsetDateTime;

use crate::delivery::Next;
use crate::dispatch::clock::AttemptTime;
use crate::dispatch::deliveries::Deliveries;
use crate::id::SubscriptionId;
use crate::lease::Source as _;
use crate::store::{Settled, StoreError};

/// The result of one [`Dispatcher::step`](crate::dispatch::Dispatcher::step).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Step {
    /// Deliveries that reached their endpoints.
    pub delivered: usize,
    /// Deliveries that are tried again later.
    pub retried: usize,
    /// Deliveries that became dead letters.
    pub dead: usize,
    /// Deliveries that were handed back untried, for a fault on this side.
    pub kept_back: usize,
    /// Attempts that were not written, because their leases had ended.
    pub stale: usize,
    /// How long after the step's time the next delivery is due; `None` where none is pending.
    pub next_due: Option<Duration>,
}

impl Deliveries {
    /// Delivers one batch of what is due at `now`.
    pub(super) async fn step(&self, now: OffsetDateTime) -> Result<Step, StoreError> {
        self.look_at(now).await?;
        let claim = self.claim_at(now, None);
        let mut finished = Vec::new();
        if !claim.shares.is_empty() {
            self.sender.faults.began(now);
            let claimed = self.claim(&claim).await?;
            let ids = claimed.work.iter().map(|claimed| claimed.subscription.id).collect();
            let room = Room { deliveries: self, taken: ids };
            finished = claimed.finished;
            let time = AttemptTime::Still(now);
            let attempts = claimed
                .work
                .into_iter()
                .map(async |claimed| self.sender.attempt(claimed, &time, &mut HeaderMap::new()).await);
            finished.extend(join_all(attempts).await);
            room.leave();
            let mut scheduler = self.scheduler();
            finished.iter_mut().for_each(|finished| finished.leave(&mut scheduler));
        }
        let mut step = Step::default();
        for (finished, settled) in finished.iter().zip(self.settle(&finished).await?) {
            match (settled, &finished.settlement.next) {
                (Settled::Stale, _) => step.stale += 1,
                (Settled::Done, Next::Done) => step.delivered += 1,
                (Settled::Done, Next::Retry { .. }) if finished.settlement.attempt.is_none() => {
                    step.kept_back += 1;
                }
                (Settled::Done, Next::Retry { .. }) => step.retried += 1,
                (Settled::Done, Next::Dead { .. }) => step.dead += 1,
            }
        }
        let later = self.look_at(now).await?;
        let opening = self.scheduler().opening(&later.ready, now);
        let gate = self.sender.faults.wait(now);
        step.next_due = opening.map(|wait| wait.max(gate)).into_iter().chain(later.wait).min();
        Ok(step)
    }
}

/// The slots that a step's attempts hold. They are given back when the step is dropped before they end.
struct Room<'a> {
    deliveries: &'a Deliveries,
    taken: Vec<SubscriptionId>,
}

impl Room<'_> {
    fn leave(mut self) {
        self.taken.clear();
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut scheduler = self.deliveries.scheduler();
        self.taken.drain(..).for_each(|id| scheduler.left(id));
    }
}
