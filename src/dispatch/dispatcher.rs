//! [`Dispatcher`]: claims due deliveries, has them attempted, and settles them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::address::AddressPolicy;
use crate::clock::{Clock, SystemClock};
use crate::contract::Contract;
use crate::dispatch::attempt::Sender;
use crate::dispatch::clock::SharedClock;
use crate::dispatch::contracts::Contracts;
use crate::dispatch::deliveries::Deliveries;
use crate::dispatch::hand_over::HandOver;
use crate::dispatch::housekeeping::{self, Housekeeping};
use crate::dispatch::keys::Keys;
use crate::dispatch::observer::Observer;
use crate::dispatch::scheduling::{Limits as LaneLimits, Scheduler};
use crate::dispatch::step::Step;
use crate::dispatch::telemetry;
use crate::dispatch::wake::Wake;
use crate::error::Error;
use crate::lease::{Engine, SOON, Settings};
use crate::rate::Rate;
use crate::store::{Pruning, Retention, Store, StoreError};
use crate::subscription::TokenSource;
use crate::transport::{HttpClient, descriptors};

/// Claims due deliveries, signs and sends them, and settles each as its contract says.
///
/// [`run`](Self::run) is a future for the application's own runtime. To drive the dispatcher yourself, call
/// [`step`](Self::step). A dispatcher keeps no state that matters: deliveries that it claimed and did not
/// settle are due again when their leases end, so a crash costs a repeated attempt and never an event.
pub struct Dispatcher {
    deliveries: Deliveries,
    housekeeping: Option<Housekeeping>,
    expiry: Option<Duration>,
}

impl Dispatcher {
    /// A dispatcher that sends the deliveries of `store` through `client`, under `contract`.
    /// [`with_contract`](Self::with_contract) adds further contracts. Deliveries of any other contract are
    /// left to the dispatchers that have it.
    ///
    /// It claims 100 deliveries at a time, has 256 attempts in flight (or half as many as the process may
    /// have descriptors, if that is less) and 64 of one subscription, denies addresses as
    /// [`AddressPolicy::new`] does, keeps the first 1,024 bytes of each response, and ends deliveries that
    /// have waited for somebody for 30 days.
    pub fn new(store: impl Store + 'static, client: impl HttpClient + 'static, contract: Contract) -> Self {
        let contracts = Contracts::new(contract);
        let settings = Settings {
            batch: 100,
            in_flight: DEFAULT_IN_FLIGHT.min(descriptors::limit() / 2).max(1),
            lease: default_lease(&contracts),
            poll: Duration::from_secs(5),
            drain: Duration::from_secs(30),
        };
        let sender = Sender {
            client: Arc::new(client),
            contracts,
            excerpt: 1024,
            tokens: None,
            keys: Keys::default(),
            faults: Arc::default(),
            is_traced: true,
        };
        let limits = LaneLimits { cap: DEFAULT_CAP, rate: None };
        let scheduler = Scheduler::new(settings.in_flight, limits);
        let deliveries = Deliveries {
            store: Arc::new(store),
            sender: Arc::new(sender),
            clock: SharedClock::new(SystemClock),
            wake: Wake::new(),
            hand_over: Arc::new(HandOver::new(scheduler)),
            observer: None,
            thresholds: DEFAULT_THRESHOLDS.to_vec(),
            settings,
        };
        Self { deliveries, housekeeping: None, expiry: Some(DEFAULT_EXPIRY) }
    }

    /// Adds a contract: its deliveries are claimed and sent too, each under the contract that its
    /// subscription speaks.
    ///
    /// A contract's name decides how it delivers, and its version only changes the data. So one dispatcher
    /// sends every version of a contract that it has, and a contract with other terms, such as another
    /// timeout, needs [a name of its own](Contract::with_name).
    ///
    /// ```
    /// # use hookwire::{HttpClient, Store};
    /// # fn send<S: Store + Clone + 'static, C: HttpClient + Clone + 'static>(
    /// #     store: S,
    /// #     client: C,
    /// # ) -> Result<(), hookwire::Error> {
    /// use std::time::Duration;
    /// use hookwire::Contract;
    /// use hookwire::dispatch::Dispatcher;
    ///
    /// let dispatcher = Dispatcher::new(store.clone(), client.clone(), Contract::allison())
    ///     .with_contract(Contract::standard_webhooks())?;
    /// let patient = Contract::allison().with_timeout(Duration::from_secs(30));
    /// let refused = dispatcher.with_contract(patient.clone()).unwrap_err();
    /// assert!(refused.to_string().contains("`timeout`"));
    ///
    /// let dispatcher = Dispatcher::new(store, client, Contract::allison())
    ///     .with_contract(patient.with_name("patient_allison")?)?;
    /// # drop(dispatcher);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Contract`](crate::ErrorKind::Contract) where the dispatcher has a contract of this name
    /// that differs in more than its data: in its scheme, timeout, retries or another term.
    pub fn with_contract(mut self, contract: Contract) -> Result<Self, Error> {
        let before = default_lease(&self.deliveries.sender.contracts);
        self.sender_mut().contracts.add(contract)?;
        // A lease that was set stays.
        if self.deliveries.settings.lease == before {
            self.deliveries.settings.lease = default_lease(&self.deliveries.sender.contracts);
        }
        Ok(self)
    }

