//! A store that counts its calls and fails as told, on top of a real one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use hookwire::store::{
    Claim, Claims, Inserted, Lease, Look, NewEvent, Replay, Replayed, Retention, Settled, Settlement,
    StoreErrorKind,
};
use hookwire::{
    Attempt, Delivery, DeliveryId, EventId, Health, Store, StoreError, Subscription, SubscriptionId,
    SubscriptionStatus,
};
use time::OffsetDateTime;
use tokio::sync::Notify;

/// Clones are the same store.
pub(crate) struct Watched<S>(Arc<Shared<S>>);

struct Shared<S> {
    store: Arc<S>,
    claims: AtomicU32,
    settles: AtomicU32,
    looks: AtomicU32,
    readings: AtomicU32,
    readings_take: Mutex<Duration>,
    settlements_fail: AtomicU32,
    settlements_are_mute: AtomicBool,
    looks_fail: AtomicBool,
    claims_fail: AtomicBool,
    hangs: AtomicBool,
    claims_take: Mutex<Duration>,
    is_empty: AtomicBool,
    refused: Mutex<Vec<DeliveryId>>,
    troubles: Mutex<HashMap<Call, Trouble>>,
    struck: Notify,
}

/// A call that something may happen to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Call {
    Insert,
    Look,
    Claim,
    Settle,
}

/// What happens to a call, once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// It is not carried out, and says so.
    Fails,
    /// It is carried out, and says that it was not.
    AnswerLost,
    /// Whoever makes it gets no further, before it is carried out or after.
    StopsBefore,
    StopsAfter,
}

impl<S> Clone for Watched<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Store> Watched<S> {
    pub(crate) fn new(store: Arc<S>) -> Self {
        Self(Arc::new(Shared {
            store,
            claims: AtomicU32::new(0),
            settles: AtomicU32::new(0),
            looks: AtomicU32::new(0),
            readings: AtomicU32::new(0),
            readings_take: Mutex::default(),
            settlements_fail: AtomicU32::new(0),
            settlements_are_mute: AtomicBool::new(false),
            looks_fail: AtomicBool::new(false),
            claims_fail: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
            claims_take: Mutex::default(),
            is_empty: AtomicBool::new(false),
            refused: Mutex::default(),
            troubles: Mutex::default(),
            struck: Notify::new(),
        }))
    }

    /// The next call of this kind meets `trouble`.
    pub(crate) fn meets(&self, call: Call, trouble: Trouble) {
        self.0.troubles.lock().unwrap().insert(call, trouble);
    }

    /// Ready when a call met its trouble.
    pub(crate) async fn struck(&self) {
        self.0.struck.notified().await;
    }

    async fn troubled<T>(
        &self,
        call: Call,
        carried_out: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let Some(trouble) = self.0.troubles.lock().unwrap().remove(&call) else { return carried_out.await };
        let told = match trouble {
            Trouble::Fails | Trouble::StopsBefore => Err(away()),
            Trouble::AnswerLost | Trouble::StopsAfter => carried_out.await.and_then(|_| Err(away())),
        };
        self.0.struck.notify_one();
        match trouble {
            Trouble::StopsBefore | Trouble::StopsAfter => std::future::pending().await,
            Trouble::Fails | Trouble::AnswerLost => told,
        }
    }

    /// The next `times` settlements find the database away.
    pub(crate) fn settlements_fail(&self, times: u32) {
        self.0.settlements_fail.store(times, Ordering::SeqCst);
    }

    /// From now on a settlement is carried out, and nothing is told of it.
    pub(crate) fn settlements_are_mute(&self) {
        self.0.settlements_are_mute.store(true, Ordering::SeqCst);
    }

    pub(crate) fn looks_fail(&self, fail: bool) {
        self.0.looks_fail.store(fail, Ordering::SeqCst);
    }

    pub(crate) fn claims_fail(&self, fail: bool) {
        self.0.claims_fail.store(fail, Ordering::SeqCst);
    }

    /// From now on no claim and no settlement ever ends.
    pub(crate) fn hangs(&self) {
        self.0.hangs.store(true, Ordering::SeqCst);
    }

    /// From now on a claim is answered that long after it was made.
    pub(crate) fn claims_take(&self, time: Duration) {
        *self.0.claims_take.lock().unwrap() = time;
    }

    /// From now on an organization's subscriptions are told that long after they were read.
    pub(crate) fn readings_take(&self, time: Duration) {
        *self.0.readings_take.lock().unwrap() = time;
    }

    /// From now on it has nothing due, and says so at once.
    pub(crate) fn is_empty(&self) {
        self.0.is_empty.store(true, Ordering::SeqCst);
    }

    /// A batch that settles this delivery is refused, now and ever.
    pub(crate) fn refuses(&self, delivery: DeliveryId) {
        self.0.refused.lock().unwrap().push(delivery);
    }

    pub(crate) fn claims(&self) -> u32 {
        self.0.claims.load(Ordering::SeqCst)
    }

