//! [`HandOver`]: deliveries that an outbox inserts leased, for a dispatcher of the same process to send
//! without a claim; [`Reservation`]: the slots of one insert.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::dispatch::clock::SharedClock;
use crate::dispatch::erased::ErasedStore;
use crate::dispatch::faults::Faults;
use crate::dispatch::recovery::{Lost, Recovery};
use crate::dispatch::scheduling::Scheduler;
use crate::id::{DeliveryId, SubscriptionId};
use crate::lease::Given;
use crate::store::{
    InsertOutcome, Inserted, Leased, NewEvent, Settlement, StoreError, StoreErrorKind, StoreId,
};

/// The scheduler of a dispatcher, and the deliveries that outboxes hand over to it.
///
/// Lock the state before the scheduler where both are needed.
pub(super) struct HandOver {
    scheduler: Mutex<Scheduler>,
    state: Mutex<State>,
    changed: Notify,
    recovery: Recovery,
    /// Something may be due that nobody knows of.
    unsure: Notify,
}

#[derive(Default)]
struct State {
    /// Whether a dispatcher runs, so that what is given is sent.
    is_served: bool,
    /// Whether slots may be reserved.
    is_open: bool,
    /// The slots of inserts that are on their way.
    reserved: usize,
    given: Vec<Given<Leased>>,
}

impl HandOver {
    pub(super) fn new(scheduler: Scheduler) -> Self {
        Self {
            scheduler: Mutex::new(scheduler),
            state: Mutex::default(),
            changed: Notify::new(),
            recovery: Recovery::default(),
            unsure: Notify::new(),
        }
    }

