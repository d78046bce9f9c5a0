//! What was written, and what operators did with it: subscriptions, events, cancels, replays.

use std::collections::BTreeSet;

use hookwire::store::{Inserted, NewEvent, Replay};
use hookwire::{
    DeadReason, Delivery, DeliveryId, DeliveryState, DisabledReason, EventId, Health, Subscription,
    SubscriptionId, SubscriptionStatus,
};
use time::OffsetDateTime;

use super::{Event, Model, Row, Sub};

impl Model {
    pub(crate) fn subscribed(&mut self, subscription: &Subscription) {
        let id = subscription.id;
        self.note(|| {
            format!("{id} written, {:?}, {} secrets", subscription.status, subscription.secrets.len())
        });
        let only = self.filters.get(&id).copied();
        let sub = self.subscriptions.entry(id).or_insert_with(|| Sub {
            organization: subscription.organization.clone(),
            url: subscription.url.as_str().to_owned(),
            only,
            status: subscription.status.clone(),
            secrets: Vec::new(),
            cap: subscription.options.max_in_flight(),
            rate: subscription.options.rate().map(|rate| (rate.per_second(), rate.burst())),
            is_deleted: false,
            paused_until: None,
            last_success: None,
            health_faulted: false,
        });
        sub.status = subscription.status.clone();
        sub.secrets = subscription.secrets.clone();
    }

    pub(crate) fn inserted(&mut self, events: &[NewEvent], inserted: &[Inserted]) {
        self.expect(events.len() == inserted.len(), || "an insert answered for other events".to_owned());
        for (event, inserted) in events.iter().zip(inserted) {
            self.note(|| format!("insert {} -> {inserted:?}", event.id));
            let expected = match self.events.get(&event.id) {
                None => Inserted::New,
                Some(known) if known.payload == event.payload => Inserted::Duplicate,
                Some(_) => Inserted::Conflict,
            };
            self.expect(expected == *inserted, || {
                format!("insert of {} answered {inserted:?}, expected {expected:?}", event.id)
            });
            if *inserted == Inserted::New {
                self.insert_one(event);
            }
        }
    }

    fn insert_one(&mut self, event: &NewEvent) {
        self.counts.events += 1;
        let wanting: BTreeSet<_> = self
            .subscriptions
            .iter()
            .filter(|(_, sub)| {
                !sub.is_deleted
                    && sub.organization == event.organization
                    && sub.only.is_none_or(|only| event.event_type.as_str() == only)
            })
            .map(|(id, _)| *id)
            .collect();
        let given: BTreeSet<_> = event.deliveries.iter().map(|(_, to)| *to).collect();
        self.expect(wanting == given && given.len() == event.deliveries.len(), || {
            format!("{} goes to {given:?}, expected {wanting:?}", event.id)
        });
        self.by_payload.insert(event.payload.clone(), event.id.clone());
        self.events.insert(
            event.id.clone(),
            Event {
                organization: event.organization.clone(),
                event_type: event.event_type.as_str().to_owned(),
                payload: event.payload.clone(),
                key: event.ordering_key.clone(),
                is_expunged: false,
            },
        );
        for (delivery, subscription) in &event.deliveries {
            self.add(*delivery, *subscription, &event.id, event.inserted_at);
        }
    }

    fn add(&mut self, id: DeliveryId, subscription: SubscriptionId, event: &EventId, at: OffsetDateTime) {
        self.counts.deliveries += 1;
        self.numbers += 1;
        let row = Row {
            event: event.clone(),
            subscription,
            key: self.events[event].key.clone(),
            number: self.numbers,
            state: DeliveryState::Pending,
            due: at,
            created_at: at,
            ended_at: None,
            hold: None,
            last_lease: None,
            log: Vec::new(),
            first_arrival: None,
            taken: 0,
            arrivals: 0,
            was_cancelled: false,
            was_replayed: false,
            last_end: None,
            spared: 0,
        };
        self.note(|| format!("{id} of {event} to {subscription}, key {:?}, due {at}", row.key));
        self.rows.insert(id, row);
        self.pending.entry(subscription).or_default().insert(id);
        if self.subscriptions[&subscription].is_deleted {
            self.cancelled(id, at);
        }
    }

    pub(crate) fn cancel(&mut self, id: DeliveryId, now: OffsetDateTime, did: bool) {
        self.note(|| format!("cancel {id} -> {did}"));
        let pending = self.rows.get(&id).is_some_and(|row| row.state == DeliveryState::Pending);
        self.expect(pending == did, || format!("cancel of {id} answered {did}"));
        if pending {
            self.cancelled(id, now);
        }
    }

    pub(crate) fn deleted(&mut self, id: SubscriptionId, now: OffsetDateTime, did: bool) {
        self.note(|| format!("delete {id} -> {did}"));
        let was_there = !self.subscriptions[&id].is_deleted;
        self.expect(was_there == did, || format!("delete of {id} answered {did}"));
        let theirs: Vec<_> = self.pending.get(&id).into_iter().flatten().copied().collect();
        for delivery in theirs {
            self.cancelled(delivery, now);
        }
        let sub = self.subscriptions.get_mut(&id).expect("it was made");
        sub.is_deleted = true;
        sub.paused_until = None;
    }

