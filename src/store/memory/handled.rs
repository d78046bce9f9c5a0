//! [`Handled`]: the events that were handled, or are being handled.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use hashbrown::HashTable;
use time::OffsetDateTime;

use crate::store::{InboxKey, Lease, Reservation};

/// The events that were handled, or are being handled.
///
/// A week's events are in memory. A new one is written behind the one before it, so that the memory for it is
/// in the cache. Only its eight bytes in the table are somewhere else.
#[derive(Default)]
pub(super) struct Handled {
    places: Vec<Option<Entry>>,
    /// The places that are empty.
    free: Vec<u32>,
    /// The place of each event, by the hash of its key.
    table: HashTable<Slot>,
    /// The ends of their times; some are of events that are no longer there.
    pub(super) ends: BinaryHeap<Reverse<End>>,
    /// Counts over all events, so that an event that was deleted does not get an old number again.
    leases: u64,
    /// The places of the last leases. Most events are committed soon, and are found here without a hash.
    recent: [u32; RECENT],
    /// Strangers choose ids, so the hash has a secret seed.
    seed: RandomState,
}

impl Handled {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn reserve(
        &mut self,
        key: &InboxKey,
        now: i64,
        lease_until: i64,
        keep_until: i64,
    ) -> Reservation {
        let hash = self.hash(key);
        let known = self.find(key, hash);
        match known.and_then(|at| self.at(at)) {
            Some(Entry { committed: true, keep_until, .. }) if now < *keep_until => return Reservation::Done,
            Some(Entry { committed: false, lease_until, .. }) if now < *lease_until => {
                return Reservation::InFlight;
            }
            _ => {}
        }
        self.leases += 1;
        let lease = Lease::new(self.leases);
        let (key, committed, listed) = (key.clone(), false, keep_until);
        let entry = Entry { key, hash, lease, lease_until, committed, keep_until, listed };
        let place = match known {
            Some(at) => {
                self.places[at as usize] = Some(entry);
                at
            }
            None => self.insert(entry),
        };
        self.recent[place_of(lease)] = place;
        self.ends.push(Reverse(End::new(keep_until, lease, place)));
        if known.is_some() {
            self.sweep();
        }
        Reservation::New(lease)
    }

    /// Marks the event as handled until `keep_until`, if this is its last lease.
    pub(super) fn commit(&mut self, key: &InboxKey, lease: Lease, keep_until: i64) -> bool {
        let Some(place) = self.leased(key, lease) else { return false };
        let Some(entry) = &mut self.places[place as usize] else { return false };
        entry.committed = true;
        entry.keep_until = keep_until;
        // An event whose time is longer, which is the usual case, is found too early and moved then.
        if keep_until < entry.listed {
            entry.listed = keep_until;
            self.ends.push(Reverse(End::new(keep_until, lease, place)));
        }
        true
    }

    /// Deletes the event, if this is its last lease and it is not handled.
    pub(super) fn release(&mut self, key: &InboxKey, lease: Lease) -> bool {
        let is_held = |at: &u32| self.at(*at).is_some_and(|entry| !entry.committed);
        let Some(place) = self.leased(key, lease).filter(is_held) else { return false };
        self.remove(place);
        self.sweep();
        true
    }

    /// Deletes up to `limit` events whose time is over, and returns how many.
    pub(super) fn prune(&mut self, limit: u32, now: i64) -> u64 {
        let mut pruned = 0;
        while pruned < u64::from(limit) {
            let Some(first) = self.ends.peek_mut().filter(|first| first.0.at <= now) else { break };
            let Reverse(end) = PeekMut::pop(first);
            let Some(entry) = self.places[end.place as usize].as_mut().filter(|entry| end.is_of(entry))
            else {
                continue;
            };
            if entry.keep_until > now {
                entry.listed = entry.keep_until;
                self.ends.push(Reverse(End { at: entry.listed, ..end }));
            } else {
                self.remove(end.place());
                pruned += 1;
            }
        }
        pruned
    }

