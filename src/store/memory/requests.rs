//! [`Requests`]: requests that are stored until they are handled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use time::OffsetDateTime;

use crate::delivery::Next;
use crate::store::implement::row::later;
use crate::store::{
    InboxKey, Lease, LeaseRequests, Leased, LeasedRequests, NO_ATTEMPT_LEFT, RequestAttempt, Settled,
    Settlement, Stored, StoredRequest,
};
/// Requests by key, and lists of those that are due and of those that are done.
#[derive(Default)]
pub(super) struct Requests {
    pub(super) entries: BTreeMap<InboxKey, Entry>,
    /// By queue, then by due time, then in the order in which they were stored.
    pub(super) due: BTreeMap<String, BTreeSet<Place>>,
    /// Requests that are done, by the end of their time.
    pub(super) ends: BTreeSet<Place>,
    /// Counts over all requests, so that one that was deleted does not get an old number again.
    pub(super) leases: u64,
    pub(super) places: u64,
}

pub(super) type Place = (OffsetDateTime, u64, InboxKey);

pub(super) struct Entry {
    pub(super) request: StoredRequest,
    pub(super) place: u64,
    pub(super) lease: Lease,
    pub(super) attempts: u32,
    pub(super) first_attempt_at: Option<OffsetDateTime>,
    pub(super) reason: String,
    pub(super) state: State,
}

#[derive(Clone, Copy)]
pub(super) enum State {
    Due(OffsetDateTime),
    GivenUp(OffsetDateTime),
    /// The time until which it is remembered.
    Done(OffsetDateTime),
}

impl Requests {
    pub(super) fn store(&mut self, request: &StoredRequest) -> Stored {
        if self.is_copy(request) {
            return Stored::Duplicate;
        }
        match self.entries.get(&request.key).map(|entry| entry.state) {
            None => {}
            Some(State::Done(end)) if end <= request.received_at => self.forget(&request.key),
            Some(_) => return Stored::Duplicate,
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
        Stored::New
    }

    fn is_copy(&self, request: &StoredRequest) -> bool {
        request.copies.as_ref().is_some_and(|copies| {
            copies.ids.iter().any(|id| {
                let key = InboxKey::new(request.key.source.clone(), id.clone());
                self.entries.get(&key).is_some_and(|entry| entry.request.received_at > copies.since)
            })
        })
    }

    pub(super) fn lease(&mut self, key: &InboxKey, wanted: &LeaseRequests, leased: &mut LeasedRequests) {
        self.leases += 1;
        let lease = Lease::new(self.leases);
        self.change(key, |entry| {
            entry.lease = lease;
            if wanted.max_attempts.is_some_and(|most| entry.attempts >= most) {
                entry.reason = match entry.reason.as_str() {
                    "" => NO_ATTEMPT_LEFT.to_owned(),
                    before => format!("{NO_ATTEMPT_LEFT}; before that: {before}"),
                };
                entry.state = State::GivenUp(wanted.now);
                leased.given_up.push(key.clone());
                return;
            }
            entry.attempts = entry.attempts.saturating_add(1);
            let first_attempt_at = *entry.first_attempt_at.get_or_insert(wanted.now);
            entry.state = State::Due(later(wanted.now, wanted.lease));
            let request = Leased::new(entry.request.clone(), lease);
            leased.requests.push(request.with_attempt(entry.attempts, Some(first_attempt_at)));
        });
    }

    pub(super) fn settle(
        &mut self,
        settlement: &Settlement<InboxKey, RequestAttempt>,
        keep: Duration,
    ) -> Settled {
        if !self.is_leased(&settlement.key, settlement.lease) {
            return Settled::Stale;
        }
        self.leases += 1;
        let next = Lease::new(self.leases);
        let now = settlement.now;
        self.change(&settlement.key, |entry| {
            entry.lease = next;
            match settlement.failure() {
                Some(failure) => failure.clone_into(&mut entry.reason),
                None if settlement.attempt.is_none() => {
                    entry.attempts = entry.attempts.saturating_sub(1);
                    entry.first_attempt_at = entry.first_attempt_at.filter(|_| entry.attempts > 0);
                }
                None => {}
            }
            match settlement.next {
                Next::Done => entry.done(later(now, keep)),
                Next::Retry { after } => entry.state = State::Due(later(now, after)),
                Next::Dead { .. } => entry.state = State::GivenUp(now),
            }
        });
        Settled::Done
    }

    /// Returns whether this is the last lease of a request that is not handled yet.
    pub(super) fn is_leased(&self, key: &InboxKey, lease: Lease) -> bool {
        let entry = self.entries.get(key).filter(|entry| matches!(entry.state, State::Due(_)));
        entry.is_some_and(|entry| entry.lease == lease && lease.number() > 0)
    }

    pub(super) fn change_given_up(&mut self, key: &InboxKey, change: impl FnOnce(&mut Entry)) -> bool {
        let is_given_up = self.entries.get(key).is_some_and(|entry| matches!(entry.state, State::GivenUp(_)));
        if is_given_up {
            self.change(key, change);
        }
        is_given_up
    }

    pub(super) fn change(&mut self, key: &InboxKey, change: impl FnOnce(&mut Entry)) {
        self.unindex(key);
        if let Some(entry) = self.entries.get_mut(key) {
            change(entry);
        }
        self.index(key);
    }

    pub(super) fn forget(&mut self, key: &InboxKey) {
        self.unindex(key);
        self.entries.remove(key);
    }

    pub(super) fn index(&mut self, key: &InboxKey) {
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

    pub(super) fn unindex(&mut self, key: &InboxKey) {
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
    pub(super) fn done(&mut self, until: OffsetDateTime) {
        self.request.body = Bytes::new();
        self.reason.clear();
        self.state = State::Done(until);
    }
}
