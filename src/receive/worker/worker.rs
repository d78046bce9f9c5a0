//! [`Worker`]: handles stored requests until they are done or given up.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use time::OffsetDateTime;

use super::call::Calls;
use super::incident::Incident;
use super::job::{HandlerError, Job, handle};
use super::requests::{Requests, Run};
use super::telemetry;
use crate::clock::{Clock, SystemClock};
use crate::contract::Contract;
use crate::delivery::Next;
use crate::event::{DataError, Envelope, EventData};
use crate::lease::{Engine, SOON, Settings};
use crate::receive::receiver::Receiver;
use crate::retry::RetryPolicy;
use crate::store::{Intake, Settled, StoreError};

/// Handles the requests that a [`Receiver`] [stores first](crate::receive::Proven::store_first), until each
/// is done or given up.
///
/// [`run`](Self::run) is a future for the application's own runtime. To drive the worker yourself, call
/// [`step`](Self::step). Any number of workers, in any number of processes, may share an intake. A worker
/// keeps no state that matters: requests that it leased and did not settle are due again when their leases
/// end.
///
/// Each event is handled at least once. It is handled twice if a process dies after the handler has ended and
/// before that was written. If your handler's work must not be repeated, make its writes unique by
/// [`Job::key`]. Events start in the order in which they were stored, and run beside each other. Only a
/// worker whose [`with_max_concurrent`](Self::with_max_concurrent) is 1 keeps that order, and only while
/// nothing fails.
///
/// An attempt is used up if the handler fails, panics or does not end [in time](Self::with_deadline), and if
/// its process dies. The next attempt comes when the [`RetryPolicy`] says. An event without an attempt left
/// is given up, and so is one whose handler passes a [`DataError`] on, because the data will not fit later
/// either: it stays in the intake with the reason ([`Intake::given_up`]) until you [put it
/// back](Intake::put_back) or [close it](Intake::close_given_up), but for [30 days](Self::with_expiry) at
/// most.
///
/// ```
/// use std::sync::Arc;
/// use hookwire::receive::{Arrival, Receiver};
/// use hookwire::{allison, Contract, DataError, Envelope, MemoryStore, Secret};
/// use time::OffsetDateTime;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let contract = Contract::allison();
/// let secret = Secret::generate();
/// let store = Arc::new(MemoryStore::new());
/// let receiver = Receiver::signed(contract.clone(), &secret)?.with_intake(store);
///
/// // The slow part: no sender waits for it.
/// let worker = receiver.worker(async |event: Result<Envelope<allison::Event>, Box<DataError>>| {
///     let event = event?;
///     println!("{} happened at {}", event.event_type(), event.created_at);
///     Ok(())
/// });
///
/// // The quick part, as in `hookwire::receive::axum::store_first`.
/// # let now = OffsetDateTime::now_utc();
/// # let sent = Envelope::new(allison::CallEnded::new("c1"));
/// # let body = contract.encode(&sent)?;
/// # let headers = contract.signer(&secret)?.sign(sent.id.as_str(), now, &body)?;
/// receiver.admit(Arrival::post(&headers), now)?.prove(&body, now).await?.store_first().await?;
///
/// // In an application: `tokio::spawn(async move { worker.run(shutdown).await })`.
/// assert_eq!(worker.step(now).await?.done, 1);
/// # Ok(()) }
/// ```
pub struct Worker {
    requests: Requests,
}

impl<I: Intake + Clone + 'static> Receiver<I> {
    /// Makes a worker for the requests that this receiver stores. It wakes whenever the receiver has stored
    /// one.
    ///
    /// The handler has the form that [`handle`](crate::receive::Proven::handle) takes: it gets the envelope,
    /// or the error if the data of a known type does not fit. If `T` is the data of one type, events of other
    /// types are done without the handler.
    pub fn worker<T, F, R>(&self, handler: F) -> Worker
    where
        T: EventData + Send + 'static,
        F: Fn(Result<Envelope<T>, Box<DataError>>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        self.wake(Worker::new(self.contract().clone(), self.intake().clone(), handler))
    }

    /// Makes a [`worker`](Self::worker) whose handler takes up to `size` events at once, and returns the
    /// result of each in their order.
    pub fn worker_in_batches<T, F, R>(&self, size: usize, handler: F) -> Worker
    where
        T: EventData + Send + 'static,
        F: Fn(Vec<Job<T>>) -> R + Send + Sync + 'static,
        R: Future<Output = Vec<Result<(), HandlerError>>> + Send + 'static,
    {
        self.wake(Worker::in_batches(self.contract().clone(), self.intake().clone(), size, handler))
    }

    fn wake(&self, worker: Worker) -> Worker {
        let mut worker = worker.with_queue(&*self.source);
        worker.requests.signal = Arc::clone(&self.signal);
        worker
    }
}

