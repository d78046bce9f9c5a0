//! What people ask a [`MemoryStore`](super::MemoryStore) and change in it.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::ops::Bound;

use super::MemoryStore;
use super::state::{Queue, ROW, State};
use crate::delivery::{Attempt, DeadReason, Delivery, DeliveryState};
use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::{
    Added, Backlog, Count, Cursor, DeliveryQuery, EventRecord, Latency, NewEvent, Page, Period, Records,
    SecretDigest, Statistics, StoreError,
};
use crate::subscription::Subscription;

impl Records for MemoryStore {
    async fn list_subscriptions(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Subscription>, StoreError> {
        let state = self.state();
        let Some(places) = state.organizations.get(organization) else { return Ok(Page::last(Vec::new())) };
        let after = after.map_or(Bound::Unbounded, |after| {
            Bound::Excluded((after.time(), SubscriptionId::from_u128(after.minor())))
        });
        let found = places.range((after, Bound::Unbounded)).take(one_more(limit));
        let found = found.map(|(_, id)| Subscription::clone(&state.subscriptions[id])).collect();
        Ok(Page::cut(found, limit, |last: &Subscription| Cursor::at(last.created_at, last.id.as_u128())))
    }

    async fn add_subscription(
        &self,
        subscription: &Subscription,
        secret: Option<&SecretDigest>,
        limit: u32,
    ) -> Result<Added, StoreError> {
        let mut state = self.state();
        if state.subscriptions.contains_key(&subscription.id) {
            return Ok(Added::Exists);
        }
        if state.organizations.get(&subscription.organization).map_or(0, |own| own.len()) >= limit as usize {
            return Ok(Added::Full);
        }
        if let Some(secret) = secret {
            match state.secrets.entry(*secret) {
                Entry::Occupied(_) => return Ok(Added::SecretInUse),
                Entry::Vacant(place) => _ = place.insert(subscription.id),
            }
        }
        state.put_subscription(subscription.clone());
        Ok(Added::Done)
    }

    async fn hold_secret(&self, id: SubscriptionId, secret: &SecretDigest) -> Result<bool, StoreError> {
        let mut state = self.state();
        Ok(state.subscriptions.contains_key(&id) && *state.secrets.entry(*secret).or_insert(id) == id)
    }

    async fn find_delivery(
        &self,
        organization: &str,
        id: DeliveryId,
    ) -> Result<Option<Delivery>, StoreError> {
        let state = self.state();
        Ok(state.delivery(id).filter(|_| state.is_of(organization, id)))
    }

    async fn list_deliveries(
        &self,
        organization: &str,
        query: &DeliveryQuery,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Delivery>, StoreError> {
        let state = self.state();
        let (from, before) = query.ids(after);
        let (from, before) = (DeliveryId::from_u128(from), DeliveryId::from_u128(before));
        let Some(queue) = state.queues.get(&query.subscription).filter(|_| from < before) else {
            return Ok(Page::last(Vec::new()));
        };
        if query.state.is_none() && query.event_type.is_none() {
            let ids = queue.all.range(from..before).rev().take(one_more(limit));
            return Ok(Page::cut(state.those(ids, organization), limit, by_id));
        }
        let most = Page::<Delivery>::LOOKED_THROUGH as usize;
        let looked_through: &mut dyn Iterator<Item = DeliveryId> = match query.state {
            Some(dead @ DeliveryState::Dead(_)) => {
                let range = (dead.as_str(), from)..(dead.as_str(), before);
                &mut queue.ended.range(range).rev().map(|(_, id)| *id)
            }
            _ => &mut queue.all.range(from..before).rev().copied(),
        };
        let (mut found, mut floor) = (Vec::new(), None);
        for (which, id) in looked_through.take(most).enumerate() {
            if state.is_asked_for(id, query) {
                found.push(id);
                if found.len() == one_more(limit) {
                    break;
                }
            }
            floor = (which + 1 == most).then(|| Cursor::new(0, id.as_u128()));
        }
        Ok(Page::cut(state.those(&found, organization), limit, by_id).or_from(floor))
    }

    async fn list_dead_letters(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Delivery>, StoreError> {
        let state = self.state();
        let before = DeliveryId::from_u128(after.map_or(u128::MAX, Cursor::minor));
        let first = DeliveryId::from_u128(0);
        let own = state.organizations.get(organization).into_iter().flatten();
        let queues = own.filter_map(|(_, id)| state.queues.get(id));
        let mut ids: Vec<_> = queues
            .flat_map(|queue| {
                DeliveryState::LETTERS.into_iter().flat_map(move |dead| {
                    let range = (dead.as_str(), first)..(dead.as_str(), before);
                    queue.ended.range(range).rev().take(one_more(limit)).map(|(_, id)| *id)
                })
            })
            .collect();
        ids.sort_unstable_by(|one, two| two.cmp(one));
        ids.truncate(one_more(limit));
        Ok(Page::cut(state.those(&ids, organization), limit, by_id))
    }

    async fn discard(&self, organization: &str, id: DeliveryId, note: &str) -> Result<bool, StoreError> {
        let mut state = self.state();
        let is_letter = state.rows.get(&id).is_some_and(|row| DeliveryState::LETTERS.contains(&row.state));
        if !is_letter || !state.is_of(organization, id) {
            return Ok(false);
        }
        state.bury(id, DeadReason::Discarded);
        state.rows.get_mut(&id).expect(ROW).note = Some(note.to_owned());
        Ok(true)
    }

    async fn add_test(
        &self,
        event: &NewEvent,
        attempt: &Attempt,
        failed: Option<&str>,
    ) -> Result<(), StoreError> {
        self.state().add_test(event, attempt, failed);
        Ok(())
    }

    async fn find_event(&self, organization: &str, id: &EventId) -> Result<Option<EventRecord>, StoreError> {
        let state = self.state();
        Ok(state.event_number(organization, id).map(|number| EventRecord {
            payload: state.events[&number].payload.kept().cloned(),
            ..state.event(number)
        }))
    }

    async fn list_events(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<EventRecord>, StoreError> {
        let state = self.state();
        let Some(own) = state.events_of.get(organization) else { return Ok(Page::last(Vec::new())) };
        let before = after.map_or(u64::MAX, |after| u64::try_from(after.minor()).unwrap_or(u64::MAX));
        let found = own.in_order.range(..before).rev().take(one_more(limit)).copied().collect();
        let page = Page::cut(found, limit, |last: &u64| Cursor::new(0, u128::from(*last)));
        Ok(page.map(|number| state.event(number)))
    }

    async fn list_event_deliveries(
        &self,
        organization: &str,
        event: &EventId,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Delivery>, StoreError> {
        let state = self.state();
        let Some(number) = state.event_number(organization, event) else {
            return Ok(Page::last(Vec::new()));
        };
        let place = |id: &DeliveryId| Cursor::new(state.rows[id].subscription.as_u128(), id.as_u128());
        let after = after.map(|after| (after.major(), after.minor()));
        let places: BTreeMap<_, _> = state.events[&number]
            .deliveries
            .iter()
            .map(|id| ((place(id).major(), place(id).minor()), *id))
            .collect();
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let ids: Vec<_> =
            places.range((after, Bound::Unbounded)).take(one_more(limit)).map(|(_, id)| *id).collect();
        Ok(Page::cut(state.those(&ids, organization), limit, |last| place(&last.id)))
    }

    async fn statistics(
        &self,
        organization: &str,
        subscription: SubscriptionId,
        period: &Period,
    ) -> Result<Option<Statistics>, StoreError> {
        let state = self.state();
        let found = state.subscription(subscription).filter(|found| found.organization == organization);
        let Some(found) = found else { return Ok(None) };
        let none = Queue::default();
        let queue = state.queues.get(&subscription).unwrap_or(&none);
        let (from, before) = period.ids();
        let (from, before) = (DeliveryId::from_u128(from), DeliveryId::from_u128(before));
        let most = Period::MOST_DELIVERIES as usize;
        let ids: Vec<_> = match from < before {
            true => queue.all.range(from..before).rev().take(most + 1).collect(),
            false => Vec::new(),
        };
        let rows = ids.iter().take(most).map(|id| &state.rows[*id]).filter(|row| !row.is_test);
        let attempts: Vec<_> =
            rows.flat_map(|row| &row.log).filter(|attempt| period.has(attempt.started_at)).collect();
        let counts = attempts
            .iter()
            .map(|attempt| (period.slot_of(attempt.started_at), Count::new(attempt.outcome, 1)));
        let mut told = Statistics::from_counts(period, counts);
        let answered = attempts.iter().filter(|attempt| attempt.outcome.status().is_some());
        told.latency = Latency::of(answered.map(|attempt| attempt.duration).collect());
        told.is_cut = ids.len() > most;
        told.health = found.health.clone();
        told.backlog = queue.backlog(&state);
        Ok(Some(told))
    }
}

impl State {
    /// Those of them that are this organization's.
    fn those<'a>(&self, ids: impl IntoIterator<Item = &'a DeliveryId>, organization: &str) -> Vec<Delivery> {
        let own = ids.into_iter().filter(|id| self.is_of(organization, **id));
        own.filter_map(|id| self.delivery(*id)).collect()
    }

    fn is_asked_for(&self, id: DeliveryId, query: &DeliveryQuery) -> bool {
        let row = &self.rows[&id];
        query.state.is_none_or(|asked| asked == row.state)
            && query.event_type.as_ref().is_none_or(|asked| *asked == self.events[&row.event].event_type)
    }

    fn is_of(&self, organization: &str, id: DeliveryId) -> bool {
        self.rows.get(&id).is_some_and(|row| self.events[&row.event].organization.as_ref() == organization)
    }

    fn event(&self, number: u64) -> EventRecord {
        let event = &self.events[&number];
        let mut record = EventRecord::new(event.id.clone(), event.event_type.clone(), event.created_at);
        // As in a database, where they are deleted together.
        if event.payload.kept().is_some() {
            record.attributes = event.attributes.clone();
        }
        record
    }
}

impl Queue {
    fn backlog(&self, state: &State) -> Backlog {
        let due = self.due.iter().map(|(.., id)| *id);
        // The first of each key is among those that are due.
        let waiting = self.keys.values().flat_map(|line| line.values().skip(1).copied());
        let pending: Vec<_> =
            due.chain(waiting).take(Backlog::MOST as usize).map(|id| state.rows[&id].created_at).collect();
        Backlog::new(pending.len() as u64, pending.into_iter().min())
    }
}

fn by_id(last: &Delivery) -> Cursor {
    Cursor::new(0, last.id.as_u128())
}

const fn one_more(limit: u32) -> usize {
    limit as usize + 1
}
