//! The store as one process sees it: the real one in memory, behind a connection that is slow, breaks, and loses answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hookwire::store::{
    Claim, Claims, Inserted, Lease, Look, NewEvent, Replay, Replayed, Retention, Settled, Settlement,
    StoreErrorKind, Unreadable,
};
use hookwire::{
    Attempt, Delivery, DeliveryId, EventId, Health, MemoryStore, Store, StoreError, Subscription,
    SubscriptionId, SubscriptionStatus,
};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

use super::defects::Defect;
use super::dice::Dice;
use super::model::Model;

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) inner: MemoryStore,
    pub(crate) defect: Option<Defect>,
    pub(crate) model: Mutex<Model>,
    pub(crate) plan: Mutex<Plan>,
    dice: Dice,
}

/// What goes wrong, in thousandths of all calls.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) fails: u64,
    pub(crate) loses: u64,
    pub(crate) slow: u64,
    pub(crate) unreadable: u64,
    pub(crate) refuses: u64,
    /// How long a slow call takes at the most, in milliseconds.
    pub(crate) slowest: u64,
    /// The whole store is away until then.
    pub(crate) away_until: Option<Instant>,
    /// How often the store will still refuse to settle these.
    pub(crate) refusals: BTreeMap<DeliveryId, u32>,
}

impl Shared {
    pub(crate) fn new(model: Model, dice: Dice, defect: Option<Defect>) -> Arc<Self> {
        let (model, plan) = (Mutex::new(model), Mutex::default());
        Arc::new(Self { inner: MemoryStore::new(), defect, model, plan, dice })
    }

    pub(crate) fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap()
    }

    pub(crate) fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap()
    }
}

