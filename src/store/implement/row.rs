//! [`DeliveryRow`]: the part of a delivery's row that claims and settlements change.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use super::event::{NewDelivery, NewEvent};
use super::leased::{DueDelivery, Leased};
use super::settlement::{Settled, Settlement};
use crate::delivery::{DeadReason, DeliveryState, Next};
use crate::store::lease::Lease;
use crate::subscription::Subscription;

/// The part of a delivery's row that claims and settlements change, for stores that keep rows as values.
///
/// It keeps the rules of one row; queues, ordering keys and subscriptions are the store's.
///
/// ```
/// use std::time::Duration;
/// use hookwire::store::implement::{DeliveryRow, Settled};
/// use time::OffsetDateTime;
///
/// let now = OffsetDateTime::now_utc();
/// let mut row = DeliveryRow::new(now);
/// let lease = row.lease(now + Duration::from_secs(60));
/// assert_eq!(row.extend(lease, now + Duration::from_secs(90)), Settled::Done);
/// let again = row.lease(now + Duration::from_secs(120));
/// assert_eq!(row.extend(lease, now + Duration::from_secs(150)), Settled::Stale);
/// assert!(lease < again);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct DeliveryRow {
    /// Where the delivery stands.
    pub state: DeliveryState,
    /// When it is due; the end of its lease, while it is leased.
    pub due_at: OffsetDateTime,
    /// How often it was claimed: the number of its last lease.
    pub claims: u64,
    /// Whether the last lease was not settled yet.
    pub is_leased: bool,
    /// How many attempts were made.
    pub attempts: u32,
    /// When the first attempt began.
    pub first_attempt_at: Option<OffsetDateTime>,
    /// Since when a fault on this side keeps it back: the first time that it was handed back with a delay
    /// since its last attempt.
    pub kept_since: Option<OffsetDateTime>,
}

impl DeliveryRow {
    /// Makes the row of a pending delivery that was never claimed.
    pub const fn new(due_at: OffsetDateTime) -> Self {
        let state = DeliveryState::Pending;
        Self {
            state,
            due_at,
            claims: 0,
            is_leased: false,
            attempts: 0,
            first_attempt_at: None,
            kept_since: None,
        }
    }

    /// Whether the delivery is pending.
    pub fn is_pending(&self) -> bool {
        self.state == DeliveryState::Pending
    }

    /// Whether an attempt was made. A claim takes new deliveries before retries.
    pub const fn is_retry(&self) -> bool {
        self.attempts > 0
    }

    /// Leases the delivery until `until`.
    pub const fn lease(&mut self, until: OffsetDateTime) -> Lease {
        self.claims += 1;
        self.is_leased = true;
        self.due_at = until;
        Lease::new(self.claims)
    }

    /// Moves the end of a lease, where it is the last.
    pub fn extend(&mut self, lease: Lease, until: OffsetDateTime) -> Settled {
        if !self.holds(lease) {
            return Settled::Stale;
        }
        self.due_at = until;
        Settled::Done
    }

    /// Takes the attempt and the next state of a settlement, where its lease is the last. Its pause and its
    /// disabling are left to the store.
    pub fn settle(&mut self, settlement: &Settlement) -> Settled {
        if !self.holds(settlement.lease) {
            return Settled::Stale;
        }
        self.is_leased = false;
        if let Some(attempt) = settlement.log() {
            self.attempts = self.attempts.saturating_add(1);
            self.first_attempt_at.get_or_insert(attempt.started_at);
            self.kept_since = None;
        } else if settlement.keeps_back() {
            self.kept_since.get_or_insert(settlement.now);
        }
        self.first_attempt_at = self.first_attempt_at.map(|first| later(first, settlement.late));
        match settlement.next {
            Next::Done => self.end(DeliveryState::Delivered),
            Next::Dead { reason } => self.end(DeliveryState::Dead(reason)),
            Next::Retry { after } => self.due_at = later(settlement.now, after),
        }
        Settled::Done
    }

    /// Ends the delivery, whether it is leased or not.
    pub const fn end(&mut self, state: DeliveryState) {
        self.state = state;
        self.is_leased = false;
    }

    /// Ends the delivery as [`Expired`](DeadReason::Expired) where its wait began by `before`, and returns
    /// whether it did. `closed_since` is [`Pause::closed_since`](super::Pause::closed_since) of its
    /// subscription.
    pub fn expire(&mut self, closed_since: Option<OffsetDateTime>, before: OffsetDateTime) -> bool {
        let waits_since = closed_since.map(|since| since.max(self.due_at));
        let is_expired = waits_since.into_iter().chain(self.kept_since).any(|since| since <= before);
        let ends = is_expired && self.is_pending();
        if ends {
            self.end(DeliveryState::Dead(DeadReason::Expired));
        }
        ends
    }

    /// Leases the delivery until `until`, and reads it for the claim: of an event that the store keeps whole.
    pub fn claim(
        &mut self,
        event: &NewEvent,
        delivery: &NewDelivery,
        subscription: impl Into<Arc<Subscription>>,
        until: OffsetDateTime,
    ) -> Leased {
        let due_at = self.due_at;
        let lease = self.lease(until);
        let (contract, payload) = event.payload_of(delivery);
        let (id, event_type) = (event.id.clone(), event.event_type.clone());
        let (contract, payload) = (contract.clone(), payload.clone());
        let due = DueDelivery::new(delivery.id, contract, id, event_type, payload, subscription.into())
            .with_due_at(due_at)
            .with_trace(event.trace)
            .with_order(event.ordering_key.is_some());
        Leased::new(due, lease).with_attempt(self.attempts.saturating_add(1), self.first_attempt_at)
    }

    fn holds(&self, lease: Lease) -> bool {
        self.is_leased && self.claims == lease.number()
    }
}

/// `wait` after `now`, or the last time that stores can hold.
pub(in crate::store) fn later(now: OffsetDateTime, wait: Duration) -> OffsetDateTime {
    time::Duration::try_from(wait).ok().and_then(|wait| now.checked_add(wait)).unwrap_or(FAR)
}

const FAR: OffsetDateTime = time::macros::datetime!(9999-12-31 23:59:59 UTC);
