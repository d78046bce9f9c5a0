//! [`Inbox`]: remembers the events that were handled.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::event::EventId;
use crate::store::StoreError;
use crate::store::lease::Lease;

/// Remembers the events that were handled, so that each is handled once.
///
/// An event is reserved, handled, and then committed, or released when its handler failed. `Arc<S>` and `&S`
/// have this trait where `S` has it.
///
/// To ensure correctness:
///
/// - **Reserve** gives an event to one caller at a time. A reservation ends with its lease, so that a handler
///   that crashed loses nothing; the next reservation has a [`Lease`] greater than all before.
/// - **Commit** and **release** count only with the event's last lease. A commit that comes after the lease
///   counts, as long as nobody else reserved the event. A commit can be repeated when its answer was lost.
/// - A committed event is done until its time is over, and then new again, whether it was pruned or not.
/// - **Keys** are compared byte by byte. A store may refuse a source that is too long for its index, with
///   [`StoreErrorKind::Backend`](super::StoreErrorKind::Backend).
///
/// Only events of proven requests may be reserved; otherwise a forged id could block the real one.
/// `inbox_conformance!` (feature `testing`) has a test for each rule.
pub trait Inbox: Send + Sync {
    /// Reserves the event for `lease` from `now` on, unless it is committed or another caller holds it.
    fn reserve(
        &self,
        key: &InboxKey,
        lease: Duration,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<Reservation, StoreError>> + Send;

    /// Marks the event as handled, until `keep` after `now`. Returns `false` when `lease` is no longer the
    /// event's last.
    fn commit(
        &self,
        key: &InboxKey,
        lease: Lease,
        keep: Duration,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Gives the event up, so that the next copy is handled. Returns `false` when `lease` is no longer the
    /// event's last.
    fn release(&self, key: &InboxKey, lease: Lease) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Deletes up to `limit` events whose time was over before `now`, and returns how many. A reservation
    /// stays for a while after its lease, because its handler may still commit it.
    fn prune_handled(
        &self,
        limit: u32,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// An inbox in a database that the handler writes to as well, so that its writes and the mark that the event
/// was handled are one transaction.
///
/// To ensure correctness:
///
/// - **Commit** keeps the rules of [`Inbox::commit`] and takes part in the handler's transaction: rolled
///   back, it leaves the reservation as it was.
/// - It needs no other connection: the handler's may be the only one.
///
/// `transactional_inbox_conformance!` (feature `testing`) has a test for each rule.
pub trait TransactionalInbox: Inbox {
    /// The handler's connection, with its open transaction.
    type Connection: Send;

    /// Does [`Inbox::commit`] on the handler's connection. The event is handled when the handler commits;
    /// when it rolls back, the event is as if its handler had crashed.
    fn commit_in(
        &self,
        connection: &mut Self::Connection,
        key: &InboxKey,
        lease: Lease,
        keep: Duration,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// The identity of an event: its sender, and its id there.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct InboxKey {
    /// The sender: a contract's name, for example, or that and a tenant.
    pub source: Arc<str>,
    /// The event's id, from signed bytes.
    pub id: EventId,
}

impl InboxKey {
    /// Makes the key of the event `id` of the sender `source`.
    pub fn new(source: impl Into<Arc<str>>, id: EventId) -> Self {
        Self { source: source.into(), id }
    }
}

/// The result of [`Inbox::reserve`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Reservation {
    /// The event is new. The caller handles it under this lease.
    New(Lease),
    /// Another caller is handling the event now.
    InFlight,
    /// The event was handled before.
    Done,
}
