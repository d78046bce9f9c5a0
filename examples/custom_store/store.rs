//! The store: one mutex around plain lists, and every rule by looking through them.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hookwire::store::*;
use hookwire::{
    Attempt, DeadReason, Delivery, DeliveryId, DeliveryState, EventId, EventType, Health, Next, Subscription,
    SubscriptionId, SubscriptionStatus,
};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

#[derive(Default)]
pub(crate) struct ListStore(Mutex<Lists>);

#[derive(Default)]
struct Lists {
    subscriptions: BTreeMap<SubscriptionId, Entry>,
    events: BTreeMap<EventKey, Event>,
    /// In the order of their insertion, which is that of their ordering keys too.
    rows: Vec<Row>,
    last_listed: Option<SubscriptionId>,
}

/// A subscription, shared with the claims that are out.
type Entry = (Arc<Subscription>, Option<OffsetDateTime>);
/// An organization's own id.
type EventKey = (String, EventId);

struct Event {
    event_type: EventType,
    ordering_key: Option<String>,
    /// `None` when it was expunged: the digest still tells a duplicate from a conflict.
    payload: Option<Bytes>,
    digest: [u8; 32],
    ended_at: OffsetDateTime,
}

struct Row {
    delivery: Delivery,
    event: EventKey,
    claims: u64,
    /// Whether the last claim has not been settled; `delivery.due_at` is the end of its lease then.
    is_leased: bool,
    first_attempt_at: Option<OffsetDateTime>,
    ended_at: Option<OffsetDateTime>,
    log: Vec<Attempt>,
}

impl ListStore {
    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lists {
    fn add(&mut self, id: DeliveryId, to: SubscriptionId, event: EventKey, at: OffsetDateTime) {
        let event_type = self.events[&event].event_type.clone();
        let delivery = Delivery::new(id, to, event.1.clone(), event_type, at);
        let (first_attempt_at, ended_at) = (None, None);
        self.rows.push(Row {
            delivery,
            event,
            claims: 0,
            is_leased: false,
            first_attempt_at,
            ended_at,
            log: vec![],
        });
    }

    /// What waits for nothing but its time: which row, and from when it may be claimed. Of an ordering key that is the first
    /// pending delivery alone; of a subscription that is deleted or disabled, nothing.
    fn queue(&self) -> impl Iterator<Item = (usize, OffsetDateTime)> {
        let mut keys = HashSet::new();
        self.rows.iter().enumerate().filter_map(move |(at, row)| {
            let due_at = row.delivery.due_at?;
            let to = row.delivery.subscription;
            let is_first =
                self.events[&row.event].ordering_key.as_ref().is_none_or(|key| keys.insert((to, key)));
            let (subscription, paused) = self.subscriptions.get(&to)?;
            let is_enabled = subscription.status == SubscriptionStatus::Enabled;
            (is_first && is_enabled).then(|| (at, paused.map_or(due_at, |paused| paused.max(due_at))))
        })
    }

    fn leased(&mut self, id: DeliveryId, lease: Lease) -> Option<usize> {
        let holds = |row: &Row| row.delivery.id == id && row.is_leased && row.claims == lease.number();
        self.rows.iter().position(holds)
    }

    /// Ends a pending delivery, and has the next of its ordering key be due.
    fn end(&mut self, at: usize, state: DeliveryState, now: OffsetDateTime) {
        let (to, key) = (self.rows[at].delivery.subscription, self.rows[at].event.clone());
        let ordering_key = self.events[&key].ordering_key.clone();
        let in_line = |lists: &Self, row: &Row| {
            let is_keyed = ordering_key.is_some() && lists.events[&row.event].ordering_key == ordering_key;
            row.delivery.due_at.is_some() && row.delivery.subscription == to && is_keyed
        };
        let was_first = self.rows.iter().position(|row| in_line(self, row)) == Some(at);
        let row = &mut self.rows[at];
        (row.delivery.state, row.delivery.due_at, row.is_leased, row.ended_at) =
            (state, None, false, Some(now));
        let event = self.events.get_mut(&key).expect("invariant: an event outlives its deliveries");
        event.ended_at = event.ended_at.max(now);
        if let Some(next) = self.rows.iter().position(|row| in_line(self, row)).filter(|_| was_first) {
            self.rows[next].delivery.due_at = Some(now);
        }
    }

    fn cancel(&mut self, now: OffsetDateTime, is_meant: impl Fn(&Row) -> bool) -> bool {
        let pending = |row: &Row| row.delivery.due_at.is_some() && is_meant(row);
        let chosen: Vec<_> = (0..self.rows.len()).filter(|at| pending(&self.rows[*at])).collect();
        chosen.iter().for_each(|at| self.end(*at, DeliveryState::Dead(DeadReason::Cancelled), now));
        !chosen.is_empty()
    }

    fn change(&mut self, id: SubscriptionId, change: impl FnOnce(&mut Subscription)) -> bool {
        self.subscriptions.get_mut(&id).map(|entry| change(Arc::make_mut(&mut entry.0))).is_some()
    }
}

impl Store for ListStore {
    async fn put_subscription(&self, subscription: &Subscription) -> Result<(), StoreError> {
        let mut lists = self.lists();
        let mut new = (Arc::new(subscription.clone()), None);
        if let Some((old, paused)) = lists.subscriptions.get(&subscription.id) {
            Arc::make_mut(&mut new.0).health = old.health.clone();
            new.1 = *paused;
        }
        lists.subscriptions.insert(subscription.id, new);
        Ok(())
    }

