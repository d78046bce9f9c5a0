//! [`Store`]: the calls of the outbox and the dispatcher; [`TransactionalStore`]: the same in the caller's
//! transaction.

use std::future::Future;
use std::time::Duration;

use time::OffsetDateTime;

use super::StoreError;
use super::implement::{
    Claim, Claims, HealthWritten, Inserted, NewEvent, Poll, Polled, Settled, Settlement, StoreId, Subscribed,
};
use super::lease::Lease;
use crate::id::{DeliveryId, SubscriptionId};
use crate::subscription::{DisabledReason, Health, Subscription};

/// Holds subscriptions, events and their deliveries for an outbox and a dispatcher.
///
/// `Arc<S>` and `&S` are stores where `S` is one. [`implement`](crate::store::implement) has the types that
/// only the author of a store needs.
///
/// To ensure correctness:
///
/// - **Insert** writes an event and its deliveries together or not at all. It is idempotent on the
///   organization, the contract's name and the event's id: the same payload again is a duplicate and changes
///   nothing, another payload under the same id is a conflict and changes nothing, also after the payload was
///   deleted. A payload is stored once, however many deliveries it has. An insert with the id of a delivery
///   that exists, pending or ended, or with an event that [`NewEvent::check`] refuses, fails with
///   [`StoreErrorKind::Backend`](super::StoreErrorKind::Backend) and writes nothing.
/// - **Editions** are optional. A store that has them compares, in the transaction that inserts, the edition
///   of the organization with that of the event ([`NewEvent::edition`]). An event that has another one is
///   not written, and reported as [`InsertOutcome::Stale`](super::implement::InsertOutcome::Stale). So an
///   outbox need not read the subscriptions of an organization for each event. A store without editions
///   ignores those of events.
/// - **Insert leases** a delivery that asks for it
///   ([`NewDelivery::lease`](super::implement::NewDelivery::lease)) only where the statement that writes it
///   finds its subscription enabled and not paused, and its event has no ordering key. The lease has the
///   number 1 and ends that long after the insert, on the store's clock. The insert returns what a claim
///   would, with the subscription's URL, secrets and options as that statement read them. Every other
///   delivery is inserted due. A later claim of a delivery that asked for a lease has a number above 1,
///   whether it got one or not: a caller that does not hear the outcome hands back the lease of that number.
///   A store may insert all of them due; its [`id`](Self::id) is `None` then.
/// - **Look** lists the subscriptions that have a delivery to claim: pending, due, the first of its ordering
///   key, its subscription enabled and not paused. A limit hides none for ever, whatever contracts other
///   looks name. The ages of the oldest due deliveries ([`Polled::oldest_due`]) are optional, and so are the
///   details of listed subscriptions ([`Polled::details`]), which are those that are stored. The cost of a
///   look grows with the subscriptions that have something pending, not with their deliveries.
/// - **Claim** takes up to a share of each named subscription's due deliveries and leases them: until the
///   lease ends no other claim gets them, afterwards they are due again. Deliveries that were not attempted
///   yet go before retries, and of each kind the earliest due goes first. The order of the subscriptions is
///   the store's choice. Every claim of a delivery gives it a [`Lease`] greater than all
///   before. Nothing is claimed of a subscription that is disabled, paused or deleted.
/// - **Order**: of the pending deliveries of one subscription that share an ordering key, only the one that
///   was inserted first is claimed. When it ends (delivered or dead), the next one is due at that instant and
///   no earlier. A delivery that waits behind another costs a look and a claim nothing.
/// - **Settle** writes an attempt and the next state together, and only where the lease is the delivery's
///   last. A stale settlement changes nothing and is reported as [`Settled::Stale`]. A settlement uses up its
///   lease: the same settlement again is stale, so that a call whose answer was lost can be repeated.
/// - **Extend** moves the end of leases that are still the last.
/// - **Expire** ends deliveries that wait for somebody: those of a subscription that is disabled or paused,
///   counted from when that began or from when the delivery was due, whichever is later; and those that a
///   fault on this side keeps back, counted from the first time that they were handed back with a delay since
///   their last attempt. Nothing else expires: neither a retry that is due later, nor a delivery of a
///   subscription that may be claimed from, however late it is.
/// - **Secrets** are stored as they are given, in the clear or sealed by a key ring
///   ([`StoredSecret`](crate::signature::StoredSecret)). A store opens none, and a sealed secret that was
///   altered makes no row unreadable.
/// - **Time**: due times are instants on the store's clock. `now` is the caller's time; a store with a better
///   clock (a database that several machines share) may use its own instead. That is why settlements carry
///   delays and not instants.
///
/// `store_conformance!` (feature `testing`) has a test for each rule but those on cost. The rules on taken
/// ids, bounds and ages are tested by `records_conformance!`.
pub trait Store: Send + Sync {
    /// Identifies the store within this process: its clones, pointers to it and stores in front of it have
    /// the same id, and no other store has it. `None` where [`insert`](Self::insert) never leases.
    ///
    /// An outbox asks for leases only where a dispatcher of the same process delivers from the same store.
    fn id(&self) -> Option<StoreId>;

