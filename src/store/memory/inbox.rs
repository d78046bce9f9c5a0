//! [`MemoryStore`] as an [`Inbox`].

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use time::OffsetDateTime;

use super::{MemoryStore, later};
use crate::store::{ABANDONED_KEPT, Inbox, InboxKey, Lease, Reservation, StoreError};

impl Inbox for MemoryStore {
    async fn reserve(
        &self,
        key: &InboxKey,
        now: OffsetDateTime,
        lease: Duration,
    ) -> Result<Reservation, StoreError> {
        let mut handled = self.handled();
        if let Some(entry) = handled.entries.get(key) {
            match entry.committed {
                true if now < entry.keep_until.0 => return Ok(Reservation::Done),
                false if now < entry.lease_until => return Ok(Reservation::InFlight),
                _ => handled.forget(key),
            }
        }
        let lease_until = later(now, lease);
        Ok(Reservation::New(handled.reserve(key, lease_until, later(lease_until, ABANDONED_KEPT))))
    }

    async fn commit(
        &self,
        key: &InboxKey,
        lease: Lease,
        now: OffsetDateTime,
        keep: Duration,
    ) -> Result<bool, StoreError> {
        let mut handled = self.handled();
        let Handled { entries, ends, .. } = &mut *handled;
        let Some(entry) = entries.get_mut(key).filter(|entry| entry.lease == lease) else {
            return Ok(false);
        };
        ends.remove(&entry.keep_until);
        entry.committed = true;
        entry.keep_until.0 = later(now, keep);
        ends.insert(entry.keep_until, key.clone());
        Ok(true)
    }

    async fn release(&self, key: &InboxKey, lease: Lease) -> Result<bool, StoreError> {
        let mut handled = self.handled();
        let held = handled.entries.get(key).is_some_and(|entry| entry.lease == lease && !entry.committed);
        if held {
            handled.forget(key);
        }
        Ok(held)
    }

    async fn prune(&self, now: OffsetDateTime, limit: u32) -> Result<u64, StoreError> {
        let mut handled = self.handled();
        let mut pruned = 0;
        while pruned < u64::from(limit) {
            let Some(first) = handled.ends.first_entry().filter(|first| first.key().0 <= now) else { break };
            let key = first.remove();
            handled.entries.remove(&key);
            pruned += 1;
        }
        Ok(pruned)
    }
}

/// Which events were handled, or are being.
#[derive(Default)]
pub(super) struct Handled {
    entries: HashMap<InboxKey, Entry>,
    /// By the end of the time that they are kept, and by lease where that is the same.
    ends: BTreeMap<(OffsetDateTime, Lease), InboxKey>,
    /// Counts over all events, so that an event that was forgotten is not given an old number again.
    leases: u64,
}

impl Handled {
    fn reserve(&mut self, key: &InboxKey, lease_until: OffsetDateTime, keep_until: OffsetDateTime) -> Lease {
        self.leases += 1;
        let lease = Lease::new(self.leases);
        let keep_until = (keep_until, lease);
        self.ends.insert(keep_until, key.clone());
        self.entries.insert(key.clone(), Entry { lease, lease_until, committed: false, keep_until });
        lease
    }

    fn forget(&mut self, key: &InboxKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.ends.remove(&entry.keep_until);
        }
    }
}

struct Entry {
    lease: Lease,
    lease_until: OffsetDateTime,
    committed: bool,
    /// Its key in [`Handled::ends`].
    keep_until: (OffsetDateTime, Lease),
}