    async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        Ok(self.lists().subscriptions.get(&id).map(|(subscription, _)| Subscription::clone(subscription)))
    }

    async fn subscriptions(&self, organization: &str) -> Result<Vec<Subscription>, StoreError> {
        let lists = self.lists();
        let all = lists.subscriptions.values().map(|(subscription, _)| Subscription::clone(subscription));
        let mut own: Vec<_> = all.filter(|subscription| subscription.organization == organization).collect();
        own.sort_by_key(|subscription| (subscription.created_at, subscription.id));
        Ok(own)
    }

    async fn subscription_ids(
        &self,
        after: Option<SubscriptionId>,
        limit: u32,
    ) -> Result<Vec<SubscriptionId>, StoreError> {
        let lists = self.lists();
        let mut ids: Vec<_> =
            lists.subscriptions.keys().copied().filter(|id| after.is_none_or(|after| *id > after)).collect();
        ids.sort();
        ids.truncate(limit as usize);
        Ok(ids)
    }

    async fn replace_subscription(
        &self,
        seen: &Subscription,
        subscription: &Subscription,
    ) -> Result<bool, StoreError> {
        let mut lists = self.lists();
        let is_seen = lists.subscriptions.get(&subscription.id).is_some_and(|(stored, _)| stored.is_as(seen));
        Ok(is_seen
            && lists.change(subscription.id, |stored| {
                let health = std::mem::take(&mut stored.health);
                *stored = subscription.clone();
                let is_enabled_again =
                    subscription.status == SubscriptionStatus::Enabled && seen.status != subscription.status;
                stored.health = if is_enabled_again { Health::default() } else { health };
            }))
    }

    async fn set_subscription_status(
        &self,
        id: SubscriptionId,
        status: &SubscriptionStatus,
    ) -> Result<bool, StoreError> {
        Ok(self.lists().change(id, |subscription| {
            if *status == SubscriptionStatus::Enabled && subscription.status != *status {
                subscription.health = Health::default();
            }
            subscription.status = status.clone();
        }))
    }

    async fn delete_subscription(&self, id: SubscriptionId, now: OffsetDateTime) -> Result<bool, StoreError> {
        let mut lists = self.lists();
        lists.cancel(now, |row| row.delivery.subscription == id);
        Ok(lists.subscriptions.remove(&id).is_some())
    }

    async fn insert(&self, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        let mut lists = self.lists();
        Ok(events
            .iter()
            .map(|new| {
                let (key, digest) =
                    ((new.organization.clone(), new.id.clone()), Sha256::digest(&new.payload).into());
                if let Some(old) = lists.events.get(&key) {
                    return if old.digest == digest { Inserted::Duplicate } else { Inserted::Conflict };
                }
                let (event_type, ordering_key) = (new.event_type.clone(), new.ordering_key.clone());
                let (payload, ended_at) = (Some(new.payload.clone()), new.inserted_at);
                lists
                    .events
                    .insert(key.clone(), Event { event_type, ordering_key, payload, digest, ended_at });
                for (id, to) in &new.deliveries {
                    lists.add(*id, *to, key.clone(), new.inserted_at);
                }
                Inserted::New
            })
            .collect())
    }