    pub(crate) fn settles(&self) -> u32 {
        self.0.settles.load(Ordering::SeqCst)
    }

    pub(crate) fn looks(&self) -> u32 {
        self.0.looks.load(Ordering::SeqCst)
    }

    /// How often an organization's subscriptions were read.
    pub(crate) fn readings(&self) -> u32 {
        self.0.readings.load(Ordering::SeqCst)
    }

    async fn hang(&self) {
        if self.0.hangs.load(Ordering::SeqCst) {
            std::future::pending().await
        }
    }
}

fn away() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the database is away")
}

impl<S: Store> Store for Watched<S> {
    async fn put_subscription(&self, subscription: &Subscription) -> Result<(), StoreError> {
        self.0.store.put_subscription(subscription).await
    }

    async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        self.0.store.subscription(id).await
    }

    async fn subscriptions(&self, organization: &str) -> Result<Vec<Subscription>, StoreError> {
        self.0.readings.fetch_add(1, Ordering::SeqCst);
        let read = self.0.store.subscriptions(organization).await;
        let time = *self.0.readings_take.lock().unwrap();
        tokio::time::sleep(time).await;
        read
    }

    async fn subscription_ids(
        &self,
        after: Option<SubscriptionId>,
        limit: u32,
    ) -> Result<Vec<SubscriptionId>, StoreError> {
        self.0.store.subscription_ids(after, limit).await
    }

    async fn replace_subscription(
        &self,
        seen: &Subscription,
        subscription: &Subscription,
    ) -> Result<bool, StoreError> {
        self.0.store.replace_subscription(seen, subscription).await
    }

    async fn set_subscription_status(
        &self,
        id: SubscriptionId,
        status: &SubscriptionStatus,
    ) -> Result<bool, StoreError> {
        self.0.store.set_subscription_status(id, status).await
    }

    async fn insert(&self, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        self.troubled(Call::Insert, self.0.store.insert(events)).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Claims, StoreError> {
        self.0.claims.fetch_add(1, Ordering::SeqCst);
        self.hang().await;
        if self.0.claims_fail.load(Ordering::SeqCst) {
            return Err(away());
        }
        if self.0.is_empty.load(Ordering::SeqCst) {
            return Ok(Claims::default());
        }
        let claims = self.troubled(Call::Claim, self.0.store.claim(claim)).await;
        let time = *self.0.claims_take.lock().unwrap();
        tokio::time::sleep(time).await;
        claims
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        self.0.settles.fetch_add(1, Ordering::SeqCst);
        self.hang().await;
        let fails = &self.0.settlements_fail;
        if fails.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(away());
        }
        let refused = self.0.refused.lock().unwrap().clone();
        if settlements.iter().any(|settlement| refused.contains(&settlement.delivery)) {
            return Err(StoreError::new(StoreErrorKind::Backend, "the store refuses this one"));
        }
        let told = self.troubled(Call::Settle, self.0.store.settle(settlements)).await?;
        Ok(if self.0.settlements_are_mute.load(Ordering::SeqCst) { Vec::new() } else { told })
    }

    async fn look(&self, now: OffsetDateTime, limit: u32) -> Result<Look, StoreError> {
        self.0.looks.fetch_add(1, Ordering::SeqCst);
        self.hang().await;
        if self.0.looks_fail.load(Ordering::SeqCst) {
            return Err(away());
        }
        if self.0.is_empty.load(Ordering::SeqCst) {
            return Ok(Look::default());
        }
        self.troubled(Call::Look, self.0.store.look(now, limit)).await
    }

    async fn extend(
        &self,
        leases: &[(DeliveryId, Lease)],
        now: OffsetDateTime,
        lease: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        self.0.store.extend(leases, now, lease).await
    }

    async fn put_health(
        &self,
        id: SubscriptionId,
        seen: &Health,
        health: &Health,
    ) -> Result<bool, StoreError> {
        self.0.store.put_health(id, seen, health).await
    }

    async fn delete_subscription(&self, id: SubscriptionId, now: OffsetDateTime) -> Result<bool, StoreError> {
        self.0.store.delete_subscription(id, now).await
    }

    async fn cancel(&self, id: DeliveryId, now: OffsetDateTime) -> Result<bool, StoreError> {
        self.0.store.cancel(id, now).await
    }

    async fn replay(&self, replay: &Replay, now: OffsetDateTime, limit: u32) -> Result<Replayed, StoreError> {
        self.0.store.replay(replay, now, limit).await
    }

    async fn expunge(
        &self,
        organization: &str,
        event: &EventId,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        self.0.store.expunge(organization, event, now).await
    }

    async fn prune(&self, retention: &Retention, now: OffsetDateTime, limit: u32) -> Result<u64, StoreError> {
        self.0.store.prune(retention, now, limit).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        self.0.store.delivery(id).await
    }

    async fn deliveries(
        &self,
        subscription: SubscriptionId,
        after: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.0.store.deliveries(subscription, after, limit).await
    }

    async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        self.0.store.attempts(delivery).await
    }
}
