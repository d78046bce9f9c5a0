//! The store as a process of a crowd sees it: calls take time, it is away for a while, and rows cannot be
//! read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookwire::delivery::Next;
use hookwire::store::implement::{
    Claim, Claims, HealthWritten, Inserted, NewEvent, Poll, Polled, Settled, Settlement, StoreId, Subscribed,
    Unreadable,
};
use hookwire::store::{Lease, StoreErrorKind};
use hookwire::subscription::Health;
use hookwire::{
    Attempt, DeadReason, DeliveryId, DisabledReason, ErrorClass, MemoryStore, Outcome, Store, StoreError,
    Subscription, SubscriptionId,
};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

use super::breakage::Breakage;
use super::endpoints::Stage;
use super::platforms::platforms;
use crate::simulation::dice::Dice;

#[derive(Clone)]
pub(super) struct Connection {
    pub(super) inner: Arc<MemoryStore>,
    pub(super) stage: Stage,
    pub(super) start: Instant,
    pub(super) dice: Dice,
    pub(super) breakage: Option<Breakage>,
    /// When the store is away.
    pub(super) away: Option<(Duration, Duration)>,
    /// The deliveries that cannot be read at one of their claims, in thousandths.
    pub(super) unreadable: u64,
    /// How often each delivery could not be read, at the cost of an attempt.
    pub(super) unread: Arc<Mutex<BTreeMap<DeliveryId, u32>>>,
    /// Whether inserts lease, so that an outbox can hand over to the dispatcher of its process.
    pub(super) leases: bool,
    /// How many deliveries inserts have leased.
    pub(super) handed_over: Arc<AtomicUsize>,
}

impl Connection {
    /// Carries out a call after this many milliseconds.
    async fn after<T>(
        &self,
        millis: u64,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        sleep(Duration::from_millis(millis)).await;
        let now = self.start.elapsed();
        if self.away.is_some_and(|(from, until)| from <= now && now < until) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "the store is away"));
        }
        call.await
    }

    fn breaks(&self, breakage: Breakage) -> bool {
        self.breakage == Some(breakage)
    }

    /// Makes some of the deliveries unreadable: their row, or their subscription's.
    fn spoil(&self, claims: &mut Claims, now: OffsetDateTime) {
        let mut at = 0;
        while at < claims.deliveries.len() {
            let claimed = &claims.deliveries[at];
            let is_known = self.unread.lock().unwrap().contains_key(&claimed.delivery);
            if is_known || !self.dice.permille(self.unreadable) {
                at += 1;
                continue;
            }
            let is_its_own = self.dice.percent(50);
            *self.unread.lock().unwrap().entry(claimed.delivery).or_default() += u32::from(is_its_own);
            let claimed = claims.deliveries.remove(at);
            let error = StoreError::new(StoreErrorKind::Backend, "the row cannot be read");
            let row = Unreadable::new(claimed.delivery, claimed.lease, error)
                .with_attempt(claimed.attempt, claimed.first_attempt_at);
            let of = claimed.subscription.id;
            if !is_its_own {
                self.stage.scene().keeps_back(of, now);
            }
            claims.unreadable.push(if is_its_own { row } else { row.by_subscription(of) });
        }
    }

    async fn claim_broken(&self, claim: &Claim) -> Result<Claims, StoreError> {
        let mut claim = claim.clone();
        if self.breaks(Breakage::ClaimsEveryContract) {
            claim.contracts = names();
        }
        if self.breaks(Breakage::ClaimsMoreThanTheShare) {
            claim.shares.iter_mut().for_each(|share| share.limit *= 100);
        }
        while self.breaks(Breakage::WaitsForTheSilent) && self.is_waiting() {
            sleep(Duration::from_millis(100)).await;
        }
        let mut claims = self.inner.claim(&claim).await?;
        if self.breaks(Breakage::ReadsTheNewestVersion) {
            let scene = self.stage.scene();
            for claimed in &mut claims.deliveries {
                let newest = scene
                    .bodies
                    .iter()
                    .find(|(_, (event, _, version))| *event == claimed.event && version == "v2");
                if let Some((body, _)) = newest {
                    claimed.row.payload = body.clone();
                }
            }
        }
        let has_retries = claims.deliveries.iter().any(|claimed| claimed.attempt > 1);
        if self.breaks(Breakage::ClaimsRetriesLate) && has_retries {
            sleep(Duration::from_secs(3)).await;
        }
        Ok(claims)
    }

    fn is_waiting(&self) -> bool {
        self.stage.scene().silent.iter().any(|(now, _)| *now > 0)
    }

    fn broken(&self, settlement: &Settlement) -> Settlement {
        let mut broken = settlement.clone();
        match (self.breakage, settlement.next, settlement.log()) {
            (Some(Breakage::SpendsAttemptsOnOwnFaults), Next::Retry { after, .. }, None)
                if !after.is_zero() =>
            {
                let ours = Outcome::Failed(ErrorClass::Internal);
                let attempt = Attempt::new(1, settlement.now, Duration::ZERO, ours);
                let (key, lease, next) = (settlement.key, settlement.lease, settlement.next);
                return Settlement::new(key, lease, attempt, next, settlement.now);
            }
            (Some(Breakage::RetriesEarly), Next::Retry { after, .. }, Some(_)) => {
                broken.next = Next::retry(after / 2);
            }
            (Some(Breakage::GivesUpEarly), Next::Retry { .. }, Some(_)) => {
                broken.next = Next::dead(DeadReason::Exhausted);
            }
            _ => {}
        }
        broken
    }
}

