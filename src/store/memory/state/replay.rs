//! Making deliveries anew in place of dead ones.

use std::collections::HashSet;

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::{Moment, QUEUE, ROW, State};
use crate::delivery::{DeadReason, DeliveryState};
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::{Replay, Replayed, StoreError};

impl State {
    pub(in crate::store::memory) fn replay(
        &mut self,
        replay: &Replay,
        now: OffsetDateTime,
        limit: u32,
    ) -> Result<Replayed, StoreError> {
        let mut chosen = self.replayable(replay, now, (limit as usize).saturating_add(1));
        let more = chosen.len() > limit as usize;
        chosen.truncate(limit as usize);
        for id in &chosen {
            let row = self.rows.get_mut(id).expect(ROW);
            let (subscription, event) = (row.subscription, row.event);
            if let DeliveryState::Dead(_) = row.state {
                self.bury(*id, DeadReason::Replayed);
            }
            self.add(self.id_after(*id, now), subscription, event, now);
        }
        Ok(Replayed::new(chosen.len().try_into().expect("invariant: no more than the limit"), more))
    }

    /// Gives a dead one another reason, by which no replay of many makes it again.
    pub(in crate::store::memory) fn bury(&mut self, id: DeliveryId, reason: DeadReason) {
        let row = self.rows.get_mut(&id).expect(ROW);
        let (old, new) = (row.state, DeliveryState::Dead(reason));
        row.state = new;
        let queue = self.queues.get_mut(&row.subscription).expect(QUEUE);
        queue.dead.remove(&row.place(id));
        queue.ended.remove(&(old.as_str(), id));
        queue.ended.insert((new.as_str(), id));
    }

    /// A fresh id for a delivery that is made at `now` in place of another. Drawn from what is there already, which came from the
    /// system's random source: the same calls are answered the same, and a test of them can be repeated.
    fn id_after(&self, id: DeliveryId, now: OffsetDateTime) -> DeliveryId {
        let digest =
            Sha256::new().chain_update(id.as_u128().to_be_bytes()).chain_update(self.inserted.to_be_bytes());
        let digest = digest.finalize();
        DeliveryId::from_parts(now, std::array::from_fn(|at| digest[at]))
    }

    /// Up to `most` deliveries of different events, oldest first; of many, those that ended by `now`.
    fn replayable(&self, replay: &Replay, now: OffsetDateTime, most: usize) -> Vec<DeliveryId> {
        let by_now = |(.., id): &&(Moment, u64, DeliveryId)| {
            self.rows[id].ended_at.is_some_and(|ended_at| ended_at <= now)
        };
        let dead = |subscription: &SubscriptionId| {
            self.queues.get(subscription).into_iter().flat_map(|queue| queue.dead.iter()).filter(by_now)
        };
        let mut events = HashSet::new();
        let fit = |id: &DeliveryId| {
            let Some(row) = self.rows.get(id) else { return false };
            self.subscriptions.contains_key(&row.subscription)
                && self.events[&row.event].payload.kept().is_some()
                && !self.queues[&row.subscription].pending.contains_key(&row.event)
                && events.insert(row.event)
        };
        match replay {
            Replay::Delivery(id) => Some(*id).into_iter().filter(fit).collect(),
            Replay::DeadLetters(subscription) => dead(subscription)
                .map(|(.., id)| *id)
                .filter(|id| self.rows[id].state != DeliveryState::Dead(DeadReason::Cancelled))
                .filter(fit)
                .take(most)
                .collect(),
            Replay::Since(subscription, since) => {
                let since = Moment::from(*since);
                let made_since = |(created_at, ..): &&(Moment, u64, DeliveryId)| *created_at >= since;
                dead(subscription).filter(made_since).map(|(.., id)| *id).filter(fit).take(most).collect()
            }
        }
    }
}
