//! Looking, claiming, extending and settling in the [`State`].

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use super::event::Event;
use super::moment::Moment;
use super::queue::{Queue, Row};
use super::state::{QUEUE, ROW, State};
use crate::id::DeliveryId;
use crate::store::implement::row::later;
use crate::store::{
    Claim, DueDelivery, Lease, Leased, Poll, Polled, ReadyDetails, Settled, Settlement, Share,
};
use crate::subscription::Subscription;

impl State {
    pub(super) fn look(&mut self, poll: &Poll) -> Polled {
        let (limit, now) = (poll.limit as usize, Moment::from(poll.now));
        let mut ready = Vec::new();
        let mut polled = Polled::default();
        for (place, contract) in poll.contracts.iter().enumerate() {
            let is_named_again = poll.contracts[..place].contains(contract);
            let Some(turns) = self.turns.get(contract).filter(|_| !is_named_again) else { continue };
            let others = ready.len();
            ready.extend(turns.iter().take_while(|(turn, _)| *turn <= now).map(|(_, id)| *id));
            let mut first = turns.iter().map(|(turn, _)| *turn);
            if ready.len() > others {
                polled.oldest_due.extend(first.next().map(|turn| (contract.clone(), now.since(turn))));
            }
            let later = turns.iter().nth(ready.len() - others).map(|(turn, _)| turn.since(now));
            polled.wait = polled.wait.into_iter().chain(later).min();
        }
        let is_cut = ready.len() > limit;
        if is_cut {
            // List them in turn by id, from the end of the last cut list, because the longest overdue would
            // hide the others.
            ready.sort_unstable();
            let start = self.last_listed.last_listed(&poll.contracts);
            let start = start.map_or(0, |last| ready.partition_point(|id| *id <= last));
            let start = start % ready.len();
            ready.rotate_left(start);
            ready.truncate(limit);
            polled.wait = Some(Duration::ZERO);
        }
        self.last_listed.set(&poll.contracts, ready.last().copied().filter(|_| is_cut));
        let details = ready.iter().map(|id| {
            let subscription = &self.subscriptions[id];
            let is_failing = subscription.health.failing_since().is_some();
            ReadyDetails::new(*id, subscription.organization.clone(), is_failing)
        });
        polled.details = details.collect();
        polled.ready = ready;
        polled
    }

    pub(super) fn claim(&mut self, share: &Share, claim: &Claim, claimed: &mut Vec<Leased>) {
        // A subscription has a turn while it exists, is enabled, and has due or future deliveries.
        let Some(queue) = self.queues.get_mut(&share.subscription) else { return };
        let until = later(claim.now, claim.lease);
        let now = Moment::from(claim.now);
        if queue.turn.is_none_or(|turn| turn > now) {
            return;
        }
        let subscription = &self.subscriptions[&share.subscription];
        if claim.contracts.iter().all(|contract| contract != subscription.contract.name()) {
            return;
        }
        // Remove all before any is put back, so that a delivery with a lease of no length is not claimed
        // twice.
        let taken: Vec<_> = std::iter::from_fn(|| queue.due.pop(now)).take(share.limit as usize).collect();
        claimed.reserve(taken.len());
        for id in taken {
            let row = self.rows.get_mut(&id).expect(ROW);
            claimed.push(lease_row(id, row, &self.events[&row.event], subscription, queue, until));
        }
        self.refresh(share.subscription);
    }

    pub(super) fn extend(&mut self, id: DeliveryId, lease: Lease, until: OffsetDateTime) -> Settled {
        let Some(row) = self.rows.get_mut(&id) else { return Settled::Stale };
        let place = row.due_place(id);
        let settled = row.delivery.extend(lease, until);
        if settled == Settled::Done {
            self.requeue(id, place);
        }
        settled
    }

    pub(super) fn settle(&mut self, settlement: &Settlement) -> Settled {
        let Settlement { key: id, now, .. } = *settlement;
        let Some(row) = self.rows.get_mut(&id) else { return Settled::Stale };
        let place = row.due_place(id);
        let was_kept_since = row.delivery.kept_since;
        if row.delivery.settle(settlement) == Settled::Stale {
            return Settled::Stale;
        }
        if row.delivery.kept_since != was_kept_since {
            self.kept.extend(row.delivery.kept_since.map(|since| (since.into(), id)));
            was_kept_since.map(|since| self.kept.remove(&(since.into(), id)));
        }
        if let Some(attempt) = settlement.log() {
            if row.log.is_empty() {
                // Most deliveries have one attempt.
                row.log.reserve_exact(1);
            }
            row.log.push(attempt.clone());
        }
        let subscription = row.subscription;
        if row.delivery.is_pending() {
            self.requeue(id, place);
        } else {
            self.ended(id, place, now);
        }
        if let Some(pause) = settlement.pause() {
            let queue = self.queues.get_mut(&subscription).expect(QUEUE);
            queue.pause.add(pause, now);
            self.refresh(subscription);
        }
        if let Some(reason) = settlement.disable() {
            self.change_subscription(subscription, |subscription| {
                subscription.disable(reason, now);
            });
        }
        Settled::Done
    }
}

/// Leases a row that was taken out of its queue, and puts it back under the end of its lease.
pub(super) fn lease_row(
    id: DeliveryId,
    row: &mut Row,
    event: &Event,
    subscription: &Arc<Subscription>,
    queue: &mut Queue,
    until: OffsetDateTime,
) -> Leased {
    let due_at = row.delivery.due_at;
    let lease = row.delivery.lease(until);
    queue.due.insert(row.due_place(id));
    let payload = event.payload(row.payload);
    let bytes = payload.bytes().expect("invariant: what is pending has a payload");
    let due = DueDelivery::new(
        id,
        payload.contract.clone(),
        event.id.clone(),
        event.event_type.clone(),
        bytes.clone(),
        Arc::clone(subscription),
    )
    .with_due_at(due_at)
    .with_trace(event.trace)
    .with_order(event.ordering_key.is_some());
    Leased::new(due, lease)
        .with_attempt(row.delivery.attempts.saturating_add(1), row.delivery.first_attempt_at)
}
