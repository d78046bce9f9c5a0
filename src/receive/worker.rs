//! [`Worker`]: has kept requests handled, again and again until they are done or given up.
#![cfg(feature = "dispatch")]

use std::convert::Infallible;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{FusedFuture as _, join_all};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::clock::{Clock, SystemClock};
use crate::contract::Contract;
use crate::event::{DataError, Envelope, EventData};
use crate::pause::{LONGEST_PAUSE, Pause, after};
use crate::receive::bell::Bell;
use crate::receive::crew::{Crew, Ended};
use crate::receive::erased::ErasedIntake;
use crate::receive::incident::Incident;
use crate::receive::job::{Failure, Handle, Job, Told, handle};
use crate::receive::receiver::Receiver;
use crate::retry::RetryPolicy;
use crate::store::{
    Conclusion, InboxKey, Intake, Lease, NO_ATTEMPT_LEFT, RequestSettlement, Settled, StoreError, Take,
    Taken, TakenRequest,
};

/// Has the requests that a [`Receiver`] [keeps](Receiver::keep) handled, again and again until they are done or given up.
///
/// [`run`](Self::run) is a future for the application's own runtime; [`step`](Self::step) is for those who drive it themselves.
/// Any number of workers, in any number of processes, may share an intake. A worker keeps nothing that matters: what it took and
/// did not settle is due again when its lease ends.
///
/// Each event is handled at least once. It is handled twice where a process dies after its handler was done and before that
/// could be written down; a handler whose work must not be repeated makes its own writes unique by [`Job::key`]. Events are
/// begun in the order they were kept in, and handled beside each other: that order is only kept by a worker whose
/// [`with_max_concurrent`](Self::with_max_concurrent) is 1, and only while nothing fails.
///
/// A handler that fails or panics, or does not end [in time](Self::with_deadline), has cost the event an attempt, and so has a
/// process that dies under it. The next one comes when the [`RetryPolicy`] says so. An event that has none left is
/// given up: it stays in the intake with the reason ([`Intake::given_up`]) until somebody [puts it back](Intake::put_back) or
/// [closes it](Intake::close_given_up).
///
/// ```
/// use std::sync::Arc;
/// use hookwire::receive::{Arrival, Receiver};
/// use hookwire::{allison, Contract, DataError, Envelope, MemoryStore, Secret};
/// use http::Method;
/// use time::OffsetDateTime;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let contract = Contract::allison();
/// let secret = Secret::generate();
/// let store = Arc::new(MemoryStore::new());
/// let receiver = Receiver::signed(contract.clone(), &secret)?.with_intake(store);
///
/// // The slow part, which no sender waits for.
/// let worker = receiver.worker(async |event: Result<Envelope<allison::Event>, Box<DataError>>| {
///     let event = event?;
///     println!("{} happened at {}", event.event_type(), event.created_at);
///     Ok(())
/// });
///
/// // The quick part, as in `hookwire::receive::axum::keep`.
/// # let now = OffsetDateTime::now_utc();
/// # let sent = Envelope::new(allison::CallEnded::new("c1"));
/// # let body = contract.encode(&sent)?;
/// # let headers = contract.signer(&secret)?.sign(sent.id.as_str(), now, &body)?;
/// receiver.keep(&Method::POST, &Arrival::new(&headers), &body, now).await?;
///
/// // In an application: `tokio::spawn(async move { worker.run(shutdown).await })`.
/// assert_eq!(worker.step(now).await?.done, 1);
/// # Ok(()) }
/// ```
pub struct Worker {
    intake: Arc<dyn ErasedIntake>,
    handle: Handle,
    queue: String,
    remember: Duration,
    retry: RetryPolicy,
    clock: Arc<dyn Clock>,
    bell: Arc<Bell>,
    observer: Option<Arc<Observer>>,
    batch: usize,
    concurrent: usize,
    lease: Duration,
    deadline: Duration,
    poll: Duration,
    drain: Duration,
}

