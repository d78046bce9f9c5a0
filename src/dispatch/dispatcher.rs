//! [`Dispatcher`]: claims due deliveries, has them attempted, settles what came of them.

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, FusedFuture, select};
use http::HeaderMap;
use time::OffsetDateTime;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::address::AddressPolicy;
use crate::clock::{Clock, SystemClock};
use crate::contract::Contract;
use crate::delivery::Next;
use crate::dispatch::attempt::{Ended, Sender};
use crate::dispatch::clock::{AttemptTime, SharedClock};
use crate::dispatch::erased::ErasedStore;
use crate::dispatch::flight::{Flight, Room};
use crate::dispatch::health;
use crate::dispatch::housekeeping::{self, Housekeeping};
use crate::dispatch::lanes::{End, Lanes, Taken};
use crate::dispatch::observer::{Observer, observe, observe_change};
use crate::dispatch::sealing::Keys;
use crate::dispatch::telemetry;
use crate::dispatch::wake::{News, Wake};
use crate::id::SubscriptionId;
use crate::pause::{LONGEST_PAUSE, Pause, after};
use crate::store::{Claim, Claims, Look, Retention, Settled, Settlement, Store, StoreError};
use crate::subscription::TokenSource;
use crate::transport::{HttpClient, Limits};

/// Claims due deliveries, signs and sends them, and settles what came of each under the contract.
///
/// [`run`](Self::run) is a future for the application's own runtime; [`step`](Self::step) is for those who drive it
/// themselves. A dispatcher keeps nothing that matters: what it has claimed and not settled is due again when the lease ends,
/// so a crash costs a repeated attempt and never an event.
pub struct Dispatcher {
    store: Arc<dyn ErasedStore>,
    sender: Arc<Sender>,
    clock: SharedClock,
    wake: Wake,
    lanes: Mutex<Lanes>,
    observer: Option<Arc<dyn Observer>>,
    thresholds: Vec<Duration>,
    batch: u32,
    in_flight: usize,
    lease: Option<Duration>,
    poll: Duration,
    drain: Duration,
    housekeeping: Option<Housekeeping>,
}

impl Dispatcher {
    /// A dispatcher that delivers what `store` holds through `client`, as `contract` has it.
    ///
    /// It claims 100 deliveries at a time, has 256 in flight and 64 of one subscription, denies addresses as
    /// [`AddressPolicy::new`] does, and keeps the first 1,024 bytes of each answer.
    pub fn new(store: impl Store + 'static, client: impl HttpClient + 'static, contract: Contract) -> Self {
        let limits = Limits::new(contract.timeout());
        let sender = Sender {
            client: Arc::new(client),
            contract: Arc::new(contract),
            limits,
            excerpt: 1024,
            tokens: None,
            keys: Keys::default(),
        };
        Self {
            store: Arc::new(store),
            sender: Arc::new(sender),
            clock: SharedClock::new(SystemClock),
            wake: Wake::new(),
            lanes: Mutex::new(Lanes::new(64)),
            observer: None,
            thresholds: DEFAULT_THRESHOLDS.to_vec(),
            batch: 100,
            in_flight: 256,
            lease: None,
            poll: Duration::from_secs(5),
            drain: Duration::from_secs(30),
            housekeeping: None,
        }
    }

    /// The same dispatcher under another policy for addresses.
    pub fn with_address_policy(mut self, policy: AddressPolicy) -> Self {
        self.sender_mut().limits.addresses = policy;
        self
    }

    /// The same dispatcher, woken by `wake`, which an [`Outbox`](crate::dispatch::Outbox) of the same process holds.
    pub fn with_wake(mut self, wake: &Wake) -> Self {
        self.wake = wake.clone();
        self
    }

