//! [`RecordingClient`]: an endpoint without a network that answers from a script and records its requests.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use time::OffsetDateTime;

use crate::address::EndpointUrl;
use crate::clock::{Clock, SystemClock};
use crate::contract::Contract;
use crate::event::{Envelope, EventData};
use crate::outcome::{ErrorClass, Outcome};
use crate::receive::head::check_form;
use crate::receive::{Arrival, Rejection};
use crate::signature::{Secret, Verified};
use crate::testing::reply::Reply;
use crate::transport::{Exchange, HttpClient, Limits, TransportError};

/// A client that sends nothing. It answers from a script, and records every request.
///
/// It keeps the rules of [`HttpClient`]: it refuses a URL that the address policy refuses, cuts a body at the
/// cap, and turns an answer that takes longer than the deadline into a time-out. It does not resolve names,
/// because it does not connect. Clones share script and record, so you can give one away.
///
/// ```
/// use std::sync::Arc;
/// use hookwire::allison::{self, CallEnded};
/// use hookwire::dispatch::{Dispatcher, Outbox};
/// use hookwire::testing::{RecordingClient, Reply};
/// use hookwire::{
///     AddressPolicy, Contract, EndpointUrl, Envelope, EventFilter, MemoryStore, Secret, Subscription,
///     Subscriptions,
/// };
/// use http::StatusCode;
/// use time::OffsetDateTime;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
/// # runtime.block_on(async {
/// let (contract, secret) = (Contract::allison(), Secret::generate());
/// let store = Arc::new(MemoryStore::new());
/// let url = EndpointUrl::parse("https://hooks.example.com/calls", &AddressPolicy::new())?;
/// let subscription = Subscription::new("org_1", &contract, url, EventFilter::all());
/// store.put(&subscription.with_secret(secret.clone())).await?;
///
/// // The code under test.
/// let outbox = Outbox::new(Arc::clone(&store), contract.clone());
/// outbox.emit("org_1", &Envelope::new(CallEnded::new("c-1"))).await?;
///
/// let client = RecordingClient::new().with_script([Reply::status(StatusCode::SERVICE_UNAVAILABLE)]);
/// let dispatcher = Dispatcher::new(store, client.clone(), contract.clone());
/// let mut now = OffsetDateTime::now_utc();
/// while let Some(wait) = dispatcher.step(now).await?.next_due {
///     now += wait;
/// }
///
/// let [failed, delivered] = client.recorded().try_into().expect("an attempt, and another");
/// assert_eq!(failed.outcome.status(), Some(StatusCode::SERVICE_UNAVAILABLE));
/// let envelope: Envelope<allison::Event> = delivered.event(&contract, &secret, now)?;
/// assert_eq!(envelope.event_type(), "call.ended");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct RecordingClient {
    shared: Arc<Mutex<Shared>>,
    clock: Arc<dyn Clock>,
    sleep: Option<Sleep>,
}