type Observer = dyn Fn(&Incident<'_>) + Send + Sync;

impl<I: Intake + Clone + 'static> Receiver<I> {
    /// A worker for what this receiver keeps, woken whenever it has kept something.
    ///
    /// The handler is of the form that [`answer`](Self::answer) takes: it gets the envelope, or what did not fit where an event
    /// of a known type has data that does not. Types other than `T`, where `T` is one type's data, are done without it.
    pub fn worker<T, F, R>(&self, handler: F) -> Worker
    where
        T: EventData + Send + 'static,
        F: Fn(Result<Envelope<T>, Box<DataError>>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.wake(Worker::new(self.contract().clone(), self.intake().clone(), handler))
    }

    /// [`worker`](Self::worker) with a handler that takes up to `size` events at once, and tells of each whether it was handled,
    /// in the order given.
    pub fn worker_in_batches<T, F, R>(&self, size: usize, handler: F) -> Worker
    where
        T: EventData + Send + 'static,
        F: Fn(Vec<Job<T>>) -> R + Send + Sync + 'static,
        R: Future<Output = Vec<Result<(), Failure>>> + Send + 'static,
    {
        self.wake(Worker::in_batches(self.contract().clone(), self.intake().clone(), size, handler))
    }

    fn wake(&self, worker: Worker) -> Worker {
        Worker { bell: Arc::clone(&self.bell), ..worker.with_queue(&*self.source) }
    }
}