impl Worker {
    /// Makes a worker without a receiver, for example in a process of its own, for the requests that a
    /// receiver of this contract stores in `intake`.
    ///
    /// It handles 16 events at once, leases them for a minute, extends the leases while they are handled, and
    /// tries each up to 12 times within some six hours. The handler gets the same as that of
    /// [`Receiver::worker`].
    pub fn new<T, F, R>(contract: Contract, intake: impl Intake + 'static, handler: F) -> Self
    where
        T: EventData + Send + 'static,
        F: Fn(Result<Envelope<T>, Box<DataError>>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), HandlerError>> + Send + 'static,
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

    /// Makes a worker as [`new`](Self::new) does, whose handler takes up to `size` events at once, at least
    /// one, and returns the result of each in their order.
    ///
    /// A handler that panics, or does not end in time, uses up an attempt of each event of its batch. If it
    /// returns fewer results than it got events, the events without a result have failed.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use hookwire::receive::{Job, Worker};
    /// use hookwire::{allison, Contract, MemoryStore};
    ///
    /// let store = Arc::new(MemoryStore::new());
    /// let contract = Contract::allison();
    /// let worker = Worker::in_batches(contract, store, 100, async |jobs: Vec<Job<allison::Event>>| {
    ///     // For example in one SQL statement for all of them.
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
        R: Future<Output = Vec<Result<(), HandlerError>>> + Send + 'static,
    {
        let remember = contract.dedupe_window();
        let calls = Calls {
            queue: contract.name().into(),
            handle: handle(contract, handler),
            retry: RetryPolicy::exponential(Duration::from_secs(5), 3.0)
                .with_max_delay(Duration::from_secs(3_600))
                .with_max_attempts(12)
                .build()
                .expect("invariant: the delays are bounded"),
            deadline: Duration::from_secs(600),
            clock: Arc::new(SystemClock),
        };
        let settings = Settings {
            batch: u32::MAX,
            in_flight: 16,
            lease: Duration::from_secs(60),
            poll: Duration::from_secs(1),
            drain: Duration::from_secs(30),
        };
        let intake = Arc::new(intake);
        let (size, signal) = (size.max(1), Arc::default());
        Self {
            requests: Requests {
                intake,
                calls,
                remember,
                expiry: Some(DEFAULT_EXPIRY),
                size,
                signal,
                observer: None,
                settings,
            },
        }
    }

    /// Sets the queue: the [source](Receiver::with_source) of the receiver that stores the requests. The
    /// default is the contract's name. [`Receiver::worker`] sets its own.
    pub fn with_queue(mut self, source: impl Into<Arc<str>>) -> Self {
        self.requests.calls.queue = source.into();
        self
    }

    /// Sets when a request that failed is tried again, and how often. The default is up to 12 attempts within
    /// some six hours.
    pub fn with_retry(mut self, policy: RetryPolicy) -> Self {
        self.requests.calls.retry = policy;
        self
    }

    /// Sets the observer of incidents. It is called on the worker's own task, after the intake has written
    /// the result. A panic ends the call and nothing more.
    ///
    /// ```
    /// # use hookwire::{receive::Worker, Contract, DataError, Envelope, MemoryStore, RawEvent};
    /// # let handler = async |_: Result<Envelope<RawEvent>, Box<DataError>>| Ok(());
    /// let worker = Worker::new(Contract::allison(), MemoryStore::new(), handler)
    ///     .with_observer(|incident| eprintln!("{incident}"));
    /// # let _ = worker;
    /// ```
    pub fn with_observer(mut self, observer: impl Fn(&Incident<'_>) + Send + Sync + 'static) -> Self {
        self.requests.observer = Some(Arc::new(observer));
        self
    }

    /// Sets after which time a request that was given up is deleted, unless you put it back or close it;
    /// never, with `None`. The default is 30 days.
    ///
    /// Its copies are duplicates for as long as those of a request that was handled, and the observer hears
    /// of it ([`Incident::Expired`]). [`run`](Self::run) does this, and [`step`](Self::step) does not.
    pub fn with_expiry(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.requests.expiry = age.into();
        self
    }

    /// Sets the clock. The default is [`SystemClock`].
    pub fn with_clock(mut self, clock: impl Clock + 'static) -> Self {
        self.requests.calls.clock = Arc::new(clock);
        self
    }

    /// Sets how many calls of the handler may run at once, at least one. The default is 16.
    pub fn with_max_concurrent(mut self, calls: usize) -> Self {
        self.requests.settings.in_flight = calls.max(1);
        self
    }

    /// Sets how long the worker leases requests, at least 10 ms. The default is a minute.
    ///
    /// Requests of a worker that crashed wait until their leases end. A running worker extends its leases
    /// every third of this time.
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.requests.settings.lease = lease.max(SOON);
        self
    }

    /// Sets how long a call of the handler may take. A call that takes longer is dropped and counts as
    /// failed. The default is 10 minutes.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.requests.calls.deadline = deadline;
        self
    }

