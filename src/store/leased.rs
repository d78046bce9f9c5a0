//! [`Leased`]: a row that a claim took, and what it is joined with to be sent.
#![cfg(any(feature = "postgres", feature = "sqlite"))]

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use time::OffsetDateTime;

use super::columns::{Columns, Unread, corrupt};
use crate::event::{EventId, EventType};
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::{Claimed, Claims, Lease, StoreError, Unreadable};
use crate::subscription::Subscription;

/// A row that the claim returned. The columns that name it and its lease are read strictly, the rest as far as it goes:
/// without the former nothing can be told about it.
pub(super) struct Leased {
    delivery: DeliveryId,
    lease: Lease,
    was_due_at: Option<i64>,
    attempt: u32,
    rest: Result<Rest, Unread>,
}

struct Rest {
    event: i64,
    subscription: SubscriptionId,
    first_attempt_at: Option<OffsetDateTime>,
    due_at: OffsetDateTime,
    is_ordered: bool,
}

/// What leased deliveries take from their events and subscriptions.
#[derive(Default)]
pub(super) struct Parents {
    pub(super) events: HashMap<i64, Result<Event, Unread>>,
    pub(super) subscriptions: HashMap<SubscriptionId, Result<Arc<Subscription>, Unread>>,
}

impl Leased {
    pub(super) fn read(row: &impl Columns) -> Result<Self, StoreError> {
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

    /// The number of its event's row, where it could be read.
    pub(super) fn event(&self) -> Option<i64> {
        self.rest.as_ref().ok().map(|rest| rest.event)
    }

    /// The earliest due first.
    pub(super) fn claims(mut all: Vec<Self>, parents: &Parents) -> Claims {
        all.sort_by_key(|leased| (leased.was_due_at, leased.delivery));
        let mut claims = Claims::default();
        for leased in all {
            match leased.join(parents) {
                Ok(claimed) => claims.deliveries.push(claimed),
                Err(unread) => claims.unreadable.push(leased.unreadable(unread)),
            }
        }
        claims
    }

    fn join(&self, parents: &Parents) -> Result<Claimed, String> {
        let rest = self.rest.as_ref().map_err(ToString::to_string)?;
        let event = parents
            .events
            .get(&rest.event)
            .ok_or("the delivery's event is missing")?
            .as_ref()
            .map_err(|unread| format!("the delivery's event: {unread}"))?;
        let subscription = parents
            .subscriptions
            .get(&rest.subscription)
            .ok_or("the delivery's subscription is missing")?
            .as_ref()
            .map_err(|unread| format!("the delivery's subscription: {unread}"))?;
        Ok(Claimed::new(
            self.delivery,
            self.lease,
            event.id.clone(),
            event.event_type.clone(),
            event.payload.clone(),
            Arc::clone(subscription),
        )
        .at_attempt(self.attempt, rest.first_attempt_at)
        .due_at(rest.due_at)
        .ordered(rest.is_ordered))
    }

    fn unreadable(&self, unread: String) -> Unreadable {
        let first_attempt_at = self.rest.as_ref().ok().and_then(|rest| rest.first_attempt_at);
        Unreadable::new(self.delivery, self.lease, corrupt(unread)).at_attempt(self.attempt, first_attempt_at)
    }
}

impl Rest {
    fn read(row: &impl Columns) -> Result<Self, Unread> {
        // Read again, so that a count that cannot be is told and not taken for the first attempt.
        row.count("attempts")?;
        Ok(Self {
            event: row.number("event")?,
            subscription: SubscriptionId::from_u128(row.uuid("subscription")?),
            first_attempt_at: row.optional_instant("first_attempt_at")?,
            due_at: row.instant("was_due_at")?,
            is_ordered: row.number("is_ordered")? != 0,
        })
    }
}

/// What a delivery takes from its event's row.
pub(super) struct Event {
    id: EventId,
    event_type: EventType,
    payload: Bytes,
}

impl Event {
    pub(super) fn read(row: &impl Columns, id: &str) -> Result<Self, Unread> {
        let payload = row.optional_bytes("payload")?.ok_or("its payload is gone")?;
        Ok(Self {
            id: row.text(id)?.parse()?,
            event_type: row.text("type")?.parse()?,
            payload: Bytes::copy_from_slice(payload),
        })
    }
}
