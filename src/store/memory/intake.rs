//! [`MemoryStore`] as an [`Intake`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;
use time::OffsetDateTime;

use super::{MemoryStore, later};
use crate::store::{
    Conclusion, GivenUpRequest, InboxKey, Intake, Kept, KeptRequest, Lease, NO_ATTEMPT_LEFT,
    RequestSettlement, Settled, StoreError, Take, Taken, TakenRequest,
};

impl Intake for MemoryStore {
    async fn keep(&self, requests: &[KeptRequest]) -> Result<Vec<Kept>, StoreError> {
        let mut kept = self.kept();
        Ok(requests.iter().map(|request| kept.keep(request)).collect())
    }

    async fn next_due(&self, queue: &str, now: OffsetDateTime) -> Result<Option<Duration>, StoreError> {
        let kept = self.kept();
        let first = kept.due.get(queue).and_then(BTreeSet::first);
        Ok(first.map(|(due_at, ..)| Duration::try_from(*due_at - now).unwrap_or(Duration::ZERO)))
    }

    async fn take(&self, take: &Take) -> Result<Taken, StoreError> {
        let mut kept = self.kept();
        let mut taken = Taken::default();
        let limit = usize::try_from(take.limit).unwrap_or(usize::MAX);
        let queue = kept.due.get(&take.queue).into_iter().flatten();
        let due = queue.take_while(|(due_at, ..)| *due_at <= take.now).take(limit);
        let keys: Vec<_> = due.map(|(_, _, key)| key.clone()).collect();
        for key in keys {
            kept.take(&key, take, &mut taken);
        }
        Ok(taken)
    }

    async fn extend_taken(
        &self,
        leases: &[(InboxKey, Lease)],
        now: OffsetDateTime,
        lease: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        let mut kept = self.kept();
        let until = later(now, lease);
        let extend = |(key, lease): &(InboxKey, Lease)| match kept.is_leased(key, *lease) {
            true => {
                kept.change(key, |entry| entry.state = State::Due(until));
                Settled::Done
            }
            false => Settled::Stale,
        };
        Ok(leases.iter().map(extend).collect())
    }

    async fn settle_taken(&self, settlements: &[RequestSettlement]) -> Result<Vec<Settled>, StoreError> {
        let mut kept = self.kept();
        Ok(settlements.iter().map(|settlement| kept.settle(settlement)).collect())
    }

    async fn given_up(
        &self,
        queue: &str,
        after: Option<&InboxKey>,
        limit: u32,
    ) -> Result<Vec<GivenUpRequest>, StoreError> {
        let kept = self.kept();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let all = kept.entries.range::<InboxKey, _>((from, Bound::Unbounded));
        let given_up = all.filter(|(_, entry)| entry.request.queue == queue).filter_map(|(_, entry)| {
            let State::GivenUp(at) = entry.state else { return None };
            Some(GivenUpRequest::new(entry.request.clone(), entry.attempts, at, entry.reason.clone()))
        });
        Ok(given_up.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }

    async fn put_back(&self, key: &InboxKey, now: OffsetDateTime) -> Result<bool, StoreError> {
        Ok(self.kept().change_given_up(key, |entry| {
            entry.attempts = 0;
            entry.first_attempt_at = None;
            entry.reason.clear();
            entry.state = State::Due(now);
        }))
    }

    async fn close_given_up(
        &self,
        key: &InboxKey,
        now: OffsetDateTime,
        keep: Duration,
    ) -> Result<bool, StoreError> {
        Ok(self.kept().change_given_up(key, |entry| entry.done(later(now, keep))))
    }

    async fn prune_kept(&self, now: OffsetDateTime, limit: u32) -> Result<u64, StoreError> {
        let mut kept = self.kept();
        let mut pruned = 0;
        while pruned < u64::from(limit) {
            let Some((_, _, key)) = kept.ends.first().filter(|(end, ..)| *end <= now).cloned() else { break };
            kept.forget(&key);
            pruned += 1;
        }
        Ok(pruned)
    }
}

/// Requests that are kept, by their keys, and where to find those that something is to be done about.
#[derive(Default)]
pub(super) struct Requests {
    entries: BTreeMap<InboxKey, Entry>,
    /// By queue; then by when they are due, and in the order they were kept in where that is the same.
    due: BTreeMap<String, BTreeSet<Place>>,
    /// By the end of the time that they are remembered.
    ends: BTreeSet<Place>,
    /// Counts over all requests, so that one that was forgotten is not given an old number again.
    leases: u64,
    places: u64,
}

type Place = (OffsetDateTime, u64, InboxKey);

struct Entry {
    request: KeptRequest,
    place: u64,
    lease: Lease,
    attempts: u32,
    first_attempt_at: Option<OffsetDateTime>,
    reason: String,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Due(OffsetDateTime),
    GivenUp(OffsetDateTime),
    /// Until it may be forgotten.
    Done(OffsetDateTime),
}

impl Requests {
    fn keep(&mut self, request: &KeptRequest) -> Kept {
        match self.entries.get(&request.key).map(|entry| entry.state) {
            None => {}
            Some(State::Done(end)) if end <= request.received_at => self.forget(&request.key),
            Some(_) => return Kept::Duplicate,
        }
        self.places += 1;
        let entry = Entry {
            request: request.clone(),
            place: self.places,
            lease: Lease::new(0),
            attempts: 0,
            first_attempt_at: None,
            reason: String::new(),
            state: State::Due(request.received_at),
        };
        self.entries.insert(request.key.clone(), entry);
        self.index(&request.key);
        Kept::New
    }

