//! Everything that a [`MemoryStore`](super::MemoryStore) holds of subscriptions, events, deliveries and attempts.

mod replay;

use std::collections::hash_map::{Entry, HashMap};
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::later;
use super::moment::Moment;
use super::prune::Ends;
use crate::delivery::{Attempt, DeadReason, Delivery, DeliveryState, Next};
use crate::event::{EventId, EventType};
use crate::id::{DeliveryId, SubscriptionId};
use crate::id_hash::IdHash;
use crate::store::records::tested;
use crate::store::{
    Claimed, Inserted, Lease, Look, NewEvent, SecretDigest, Settled, Settlement, Share, StoreError,
    StoreErrorKind,
};
use crate::subscription::{Health, Subscription, SubscriptionStatus};

#[derive(Default)]
pub(super) struct State {
    pub(super) subscriptions: HashMap<SubscriptionId, Arc<Subscription>, IdHash>,
    pub(super) organizations: HashMap<String, BTreeSet<(OffsetDateTime, SubscriptionId)>>,
    /// Which subscription holds which secret.
    pub(super) secrets: HashMap<SecretDigest, SubscriptionId>,
    pub(super) queues: HashMap<SubscriptionId, Queue, IdHash>,
    /// When each enabled subscription that has something pending can be claimed from.
    turns: BTreeSet<(Moment, SubscriptionId)>,
    /// The last subscription that a look had no room after.
    last_listed: Option<SubscriptionId>,
    pub(super) events: HashMap<u64, Event, IdHash>,
    pub(super) events_of: HashMap<Arc<str>, OwnEvents>,
    pub(super) rows: HashMap<DeliveryId, Row, IdHash>,
    pub(super) ends: Ends,
    /// Numbers events, and deliveries in the order of their insertion.
    inserted: u64,
}

/// The events of one organization, by their numbers.
pub(super) struct OwnEvents {
    organization: Arc<str>,
    numbers: HashMap<EventId, u64>,
    pub(super) in_order: BTreeSet<u64>,
}

impl OwnEvents {
    fn of(organization: Arc<str>) -> Self {
        Self { organization, numbers: HashMap::new(), in_order: BTreeSet::new() }
    }
}

/// A delivery.
pub(super) struct Row {
    pub(super) subscription: SubscriptionId,
    pub(super) event: u64,
    /// Which insertion it was.
    number: u64,
    pub(super) state: DeliveryState,
    attempts: u32,
    first_attempt_at: Option<OffsetDateTime>,
    /// While it is claimed, the end of its lease.
    due_at: OffsetDateTime,
    /// The number of its last claim.
    claims: u64,
    /// Whether that claim has not been settled.
    is_leased: bool,
    pub(super) created_at: OffsetDateTime,
    pub(super) ended_at: Option<OffsetDateTime>,
    pub(super) note: Option<String>,
    pub(super) is_test: bool,
    pub(super) log: Vec<Attempt>,
}

impl Row {
    /// Where it stands among the dead of its queue.
    pub(super) fn place(&self, id: DeliveryId) -> (Moment, u64, DeliveryId) {
        (self.created_at.into(), self.number, id)
    }

    fn holds(&self, lease: Lease) -> bool {
        self.is_leased && Lease::new(self.claims) == lease
    }
}

pub(super) struct Event {
    pub(super) organization: Arc<str>,
    pub(super) id: EventId,
    pub(super) event_type: EventType,
    pub(super) created_at: OffsetDateTime,
    pub(super) attributes: BTreeMap<String, Vec<String>>,
    pub(super) payload: Payload,
    ordering_key: Option<Arc<str>>,
    /// As they were made; they are pruned in about that order.
    pub(super) deliveries: VecDeque<DeliveryId>,
    pub(super) pending: u32,
    /// When the last of its deliveries ended; when it was inserted, if none has.
    pub(super) ended_at: OffsetDateTime,
}

pub(super) enum Payload {
    Kept(Bytes),
    /// What tells the same payload from another when it is inserted again.
    Gone([u8; 32]),
}

impl Payload {
    fn is(&self, payload: &[u8]) -> bool {
        match self {
            Self::Kept(kept) => kept == payload,
            Self::Gone(digest) => *digest == <[u8; 32]>::from(Sha256::digest(payload)),
        }
    }