impl Worker {
    /// A worker without a receiver, as for a process of its own: for what a receiver of this contract keeps in `intake`.
    ///
    /// It has 16 events handled at once, leases them for a minute and extends that while they are handled, and tries each up to 12
    /// times within some six hours. [`Receiver::worker`] tells what the handler gets.
    pub fn new<T, F, R>(contract: Contract, intake: impl Intake + 'static, handler: F) -> Self
    where
        T: EventData + Send + 'static,
        F: Fn(Result<Envelope<T>, Box<DataError>>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let handler = move |mut jobs: Vec<Job<T>>| {
            let handled = jobs.pop().map(|job| handler(job.event));
            async move {
                match handled {
                    Some(handled) => vec![handled.await],
                    None => Vec::new(),
                }
            }
        };
        Self::in_batches(contract, intake, 1, handler)
    }

    /// [`new`](Self::new) with a handler that takes up to `size` events at once (at least one), and tells of each whether it was
    /// handled, in the order given.
    ///
    /// One that panics, or does not end in time, has cost each event of its batch an attempt; and so has one that tells
    /// of fewer those that it does not tell of.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use hookwire::receive::{Job, Worker};
    /// use hookwire::{allison, Contract, MemoryStore};
    ///
    /// let store = Arc::new(MemoryStore::new());
    /// let worker = Worker::in_batches(Contract::allison(), store, 100, async |jobs: Vec<Job<allison::Event>>| {
    ///     // As in one statement for all of them.
    ///     jobs.into_iter().map(|job| Ok(job.event.map(drop)?)).collect()
    /// });
    /// # let _ = worker;
    /// ```
    pub fn in_batches<T, F, R>(
        contract: Contract,
        intake: impl Intake + 'static,
        size: usize,
        handler: F,
    ) -> Self
    where
        T: EventData + Send + 'static,
        F: Fn(Vec<Job<T>>) -> R + Send + Sync + 'static,
        R: Future<Output = Vec<Result<(), Failure>>> + Send + 'static,
    {
        Self {
            intake: Arc::new(intake),
            queue: contract.name().to_owned(),
            remember: contract.dedupe_window(),
            handle: handle(contract, handler),
            retry: RetryPolicy::exponential(Duration::from_secs(5), 3.0)
                .with_max_delay(Duration::from_secs(3_600))
                .with_max_attempts(12)
                .build()
                .expect("invariant: the delays are bounded"),
            clock: Arc::new(SystemClock),
            bell: Arc::default(),
            observer: None,
            batch: size.max(1),
            concurrent: 16,
            lease: Duration::from_secs(60),
            deadline: Duration::from_secs(600),
            poll: Duration::from_secs(1),
            drain: Duration::from_secs(30),
        }
    }

    /// The same worker, for what a receiver of another [source](Receiver::with_source) keeps. The default is the contract's name;
    /// [`Receiver::worker`] knows its own.
    pub fn with_queue(mut self, source: impl Into<String>) -> Self {
        self.queue = source.into();
        self
    }

    /// The same worker, trying again as `policy` says.
    pub fn with_retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// The same worker, telling `observer` what goes wrong: on its own task, after it was written down. A panic costs the call and
    /// nothing more.
    ///
    /// ```
    /// # use hookwire::{receive::Worker, Contract, DataError, Envelope, MemoryStore, RawEvent};
    /// # let handler = async |_: Result<Envelope<RawEvent>, Box<DataError>>| Ok(());
    /// let worker = Worker::new(Contract::allison(), MemoryStore::new(), handler)
    ///     .with_observer(|incident| eprintln!("{incident}"));
    /// # let _ = worker;
    /// ```
    pub fn with_observer(mut self, observer: impl Fn(&Incident<'_>) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// The same worker, reading another clock.
    pub fn with_clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The same worker, with this many calls of the handler under way at once (at least one).
    pub fn with_max_concurrent(mut self, calls: usize) -> Self {
        self.concurrent = calls.max(1);
        self
    }

    /// The same worker, taking requests for `lease`. Until a lease ends, what a crashed worker had taken waits; while it
    /// runs it extends the leases of what is handled, every third of this time.
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// The same worker, giving a call of the handler this long before it is dropped and counts as failed. The default is 10
    /// minutes.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same worker, looking for work at least every `interval` (10 ms or longer), woken or not. The default is 1 s.
    pub fn with_poll_interval(mut self, interval: Duration) -> Self {
        self.poll = interval.max(SOON);
        self
    }

    /// The same worker, giving handlers that are under way at a shutdown this long to end. The default is 30 s.
    pub fn with_drain_deadline(mut self, deadline: Duration) -> Self {
        self.drain = deadline;
        self
    }

    /// Has what is due at `now` handled, as far as there may be at once, and returns when all of it is settled. Time stands still
    /// within a step.
    ///
    /// # Errors
    ///
    /// The intake's. What was handled and could not be settled is due again when its lease ends.
    pub async fn step(&self, now: OffsetDateTime) -> Result<Worked, StoreError> {
        let taken = self.intake.take_dyn(&self.wish(now, self.concurrent)).await?;
        self.tell_given_up(&taken);
        let mut ended = unreadable(&taken, now);
        let calls = chunks(taken.requests, self.batch).map(|taken| self.call(taken).handle(|| now));
        ended.extend(join_all(calls).await.into_iter().flatten());
        let mut worked = Worked { given_up: taken.given_up.len(), ..Worked::default() };
        for (ended, settled) in ended.iter().zip(self.settle(&ended).await?) {
            match (settled, &ended.settlement.conclusion) {
                (Settled::Stale, _) => worked.stale += 1,
                (Settled::Done, Conclusion::Done { .. }) => worked.done += 1,
                (Settled::Done, Conclusion::GiveUp { .. }) => worked.given_up += 1,
                (Settled::Done, Conclusion::Retry { .. } | Conclusion::HandBack) => worked.retried += 1,
            }
        }
        worked.next_due = self.intake.next_due_dyn(&self.queue, now).await?;
        Ok(worked)
    }

    /// Works until `shutdown` is ready, then takes nothing more, gives what is being handled the drain's time, and hands the rest
    /// back at once.
    ///
    /// An intake that cannot be reached is asked again, at growing intervals up to 5 s; what was handled meanwhile is settled
    /// when it can be. Beside its work it forgets, in short batches every ten minutes, what is done and was remembered for long
    /// enough.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        tokio::select! {
            () = self.work(shutdown) => {}
            never = self.prune() => match never {},
        }
    }

    async fn work(&self, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = pin!(shutdown.fuse());
        let mut crew = Crew::default();
        let mut plan = Plan::new(self.lease);
        let mut rung = 0;
        // Waiting for the intake, the shutdown may have been seen already.
        while !shutdown.is_terminated() {
            let wake_at = plan.wake_at(&crew, crew.room(self.concurrent, self.batch));
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                times = self.bell.rung_since(rung) => {
                    rung = times;
                    plan.is_due = true;
                }
                ended = crew.tasks.join_next_with_id(), if !crew.tasks.is_empty() => crew.end(ended),
                () = sleep_until(wake_at) => {}
            }
            crew.gather();
            // Not given up at once: what was taken waits for the end of its lease if nobody begins with it.
            tokio::select! {
                biased;
                () = self.turn(&mut crew, &mut plan) => {}
                () = self.out_of_patience(&mut shutdown) => {}
            }
        }
        self.finish(crew, plan.extend_at).await;
    }

    /// One settlement, one taking, one look, as far as they are due: what ends while one is written goes into the next.
    async fn turn(&self, crew: &mut Crew, plan: &mut Plan) {
        if plan.may_ask() {
            self.land(crew, plan).await;
        }
        if crew.is_idle() {
            plan.extend_at = after(self.lease / 3);
        }
        let room = crew.room(self.concurrent, self.batch);
        // What an intake does not take down it is not asked for either: handled, it would be handled in vain.
        if room > 0 && plan.is_due && plan.may_ask() {
            self.take(crew, plan, room).await;
        }
        if room > 0 && !plan.is_due && plan.look_at <= Instant::now() && plan.may_ask() {
            self.look(plan).await;
        }
        if plan.extend_at <= Instant::now() {
            self.extend(crew).await;
            plan.extend_at = after(self.lease / 3);
        }
    }

