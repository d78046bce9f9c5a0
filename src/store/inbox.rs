//! [`Inbox`]: remembers which events were handled.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::event::EventId;
use crate::store::{Lease, StoreError};

/// Remembers which events were handled, so that each is handled once.
///
/// An event is reserved, handled, and then committed, or released when the handler failed. A reservation whose holder died
/// ends with its lease, so a crash between reserve and commit loses nothing. Only events whose request was proven may be
/// reserved, or a forged id could block the real one.
pub trait Inbox: Send + Sync {
    /// Reserves the event for `lease` from `now` on, unless it is committed or somebody holds it.
    fn reserve(
        &self,
        key: &InboxKey,
        now: OffsetDateTime,
        lease: Duration,
    ) -> impl Future<Output = Result<Reservation, StoreError>> + Send;

    /// Marks the event as handled, until `keep` after `now`; `false` when `lease` is no longer the event's last.
    fn commit(
        &self,
        key: &InboxKey,
        lease: Lease,
        now: OffsetDateTime,
        keep: Duration,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Gives the event up, so that the next copy is handled; `false` when `lease` is no longer the event's last.
    fn release(&self, key: &InboxKey, lease: Lease) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Forgets up to `limit` events whose time to be kept ended before `now`, and tells how many. A reservation is kept for a while
    /// after its lease, as its holder may still commit it.
    fn prune(&self, now: OffsetDateTime, limit: u32) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// An inbox in a database that the handler writes to as well, so that what it wrote and that the event was handled are one
/// transaction.
pub trait TransactionalInbox: Inbox {
    /// The handler's connection, with its open transaction.
    type Connection: Send;

    /// [`Inbox::commit`] on the handler's connection: the event is handled when the handler commits, and as free as if its handler
    /// had crashed when it rolls back.
    fn commit_in(
        &self,
        connection: &mut Self::Connection,
        key: &InboxKey,
        lease: Lease,
        now: OffsetDateTime,
        keep: Duration,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// What tells one event from another: who sent it, and its id there.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct InboxKey {
    /// The sender, such as a contract's name, or that and a tenant.
    pub source: Arc<str>,
    /// The event's id, from signed bytes.
    pub id: EventId,
}

impl InboxKey {
    /// The event `id` of the sender `source`.
    pub fn new(source: impl Into<Arc<str>>, id: EventId) -> Self {
        Self { source: source.into(), id }
    }
}

/// What an attempt to reserve an event found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Reservation {
    /// The event is the caller's to handle under this lease.
    New(Lease),
    /// Somebody is handling the same event right now.
    InFlight,
    /// The event was handled before.
    Done,
}

/// How long a reservation that was neither committed nor released is kept after its lease, so that a slow holder can
/// still commit it.
#[cfg(any(feature = "memory", feature = "postgres", feature = "sqlite"))]
pub(super) const ABANDONED_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
