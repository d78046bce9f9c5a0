//! The store as one process sees it: the memory store behind a connection that is slow, breaks, and loses
//! answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hookwire::store::implement::{
    Claim, Claims, HealthWritten, Inserted, NewDelivery, NewEvent, Poll, Polled, Settled, Settlement,
    StoreId, Subscribed, Unreadable,
};
use hookwire::store::{Lease, Replay, Replayed, StoreErrorKind};
use hookwire::subscription::Health;
use hookwire::{
    DeliveryId, DisabledReason, EventId, MemoryStore, Records, Store, StoreError, Subscription,
    SubscriptionId, SubscriptionStatus, Subscriptions,
};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

use super::defects::Defect;
use super::dice::Dice;
use super::model::Model;
use crate::stores::deliveries;

/// The state that all connections share.
pub(crate) struct Shared {
    pub(crate) inner: MemoryStore,
    pub(crate) defect: Option<Defect>,
    pub(crate) model: Mutex<Model>,
    pub(crate) plan: Mutex<Plan>,
    /// The ids that the deliveries of an insert have in the store, by those that the outbox gave them.
    renamed: Mutex<BTreeMap<DeliveryId, DeliveryId>>,
    /// The worker in the process of the outbox, and when the emit began that is on its way.
    pub(crate) recipient: Mutex<Option<usize>>,
    pub(crate) emit_began: Mutex<Option<Instant>>,
    dice: Dice,
}

/// The faults, in thousandths of all calls.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) fails: u64,
    pub(crate) loses: u64,
    pub(crate) slow: u64,
    pub(crate) unreadable: u64,
    pub(crate) refuses: u64,
    /// The longest duration of a slow call, in milliseconds.
    pub(crate) slowest: u64,
    /// The whole store is unavailable until then.
    pub(crate) away_until: Option<Instant>,
    /// The number of refusals left for each of these deliveries.
    pub(crate) refusals: BTreeMap<DeliveryId, u32>,
}

impl Shared {
    pub(crate) fn new(model: Model, dice: Dice, defect: Option<Defect>) -> Arc<Self> {
        let (model, inner) = (Mutex::new(model), MemoryStore::new());
        let (plan, renamed, recipient, emit_began) = Default::default();
        Arc::new(Self { inner, defect, model, plan, renamed, recipient, emit_began, dice })
    }

    pub(crate) fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap()
    }

    pub(crate) fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap()
    }
}

/// The store as one worker or the operator sees it.
#[derive(Clone)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
    worker: Option<usize>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Fine,
    Fails,
    Loses,
    Slow { before: Duration, after: Duration },
}

impl Connection {
    pub(crate) fn new(shared: &Arc<Shared>, worker: Option<usize>) -> Self {
        Self { shared: Arc::clone(shared), worker }
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.shared.model()
    }

    fn fate(&self) -> Fate {
        let mut plan = self.shared.plan();
        let dice = &self.shared.dice;
        if plan.away_until.is_some_and(|until| until > Instant::now()) {
            return Fate::Fails;
        }
        plan.away_until = None;
        let drawn = dice.within(1..=1000);
        let (fails, loses) = (plan.fails, plan.fails + plan.loses);
        if drawn <= fails {
            Fate::Fails
        } else if drawn <= loses {
            Fate::Loses
        } else if drawn <= loses + plan.slow {
            let [before, after] = [(); 2].map(|()| dice.millis(1..=plan.slowest.max(1)));
            Fate::Slow { before, after }
        } else {
            Fate::Fine
        }
    }

    /// Executes `call` at one instant, with faults before and after it.
    async fn call<T>(
        &self,
        what: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if self.worker.is_some() && self.model().is_hopeless() {
            // The violations are reported. A broken worker might loop for ever within an instant, so it stops
            // here.
            return std::future::pending().await;
        }
        let fate = self.fate();
        let faulted = |how: &str| self.model().faulted(self.worker, || format!("{what} {how}"));
        match fate {
            Fate::Fine => call.await,
            Fate::Fails => {
                faulted("fails");
                Err(away())
            }
            Fate::Loses => {
                let done = call.await;
                faulted("is done and its answer lost");
                done.and(Err(away()))
            }
            Fate::Slow { before, after } => {
                faulted("is slow");
                self.model().slow(self.worker, true);
                sleep(before).await;
                let done = call.await;
                faulted("is done");
                sleep(after).await;
                faulted("was slow");
                self.model().slow(self.worker, false);
                done
            }
        }
    }