    /// The same dispatcher, reading another clock.
    pub fn with_clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = SharedClock::new(clock);
        self
    }

    /// The same dispatcher, claiming `batch` deliveries at a time (at least one).
    pub fn with_batch(mut self, batch: u32) -> Self {
        self.batch = batch.max(1);
        self
    }

    /// The same dispatcher, with at most `attempts` under way at once (at least one).
    pub fn with_max_in_flight(mut self, attempts: usize) -> Self {
        self.in_flight = attempts.max(1);
        self
    }

    /// The same dispatcher, with at most `attempts` of one subscription under way at once (at least one), unless the subscription
    /// has a cap of its own. The default is 64. With as many as [may be under way in all](Self::with_max_in_flight), an endpoint
    /// that hangs takes the room of all others until it is known to fail.
    pub fn with_max_in_flight_per_subscription(self, attempts: u32) -> Self {
        self.lanes().set_cap(attempts.max(1));
        self
    }

    /// The same dispatcher, asking `tokens` for the bearer tokens of subscriptions that want them
    /// ([`Authentication::BearerFromSource`](crate::Authentication::BearerFromSource)), within the attempt's deadline.
    pub fn with_token_source(mut self, tokens: impl TokenSource + 'static) -> Self {
        self.sender_mut().tokens = Some(Arc::new(tokens));
        self
    }

    /// The same dispatcher, telling `observer` what happens.
    pub fn with_observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// The same dispatcher, telling its observer when an endpoint has failed for each of these. The default is an hour and a
    /// day.
    pub fn with_failing_thresholds(mut self, thresholds: impl IntoIterator<Item = Duration>) -> Self {
        self.thresholds = thresholds.into_iter().collect();
        self
    }

    /// The same dispatcher, claiming deliveries for `lease` (10 ms or longer). Until a lease ends, a crashed dispatcher's deliveries
    /// wait; while it runs it extends the leases of what it sends, every third of this time. One that cannot for longer than a
    /// lease, as where its process is stopped, has an attempt made twice. The default is the contract's time-out and 30 s.
    pub fn with_lease(mut self, lease: Duration) -> Self {
        // One that has ended before the store answers is handed back, again and again.
        self.lease = Some(lease.max(SOON));
        self
    }

    /// The same dispatcher, looking at the store at least every `interval` (10 ms or longer), woken or not. The default
    /// is 5 s.
    pub fn with_poll_interval(mut self, interval: Duration) -> Self {
        self.poll = interval.max(SOON);
        self
    }

    /// The same dispatcher, giving what is in flight at a shutdown this long to end. The default is 30 s.
    pub fn with_drain_deadline(mut self, deadline: Duration) -> Self {
        self.drain = deadline;
        self
    }

    /// The same dispatcher, deleting what `retention` no longer wants beside its deliveries, in short batches: while it
    /// [runs](Self::run), every ten minutes. The default keeps everything for ever.
    ///
    /// One of several dispatchers is enough; more do no harm.
    pub fn with_retention(self, retention: Retention) -> Self {
        self.with_retention_every(retention, housekeeping::DEFAULT_INTERVAL)
    }

    /// The same dispatcher, deleting what `retention` no longer wants every `interval` (a second or longer).
    pub fn with_retention_every(mut self, retention: Retention, interval: Duration) -> Self {
        self.housekeeping = Some(Housekeeping { retention, interval: interval.max(Duration::from_secs(1)) });
        self
    }

    /// The same dispatcher, keeping the first `bytes` of each answer in the attempt log. The default is 1,024.
    pub fn with_response_excerpt(mut self, bytes: usize) -> Self {
        let sender = self.sender_mut();
        sender.excerpt = bytes;
        sender.limits.body_cap = sender.limits.body_cap.max(bytes);
        self
    }

    /// Delivers one batch of what is due at `now`, and returns when all of it is settled. Time stands still within a step.
    ///
    /// # Errors
    ///
    /// The store's. What was attempted and could not be settled is due again when its lease ends.
    pub async fn step(&self, now: OffsetDateTime) -> Result<Step, StoreError> {
        self.look(now).await?;
        let shares = self.lanes().shares(now, self.batch);
        let claims = self.claim(&Claim::new(now, self.lease(), shares)).await?;
        let room = Room::of(&self.lanes, &claims.deliveries);
        let time = AttemptTime::Still(now);
        let mut ended: Vec<_> =
            claims.unreadable.iter().map(|unreadable| self.sender.unreadable(unreadable, now)).collect();
        let attempts = claims
            .deliveries
            .into_iter()
            .map(async |claimed| self.sender.attempt(claimed, &time, &mut HeaderMap::new()).await);
        ended.extend(futures_util::future::join_all(attempts).await);
        room.ended();
        {
            let mut lanes = self.lanes();
            ended.iter_mut().for_each(|ended| ended.leave(&mut lanes));
        }
        let mut step = Step::default();
        let settled = self.settle(&ended).await?;
        for (ended, settled) in ended.iter().zip(settled) {
            match (settled, &ended.settlement.next) {
                (Settled::Stale, _) => step.stale += 1,
                (Settled::Done, Next::Delivered) => step.delivered += 1,
                (Settled::Done, Next::Retry { .. }) => step.retried += 1,
                (Settled::Done, Next::Dead { .. }) => step.dead += 1,
            }
        }
        let later = self.look(now).await?;
        let opening = self.lanes().opening(&later.ready, now);
        step.next_due = opening.into_iter().chain(later.wait).min();
        Ok(step)
    }

    /// Delivers until `shutdown` is ready, then stops claiming, gives what is in flight the drain's time, and hands the rest
    /// back.
    ///
    /// A store that cannot be reached is asked again, at growing intervals up to 5 s; what was attempted meanwhile is
    /// kept and settled when it can be. A single settlement that the store refuses while it takes others is given up: its
    /// delivery is due again when its lease ends. A store that answers nothing more is left when the drain's time is over.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        let housekeeping = async {
            match self.housekeeping {
                Some(housekeeping) => housekeeping.keep(&*self.store, &self.clock).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.deliver(shutdown) => {}
            never = housekeeping => match never {},
        }
    }

    async fn deliver(&self, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = pin!(shutdown.fuse());
        let mut flight = Flight::of(&self.lanes, &self.sender, &self.clock);
        let mut pause = Pause::default();
        let mut look_at = Instant::now();
        let mut extend_at = after(self.lease() / 3);
        // Waiting for the store, the shutdown may have been seen already.
        while !shutdown.is_terminated() {
            let lanes = self.lanes_at(&flight);
            let work_at =
                if flight.ended.is_empty() { lanes.map(|at| at.max(pause.until)) } else { Some(pause.until) };
            let extend = (!flight.leases.is_empty()).then_some(extend_at);
            let due = work_at.into_iter().chain([look_at.max(pause.until)]).chain(extend).min();
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                news = self.wake.woken() => self.hear(news, &mut look_at),
                () = flight.crew.reported() => {}
                () = sleep_until(due.unwrap_or(look_at)) => {}
            }
            // Who is about to end, or to emit, does so first: a turn for many costs little more than one for a single delivery.
            yield_now().await;
            flight.gather();
            self.forget(&mut flight);
            telemetry::in_flight(flight.leases.len());
            // Not given up at once: what a claim has leased waits for the end of its lease if nobody starts it.
            tokio::select! {
                biased;
                () = self.work(&mut flight, &mut pause, &mut look_at, &mut extend_at) => {}
                () = self.out_of_patience(&mut shutdown) => {}
            }
        }
        self.drain(flight, extend_at).await;
    }

    /// Frees the room of attempts that panicked.
    fn forget(&self, flight: &mut Flight<'_>) {
        for id in flight.lost.drain(..) {
            self.lanes().ended(id, self.clock.now(), End::Ours);
        }
    }

    /// Ready when the store has had the drain's time to answer since the shutdown.
    async fn out_of_patience(&self, shutdown: impl Future<Output = ()>) {
        shutdown.await;
        sleep(self.drain).await;
    }

    /// One settlement together with one claim, then one look, as far as they are due: what ends meanwhile goes into the next.
    async fn work(
        &self,
        flight: &mut Flight<'_>,
        pause: &mut Pause,
        look_at: &mut Instant,
        extend_at: &mut Instant,
    ) {
        if pause.until <= Instant::now() {
            if let Some(retry) = self.turn(flight, pause).await {
                *look_at = (*look_at).min(after(retry));
            }
            if flight.leases.is_empty() {
                *extend_at = after(self.lease() / 3);
            }
            if pause.until.max(*look_at) <= Instant::now() {
                *look_at = self.look_around(pause).await;
            }
        }
        if *extend_at <= Instant::now() {
            self.extend(flight).await;
            *extend_at = after(self.lease() / 3);
        }
    }

    /// When a lane may claim for which there is room.
    fn lanes_at(&self, flight: &Flight<'_>) -> Option<Instant> {
        if flight.len() >= self.in_flight {
            return None;
        }
        let now = self.clock.now();
        self.lanes().wait(now).map(after)
    }

    fn hear(&self, news: News, look_at: &mut Instant) {
        self.lanes().found(news.subscriptions, self.clock.now());
        if news.look {
            *look_at = Instant::now();
        }
    }

    /// Asks the store who has something due; tells when to ask again.
    async fn look_around(&self, pause: &mut Pause) -> Instant {
        match self.look(self.clock.now()).await {
            Ok(look) => {
                pause.reset();
                let wait = look.wait.map_or(self.poll, |wait| wait.min(self.poll));
                // With more than one look can tell, the next one comes soon.
                let more = look.ready.len() >= LOOK_LIMIT as usize;
                after(if more { SOON } else { wait.max(SOON) })
            }
            Err(error) => {
                telemetry::store_failed("look", &error);
                pause.lengthen();
                pause.until
            }
        }
    }

    async fn look(&self, now: OffsetDateTime) -> Result<Look, StoreError> {
        let look = self.store.look_dyn(now, LOOK_LIMIT).await?;
        let mut lanes = self.lanes();
        lanes.tick(now);
        lanes.found(look.ready.iter().copied(), now);
        Ok(look)
    }

    /// Settles what ended, claims what there is room for and starts its attempts; tells how soon the first of what was settled
    /// is tried again.
    ///
    /// Both at once, so that a store that gathers what it writes has them in one transaction.
    async fn turn(&self, flight: &mut Flight<'_>, pause: &mut Pause) -> Option<Duration> {
        if flight.is_refused {
            // What a store does not take down it is not asked for either: sent, it would be sent in vain.
            let retry = self.land(flight, pause).await;
            if !flight.is_refused {
                let claiming = self.claiming(flight.len());
                let claims = self.claim(&claiming.claim).await;
                if self.take_off(flight, pause, &claiming, claims) {
                    pause.reset();
                }
            }
            return retry;
        }
        // What is being settled leaves its room to what is claimed meanwhile.
        let claiming = self.claiming(flight.leases.len());
        if claiming.claim.shares.is_empty() {
            let has_ended = !flight.ended.is_empty();
            let retry = self.land(flight, pause).await;
            if has_ended && !flight.is_refused {
                pause.reset();
            }
            return retry;
        }
        let settling = flight.settle();
        let (settled, is_claimed) = {
            let (mut settle, mut claim) = (pin!(self.settle(&settling)), pin!(self.claim(&claiming.claim)));
            match select(settle.as_mut(), claim.as_mut()).await {
                Either::Left((settled, claim)) => {
                    let claims = claim.await;
                    (settled, self.take_off(flight, pause, &claiming, claims))
                }
                Either::Right((claims, settle)) => {
                    // On their way before what is slow to be settled.
                    let is_claimed = self.take_off(flight, pause, &claiming, claims);
                    (settle.await, is_claimed)
                }
            }
        };
        drop(settling);
        let retry = self.landed(flight, pause, settled).await;
        if is_claimed && !flight.is_refused {
            pause.reset();
        }
        retry
    }

    /// Settles what ended; tells how soon the first of it is tried again.
    async fn land(&self, flight: &mut Flight<'_>, pause: &mut Pause) -> Option<Duration> {
        let settling = flight.settle();
        let settled = self.settle(&settling).await;
        drop(settling);
        self.landed(flight, pause, settled).await
    }

    /// What to claim while this many are under way.
    fn claiming(&self, under_way: usize) -> Claiming {
        let now = self.clock.now();
        let room = u32::try_from(self.in_flight.saturating_sub(under_way)).unwrap_or(u32::MAX);
        let mut lanes = self.lanes();
        lanes.tick(now);
        let shares = lanes.shares(now, self.batch.min(room));
        Claiming { claim: Claim::new(now, self.lease(), shares), asked: Instant::now() }
    }

    /// Starts the attempts of what was claimed. What was answered after its lease had ended is handed back: somebody else may be
    /// sending it. `false` when the claim failed.
    fn take_off(
        &self,
        flight: &mut Flight<'_>,
        pause: &mut Pause,
        claiming: &Claiming,
        claims: Result<Claims, StoreError>,
    ) -> bool {
        let claims = match claims {
            Ok(claims) => claims,
            Err(error) => {
                telemetry::store_failed("claim", &error);
                pause.lengthen();
                return false;
            }
        };
        for unreadable in &claims.unreadable {
            flight.land(self.sender.unreadable(unreadable, claiming.claim.now));
        }
        let is_late = claiming.asked.elapsed() >= self.lease();
        for claimed in claims.deliveries {
            if is_late {
                let settlement = Settlement::hand_back(claimed.delivery, claimed.lease, self.clock.now());
                flight.land(Ended::new(settlement, Some(claimed)));
                continue;
            }
            flight.begin(claimed);
        }
        true
    }

    async fn claim(&self, claim: &Claim) -> Result<Claims, StoreError> {
        let Claim { now, ref shares, .. } = *claim;
        if shares.is_empty() {
            return Ok(Claims::default());
        }
        let claims = match self.store.claim_dyn(claim).await {
            Ok(claims) => claims,
            Err(error) => {
                self.lanes().not_claimed(now, shares);
                return Err(error);
            }
        };
        let mut taken: HashMap<SubscriptionId, Taken> = HashMap::new();
        let mut lanes = self.lanes();
        for claimed in &claims.deliveries {
            let taken = taken.entry(claimed.subscription.id).or_default();
            if taken.count == 0 {
                lanes.learn(&claimed.subscription, now);
            }
            taken.count += 1;
            taken.last_due_at = taken.last_due_at.max(claimed.due_at);
        }
        lanes.claimed(now, shares, &taken);
        if !claims.unreadable.is_empty() {
            // Whose they are may be what cannot be read; there may be more behind them.
            lanes.found(shares.iter().map(|share| share.subscription), now);
        }
        Ok(claims)
    }

    /// Takes what was settled off the list; tells how soon the first of it is tried again.
    async fn landed(
        &self,
        flight: &mut Flight<'_>,
        pause: &mut Pause,
        settled: Result<Vec<Settled>, StoreError>,
    ) -> Option<Duration> {
        match settled {
            Ok(_) if flight.settling.is_empty() => None,
            Ok(_) => {
                flight.is_refused = false;
                let settled = flight.settled();
                let retries = settled.iter().filter_map(|ended| match ended.settlement.next {
                    Next::Retry { after } => Some(after),
                    _ => None,
                });
                retries.min()
            }
            Err(error) => {
                telemetry::store_failed("settle", &error);
                flight.unsettled();
                flight.is_refused = true;
                if error.is_retryable() {
                    pause.lengthen();
                } else {
                    self.land_each(flight, pause).await;
                }
                None
            }
        }
    }

    /// Settles one by one what was refused as a batch, so that one that cannot be written costs no others.
    async fn land_each(&self, flight: &mut Flight<'_>, pause: &mut Pause) {
        let mut refused = Vec::new();
        let mut settled = false;
        while let Some(ended) = flight.ended.pop() {
            match self.settle(std::slice::from_ref(&ended)).await {
                Ok(_) => settled = true,
                Err(error) if error.is_retryable() => {
                    flight.ended.push(ended);
                    break;
                }
                Err(_) => refused.push(ended),
            }
        }
        if settled && flight.ended.is_empty() {
            // Those that it refuses while it takes others are given up.
            flight.is_refused = false;
            pause.reset();
            return;
        }
        // A store that refuses everything is at fault itself: kept, it stops the dispatcher from sending ever more in vain.
        flight.ended.append(&mut refused);
        pause.lengthen();
    }

    /// Writes down what ended, then what it says of the endpoints, then tells the observer.
    async fn settle(&self, ended: &[Ended]) -> Result<Vec<Settled>, StoreError> {
        if ended.is_empty() {
            return Ok(Vec::new());
        }
        let settlements: Vec<_> = ended.iter().map(|ended| ended.settlement.clone()).collect();
        let settled = self.store.settle_dyn(&settlements).await?;
        telemetry::settled(ended, &settled);
        // What was not written is told of nobody: the delivery is another dispatcher's, or was told when it was written.
        let told = ended.iter().zip(&settled).filter(|(_, settled)| **settled == Settled::Done);
        let written = told.map(|(ended, _)| ended);
        let runs = health::Runs::of(written.clone());
        self.lanes().found(written.clone().filter_map(Ended::lets_another_go), self.clock.now());
        // The attempts are written; health that cannot be is caught up with by the next attempt.
        let recorded = runs.record(&*self.store, &self.sender.contract, &self.thresholds).await;
        let changes = recorded.unwrap_or_else(|error| {
            telemetry::store_failed("put_health", &error);
            Vec::new()
        });
        if let Some(observer) = &self.observer {
            for ended in written {
                observe(&**observer, ended);
            }
            for (id, change) in changes {
                observe_change(&**observer, id, &change);
            }
        }
        Ok(settled)
    }

    async fn extend(&self, flight: &Flight<'_>) {
        if flight.leases.is_empty() {
            return;
        }
        let leases: Vec<_> =
            flight.leased().into_iter().map(|leased| (leased.delivery, leased.lease)).collect();
        // One that cannot be extended now may be at the next turn; otherwise its settlement will be stale.
        if let Err(error) = self.store.extend_dyn(&leases, self.clock.now(), self.lease()).await {
            telemetry::store_failed("extend", &error);
        }
    }

    async fn drain(&self, mut flight: Flight<'_>, mut extend_at: Instant) {
        let deadline = after(self.drain);
        while !flight.leases.is_empty() {
            tokio::select! {
                biased;
                () = flight.crew.reported() => flight.gather(),
                () = sleep_until(deadline) => break,
                () = sleep_until(extend_at) => {
                    // What is still being sent is nobody else's until then.
                    drop(timeout_at(deadline, self.extend(&flight)).await);
                    extend_at = after(self.lease() / 3);
                }
            }
        }
        // What was being settled when the patience ended, too.
        flight.unsettled();
        // Waited for, so that what is handed back is no longer being sent; not for long, as a client may block its thread.
        drop(timeout_at(after(ABORT), flight.crew.stop()).await);
        flight.gather();
        let now = self.clock.now();
        for leased in flight.leased() {
            self.lanes().ended(leased.subscription, now, End::Ours);
            let settlement = Settlement::hand_back(leased.delivery, leased.lease, now);
            flight.land(Ended::new(settlement, None));
        }
        flight.leases.clear();
        // A store that stays away does not keep the process: the leases end by themselves.
        let give_up = after(LONGEST_PAUSE);
        let mut pause = Pause::default();
        while !flight.ended.is_empty() && Instant::now() < give_up {
            let settled = async {
                pause.over().await;
                self.land(&mut flight, &mut pause).await;
            };
            if timeout_at(give_up, settled).await.is_err() {
                return;
            }
        }
    }

    pub(super) fn sender_mut(&mut self) -> &mut Sender {
        Arc::make_mut(&mut self.sender)
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        // What a panic left behind is at worst a lane that is asked once more.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lease(&self) -> Duration {
        self.lease.unwrap_or_else(|| self.sender.limits.deadline.saturating_add(LEASE_MARGIN))
    }
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").field("contract", &self.sender.contract.name()).finish_non_exhaustive()
    }
}

/// A claim, and when it was made.
struct Claiming {
    claim: Claim,
    asked: Instant,
}

/// What one [`Dispatcher::step`] did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Step {
    /// Deliveries that an endpoint took.
    pub delivered: usize,
    /// Deliveries that are tried again later.
    pub retried: usize,
    /// Deliveries that became dead letters.
    pub dead: usize,
    /// Attempts whose lease had ended, so that nothing was written of them.
    pub stale: usize,
    /// How long after the step's time the next delivery is due; nothing when none is pending.
    pub next_due: Option<Duration>,
}

/// What a lease has beyond the attempt's own deadline, for signing, waiting for a thread and settling.
const LEASE_MARGIN: Duration = Duration::from_secs(30);
const DEFAULT_THRESHOLDS: [Duration; 2] = [Duration::from_secs(3_600), Duration::from_secs(86_400)];
/// How many subscriptions one look may tell.
const LOOK_LIMIT: u32 = 1_000;
/// How long aborted attempts may take to end.
const ABORT: Duration = Duration::from_secs(1);
/// Looks are never closer to each other than this.
const SOON: Duration = Duration::from_millis(10);
