//! [`Leased`]: a row that a store leased; [`Unreadable`]: one that it leased and could not read.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use time::OffsetDateTime;

use crate::contract::ContractId;
use crate::event::{EventId, EventType, TraceParent};
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::error::StoreError;
use crate::store::lease::Lease;
use crate::subscription::Subscription;

/// A leased row: a [`DueDelivery`], or a [`StoredRequest`](crate::store::StoredRequest). It derefs to the
/// row.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Leased<T = DueDelivery> {
    /// The row.
    pub row: T,
    /// The lease that its settlement has to show.
    pub lease: Lease,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// When the first attempt began. A store that learns this from settlements has `None` at the first
    /// attempt.
    pub first_attempt_at: Option<OffsetDateTime>,
}

impl<T> Leased<T> {
    /// Makes a leased row at its first attempt.
    pub const fn new(row: T, lease: Lease) -> Self {
        Self { row, lease, attempt: 1, first_attempt_at: None }
    }

    /// Sets the number of the attempt, and when the first one began.
    pub const fn with_attempt(mut self, attempt: u32, first_attempt_at: Option<OffsetDateTime>) -> Self {
        self.attempt = attempt;
        self.first_attempt_at = first_attempt_at;
        self
    }
}

impl<T> Deref for Leased<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.row
    }
}

/// A due delivery with everything that sending it needs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DueDelivery {
    /// The delivery.
    pub delivery: DeliveryId,
    /// The contract under which it was made: the name and the version of its payload.
    pub contract: ContractId,
    /// How long it had been due when it was claimed, by the store's own clock; `None` where the store goes by
    /// the caller's, or does not say.
    pub late: Option<Duration>,
    /// When it was due, for the next claim's [`Share::since`](super::Share::since); `None` where the store
    /// does not say.
    pub due_at: Option<OffsetDateTime>,
    /// Whether it has an ordering key, so that others may become due when it ends. Where a store does not
    /// say, the dispatcher's next look finds those.
    pub is_ordered: bool,
    /// The event's id.
    pub event: EventId,
    /// The event's type.
    pub event_type: EventType,
    /// The bytes to sign and send.
    pub payload: Bytes,
    /// The subscription that it goes to.
    pub subscription: Arc<Subscription>,
    /// The place in a trace that its event comes from.
    pub trace: Option<TraceParent>,
}

impl DueDelivery {
    /// Makes a delivery without an ordering key.
    pub const fn new(
        delivery: DeliveryId,
        contract: ContractId,
        event: EventId,
        event_type: EventType,
        payload: Bytes,
        subscription: Arc<Subscription>,
    ) -> Self {
        let (late, due_at, is_ordered) = (None, None, false);
        let trace = None;
        Self { delivery, contract, late, due_at, is_ordered, event, event_type, payload, subscription, trace }
    }

    /// Sets when it was due.
    pub const fn with_due_at(mut self, due_at: OffsetDateTime) -> Self {
        self.due_at = Some(due_at);
        self
    }

    /// Sets how long it had been due, by the store's own clock.
    pub const fn with_lateness(mut self, late: Option<Duration>) -> Self {
        self.late = late;
        self
    }

    /// Sets the place in a trace that its event comes from.
    pub const fn with_trace(mut self, trace: Option<TraceParent>) -> Self {
        self.trace = trace;
        self
    }

    /// Sets whether it has an ordering key.
    pub const fn with_order(mut self, is_ordered: bool) -> Self {
        self.is_ordered = is_ordered;
        self
    }
}

/// A leased row that could not be read: a delivery's, or a request's with `K` =
/// [`InboxKey`](crate::store::InboxKey).
#[derive(Debug)]
#[non_exhaustive]
pub struct Unreadable<K = DeliveryId> {
    /// The row's key: the id of the delivery, or the key of the request.
    pub key: K,
    /// The lease that its settlement has to show.
    pub lease: Lease,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// When the first attempt began. A store that learns this from settlements has `None` at the first
    /// attempt.
    pub first_attempt_at: Option<OffsetDateTime>,
    /// The delivery's subscription, where that is what cannot be read. No attempt is spent then: the delivery
    /// waits until the subscription is mended.
    pub subscription: Option<SubscriptionId>,
    /// Why the row could not be read.
    pub error: StoreError,
}

impl<K> Unreadable<K> {
    /// Makes a row that `error` kept from being read, at its first attempt.
    pub const fn new(key: K, lease: Lease, error: StoreError) -> Self {
        Self { key, lease, attempt: 1, first_attempt_at: None, subscription: None, error }
    }

    /// Sets the number of the attempt, and when the first one began.
    pub fn with_attempt(mut self, attempt: u32, first_attempt_at: Option<OffsetDateTime>) -> Self {
        self.attempt = attempt;
        self.first_attempt_at = first_attempt_at;
        self
    }
}

impl Unreadable {
    /// Sets the subscription that is what cannot be read.
    pub const fn by_subscription(mut self, subscription: SubscriptionId) -> Self {
        self.subscription = Some(subscription);
        self
    }
}
