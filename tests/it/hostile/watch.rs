//! What requests have led to: an inbox that counts how often it is asked, and the handlers' own count.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hookwire::store::{InboxKey, Lease, Reservation};
use hookwire::{Inbox, MemoryStore, StoreError};
use time::OffsetDateTime;
use tokio::sync::RwLock;

/// An inbox in memory that counts.
#[derive(Default)]
pub(super) struct Watch {
    inbox: MemoryStore,
    reserved: AtomicU32,
    events: AtomicU32,
    misfits: AtomicU32,
    /// Whoever writes to it holds the handler of the first event up.
    pub(super) gate: RwLock<()>,
}

/// How often each happened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Seen {
    /// The inbox was asked for an event.
    pub(super) reserved: u32,
    /// A handler was given an event.
    pub(super) events: u32,
    /// A handler was given data that does not fit.
    pub(super) misfits: u32,
}

impl Watch {
    /// Handles an event, or what does not fit, by counting it.
    pub(super) async fn handle<T, E>(&self, event: Result<T, E>) -> Result<(), E> {
        let counter = if event.is_ok() { &self.events } else { &self.misfits };
        if counter.fetch_add(1, Ordering::SeqCst) == 0 {
            drop(self.gate.read().await);
        }
        event.map(drop)
    }

    /// What happened since this was asked last.
    pub(super) fn take(&self) -> Seen {
        let take = |counter: &AtomicU32| counter.swap(0, Ordering::SeqCst);
        Seen { reserved: take(&self.reserved), events: take(&self.events), misfits: take(&self.misfits) }
    }
}

impl Inbox for Watch {
    async fn reserve(
        &self,
        key: &InboxKey,
        now: OffsetDateTime,
        lease: Duration,
    ) -> Result<Reservation, StoreError> {
        self.reserved.fetch_add(1, Ordering::SeqCst);
        self.inbox.reserve(key, now, lease).await
    }

    async fn commit(
        &self,
        key: &InboxKey,
        lease: Lease,
        now: OffsetDateTime,
        keep: Duration,
    ) -> Result<bool, StoreError> {
        self.inbox.commit(key, lease, now, keep).await
    }

    async fn release(&self, key: &InboxKey, lease: Lease) -> Result<bool, StoreError> {
        self.inbox.release(key, lease).await
    }

    async fn prune(&self, now: OffsetDateTime, limit: u32) -> Result<u64, StoreError> {
        Inbox::prune(&self.inbox, now, limit).await
    }
}