    /// Sets the longest time between two looks at the intake, at least 10 ms. The default is 1 s.
    pub fn with_poll_interval(mut self, interval: Duration) -> Self {
        self.requests.settings.poll = interval.max(SOON);
        self
    }

    /// Sets how long handlers that are running at a shutdown may take to end. The default is 30 s.
    pub fn with_drain_deadline(mut self, deadline: Duration) -> Self {
        self.requests.settings.drain = deadline;
        self
    }

    /// Handles the events that are due at `now`, as many as may be in progress at once, and returns when all
    /// of them are settled. Time stands still within a step.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if a call of the intake fails. A request that was handled and could not be settled is
    /// due again when its lease ends.
    pub async fn step(&self, now: OffsetDateTime) -> Result<Worked, StoreError> {
        let requests = &self.requests;
        let leased = requests
            .intake
            .lease_requests_dyn(&requests.lease_request(now, requests.settings.in_flight))
            .await?;
        let mut worked = Worked { given_up: leased.given_up.len(), ..Worked::default() };
        let (calls, mut finished) = requests.calls_for(leased, now);
        let called = join_all(calls.into_iter().map(|call| requests.calls.call(call, || now))).await;
        finished.extend(called.into_iter().flatten());
        for (finished, settled) in finished.iter().zip(requests.settle(&finished).await?) {
            match (settled, finished.settlement.next) {
                (Settled::Stale, _) => worked.stale += 1,
                (Settled::Done, Next::Done) => worked.done += 1,
                (Settled::Done, Next::Dead { .. }) => worked.given_up += 1,
                (Settled::Done, Next::Retry { .. }) => worked.retried += 1,
            }
        }
        worked.next_due = requests.intake.next_due_dyn(&requests.calls.queue, now).await?;
        Ok(worked)
    }

    /// Works until `shutdown` is ready. It then leases nothing more, waits for running handlers up to the
    /// time of [`with_drain_deadline`](Self::with_drain_deadline), and hands the other requests back.
    ///
    /// If the intake cannot be reached, the worker tries again at growing intervals up to 5 s, and then
    /// settles the requests that were handled meanwhile. Every ten minutes, in short batches, the worker
    /// deletes requests that are done and were remembered for long enough, and ends those that were given up
    /// for [long enough](Self::with_expiry).
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        let run = Run::of(&self.requests);
        let queue = &self.requests.calls.queue;
        telemetry::begin(queue);
        tokio::select! {
            () = Engine::new(&run).run(shutdown) => {}
            never = self.requests.prune() => match never {},
            never = self.requests.expire() => match never {},
            never = telemetry::watch(queue, || self.requests.waiting()) => match never {},
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("queue", &self.requests.calls.queue).finish_non_exhaustive()
    }
}

/// The result of one [`Worker::step`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Worked {
    /// Events that were handled.
    pub done: usize,
    /// Events that are tried again later.
    pub retried: usize,
    /// Events that were given up.
    pub given_up: usize,
    /// Attempts that were not written, because their leases had ended.
    pub stale: usize,
    /// How long after the step's time the next event is due; `None` if none waits.
    pub next_due: Option<Duration>,
}

const DEFAULT_EXPIRY: Duration = Duration::from_secs(30 * 24 * 3600);
