//! Replaying deliveries in the [`State`].

use std::collections::HashSet;

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::event::Payload;
use super::moment::Moment;
use super::state::{QUEUE, ROW, State};
use crate::delivery::{DeadReason, DeliveryState};
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::{MadePayload, MissingPayload, Replay, Replayed, StoreError};

impl State {
    pub(super) fn replay(
        &mut self,
        replay: &Replay,
        now: OffsetDateTime,
        limit: u32,
    ) -> Result<Replayed, StoreError> {
        let mut chosen = self.replayable(replay, now, (limit as usize).saturating_add(1));
        let more = chosen.len() > limit as usize;
        chosen.truncate(limit as usize);
        let missing: Vec<_> = chosen.iter().filter_map(|id| self.missing(*id)).collect();
        if !missing.is_empty() {
            return Ok(Replayed::default().with_missing(missing));
        }
        for id in &chosen {
            let row = &self.rows[id];
            let version = self.subscriptions[&row.subscription].contract.version();
            let place = self.events[&row.event].stored_place(version).unwrap_or(0);
            let (subscription, event) = (row.subscription, (row.event, place));
            for dead in self.open_dead_letters(row.event, subscription) {
                self.end_as(dead, DeadReason::Replayed);
            }
            self.add(self.id_after(*id, now), subscription, event, now);
        }
        Ok(Replayed::new(chosen.len().try_into().expect("invariant: no more than the limit"), more))
    }

    pub(super) fn missing_payloads(
        &self,
        replay: &Replay,
        now: OffsetDateTime,
        limit: u32,
    ) -> Vec<MissingPayload> {
        let chosen = self.replayable(replay, now, usize::MAX);
        chosen.into_iter().filter_map(|id| self.missing(id)).take(limit as usize).collect()
    }

    /// Returns the event of a delivery, if it is not stored in the version that the subscription speaks.
    fn missing(&self, id: DeliveryId) -> Option<MissingPayload> {
        let row = &self.rows[&id];
        let (event, contract) = (&self.events[&row.event], &self.subscriptions[&row.subscription].contract);
        let is_stored = event.stored_place(contract.version()).is_some();
        (!is_stored).then(|| MissingPayload::new(contract.clone(), event.id.clone()))
    }

    pub(super) fn add_payloads(&mut self, organization: &str, payloads: &[MadePayload]) {
        for MadePayload { event, contract, bytes } in payloads {
            let Some(number) = self.event_number(organization, contract.name(), event) else { continue };
            let event = self.events.get_mut(&number).expect("invariant: a numbered event is there");
            let is_known = event.payloads().any(|payload| payload.contract == *contract);
            if event.has_payload() && !is_known {
                event.older.push(Payload::made(contract, bytes.as_ref()));
            }
        }
    }

    /// Returns the dead deliveries of an event to a subscription that were neither replayed nor discarded.
    fn open_dead_letters(&self, event: u64, subscription: SubscriptionId) -> Vec<DeliveryId> {
        let is_open = |id: &&DeliveryId| {
            let row = &self.rows[*id];
            let is_cancelled = row.delivery.state == DeliveryState::Dead(DeadReason::Cancelled);
            row.subscription == subscription
                && (is_cancelled || DeliveryState::LETTERS.contains(&row.delivery.state))
        };
        self.events[&event].deliveries.iter().filter(is_open).copied().collect()
    }

    /// Changes the reason of a dead delivery to one that no replay of many finds.
    pub(super) fn end_as(&mut self, id: DeliveryId, reason: DeadReason) {
        let row = self.rows.get_mut(&id).expect(ROW);
        let (old, new) = (row.delivery.state, DeliveryState::Dead(reason));
        row.delivery.state = new;
        let queue = self.queues.get_mut(&row.subscription).expect(QUEUE);
        queue.dead.remove(&row.place(id));
        queue.ended.remove(&(old.as_str(), id));
        queue.ended.insert((new.as_str(), id));
    }

    /// Makes the id of a delivery that is made at `now` in place of another. It is derived from ids in the
    /// store, which came from the system's random source, so that a test that repeats the same calls gets the
    /// same ids.
    fn id_after(&self, id: DeliveryId, now: OffsetDateTime) -> DeliveryId {
        let digest =
            Sha256::new().chain_update(id.as_u128().to_be_bytes()).chain_update(self.inserted.to_be_bytes());
        let digest = digest.finalize();
        DeliveryId::from_parts(now, std::array::from_fn(|at| digest[at]))
    }

    /// Finds up to `most` deliveries of different events, oldest first. A replay of many finds only those
    /// that ended by `now`.
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
            let Some(subscription) = self.subscriptions.get(&row.subscription) else { return false };
            self.events[&row.event].has_payload()
                && self.events[&row.event].may_exist_in(subscription.contract.version())
                && !self.queues[&row.subscription].pending.contains_key(&row.event)
                && events.insert(row.event)
        };
        match replay {
            Replay::Delivery(id) => Some(*id).into_iter().filter(fit).collect(),
            Replay::DeadLetters(subscription) => dead(subscription)
                .map(|(.., id)| *id)
                .filter(|id| self.rows[id].delivery.state != DeliveryState::Dead(DeadReason::Cancelled))
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
