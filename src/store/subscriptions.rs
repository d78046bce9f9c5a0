//! [`Subscriptions`]: writing and listing subscriptions.

use std::future::Future;

use time::OffsetDateTime;

use super::StoreError;
use super::page::{Cursor, Page};
use crate::contract::ContractId;
use crate::id::SubscriptionId;
use crate::signature::Secret;
use crate::subscription::{EventFilter, Subscription, SubscriptionStatus};

/// Writes and lists subscriptions: for management and for the key ring.
///
/// `Arc<S>` and `&S` have this trait where `S` has it.
///
/// To ensure correctness:
///
/// - **Health and pauses** belong to the store: writing a subscription that exists changes neither. Only
///   [`replace`](Self::replace) and [`set_status`](Self::set_status) clear the health, when they enable a
///   subscription that was disabled: its endpoint's earlier failures are not held against it.
/// - **Contract** and **organization**: the name of a subscription's contract and its organization never
///   change; the version may. Writing others is refused with
///   [`StoreErrorKind::Backend`](super::StoreErrorKind::Backend) and writes nothing.
/// - **Replace** compares everything but the health with what was read ([`Subscription::is_as`]) and writes
///   in the same step, so that no change by another caller is lost.
/// - **Secrets**: a secret that [`add`](Self::add) or [`hold_secret`](Self::hold_secret) was given belongs to
///   its subscription. Another subscription that asks for it is refused, also in another organization. If two
///   ask at once, one succeeds. A secret is free again once its subscription is deleted, or written with as
///   many secrets as it was given after this one.
/// - **Bounds**: a subscription that [`Subscription::check`] refuses is refused with
///   [`StoreErrorKind::Backend`](super::StoreErrorKind::Backend), and nothing is written.
/// - **Delete** cancels the pending deliveries too, also those that are being attempted; all of them stay
///   readable. A delivery that is inserted for it afterwards is never claimed.
/// - **Pages** cost a page and not a walk. A list has no item twice and misses none that was there when its
///   first page was read and still is, whatever is written in between.
///
/// `subscriptions_conformance!` (feature `testing`) has a test for each rule but those on cost.
pub trait Subscriptions: Send + Sync {
    /// Writes a subscription, in place of the one with its id if there is one.
    fn put(&self, subscription: &Subscription) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes a subscription in place of `seen`, which is the one of the same id as it was read. Returns
    /// `false`, and writes nothing, when another caller wrote or deleted it since.
    fn replace(
        &self,
        seen: &Subscription,
        subscription: &Subscription,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Writes a new subscription that holds the secret of this digest, unless its organization has `limit`
    /// subscriptions already.
    fn add(
        &self,
        subscription: &Subscription,
        secret: Option<&SecretDigest>,
        limit: u32,
    ) -> impl Future<Output = Result<Added, StoreError>> + Send;

    /// Reserves one more secret for a subscription. Returns `false` when another subscription holds it, or
    /// there is no subscription of this id.
    fn hold_secret(
        &self,
        id: SubscriptionId,
        secret: &SecretDigest,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Enables or disables a subscription. Returns `false` when there is none of this id.
    fn set_status(
        &self,
        id: SubscriptionId,
        status: &SubscriptionStatus,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Deletes a subscription and cancels its pending deliveries. Returns `false` when there is none of this
    /// id.
    fn delete(
        &self,
        id: SubscriptionId,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Lists an organization's subscriptions, oldest first.
    ///
    /// A row that cannot be read has its place in the list and stops no others.
    fn list(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> impl Future<Output = Result<Page<Scanned>, StoreError>> + Send;

    /// Reads the subscriptions of all organizations in the order of their ids, at most `limit`, beginning
    /// after the id `after`.
    ///
    /// A row that cannot be read is reported under its id and stops no others.
    fn scan(
        &self,
        after: Option<SubscriptionId>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Scanned>, StoreError>> + Send;
}

/// A subscription that was found among others: its row may be one that cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub struct Scanned {
    /// Its id.
    pub id: SubscriptionId,
    /// The subscription, or why its row cannot be read.
    pub subscription: Result<Subscription, StoreError>,
    /// The parts of a row that cannot be read whole, where those can that say which events go there.
    pub routing: Option<RoutingParts>,
}

impl Scanned {
    /// Makes the entry of a row.
    pub const fn new(id: SubscriptionId, subscription: Result<Subscription, StoreError>) -> Self {
        Self { id, subscription, routing: None }
    }

    /// Sets the parts that can be read of a row that cannot be read whole.
    pub fn with_routing(mut self, routing: Option<RoutingParts>) -> Self {
        self.routing = routing;
        self
    }
}

impl From<Subscription> for Scanned {
    fn from(subscription: Subscription) -> Self {
        Self::new(subscription.id, Ok(subscription))
    }
}

/// The parts of a subscription that say which events go there. Where they can be read and others cannot, an
/// event is not refused and not lost: its delivery waits until the row is mended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RoutingParts {
    /// The contract that it speaks.
    pub contract: ContractId,
    /// The events that it asks for.
    pub filter: EventFilter,
    /// Whether it is known to be disabled.
    pub is_disabled: bool,
}

impl RoutingParts {
    /// Makes the parts of a row.
    pub const fn new(contract: ContractId, filter: EventFilter, is_disabled: bool) -> Self {
        Self { contract, filter, is_disabled }
    }
}

/// The result of [`Subscriptions::add`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Added {
    /// The subscription was written.
    Done,
    /// There is one of its id already.
    Exists,
    /// The organization has as many subscriptions as it may have.
    Full,
    /// Another subscription holds its secret.
    SecretInUse,
}

/// A hash of a secret's bytes: it tells two secrets apart without holding either. For a secret of 24 random
/// bytes or more it gives nothing away.
///
/// ```
/// use hookwire::Secret;
/// use hookwire::store::SecretDigest;
///
/// let secret = Secret::generate();
/// assert_eq!(SecretDigest::of(&secret), SecretDigest::of(&secret.clone()));
/// assert_ne!(SecretDigest::of(&secret), SecretDigest::of(&Secret::generate()));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// Hashes a secret. Two secrets that sign the same have the same digest.
    pub fn of(secret: &Secret) -> Self {
        Self(secret.digest())
    }

    /// The bytes of the digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}
