//! [`Deliveries`]: a store's deliveries, as the lease engine works on them.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use http::HeaderMap;
use time::OffsetDateTime;

use crate::delivery::Next;
use crate::dispatch::attempt::Sender;
use crate::dispatch::clock::{AttemptTime, SharedClock};
use crate::dispatch::erased::ErasedStore;
use crate::dispatch::finished::Finished;
use crate::dispatch::hand_over::{HandOver, Recipient};
use crate::dispatch::health;
use crate::dispatch::observer::{Observer, observe, observe_age, observe_change};
use crate::dispatch::scheduling::{Scheduler, Taken};
use crate::dispatch::telemetry;
use crate::dispatch::wake::Wake;
use crate::id::{DeliveryId, SubscriptionId};
use crate::lease::{self, Call, Given, Runner, Settings, Source};
use crate::store::{Claim, Claims, Lease, Leased, Poll, Polled, Settled, Settlement, StoreError};

/// A store's deliveries, with what it takes to attempt them.
pub(super) struct Deliveries {
    pub(super) store: Arc<dyn ErasedStore>,
    pub(super) sender: Arc<Sender>,
    pub(super) clock: SharedClock,
    pub(super) wake: Wake,
    pub(super) hand_over: Arc<HandOver>,
    pub(super) observer: Option<Arc<dyn Observer>>,
    pub(super) thresholds: Vec<Duration>,
    pub(super) settings: Settings,
}

/// The lease of a delivery in flight.
pub(super) struct Held {
    delivery: DeliveryId,
    lease: Lease,
    subscription: SubscriptionId,
}

/// Carries out attempts. A task keeps the memory of an attempt's headers for the next one.
pub(super) struct Attempts {
    sender: Arc<Sender>,
    time: AttemptTime,
}

impl Runner for Attempts {
    type Work = Leased;
    type Output = [Finished; 1];
    type Scratch = HeaderMap;

    async fn run(&self, claimed: Leased, headers: &mut HeaderMap) -> [Finished; 1] {
        [self.sender.attempt(claimed, &self.time, headers).await]
    }
}

impl Source for Deliveries {
    type Runner = Attempts;
    type Finished = Finished;
    type Held = Held;
    type Claim = Claim;

    const SETTLES_WHILE_CLAIMING: bool = true;

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn runner(&self) -> Attempts {
        Attempts { sender: Arc::clone(&self.sender), time: AttemptTime::Running(self.clock.clone()) }
    }

    async fn given(&self) -> Vec<Given<Leased>> {
        let given = self.hand_over.given().await;
        if !given.is_empty() {
            let now = self.clock.now();
            let mut scheduler = self.scheduler();
            let leased = given.iter().flat_map(|given| &given.work);
            leased.for_each(|leased| scheduler.learn(&leased.subscription, now));
        }
        given
    }

    fn reserved(&self) -> usize {
        self.hand_over.reserved()
    }

    fn expects(&self) -> bool {
        self.hand_over.expects()
    }

    fn set_open(&self, is_open: bool) {
        self.hand_over.set_open(is_open);
    }

    fn close(&self) -> Vec<Given<Leased>> {
        self.hand_over.close()
    }

    async fn woken(&self) -> bool {
        let news = tokio::select! {
            news = self.wake.woken() => news,
            () = self.hand_over.unsure() => return true,
        };
        let now = self.clock.now();
        self.scheduler().woken(news.subscriptions, now);
        news.look
    }

    fn claims_in(&self) -> Option<Duration> {
        let now = self.clock.now();
        let wait = self.scheduler().wait(now)?;
        Some(wait.max(self.sender.faults.wait(now)))
    }

    fn plan(&self, room: usize) -> Option<Claim> {
        let now = self.clock.now();
        let claim = self.claim_at(now, Some(u32::try_from(room).unwrap_or(u32::MAX)));
        if claim.shares.is_empty() {
            return None;
        }
        self.sender.faults.began(now);
        Some(claim)
    }

