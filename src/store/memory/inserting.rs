//! Inserting events into the [`State`].

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use super::claiming::lease_row;
use super::event::{Event, OwnEvents, Payload};
use super::state::State;
use crate::delivery::{Attempt, DeadReason};
use crate::id_hash::IdHash;
use crate::store::built_in::{check_event, tested};
use crate::store::implement::row::later;
use crate::store::{InsertOutcome, Inserted, Leased, NewDelivery, NewEvent, StoreError, StoreErrorKind};
use crate::subscription::SubscriptionStatus;

impl State {
    pub(super) fn insert(&mut self, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        events.iter().try_for_each(check_event)?;
        let deliveries = events.iter().map(|event| event.deliveries.len()).sum();
        let mut taken = HashSet::with_capacity_and_hasher(deliveries, IdHash::default());
        for event in events {
            if self.event_number(&event.organization, event.contract.name(), &event.id).is_some() {
                continue;
            }
            for NewDelivery { id, .. } in &event.deliveries {
                if self.rows.contains_key(id) || !taken.insert(*id) {
                    let error = format!("there is a delivery {id} already, expected a fresh id");
                    return Err(StoreError::new(StoreErrorKind::Backend, error));
                }
            }
        }
        let insert = |event: &NewEvent| match event.edition {
            Some(edition) if edition != self.edition(&event.organization) => {
                Inserted::new(InsertOutcome::Stale)
            }
            _ => self.insert_one(event),
        };
        Ok(events.iter().map(insert).collect())
    }

    fn insert_one(&mut self, new: &NewEvent) -> Inserted {
        let own = match self.events_of.get_mut(new.organization.as_str()) {
            Some(own) => own,
            None => {
                let name: Arc<str> = Arc::from(new.organization.as_str());
                self.events_of.entry(Arc::clone(&name)).or_insert_with(|| OwnEvents::of(name))
            }
        };
        let contract = new.contract.name();
        if !own.numbers.contains_key(contract) {
            own.numbers.insert(contract.to_owned(), HashMap::new());
        }
        let numbers = own.numbers.get_mut(contract).expect("invariant: it was put there");
        let place = match numbers.entry(new.id.clone()) {
            Entry::Vacant(place) => place,
            Entry::Occupied(taken) => {
                return Inserted::new(match self.events[taken.get()].conflicts_with(new) {
                    true => InsertOutcome::Conflict,
                    false => InsertOutcome::Duplicate,
                });
            }
        };
        self.inserted += 1;
        let number = *place.insert(self.inserted);
        own.in_order.insert(number);
        let event = Event {
            organization: Arc::clone(&own.organization),
            id: new.id.clone(),
            event_type: new.event_type.clone(),
            created_at: new.inserted_at,
            attributes: new.attributes.clone(),
            newest: Payload::new(&new.contract, &new.payload),
            older: new.older.iter().map(|older| Payload::new(&older.contract, &older.bytes)).collect(),
            ordering_key: new.ordering_key.as_deref().map(Arc::from),
            trace: new.trace,
            deliveries: VecDeque::with_capacity(new.deliveries.len()),
            pending: 0,
            ended_at: new.inserted_at,
        };
        if new.deliveries.is_empty() {
            self.ends.event_ended(number, &event);
        }
        let places: Vec<_> =
            new.deliveries.iter().map(|delivery| event.place_of(delivery.version.as_deref())).collect();
        self.events.insert(number, event);
        let mut leased = Vec::new();
        for (delivery, place) in new.deliveries.iter().zip(places) {
            self.add(delivery.id, delivery.subscription, (number, place), new.inserted_at);
            if let Some(lease) = delivery.lease {
                leased.extend(self.lease_new(delivery, lease, new.inserted_at));
            }
        }
        Inserted::new(InsertOutcome::New).with_leased(leased)
    }

    /// Leases a delivery that was just inserted, if its subscription is open and it has no ordering key.
    fn lease_new(&mut self, new: &NewDelivery, lease: Duration, now: OffsetDateTime) -> Option<Leased> {
        let queue = self.queues.get_mut(&new.subscription)?;
        let subscription = self.subscriptions.get(&new.subscription)?;
        let is_paused = queue.pause.until.is_some_and(|until| until > now);
        let row = self.rows.get_mut(&new.id)?;
        let event = &self.events[&row.event];
        if is_paused || subscription.status != SubscriptionStatus::Enabled || event.ordering_key.is_some() {
            if event.ordering_key.is_none() {
                // The caller may not hear the outcome, and hand back the lease of this number.
                row.delivery.claims = 1;
            }
            return None;
        }
        queue.due.remove(row.due_place(new.id));
        let claimed = lease_row(new.id, row, event, subscription, queue, later(now, lease));
        self.refresh(new.subscription);
        Some(claimed)
    }

    /// Writes an event whose deliveries have ended with this attempt.
    pub(super) fn add_test(&mut self, new: &NewEvent, attempt: &Attempt, failed: Option<&str>) {
        self.insert_one(new);
        for NewDelivery { id, .. } in &new.deliveries {
            let Some(row) = self.rows.get_mut(id) else { continue };
            row.delivery.first_attempt_at = Some(attempt.started_at);
            row.log.push(attempt.clone());
            row.note = failed.map(str::to_owned);
            row.is_test = true;
            let is_over = !row.delivery.is_pending();
            if !is_over {
                self.end(*id, tested(failed), new.inserted_at);
            }
            // Only now: an attempt gives a delivery another place in its queue.
            if let Some(row) = self.rows.get_mut(id) {
                row.delivery.attempts = 1;
            }
            if failed.is_some() {
                self.end_as(*id, DeadReason::Discarded);
            }
        }
    }
}