    async fn look(&self, now: OffsetDateTime, limit: u32) -> Result<Look, StoreError> {
        let mut lists = self.lists();
        let mut turns = BTreeMap::new();
        for (at, from) in lists.queue() {
            let turn = turns.entry(lists.rows[at].delivery.subscription).or_insert(from);
            *turn = from.min(*turn);
        }
        let mut ready: Vec<_> = turns.iter().filter(|(_, from)| **from <= now).map(|(id, _)| *id).collect();
        if ready.len() > limit as usize {
            // In turn, so that those listed first don't hide the others.
            let start = lists.last_listed.map_or(0, |last| ready.partition_point(|id| *id <= last));
            let count = ready.len();
            ready.rotate_left(start % count);
            ready.truncate(limit as usize);
            lists.last_listed = ready.last().copied();
            return Ok(Look::new(ready, Some(Duration::ZERO)));
        }
        let next = turns.into_values().filter(|from| *from > now).min();
        Ok(Look::new(ready, next.map(|from| (from - now).unsigned_abs())))
    }

    async fn claim(&self, claim: &Claim) -> Result<Claims, StoreError> {
        let mut lists = self.lists();
        let mut claims = Claims::default();
        for share in &claim.shares {
            let is_due = |(at, from): &(usize, OffsetDateTime)| {
                lists.rows[*at].delivery.subscription == share.subscription && *from <= claim.now
            };
            let mut due: Vec<_> = lists.queue().filter(is_due).map(|(at, _)| at).collect();
            due.sort_by_key(|at| lists.rows[*at].delivery.due_at);
            for at in due.into_iter().take(share.limit as usize) {
                let row = &mut lists.rows[at];
                (row.claims, row.is_leased) = (row.claims + 1, true);
                row.delivery.due_at = Some(claim.now + claim.lease);
                let row = &lists.rows[at];
                let (id, event, event_type) =
                    (row.delivery.id, row.event.1.clone(), row.delivery.event_type.clone());
                let payload =
                    lists.events[&row.event].payload.clone().expect("invariant: what is pending has one");
                let subscription = Arc::clone(&lists.subscriptions[&share.subscription].0);
                let claimed =
                    Claimed::new(id, Lease::new(row.claims), event, event_type, payload, subscription)
                        .at_attempt(row.delivery.attempts + 1, row.first_attempt_at)
                        .ordered(lists.events[&row.event].ordering_key.is_some());
                claims.deliveries.push(claimed);
            }
        }
        Ok(claims)
    }

    async fn extend(
        &self,
        leases: &[(DeliveryId, Lease)],
        now: OffsetDateTime,
        lease: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        let mut lists = self.lists();
        Ok(leases
            .iter()
            .map(|(id, held)| {
                let Some(at) = lists.leased(*id, *held) else { return Settled::Stale };
                lists.rows[at].delivery.due_at = Some(now + lease);
                Settled::Done
            })
            .collect())
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        let mut lists = self.lists();
        Ok(settlements
            .iter()
            .map(|settlement| {
                let now = settlement.now;
                let Some(at) = lists.leased(settlement.delivery, settlement.lease) else {
                    return Settled::Stale;
                };
                let row = &mut lists.rows[at];
                row.is_leased = false;
                if let Some(attempt) = &settlement.attempt {
                    row.delivery.attempts += 1;
                    row.first_attempt_at.get_or_insert(attempt.started_at);
                    row.log.push(attempt.clone());
                }
                let to = row.delivery.subscription;
                match settlement.next {
                    Next::Retry { after, .. } => row.delivery.due_at = Some(now + after),
                    Next::Dead { reason, .. } => lists.end(at, DeliveryState::Dead(reason), now),
                    _ => lists.end(at, DeliveryState::Delivered, now),
                }
                if let (Some(pause), Some(entry)) = (settlement.pause, lists.subscriptions.get_mut(&to)) {
                    entry.1 = entry.1.max(Some(now + pause));
                }
                if let Some(reason) = settlement.disable {
                    lists.change(to, |subscription| {
                        if subscription.status == SubscriptionStatus::Enabled {
                            subscription.status = SubscriptionStatus::disabled(reason, now);
                        }
                    });
                }
                Settled::Done
            })
            .collect())
    }

    async fn put_health(
        &self,
        id: SubscriptionId,
        seen: &Health,
        health: &Health,
    ) -> Result<bool, StoreError> {
        let mut lists = self.lists();
        let is_seen =
            lists.subscriptions.get(&id).is_some_and(|(subscription, _)| subscription.health == *seen);
        Ok(is_seen && lists.change(id, |subscription| subscription.health = health.clone()))
    }

    async fn cancel(&self, id: DeliveryId, now: OffsetDateTime) -> Result<bool, StoreError> {
        Ok(self.lists().cancel(now, |row| row.delivery.id == id))
    }

