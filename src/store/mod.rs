//! [`Store`]: where subscriptions, events, deliveries and attempts live; [`TransactionalStore`]: one that joins the
//! caller's transaction.
//!
//! A store is small and batch-shaped. Its rules, which an implementation has to keep:
//!
//! - **Insert** is idempotent on (organization, event id): the same payload again is a duplicate and changes nothing, another
//!   payload under the same id a conflict that changes nothing, also after the payload was expunged. An event and its
//!   deliveries are written together or not at all. A payload is stored once, however many deliveries it has.
//! - **Look** tells which subscriptions have a delivery that could be claimed now: pending, due, first of its ordering key, its
//!   subscription enabled and not paused. Its cost grows with the subscriptions that have something pending, not with their
//!   deliveries.
//! - **Claim** takes up to a share of each named subscription's due deliveries, earliest first (in which order subscriptions
//!   follow each other is the store's choice), and leases them: until the lease ends nobody else is given them, afterwards they
//!   are due again. Every claim of a delivery gives it a [`Lease`] that no
//!   earlier claim had. Of a subscription that is disabled, paused or deleted nothing is taken.
//! - **Order**: of the pending deliveries of one subscription that share an ordering key, only the one inserted first is
//!   claimed. When it ends (delivered, dead, cancelled), the next one is due at that instant and no earlier. A delivery that waits
//!   behind another costs a look and a claim nothing, and tells no due time or its own, as the store likes.
//! - **Settle** writes an attempt and the next state together, and only where the lease is the delivery's last. A stale
//!   one changes nothing and is told as [`Settled::Stale`]. Settling uses the lease up: the same settlement again is stale,
//!   so that a call whose answer was lost can be repeated.
//! - **Extend** moves the end of leases that are still the last.
//! - **Secrets** are kept as they are given, in the clear or sealed by a key ring ([`StoredSecret`](crate::StoredSecret)): a store
//!   opens none, and what is sealed and was altered since makes no row unreadable.
//!
//! Due times are instants on the store's clock: `now` is the caller's, and a store that has a better one (a database shared
//! by several machines) may use its own instead. That is why settlements carry delays and not instants.
//!
//! `store::conformance` (feature `testing`) has a test for each rule.

mod columns;
pub mod conformance;
mod error;
mod ext;
mod forward;
mod inbox;
mod intake;
mod leased;
pub(crate) mod memory;
mod notifications;
pub mod postgres;
mod records;
mod requests;
pub mod sqlite;
mod statistics;
mod tables;
mod waiting;

pub use error::{StoreError, StoreErrorKind};
pub use ext::StoreExt;
#[cfg(any(feature = "memory", feature = "postgres", feature = "sqlite"))]
use inbox::ABANDONED_KEPT;
pub use inbox::{Inbox, InboxKey, Reservation, TransactionalInbox};
pub use intake::NO_ATTEMPT_LEFT;
pub use intake::{
    Conclusion, GivenUpRequest, Intake, Kept, KeptRequest, RequestSettlement, Take, Taken, TakenRequest,
    UnreadableRequest,
};
pub use notifications::Notifications;
pub use records::{Added, Cursor, DeliveryQuery, EventRecord, Page, Period, Records, SecretDigest};
pub use statistics::{Backlog, Count, Latency, Slot, Statistics};

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use time::OffsetDateTime;

use crate::delivery::{Attempt, Delivery, Next};
use crate::event::{EventId, EventType};
use crate::id::{DeliveryId, SubscriptionId};
use crate::subscription::{DisabledReason, Health, Subscription, SubscriptionStatus};

