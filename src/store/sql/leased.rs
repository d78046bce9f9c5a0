//! [`LeasedRow`]: a row that a claim leased, and the event and subscription that it is joined with.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use time::OffsetDateTime;

use super::columns::{Columns, Unread, corrupt};
use crate::contract::ContractId;
use crate::event::{EventId, EventType, TraceParent};
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::{Claims, DueDelivery, Lease, Leased, StoreError, Unreadable};
use crate::subscription::Subscription;

/// A row that a claim leased. Id and lease must be readable. If another column is not, the row is reported as
/// unreadable.
pub(in crate::store) struct LeasedRow {
    delivery: DeliveryId,
    lease: Lease,
    was_due_at: Option<i64>,
    attempt: u32,
    rest: Result<Rest, Unread>,
}

struct Rest {
    payload: PayloadKey,
    subscription: SubscriptionId,
    first_attempt_at: Option<OffsetDateTime>,
    due_at: OffsetDateTime,
    late: Option<Duration>,
    is_ordered: bool,
}

/// The key of the bytes that a delivery sends: the row number of its event, and its version, or `None` for
/// the event's newest.
pub(in crate::store) type PayloadKey = (i64, Option<String>);

/// The events and subscriptions of leased deliveries.
#[derive(Default)]
pub(in crate::store) struct Parents {
    pub(in crate::store) events: HashMap<PayloadKey, Result<Event, Unread>>,
    pub(in crate::store) subscriptions: HashMap<SubscriptionId, Result<Arc<Subscription>, Unread>>,
}

impl LeasedRow {
    pub(in crate::store) fn read(row: &impl Columns) -> Result<Self, StoreError> {
        let read = || -> Result<Self, Unread> {
            Ok(Self {
                delivery: DeliveryId::from_u128(row.uuid("id")?),
                lease: row.lease()?,
                was_due_at: row.optional_number("was_due_at")?,
                attempt: row.count("attempts").unwrap_or(0).saturating_add(1),
                rest: Rest::read(row),
            })
        };
        read().map_err(corrupt)
    }

    /// Returns the key of the bytes that it sends, if the key could be read.
    pub(in crate::store) fn payload(&self) -> Option<&PayloadKey> {
        self.rest.as_ref().ok().map(|rest| &rest.payload)
    }

    /// Joins rows with their events and subscriptions: new deliveries before retries, the earliest due first.
    pub(in crate::store) fn claims(mut all: Vec<Self>, parents: &Parents) -> Claims {
        all.sort_by_key(|leased| (leased.attempt > 1, leased.was_due_at, leased.delivery));
        let mut claims = Claims::default();
        for leased in all {
            match leased.join(parents) {
                Ok(claimed) => claims.deliveries.push(claimed),
                Err(unread) => claims.unreadable.push(leased.unreadable(unread)),
            }
        }
        claims
    }

    fn join(&self, parents: &Parents) -> Result<Leased, Unjoined> {
        let rest = self.rest.as_ref().map_err(|unread| Unjoined::delivery(unread.to_string()))?;
        let event = parents
            .events
            .get(&rest.payload)
            .ok_or_else(|| Unjoined::delivery("the delivery's event is missing"))?
            .as_ref()
            .map_err(|unread| Unjoined::delivery(format!("the delivery's event: {unread}")))?;
        let subscription = parents
            .subscriptions
            .get(&rest.subscription)
            .ok_or_else(|| Unjoined::delivery("the delivery's subscription is missing"))?
            .as_ref()
            .map_err(|unread| Unjoined {
                why: format!("the delivery's subscription: {unread}"),
                subscription: Some(rest.subscription),
            })?;
        let due = DueDelivery::new(
            self.delivery,
            event.contract.clone(),
            event.id.clone(),
            event.event_type.clone(),
            event.payload.clone(),
            Arc::clone(subscription),
        )
        .with_due_at(rest.due_at)
        .with_trace(event.trace)
        .with_lateness(rest.late)
        .with_order(rest.is_ordered);
        Ok(Leased::new(due, self.lease).with_attempt(self.attempt, rest.first_attempt_at))
    }

    fn unreadable(&self, unjoined: Unjoined) -> Unreadable {
        let first_attempt_at = self.rest.as_ref().ok().and_then(|rest| rest.first_attempt_at);
        let unreadable = Unreadable::new(self.delivery, self.lease, corrupt(unjoined.why))
            .with_attempt(self.attempt, first_attempt_at);
        match unjoined.subscription {
            Some(id) => unreadable.by_subscription(id),
            None => unreadable,
        }
    }
}

/// Why a leased row cannot be sent.
struct Unjoined {
    why: String,
    /// The subscription, where that is what cannot be read.
    subscription: Option<SubscriptionId>,
}

impl Unjoined {
    /// The row itself, or its event.
    fn delivery(why: impl Into<String>) -> Self {
        Self { why: why.into(), subscription: None }
    }
}

impl Rest {
    fn read(row: &impl Columns) -> Result<Self, Unread> {
        // Read again, so that an invalid count is an error and does not count as 0.
        row.count("attempts")?;
        Ok(Self {
            payload: (row.number("event")?, row.optional_text("version")?.map(str::to_owned)),
            subscription: SubscriptionId::from_u128(row.uuid("subscription")?),
            first_attempt_at: row.optional_instant("first_attempt_at")?,
            due_at: row.instant("was_due_at")?,
            // Only of a database whose clock is not the caller's.
            late: row.optional_duration("late").ok().flatten(),
            is_ordered: row.number("is_ordered")? != 0,
        })
    }
}

/// The part of an event that its deliveries send.
pub(in crate::store) struct Event {
    contract: ContractId,
    id: EventId,
    event_type: EventType,
    payload: Bytes,
    trace: Option<TraceParent>,
}

impl Event {
    /// Reads an event with its payload in `version`, or in its newest version if that is `None`. `id` names
    /// the column of its id.
    pub(in crate::store) fn read(
        row: &impl Columns,
        id: &str,
        version: Option<&str>,
    ) -> Result<Self, Unread> {
        let payload = row.optional_bytes("payload")?.ok_or("its payload is gone")?;
        Ok(Self {
            contract: ContractId::new(
                row.text("contract")?,
                version.map_or_else(|| row.text("newest"), Ok)?,
            )?,
            id: row.text(id)?.parse()?,
            event_type: row.text("type")?.parse()?,
            payload: Bytes::copy_from_slice(payload),
            // One that cannot be read costs the trace and not the event.
            trace: row.optional_text("trace")?.and_then(|trace| trace.parse().ok()),
        })
    }
}
