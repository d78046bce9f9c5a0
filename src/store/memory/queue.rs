//! [`Row`]: a delivery; [`Queue`]: the deliveries of one subscription; [`Due`]: those that wait for their
//! time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use time::OffsetDateTime;

use super::moment::Moment;
use crate::delivery::Attempt;
use crate::id::{DeliveryId, SubscriptionId};
use crate::id_hash::IdHash;
use crate::store::implement::{DeliveryRow, Pause};

/// A delivery.
pub(super) struct Row {
    pub(super) subscription: SubscriptionId,
    pub(super) event: u64,
    /// The place of its payload among the event's: 0 is the newest version.
    pub(super) payload: usize,
    /// The number of its insertion.
    pub(super) number: u64,
    pub(super) delivery: DeliveryRow,
    pub(super) created_at: OffsetDateTime,
    pub(super) ended_at: Option<OffsetDateTime>,
    pub(super) note: Option<String>,
    pub(super) is_test: bool,
    pub(super) log: Vec<Attempt>,
}

impl Row {
    /// Its place among the dead deliveries of its queue.
    pub(super) fn place(&self, id: DeliveryId) -> (Moment, u64, DeliveryId) {
        (self.created_at.into(), self.number, id)
    }

    /// Its place among the deliveries that wait for nothing but their time.
    pub(super) fn due_place(&self, id: DeliveryId) -> DuePlace {
        let place = (self.delivery.due_at.into(), self.number, id);
        DuePlace { is_retry: self.delivery.is_retry(), place }
    }
}

/// The deliveries of one subscription.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) all: BTreeSet<DeliveryId>,
    /// Pending deliveries that wait for nothing but their time.
    pub(super) due: Due,
    /// Pending deliveries by ordering key and insertion: only the first of each key is in `due`.
    pub(super) keys: HashMap<Arc<str>, BTreeMap<u64, DeliveryId>>,
    /// The number of pending deliveries of each event.
    pub(super) pending: HashMap<u64, u32, IdHash>,
    /// Dead deliveries in whose place none was made, oldest first.
    pub(super) dead: BTreeSet<(Moment, u64, DeliveryId)>,
    /// All dead deliveries by their reason.
    pub(super) ended: BTreeSet<(&'static str, DeliveryId)>,
    pub(super) pause: Pause,
    /// Its time in the turns of the store: when it can be claimed from.
    pub(super) turn: Option<Moment>,
}

/// A delivery's place in [`Due`].
#[derive(Clone, Copy)]
pub(super) struct DuePlace {
    is_retry: bool,
    place: (Moment, u64, DeliveryId),
}

/// Pending deliveries that wait for nothing but their time: new ones and retries apart, each by due time and
/// insertion.
#[derive(Default)]
pub(super) struct Due {
    new: BTreeSet<(Moment, u64, DeliveryId)>,
    retries: BTreeSet<(Moment, u64, DeliveryId)>,
}

impl Due {
    pub(super) fn insert(&mut self, DuePlace { is_retry, place }: DuePlace) {
        self.part(is_retry).insert(place);
    }

    /// Removes a delivery, and returns whether it was there.
    pub(super) fn remove(&mut self, DuePlace { is_retry, place }: DuePlace) -> bool {
        self.part(is_retry).remove(&place)
    }

    /// Takes the first delivery that is due: the earliest new one, or else the earliest retry.
    pub(super) fn pop(&mut self, now: Moment) -> Option<DeliveryId> {
        [&mut self.new, &mut self.retries].into_iter().find_map(|part| {
            part.first().filter(|(due_at, ..)| *due_at <= now)?;
            part.pop_first().map(|(.., id)| id)
        })
    }

    /// When the earliest of all is due.
    pub(super) fn first(&self) -> Option<Moment> {
        let firsts = [&self.new, &self.retries].into_iter().filter_map(BTreeSet::first);
        firsts.map(|(due_at, ..)| *due_at).min()
    }

    /// The deliveries that are due by then, in the order of a claim.
    pub(super) fn by(&self, now: Moment) -> impl Iterator<Item = DeliveryId> {
        let parts = [&self.new, &self.retries].into_iter();
        parts.flat_map(move |part| {
            part.iter().take_while(move |(due_at, ..)| *due_at <= now).map(|(.., id)| *id)
        })
    }

    /// All deliveries, due or not.
    pub(super) fn all(&self) -> impl Iterator<Item = DeliveryId> {
        self.new.iter().chain(&self.retries).map(|(.., id)| *id)
    }

    const fn part(&mut self, is_retry: bool) -> &mut BTreeSet<(Moment, u64, DeliveryId)> {
        if is_retry { &mut self.retries } else { &mut self.new }
    }
}
