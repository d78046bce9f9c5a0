//! [`MemoryStore`] as an [`Inbox`].

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, HashMap, hash_map};
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use super::MemoryStore;
use crate::store::{ABANDONED_KEPT, Inbox, InboxKey, Lease, Reservation, StoreError};

impl Inbox for MemoryStore {
    async fn reserve(
        &self,
        key: &InboxKey,
        now: OffsetDateTime,
        lease: Duration,
    ) -> Result<Reservation, StoreError> {
        let now = micros(now);
        let lease_until = later(now, lease);
        Ok(self.handled().reserve(key, now, lease_until, later(lease_until, ABANDONED_KEPT)))
    }

    async fn commit(
        &self,
        key: &InboxKey,
        lease: Lease,
        now: OffsetDateTime,
        keep: Duration,
    ) -> Result<bool, StoreError> {
        let mut handled = self.handled();
        let Some(entry) = handled.find(key).filter(|entry| entry.lease == lease) else {
            return Ok(false);
        };
        entry.committed = true;
        entry.keep_until = later(micros(now), keep);
        // Where it is kept for longer, which is what happens, it is found too soon and then moved.
        if entry.keep_until < entry.listed {
            handled.list();
        }
        Ok(true)
    }

    async fn release(&self, key: &InboxKey, lease: Lease) -> Result<bool, StoreError> {
        let mut handled = self.handled();
        let held = handled.find(key).is_some_and(|entry| entry.lease == lease && !entry.committed);
        if held {
            handled.forget();
        }
        Ok(held)
    }

    async fn prune(&self, now: OffsetDateTime, limit: u32) -> Result<u64, StoreError> {
        let mut guard = self.handled();
        let Handled { entries, ends, .. } = &mut *guard;
        let now = micros(now);
        let mut pruned = 0;
        while pruned < u64::from(limit) {
            let Some(first) = ends.peek_mut().filter(|first| first.0.at <= now) else { break };
            let Reverse(end) = PeekMut::pop(first);
            match entries.get_mut(&end.key).filter(|entry| end.is_of(entry)) {
                Some(entry) if entry.keep_until > now => {
                    entry.listed = entry.keep_until;
                    ends.push(Reverse(End { at: entry.listed, ..end }));
                }
                Some(_) => {
                    entries.remove(&end.key);
                    pruned += 1;
                }
                None => {}
            }
        }
        Ok(pruned)
    }
}

/// Which events were handled, or are being.
///
/// There are as many as come in a week, so each is one piece of memory and times are numbers.
#[derive(Default)]
pub(super) struct Handled {
    entries: HashMap<Arc<str>, Entry>,
    /// Times before which they are kept, of events that are no longer there too.
    ends: BinaryHeap<Reverse<End>>,
    /// Counts over all events, so that an event that was forgotten is not given an old number again.
    leases: u64,
    /// The event that was looked for last: its source, NUL, which no id holds, and its id.
    scratch: String,
}

impl Handled {
    fn find(&mut self, key: &InboxKey) -> Option<&mut Entry> {
        self.name(key);
        self.entries.get_mut(self.scratch.as_str())
    }

    fn name(&mut self, key: &InboxKey) {
        self.scratch.clear();
        self.scratch.push_str(&key.source);
        self.scratch.push('\0');
        self.scratch.push_str(key.id.as_str());
    }

    fn reserve(&mut self, key: &InboxKey, now: i64, lease_until: i64, keep_until: i64) -> Reservation {
        self.name(key);
        let name: Arc<str> = self.scratch.as_str().into();
        let place = self.entries.entry(Arc::clone(&name));
        if let hash_map::Entry::Occupied(known) = &place {
            match known.get() {
                Entry { committed: true, keep_until, .. } if now < *keep_until => return Reservation::Done,
                Entry { committed: false, lease_until, .. } if now < *lease_until => {
                    return Reservation::InFlight;
                }
                _ => {}
            }
        }
        self.leases += 1;
        let lease = Lease::new(self.leases);
        let was_known = matches!(place, hash_map::Entry::Occupied(_));
        place.insert_entry(Entry { lease, lease_until, committed: false, keep_until, listed: keep_until });
        self.ends.push(Reverse(End { at: keep_until, lease, key: name }));
        if was_known {
            self.sweep();
        }
        Reservation::New(lease)
    }

