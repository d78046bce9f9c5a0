//! A store that counts its calls and fails on demand, on top of a real one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use hookwire::store::implement::{
    Claim, Claims, HealthWritten, Inserted, NewEvent, Poll, Polled, Settled, Settlement, StoreId, Subscribed,
};
use hookwire::store::{Lease, StoreErrorKind};
use hookwire::subscription::Health;
use hookwire::{DeliveryId, DisabledReason, Store, StoreError, Subscription, SubscriptionId};
use time::OffsetDateTime;
use tokio::sync::Notify;

use crate::stores::Tested;

/// Clones share the store.
pub(crate) struct Watched<S>(Arc<Shared<S>>);

struct Shared<S> {
    store: Arc<S>,
    claims: AtomicU32,
    inserts: AtomicU32,
    inserted_leased: AtomicU32,
    handed_back: AtomicU32,
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
    health_refused: Mutex<Option<SubscriptionId>>,
    troubles: Mutex<HashMap<Call, Trouble>>,
    struck: Notify,
    let_go: Notify,
}

/// A kind of call that may meet trouble.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Call {
    Insert,
    Look,
    Claim,
    Settle,
}

/// The trouble of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// The call has no effect and returns an error.
    Fails,
    /// The call takes effect and returns an error.
    AnswerLost,
    /// The caller is blocked before the call takes effect, or after it.
    StopsBefore,
    StopsAfter,
    /// The call takes effect once [`Watched::let_go`] is called.
    Waits,
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
            inserts: AtomicU32::new(0),
            inserted_leased: AtomicU32::new(0),
            handed_back: AtomicU32::new(0),
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
            health_refused: Mutex::default(),
            troubles: Mutex::default(),
            struck: Notify::new(),
            let_go: Notify::new(),
        }))
    }

    /// Lets the next call of this kind meet `trouble`.
    pub(crate) fn meets(&self, call: Call, trouble: Trouble) {
        self.0.troubles.lock().unwrap().insert(call, trouble);
    }

    /// Waits until a call has met its trouble.
    pub(crate) async fn struck(&self) {
        self.0.struck.notified().await;
    }

    /// Lets a call go on that waits.
    pub(crate) fn let_go(&self) {
        self.0.let_go.notify_one();
    }

    async fn troubled<T>(
        &self,
        call: Call,
        carried_out: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let Some(trouble) = self.0.troubles.lock().unwrap().remove(&call) else { return carried_out.await };
        if matches!(trouble, Trouble::Waits) {
            self.0.struck.notify_one();
            self.0.let_go.notified().await;
            return carried_out.await;
        }
        let told = match trouble {
            Trouble::Fails | Trouble::StopsBefore => Err(away()),
            Trouble::AnswerLost | Trouble::StopsAfter | Trouble::Waits => {
                carried_out.await.and_then(|_| Err(away()))
            }
        };
        self.0.struck.notify_one();
        match trouble {
            Trouble::StopsBefore | Trouble::StopsAfter => std::future::pending().await,
            Trouble::Fails | Trouble::AnswerLost | Trouble::Waits => told,
        }
    }

    /// Lets the next `times` settlements find the database unavailable.
    pub(crate) fn settlements_fail(&self, times: u32) {
        self.0.settlements_fail.store(times, Ordering::SeqCst);
    }

    /// Executes settlements from now on without reporting their results.
    pub(crate) fn settlements_are_mute(&self) {
        self.0.settlements_are_mute.store(true, Ordering::SeqCst);
    }

    pub(crate) fn looks_fail(&self, fail: bool) {
        self.0.looks_fail.store(fail, Ordering::SeqCst);
    }

    pub(crate) fn claims_fail(&self, fail: bool) {
        self.0.claims_fail.store(fail, Ordering::SeqCst);
    }

    /// Lets no claim and no settlement end from now on.
    pub(crate) fn hangs(&self) {
        self.0.hangs.store(true, Ordering::SeqCst);
    }

    /// Delays the answers of claims from now on.
    pub(crate) fn claims_take(&self, time: Duration) {
        *self.0.claims_take.lock().unwrap() = time;
    }

    /// Delays the answers of subscription reads from now on.
    pub(crate) fn readings_take(&self, time: Duration) {
        *self.0.readings_take.lock().unwrap() = time;
    }

    /// Reports nothing due from now on, without asking the store.
    pub(crate) fn is_empty(&self) {
        self.0.is_empty.store(true, Ordering::SeqCst);
    }

    /// Refuses every batch that settles this delivery, from now on.
    pub(crate) fn refuses(&self, delivery: DeliveryId) {
        self.0.refused.lock().unwrap().push(delivery);
    }

    /// Lets no health of this subscription be written from now on, and that of others again.
    pub(crate) fn refuses_health_of(&self, subscription: SubscriptionId) {
        *self.0.health_refused.lock().unwrap() = Some(subscription);
    }

    pub(crate) fn claims(&self) -> u32 {
        self.0.claims.load(Ordering::SeqCst)
    }

    pub(crate) fn inserts(&self) -> u32 {
        self.0.inserts.load(Ordering::SeqCst)
    }

    /// How many deliveries inserts have leased.
    pub(crate) fn inserted_leased(&self) -> u32 {
        self.0.inserted_leased.load(Ordering::SeqCst)
    }

    /// How many settlements handed a delivery back untried.
    pub(crate) fn handed_back(&self) -> u32 {
        self.0.handed_back.load(Ordering::SeqCst)
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
    fn id(&self) -> Option<StoreId> {
        self.0.store.id()
    }

    async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        self.0.store.subscription(id).await
    }

    async fn subscriptions(&self, organization: &str) -> Result<Subscribed, StoreError> {
        self.0.readings.fetch_add(1, Ordering::SeqCst);
        let read = self.0.store.subscriptions(organization).await;
        let time = *self.0.readings_take.lock().unwrap();
        tokio::time::sleep(time).await;
        read
    }

    async fn insert(&self, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        self.0.inserts.fetch_add(1, Ordering::SeqCst);
        let inserted = self.troubled(Call::Insert, self.0.store.insert(events)).await?;
        let leased: usize = inserted.iter().map(|inserted| inserted.leased.len()).sum();
        self.0.inserted_leased.fetch_add(u32::try_from(leased).unwrap(), Ordering::SeqCst);
        Ok(inserted)
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
        if settlements.iter().any(|settlement| refused.contains(&settlement.key)) {
            return Err(StoreError::new(StoreErrorKind::Backend, "the store refuses this one"));
        }
        let told = self.troubled(Call::Settle, self.0.store.settle(settlements)).await?;
        let handed_back = settlements.iter().filter(|settlement| settlement.attempt.is_none()).count();
        self.0.handed_back.fetch_add(u32::try_from(handed_back).unwrap(), Ordering::SeqCst);
        Ok(if self.0.settlements_are_mute.load(Ordering::SeqCst) { Vec::new() } else { told })
    }

    async fn look(&self, poll: &Poll) -> Result<Polled, StoreError> {
        self.0.looks.fetch_add(1, Ordering::SeqCst);
        self.hang().await;
        if self.0.looks_fail.load(Ordering::SeqCst) {
            return Err(away());
        }
        if self.0.is_empty.load(Ordering::SeqCst) {
            return Ok(Polled::default());
        }
        self.troubled(Call::Look, self.0.store.look(poll)).await
    }

    async fn extend(
        &self,
        leases: &[(DeliveryId, Lease)],
        lease: Duration,
        now: OffsetDateTime,
    ) -> Result<Vec<Settled>, StoreError> {
        self.0.store.extend(leases, lease, now).await
    }

    async fn put_health(
        &self,
        id: SubscriptionId,
        seen: &Health,
        health: &Health,
        disable: Option<DisabledReason>,
        now: OffsetDateTime,
    ) -> Result<HealthWritten, StoreError> {
        if *self.0.health_refused.lock().unwrap() == Some(id) {
            return Err(away());
        }
        self.0.store.put_health(id, seen, health, disable, now).await
    }

    async fn expire(&self, age: Duration, limit: u32, now: OffsetDateTime) -> Result<u64, StoreError> {
        self.0.store.expire(age, limit, now).await
    }
}

impl<S: Tested> Tested for Watched<S> {
    type Plain = S::Plain;

    fn plain(&self) -> &S::Plain {
        self.0.store.plain()
    }
}
