//! [`Ends`]: rows that have ended, sorted by when, so that pruning reads only rows that it deletes.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::event::Event;
use super::moment::Moment;
use crate::id::DeliveryId;

/// The rows that a retention may delete, by when they ended.
#[derive(Default)]
pub(super) struct Ends {
    /// Events without a pending delivery that still have their payload.
    pub(super) payloads: BTreeSet<(Moment, u64)>,
    /// Events without any delivery.
    pub(super) events: BTreeSet<(Moment, u64)>,
    /// Deliveries whose attempts were not pruned.
    pub(super) attempts: BTreeSet<(Moment, DeliveryId)>,
    pub(super) deliveries: BTreeSet<(Moment, DeliveryId)>,
}

impl Ends {
    /// Adds an event whose last pending delivery ended, or that never had one.
    pub(super) fn event_ended(&mut self, number: u64, event: &Event) {
        if event.has_payload() {
            self.payloads.insert((event.ended_at.into(), number));
        }
        self.delivery_gone(number, event);
    }

    /// Removes an event that got a pending delivery.
    pub(super) fn event_resumed(&mut self, number: u64, event: &Event) {
        self.payloads.remove(&(event.ended_at.into(), number));
        self.events.remove(&(event.ended_at.into(), number));
    }

    pub(super) fn payload_gone(&mut self, number: u64, event: &Event) {
        self.payloads.remove(&(event.ended_at.into(), number));
    }

    pub(super) fn delivery_ended(&mut self, id: DeliveryId, at: OffsetDateTime, was_attempted: bool) {
        let at = Moment::from(at);
        if was_attempted {
            self.attempts.insert((at, id));
        }
        self.deliveries.insert((at, id));
    }

    /// Adds an event if it has no delivery left.
    pub(super) fn delivery_gone(&mut self, number: u64, event: &Event) {
        if event.deliveries.is_empty() {
            self.events.insert((event.ended_at.into(), number));
        }
    }
}
