//! [`Dispatcher`]: claims due deliveries, has them attempted, settles what came of them.

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::FusedFuture;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::address::AddressPolicy;
use crate::clock::{Clock, SystemClock};
use crate::contract::Contract;
use crate::delivery::Next;
use crate::dispatch::Wake;
use crate::dispatch::attempt::Sender;
use crate::dispatch::clock::{AttemptTime, SharedClock};
use crate::dispatch::erased::ErasedStore;
use crate::id::DeliveryId;
use crate::store::{Claim, Claims, Lease, Settled, Settlement, Store, StoreError};
use crate::transport::{HttpClient, Limits};

/// Claims due deliveries, signs and sends them, and settles what came of each under the contract.
///
/// [`run`](Self::run) is a future for the application's own runtime; [`step`](Self::step) is for those who drive it
/// themselves. A dispatcher keeps nothing that matters: what it has claimed and not settled is due again when the lease ends,
/// so a crash costs a repeated attempt and never an event.
pub struct Dispatcher {
    store: Arc<dyn ErasedStore>,
    sender: Sender,
    clock: SharedClock,
    wake: Wake,
    batch: u32,
    in_flight: usize,
    lease: Option<Duration>,
    poll: Duration,
    drain: Duration,
}

impl Dispatcher {
    /// A dispatcher that delivers what `store` holds through `client`, as `contract` has it.
    ///
    /// It claims 100 deliveries at a time and has 256 in flight, denies addresses as [`AddressPolicy::new`] does, and keeps
    /// the first 1,024 bytes of each answer.
    pub fn new(store: impl Store + 'static, client: impl HttpClient + 'static, contract: Contract) -> Self {
        let limits = Limits::new(contract.timeout());
        let sender = Sender { client: Arc::new(client), contract: Arc::new(contract), limits, excerpt: 1024 };
        Self {
            store: Arc::new(store),
            sender,
            clock: SharedClock::new(SystemClock),
            wake: Wake::new(),
            batch: 100,
            in_flight: 256,
            lease: None,
            poll: Duration::from_secs(5),
            drain: Duration::from_secs(30),
        }
    }