/// Where subscriptions, events, deliveries and attempts live.
///
/// The module's text states the rules an implementation has to keep. `Arc<S>` and `&S` are stores where `S` is one.
pub trait Store: Send + Sync {
    /// Writes a subscription, in place of the one with its id if there is one; of that one the health and a pause stay.
    fn put_subscription(
        &self,
        subscription: &Subscription,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The subscription of this id.
    fn subscription(
        &self,
        id: SubscriptionId,
    ) -> impl Future<Output = Result<Option<Subscription>, StoreError>> + Send;

    /// Every subscription of an organization, disabled ones too, oldest first.
    fn subscriptions(
        &self,
        organization: &str,
    ) -> impl Future<Output = Result<Vec<Subscription>, StoreError>> + Send;

    /// Every organization's subscriptions by their ids, disabled ones too and those whose row cannot be read, in the order of the
    /// ids, at most `limit`, beginning after `after`.
    fn subscription_ids(
        &self,
        after: Option<SubscriptionId>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<SubscriptionId>, StoreError>> + Send;

    /// Writes a subscription in place of `seen`, the one of the same id as it was read, unless somebody else wrote it since or
    /// deleted it; `false` tells that, and then nothing was written.
    ///
    /// The health and a pause stay, and are not compared ([`Subscription::is_as`]); but one that was disabled and is enabled starts
    /// healthy, as by [`set_subscription_status`](Self::set_subscription_status).
    fn replace_subscription(
        &self,
        seen: &Subscription,
        subscription: &Subscription,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Enables or disables the subscription of this id; `false` when there is none. One that was disabled and is enabled starts
    /// healthy: what its endpoint failed before is not held against it.
    fn set_subscription_status(
        &self,
        id: SubscriptionId,
        status: &SubscriptionStatus,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Deletes a subscription and cancels its pending deliveries, also those that are being attempted; `false` when there is none.
    /// Its deliveries stay readable. One that is made for it afterwards is never claimed; a store may write it as cancelled.
    fn delete_subscription(
        &self,
        id: SubscriptionId,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Writes events with their deliveries, and tells of each whether it was new, in the order given.
    fn insert(&self, events: &[NewEvent]) -> impl Future<Output = Result<Vec<Inserted>, StoreError>> + Send;

    /// Which subscriptions have something to claim at `now`, at most `limit` of them in any order, and when another one will
    /// have.
    ///
    /// With more than `limit`, looks find others in turn, also when nothing is claimed in between: none is left out for ever.
    fn look(&self, now: OffsetDateTime, limit: u32) -> impl Future<Output = Result<Look, StoreError>> + Send;

    /// Leases due deliveries of the subscriptions that `claim` names, with everything needed to send them.
    fn claim(&self, claim: &Claim) -> impl Future<Output = Result<Claims, StoreError>> + Send;

    /// Has leases end at `now` and `lease`, and tells of each whether it was still good, in the order given.
    fn extend(
        &self,
        leases: &[(DeliveryId, Lease)],
        now: OffsetDateTime,
        lease: Duration,
    ) -> impl Future<Output = Result<Vec<Settled>, StoreError>> + Send;

    /// Writes attempts and what becomes of their deliveries, and tells of each whether its lease was still good, in the
    /// order given.
    fn settle(
        &self,
        settlements: &[Settlement],
    ) -> impl Future<Output = Result<Vec<Settled>, StoreError>> + Send;

    /// Writes how a subscription's endpoint fares, unless somebody else wrote it since `seen`; `false` tells that.
    fn put_health(
        &self,
        id: SubscriptionId,
        seen: &Health,
        health: &Health,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Cancels a pending delivery, also one that is being attempted: its settlement is stale then. `false` when there is no such
    /// pending delivery.
    fn cancel(
        &self,
        id: DeliveryId,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Makes new pending deliveries, due at `now`, of the events whose deliveries `replay` names; at most `limit`, oldest first. An
    /// event that already has a pending delivery to the subscription, or whose payload or subscription is gone, gets none.
    ///
    /// Of many, those that ended after `now` are left out: calls with one `now` come to an end, however fast an endpoint refuses
    /// what they make. [`StoreExt::replay_all`] makes those calls.
    ///
    /// Whichever kind of replay it was, a dead letter in whose place a delivery was made becomes
    /// [`Replayed`](crate::DeadReason::Replayed); a delivered one stays delivered. A new delivery has its event's ordering key and
    /// takes the last place there.
    fn replay(
        &self,
        replay: &Replay,
        now: OffsetDateTime,
        limit: u32,
    ) -> impl Future<Output = Result<Replayed, StoreError>> + Send;

    /// Deletes one event's payload and cancels its pending deliveries, also those that are being attempted; `false` when there is
    /// no such event, `true` also when its payload was gone already. Its id stays taken.
    fn expunge(
        &self,
        organization: &str,
        event: &EventId,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Deletes what `retention` no longer wants, at most `limit` rows of each kind (payloads, attempts, deliveries, events), and
    /// tells how many in all: zero when nothing is left to delete.
    fn prune(
        &self,
        retention: &Retention,
        now: OffsetDateTime,
        limit: u32,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// The delivery of this id.
    fn delivery(&self, id: DeliveryId) -> impl Future<Output = Result<Option<Delivery>, StoreError>> + Send;

    /// A subscription's deliveries, newest first, at most `limit`, beginning after the one of id `after`.
    ///
    /// Their ids sort by time, so the order is that of the ids.
    fn deliveries(
        &self,
        subscription: SubscriptionId,
        after: Option<DeliveryId>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Delivery>, StoreError>> + Send;

    /// A delivery's attempts, first to last.
    fn attempts(&self, delivery: DeliveryId)
    -> impl Future<Output = Result<Vec<Attempt>, StoreError>> + Send;
}

/// A store in a database that the application writes to as well, so that an event and its business row are one transaction.
pub trait TransactionalStore: Store {
    /// The caller's connection, or its open transaction.
    type Connection: Send;

    /// [`Store::subscriptions`] on the caller's connection, which may be the only one that there is.
    fn subscriptions_in(
        &self,
        connection: &mut Self::Connection,
        organization: &str,
    ) -> impl Future<Output = Result<Vec<Subscription>, StoreError>> + Send;

    /// [`Store::insert`] on the caller's connection: what it wrote becomes visible, and is delivered, when the caller commits.
    fn insert_in(
        &self,
        connection: &mut Self::Connection,
        events: &[NewEvent],
    ) -> impl Future<Output = Result<Vec<Inserted>, StoreError>> + Send;
}

/// An event to be written, with where it goes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewEvent {
    /// Whose it is.
    pub organization: String,
    /// The event's id.
    pub id: EventId,
    /// The event's type.
    pub event_type: EventType,
    /// When it is inserted; its deliveries are due from then on.
    pub inserted_at: OffsetDateTime,
    /// The encoded envelope: the bytes that are signed and sent.
    pub payload: Bytes,
    /// Where it goes: one delivery for each subscription.
    pub deliveries: Vec<(DeliveryId, SubscriptionId)>,
    /// What keeps its deliveries to one subscription in order with others of the same key.
    pub ordering_key: Option<String>,
    /// Names and values by which filters choose it; never sent.
    pub attributes: BTreeMap<String, Vec<String>>,
}

impl NewEvent {
    /// The attribute of a test event.
    pub const TEST: &str = "webhook-test";

    /// An event that goes nowhere yet.
    pub fn new(
        organization: impl Into<String>,
        id: EventId,
        event_type: EventType,
        inserted_at: OffsetDateTime,
        payload: Bytes,
    ) -> Self {
        Self {
            organization: organization.into(),
            id,
            event_type,
            inserted_at,
            payload,
            deliveries: Vec::new(),
            ordering_key: None,
            attributes: BTreeMap::new(),
        }
    }

    /// The same event, kept in order with others of the same key.
    pub fn with_ordering_key(mut self, key: impl Into<Option<String>>) -> Self {
        self.ordering_key = key.into();
        self
    }

    /// The same event with one more delivery.
    pub fn with_delivery(mut self, delivery: DeliveryId, subscription: SubscriptionId) -> Self {
        self.deliveries.push((delivery, subscription));
        self
    }
}

/// What became of an event that was inserted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Inserted {
    /// It was written.
    New,
    /// The organization already has an event of this id with this payload.
    Duplicate,
    /// The organization already has an event of this id with another payload.
    Conflict,
}

/// What a [`Store::look`] saw.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Look {
    /// Subscriptions that have something to claim, each once.
    pub ready: Vec<SubscriptionId>,
    /// How long until one that is not in `ready` has something to claim: a delivery of it is due, a lease or its pause ends. Zero
    /// when the limit left one out; `None` when no other enabled subscription has anything pending.
    pub wait: Option<Duration>,
}

impl Look {
    /// A look that saw `ready` and will see more after `wait`.
    pub const fn new(ready: Vec<SubscriptionId>, wait: Option<Duration>) -> Self {
        Self { ready, wait }
    }
}

/// A wish for due deliveries.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Claim {
    /// The caller's time.
    pub now: OffsetDateTime,
    /// How long they are nobody else's: longer than an attempt can take.
    pub lease: Duration,
    /// How many at the most of which subscriptions; each named once.
    pub shares: Vec<Share>,
}

impl Claim {
    /// What `shares` name, for `lease` from `now` on.
    pub const fn new(now: OffsetDateTime, lease: Duration, shares: Vec<Share>) -> Self {
        Self { now, lease, shares }
    }
}

/// How much a claim takes of one subscription.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Share {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// How many of its deliveries at the most.
    pub limit: u32,
    /// Where in its queue to begin: nothing that was due before this is expected. A hint, so that a store need not walk
    /// over what was taken before; `None` begins at the start.
    pub since: Option<OffsetDateTime>,
}

impl Share {
    /// Up to `limit` deliveries of `subscription`, from the start of its queue.
    pub const fn new(subscription: SubscriptionId, limit: u32) -> Self {
        Self { subscription, limit, since: None }
    }

    /// The same share, beginning with what is due at `since` or later.
    pub const fn with_since(mut self, since: Option<OffsetDateTime>) -> Self {
        self.since = since;
        self
    }
}

/// What a claim took.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Claims {
    /// The deliveries to send.
    pub deliveries: Vec<Claimed>,
    /// Deliveries that were leased and whose rows could not be read, so that one bad row stops no others.
    pub unreadable: Vec<Unreadable>,
}

/// A leased delivery with everything needed to send it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Claimed {
    /// The delivery.
    pub delivery: DeliveryId,
    /// What its settlement has to show.
    pub lease: Lease,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// When the first attempt began; `None` when this is it.
    pub first_attempt_at: Option<OffsetDateTime>,
    /// When it was due, for the next claim's [`Share::since`]; `None` where the store does not tell.
    pub due_at: Option<OffsetDateTime>,
    /// Whether it has an ordering key, so that others may become due when it ends. Where a store does not tell, those are found by
    /// the dispatcher's next look.
    pub is_ordered: bool,
    /// The event's id.
    pub event: EventId,
    /// The event's type.
    pub event_type: EventType,
    /// The bytes to sign and send.
    pub payload: Bytes,
    /// Where to.
    pub subscription: Arc<Subscription>,
}

impl Claimed {
    /// A leased delivery of these parts, at its first attempt.
    pub const fn new(
        delivery: DeliveryId,
        lease: Lease,
        event: EventId,
        event_type: EventType,
        payload: Bytes,
        subscription: Arc<Subscription>,
    ) -> Self {
        Self {
            delivery,
            lease,
            attempt: 1,
            first_attempt_at: None,
            due_at: None,
            is_ordered: false,
            event,
            event_type,
            payload,
            subscription,
        }
    }

    /// The same delivery at a later attempt.
    pub const fn at_attempt(mut self, attempt: u32, first_attempt_at: Option<OffsetDateTime>) -> Self {
        self.attempt = attempt;
        self.first_attempt_at = first_attempt_at;
        self
    }

    /// The same delivery, which was due at `due_at`.
    pub const fn due_at(mut self, due_at: OffsetDateTime) -> Self {
        self.due_at = Some(due_at);
        self
    }

    /// The same delivery, with an ordering key or without.
    pub const fn ordered(mut self, is_ordered: bool) -> Self {
        self.is_ordered = is_ordered;
        self
    }
}

/// A leased delivery whose stored row could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unreadable {
    /// The delivery.
    pub delivery: DeliveryId,
    /// What its settlement has to show.
    pub lease: Lease,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// When the first attempt began; `None` when this is it.
    pub first_attempt_at: Option<OffsetDateTime>,
    /// What was wrong.
    pub error: StoreError,
}

impl Unreadable {
    /// A delivery that `error` kept from being read, at its first attempt.
    pub const fn new(delivery: DeliveryId, lease: Lease, error: StoreError) -> Self {
        Self { delivery, lease, attempt: 1, first_attempt_at: None, error }
    }

    /// The same delivery at a later attempt.
    pub fn at_attempt(mut self, attempt: u32, first_attempt_at: Option<OffsetDateTime>) -> Self {
        self.attempt = attempt;
        self.first_attempt_at = first_attempt_at;
        self
    }
}

/// A fencing token: the number of a delivery's claim, greater than those of all claims before.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Lease(u64);

impl Lease {
    /// The lease of this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// An attempt that ended, and what becomes of its delivery.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settlement {
    /// The delivery.
    pub delivery: DeliveryId,
    /// The lease it was claimed under.
    pub lease: Lease,
    /// The caller's time: a retry's delay counts from it.
    pub now: OffsetDateTime,
    /// The attempt; `None` hands the delivery back untried.
    pub attempt: Option<Attempt>,
    /// What becomes of the delivery.
    pub next: Next,
    /// Why the delivery's subscription is disabled along with this, if it is.
    pub disable: Option<DisabledReason>,
    /// For how long after `now` nothing more is claimed of the delivery's subscription. A pause that ends later stays. Leases are
    /// not touched by it.
    pub pause: Option<Duration>,
}

impl Settlement {
    /// An attempt that ended at `now`, and what becomes of its delivery.
    pub const fn new(
        delivery: DeliveryId,
        lease: Lease,
        now: OffsetDateTime,
        attempt: Attempt,
        next: Next,
    ) -> Self {
        Self { delivery, lease, now, attempt: Some(attempt), next, disable: None, pause: None }
    }

    /// A delivery handed back untried, due again at once.
    pub const fn hand_back(delivery: DeliveryId, lease: Lease, now: OffsetDateTime) -> Self {
        Self {
            delivery,
            lease,
            now,
            attempt: None,
            next: Next::retry(Duration::ZERO),
            disable: None,
            pause: None,
        }
    }

    /// The same settlement, pausing the delivery's subscription for `pause`.
    pub const fn with_pause(mut self, pause: Duration) -> Self {
        self.pause = Some(pause);
        self
    }

    /// The same settlement, disabling the delivery's subscription.
    pub const fn with_disable(mut self, reason: DisabledReason) -> Self {
        self.disable = Some(reason);
        self
    }
}

/// What became of a settlement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Settled {
    /// It was written.
    Done,
    /// The lease had ended and somebody else claimed or settled the delivery: nothing was changed.
    Stale,
}

/// Which deliveries are made again, as new deliveries of the same events.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Replay {
    /// This one, whatever became of it.
    Delivery(DeliveryId),
    /// Every dead letter of this subscription, less those that were cancelled (somebody did not want them sent) or replayed
    /// already.
    DeadLetters(SubscriptionId),
    /// Everything of this subscription that was made at this time or later and was not delivered, what was cancelled too; less
    /// what was replayed already.
    Since(SubscriptionId, OffsetDateTime),
}

