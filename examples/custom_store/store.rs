//! The store: one mutex around plain lists, and every rule by looking through them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use hookwire::store::{Lease, Scanned, implement::*};
use hookwire::subscription::Health;
use hookwire::{
    DeadReason, DeliveryId, DeliveryState, DisabledReason, Store, StoreError, Subscription, SubscriptionId,
    SubscriptionStatus,
};
use time::OffsetDateTime;
use tokio::sync::Mutex;

#[derive(Default)]
pub(crate) struct ListStore(Mutex<Lists>);

#[derive(Default)]
struct Lists {
    subscriptions: BTreeMap<SubscriptionId, (Subscription, Pause)>,
    events: Vec<Arc<NewEvent>>,
    /// In the order of their insertion, which is that of their ordering keys too.
    rows: Vec<Row>,
    listed: BTreeMap<Vec<String>, usize>,
}

type Row = (Arc<NewEvent>, NewDelivery, DeliveryRow);

impl ListStore {
    pub(crate) async fn put(&self, mut new: Subscription) {
        let mut lists = self.0.lock().await;
        let stored = lists.subscriptions.entry(new.id).or_insert_with(|| (new.clone(), Pause::default()));
        new.health = stored.0.health.clone();
        stored.0 = new;
    }
}

impl Lists {
    /// The rows that may be claimed, each with the time from which: pending, the first of its ordering key,
    /// its subscription enabled and of one of these contracts.
    fn queue(&self, contracts: &[String]) -> impl Iterator<Item = (usize, OffsetDateTime)> {
        let mut keys = HashSet::new();
        self.rows.iter().enumerate().filter_map(move |(at, (event, delivery, row))| {
            let (to, key) = (delivery.subscription, &event.ordering_key);
            let is_first = row.is_pending() && (key.is_none() || keys.insert((to, key)));
            let is_asked = contracts.iter().any(|contract| contract == event.contract.name());
            let (subscription, pause) = self.subscriptions.get(&to)?;
            let is_open = is_first && is_asked && subscription.status == SubscriptionStatus::Enabled;
            is_open.then(|| (at, row.due_at.max(pause.until.unwrap_or(row.due_at))))
        })
    }

    fn lease(&mut self, at: usize, until: OffsetDateTime) -> Leased {
        let (event, delivery, row) = &mut self.rows[at];
        row.claim(event, delivery, self.subscriptions[&delivery.subscription].0.clone(), until)
    }

    fn insert(&mut self, new: &NewEvent) -> Inserted {
        if let Some(outcome) = self.events.iter().find_map(|known| new.compare(known)) {
            return Inserted::new(outcome);
        }
        let event = Arc::new(new.clone());
        self.events.push(Arc::clone(&event));
        for delivery in &new.deliveries {
            let mut row = DeliveryRow::new(new.inserted_at);
            if !self.subscriptions.contains_key(&delivery.subscription) {
                row.end(DeliveryState::Dead(DeadReason::Cancelled));
            }
            self.rows.push((Arc::clone(&event), delivery.clone(), row));
        }
        Inserted::new(InsertOutcome::New)
    }

    fn find(&mut self, id: DeliveryId) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.1.id == id)
    }
}

impl Store for ListStore {
    fn id(&self) -> Option<StoreId> {
        None // An insert leases nothing: each delivery is claimed.
    }

    async fn subscriptions(&self, organization: &str) -> Result<Subscribed, StoreError> {
        let lists = self.0.lock().await;
        let all = lists.subscriptions.values().map(|(subscription, _)| subscription);
        let mut own: Vec<_> = all.filter(|found| found.organization == organization).cloned().collect();
        own.sort_by_key(|subscription| (subscription.created_at, subscription.id));
        Ok(own.into_iter().map(Scanned::from).collect::<Vec<_>>().into())
    }

