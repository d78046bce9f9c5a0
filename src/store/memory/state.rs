//! [`State`]: everything that a store in memory holds of subscriptions, events, deliveries and attempts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use time::OffsetDateTime;

use super::ends::Ends;
use super::event::{Event, OwnEvents};
use super::moment::Moment;
use super::queue::{DuePlace, Queue, Row};
use crate::delivery::{Attempt, DeadReason, Delivery, DeliveryState};
use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};
use crate::id_hash::IdHash;
use crate::store::built_in::{MOST_HELD, PollCursors, check_subscription, same_owner};
use crate::store::implement::Pause;
use crate::store::{DeliveryRow, Edition, HealthWritten, SecretDigest, StoreError, Subscribed};
use crate::subscription::{DisabledReason, Health, Subscription, SubscriptionStatus};

#[derive(Default)]
pub(super) struct State {
    pub(super) subscriptions: HashMap<SubscriptionId, Arc<Subscription>, IdHash>,
    pub(super) organizations: HashMap<String, Organization>,
    /// The subscription that holds each secret, and the place of the secret among those that it got.
    pub(super) secrets: HashMap<SecretDigest, (SubscriptionId, u64)>,
    pub(super) queues: HashMap<SubscriptionId, Queue, IdHash>,
    /// When each enabled subscription with pending deliveries can be claimed from, by the names of their
    /// contracts.
    pub(super) turns: HashMap<String, BTreeSet<(Moment, SubscriptionId)>>,
    pub(super) last_listed: PollCursors,
    pub(super) events: HashMap<u64, Event, IdHash>,
    pub(super) events_of: HashMap<Arc<str>, OwnEvents>,
    pub(super) rows: HashMap<DeliveryId, Row, IdHash>,
    /// Deliveries that a fault on this side keeps back, by since when.
    pub(super) kept: BTreeSet<(Moment, DeliveryId)>,
    pub(super) ends: Ends,
    /// Numbers events, and deliveries in the order of their insertion.
    pub(super) inserted: u64,
    /// Numbers the changes of subscriptions.
    changed: u64,
}

/// The subscriptions of an organization.
#[derive(Default)]
pub(super) struct Organization {
    pub(super) subscriptions: BTreeSet<(OffsetDateTime, SubscriptionId)>,
    edition: u64,
}

impl State {
    pub(super) fn put_subscription(&mut self, mut subscription: Subscription) -> Result<(), StoreError> {
        let id = subscription.id;
        check_subscription(&subscription)?;
        if let Some(old) = self.subscriptions.get(&id) {
            same_owner(old, &subscription)?;
        }
        let old = self.subscriptions.remove(&id);
        let own = self.organizations.entry(subscription.organization.clone()).or_default();
        if let Some(old) = &old {
            subscription.health = old.health.clone();
            own.subscriptions.remove(&(old.created_at, id));
        }
        own.subscriptions.insert((subscription.created_at, id));
        let decides = |one: &Subscription| (one.contract.clone(), one.filter.clone());
        if old.is_none_or(|old| decides(&old) != decides(&subscription)) {
            self.changed += 1;
            own.edition = self.changed;
        }
        self.release_secrets(id, subscription.secrets.len());
        self.subscriptions.insert(id, Arc::new(subscription));
        self.refresh(id);
        Ok(())
    }

    /// Reserves a secret for a subscription, as the last that it got, and returns whether that holds it.
    pub(super) fn hold_secret(&mut self, id: SubscriptionId, secret: SecretDigest) -> bool {
        if self.secrets.get(&secret).is_some_and(|(holder, _)| *holder != id) {
            return false;
        }
        let own = self.secrets.values().filter(|(holder, _)| *holder == id);
        let place = own.map(|(_, place)| place + 1).max().unwrap_or(0);
        self.secrets.insert(secret, (id, place));
        self.release_secrets(id, MOST_HELD);
        true
    }

    /// Frees the secrets of a subscription but for the `keep` that it got last.
    fn release_secrets(&mut self, id: SubscriptionId, keep: usize) {
        let own = self.secrets.values().filter(|(holder, _)| *holder == id);
        let mut places: Vec<_> = own.map(|(_, place)| *place).collect();
        places.sort_unstable_by(|one, two| two.cmp(one));
        if let Some(last) = places.get(keep).copied() {
            self.secrets.retain(|_, (holder, place)| *holder != id || *place > last);
        }
    }