    /// Forgets the event that was looked for.
    fn forget(&mut self) {
        self.entries.remove(self.scratch.as_str());
        self.sweep();
    }

    /// An event that is reserved again and again leaves an end behind each time.
    fn sweep(&mut self) {
        if self.ends.len() > 2 * self.entries.len() + FEW {
            let Self { entries, ends, .. } = self;
            ends.retain(|Reverse(end)| entries.get(&end.key).is_some_and(|entry| end.is_of(entry)));
        }
    }

    /// Lists the event that was looked for by the time that it is kept to.
    fn list(&mut self) {
        if let Some((key, entry)) = self.entries.get_key_value(self.scratch.as_str()) {
            let (at, lease, key) = (entry.keep_until, entry.lease, Arc::clone(key));
            self.ends.push(Reverse(End { at, lease, key }));
        }
        if let Some(entry) = self.entries.get_mut(self.scratch.as_str()) {
            entry.listed = entry.keep_until;
        }
    }
}

/// A time before which an event is kept. The order of time is that of most events too, so that a new one is the last.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
struct End {
    at: i64,
    lease: Lease,
    key: Arc<str>,
}

impl End {
    /// Whether this is still where the event is listed.
    fn is_of(&self, entry: &Entry) -> bool {
        entry.lease == self.lease && entry.listed == self.at
    }
}

struct Entry {
    lease: Lease,
    lease_until: i64,
    committed: bool,
    keep_until: i64,
    /// Where it is in [`Handled::ends`]: at `keep_until` or before.
    listed: i64,
}

/// Unix microseconds, which every time that there is has.
fn micros(at: OffsetDateTime) -> i64 {
    at.unix_timestamp() * 1_000_000 + i64::from(at.microsecond())
}

/// `wait` after `now`, or the end of what can be written.
fn later(now: i64, wait: Duration) -> i64 {
    now.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX))
}

/// Ends of events that are no longer there, which are no trouble.
const FEW: usize = 64;

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn an_event_that_is_released_again_and_again_leaves_little_behind() {
        let store = MemoryStore::new();
        for _ in 0..10_000 {
            let lease = reserved(&store, "evt_1", EPOCH);
            assert!(at_once(store.release(&key("evt_1"), lease)));
        }
        let handled = store.handled();
        assert!(handled.entries.is_empty());
        assert!(handled.ends.len() <= FEW, "{}", handled.ends.len());
    }

    #[test]
    fn an_event_is_pruned_at_its_own_end_whether_that_is_before_or_after_its_reservations() {
        let store = MemoryStore::new();
        let hour = Duration::from_secs(3_600);
        for (id, keep) in [("short", hour), ("long", 24 * 7 * hour)] {
            let lease = reserved(&store, id, EPOCH);
            assert!(at_once(store.commit(&key(id), lease, EPOCH, keep)));
        }
        let _abandoned = reserved(&store, "abandoned", EPOCH);
        let prune = |after: Duration| at_once(Inbox::prune(&store, EPOCH + after, 10));
        let second = Duration::from_secs(1);
        for (after, pruned) in [
            (hour - second, 0),
            (hour, 1),
            (24 * hour + 59 * second, 0),
            (24 * hour + 60 * second, 1),
            (24 * 7 * hour - second, 0),
            (24 * 7 * hour, 1),
        ] {
            assert_eq!(prune(after), pruned, "{after:?}");
        }
        let handled = store.handled();
        assert!(handled.entries.is_empty() && handled.ends.is_empty());
    }

    fn reserved(store: &MemoryStore, id: &str, now: OffsetDateTime) -> Lease {
        match at_once(store.reserve(&key(id), now, Duration::from_secs(60))) {
            Reservation::New(lease) => lease,
            other => panic!("the event is new: {other:?}"),
        }
    }

    fn key(id: &str) -> InboxKey {
        InboxKey::new("allison", id.parse().unwrap())
    }

    fn at_once<T>(future: impl Future<Output = Result<T, StoreError>>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output.unwrap(),
            Poll::Pending => unreachable!("memory answers at once"),
        }
    }

    const EPOCH: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
}
