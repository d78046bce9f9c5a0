//! The effects of requests: an inbox that counts its calls, and counters of the handlers.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hookwire::store::{InboxKey, Lease, Reservation};
use hookwire::{Inbox, MemoryStore, StoreError};
use time::OffsetDateTime;
use tokio::sync::RwLock;

/// An inbox in memory that counts its calls.
#[derive(Default)]
pub(super) struct Watch {
    inbox: MemoryStore,
    reserved: AtomicU32,
    events: AtomicU32,
    misfits: AtomicU32,
    /// A writer of this lock holds up the handler of the first event.
    pub(super) gate: RwLock<()>,
}

/// The counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Seen {
    /// Calls that reserve an event in the inbox.
    pub(super) reserved: u32,
    /// Handler calls with an event.
    pub(super) events: u32,
    /// Handler calls with data that does not fit.
    pub(super) misfits: u32,
}

impl Watch {
    /// Counts a handler call.
    pub(super) async fn handle<T, E>(&self, event: Result<T, E>) -> Result<(), E> {
        let counter = if event.is_ok() { &self.events } else { &self.misfits };
        if counter.fetch_add(1, Ordering::SeqCst) == 0 {
            drop(self.gate.read().await);
        }
        event.map(drop)
    }

    /// The counts since the last call.
    pub(super) fn take(&self) -> Seen {
        let take = |counter: &AtomicU32| counter.swap(0, Ordering::SeqCst);
        Seen { reserved: take(&self.reserved), events: take(&self.events), misfits: take(&self.misfits) }
    }
}

impl Inbox for Watch {
    async fn reserve(
        &self,
        key: &InboxKey,
        lease: Duration,
        now: OffsetDateTime,
    ) -> Result<Reservation, StoreError> {
        self.reserved.fetch_add(1, Ordering::SeqCst);
        self.inbox.reserve(key, lease, now).await
    }

    async fn commit(
        &self,
        key: &InboxKey,
        lease: Lease,
        keep: Duration,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        self.inbox.commit(key, lease, keep, now).await
    }

    async fn release(&self, key: &InboxKey, lease: Lease) -> Result<bool, StoreError> {
        self.inbox.release(key, lease).await
    }

    async fn prune_handled(&self, limit: u32, now: OffsetDateTime) -> Result<u64, StoreError> {
        self.inbox.prune_handled(limit, now).await
    }
}