    async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        Ok(self.0.lock().await.subscriptions.get(&id).map(|(found, _)| found.clone()))
    }

    async fn insert(&self, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        let mut lists = self.0.lock().await;
        Ok(events.iter().map(|event| lists.insert(event)).collect())
    }

    async fn look(&self, poll: &Poll) -> Result<Polled, StoreError> {
        let (mut lists, mut turns) = (self.0.lock().await, BTreeMap::new());
        for (at, from) in lists.queue(&poll.contracts) {
            let turn = turns.entry(lists.rows[at].1.subscription).or_insert(from);
            *turn = from.min(*turn);
        }
        let (now, limit) = (poll.now, poll.limit as usize);
        let wait = turns.values().filter(|from| **from > now).map(|from| (*from - now).unsigned_abs()).min();
        let ready: Vec<_> = turns.into_iter().filter(|turn| turn.1 <= now).map(|turn| turn.0).collect();
        if ready.len() <= limit {
            return Ok(Polled::new(ready, wait));
        }
        let listed = lists.listed.entry(poll.contracts.clone()).or_default();
        *listed = (*listed + limit) % ready.len(); // In turn, so that none hides the others.
        let listed = ready.iter().cycle().skip(*listed).take(limit).copied();
        Ok(Polled::new(listed.collect(), Some(Duration::ZERO)))
    }

    async fn claim(&self, claim: &Claim) -> Result<Claims, StoreError> {
        let (mut lists, mut claims) = (self.0.lock().await, Claims::default());
        for share in &claim.shares {
            let due = lists.queue(&claim.contracts).filter(|(_, from)| *from <= claim.now);
            let is_asked = |at: &usize| lists.rows[*at].1.subscription == share.subscription;
            let mut due: Vec<_> = due.map(|(at, _)| at).filter(is_asked).collect();
            due.sort_by_key(|at| (lists.rows[*at].2.is_retry(), lists.rows[*at].2.due_at));
            due.truncate(share.limit as usize);
            claims.deliveries.extend(due.into_iter().map(|at| lists.lease(at, claim.now + claim.lease)));
        }
        Ok(claims)
    }

    async fn extend(
        &self,
        leases: &[(DeliveryId, Lease)],
        lease: Duration,
        now: OffsetDateTime,
    ) -> Result<Vec<Settled>, StoreError> {
        let mut lists = self.0.lock().await;
        let extend = |(id, held): &(DeliveryId, Lease)| {
            lists.find(*id).map_or(Settled::Stale, |row| row.2.extend(*held, now + lease))
        };
        Ok(leases.iter().map(extend).collect())
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        let mut lists = self.0.lock().await;
        let settle = |settlement: &Settlement| {
            let held = lists.find(settlement.key).take_if(|row| row.2.settle(settlement) == Settled::Done);
            let Some((event, delivery, row)) = held else { return Settled::Stale };
            let (to, key, is_over) = (delivery.subscription, event.ordering_key.clone(), !row.is_pending());
            let is_next = |next: &&mut Row| {
                next.1.subscription == to && next.0.ordering_key == key && next.2.is_pending()
            };
            if let Some(next) = lists.rows.iter_mut().find(is_next).filter(|_| is_over && key.is_some()) {
                next.2.due_at = settlement.now;
            }
            if let Some((found, pause)) = lists.subscriptions.get_mut(&to) {
                settlement.pause().into_iter().for_each(|asked| pause.add(asked, settlement.now));
                settlement.disable().map(|reason| found.disable(reason, settlement.now));
            }
            Settled::Done
        };
        Ok(settlements.iter().map(settle).collect())
    }

    async fn put_health(
        &self,
        id: SubscriptionId,
        seen: &Health,
        health: &Health,
        disable: Option<DisabledReason>,
        now: OffsetDateTime,
    ) -> Result<HealthWritten, StoreError> {
        let mut lists = self.0.lock().await;
        let stored = lists.subscriptions.get_mut(&id).filter(|(stored, _)| stored.health == *seen);
        let Some((found, _)) = stored else { return Ok(HealthWritten::Stale) };
        found.health = health.clone();
        let is_disabled = disable.is_some_and(|reason| found.disable(reason, now));
        Ok(if is_disabled { HealthWritten::Disabled } else { HealthWritten::Done })
    }

    async fn expire(&self, age: Duration, limit: u32, now: OffsetDateTime) -> Result<u64, StoreError> {
        let mut lists = self.0.lock().await;
        let Lists { subscriptions, rows, .. } = &mut *lists;
        let expire = |(_, delivery, row): &mut &mut Row| {
            let to = subscriptions.get(&delivery.subscription);
            row.expire(to.and_then(|(found, pause)| pause.closed_since(&found.status, now)), now - age)
        };
        Ok(rows.iter_mut().filter_map(|mut row| expire(&mut row).then_some(1)).take(limit as usize).sum())
    }
}

#[cfg(all(test, feature = "testing"))]
impl hookwire::store::conformance::Fixture for ListStore {
    async fn put_subscription(&self, subscription: &Subscription) {
        self.put(subscription.clone()).await;
    }

    async fn delete_subscription(&self, id: SubscriptionId, _: OffsetDateTime) {
        let mut lists = self.0.lock().await;
        lists.subscriptions.remove(&id);
        let own = lists.rows.iter_mut().filter(|row| row.1.subscription == id && row.2.is_pending());
        own.for_each(|row| row.2.end(DeliveryState::Dead(DeadReason::Cancelled)));
    }

    async fn delivery_state(&self, id: DeliveryId) -> Option<DeliveryState> {
        self.0.lock().await.find(id).map(|row| row.2.state)
    }
}