type Sleep = Arc<dyn Fn(Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

struct Shared {
    script: VecDeque<Reply>,
    otherwise: Reply,
    recorded: Vec<Recorded>,
}

impl RecordingClient {
    /// A client that answers everything with 200.
    pub fn new() -> Self {
        let otherwise = Reply::status(StatusCode::OK);
        let shared = Shared { script: VecDeque::new(), otherwise, recorded: Vec::new() };
        Self { shared: Arc::new(Mutex::new(shared)), clock: Arc::new(SystemClock), sleep: None }
    }

    /// Adds replies to the script, one for each request.
    pub fn with_script(self, replies: impl IntoIterator<Item = Reply>) -> Self {
        self.shared().script.extend(replies);
        self
    }

    /// Sets the reply for requests after the end of the script. The default is 200.
    pub fn with_otherwise(self, reply: Reply) -> Self {
        self.shared().otherwise = reply;
        self
    }

    /// Sets the clock that gives the requests' times. The default is the system's clock.
    pub fn with_clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the function that waits for a reply's delay, such as `tokio::time::sleep`. Without it, no time
    /// passes: a delay shows in the timings, and a delay beyond the deadline is a time-out at once.
    pub fn with_sleep<F, R>(mut self, sleep: F) -> Self
    where
        F: Fn(Duration) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.sleep = Some(Arc::new(move |delay| Box::pin(sleep(delay))));
        self
    }

    /// The requests until now, in the order of their arrival.
    pub fn recorded(&self) -> Vec<Recorded> {
        self.shared().recorded.clone()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        // Nothing panics while the lock is held.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for RecordingClient {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpClient for RecordingClient {
    async fn send(&self, request: Request<Bytes>, limits: &Limits) -> Result<Exchange, TransportError> {
        let at = self.clock.now();
        if let Err(error) = EndpointUrl::parse(&request.uri().to_string(), &limits.addresses) {
            let outcome = Outcome::Failed(ErrorClass::AddressDenied);
            self.shared().recorded.push(Recorded { request, at, outcome, reached: false });
            return Err(TransportError::new(ErrorClass::AddressDenied, "URL may not be reached")
                .with_source(error)
                .with_maybe_sent(false));
        }
        let reply = {
            let mut shared = self.shared();
            let reply = shared.script.pop_front().unwrap_or_else(|| shared.otherwise.clone());
            let reply = if reply.delay < limits.deadline { reply } else { Reply::late(limits.deadline) };
            let (outcome, reached) = (reply.outcome(), reply.reaches());
            shared.recorded.push(Recorded { request, at, outcome, reached });
            reply
        };
        if let Some(sleep) = self.sleep.as_ref().filter(|_| !reply.delay.is_zero()) {
            sleep(reply.delay).await;
        }
        reply.into_exchange(limits.body_cap)
    }
}

impl fmt::Debug for RecordingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingClient").field("recorded", &self.shared().recorded).finish_non_exhaustive()
    }
}

/// A request that a [`RecordingClient`] sent, and its outcome.
///
/// `Debug` shows neither headers nor body.
#[derive(Clone)]
#[non_exhaustive]
pub struct Recorded {
    /// The request.
    pub request: Request<Bytes>,
    /// The time at which it was sent.
    pub at: OffsetDateTime,
    /// The outcome.
    pub outcome: Outcome,
    /// Whether an endpoint would have seen the request: not if its address is denied or if no connection is
    /// made.
    pub reached: bool,
}

impl Recorded {
    /// The event in the request, as a correct receiver reads it at `now`. The request must be a POST of JSON.
    /// If the contract signs, its signature must be right and its time within the tolerance.
    ///
    /// ```
    /// use hookwire::testing::{RecordingClient, Samples};
    /// use hookwire::{allison, Contract, Envelope, HttpClient, Limits, Secret};
    /// use time::OffsetDateTime;
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # runtime.block_on(async {
    /// let (contract, secret) = (Contract::allison(), Secret::generate());
    /// let now = OffsetDateTime::now_utc();
    /// let samples = Samples::new(contract.clone(), &secret)?;
    /// let samples = samples.with_uri("https://hooks.example.com/".parse()?);
    ///
    /// let (client, limits) = (RecordingClient::new(), Limits::new(contract.timeout()));
    /// client.send(samples.request("call.ended", &"evt_1".parse()?, now)?, &limits).await?;
    ///
    /// let [recorded] = client.recorded().try_into().expect("one request");
    /// let envelope: Envelope<allison::CallEnded> = recorded.event(&contract, &secret, now)?;
    /// assert_eq!(envelope.id.as_str(), "evt_1");
    /// assert!(recorded.event::<allison::CallEnded>(&contract, &Secret::generate(), now).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// The [`Rejection`] of a correct receiver, or [`Rejection::Secrets`] for a secret of the wrong form.
    pub fn event<T: EventData>(
        &self,
        contract: &Contract,
        secret: &Secret,
        now: OffsetDateTime,
    ) -> Result<Envelope<T>, Rejection> {
        let (headers, body): (&HeaderMap, &[u8]) = (self.request.headers(), self.request.body());
        check_form(&Arrival::from(&self.request), usize::MAX, &[], false)?;
        let verified = match contract.scheme() {
            Some(_) => {
                let verifier = contract.verifier(secret).map_err(|error| Rejection::Secrets(error.into()))?;
                verifier.verify_at(headers, body, now)?
            }
            None => Verified::dangerous_unsigned_at(headers, body, now),
        };
        contract.decode(&verified).map_err(Rejection::Malformed)
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded")
            .field("method", self.request.method())
            .field("at", &self.at)
            .field("outcome", &self.outcome)
            .field("reached", &self.reached)
            .finish_non_exhaustive()
    }
}