/// What a replay did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Replayed {
    /// How many new deliveries were made.
    pub made: u32,
    /// Whether the limit was reached, so that another call may find more.
    pub more: bool,
}

impl Replayed {
    /// A replay that made this many, and may find more.
    pub const fn new(made: u32, more: bool) -> Self {
        Self { made, more }
    }
}

/// For how long after a delivery ended its traces are kept; `None` keeps for ever.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Retention {
    /// Payloads, once none of their event's deliveries is pending. The event's id stays taken. An event without deliveries
    /// counts as ended when it was inserted.
    pub payloads: Option<Duration>,
    /// Attempts.
    pub attempts: Option<Duration>,
    /// Deliveries with their attempts; and events, once they have no delivery left, whose ids are free then.
    pub deliveries: Option<Duration>,
}

impl Retention {
    /// Keeps everything for ever.
    pub const fn new() -> Self {
        Self { payloads: None, attempts: None, deliveries: None }
    }

    /// Keeps payloads for `age` after the last delivery of their event ended.
    pub const fn with_payloads(mut self, age: Duration) -> Self {
        self.payloads = Some(age);
        self
    }

    /// Keeps attempts for `age` after their delivery ended.
    pub const fn with_attempts(mut self, age: Duration) -> Self {
        self.attempts = Some(age);
        self
    }

    /// Keeps deliveries for `age` after they ended.
    pub const fn with_deliveries(mut self, age: Duration) -> Self {
        self.deliveries = Some(age);
        self
    }
}