    pub(super) const fn kept(&self) -> Option<&Bytes> {
        match self {
            Self::Kept(payload) => Some(payload),
            Self::Gone(_) => None,
        }
    }

    pub(super) fn expunge(&mut self) {
        if let Self::Kept(payload) = self {
            *self = Self::Gone(Sha256::digest(payload).into());
        }
    }
}

/// The deliveries of one subscription.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) all: BTreeSet<DeliveryId>,
    /// Pending ones that wait for nothing but their time, by due time and insertion.
    pub(super) due: BTreeSet<(Moment, u64, DeliveryId)>,
    /// Pending ones with an ordering key by insertion: only the first of each key is in `due`.
    pub(super) keys: HashMap<Arc<str>, BTreeMap<u64, DeliveryId>>,
    /// How many pending deliveries an event has here.
    pending: HashMap<u64, u32, IdHash>,
    /// Dead ones in whose place none was made, oldest first.
    pub(super) dead: BTreeSet<(Moment, u64, DeliveryId)>,
    /// All that are dead, by why.
    pub(super) ended: BTreeSet<(&'static str, DeliveryId)>,
    paused_until: Option<Moment>,
    /// What [`State::turns`] holds of it.
    turn: Option<Moment>,
}

impl State {
    pub(super) fn put_subscription(&mut self, mut subscription: Subscription) {
        let id = subscription.id;
        if let Some(old) = self.subscriptions.remove(&id) {
            subscription.health = old.health.clone();
            self.leave_organization(&old);
        }
        let place = (subscription.created_at, id);
        self.organizations.entry(subscription.organization.clone()).or_default().insert(place);
        self.subscriptions.insert(id, Arc::new(subscription));
        self.refresh(id);
    }

    pub(super) fn subscription(&self, id: SubscriptionId) -> Option<&Arc<Subscription>> {
        self.subscriptions.get(&id)
    }

    pub(super) fn subscriptions(&self, organization: &str) -> Vec<Subscription> {
        let places = self.organizations.get(organization).into_iter().flatten();
        places.map(|(_, id)| Subscription::clone(&self.subscriptions[id])).collect()
    }

    pub(super) fn subscription_ids(&self, after: Option<SubscriptionId>, limit: u32) -> Vec<SubscriptionId> {
        let mut ids: Vec<_> =
            self.subscriptions.keys().copied().filter(|id| after.is_none_or(|after| *id > after)).collect();
        ids.sort_unstable();
        ids.truncate(limit as usize);
        ids
    }

    pub(super) fn replace_subscription(&mut self, seen: &Subscription, subscription: &Subscription) -> bool {
        let is_seen = self.subscriptions.get(&subscription.id).is_some_and(|stored| stored.is_as(seen));
        if is_seen {
            let is_enabled_again = subscription.status == SubscriptionStatus::Enabled
                && seen.status != SubscriptionStatus::Enabled;
            self.put_subscription(subscription.clone());
            if is_enabled_again {
                self.change_subscription(subscription.id, |subscription| {
                    subscription.health = Health::default()
                });
            }
        }
        is_seen
    }