    async fn claim(&self, claim: &Claim) -> Result<lease::Claimed<Self>, StoreError> {
        let granted = Granted { deliveries: self, claim: Some(claim) };
        let claims = self.store.claim_dyn(claim).await?;
        granted.used(&claims);
        let now = claim.now;
        let unreadable = claims.unreadable.iter().map(|unreadable| self.sender.unreadable(unreadable, now));
        let finished: Vec<_> = unreadable.collect();
        let mut scheduler = self.scheduler();
        for (subscription, wait) in finished.iter().filter_map(Finished::kept_back) {
            scheduler.keep_back(subscription, now + wait, now);
        }
        Ok(lease::Claimed { finished, work: claims.deliveries, is_last: false })
    }

    async fn look(&self) -> Result<Option<Duration>, StoreError> {
        let look = self.look_at(self.clock.now()).await?;
        // The look was cut by LOOK_LIMIT, so look again soon.
        let is_full = look.ready.len() >= LOOK_LIMIT as usize;
        Ok(if is_full { Some(Duration::ZERO) } else { look.wait })
    }

    async fn extend(&self, held: Vec<&Held>) -> Result<(), StoreError> {
        let leases: Vec<_> = held.into_iter().map(|held| (held.delivery, held.lease)).collect();
        self.store.extend_dyn(&leases, self.settings.lease, self.clock.now()).await.map(drop)
    }

    /// Settles attempts, then records what they say of the endpoints' health, then tells the observer.
    async fn settle(&self, finished: &[Finished]) -> Result<Vec<Settled>, StoreError> {
        if finished.is_empty() {
            return Ok(Vec::new());
        }
        let settlements: Vec<_> = finished.iter().map(|finished| finished.settlement.clone()).collect();
        let asked = finished.iter().map(|finished| &finished.asked);
        let settled = lease::settle(asked, self.store.settle_dyn(&settlements)).await?;
        telemetry::settled(finished, &settled);
        // The observer hears nothing of a stale settlement: another dispatcher has the delivery.
        let written = finished.iter().zip(&settled).filter(|(_, settled)| **settled == Settled::Done);
        let written = written.map(|(finished, _)| finished);
        let runs = health::Runs::of(written.clone());
        let now = self.clock.now();
        {
            let mut scheduler = self.scheduler();
            scheduler.found(written.clone().filter_map(Finished::lets_another_go), now);
            for (id, wait) in written.clone().filter_map(Finished::retries_after) {
                scheduler.retried(id, now, wait);
            }
        }
        // The attempts are written. If the health cannot be, the next attempt makes up for it.
        let changes = runs.record(&*self.store, &self.sender.contracts, &self.thresholds).await;
        written.clone().filter_map(Finished::fault_event).for_each(|fault| telemetry::own_fault(&fault));
        if let Some(observer) = &self.observer {
            written.for_each(|finished| observe(&**observer, finished));
            changes.iter().for_each(|(id, change)| observe_change(&**observer, *id, change));
        }
        Ok(settled)
    }

    fn failed(&self, call: Call, error: &StoreError) {
        let name = match call {
            Call::Look => "look",
            Call::Claim => "claim",
            Call::Extend => "extend",
            Call::Settle => "settle",
        };
        telemetry::store_failed(name, error);
    }

    fn held(claimed: &Leased) -> Held {
        Held { delivery: claimed.delivery, lease: claimed.lease, subscription: claimed.subscription.id }
    }

    fn retry_in(finished: &Finished) -> Option<Duration> {
        match finished.settlement.next {
            Next::Retry { after } => Some(after),
            _ => None,
        }
    }

    fn collected(&self, finished: &mut [Finished], in_flight: usize) {
        telemetry::in_flight(in_flight);
        let mut scheduler = self.scheduler();
        finished.iter_mut().for_each(|finished| finished.leave(&mut scheduler));
        telemetry::limited(scheduler.silent());
    }

    fn lost(&self, held: &Held) {
        self.scheduler().left(held.subscription);
    }

    fn hand_back(&self, held: Held, after: Duration) -> impl IntoIterator<Item = Finished> {
        self.lost(&held);
        let settlement = Settlement::hand_back(held.delivery, held.lease, self.clock.now());
        [Finished::new(settlement.with_delay(after).with_late(after), None)]
    }
}