    pub(crate) fn status_set(
        &mut self,
        by: Option<usize>,
        id: SubscriptionId,
        status: &SubscriptionStatus,
        did: bool,
    ) {
        self.note(|| format!("{id} set to {status:?} by {by:?} -> {did}"));
        let sub = &self.subscriptions[&id];
        let was_there = !sub.is_deleted;
        // Somebody else's doing is a wish; a dispatcher's needs a reason.
        if by.is_some() {
            let allowed = self.terms.failing_for.is_some_and(|rule| {
                let quiet = sub.last_success.unwrap_or(self.start).elapsed() >= rule;
                quiet || self.last_jump.is_some() || sub.health_faulted
            });
            let failing =
                matches!(status, SubscriptionStatus::Disabled { reason: DisabledReason::Failing, .. });
            self.counts.disabled += 1;
            self.counts.hopeless += 1;
            self.expect(allowed && failing, || {
                format!("{id} was disabled without the contract's reason: {status:?}")
            });
        }
        self.expect(was_there == did, || format!("the status of {id} was set -> {did}"));
        self.subscriptions.get_mut(&id).expect("it was made").status = status.clone();
    }

    pub(crate) fn health_put(&mut self, id: SubscriptionId, health: &Health, did: bool) {
        self.note(|| {
            format!("{id} has {} failures since {:?} -> {did}", health.failures(), health.failing_since())
        });
    }

    pub(crate) fn health_faulted(&mut self, id: SubscriptionId) {
        if let Some(sub) = self.subscriptions.get_mut(&id) {
            sub.health_faulted = true;
        }
    }

    pub(crate) fn expunged(&mut self, organization: &str, event: &EventId, now: OffsetDateTime, did: bool) {
        self.note(|| format!("expunge {event} -> {did}"));
        let is_theirs = self.events.get(event).is_some_and(|event| event.organization == organization);
        self.expect(did == is_theirs, || format!("expunge of {event} answered {did}"));
        let theirs: Vec<_> = self.pending().filter(|id| self.rows[*id].event == *event).copied().collect();
        for delivery in theirs {
            self.cancelled(delivery, now);
        }
        if let Some(event) = self.events.get_mut(event) {
            event.is_expunged = true;
        }
    }

    /// What a replay may make again, each with what it is made from: oldest first, one of each event. Of many, what ended by
    /// `now`, which is an operator's whose clock may differ.
    pub(crate) fn replayable(&self, replay: &Replay, now: OffsetDateTime) -> Vec<DeliveryId> {
        let by_now = |row: &Row| row.ended_at.is_some_and(|ended_at| ended_at <= now);
        let chosen = |id: &DeliveryId, row: &Row| match replay {
            Replay::Delivery(wanted) => id == wanted,
            Replay::DeadLetters(subscription) => {
                row.subscription == *subscription
                    && by_now(row)
                    && matches!(
                        row.state,
                        DeliveryState::Dead(DeadReason::Exhausted | DeadReason::Refused | DeadReason::Gone)
                    )
            }
            Replay::Since(subscription, since) => {
                row.subscription == *subscription
                    && row.created_at >= *since
                    && by_now(row)
                    && matches!(row.state, DeliveryState::Dead(reason) if reason != DeadReason::Replayed)
            }
            _ => false,
        };
        let mut sources: Vec<_> = self
            .rows
            .iter()
            .filter(|(id, row)| {
                chosen(id, row)
                    && !self.subscriptions[&row.subscription].is_deleted
                    && !self.events[&row.event].is_expunged
                    && !self.pending().any(|other| {
                        self.rows[other].event == row.event
                            && self.rows[other].subscription == row.subscription
                    })
            })
            .map(|(id, row)| (row.created_at, row.number, *id))
            .collect();
        sources.sort_unstable();
        let mut events = BTreeSet::new();
        sources.retain(|(.., id)| events.insert(self.rows[id].event.clone()));
        sources.into_iter().map(|(.., id)| id).collect()
    }

    pub(crate) fn replayed(
        &mut self,
        sources: &[DeliveryId],
        made: &[Delivery],
        told: u32,
        now: OffsetDateTime,
    ) {
        self.note(|| format!("replay of {sources:?} made {told}"));
        self.counts.replays += u64::from(told);
        self.expect(sources.len() == told as usize && made.len() == sources.len(), || {
            format!("a replay told {told} and made {}, expected {}", made.len(), sources.len())
        });
        for source in sources {
            let row = self.rows.get_mut(source).expect("it is there");
            let event = row.event.clone();
            let subscription = row.subscription;
            if let DeliveryState::Dead(_) = row.state {
                row.state = DeliveryState::Dead(DeadReason::Replayed);
                row.was_replayed = true;
            }
            match made.iter().find(|delivery| delivery.event == event) {
                Some(delivery) => self.add(delivery.id, subscription, &event, now),
                None => self.violated(format!("a replay left {event} out")),
            }
        }
    }
}
