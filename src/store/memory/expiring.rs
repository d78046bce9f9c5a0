//! Ending deliveries of the [`State`] that have waited for too long.

use time::OffsetDateTime;

use super::state::{EVENT, QUEUE, ROW, State};
use crate::delivery::{DeadReason, DeliveryState};
use crate::id::{DeliveryId, SubscriptionId};

impl State {
    /// Ends deliveries whose wait began by `before`, about `limit` of them, and returns how many.
    pub(super) fn expire(&mut self, before: OffsetDateTime, limit: usize, now: OffsetDateTime) -> u64 {
        let kept = self.kept.iter().take_while(|(since, _)| *since <= before.into());
        let kept: Vec<_> = kept.map(|(_, id)| *id).take(limit).collect();
        let mut expired = kept.len() as u64;
        kept.into_iter().for_each(|id| self.end(id, EXPIRED, now));
        let is_closed = |id: &SubscriptionId| {
            let (subscription, queue) = (self.subscriptions.get(id)?, self.queues.get(id)?);
            queue.pause.closed_since(&subscription.status, now).filter(|since| *since <= before)
        };
        let closed: Vec<_> = self.queues.keys().copied().filter(|id| is_closed(id).is_some()).collect();
        for id in closed {
            let left = limit.saturating_sub(usize::try_from(expired).unwrap_or(usize::MAX));
            let due: Vec<_> = self.queues[&id].due.by(before.into()).take(left).collect();
            for head in due {
                expired += self.expire_line(head, before, now);
            }
        }
        expired
    }

    /// Ends a delivery, and those that were blocked behind it for as long. The first of the others begins to
    /// wait when it was made.
    fn expire_line(&mut self, head: DeliveryId, before: OffsetDateTime, now: OffsetDateTime) -> u64 {
        let row = &self.rows[&head];
        let subscription = row.subscription;
        let key = self.events.get(&row.event).expect(EVENT).ordering_key.clone();
        let line = |state: &Self| -> Vec<DeliveryId> {
            let keys = &state.queues.get(&subscription).expect(QUEUE).keys;
            key.as_ref()
                .and_then(|key| keys.get(key))
                .into_iter()
                .flat_map(|line| line.values().copied())
                .collect()
        };
        let mut expired = 1;
        for id in line(self).into_iter().skip(1) {
            if self.rows[&id].created_at <= before {
                self.end(id, EXPIRED, now);
                expired += 1;
            }
        }
        self.end(head, EXPIRED, now);
        if let Some(next) = line(self).first() {
            let row = self.rows.get_mut(next).expect(ROW);
            let place = row.due_place(*next);
            row.delivery.due_at = row.created_at;
            self.requeue(*next, place);
        }
        expired
    }
}

const EXPIRED: DeliveryState = DeliveryState::Dead(DeadReason::Expired);