    pub(super) fn subscription(&self, id: SubscriptionId) -> Option<&Arc<Subscription>> {
        self.subscriptions.get(&id)
    }

    pub(super) fn subscriptions(&self, organization: &str) -> Subscribed {
        let own = self.organizations.get(organization).map(|own| &own.subscriptions);
        let own =
            own.into_iter().flatten().map(|(_, id)| Subscription::clone(&self.subscriptions[id]).into());
        Subscribed::new(own.collect()).with_edition(self.edition(organization))
    }

    /// The edition of an organization's subscriptions: the number of their last change, or 0 while there are
    /// none.
    pub(super) fn edition(&self, organization: &str) -> Edition {
        Edition::new(self.organizations.get(organization).map_or(0, |own| own.edition))
    }

    pub(super) fn subscription_ids(&self, after: Option<SubscriptionId>, limit: u32) -> Vec<SubscriptionId> {
        let mut ids: Vec<_> =
            self.subscriptions.keys().copied().filter(|id| after.is_none_or(|after| *id > after)).collect();
        ids.sort_unstable();
        ids.truncate(limit as usize);
        ids
    }

    pub(super) fn replace_subscription(
        &mut self,
        seen: &Subscription,
        subscription: &Subscription,
    ) -> Result<bool, StoreError> {
        let is_seen = self.subscriptions.get(&subscription.id).is_some_and(|stored| stored.is_as(seen));
        if is_seen {
            let is_enabled_again = subscription.status == SubscriptionStatus::Enabled
                && seen.status != SubscriptionStatus::Enabled;
            self.put_subscription(subscription.clone())?;
            if is_enabled_again {
                self.change_subscription(subscription.id, |subscription| {
                    subscription.health = Health::default()
                });
            }
        }
        Ok(is_seen)
    }