    /// Sets the policy for the addresses that may be reached. The default is [`AddressPolicy::new`].
    pub fn with_address_policy(mut self, policy: AddressPolicy) -> Self {
        self.sender_mut().contracts.set_limits(|limits| limits.addresses = policy.clone());
        self
    }

    /// Sets the wake that tells the dispatcher of new deliveries. An [`Outbox`](crate::dispatch::Outbox) of
    /// the same process holds it as well.
    pub fn with_wake(mut self, wake: &Wake) -> Self {
        self.deliveries.wake = wake.clone();
        self
    }

    /// Sets the clock. The default is [`SystemClock`].
    pub fn with_clock(mut self, clock: impl Clock + 'static) -> Self {
        self.deliveries.clock = SharedClock::new(clock);
        self
    }

    /// Sets how many deliveries are claimed at a time, at least one. The default is 100.
    pub fn with_batch(mut self, batch: u32) -> Self {
        self.deliveries.settings.batch = batch.max(1);
        self
    }

    /// Sets how many attempts may be in flight at once, at least one. The default is 256, or half as many as
    /// the process may have descriptors (`ulimit -n`), if that is less: each attempt may need a socket.
    ///
    /// Endpoints whose last attempt got no answer, and endpoints that this dispatcher has not seen answer
    /// yet, share a quarter of them. Another quarter is kept for endpoints that hold an attempt for less than
    /// a second on average. Within these bounds, organizations have equal parts, and the subscriptions of an
    /// organization have equal parts of those.
    pub fn with_max_in_flight(mut self, attempts: usize) -> Self {
        self.deliveries.settings.in_flight = attempts.max(1);
        self.deliveries.scheduler().set_slots(attempts.max(1));
        self
    }

    /// Sets how many attempts of one subscription may be in flight at once, at least one. The default is 64.
    ///
    /// A subscription's own cap ([`Options::with_max_in_flight`](crate::subscription::Options)) can lower it
    /// and cannot raise it.
    pub fn with_max_in_flight_per_subscription(self, attempts: u32) -> Self {
        self.deliveries.scheduler().set_cap(attempts.max(1));
        self
    }

    /// Sets how many attempts of one subscription may begin per second. By default there is no bound.
    ///
    /// A subscription's own rate ([`Options::with_rate`](crate::subscription::Options)) can lower it and
    /// cannot raise it. A delivery that waits for the rate is attempted later than its contract plans.
    pub fn with_rate_per_subscription(self, rate: Rate) -> Self {
        self.deliveries.scheduler().set_rate(rate);
        self
    }

    /// Sets the source of bearer tokens, for subscriptions that want them
    /// ([`Authentication::BearerFromSource`](crate::subscription::Authentication::BearerFromSource)). An
    /// attempt waits for a token as long as for the endpoint, and at most 15 s. The endpoint has its whole
    /// time after that.
    pub fn with_token_source(mut self, tokens: impl TokenSource + 'static) -> Self {
        self.sender_mut().tokens = Some(Arc::new(tokens));
        self
    }

    /// Sets whether requests carry a `traceparent` header (W3C Trace Context), if their events have a trace
    /// ([`Outbox::with_trace_source`](crate::dispatch::Outbox::with_trace_source)). The default is that they
    /// do.
    ///
    /// Each attempt is a span of its own, a child of the place that emitted the event. With the feature
    /// `tracing`, the attempt's span has the fields `trace_id` and `span_id`. The header tells receivers the
    /// ids and nothing else; a subscription's own header of that name goes before.
    pub fn with_trace_context(mut self, is_sent: bool) -> Self {
        self.sender_mut().is_traced = is_sent;
        self
    }

    /// Sets the observer that is told about attempts and endpoints.
    pub fn with_observer(mut self, observer: impl Observer + 'static) -> Self {
        self.deliveries.observer = Some(Arc::new(observer));
        self
    }

    /// Sets for how long an endpoint has to fail until the [observer](Self::with_observer) is told, once for
    /// each threshold. The defaults are an hour and a day.
    pub fn with_failing_thresholds(mut self, thresholds: impl IntoIterator<Item = Duration>) -> Self {
        self.deliveries.thresholds = thresholds.into_iter().collect();
        self
    }

