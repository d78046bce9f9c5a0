//! [`Handled`]: the events that were handled, or are being handled.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, hash_map};
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::store::{InboxKey, Lease, Reservation};

/// The events that were handled, or are being handled.
///
/// A week's events are in memory, so each is one allocation, and times are numbers.
#[derive(Default)]
pub(super) struct Handled {
    pub(super) entries: HashMap<Arc<str>, Entry>,
    /// The ends of their times; some are of events that are no longer there.
    pub(super) ends: BinaryHeap<Reverse<End>>,
    /// Counts over all events, so that an event that was deleted does not get an old number again.
    pub(super) leases: u64,
    /// The key of the last lookup: the source, NUL, which no id holds, and the id.
    pub(super) scratch: String,
}

impl Handled {
    pub(super) fn find(&mut self, key: &InboxKey) -> Option<&mut Entry> {
        self.name(key);
        self.entries.get_mut(self.scratch.as_str())
    }

    pub(super) fn name(&mut self, key: &InboxKey) {
        self.scratch.clear();
        self.scratch.push_str(&key.source);
        self.scratch.push('\0');
        self.scratch.push_str(key.id.as_str());
    }

    pub(super) fn reserve(
        &mut self,
        key: &InboxKey,
        now: i64,
        lease_until: i64,
        keep_until: i64,
    ) -> Reservation {
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

    /// Deletes the event of the last lookup.
    pub(super) fn forget(&mut self) {
        self.entries.remove(self.scratch.as_str());
        self.sweep();
    }

    /// Drops ends that are out of date: an event that is reserved again and again leaves one behind each
    /// time.
    pub(super) fn sweep(&mut self) {
        if self.ends.len() > 2 * self.entries.len() + FEW {
            let Self { entries, ends, .. } = self;
            ends.retain(|Reverse(end)| entries.get(&end.key).is_some_and(|entry| end.is_of(entry)));
        }
    }

    /// Lists the event of the last lookup under the end of its time.
    pub(super) fn list(&mut self) {
        if let Some((key, entry)) = self.entries.get_key_value(self.scratch.as_str()) {
            let (at, lease, key) = (entry.keep_until, entry.lease, Arc::clone(key));
            self.ends.push(Reverse(End { at, lease, key }));
        }
        if let Some(entry) = self.entries.get_mut(self.scratch.as_str()) {
            entry.listed = entry.keep_until;
        }
    }
}

/// The end of an event's time. A new one is the last in most cases.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct End {
    pub(super) at: i64,
    pub(super) lease: Lease,
    pub(super) key: Arc<str>,
}

impl End {
    /// Returns whether the event is still listed here.
    pub(super) fn is_of(&self, entry: &Entry) -> bool {
        entry.lease == self.lease && entry.listed == self.at
    }
}

pub(super) struct Entry {
    pub(super) lease: Lease,
    pub(super) lease_until: i64,
    pub(super) committed: bool,
    pub(super) keep_until: i64,
    /// Its time in [`Handled::ends`]: `keep_until` or earlier.
    pub(super) listed: i64,
}

/// Unix microseconds.
pub(super) fn micros(at: OffsetDateTime) -> i64 {
    at.unix_timestamp() * 1_000_000 + i64::from(at.microsecond())
}

/// `wait` after `now`, or the greatest number.
pub(super) fn later(now: i64, wait: Duration) -> i64 {
    now.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX))
}

/// The number of ends out of date that are left alone.
pub(super) const FEW: usize = 64;