    /// Reads every subscription of an organization, disabled ones too, oldest first.
    ///
    /// A row that cannot be read is reported in its place and stops no others.
    fn subscriptions(
        &self,
        organization: &str,
    ) -> impl Future<Output = Result<Subscribed, StoreError>> + Send;

    /// Reads a subscription.
    fn subscription(
        &self,
        id: SubscriptionId,
    ) -> impl Future<Output = Result<Option<Subscription>, StoreError>> + Send;

    /// Writes events with their deliveries. Reports for each event whether it was new, in the order given.
    fn insert(&self, events: &[NewEvent]) -> impl Future<Output = Result<Vec<Inserted>, StoreError>> + Send;

    /// Lists the subscriptions that have something to claim, in any order, and says when another one will
    /// have.
    ///
    /// With more than the limit, looks find others in turn, also when nothing is claimed in between: none is
    /// left out for ever.
    fn look(&self, poll: &Poll) -> impl Future<Output = Result<Polled, StoreError>> + Send;

    /// Leases due deliveries of the subscriptions that `claim` names, and reads everything that sending them
    /// needs.
    fn claim(&self, claim: &Claim) -> impl Future<Output = Result<Claims, StoreError>> + Send;

    /// Moves the end of leases to `lease` after `now`. Reports for each whether it was still good, in the
    /// order given.
    fn extend(
        &self,
        leases: &[(DeliveryId, Lease)],
        lease: Duration,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<Vec<Settled>, StoreError>> + Send;

    /// Writes attempts and the next states of their deliveries. Reports for each whether its lease was still
    /// good, in the order given.
    fn settle(
        &self,
        settlements: &[Settlement],
    ) -> impl Future<Output = Result<Vec<Settled>, StoreError>> + Send;

    /// Writes the health of a subscription's endpoint, unless another call wrote it since `seen` was read.
    /// With `disable`, the same step disables the subscription for this reason if it is enabled; one that is
    /// disabled already keeps its reason.
    ///
    /// Both are written together or not at all, so that nothing that an operator changes in between is
    /// undone.
    fn put_health(
        &self,
        id: SubscriptionId,
        seen: &Health,
        health: &Health,
        disable: Option<DisabledReason>,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<HealthWritten, StoreError>> + Send;

    /// Ends deliveries whose wait began `age` before `now` or earlier, as
    /// [`Expired`](crate::DeadReason::Expired): about `limit` of them, because those behind one of the same
    /// ordering key may end with it. Returns how many; zero when none is left.
    fn expire(
        &self,
        age: Duration,
        limit: u32,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// A store in a database that the application writes to as well, so that an event and its business row are
/// one transaction.
///
/// To ensure correctness, both calls keep the rules of [`Store`], see what the transaction wrote before, and
/// need no other connection: the caller's may be the only one that there is.
pub trait TransactionalStore: Store {
    /// The caller's connection, or its open transaction.
    type Connection: Send;

    /// Does [`Store::subscriptions`] on the caller's connection.
    fn subscriptions_in(
        &self,
        connection: &mut Self::Connection,
        organization: &str,
    ) -> impl Future<Output = Result<Subscribed, StoreError>> + Send;

    /// Does [`Store::insert`] on the caller's connection. The events become visible, and are delivered, when
    /// the caller commits.
    fn insert_in(
        &self,
        connection: &mut Self::Connection,
        events: &[NewEvent],
    ) -> impl Future<Output = Result<Vec<Inserted>, StoreError>> + Send;
}