    /// Sets how long a claim leases deliveries, at least 10 ms. The default is the longest timeout of its
    /// contracts and 30 s.
    ///
    /// Deliveries of a dispatcher that crashed wait until their leases end. A running dispatcher extends its
    /// leases every third of this time. If it cannot for longer than a lease, as when its process is stopped,
    /// an attempt may be made twice.
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.deliveries.settings.lease = lease.max(SOON);
        self
    }

    /// Sets the longest time between two looks at the store, at least 10 ms. The default is 5 s.
    pub fn with_poll_interval(mut self, interval: Duration) -> Self {
        self.deliveries.settings.poll = interval.max(SOON);
        self
    }

    /// Sets how long attempts in flight may take to end after a shutdown. The default is 30 s.
    pub fn with_drain_deadline(mut self, deadline: Duration) -> Self {
        self.deliveries.settings.drain = deadline;
        self
    }

    /// Sets how long `store` keeps payloads, attempts and deliveries. While the dispatcher [runs](Self::run),
    /// it deletes older ones every ten minutes, in short batches. The default keeps everything for ever.
    ///
    /// `store` is the dispatcher's own: give both the same `Arc` or a clone. One of several dispatchers is
    /// enough; more do no harm.
    pub fn with_retention(self, store: impl Pruning + 'static, retention: Retention) -> Self {
        self.with_retention_every(store, retention, housekeeping::DEFAULT_INTERVAL)
    }

    /// Sets how long `store` keeps payloads, attempts and deliveries, and how often older ones are deleted:
    /// every `interval`, a second or longer.
    pub fn with_retention_every(
        mut self,
        store: impl Pruning + 'static,
        retention: Retention,
        interval: Duration,
    ) -> Self {
        self.housekeeping = Some(Housekeeping::new(store, retention, interval));
        self
    }

    /// Sets how long a delivery may wait for somebody; `None` for ever. The default is 30 days.
    ///
    /// A delivery waits while its subscription is disabled or paused, or while a fault on this side keeps it
    /// back. While the dispatcher [runs](Self::run), it ends what has waited for longer as
    /// [`Expired`](crate::DeadReason::Expired), every ten minutes and in short batches: a dead letter, which
    /// can be replayed. A delivery of an enabled subscription that follows its schedule never expires.
    ///
    /// While a fault on this side keeps a subscription back, one of its deliveries is tried at a time. The
    /// time of each begins with its first try, so the last of many expire much later.
    pub fn with_expiry(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.expiry = age.into();
        self
    }

    /// Sets how many bytes of each response the attempt log keeps. The default is 1,024.
    pub fn with_response_excerpt(mut self, bytes: usize) -> Self {
        let sender = self.sender_mut();
        sender.excerpt = bytes;
        sender.contracts.set_limits(|limits| limits.body_cap = limits.body_cap.max(bytes));
        self
    }

    /// Delivers one batch of what is due at `now`, and returns when all of it is settled. Time stands still
    /// within a step.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where a call of the store fails. A delivery that was attempted and could not be settled
    /// is due again when its lease ends.
    pub async fn step(&self, now: OffsetDateTime) -> Result<Step, StoreError> {
        self.deliveries.step(now).await
    }

    /// Delivers until `shutdown` is ready. It then stops claiming, gives the attempts in flight the time of
    /// [`with_drain_deadline`](Self::with_drain_deadline), and hands the others back. Do not call it twice at
    /// once on one dispatcher.
    ///
    /// If the store cannot be reached, it is asked again at growing intervals up to 5 s, and attempts that
    /// ended meanwhile are settled then. If the store refuses one settlement while it takes others, that
    /// settlement is given up, and its delivery is due again when its lease ends. If it refuses all of them,
    /// nothing is claimed for the time of a lease; then they are given up, and few deliveries are claimed
    /// until a settlement is accepted. If the store no longer answers, it is left when the drain deadline has
    /// passed.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        telemetry::begin();
        let housekeeping = async {
            match &self.housekeeping {
                Some(housekeeping) => housekeeping.run(&self.deliveries.clock).await,
                None => std::future::pending().await,
            }
        };
        let _serving = self.deliveries.recipient().map(|recipient| self.deliveries.wake.serve(recipient));
        let Deliveries { hand_over, store, clock, .. } = &self.deliveries;
        let recovery = hand_over.recover(&**store, clock);
        let expiry = housekeeping::expire(&*self.deliveries.store, self.expiry, &self.deliveries.clock);
        tokio::select! {
            () = Engine::new(&self.deliveries).run(shutdown) => {}
            never = housekeeping => match never {},
            never = expiry => match never {},
            never = recovery => match never {},
        }
    }

    pub(super) fn sender_mut(&mut self) -> &mut Sender {
        Arc::make_mut(&mut self.deliveries.sender)
    }
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let contracts = self.deliveries.sender.contracts.names();
        f.debug_struct("Dispatcher").field("contracts", &contracts).finish_non_exhaustive()
    }
}

fn default_lease(contracts: &Contracts) -> Duration {
    let longest = contracts.iter().map(|terms| terms.limits.deadline).max();
    longest.unwrap_or_default().saturating_add(LEASE_MARGIN)
}

/// The time that a lease lasts beyond the attempt's own deadline, for signing, waiting for a thread and
/// settling.
const LEASE_MARGIN: Duration = Duration::from_secs(30);
const DEFAULT_IN_FLIGHT: usize = 256;
const DEFAULT_EXPIRY: Duration = Duration::from_secs(30 * 24 * 3600);
/// How many attempts of one subscription are in flight by default.
const DEFAULT_CAP: u32 = 64;
const DEFAULT_THRESHOLDS: [Duration; 2] = [Duration::from_secs(3_600), Duration::from_secs(86_400)];