    /// Takes what there is room for, and has it handled.
    async fn take(&self, crew: &mut Crew, plan: &mut Plan, room: usize) {
        let now = self.clock.now();
        let wish = self.wish(now, room);
        let asked = Instant::now();
        let taken = match self.intake.take_dyn(&wish).await {
            Ok(taken) => taken,
            Err(error) => {
                self.observe(&Incident::Intake { call: "take", error: &error });
                plan.pause.lengthen();
                return;
            }
        };
        plan.pause.reset();
        self.tell_given_up(&taken);
        crew.ended.extend(unreadable(&taken, now));
        let count = taken.requests.len() + taken.given_up.len() + taken.unreadable.len();
        plan.is_due = count >= wish.limit as usize;
        if !plan.is_due {
            plan.look_at = after(SOON);
        }
        // The leases ended before the intake answered: somebody else may have taken them by now.
        let is_late = asked.elapsed() >= self.lease;
        for taken in chunks(taken.requests, self.batch) {
            if is_late {
                crew.ended.extend(taken.iter().map(|taken| hand_back(key_of(taken), self.clock.now())));
                continue;
            }
            let held = taken.iter().map(key_of).collect();
            let call = self.call(taken);
            let clock = Arc::clone(&self.clock);
            crew.begin(held, call.handle(move || clock.now()));
        }
    }

    /// Asks when there is work.
    async fn look(&self, plan: &mut Plan) {
        match self.intake.next_due_dyn(&self.queue, self.clock.now()).await {
            Ok(Some(Duration::ZERO)) => plan.is_due = true,
            Ok(wait) => {
                plan.pause.reset();
                plan.look_at = after(wait.map_or(self.poll, |wait| wait.min(self.poll)).max(SOON));
            }
            Err(error) => {
                self.observe(&Incident::Intake { call: "next_due", error: &error });
                plan.pause.lengthen();
            }
        }
    }

    /// Settles what ended.
    async fn land(&self, crew: &mut Crew, plan: &mut Plan) {
        if crew.ended.is_empty() {
            return;
        }
        match self.settle(&crew.ended).await {
            Ok(_) => {
                let retries = crew.ended.iter().filter_map(|ended| match &ended.settlement.conclusion {
                    Conclusion::Retry { after, .. } => Some(*after),
                    _ => None,
                });
                if let Some(soonest) = retries.min() {
                    plan.look_at = plan.look_at.min(after(soonest));
                }
                crew.ended.clear();
                plan.pause.reset();
            }
            Err(error) => {
                self.observe(&Incident::Intake { call: "settle_taken", error: &error });
                if error.is_retryable() {
                    plan.pause.lengthen();
                } else {
                    self.land_each(crew, plan).await;
                }
            }
        }
    }

    /// Settles one by one what was refused as a batch, so that one that cannot be written costs no others: it is due again when
    /// its lease ends.
    async fn land_each(&self, crew: &mut Crew, plan: &mut Plan) {
        let mut refused = Vec::new();
        let mut is_any_settled = false;
        while let Some(ended) = crew.ended.pop() {
            match self.settle(std::slice::from_ref(&ended)).await {
                Ok(_) => is_any_settled = true,
                Err(error) if error.is_retryable() => {
                    crew.ended.push(ended);
                    break;
                }
                Err(_) => refused.push(ended),
            }
        }
        if is_any_settled && crew.ended.is_empty() {
            plan.pause.reset();
            return;
        }
        // An intake that refuses everything is at fault itself: kept, it stops the worker from taking ever more in vain.
        crew.ended.append(&mut refused);
        plan.pause.lengthen();
    }

    async fn settle(&self, ended: &[Ended]) -> Result<Vec<Settled>, StoreError> {
        if ended.is_empty() {
            return Ok(Vec::new());
        }
        let settlements: Vec<_> = ended.iter().map(|ended| ended.settlement.clone()).collect();
        let settled = self.intake.settle_taken_dyn(&settlements).await?;
        for (Ended { settlement, attempt }, settled) in ended.iter().zip(&settled) {
            let key = &settlement.key;
            match (settled, &settlement.conclusion) {
                (Settled::Stale, _) => self.observe(&Incident::Stale { key }),
                (Settled::Done, Conclusion::Retry { after, reason }) => {
                    let (attempt, retry_after) = (*attempt, *after);
                    self.observe(&Incident::Failed { key, attempt, reason, retry_after });
                }
                (Settled::Done, Conclusion::GiveUp { reason }) => {
                    self.observe(&Incident::GivenUp { key, reason });
                }
                (Settled::Done, Conclusion::Done { .. } | Conclusion::HandBack) => {}
            }
        }
        Ok(settled)
    }