    pub(super) fn change_subscription(
        &mut self,
        id: SubscriptionId,
        change: impl FnOnce(&mut Subscription),
    ) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return false };
        // Leased deliveries keep the subscription that they were claimed with.
        change(Arc::make_mut(subscription));
        self.refresh(id);
        true
    }

    pub(super) fn put_health(
        &mut self,
        id: SubscriptionId,
        seen: &Health,
        health: &Health,
        disable: Option<DisabledReason>,
        now: OffsetDateTime,
    ) -> HealthWritten {
        if self.subscriptions.get(&id).is_none_or(|stored| stored.health != *seen) {
            return HealthWritten::Stale;
        }
        let mut is_disabled = false;
        self.change_subscription(id, |subscription| {
            subscription.health = health.clone();
            is_disabled = disable.is_some_and(|reason| subscription.disable(reason, now));
        });
        if is_disabled { HealthWritten::Disabled } else { HealthWritten::Done }
    }

    pub(super) fn delete_subscription(&mut self, id: SubscriptionId, now: OffsetDateTime) -> bool {
        let Some(old) = self.subscriptions.remove(&id) else { return false };
        self.leave_organization(&old);
        self.set_turn(old.contract.name(), id, None);
        self.secrets.retain(|_, (holder, _)| *holder != id);
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.pause = Pause::default();
            let keyed = queue.keys.values().flat_map(BTreeMap::values);
            let pending: BTreeSet<_> = queue.due.all().chain(keyed.copied()).collect();
            for delivery in pending {
                self.end(delivery, DeliveryState::Dead(DeadReason::Cancelled), now);
            }
        }
        self.refresh(id);
        true
    }

    /// Adds a delivery that sends the payload at `payload` of an event. It is cancelled if its subscription
    /// was deleted, and pending otherwise.
    pub(super) fn add(
        &mut self,
        id: DeliveryId,
        subscription: SubscriptionId,
        (event_number, payload): (u64, usize),
        at: OffsetDateTime,
    ) {
        self.inserted += 1;
        let number = self.inserted;
        let row = Row {
            subscription,
            event: event_number,
            payload,
            number,
            delivery: DeliveryRow::new(at),
            created_at: at,
            ended_at: None,
            note: None,
            is_test: false,
            log: Vec::new(),
        };
        self.rows.insert(id, row);
        let event = self.events.get_mut(&event_number).expect(EVENT);
        if !event.deliveries.is_empty() {
            self.ends.event_resumed(event_number, event);
        }
        event.deliveries.push_back(id);
        event.pending += 1;
        let queue = self.queues.entry(subscription).or_default();
        queue.all.insert(id);
        *queue.pending.entry(event_number).or_default() += 1;
        let waits = event.ordering_key.as_ref().is_some_and(|key| {
            let line = queue.keys.entry(Arc::clone(key)).or_default();
            line.insert(number, id);
            line.len() > 1
        });
        if !waits {
            queue.due.insert(self.rows[&id].due_place(id));
        }
        if self.subscriptions.contains_key(&subscription) {
            self.refresh(subscription);
        } else {
            self.end(id, DeliveryState::Dead(DeadReason::Cancelled), at);
        }
    }

    pub(super) fn cancel(&mut self, id: DeliveryId, now: OffsetDateTime) -> bool {
        let is_pending = self.rows.get(&id).is_some_and(|row| row.delivery.is_pending());
        if is_pending {
            self.end(id, DeliveryState::Dead(DeadReason::Cancelled), now);
        }
        is_pending
    }

    pub(super) fn expunge(
        &mut self,
        organization: &str,
        contract: &str,
        id: &EventId,
        now: OffsetDateTime,
    ) -> bool {
        let Some(number) = self.event_number(organization, contract, id) else { return false };
        for delivery in self.events[&number].deliveries.clone() {
            self.cancel(delivery, now);
        }
        let event = self.events.get_mut(&number).expect(EVENT);
        event.expunge();
        self.ends.payload_gone(number, event);
        true
    }

    pub(super) fn delivery(&self, id: DeliveryId) -> Option<Delivery> {
        let row = self.rows.get(&id)?;
        let event = &self.events[&row.event];
        Some(Delivery {
            state: row.delivery.state,
            attempts: row.delivery.attempts,
            due_at: row.delivery.is_pending().then_some(row.delivery.due_at),
            note: row.note.clone(),
            is_test: row.is_test,
            ..Delivery::new(
                id,
                row.subscription,
                event.payload(row.payload).contract.clone(),
                event.id.clone(),
                event.event_type.clone(),
                row.created_at,
            )
        })
    }

    pub(super) fn attempts(&self, id: DeliveryId) -> Vec<Attempt> {
        self.rows.get(&id).map_or_else(Vec::new, |row| row.log.clone())
    }

    pub(super) fn counts(&self) -> (usize, usize, usize) {
        (self.subscriptions.len(), self.events.len(), self.rows.len())
    }

    /// Removes a pruned delivery from every list.
    pub(super) fn remove_row(&mut self, id: DeliveryId) {
        let row = self.rows.remove(&id).expect(ROW);
        let queue = self.queues.get_mut(&row.subscription).expect(QUEUE);
        queue.all.remove(&id);
        queue.dead.remove(&row.place(id));
        queue.ended.remove(&(row.delivery.state.as_str(), id));
        if queue.all.is_empty() && !self.subscriptions.contains_key(&row.subscription) {
            self.queues.remove(&row.subscription);
        }
        let event = self.events.get_mut(&row.event).expect(EVENT);
        if let Some(place) = event.deliveries.iter().position(|other| *other == id) {
            event.deliveries.remove(place);
        }
        self.ends.delivery_gone(row.event, event);
    }

    pub(super) fn remove_event(&mut self, number: u64) {
        let event = self.events.remove(&number).expect(EVENT);
        self.ends.payload_gone(number, &event);
        let own = self.events_of.get_mut(&event.organization).expect(EVENT);
        if let Some(numbers) = own.numbers.get_mut(event.newest.contract.name()) {
            numbers.remove(&event.id);
        }
        own.in_order.remove(&number);
        if own.in_order.is_empty() {
            self.events_of.remove(&event.organization);
        }
    }

    /// Ends a pending delivery.
    pub(super) fn end(&mut self, id: DeliveryId, state: DeliveryState, now: OffsetDateTime) {
        let row = self.rows.get_mut(&id).expect(ROW);
        row.delivery.end(state);
        let place = row.due_place(id);
        self.ended(id, place, now);
    }

    /// Removes a delivery that has ended from its queue, in which it had this place, and makes the next one
    /// of its ordering key due.
    pub(super) fn ended(&mut self, id: DeliveryId, place: DuePlace, now: OffsetDateTime) {
        let row = self.rows.get_mut(&id).expect(ROW);
        row.ended_at = Some(now);
        let kept_since = row.delivery.kept_since.take();
        if let Some(since) = kept_since {
            self.kept.remove(&(since.into(), id));
        }
        let (subscription, event_number, number) = (row.subscription, row.event, row.number);
        let state = row.delivery.state;
        let was_attempted = !row.log.is_empty();
        let queue = self.queues.get_mut(&subscription).expect(QUEUE);
        if let DeliveryState::Dead(_) = state {
            queue.dead.insert(row.place(id));
            queue.ended.insert((state.as_str(), id));
        }
        let pending = queue.pending.get_mut(&event_number).expect("invariant: a pending delivery is counted");
        *pending -= 1;
        if *pending == 0 {
            queue.pending.remove(&event_number);
        }
        let was_first = queue.due.remove(place);
        let event = self.events.get_mut(&event_number).expect(EVENT);
        if let Some(key) = &event.ordering_key {
            let line = queue.keys.get_mut(key).expect("invariant: a pending delivery stands in its line");
            line.remove(&number);
            match line.first_key_value() {
                Some((_, next)) if was_first => {
                    let row = self.rows.get_mut(next).expect(ROW);
                    row.delivery.due_at = now;
                    queue.due.insert(row.due_place(*next));
                }
                Some(_) => {}
                None => drop(queue.keys.remove(key)),
            }
        }
        event.pending -= 1;
        event.ended_at = event.ended_at.max(now);
        self.ends.delivery_ended(id, now, was_attempted);
        if event.pending == 0 {
            self.ends.event_ended(event_number, event);
        }
        self.refresh(subscription);
    }

    /// Moves a delivery in its queue from this place to its new one.
    pub(super) fn requeue(&mut self, id: DeliveryId, place: DuePlace) {
        let row = &self.rows[&id];
        let subscription = row.subscription;
        let queue = self.queues.get_mut(&subscription).expect(QUEUE);
        queue.due.remove(place);
        queue.due.insert(row.due_place(id));
        self.refresh(subscription);
    }

    /// Recomputes when a subscription can be claimed from.
    pub(super) fn refresh(&mut self, id: SubscriptionId) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let is_enabled = self
            .subscriptions
            .get(&id)
            .is_some_and(|subscription| subscription.status == SubscriptionStatus::Enabled);
        let first = queue.due.first().filter(|_| is_enabled);
        let turn =
            first.map(|due_at| queue.pause.until.map_or(due_at, |until| Moment::from(until).max(due_at)));
        if turn != queue.turn
            && let Some(subscription) = self.subscriptions.get(&id)
        {
            let subscription = Arc::clone(subscription);
            self.set_turn(subscription.contract.name(), id, turn);
        }
    }

    pub(super) fn set_turn(&mut self, contract: &str, id: SubscriptionId, turn: Option<Moment>) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        if !self.turns.contains_key(contract) {
            self.turns.insert(contract.to_owned(), BTreeSet::new());
        }
        let turns = self.turns.get_mut(contract).expect("invariant: it was put there");
        if let Some(old) = std::mem::replace(&mut queue.turn, turn) {
            turns.remove(&(old, id));
        }
        turns.extend(turn.map(|turn| (turn, id)));
    }

    pub(super) fn leave_organization(&mut self, old: &Subscription) {
        self.changed += 1;
        if let Some(own) = self.organizations.get_mut(&old.organization) {
            own.edition = self.changed;
            own.subscriptions.remove(&(old.created_at, old.id));
            if own.subscriptions.is_empty() {
                self.organizations.remove(&old.organization);
            }
        }
    }

    pub(super) fn event_number(&self, organization: &str, contract: &str, id: &EventId) -> Option<u64> {
        self.events_of.get(organization)?.numbers.get(contract)?.get(id).copied()
    }
}

pub(super) const ROW: &str = "invariant: every list names deliveries that there are";
pub(super) const QUEUE: &str = "invariant: every delivery stands in its subscription's queue";
pub(super) const EVENT: &str = "invariant: every delivery has its event";