    fn refusal(&self, settlements: &[Settlement]) -> Option<StoreError> {
        let mut plan = self.shared.plan();
        if plan.refuses > 0 && self.shared.dice.permille(plan.refuses) {
            let unlucky = self.shared.dice.within(0..=settlements.len() as u64 - 1) as usize;
            plan.refusals.insert(settlements[unlucky].key, 2);
        }
        let refused = settlements.iter().find(|settlement| plan.refusals.contains_key(&settlement.key))?;
        let left = plan.refusals.get_mut(&refused.key).expect("found above");
        *left -= 1;
        if *left == 0 {
            plan.refusals.remove(&refused.key);
        }
        let mut model = self.model();
        for settlement in settlements {
            model.refused(settlement.key);
        }
        Some(StoreError::new(StoreErrorKind::Backend, "the store refuses this one"))
    }

    fn spoil(&self, claims: &mut Claims) {
        let chance = self.shared.plan().unreadable;
        let mut read = Vec::new();
        for claimed in claims.deliveries.drain(..) {
            if chance > 0 && self.shared.dice.permille(chance) {
                let error = StoreError::new(StoreErrorKind::Corrupt, "a bit fell over");
                let unreadable = Unreadable::new(claimed.delivery, claimed.lease, error)
                    .with_attempt(claimed.attempt, claimed.first_attempt_at);
                claims.unreadable.push(match self.shared.dice.permille(500) {
                    true => unreadable.by_subscription(claimed.subscription.id),
                    false => unreadable,
                });
            } else {
                read.push(claimed);
            }
        }
        claims.deliveries = read;
    }
}

fn away() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the store is away")
}

/// The operator's calls.
impl Connection {
    pub(crate) async fn put(&self, subscription: &Subscription) -> Result<(), StoreError> {
        self.call("put", async {
            self.shared.inner.put(subscription).await?;
            self.model().subscribed(subscription);
            Ok(())
        })
        .await
    }

    pub(crate) async fn set_status(
        &self,
        id: SubscriptionId,
        status: &SubscriptionStatus,
    ) -> Result<bool, StoreError> {
        self.call("set_status", async {
            let did = self.shared.inner.set_status(id, status).await?;
            self.model().status_set(id, status, did);
            Ok(did)
        })
        .await
    }

    pub(crate) async fn delete(&self, id: SubscriptionId, now: OffsetDateTime) -> Result<bool, StoreError> {
        self.call("delete", async {
            let did = self.shared.inner.delete(id, now).await?;
            self.model().deleted(id, now, did);
            Ok(did)
        })
        .await
    }

    pub(crate) async fn cancel(&self, id: DeliveryId, now: OffsetDateTime) -> Result<bool, StoreError> {
        self.call("cancel", async {
            let did = self.shared.inner.cancel(id, now).await?;
            self.model().cancel(id, now, did);
            Ok(did)
        })
        .await
    }

    pub(crate) async fn replay(
        &self,
        replay: &Replay,
        limit: u32,
        now: OffsetDateTime,
    ) -> Result<Replayed, StoreError> {
        self.call("replay", async {
            let (organization, subscription, mut sources) = {
                let model = self.model();
                let subscription = match replay {
                    Replay::Delivery(id) => model.rows[id].subscription,
                    Replay::DeadLetters(subscription) | Replay::Since(subscription, _) => *subscription,
                    _ => unreachable!("the operator wants one of these"),
                };
                let organization = model.subscriptions[&subscription].organization.clone();
                (organization, subscription, model.replayable(replay, now))
            };
            let more = sources.len() > limit as usize;
            sources.truncate(limit as usize);
            let replayed = self.shared.inner.replay(replay, limit, now).await?;
            let mut made = deliveries(&self.shared.inner, &organization, subscription).await;
            let mut model = self.model();
            made.retain(|delivery| !model.rows.contains_key(&delivery.id));
            model.replayed(&sources, &made, replayed.made, now);
            if replayed.more != more {
                model.violated(format!("a replay told {} of more, expected {more}", replayed.more));
            }
            Ok(replayed)
        })
        .await
    }

    pub(crate) async fn expunge(
        &self,
        organization: &str,
        event: &EventId,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let contract = self.model().terms.contract.name().to_owned();
        self.call("expunge", async {
            let did = self.shared.inner.expunge(organization, &contract, event, now).await?;
            self.model().expunged(organization, event, now, did);
            Ok(did)
        })
        .await
    }
}

