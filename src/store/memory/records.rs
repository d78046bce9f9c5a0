//! Reading and changing deliveries and events of a [`MemoryStore`].

use std::collections::BTreeMap;
use std::ops::Bound;

use time::OffsetDateTime;

use super::memory_store::MemoryStore;
use super::moment::Moment;
use super::queue::Queue;
use super::state::{ROW, State};
use crate::delivery::{Attempt, DeadReason, Delivery, DeliveryState};
use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::built_in::{check_event, check_note};
use crate::store::{
    Backlog, ContractBacklog, Count, Cursor, DeliveryQuery, EventRecord, Latency, MadePayload,
    MissingPayload, NewEvent, Page, Period, Records, Replay, Replayed, Statistics, StoreError,
};

impl Records for MemoryStore {
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
        let own = state.organizations.get(organization).into_iter().flat_map(|own| &own.subscriptions);
        let queues = own.filter_map(|(_, id)| state.queues.get(id));
        let mut ids: Vec<_> = queues
            .flat_map(|queue| {
                DeliveryState::LETTERS.iter().flat_map(move |dead| {
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
        check_note(note)?;
        let mut state = self.state();
        let is_letter =
            state.rows.get(&id).is_some_and(|row| DeliveryState::LETTERS.contains(&row.delivery.state));
        if !is_letter || !state.is_of(organization, id) {
            return Ok(false);
        }
        state.end_as(id, DeadReason::Discarded);
        state.rows.get_mut(&id).expect(ROW).note = Some(note.to_owned());
        Ok(true)
    }

    async fn add_test(
        &self,
        event: &NewEvent,
        attempt: &Attempt,
        failed: Option<&str>,
    ) -> Result<(), StoreError> {
        check_event(event)?;
        self.state().add_test(event, attempt, failed);
        Ok(())
    }

    async fn find_event(
        &self,
        organization: &str,
        contract: &str,
        id: &EventId,
    ) -> Result<Option<EventRecord>, StoreError> {
        let state = self.state();
        Ok(state.event_number(organization, contract, id).map(|number| EventRecord {
            payload: state.events[&number].newest.bytes().cloned(),
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
        contract: &str,
        event: &EventId,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Delivery>, StoreError> {
        let state = self.state();
        let Some(number) = state.event_number(organization, contract, event) else {
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

    async fn backlog_by_contract(&self, now: OffsetDateTime) -> Result<Vec<ContractBacklog>, StoreError> {
        let state = self.state();
        let now = Moment::from(now);
        let mut backlogs: Vec<_> = state
            .turns
            .iter()
            .filter_map(|(contract, turns)| {
                let ready = || turns.iter().take_while(|(turn, _)| *turn <= now);
                let (since, _) = ready().next()?;
                let due = ready().flat_map(|(_, id)| {
                    let queue = state.queues.get(id).into_iter();
                    queue.flat_map(|queue| queue.due.by(now))
                });
                let due = due.take(Backlog::MOST as usize).count();
                Some(ContractBacklog::new(contract, due as u64, now.since(*since)))
            })
            .collect();
        backlogs.sort_unstable_by(|one, two| one.contract.cmp(&two.contract));
        Ok(backlogs)
    }

    async fn list_attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        Ok(self.state().attempts(delivery))
    }

    async fn cancel(&self, id: DeliveryId, now: OffsetDateTime) -> Result<bool, StoreError> {
        Ok(self.state().cancel(id, now))
    }

    async fn replay(&self, replay: &Replay, limit: u32, now: OffsetDateTime) -> Result<Replayed, StoreError> {
        self.state().replay(replay, now, limit)
    }

    async fn missing_payloads(
        &self,
        replay: &Replay,
        limit: u32,
        now: OffsetDateTime,
    ) -> Result<Vec<MissingPayload>, StoreError> {
        Ok(self.state().missing_payloads(replay, now, limit))
    }

    async fn add_payloads(&self, organization: &str, payloads: &[MadePayload]) -> Result<(), StoreError> {
        self.state().add_payloads(organization, payloads);
        Ok(())
    }

    async fn expunge(
        &self,
        organization: &str,
        contract: &str,
        event: &EventId,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        Ok(self.state().expunge(organization, contract, event, now))
    }
}

impl State {
    /// Reads those of the deliveries that belong to this organization.
    fn those<'a>(&self, ids: impl IntoIterator<Item = &'a DeliveryId>, organization: &str) -> Vec<Delivery> {
        let own = ids.into_iter().filter(|id| self.is_of(organization, **id));
        own.filter_map(|id| self.delivery(*id)).collect()
    }

    fn is_asked_for(&self, id: DeliveryId, query: &DeliveryQuery) -> bool {
        let row = &self.rows[&id];
        query.state.is_none_or(|asked| asked == row.delivery.state)
            && query.event_type.as_ref().is_none_or(|asked| *asked == self.events[&row.event].event_type)
    }

    fn is_of(&self, organization: &str, id: DeliveryId) -> bool {
        self.rows.get(&id).is_some_and(|row| self.events[&row.event].organization.as_ref() == organization)
    }

    fn event(&self, number: u64) -> EventRecord {
        let event = &self.events[&number];
        let contract = event.newest.contract.clone();
        let mut record =
            EventRecord::new(contract, event.id.clone(), event.event_type.clone(), event.created_at);
        // They are deleted together with the payload, as in a database.
        if event.has_payload() {
            record.attributes = event.attributes.clone();
        }
        record
    }
}

impl Queue {
    fn backlog(&self, state: &State) -> Backlog {
        // The first of each key is in `due`.
        let waiting = self.keys.values().flat_map(|line| line.values().skip(1).copied());
        let pending: Vec<_> = self
            .due
            .all()
            .chain(waiting)
            .take(Backlog::MOST as usize)
            .map(|id| state.rows[&id].created_at)
            .collect();
        Backlog::new(pending.len() as u64, pending.into_iter().min())
    }
}

fn by_id(last: &Delivery) -> Cursor {
    Cursor::new(0, last.id.as_u128())
}

pub(super) const fn one_more(limit: u32) -> usize {
    limit as usize + 1
}
