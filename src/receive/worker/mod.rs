//! [`Worker`]: has kept requests handled, again and again until they are done or given up.
#![cfg(feature = "dispatch")]

mod call;
mod crew;
mod erased;
mod incident;
mod job;
mod plan;
mod work;

pub use incident::Incident;
pub use job::Job;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use time::OffsetDateTime;

use self::call::{Call, chunks, unreadable};
use self::erased::ErasedIntake;
use self::job::{Failure, Handle, handle};
use crate::clock::{Clock, SystemClock};
use crate::contract::Contract;
use crate::event::{DataError, Envelope, EventData};
use crate::receive::bell::Bell;
use crate::receive::receiver::Receiver;
use crate::retry::RetryPolicy;
use crate::store::{Conclusion, Intake, NO_ATTEMPT_LEFT, Settled, StoreError, Take, Taken, TakenRequest};

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

    /// The same worker, taking requests for `lease` (10 ms or longer). Until a lease ends, what a crashed worker had taken waits; while it
    /// runs it extends the leases of what is handled, every third of this time.
    pub fn with_lease(mut self, lease: Duration) -> Self {
        // One that has ended before the intake answers is handed back, again and again.
        self.lease = lease.max(SOON);
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

/// Looks are never closer to each other than this.
const SOON: Duration = Duration::from_millis(10);