/// The store as one worker, or the operator, sees it.
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

    /// Carries out `call` at one instant, with whatever goes wrong before and after.
    async fn call<T>(
        &self,
        what: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if self.worker.is_some() && self.model().is_hopeless() {
            // Enough is known: what is broken may go on for ever, and within an instant.
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
                sleep(before).await;
                let done = call.await;
                faulted("is done");
                sleep(after).await;
                faulted("was slow");
                done
            }
        }
    }

    fn refusal(&self, settlements: &[Settlement]) -> Option<StoreError> {
        let mut plan = self.shared.plan();
        if plan.refuses > 0 && self.shared.dice.permille(plan.refuses) {
            let unlucky = self.shared.dice.within(0..=settlements.len() as u64 - 1) as usize;
            plan.refusals.insert(settlements[unlucky].delivery, 2);
        }
        let refused =
            settlements.iter().find(|settlement| plan.refusals.contains_key(&settlement.delivery))?;
        let left = plan.refusals.get_mut(&refused.delivery).expect("found above");
        *left -= 1;
        if *left == 0 {
            plan.refusals.remove(&refused.delivery);
        }
        let mut model = self.model();
        for settlement in settlements {
            model.refused(settlement.delivery);
        }
        Some(StoreError::new(StoreErrorKind::Backend, "the store refuses this one"))
    }

    fn spoil(&self, claims: &mut Claims) {
        let chance = self.shared.plan().unreadable;
        let mut read = Vec::new();
        for claimed in claims.deliveries.drain(..) {
            if chance > 0 && self.shared.dice.permille(chance) {
                let error = StoreError::new(StoreErrorKind::Corrupt, "a bit fell over");
                let unreadable = Unreadable::new(claimed.delivery, claimed.lease, error);
                claims.unreadable.push(unreadable.at_attempt(claimed.attempt, claimed.first_attempt_at));
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

impl Store for Connection {
    async fn put_subscription(&self, subscription: &Subscription) -> Result<(), StoreError> {
        self.call("put_subscription", async {
            self.shared.inner.put_subscription(subscription).await?;
            self.model().subscribed(subscription);
            Ok(())
        })
        .await
    }

    async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        let read = self.call("subscription", self.shared.inner.subscription(id)).await;
        if read.is_err() {
            self.model().health_faulted(id);
        }
        read
    }

    async fn subscriptions(&self, organization: &str) -> Result<Vec<Subscription>, StoreError> {
        self.call("subscriptions", self.shared.inner.subscriptions(organization)).await
    }

    async fn subscription_ids(
        &self,
        after: Option<SubscriptionId>,
        limit: u32,
    ) -> Result<Vec<SubscriptionId>, StoreError> {
        self.call("subscription_ids", self.shared.inner.subscription_ids(after, limit)).await
    }

    async fn replace_subscription(
        &self,
        seen: &Subscription,
        subscription: &Subscription,
    ) -> Result<bool, StoreError> {
        self.call("replace_subscription", async {
            let did = self.shared.inner.replace_subscription(seen, subscription).await?;
            if did {
                self.model().subscribed(subscription);
            }
            Ok(did)
        })
        .await
    }

    async fn set_subscription_status(
        &self,
        id: SubscriptionId,
        status: &SubscriptionStatus,
    ) -> Result<bool, StoreError> {
        self.call("set_subscription_status", async {
            let did = self.shared.inner.set_subscription_status(id, status).await?;
            self.model().status_set(self.worker, id, status, did);
            Ok(did)
        })
        .await
    }

    async fn insert(&self, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        let mut events = events.to_vec();
        for event in &mut events {
            for (id, _) in &mut event.deliveries {
                // The outbox draws its ids from the system; here they come from the seed.
                *id = DeliveryId::from_parts(event.inserted_at, self.shared.dice.bytes());
            }
        }
        self.call("insert", async {
            let inserted = Defect::insert(self.shared.defect, &self.shared.inner, &events).await?;
            self.model().inserted(&events, &inserted);
            Ok(inserted)
        })
        .await
    }

    async fn look(&self, now: OffsetDateTime, limit: u32) -> Result<Look, StoreError> {
        self.call("look", async {
            let look = self.shared.inner.look(now, limit).await?;
            self.model().looked(now, limit, &look);
            Ok(look)
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
        now: OffsetDateTime,
        lease: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        self.call("extend", async {
            let answers = self.shared.inner.extend(leases, now, lease).await?;
            self.model().extended(leases, now + lease, &answers);
            Ok(answers)
        })
        .await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        let worker = self.worker.expect("only workers settle");
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
    ) -> Result<bool, StoreError> {
        let put = self
            .call("put_health", async {
                let did = self.shared.inner.put_health(id, seen, health).await?;
                self.model().health_put(id, health, did);
                Ok(did)
            })
            .await;
        if put.is_err() {
            self.model().health_faulted(id);
        }
        put
    }

    async fn delete_subscription(&self, id: SubscriptionId, now: OffsetDateTime) -> Result<bool, StoreError> {
        self.call("delete_subscription", async {
            let did = self.shared.inner.delete_subscription(id, now).await?;
            self.model().deleted(id, now, did);
            Ok(did)
        })
        .await
    }

    async fn cancel(&self, id: DeliveryId, now: OffsetDateTime) -> Result<bool, StoreError> {
        self.call("cancel", async {
            let did = self.shared.inner.cancel(id, now).await?;
            self.model().cancel(id, now, did);
            Ok(did)
        })
        .await
    }

    async fn replay(&self, replay: &Replay, now: OffsetDateTime, limit: u32) -> Result<Replayed, StoreError> {
        self.call("replay", async {
            let (subscription, mut sources) = {
                let model = self.model();
                let subscription = match replay {
                    Replay::Delivery(id) => model.rows[id].subscription,
                    Replay::DeadLetters(subscription) | Replay::Since(subscription, _) => *subscription,
                    _ => unreachable!("the operator wants one of these"),
                };
                (subscription, model.replayable(replay, now))
            };
            let more = sources.len() > limit as usize;
            sources.truncate(limit as usize);
            let replayed = self.shared.inner.replay(replay, now, limit).await?;
            let mut made = self.shared.inner.deliveries(subscription, None, u32::MAX).await?;
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

    async fn expunge(
        &self,
        organization: &str,
        event: &EventId,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        self.call("expunge", async {
            let did = self.shared.inner.expunge(organization, event, now).await?;
            self.model().expunged(organization, event, now, did);
            Ok(did)
        })
        .await
    }

    async fn prune(&self, retention: &Retention, now: OffsetDateTime, limit: u32) -> Result<u64, StoreError> {
        self.call("prune", self.shared.inner.prune(retention, now, limit)).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        self.call("delivery", self.shared.inner.delivery(id)).await
    }

    async fn deliveries(
        &self,
        subscription: SubscriptionId,
        after: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.call("deliveries", self.shared.inner.deliveries(subscription, after, limit)).await
    }

    async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        self.call("attempts", self.shared.inner.attempts(delivery)).await
    }
}