    /// The same dispatcher under another policy for addresses.
    pub fn with_address_policy(mut self, policy: AddressPolicy) -> Self {
        self.sender.limits = self.sender.limits.with_addresses(policy);
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

    /// The same dispatcher, claiming deliveries for `lease`. Until a lease ends, a crashed dispatcher's deliveries wait; a lease
    /// that is shorter than an attempt has it made twice. The default is the contract's time-out and 30 s.
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// The same dispatcher, looking at the store at least every `interval` (10 ms or longer), woken or not. The default
    /// is 5 s.
    pub fn with_poll_interval(mut self, interval: Duration) -> Self {
        self.poll = interval.max(SHORTEST_POLL);
        self
    }

    /// The same dispatcher, giving what is in flight at a shutdown this long to end. The default is 30 s.
    pub fn with_drain_deadline(mut self, deadline: Duration) -> Self {
        self.drain = deadline;
        self
    }

    /// The same dispatcher, keeping the first `bytes` of each answer in the attempt log. The default is 1,024.
    pub fn with_response_excerpt(mut self, bytes: usize) -> Self {
        self.sender.excerpt = bytes;
        self.sender.limits.body_cap = self.sender.limits.body_cap.max(bytes);
        self
    }

    /// Delivers one batch of what is due at `now`, and returns when all of it is settled. Time stands still within a step.
    ///
    /// # Errors
    ///
    /// The store's. What was attempted and could not be settled is due again when its lease ends.
    pub async fn step(&self, now: OffsetDateTime) -> Result<Step, StoreError> {
        let claims = self.store.claim_dyn(&Claim::new(now, self.batch, self.lease())).await?;
        let time = AttemptTime::Still(now);
        let mut settlements: Vec<_> = claims
            .unreadable
            .iter()
            .map(|unreadable| self.sender.unreadable(unreadable, time.clone()))
            .collect();
        let attempts =
            claims.deliveries.into_iter().map(|claimed| self.sender.attempt(claimed, time.clone()));
        settlements.extend(futures_util::future::join_all(attempts).await);
        let settled = self.store.settle_dyn(&settlements).await?;
        let mut step = Step { next_due: self.store.next_due_dyn(now).await?, ..Step::default() };
        for (settlement, settled) in settlements.iter().zip(settled) {
            match (settled, &settlement.next) {
                (Settled::Stale, _) => step.stale += 1,
                (Settled::Done, Next::Delivered) => step.delivered += 1,
                (Settled::Done, Next::Retry { .. }) => step.retried += 1,
                (Settled::Done, Next::Dead { .. }) => step.dead += 1,
            }
        }
        Ok(step)
    }

    /// Delivers until `shutdown` is ready, then stops claiming, gives what is in flight the drain's time, and hands the rest
    /// back.
    ///
    /// A store that cannot be reached is asked again, at growing intervals up to 5 s; what was attempted meanwhile is
    /// kept and settled when it can be. A single settlement that the store refuses while it takes others is given up: its
    /// delivery is due again when its lease ends. A store that answers nothing more is left when the drain's time is over.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = pin!(shutdown.fuse());
        let mut flight = Flight::default();
        let mut pause = Pause::default();
        let mut look_at = Instant::now();
        // Waiting for the store, the shutdown may have been seen already.
        while !shutdown.is_terminated() {
            let room = self.in_flight.saturating_sub(flight.tasks.len() + flight.ended.len());
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                // What ended goes into the store in batches: while one is written, the next one gathers.
                () = pause.over(), if !flight.ended.is_empty() => {
                    tokio::select! {
                        biased;
                        () = self.settle(&mut flight, &mut pause) => {}
                        () = self.out_of_patience(&mut shutdown) => {}
                    }
                }
                ended = flight.tasks.join_next(), if !flight.tasks.is_empty() => flight.end(ended),
                () = self.wake.woken(), if room > 0 => look_at = Instant::now(),
                () = sleep_until(look_at.max(pause.until)), if room > 0 => {
                    // Not given up at once: what a claim has leased waits for the end of its lease if nobody starts it.
                    tokio::select! {
                        biased;
                        then = self.take_off(room, &mut flight, &mut pause) => look_at = then,
                        () = self.out_of_patience(&mut shutdown) => {}
                    }
                }
            }
        }
        self.drain(flight).await;
    }

    /// Ready when the store has had the drain's time to answer since the shutdown.
    async fn out_of_patience(&self, shutdown: impl Future<Output = ()>) {
        shutdown.await;
        sleep(self.drain).await;
    }

    /// Claims up to `room` deliveries and starts their attempts; tells when to look again.
    async fn take_off(&self, room: usize, flight: &mut Flight, pause: &mut Pause) -> Instant {
        let limit = self.batch.min(u32::try_from(room).unwrap_or(u32::MAX));
        let now = self.clock.now();
        let looked = async {
            let claims = self.store.claim_dyn(&Claim::new(now, limit, self.lease())).await?;
            let taken = claims.deliveries.len() + claims.unreadable.len();
            self.start(claims, flight);
            if taken == limit as usize {
                return Ok(Duration::ZERO);
            }
            let next_due = self.store.next_due_dyn(now).await?;
            Ok::<_, StoreError>(next_due.map_or(self.poll, |due| due.min(self.poll)))
        };
        match looked.await {
            Ok(wait) => {
                pause.reset();
                after(wait)
            }
            Err(_) => {
                pause.lengthen();
                pause.until
            }
        }
    }

    fn start(&self, claims: Claims, flight: &mut Flight) {
        for unreadable in &claims.unreadable {
            flight.ended.push(self.sender.unreadable(unreadable, AttemptTime::Running(self.clock.clone())));
        }
        for claimed in claims.deliveries {
            let sender = self.sender.clone();
            let time = AttemptTime::Running(self.clock.clone());
            flight.leases.insert(claimed.delivery, claimed.lease);
            flight.tasks.spawn(async move { sender.attempt(claimed, time).await });
        }
    }

    async fn settle(&self, flight: &mut Flight, pause: &mut Pause) {
        while let Some(ended) = flight.tasks.try_join_next() {
            flight.end(Some(ended));
        }
        match self.store.settle_dyn(&flight.ended).await {
            Ok(_) => {
                flight.ended.clear();
                pause.reset();
            }
            Err(error) if error.is_retryable() => pause.lengthen(),
            Err(_) => self.settle_each(flight, pause).await,
        }
    }

    /// Settles one by one what was refused as a batch, so that one that cannot be written costs no others.
    async fn settle_each(&self, flight: &mut Flight, pause: &mut Pause) {
        let mut refused = Vec::new();
        let mut settled = false;
        while let Some(settlement) = flight.ended.pop() {
            match self.store.settle_dyn(std::slice::from_ref(&settlement)).await {
                Ok(_) => settled = true,
                Err(error) if error.is_retryable() => {
                    flight.ended.push(settlement);
                    break;
                }
                Err(_) => refused.push(settlement),
            }
        }
        if settled && flight.ended.is_empty() {
            pause.reset();
            return;
        }
        // A store that refuses everything is at fault itself: kept, it stops the dispatcher from sending ever more in vain.
        flight.ended.append(&mut refused);
        pause.lengthen();
    }

    async fn drain(&self, mut flight: Flight) {
        let deadline = after(self.drain);
        while !flight.tasks.is_empty() {
            tokio::select! {
                ended = flight.tasks.join_next() => flight.end(ended),
                () = sleep_until(deadline) => break,
            }
        }
        while let Some(ended) = flight.tasks.try_join_next() {
            flight.end(Some(ended));
        }
        // Joined, so that what is handed back is no longer being sent; not for long, as a client may block its thread.
        flight.tasks.abort_all();
        let aborted = after(ABORT);
        while let Ok(Some(ended)) = timeout_at(aborted, flight.tasks.join_next()).await {
            flight.end(Some(ended));
        }
        let now = self.clock.now();
        let handed_back =
            flight.leases.iter().map(|(delivery, lease)| Settlement::hand_back(*delivery, *lease, now));
        flight.ended.extend(handed_back);
        // A store that stays away does not keep the process: the leases end by themselves.
        let give_up = after(LONGEST_PAUSE);
        let mut pause = Pause::default();
        while !flight.ended.is_empty() && Instant::now() < give_up {
            let settled = async {
                pause.over().await;
                self.settle(&mut flight, &mut pause).await;
            };
            if timeout_at(give_up, settled).await.is_err() {
                return;
            }
        }
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

/// Attempts under way, and those that ended and are not settled yet.
#[derive(Default)]
struct Flight {
    tasks: JoinSet<Settlement>,
    leases: HashMap<DeliveryId, Lease>,
    ended: Vec<Settlement>,
}

impl Flight {
    /// An attempt that was aborted keeps its lease here, to be handed back.
    fn end(&mut self, ended: Option<Result<Settlement, tokio::task::JoinError>>) {
        if let Some(Ok(settlement)) = ended {
            // A delivery whose lease ended too early may be under way a second time, under another lease.
            if self.leases.get(&settlement.delivery) == Some(&settlement.lease) {
                self.leases.remove(&settlement.delivery);
            }
            self.ended.push(settlement);
        }
    }
}

/// How long to leave a store alone that could not be reached.
struct Pause {
    until: Instant,
    next: Duration,
}

impl Pause {
    async fn over(&self) {
        sleep_until(self.until).await;
    }

    fn reset(&mut self) {
        *self = Self::default();
    }

    fn lengthen(&mut self) {
        self.until = Instant::now() + self.next;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
    }
}

impl Default for Pause {
    fn default() -> Self {
        Self { until: Instant::now(), next: FIRST_PAUSE }
    }
}

/// That long from now, or as good as never.
fn after(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or_else(|| now + FOREVER)
}

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Shorter ones would only keep the store and a processor busy.
const SHORTEST_POLL: Duration = Duration::from_millis(10);
/// How long aborted attempts may take to end.
const ABORT: Duration = Duration::from_secs(1);
/// For a wait beyond what an instant can hold.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// What a lease has beyond the attempt's own deadline, for signing, waiting for a thread and settling.
const LEASE_MARGIN: Duration = Duration::from_secs(30);
