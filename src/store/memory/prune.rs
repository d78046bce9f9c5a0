//! What has ended, by when it did, so that pruning walks over nothing that is kept.

use std::collections::BTreeSet;
use std::time::Duration;

use time::OffsetDateTime;

use super::moment::Moment;
use super::state::{Event, State};
use crate::id::DeliveryId;
use crate::store::Retention;

/// Everything that a retention may delete, by when it ended.
#[derive(Default)]
pub(super) struct Ends {
    /// Events without a pending delivery that still have their payload.
    payloads: BTreeSet<(Moment, u64)>,
    /// Events without any delivery.
    events: BTreeSet<(Moment, u64)>,
    /// Deliveries whose attempts were not pruned.
    attempts: BTreeSet<(Moment, DeliveryId)>,
    deliveries: BTreeSet<(Moment, DeliveryId)>,
}

impl Ends {
    /// The last of an event's pending deliveries ended, or it never had one.
    pub(super) fn event_ended(&mut self, number: u64, event: &Event) {
        if event.payload.kept().is_some() {
            self.payloads.insert((event.ended_at.into(), number));
        }
        self.delivery_gone(number, event);
    }

    /// An event is given a pending delivery.
    pub(super) fn event_resumed(&mut self, number: u64, event: &Event) {
        self.payloads.remove(&(event.ended_at.into(), number));
        self.events.remove(&(event.ended_at.into(), number));
    }

    pub(super) fn payload_gone(&mut self, number: u64, event: &Event) {
        self.payloads.remove(&(event.ended_at.into(), number));
    }

    pub(super) fn delivery_ended(&mut self, id: DeliveryId, at: OffsetDateTime, was_attempted: bool) {
        let at = Moment::from(at);
        if was_attempted {
            self.attempts.insert((at, id));
        }
        self.deliveries.insert((at, id));
    }

    /// An event may have no delivery left.
    pub(super) fn delivery_gone(&mut self, number: u64, event: &Event) {
        if event.deliveries.is_empty() {
            self.events.insert((event.ended_at.into(), number));
        }
    }
}

impl State {
    pub(super) fn prune(&mut self, retention: &Retention, now: OffsetDateTime, limit: u32) -> u64 {
        let limit = limit as usize;
        let mut pruned = 0;
        if let Some(before) = age(retention.payloads, now) {
            pruned += self.prune_payloads(before, limit);
        }
        let mut attempts = limit;
        if let Some(before) = age(retention.attempts, now) {
            attempts -= self.prune_attempts(before, attempts);
        }
        if let Some(before) = age(retention.deliveries, now) {
            pruned += self.prune_deliveries(before, limit, &mut attempts);
            pruned += self.prune_events(before, limit);
        }
        (pruned + limit - attempts) as u64
    }

    fn prune_payloads(&mut self, before: Moment, limit: usize) -> usize {
        let old: Vec<_> = until(&self.ends.payloads, before).take(limit).collect();
        for (ended_at, number) in &old {
            self.ends.payloads.remove(&(*ended_at, *number));
            self.events.get_mut(number).expect(super::state::EVENT).payload.expunge();
        }
        old.len()
    }

    fn prune_attempts(&mut self, before: Moment, limit: usize) -> usize {
        let old: Vec<_> = until(&self.ends.attempts, before).take(limit).collect();
        let mut pruned = 0;
        for (ended_at, id) in old {
            pruned += self.prune_log(id, limit - pruned);
            if !self.is_log_empty(id) {
                break;
            }
            self.ends.attempts.remove(&(ended_at, id));
        }
        pruned
    }

    /// A delivery goes with its last attempt; `attempts` is how many of those may go too.
    fn prune_deliveries(&mut self, before: Moment, limit: usize, attempts: &mut usize) -> usize {
        let old: Vec<_> = until(&self.ends.deliveries, before).take(limit).collect();
        let mut pruned = 0;
        for (ended_at, id) in old {
            *attempts -= self.prune_log(id, *attempts);
            if !self.is_log_empty(id) {
                break;
            }
            self.ends.attempts.remove(&(ended_at, id));
            self.ends.deliveries.remove(&(ended_at, id));
            self.remove_row(id);
            pruned += 1;
        }
        pruned
    }

    fn prune_events(&mut self, before: Moment, limit: usize) -> usize {
        let old: Vec<_> = until(&self.ends.events, before).take(limit).collect();
        for (ended_at, number) in &old {
            self.ends.events.remove(&(*ended_at, *number));
            self.remove_event(*number);
        }
        old.len()
    }

    /// Deletes the first attempts of a delivery, and tells how many.
    fn prune_log(&mut self, id: DeliveryId, limit: usize) -> usize {
        let Some(row) = self.rows.get_mut(&id) else { return 0 };
        let old = row.log.len().min(limit);
        row.log.drain(..old);
        old
    }

    fn is_log_empty(&self, id: DeliveryId) -> bool {
        self.rows.get(&id).is_none_or(|row| row.log.is_empty())
    }
}

/// The last instant at which what ended is old enough to go.
fn age(kept: Option<Duration>, now: OffsetDateTime) -> Option<Moment> {
    now.checked_sub(kept?.try_into().ok()?).map(Moment::from)
}

fn until<T: Copy + Ord>(
    ends: &BTreeSet<(Moment, T)>,
    before: Moment,
) -> impl Iterator<Item = (Moment, T)> + '_ {
    ends.iter().take_while(move |(ended_at, _)| *ended_at <= before).copied()
}