    async fn replay(&self, replay: &Replay, now: OffsetDateTime, limit: u32) -> Result<Replayed, StoreError> {
        let mut lists = self.lists();
        let is_meant = |row: &Row| {
            let delivery = &row.delivery;
            let DeliveryState::Dead(reason) = delivery.state else {
                return *replay == Replay::Delivery(delivery.id);
            };
            let is_open = reason != DeadReason::Replayed && row.ended_at.is_some_and(|at| at <= now);
            match replay {
                Replay::DeadLetters(of) => {
                    is_open && delivery.subscription == *of && reason != DeadReason::Cancelled
                }
                Replay::Since(of, since) => {
                    is_open && delivery.subscription == *of && delivery.created_at >= *since
                }
                other => *other == Replay::Delivery(delivery.id),
            }
        };
        let mut chosen: Vec<_> = (0..lists.rows.len()).filter(|at| is_meant(&lists.rows[*at])).collect();
        chosen.sort_by_key(|at| lists.rows[*at].delivery.created_at);
        let mut made = 0;
        for at in chosen {
            let (to, key) = (lists.rows[at].delivery.subscription, lists.rows[at].event.clone());
            let is_pending = |row: &Row| {
                row.event == key && row.delivery.subscription == to && row.delivery.due_at.is_some()
            };
            let is_gone = !lists.subscriptions.contains_key(&to) || lists.events[&key].payload.is_none();
            if is_gone || lists.rows.iter().any(is_pending) {
                continue;
            }
            if made == limit {
                return Ok(Replayed::new(made, true));
            }
            if let DeliveryState::Dead(reason) = &mut lists.rows[at].delivery.state {
                *reason = DeadReason::Replayed;
            }
            let mut random = [0; 10];
            getrandom::fill(&mut random)
                .map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error))?;
            lists.add(DeliveryId::from_parts(now, random), to, key, now);
            made += 1;
        }
        Ok(Replayed::new(made, false))
    }

    async fn expunge(
        &self,
        organization: &str,
        event: &EventId,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let mut lists = self.lists();
        let key = (organization.to_owned(), event.clone());
        lists.cancel(now, |row| row.event == key);
        Ok(lists.events.get_mut(&key).map(|event| event.payload = None).is_some())
    }

    async fn prune(&self, retention: &Retention, now: OffsetDateTime, limit: u32) -> Result<u64, StoreError> {
        let Lists { events, rows, .. } = &mut *self.lists();
        let is_old = |kept: Option<Duration>, ended_at: Option<OffsetDateTime>| {
            kept.zip(ended_at).is_some_and(|(kept, ended_at)| ended_at + kept <= now)
        };
        let limit = u64::from(limit);
        let (mut payloads, mut attempts, mut deliveries, mut whole) = (limit, limit, limit, limit);
        let pending =
            rows.iter().filter(|row| row.ended_at.is_none()).map(|row| &row.event).collect::<HashSet<_>>();
        for (key, event) in events.iter_mut() {
            let is_done = is_old(retention.payloads, Some(event.ended_at)) && !pending.contains(key);
            if is_done && event.payload.is_some() && payloads > 0 {
                event.payload = None;
                payloads -= 1;
            }
        }
        rows.retain_mut(|row| {
            let is_old_row = is_old(retention.deliveries, row.ended_at);
            while (is_old_row || is_old(retention.attempts, row.ended_at))
                && !row.log.is_empty()
                && attempts > 0
            {
                row.log.remove(0);
                attempts -= 1;
            }
            let goes = is_old_row && row.log.is_empty() && deliveries > 0;
            deliveries -= u64::from(goes);
            !goes
        });
        let used = rows.iter().map(|row| row.event.clone()).collect::<HashSet<_>>();
        events.retain(|key, event| {
            let goes = is_old(retention.deliveries, Some(event.ended_at)) && !used.contains(key) && whole > 0;
            whole -= u64::from(goes);
            !goes
        });
        Ok(4 * limit - payloads - attempts - deliveries - whole)
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        let lists = self.lists();
        Ok(lists.rows.iter().find(|row| row.delivery.id == id).map(|row| row.delivery.clone()))
    }

    async fn deliveries(
        &self,
        subscription: SubscriptionId,
        after: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let lists = self.lists();
        let own = lists.rows.iter().map(|row| &row.delivery).filter(|row| row.subscription == subscription);
        let mut page: Vec<_> = own.filter(|row| after.is_none_or(|after| row.id < after)).cloned().collect();
        page.sort_by_key(|delivery| std::cmp::Reverse(delivery.id));
        page.truncate(limit as usize);
        Ok(page)
    }

    async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        let lists = self.lists();
        let row = lists.rows.iter().find(|row| row.delivery.id == delivery);
        Ok(row.map_or_else(Vec::new, |row| row.log.clone()))
    }
}