    async fn extend(&self, crew: &Crew) {
        let held = crew.held();
        if held.is_empty() {
            return;
        }
        // One that cannot be extended now may be at the next turn; otherwise its settlement will be stale.
        if let Err(error) = self.intake.extend_taken_dyn(&held, self.clock.now(), self.lease).await {
            self.observe(&Incident::Intake { call: "extend_taken", error: &error });
        }
    }

    /// Ready when the intake has had the drain's time to answer since the shutdown.
    async fn out_of_patience(&self, shutdown: impl Future<Output = ()>) {
        shutdown.await;
        sleep(self.drain).await;
    }

    async fn finish(&self, mut crew: Crew, mut extend_at: Instant) {
        let deadline = after(self.drain);
        while !crew.tasks.is_empty() {
            tokio::select! {
                biased;
                ended = crew.tasks.join_next_with_id() => crew.end(ended),
                () = sleep_until(deadline) => break,
                () = sleep_until(extend_at) => {
                    // What is still being handled is nobody else's until then.
                    drop(timeout_at(deadline, self.extend(&crew)).await);
                    extend_at = after(self.lease / 3);
                }
            }
        }
        crew.gather();
        // Joined, so that what is handed back is no longer being handled; not for long, as a handler may block its thread.
        crew.tasks.abort_all();
        let aborted = after(ABORT);
        while let Ok(Some(ended)) = timeout_at(aborted, crew.tasks.join_next_with_id()).await {
            crew.end(Some(ended));
        }
        let now = self.clock.now();
        let held = crew.held();
        crew.ended.extend(held.into_iter().map(|held| hand_back(held, now)));
        crew.forget_leases();
        // An intake that stays away does not keep the process: the leases end by themselves.
        let give_up = after(LONGEST_PAUSE);
        let mut plan = Plan::new(self.lease);
        while !crew.ended.is_empty() && Instant::now() < give_up {
            let settled = async {
                plan.pause.over().await;
                self.land(&mut crew, &mut plan).await;
            };
            if timeout_at(give_up, settled).await.is_err() {
                return;
            }
        }
    }

    async fn prune(&self) -> Infallible {
        // Soon after the start, or a process that is restarted often would never prune; not at once, as it has other work then.
        sleep(PRUNE_FIRST).await;
        loop {
            match self.intake.prune_kept_dyn(self.clock.now(), PRUNE_BATCH).await {
                Ok(0) => sleep(PRUNE_INTERVAL).await,
                Ok(_) => sleep(PRUNE_BREAK).await,
                Err(error) => {
                    self.observe(&Incident::Intake { call: "prune_kept", error: &error });
                    sleep(PRUNE_INTERVAL).await;
                }
            }
        }
    }

    fn wish(&self, now: OffsetDateTime, calls: usize) -> Take {
        let limit = u32::try_from(calls.saturating_mul(self.batch)).unwrap_or(u32::MAX);
        Take::new(self.queue.as_str(), now, self.lease, limit).with_max_attempts(self.retry.max_attempts())
    }

    fn call(&self, taken: Vec<TakenRequest>) -> Call {
        Call {
            taken,
            handle: Arc::clone(&self.handle),
            retry: self.retry.clone(),
            deadline: self.deadline,
            remember: self.remember,
        }
    }

    fn tell_given_up(&self, taken: &Taken) {
        for key in &taken.given_up {
            self.observe(&Incident::GivenUp { key, reason: NO_ATTEMPT_LEFT });
        }
    }

    fn observe(&self, incident: &Incident<'_>) {
        if let Some(observer) = &self.observer {
            // An observer is the caller's own: its panic ends the call and nothing else.
            drop(catch_unwind(AssertUnwindSafe(|| observer(incident))));
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("queue", &self.queue).finish_non_exhaustive()
    }
}

/// What one [`Worker::step`] did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Worked {
    /// Events that were handled.
    pub done: usize,
    /// Events that are tried again later.
    pub retried: usize,
    /// Events that were given up.
    pub given_up: usize,
    /// Attempts whose lease had ended, so that nothing was written of them.
    pub stale: usize,
    /// How long after the step's time the next event is due; nothing when none waits.
    pub next_due: Option<Duration>,
}

