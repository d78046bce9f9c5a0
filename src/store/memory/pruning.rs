//! Deleting old rows of a [`MemoryStore`].

use std::collections::BTreeSet;
use std::time::Duration;

use time::OffsetDateTime;

use super::memory_store::MemoryStore;
use super::moment::Moment;
use super::state::{EVENT, State};
use crate::id::DeliveryId;
use crate::store::{Pruning, Retention, StoreError};

impl Pruning for MemoryStore {
    async fn prune(&self, retention: &Retention, limit: u32, now: OffsetDateTime) -> Result<u64, StoreError> {
        Ok(self.state().prune(retention, now, limit))
    }
}

impl State {
    fn prune(&mut self, retention: &Retention, now: OffsetDateTime, limit: u32) -> u64 {
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
            self.events.get_mut(number).expect(EVENT).expunge();
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

    /// Deletes deliveries with their attempts, at most `attempts` of these.
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

    /// Deletes the first attempts of a delivery, and returns how many.
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

/// The latest end of a row that is old enough to be deleted.
fn age(kept: Option<Duration>, now: OffsetDateTime) -> Option<Moment> {
    now.checked_sub(kept?.try_into().ok()?).map(Moment::from)
}

fn until<T: Copy + Ord>(
    ends: &BTreeSet<(Moment, T)>,
    before: Moment,
) -> impl Iterator<Item = (Moment, T)> + '_ {
    ends.iter().take_while(move |(ended_at, _)| *ended_at <= before).copied()
}
