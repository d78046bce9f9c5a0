//! Subscriptions and events as they were written, and operators' cancels and replays.

use std::collections::BTreeSet;
use std::time::Duration;

use hookwire::store::Replay;
use hookwire::store::implement::{HealthWritten, InsertOutcome, Inserted, NewEvent};
use hookwire::subscription::Health;
use hookwire::{
    DeadReason, Delivery, DeliveryId, DeliveryState, DisabledReason, EventId, Subscription, SubscriptionId,
    SubscriptionStatus,
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
            // The outbox inserts it again, for the subscriptions as they are by then.
            if *inserted == InsertOutcome::Stale && event.edition.is_some() {
                continue;
            }
            let expected = match self.events.get(&event.id) {
                None => InsertOutcome::New,
                Some(known) if known.payload == event.payload => InsertOutcome::Duplicate,
                Some(_) => InsertOutcome::Conflict,
            };
            self.expect(*inserted == expected, || {
                format!("insert of {} answered {inserted:?}, expected {expected:?}", event.id)
            });
            if *inserted == InsertOutcome::New {
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
        let given: BTreeSet<_> = event.deliveries.iter().map(|delivery| delivery.subscription).collect();
        self.expect(wanting == given && given.len() == event.deliveries.len(), || {
            format!("{} goes to {given:?}, expected {wanting:?}", event.id)
        });
        let payload = event.payload.clone();
        self.by_payload.insert(payload.clone(), event.id.clone());
        self.events.insert(
            event.id.clone(),
            Event {
                organization: event.organization.clone(),
                event_type: event.event_type.as_str().to_owned(),
                payload,
                key: event.ordering_key.clone(),
                is_expunged: false,
            },
        );
        for delivery in &event.deliveries {
            self.add(delivery.id, delivery.subscription, &event.id, event.inserted_at);
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
            late: Duration::ZERO,
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

    /// An operator sets the status.
    pub(crate) fn status_set(&mut self, id: SubscriptionId, status: &SubscriptionStatus, did: bool) {
        self.note(|| format!("{id} set to {status:?} -> {did}"));
        let was_there = !self.subscriptions[&id].is_deleted;
        self.expect(was_there == did, || format!("the status of {id} was set -> {did}"));
        self.subscriptions.get_mut(&id).expect("it was made").status = status.clone();
    }

    /// A dispatcher needs a reason to disable, and it does not overwrite an operator's change.
    pub(crate) fn health_put(
        &mut self,
        id: SubscriptionId,
        health: &Health,
        disable: Option<DisabledReason>,
        now: OffsetDateTime,
        written: HealthWritten,
    ) {
        self.note(|| {
            let (failures, since) = (health.failures(), health.failing_since());
            format!("{id} has {failures} failures since {since:?}, {disable:?} -> {written:?}")
        });
        let sub = &self.subscriptions[&id];
        let is_enabled = !sub.is_deleted && sub.status == SubscriptionStatus::Enabled;
        let Some(reason) = disable.filter(|_| written != HealthWritten::Stale) else { return };
        self.expect(is_enabled == (written == HealthWritten::Disabled), || {
            format!("{id} was to be disabled -> {written:?}")
        });
        let sub = &self.subscriptions[&id];
        let allowed = self.terms.failing_for.is_some_and(|rule| {
            let quiet = sub.last_success.unwrap_or(self.start).elapsed() >= rule;
            quiet || self.last_jump.is_some() || sub.health_faulted
        });
        self.expect(allowed && reason == DisabledReason::Failing, || {
            format!("{id} was disabled without the contract's reason: {reason:?}")
        });
        if written == HealthWritten::Disabled {
            self.counts.disabled += 1;
            self.counts.hopeless += 1;
            let sub = self.subscriptions.get_mut(&id).expect("it was made");
            sub.status = SubscriptionStatus::disabled(reason, now);
        }
    }

    pub(crate) fn organization_of(&self, delivery: DeliveryId) -> &str {
        &self.events[&self.rows[&delivery].event].organization
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

    /// The deliveries that a replay may send again, oldest first, one for each event. A replay of many takes
    /// deliveries that ended by `now`, which is the time on the operator's clock.
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
            let row = &self.rows[source];
            let (event, subscription) = (row.event.clone(), row.subscription);
            let others = self.rows.values_mut();
            for row in others.filter(|row| row.event == event && row.subscription == subscription) {
                if matches!(row.state, DeliveryState::Dead(reason) if reason != DeadReason::Discarded) {
                    row.state = DeliveryState::Dead(DeadReason::Replayed);
                    row.was_replayed = true;
                }
            }
            match made.iter().find(|delivery| delivery.event == event) {
                Some(delivery) => self.add(delivery.id, subscription, &event, now),
                None => self.violated(format!("a replay left {event} out")),
            }
        }
    }
}
