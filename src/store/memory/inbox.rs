//! Remembering handled events in a [`MemoryStore`].

use std::time::Duration;

use time::OffsetDateTime;

use super::handled::{later, micros};
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
        Ok(self.handled().commit(key, lease, later(micros(now), keep)))
    }

    async fn release(&self, key: &InboxKey, lease: Lease) -> Result<bool, StoreError> {
        Ok(self.handled().release(key, lease))
    }

    async fn prune_handled(&self, limit: u32, now: OffsetDateTime) -> Result<u64, StoreError> {
        Ok(self.handled().prune(limit, micros(now)))
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
        assert_eq!(handled.len(), 0);
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
        assert!(handled.len() == 0 && handled.ends.is_empty());
    }

    #[test]
    fn an_event_is_found_by_its_lease_however_many_were_reserved_after_it() {
        let store = MemoryStore::new();
        let hour = Duration::from_secs(3_600);
        let ids: Vec<_> = (0..100).map(|number| format!("evt_{number}")).collect();
        let leases: Vec<_> = ids.iter().map(|id| reserved(&store, id, EPOCH)).collect();
        for (id, lease) in ids.iter().zip(leases) {
            // The lease of one event is no right to another.
            assert!(!at_once(store.commit(&key("evt_other"), lease, hour, EPOCH)));
            assert!(at_once(store.commit(&key(id), lease, hour, EPOCH)));
        }
        for id in &ids {
            let again = at_once(store.reserve(&key(id), hour, EPOCH));
            assert_eq!(again, Reservation::Done);
        }
        assert_eq!(at_once(store.prune_handled(1_000, EPOCH + hour)), 100);
        // The places of the deleted events are used again.
        let lease = reserved(&store, "evt_7", EPOCH + hour);
        assert!(at_once(store.release(&key("evt_7"), lease)));
        assert_eq!(store.handled().len(), 0);
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
