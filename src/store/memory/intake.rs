//! Storing requests in a [`MemoryStore`] until they are handled.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::Duration;

use time::OffsetDateTime;

use super::memory_store::MemoryStore;
use super::requests::State;
use crate::store::implement::row::later;
use crate::store::{
    GivenUpRequest, InboxKey, Intake, Lease, LeaseRequests, LeasedRequests, RequestAttempt, Settled,
    Settlement, StoreError, Stored, StoredRequest, WaitingRequests,
};

impl Intake for MemoryStore {
    async fn store_requests(&self, requests: &[StoredRequest]) -> Result<Vec<Stored>, StoreError> {
        let mut stored = self.requests();
        Ok(requests.iter().map(|request| stored.store(request)).collect())
    }

    async fn next_due(&self, queue: &str, now: OffsetDateTime) -> Result<Option<Duration>, StoreError> {
        let stored = self.requests();
        let first = stored.due.get(queue).and_then(BTreeSet::first);
        Ok(first.map(|(due_at, ..)| Duration::try_from(*due_at - now).unwrap_or(Duration::ZERO)))
    }

    async fn waiting(
        &self,
        queue: &str,
        limit: u32,
        now: OffsetDateTime,
    ) -> Result<WaitingRequests, StoreError> {
        let stored = self.requests();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let due = stored.due.get(queue).into_iter().flatten().take(limit);
        let arrived: Vec<_> =
            due.filter_map(|(.., key)| Some(stored.entries.get(key)?.request.received_at)).collect();
        let oldest = arrived.iter().min().map(|at| Duration::try_from(now - *at).unwrap_or(Duration::ZERO));
        Ok(WaitingRequests::new(arrived.len() as u64, oldest))
    }

    async fn lease_requests(&self, wanted: &LeaseRequests) -> Result<LeasedRequests, StoreError> {
        let mut stored = self.requests();
        let mut leased = LeasedRequests::default();
        let limit = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
        let queue = stored.due.get(&wanted.queue).into_iter().flatten();
        let due = queue.take_while(|(due_at, ..)| *due_at <= wanted.now).take(limit);
        let keys: Vec<_> = due.map(|(_, _, key)| key.clone()).collect();
        for key in keys {
            stored.lease(&key, wanted, &mut leased);
        }
        Ok(leased)
    }

    async fn extend_requests(
        &self,
        leases: &[(InboxKey, Lease)],
        lease: Duration,
        now: OffsetDateTime,
    ) -> Result<Vec<Settled>, StoreError> {
        let mut stored = self.requests();
        let until = later(now, lease);
        let extend = |(key, lease): &(InboxKey, Lease)| match stored.is_leased(key, *lease) {
            true => {
                stored.change(key, |entry| entry.state = State::Due(until));
                Settled::Done
            }
            false => Settled::Stale,
        };
        Ok(leases.iter().map(extend).collect())
    }

    async fn settle_requests(
        &self,
        settlements: &[Settlement<InboxKey, RequestAttempt>],
        keep: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        let mut stored = self.requests();
        Ok(settlements.iter().map(|settlement| stored.settle(settlement, keep)).collect())
    }

    async fn given_up(
        &self,
        queue: &str,
        after: Option<&InboxKey>,
        limit: u32,
    ) -> Result<Vec<GivenUpRequest>, StoreError> {
        let stored = self.requests();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let all = stored.entries.range::<InboxKey, _>((from, Bound::Unbounded));
        let given_up = all.filter(|(_, entry)| entry.request.queue == queue).filter_map(|(_, entry)| {
            let State::GivenUp(at) = entry.state else { return None };
            Some(GivenUpRequest::new(entry.request.clone(), entry.attempts, at, entry.reason.clone()))
        });
        Ok(given_up.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }

    async fn put_back(&self, key: &InboxKey, now: OffsetDateTime) -> Result<bool, StoreError> {
        Ok(self.requests().change_given_up(key, |entry| {
            entry.attempts = 0;
            entry.first_attempt_at = None;
            entry.reason.clear();
            entry.state = State::Due(now);
        }))
    }

    async fn close_given_up(
        &self,
        key: &InboxKey,
        keep: Duration,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        Ok(self.requests().change_given_up(key, |entry| entry.done(later(now, keep))))
    }

    async fn expire_given_up(
        &self,
        queue: &str,
        age: Duration,
        keep: Duration,
        limit: u32,
        now: OffsetDateTime,
    ) -> Result<Vec<InboxKey>, StoreError> {
        let mut stored = self.requests();
        let own = stored.entries.iter().filter(|(_, entry)| entry.request.queue == queue);
        let old = own.filter_map(|(key, entry)| match entry.state {
            State::GivenUp(at) if later(at, age) <= now => Some((at, key.clone())),
            _ => None,
        });
        let mut old: Vec<_> = old.collect();
        old.sort_unstable();
        old.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let end = |(_, key): (_, InboxKey)| {
            stored.change_given_up(&key, |entry| entry.done(later(now, keep)));
            key
        };
        Ok(old.into_iter().map(end).collect())
    }

    async fn prune_done(&self, limit: u32, now: OffsetDateTime) -> Result<u64, StoreError> {
        let mut stored = self.requests();
        let mut pruned = 0;
        while pruned < u64::from(limit) {
            let Some((_, _, key)) = stored.ends.first().filter(|(end, ..)| *end <= now).cloned() else {
                break;
            };
            stored.forget(&key);
            pruned += 1;
        }
        Ok(pruned)
    }
}
