//! Remembering handled events in a [`MemoryStore`].

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::time::Duration;

use time::OffsetDateTime;

use super::handled::{End, Handled, later, micros};
use super::memory_store::MemoryStore;
use crate::store::built_in::ABANDONED_KEPT;
use crate::store::{Inbox, InboxKey, Lease, Reservation, StoreError};

impl Inbox for MemoryStore {
    async fn reserve(
        &self,
        key: &InboxKey,
        lease: Duration,
        now: OffsetDateTime,
    ) -> Result<Reservation, StoreError> {
        let now = micros(now);
        let lease_until = later(now, lease);
        Ok(self.handled().reserve(key, now, lease_until, later(lease_until, ABANDONED_KEPT)))
    }

    async fn commit(
        &self,
        key: &InboxKey,
        lease: Lease,
        keep: Duration,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let mut handled = self.handled();
        let Some(entry) = handled.find(key).filter(|entry| entry.lease == lease) else {
            return Ok(false);
        };
        entry.committed = true;
        entry.keep_until = later(micros(now), keep);
        // An event whose time is longer, which is the usual case, is found too early and moved then.
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

    async fn prune_handled(&self, limit: u32, now: OffsetDateTime) -> Result<u64, StoreError> {
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

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::super::handled::FEW;
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
            assert!(at_once(store.commit(&key(id), lease, keep, EPOCH)));
        }
        let _abandoned = reserved(&store, "abandoned", EPOCH);
        let prune = |after: Duration| at_once(store.prune_handled(10, EPOCH + after));
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
        match at_once(store.reserve(&key(id), Duration::from_secs(60), now)) {
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