    fn take(&mut self, key: &InboxKey, take: &Take, taken: &mut Taken) {
        self.leases += 1;
        let lease = Lease::new(self.leases);
        self.change(key, |entry| {
            entry.lease = lease;
            if take.max_attempts.is_some_and(|most| entry.attempts >= most) {
                entry.reason = match entry.reason.as_str() {
                    "" => NO_ATTEMPT_LEFT.to_owned(),
                    before => format!("{NO_ATTEMPT_LEFT}; before that: {before}"),
                };
                entry.state = State::GivenUp(take.now);
                taken.given_up.push(key.clone());
                return;
            }
            entry.attempts = entry.attempts.saturating_add(1);
            let first_attempt_at = *entry.first_attempt_at.get_or_insert(take.now);
            entry.state = State::Due(later(take.now, take.lease));
            let request = TakenRequest::new(entry.request.clone(), lease, take.now);
            taken.requests.push(request.at_attempt(entry.attempts, first_attempt_at));
        });
    }

    fn settle(&mut self, settlement: &RequestSettlement) -> Settled {
        if !self.is_leased(&settlement.key, settlement.lease) {
            return Settled::Stale;
        }
        self.leases += 1;
        let next = Lease::new(self.leases);
        let now = settlement.now;
        self.change(&settlement.key, |entry| {
            entry.lease = next;
            match &settlement.conclusion {
                Conclusion::Done { keep } => entry.done(later(now, *keep)),
                Conclusion::Retry { after, reason } => {
                    entry.reason.clone_from(reason);
                    entry.state = State::Due(later(now, *after));
                }
                Conclusion::GiveUp { reason } => {
                    entry.reason.clone_from(reason);
                    entry.state = State::GivenUp(now);
                }
                Conclusion::HandBack => {
                    entry.attempts = entry.attempts.saturating_sub(1);
                    entry.first_attempt_at = entry.first_attempt_at.filter(|_| entry.attempts > 0);
                    entry.state = State::Due(now);
                }
            }
        });
        Settled::Done
    }

    /// Whether this is the last lease of a request that is still to be handled.
    fn is_leased(&self, key: &InboxKey, lease: Lease) -> bool {
        let entry = self.entries.get(key).filter(|entry| matches!(entry.state, State::Due(_)));
        entry.is_some_and(|entry| entry.lease == lease && lease.number() > 0)
    }

    fn change_given_up(&mut self, key: &InboxKey, change: impl FnOnce(&mut Entry)) -> bool {
        let is_given_up = self.entries.get(key).is_some_and(|entry| matches!(entry.state, State::GivenUp(_)));
        if is_given_up {
            self.change(key, change);
        }
        is_given_up
    }

    fn change(&mut self, key: &InboxKey, change: impl FnOnce(&mut Entry)) {
        self.unindex(key);
        if let Some(entry) = self.entries.get_mut(key) {
            change(entry);
        }
        self.index(key);
    }

    fn forget(&mut self, key: &InboxKey) {
        self.unindex(key);
        self.entries.remove(key);
    }

    fn index(&mut self, key: &InboxKey) {
        let Some(entry) = self.entries.get(key) else { return };
        match entry.state {
            State::Due(at) => {
                let place = (at, entry.place, key.clone());
                self.due.entry(entry.request.queue.clone()).or_default().insert(place);
            }
            State::Done(at) => _ = self.ends.insert((at, entry.place, key.clone())),
            State::GivenUp(_) => {}
        }
    }

    fn unindex(&mut self, key: &InboxKey) {
        let Some(entry) = self.entries.get(key) else { return };
        match entry.state {
            State::Due(at) => {
                let place = (at, entry.place, key.clone());
                if let Some(queue) = self.due.get_mut(&entry.request.queue) {
                    queue.remove(&place);
                    if queue.is_empty() {
                        self.due.remove(&entry.request.queue);
                    }
                }
            }
            State::Done(at) => _ = self.ends.remove(&(at, entry.place, key.clone())),
            State::GivenUp(_) => {}
        }
    }
}

impl Entry {
    fn done(&mut self, until: OffsetDateTime) {
        self.request.body = Bytes::new();
        self.reason.clear();
        self.state = State::Done(until);
    }
}