/// When a worker does what.
struct Plan {
    /// Whether something is believed to be due.
    is_due: bool,
    look_at: Instant,
    extend_at: Instant,
    pause: Pause,
}

impl Plan {
    fn new(lease: Duration) -> Self {
        Self { is_due: false, look_at: Instant::now(), extend_at: after(lease / 3), pause: Pause::default() }
    }

    fn may_ask(&self) -> bool {
        self.pause.until <= Instant::now()
    }

    fn wake_at(&self, crew: &Crew, room: usize) -> Instant {
        let settle = (!crew.ended.is_empty()).then_some(self.pause.until);
        let extend = (!crew.is_idle()).then_some(self.extend_at);
        let ask = if self.is_due { self.pause.until } else { self.look_at.max(self.pause.until) };
        let ask = (room > 0).then_some(ask);
        // Without any of them a task is under way, whose end is heard.
        settle.into_iter().chain(extend).chain(ask).min().unwrap_or_else(|| after(LONGEST_PAUSE))
    }
}

/// One call of the handler.
struct Call {
    taken: Vec<TakenRequest>,
    handle: Handle,
    retry: RetryPolicy,
    deadline: Duration,
    remember: Duration,
}

impl Call {
    async fn handle(self, now: impl Fn() -> OffsetDateTime) -> Vec<Ended> {
        let attempts: Vec<_> =
            self.taken.iter().map(|taken| (key_of(taken), taken.attempt, taken.first_attempt_at)).collect();
        let told = timeout(self.deadline, (self.handle)(self.taken)).await.unwrap_or_else(|_elapsed| {
            vec![Err(format!("handler did not end within {:?}", self.deadline)); attempts.len()]
        });
        let now = now();
        let end = |(((key, lease), attempt, first_attempt_at), told): ((_, u32, _), Told)| {
            let conclusion = match told {
                Ok(()) => Conclusion::done(self.remember),
                Err(reason) => {
                    let elapsed = Duration::try_from(now - first_attempt_at).unwrap_or(Duration::ZERO);
                    match self.retry.next(attempt, elapsed, seed(&key, attempt), None) {
                        Some(wait) => Conclusion::retry(wait, reason),
                        None => Conclusion::give_up(reason),
                    }
                }
            };
            Ended { settlement: RequestSettlement::new(key, lease, now, conclusion), attempt }
        };
        attempts.into_iter().zip(told).map(end).collect()
    }
}

/// Batches of what was taken, in its order.
fn chunks(taken: Vec<TakenRequest>, size: usize) -> impl Iterator<Item = Vec<TakenRequest>> {
    let mut taken = taken.into_iter();
    std::iter::from_fn(move || {
        let chunk: Vec<_> = taken.by_ref().take(size).collect();
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// What cannot be read is never handled, however often it is tried.
fn unreadable(taken: &Taken, now: OffsetDateTime) -> Vec<Ended> {
    let ended = taken.unreadable.iter().map(|unreadable| {
        let reason = match std::error::Error::source(&unreadable.error) {
            Some(cause) => format!("{}: {cause}", unreadable.error),
            None => unreadable.error.to_string(),
        };
        let (key, lease) = (unreadable.key.clone(), unreadable.lease);
        let settlement = RequestSettlement::new(key, lease, now, Conclusion::give_up(reason));
        Ended { settlement, attempt: 0 }
    });
    ended.collect()
}

fn hand_back((key, lease): (InboxKey, Lease), now: OffsetDateTime) -> Ended {
    Ended { settlement: RequestSettlement::new(key, lease, now, Conclusion::HandBack), attempt: 0 }
}

fn key_of(taken: &TakenRequest) -> (InboxKey, Lease) {
    (taken.request.key.clone(), taken.lease)
}

/// What spreads the retries of requests that failed together.
fn seed(key: &InboxKey, attempt: u32) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, attempt).hash(&mut hasher);
    hasher.finish()
}

/// How long aborted handlers may take to end.
const ABORT: Duration = Duration::from_secs(1);
/// Looks are never closer to each other than this.
const SOON: Duration = Duration::from_millis(10);
const PRUNE_FIRST: Duration = Duration::from_secs(10);
const PRUNE_INTERVAL: Duration = Duration::from_secs(10 * 60);
const PRUNE_BREAK: Duration = Duration::from_millis(20);
const PRUNE_BATCH: u32 = 1_000;