    pub(super) fn scheduler(&self) -> MutexGuard<'_, Scheduler> {
        // At worst a panic left a subscription behind that is asked once more.
        self.scheduler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self) {
        self.state().is_served = true;
    }

    pub(super) fn set_open(&self, is_open: bool) {
        let mut state = self.state();
        state.is_open = is_open && state.is_served;
    }

    /// Whether slots may be reserved.
    pub(super) fn is_open(&self) -> bool {
        self.state().is_open
    }

    /// Waits until something was given or has ended, and takes what was given.
    pub(super) async fn given(&self) -> Vec<Given<Leased>> {
        let given = std::mem::take(&mut self.state().given);
        if !given.is_empty() {
            return given;
        }
        self.changed.notified().await;
        std::mem::take(&mut self.state().given)
    }

    /// The slots of inserts that are on their way, and of deliveries that were given and not taken.
    pub(super) fn reserved(&self) -> usize {
        let state = self.state();
        state.reserved + state.given.iter().map(|given| given.work.len()).sum::<usize>()
    }

    /// Whether something may still be given, or may still have to be handed back.
    pub(super) fn expects(&self) -> bool {
        self.reserved() > 0 || self.recovery.is_unsure()
    }

    /// Takes nothing more, and returns what was given last.
    pub(super) fn close(&self) -> Vec<Given<Leased>> {
        let mut state = self.state();
        (state.is_served, state.is_open) = (false, false);
        std::mem::take(&mut state.given)
    }

    /// Closes it after a dispatcher that may not have ended in order. The leases of what it was given end by
    /// themselves.
    pub(super) fn end(&self) {
        let given = self.close();
        let mut scheduler = self.scheduler();
        given.iter().flat_map(|given| &given.work).for_each(|leased| scheduler.left(leased.subscription.id));
        self.recovery.clear();
    }

    /// Hands back leases of inserts whose outcome is not known, for as long as it is polled.
    pub(super) async fn recover(&self, store: &dyn ErasedStore, clock: &SharedClock) -> Infallible {
        let answered = |freed, is_unsure| {
            self.scheduler().found(freed, clock.now());
            self.changed.notify_one();
            if is_unsure {
                self.unsure.notify_one();
            }
        };
        self.recovery.run(store, clock, answered).await
    }

    /// Waits until something may be due that only a look can tell.
    pub(super) async fn unsure(&self) {
        self.unsure.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running dispatcher, as outboxes see it.
pub(super) struct Recipient {
    pub(super) hand_over: Arc<HandOver>,
    pub(super) store: StoreId,
    /// The names of the contracts that it has.
    pub(super) contracts: Vec<String>,
    pub(super) lease: Duration,
    pub(super) clock: SharedClock,
    pub(super) faults: Arc<Faults>,
}

impl Recipient {
    /// Reserves slots for deliveries of these events, which are inserted next, and asks for their leases.
    /// `None` where there is none. `asked` is no later than the events' own time, from which a store may
    /// count the leases.
    pub(super) fn reserve(self: Arc<Self>, events: &mut [NewEvent], asked: Instant) -> Option<Reservation> {
        let now = self.clock.now();
        let mut slots = Vec::new();
        {
            let mut state = self.hand_over.state();
            if !state.is_open || self.hand_over.recovery.is_full() {
                return None;
            }
            let mut scheduler = self.hand_over.scheduler();
            let is_full =
                |scheduler: &Scheduler, slots: usize| state.reserved + slots >= scheduler.reservable();
            // Others of the same ordering key may come first.
            let free = events.iter_mut().enumerate().filter(|(_, event)| event.ordering_key.is_none());
            for (event, delivery) in
                free.flat_map(|(at, event)| event.deliveries.iter_mut().enumerate().map(move |own| (at, own)))
            {
                if is_full(&scheduler, slots.len()) {
                    break;
                }
                let (place, delivery) = delivery;
                let subscription = delivery.subscription;
                if self.faults.are_clear_of(subscription) && scheduler.reserve(subscription, now) {
                    delivery.lease = Some(self.lease);
                    slots.push(Slot { event, place, delivery: delivery.id, subscription });
                }
            }
            state.reserved += slots.len();
        }
        (!slots.is_empty()).then(|| Reservation { recipient: self, slots, asked })
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipient").field("store", &self.store).finish_non_exhaustive()
    }
}

/// The slots of an insert that is on its way. However the insert ends, each slot is used or freed, and each
/// lease is used or handed back.
pub(super) struct Reservation {
    recipient: Arc<Recipient>,
    /// Those that are neither used nor freed yet.
    slots: Vec<Slot>,
    /// When the call began that inserts.
    asked: Instant,
}

struct Slot {
    /// The place of its event among those that are inserted, and its own place there.
    event: usize,
    place: usize,
    delivery: DeliveryId,
    subscription: SubscriptionId,
}

impl Reservation {
    /// The insert was answered. Hands over what it leased, and takes back the question for a lease of every
    /// other delivery. Returns settlements for the caller to carry out, where the dispatcher has ended
    /// meanwhile.
    pub(super) fn answered(mut self, events: &mut [NewEvent], inserted: &mut [Inserted]) -> Vec<Settlement> {
        let slots = std::mem::take(&mut self.slots);
        let reserved = slots.len();
        let (mut work, mut unused, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        for slot in slots {
            let Some(inserted) = inserted.get_mut(slot.event) else {
                lost.push(self.lost(&slot, false));
                unused.push(slot);
                continue;
            };
            if inserted.outcome != InsertOutcome::New {
                // The store may have repeated the insert after an answer was lost. Then the rows are its own.
                lost.push(self.lost(&slot, true));
            }
            let is_of = |leased: &Leased| leased.subscription.id == slot.subscription;
            match inserted.leased.iter().position(is_of) {
                Some(at) => work.push((slot, inserted.leased.swap_remove(at))),
                None => unused.push(slot),
            }
        }
        let now = self.recipient.clock.now();
        let hand_over = &self.recipient.hand_over;
        let mut returned = Vec::new();
        {
            let mut state = hand_over.state();
            state.reserved -= reserved;
            if state.is_served {
                hand_over.recovery.add(lost);
                let work: Vec<_> = work.into_iter().map(|(_, leased)| leased).collect();
                if !work.is_empty() {
                    state.given.push(Given { work, asked: self.asked });
                }
            } else {
                for (slot, leased) in work {
                    returned.push(Settlement::hand_back(leased.delivery, leased.lease, now));
                    unused.push(slot);
                }
            }
            let mut scheduler = hand_over.scheduler();
            for slot in unused {
                scheduler.unreserve(slot.subscription, now);
                events[slot.event].deliveries[slot.place].lease = None;
            }
        }
        hand_over.changed.notify_one();
        returned
    }

    /// The insert failed.
    pub(super) fn failed(mut self, error: &StoreError) {
        if error.kind() == StoreErrorKind::Backend {
            // Nothing was written. After any other error, something may be.
            self.free(false);
        }
    }

    /// Frees all slots. Where the rows may be written, their leases are handed back.
    fn free(&mut self, may_be_written: bool) {
        let slots = std::mem::take(&mut self.slots);
        if slots.is_empty() {
            return;
        }
        let now = self.recipient.clock.now();
        let hand_over = &self.recipient.hand_over;
        {
            let mut state = hand_over.state();
            state.reserved -= slots.len();
            if may_be_written && state.is_served {
                hand_over.recovery.add(slots.iter().map(|slot| self.lost(slot, false)).collect());
            }
            let mut scheduler = hand_over.scheduler();
            slots.iter().for_each(|slot| scheduler.unreserve(slot.subscription, now));
        }
        hand_over.changed.notify_one();
    }

    fn lost(&self, slot: &Slot, is_inserted: bool) -> Lost {
        Lost::new(slot.delivery, slot.subscription, is_inserted, self.recipient.lease)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.free(true);
    }
}