    /// The place of the event whose last lease this is.
    fn leased(&self, key: &InboxKey, lease: Lease) -> Option<u32> {
        let is_it = |at: &u32| self.at(*at).is_some_and(|entry| entry.lease == lease && entry.key == *key);
        let recent = Some(self.recent[place_of(lease)]).filter(is_it);
        recent.or_else(|| self.find(key, self.hash(key)).filter(is_it))
    }

    /// The place of the event.
    fn find(&self, key: &InboxKey, hash: u32) -> Option<u32> {
        let is_it = |slot: &Slot| slot.hash == hash && self.at(slot.place).is_some_and(|at| at.key == *key);
        self.table.find(spread(hash), is_it).map(|slot| slot.place)
    }

    fn at(&self, place: u32) -> Option<&Entry> {
        self.places.get(place as usize)?.as_ref()
    }

    fn insert(&mut self, entry: Entry) -> u32 {
        let hash = entry.hash;
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = Some(entry);
                place
            }
            None => {
                self.places.push(Some(entry));
                u32::try_from(self.places.len() - 1).expect("invariant: no memory holds 2^32 events")
            }
        };
        self.table.insert_unique(spread(hash), Slot { hash, place }, |slot| spread(slot.hash));
        place
    }

    fn remove(&mut self, place: u32) {
        let Some(entry) = self.places[place as usize].take() else { return };
        if let Ok(slot) = self.table.find_entry(spread(entry.hash), |slot| slot.place == place) {
            slot.remove();
        }
        self.free.push(place);
    }

    /// Drops ends that are out of date: an event that is reserved again and again leaves one behind each
    /// time.
    fn sweep(&mut self) {
        if self.ends.len() > 2 * self.table.len() + FEW {
            let Self { places, ends, .. } = self;
            ends.retain(|Reverse(end)| {
                places[end.place as usize].as_ref().is_some_and(|entry| end.is_of(entry))
            });
        }
    }

    fn hash(&self, key: &InboxKey) -> u32 {
        self.seed.hash_one(key) as u32
    }
}

/// The hash as the table wants it: it takes the bucket from the low bits, and a tag from the high ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

/// The place of a lease among the last ones.
fn place_of(lease: Lease) -> usize {
    lease.number() as usize % RECENT
}

/// An event in the table. It has the hash, so that a growing table looks at no event.
struct Slot {
    hash: u32,
    place: u32,
}

/// The end of an event's time. A new one is the last in most cases.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct End {
    at: i64,
    lease: Lease,
    /// As wide as the others: the heap reads a new end right after it was written, and the processor waits
    /// for memory that it wrote in another width.
    place: u64,
}

impl End {
    const fn new(at: i64, lease: Lease, place: u32) -> Self {
        Self { at, lease, place: place as u64 }
    }

    const fn place(&self) -> u32 {
        self.place as u32
    }

    /// Returns whether the event is still listed here.
    fn is_of(&self, entry: &Entry) -> bool {
        entry.lease == self.lease && entry.listed == self.at
    }
}

struct Entry {
    key: InboxKey,
    hash: u32,
    committed: bool,
    lease: Lease,
    lease_until: i64,
    keep_until: i64,
    /// Its time in [`Handled::ends`]: `keep_until` or earlier.
    listed: i64,
}

/// Unix microseconds.
pub(super) fn micros(at: OffsetDateTime) -> i64 {
    at.unix_timestamp() * 1_000_000 + i64::from(at.microsecond())
}

/// `wait` after `now`, or the greatest number.
pub(super) fn later(now: i64, wait: Duration) -> i64 {
    now.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX))
}

/// The number of leases whose places are remembered.
const RECENT: usize = 32;
/// The number of ends out of date that are left alone.
pub(super) const FEW: usize = 64;