    pub(super) fn change_subscription(
        &mut self,
        id: SubscriptionId,
        change: impl FnOnce(&mut Subscription),
    ) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return false };
        // Claims that are out keep the subscription that they were given.
        change(Arc::make_mut(subscription));
        self.refresh(id);
        true
    }

    pub(super) fn delete_subscription(&mut self, id: SubscriptionId, now: OffsetDateTime) -> bool {
        let Some(old) = self.subscriptions.remove(&id) else { return false };
        self.leave_organization(&old);
        self.secrets.retain(|_, holder| *holder != id);
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.paused_until = None;
            let keyed = queue.keys.values().flat_map(BTreeMap::values);
            let pending: BTreeSet<_> = queue.due.iter().map(|(.., id)| id).chain(keyed).copied().collect();
            for delivery in pending {
                self.end(delivery, DeliveryState::Dead(DeadReason::Cancelled), now);
            }
        }
        self.refresh(id);
        true
    }

    pub(super) fn insert(&mut self, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        let deliveries = events.iter().map(|event| event.deliveries.len()).sum();
        let mut taken = HashSet::with_capacity_and_hasher(deliveries, IdHash::default());
        for event in events.iter().filter(|event| self.event_number(&event.organization, &event.id).is_none())
        {
            for (id, _) in &event.deliveries {
                if self.rows.contains_key(id) || !taken.insert(*id) {
                    let error = format!("there is a delivery {id} already, expected a fresh id");
                    return Err(StoreError::new(StoreErrorKind::Backend, error));
                }
            }
        }
        Ok(events.iter().map(|event| self.insert_one(event)).collect())
    }

    fn insert_one(&mut self, new: &NewEvent) -> Inserted {
        let own = match self.events_of.get_mut(new.organization.as_str()) {
            Some(own) => own,
            None => {
                let name: Arc<str> = Arc::from(new.organization.as_str());
                self.events_of.entry(Arc::clone(&name)).or_insert_with(|| OwnEvents::of(name))
            }
        };
        let place = match own.numbers.entry(new.id.clone()) {
            Entry::Vacant(place) => place,
            Entry::Occupied(taken) => {
                return match self.events[taken.get()].payload.is(&new.payload) {
                    true => Inserted::Duplicate,
                    false => Inserted::Conflict,
                };
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
            payload: Payload::Kept(new.payload.clone()),
            ordering_key: new.ordering_key.as_deref().map(Arc::from),
            deliveries: VecDeque::with_capacity(new.deliveries.len()),
            pending: 0,
            ended_at: new.inserted_at,
        };
        if new.deliveries.is_empty() {
            self.ends.event_ended(number, &event);
        }
        self.events.insert(number, event);
        for (id, subscription) in &new.deliveries {
            self.add(*id, *subscription, number, new.inserted_at);
        }
        Inserted::New
    }

    /// A new pending delivery of an event; a cancelled one where its subscription was deleted.
    fn add(&mut self, id: DeliveryId, subscription: SubscriptionId, event_number: u64, at: OffsetDateTime) {
        self.inserted += 1;
        let number = self.inserted;
        let row = Row {
            subscription,
            event: event_number,
            number,
            state: DeliveryState::Pending,
            attempts: 0,
            first_attempt_at: None,
            due_at: at,
            claims: 0,
            is_leased: false,
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
            queue.due.insert((at.into(), number, id));
        }
        if self.subscriptions.contains_key(&subscription) {
            self.refresh(subscription);
        } else {
            self.end(id, DeliveryState::Dead(DeadReason::Cancelled), at);
        }
    }

    pub(super) fn look(&mut self, now: OffsetDateTime, limit: u32) -> Look {
        let (limit, now) = (limit as usize, Moment::from(now));
        let is_ready = |turn: &&(Moment, SubscriptionId)| turn.0 <= now;
        let mut ready: Vec<_> = self.turns.iter().take_while(is_ready).map(|(_, id)| *id).collect();
        if ready.len() > limit {
            // In turn by id, from where the last such look ended: the longest overdue would hide the others.
            ready.sort_unstable();
            let start = self.last_listed.map_or(0, |last| ready.partition_point(|id| *id <= last));
            let start = start % ready.len();
            ready.rotate_left(start);
            ready.truncate(limit);
            self.last_listed = ready.last().copied().or(self.last_listed);
            return Look::new(ready, Some(Duration::ZERO));
        }
        let next = self.turns.iter().nth(ready.len());
        Look::new(ready, next.map(|(turn, _)| turn.since(now)))
    }

    pub(super) fn claim(
        &mut self,
        share: &Share,
        now: OffsetDateTime,
        lease: Duration,
        claimed: &mut Vec<Claimed>,
    ) {
        // A turn says all of it: the subscription is there, enabled, not paused, and has something due.
        let Some(queue) = self.queues.get_mut(&share.subscription) else { return };
        let until = later(now, lease);
        let now = Moment::from(now);
        if queue.turn.is_none_or(|turn| turn > now) {
            return;
        }
        let subscription = &self.subscriptions[&share.subscription];
        // Taken out before any is put back, so that a lease of no length is not claimed twice.
        let mut taken = Vec::with_capacity((share.limit as usize).min(queue.due.len()));
        while taken.len() < share.limit as usize {
            match queue.due.first() {
                Some((due_at, ..)) if *due_at <= now => taken.extend(queue.due.pop_first()),
                _ => break,
            }
        }
        claimed.reserve(taken.len());
        for (_, number, id) in taken {
            let row = self.rows.get_mut(&id).expect(ROW);
            row.claims += 1;
            row.is_leased = true;
            let due_at = std::mem::replace(&mut row.due_at, until);
            queue.due.insert((until.into(), number, id));
            let event = &self.events[&row.event];
            let payload = event.payload.kept().expect("invariant: what is pending has a payload");
            claimed.push(
                Claimed::new(
                    id,
                    Lease::new(row.claims),
                    event.id.clone(),
                    event.event_type.clone(),
                    payload.clone(),
                    Arc::clone(subscription),
                )
                .at_attempt(row.attempts.saturating_add(1), row.first_attempt_at)
                .due_at(due_at)
                .ordered(event.ordering_key.is_some()),
            );
        }
        self.refresh(share.subscription);
    }

    pub(super) fn extend(&mut self, id: DeliveryId, lease: Lease, until: OffsetDateTime) -> Settled {
        if !self.rows.get(&id).is_some_and(|row| row.holds(lease)) {
            return Settled::Stale;
        }
        self.put_off(id, until);
        Settled::Done
    }

    pub(super) fn settle(&mut self, settlement: &Settlement) -> Settled {
        let Settlement { delivery: id, lease, now, ref attempt, next, disable, pause } = *settlement;
        let Some(row) = self.rows.get_mut(&id).filter(|row| row.holds(lease)) else { return Settled::Stale };
        row.is_leased = false;
        if let Some(attempt) = attempt {
            row.attempts = row.attempts.saturating_add(1);
            row.first_attempt_at.get_or_insert(attempt.started_at);
            if row.log.is_empty() {
                // Most have one.
                row.log.reserve_exact(1);
            }
            row.log.push(attempt.clone());
        }
        let subscription = row.subscription;
        match next {
            Next::Delivered => self.end(id, DeliveryState::Delivered, now),
            Next::Dead { reason } => self.end(id, DeliveryState::Dead(reason), now),
            Next::Retry { after } => self.put_off(id, later(now, after)),
        }
        if let Some(pause) = pause {
            let queue = self.queues.get_mut(&subscription).expect(QUEUE);
            queue.paused_until = queue.paused_until.max(Some(later(now, pause).into()));
            self.refresh(subscription);
        }
        if let Some(reason) = disable {
            self.change_subscription(subscription, |subscription| {
                if subscription.status == SubscriptionStatus::Enabled {
                    subscription.status = SubscriptionStatus::disabled(reason, now);
                }
            });
        }
        Settled::Done
    }

    pub(super) fn cancel(&mut self, id: DeliveryId, now: OffsetDateTime) -> bool {
        let is_pending = self.rows.get(&id).is_some_and(|row| row.state == DeliveryState::Pending);
        if is_pending {
            self.end(id, DeliveryState::Dead(DeadReason::Cancelled), now);
        }
        is_pending
    }

    pub(super) fn expunge(&mut self, organization: &str, id: &EventId, now: OffsetDateTime) -> bool {
        let Some(number) = self.event_number(organization, id) else { return false };
        for delivery in self.events[&number].deliveries.clone() {
            self.cancel(delivery, now);
        }
        let event = self.events.get_mut(&number).expect(EVENT);
        event.payload.expunge();
        self.ends.payload_gone(number, event);
        true
    }

    /// Writes an event whose deliveries have ended with this attempt.
    pub(super) fn add_test(&mut self, new: &NewEvent, attempt: &Attempt, failed: Option<&str>) {
        self.insert_one(new);
        for (id, _) in &new.deliveries {
            let Some(row) = self.rows.get_mut(id) else { continue };
            row.attempts = 1;
            row.first_attempt_at = Some(attempt.started_at);
            row.log.push(attempt.clone());
            row.note = failed.map(str::to_owned);
            row.is_test = true;
            let is_over = row.state != DeliveryState::Pending;
            if !is_over {
                self.end(*id, tested(failed), new.inserted_at);
            }
            if failed.is_some() {
                self.bury(*id, DeadReason::Discarded);
            }
        }
    }

    pub(super) fn delivery(&self, id: DeliveryId) -> Option<Delivery> {
        let row = self.rows.get(&id)?;
        let event = &self.events[&row.event];
        Some(Delivery {
            state: row.state,
            attempts: row.attempts,
            due_at: (row.state == DeliveryState::Pending).then_some(row.due_at),
            note: row.note.clone(),
            is_test: row.is_test,
            ..Delivery::new(id, row.subscription, event.id.clone(), event.event_type.clone(), row.created_at)
        })
    }

    pub(super) fn deliveries(
        &self,
        subscription: SubscriptionId,
        after: Option<DeliveryId>,
        limit: u32,
    ) -> Vec<Delivery> {
        let Some(queue) = self.queues.get(&subscription) else { return Vec::new() };
        let newest_first = match after {
            Some(after) => queue.all.range(..after),
            None => queue.all.range(..),
        };
        newest_first.rev().take(limit as usize).filter_map(|id| self.delivery(*id)).collect()
    }

    pub(super) fn attempts(&self, id: DeliveryId) -> Vec<Attempt> {
        self.rows.get(&id).map_or_else(Vec::new, |row| row.log.clone())
    }

    pub(super) fn counts(&self) -> (usize, usize, usize) {
        (self.subscriptions.len(), self.events.len(), self.rows.len())
    }

    /// Takes a delivery that has ended, and was pruned, out of every list.
    pub(super) fn remove_row(&mut self, id: DeliveryId) {
        let row = self.rows.remove(&id).expect(ROW);
        let queue = self.queues.get_mut(&row.subscription).expect(QUEUE);
        queue.all.remove(&id);
        queue.dead.remove(&row.place(id));
        queue.ended.remove(&(row.state.as_str(), id));
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
        own.numbers.remove(&event.id);
        own.in_order.remove(&number);
        if own.in_order.is_empty() {
            self.events_of.remove(&event.organization);
        }
    }

    /// Ends a pending delivery, and lets the next one of its ordering key go.
    fn end(&mut self, id: DeliveryId, state: DeliveryState, now: OffsetDateTime) {
        let row = self.rows.get_mut(&id).expect(ROW);
        row.state = state;
        row.is_leased = false;
        row.ended_at = Some(now);
        let (subscription, event_number, number, due_at) =
            (row.subscription, row.event, row.number, row.due_at);
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
        let was_first = queue.due.remove(&(due_at.into(), number, id));
        let event = self.events.get_mut(&event_number).expect(EVENT);
        if let Some(key) = &event.ordering_key {
            let line = queue.keys.get_mut(key).expect("invariant: a pending delivery stands in its line");
            line.remove(&number);
            match line.first_key_value() {
                Some((next_number, next)) if was_first => {
                    self.rows.get_mut(next).expect(ROW).due_at = now;
                    queue.due.insert((now.into(), *next_number, *next));
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

    /// Has a delivery that waits for nothing else be due at `due_at`.
    fn put_off(&mut self, id: DeliveryId, due_at: OffsetDateTime) {
        let row = self.rows.get_mut(&id).expect(ROW);
        let queue = self.queues.get_mut(&row.subscription).expect(QUEUE);
        queue.due.remove(&(row.due_at.into(), row.number, id));
        queue.due.insert((due_at.into(), row.number, id));
        row.due_at = due_at;
        let subscription = row.subscription;
        self.refresh(subscription);
    }

    /// Writes down anew when a subscription can be claimed from.
    fn refresh(&mut self, id: SubscriptionId) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let is_enabled = self
            .subscriptions
            .get(&id)
            .is_some_and(|subscription| subscription.status == SubscriptionStatus::Enabled);
        let first = queue.due.first().filter(|_| is_enabled);
        let turn = first.map(|(due_at, ..)| queue.paused_until.map_or(*due_at, |paused| paused.max(*due_at)));
        if turn == queue.turn {
            return;
        }
        if let Some(old) = queue.turn {
            self.turns.remove(&(old, id));
        }
        if let Some(new) = turn {
            self.turns.insert((new, id));
        }
        queue.turn = turn;
    }

    fn leave_organization(&mut self, old: &Subscription) {
        if let Some(places) = self.organizations.get_mut(&old.organization) {
            places.remove(&(old.created_at, old.id));
            if places.is_empty() {
                self.organizations.remove(&old.organization);
            }
        }
    }

    pub(super) fn event_number(&self, organization: &str, id: &EventId) -> Option<u64> {
        self.events_of.get(organization)?.numbers.get(id).copied()
    }
}

pub(super) const ROW: &str = "invariant: every list names deliveries that there are";
const QUEUE: &str = "invariant: every delivery stands in its subscription's queue";
pub(super) const EVENT: &str = "invariant: every delivery has its event";