/// The names of all contracts.
fn names() -> Vec<String> {
    platforms().iter().map(|platform| platform.versions.newest().name().to_owned()).collect()
}

impl Store for Connection {
    fn id(&self) -> Option<StoreId> {
        self.inner.id().filter(|_| self.leases)
    }

    async fn subscriptions(&self, organization: &str) -> Result<Subscribed, StoreError> {
        self.after(1, self.inner.subscriptions(organization)).await
    }

    async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        self.after(1, self.inner.subscription(id)).await
    }

    async fn insert(&self, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        // While the store is away, every other answer is lost after the insert was carried out.
        let is_lost = self.leases && self.dice.percent(50);
        let answer = self.after(1, self.inner.insert(events)).await;
        if answer.is_err() && is_lost {
            self.inner.insert(events).await?;
        }
        let mut inserted = answer?;
        for inserted in &mut inserted {
            self.handed_over.fetch_add(inserted.leased.len(), Ordering::Relaxed);
            if self.breaks(Breakage::LosesWhatIsHandedOver) {
                inserted.leased.clear();
            }
        }
        Ok(inserted)
    }

    async fn look(&self, poll: &Poll) -> Result<Polled, StoreError> {
        let mut poll = poll.clone();
        if self.breaks(Breakage::ClaimsEveryContract) {
            poll.contracts = names();
        }
        self.after(1, self.inner.look(&poll)).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Claims, StoreError> {
        let mut claims = self.after(2, self.claim_broken(claim)).await?;
        self.spoil(&mut claims, claim.now);
        Ok(claims)
    }

    async fn extend(
        &self,
        leases: &[(DeliveryId, Lease)],
        lease: Duration,
        now: OffsetDateTime,
    ) -> Result<Vec<Settled>, StoreError> {
        self.after(1, self.inner.extend(leases, lease, now)).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        let broken: Vec<_> = settlements.iter().map(|settlement| self.broken(settlement)).collect();
        self.after(1, self.inner.settle(&broken)).await
    }

    async fn put_health(
        &self,
        id: SubscriptionId,
        seen: &Health,
        health: &Health,
        disable: Option<DisabledReason>,
        now: OffsetDateTime,
    ) -> Result<HealthWritten, StoreError> {
        self.after(1, self.inner.put_health(id, seen, health, disable, now)).await
    }

    async fn expire(&self, age: Duration, limit: u32, now: OffsetDateTime) -> Result<u64, StoreError> {
        let age = match self.breakage {
            Some(Breakage::ExpiresNothing) => return Ok(0),
            Some(Breakage::ExpiresEarly) => age / 2,
            _ => age,
        };
        self.after(1, self.inner.expire(age, limit, now)).await
    }
}