impl Store for Connection {
    fn id(&self) -> Option<StoreId> {
        self.shared.inner.id()
    }

    async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        let read = self.call("subscription", self.shared.inner.subscription(id)).await;
        if read.is_err() {
            self.model().health_faulted(id);
        }
        read
    }

    async fn subscriptions(&self, organization: &str) -> Result<Subscribed, StoreError> {
        self.call("subscriptions", self.shared.inner.subscriptions(organization)).await
    }

    async fn insert(&self, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        let mut events = events.to_vec();
        for event in &mut events {
            for NewDelivery { id, .. } in &mut event.deliveries {
                // The outbox draws its ids from the system, but ids must follow from the seed.
                let drawn = DeliveryId::from_parts(event.inserted_at, self.shared.dice.bytes());
                self.shared.renamed.lock().unwrap().insert(*id, drawn);
                *id = drawn;
            }
        }
        let recipient = *self.shared.recipient.lock().unwrap();
        let began = self.shared.emit_began.lock().unwrap().expect("an emit is on its way");
        // The outbox takes slots and tokens just before it asks.
        let reserved = Instant::now();
        let (inserted, holds) = self
            .call("insert", async {
                let inserted = Defect::insert(self.shared.defect, &self.shared.inner, &events).await?;
                self.model().inserted(&events, &inserted);
                let holds = self.model().leased(recipient, &events, &inserted, began);
                Ok((inserted, holds))
            })
            .await?;
        if let Some(worker) = recipient {
            self.model().handed_over(worker, &holds, &events, [began, reserved]);
        }
        Ok(inserted)
    }

    async fn look(&self, poll: &Poll) -> Result<Polled, StoreError> {
        self.call("look", async {
            let polled = self.shared.inner.look(poll).await?;
            self.model().looked(poll, &polled);
            Ok(polled)
        })
        .await
    }

    async fn claim(&self, claim: &Claim) -> Result<Claims, StoreError> {
        let worker = self.worker.expect("only workers claim");
        let asked = Instant::now();
        let (claims, holds) = self
            .call("claim", async {
                let mut claims = Defect::claim(self.shared.defect, &self.shared.inner, claim).await?;
                let holds = self.model().claimed(worker, claim, &claims);
                self.spoil(&mut claims);
                Ok((claims, holds))
            })
            .await?;
        self.model().answered(worker, &holds, &claims.unreadable, claim, asked);
        Ok(claims)
    }

    async fn extend(
        &self,
        leases: &[(DeliveryId, Lease)],
        lease: Duration,
        now: OffsetDateTime,
    ) -> Result<Vec<Settled>, StoreError> {
        self.call("extend", async {
            let answers = self.shared.inner.extend(leases, lease, now).await?;
            self.model().extended(leases, now + lease, &answers);
            Ok(answers)
        })
        .await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        let worker = self.worker.expect("only workers settle");
        let mut settlements = settlements.to_vec();
        for settlement in &mut settlements {
            // A worker hands back what an insert may have leased by the ids of the outbox.
            if let Some(drawn) = self.shared.renamed.lock().unwrap().get(&settlement.key) {
                settlement.key = *drawn;
            }
        }
        let settlements = &settlements[..];
        self.call("settle", async {
            if let Some(refusal) = self.refusal(settlements) {
                return Err(refusal);
            }
            let answers = Defect::settle(self.shared.defect, &self.shared.inner, settlements).await?;
            self.model().settled(worker, settlements, &answers);
            Ok(answers)
        })
        .await
    }

    async fn put_health(
        &self,
        id: SubscriptionId,
        seen: &Health,
        health: &Health,
        disable: Option<DisabledReason>,
        now: OffsetDateTime,
    ) -> Result<HealthWritten, StoreError> {
        let put = self
            .call("put_health", async {
                let written = self.shared.inner.put_health(id, seen, health, disable, now).await?;
                self.model().health_put(id, health, disable, now, written);
                Ok(written)
            })
            .await;
        if put.is_err() {
            self.model().health_faulted(id);
        }
        put
    }

    async fn expire(&self, age: Duration, limit: u32, now: OffsetDateTime) -> Result<u64, StoreError> {
        // No run is as long as the age at which a wait ends.
        let expired = self.shared.inner.expire(age, limit, now).await?;
        if expired > 0 {
            self.model().violated(format!("{expired} deliveries expired after less than {age:?}"));
        }
        Ok(expired)
    }
}