impl Deliveries {
    /// The dispatcher as outboxes see it while it runs; `None` where its store never leases at an insert.
    pub(super) fn recipient(&self) -> Option<Recipient> {
        Some(Recipient {
            hand_over: Arc::clone(&self.hand_over),
            store: self.store.id_dyn()?,
            contracts: self.sender.contracts.names(),
            lease: self.settings.lease,
            clock: self.clock.clone(),
            faults: Arc::clone(&self.sender.faults),
        })
    }

    /// The claim to make at `now` with room for this many attempts, or else for any number.
    pub(super) fn claim_at(&self, now: OffsetDateTime, room: Option<u32>) -> Claim {
        let mut scheduler = self.scheduler();
        scheduler.tick(now);
        // Slots may have been reserved since the caller counted its room.
        let room = room.map_or(u32::MAX, |room| room.min(scheduler.free()));
        let room = self.sender.faults.room(room, now);
        let mut shares = scheduler.shares(now, self.settings.batch.min(room));
        for share in shares.iter_mut().filter(|share| self.sender.faults.is_kept(share.subscription)) {
            scheduler.lower(share, 1, now);
        }
        Claim::new(self.sender.contracts.names(), self.settings.lease, shares, now)
    }

    /// Asks the store which subscriptions have something due.
    pub(super) async fn look_at(&self, now: OffsetDateTime) -> Result<Polled, StoreError> {
        let poll = Poll::new(self.sender.contracts.names(), LOOK_LIMIT, now).with_lease(self.settings.lease);
        let look = self.store.look_dyn(&poll).await?;
        self.report_ages(&look);
        let mut scheduler = self.scheduler();
        scheduler.tick(now);
        scheduler.found(look.ready.iter().copied(), now);
        for details in &look.details {
            scheduler.know(details.subscription, Some(&details.organization), Some(details.is_failing), now);
        }
        Ok(look)
    }

    /// Reports for how long the oldest due delivery of each contract has waited. A look without room for all
    /// subscriptions says nothing of a contract that it leaves out.
    fn report_ages(&self, look: &Polled) {
        let is_whole = look.ready.len() < LOOK_LIMIT as usize;
        for terms in self.sender.contracts.iter() {
            let name = terms.contract.name();
            let age = look.oldest_due.iter().find(|(contract, _)| contract == name).map(|(_, age)| *age);
            if let Some(age) = age.or_else(|| is_whole.then_some(Duration::ZERO)) {
                telemetry::oldest_due(name, age);
                self.observer.iter().for_each(|observer| observe_age(&**observer, name, age));
            }
        }
    }

    /// Tells the scheduler how much a claim took of each subscription.
    fn learn(&self, claim: &Claim, claims: &Claims) {
        let mut taken: HashMap<SubscriptionId, Taken> = HashMap::new();
        let mut scheduler = self.scheduler();
        for claimed in &claims.deliveries {
            let taken = taken.entry(claimed.subscription.id).or_default();
            if taken.count == 0 {
                scheduler.learn(&claimed.subscription, claim.now);
            }
            taken.add(claimed.due_at, claimed.attempt > 1);
        }
        scheduler.claimed(claim.now, &claim.shares, &taken);
        if !claims.unreadable.is_empty() {
            // The subscription may be what cannot be read, and there may be more behind these rows.
            scheduler.found(claim.shares.iter().map(|share| share.subscription), claim.now);
        }
    }

    pub(super) fn scheduler(&self) -> MutexGuard<'_, Scheduler> {
        self.hand_over.scheduler()
    }
}

/// The slots that were granted to a claim. They are given back when the claim fails or is dropped.
struct Granted<'a> {
    deliveries: &'a Deliveries,
    claim: Option<&'a Claim>,
}

impl Granted<'_> {
    fn used(mut self, claims: &Claims) {
        if let Some(claim) = self.claim.take() {
            self.deliveries.learn(claim, claims);
        }
    }
}

impl Drop for Granted<'_> {
    fn drop(&mut self) {
        if let Some(claim) = self.claim {
            self.deliveries.scheduler().not_claimed(claim.now, &claim.shares);
        }
    }
}

/// How many subscriptions one look may name.
const LOOK_LIMIT: u32 = 1_000;
