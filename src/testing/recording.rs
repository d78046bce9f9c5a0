//! [`RecordingClient`]: an endpoint without a network, which answers as told and keeps what it got.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use time::OffsetDateTime;

use crate::address::EndpointUrl;
use crate::clock::{Clock, SystemClock};
use crate::contract::Contract;
use crate::event::{Envelope, EventData};
use crate::outcome::{ErrorClass, Outcome, Timings};
use crate::receive::Rejection;
use crate::receive::answer::acceptable;
use crate::signature::{Secret, Verified};
use crate::transport::{Exchange, HttpClient, Limits, TransportError};

/// A client that sends nothing: it answers from a script, and records every request.
///
/// It keeps to the rules of [`HttpClient`]: what the address policy refuses is refused, a body is cut at the cap, and an answer
/// that takes longer than the deadline is a time-out. Names are not resolved, since nothing is dialled. Clones share script and
/// record, so that one can be given away.
///
/// ```
/// use std::sync::Arc;
/// use hookwire::allison::{self, CallEnded};
/// use hookwire::dispatch::{Dispatcher, Outbox};
/// use hookwire::testing::{RecordingClient, Reply};
/// use hookwire::{
///     AddressPolicy, Contract, EndpointUrl, Envelope, EventFilter, MemoryStore, Secret, Store, Subscription,
/// };
/// use http::StatusCode;
/// use time::OffsetDateTime;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
/// # runtime.block_on(async {
/// let (contract, secret) = (Contract::allison(), Secret::generate());
/// let store = Arc::new(MemoryStore::new());
/// let url = EndpointUrl::parse("https://hooks.example.com/calls", &AddressPolicy::new())?;
/// let subscription = Subscription::new("org_1", url, EventFilter::all()).with_secret(secret.clone());
/// store.put_subscription(&subscription).await?;
///
/// // The code under test.
/// Outbox::new(Arc::clone(&store), contract.clone()).emit("org_1", &Envelope::new(CallEnded::new("c-1"))).await?;
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

    /// The same client, giving these replies first, one to each request.
    pub fn with_script(self, replies: impl IntoIterator<Item = Reply>) -> Self {
        self.shared().script.extend(replies);
        self
    }

    /// The same client, giving this reply where the script is used up.
    pub fn with_otherwise(self, reply: Reply) -> Self {
        self.shared().otherwise = reply;
        self
    }

    /// The same client, telling by `clock` when a request came; by the system's, unless set.
    pub fn with_clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The same client, waiting for a reply's delay with `sleep`, such as `tokio::time::sleep`. Without it no time goes by: a
    /// delay shows in the timings, and one beyond the deadline is a time-out at once.
    pub fn with_sleep<F, R>(mut self, sleep: F) -> Self
    where
        F: Fn(Duration) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.sleep = Some(Arc::new(move |delay| Box::pin(sleep(delay))));
        self
    }

    /// What was sent until now, in the order in which it came.
    pub fn recorded(&self) -> Vec<Recorded> {
        self.shared().recorded.clone()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        // Nothing panics while it is held.
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

/// What a [`RecordingClient`] answers: a response or a failure, at once or after a while.
///
/// ```
/// use std::time::Duration;
/// use hookwire::testing::Reply;
/// use hookwire::ErrorClass;
/// use http::StatusCode;
///
/// let script = [
///     Reply::status(StatusCode::TOO_MANY_REQUESTS).with_retry_after(Duration::from_secs(120)),
///     Reply::failure(ErrorClass::Connect),
///     Reply::status(StatusCode::OK).with_delay(Duration::from_secs(3)),
/// ];
/// # let _ = script;
/// ```
#[derive(Clone, Debug)]
pub struct Reply {
    answer: Result<Response<Bytes>, ErrorClass>,
    retry_after: Option<Duration>,
    delay: Duration,
}

impl Reply {
    /// A response of this status, without headers and body.
    pub fn status(status: StatusCode) -> Self {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        Self { answer: Ok(response), retry_after: None, delay: Duration::ZERO }
    }

    /// No response, but a failure of this class.
    pub fn failure(class: ErrorClass) -> Self {
        Self { answer: Err(class), retry_after: None, delay: Duration::ZERO }
    }

    /// The same response, asking for a wait of `retry_after` in whole seconds, rounded up; a failure stays as it is.
    pub fn with_retry_after(mut self, retry_after: Duration) -> Self {
        // RFC 9110 section 10.2.3; at once is not what was asked for.
        let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
        if self.answer.is_ok() {
            self.retry_after = Some(Duration::from_secs(seconds));
        }
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The same response with a header; a failure stays as it is.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        if let Ok(response) = &mut self.answer {
            response.headers_mut().insert(name, value);
        }
        self
    }

    /// The same response with this body; a failure stays as it is.
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        if let Ok(response) = &mut self.answer {
            *response.body_mut() = body.into();
        }
        self
    }

    /// The same after `delay`.
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// What comes of an answer that is later than the deadline.
    fn late(deadline: Duration) -> Self {
        Self::failure(ErrorClass::Timeout).with_delay(deadline)
    }

    fn outcome(&self) -> Outcome {
        match &self.answer {
            Ok(response) => Outcome::answered(response.status()).with_retry_after(self.retry_after),
            Err(class) => Outcome::Failed(*class),
        }
    }

    /// Whether an endpoint would have seen the request.
    fn reaches(&self) -> bool {
        match self.answer {
            Ok(_) => true,
            Err(class) => matches!(class, ErrorClass::Timeout | ErrorClass::Reset | ErrorClass::Protocol),
        }
    }

    fn into_exchange(self, body_cap: usize) -> Result<Exchange, TransportError> {
        let (timings, reached) = (Timings::new(self.delay), self.reaches());
        let mut response = self.answer.map_err(|class| {
            TransportError::new(class, format!("no response came, as the script has it: {class}"))
                .with_timings(timings)
                .with_maybe_sent(reached)
        })?;
        let truncated = response.body().len() > body_cap;
        response.body_mut().truncate(body_cap);
        Ok(Exchange::new(response).with_truncated(truncated).with_timings(timings))
    }
}

/// A request that a [`RecordingClient`] was given, and what it said to it.
///
/// `Debug` shows neither headers nor body.
#[derive(Clone)]
#[non_exhaustive]
pub struct Recorded {
    /// The request.
    pub request: Request<Bytes>,
    /// When it came.
    pub at: OffsetDateTime,
    /// What came of it.
    pub outcome: Outcome,
    /// Whether an endpoint would have seen it: not when its address is denied or it finds no connection.
    pub reached: bool,
}

impl Recorded {
    /// The event in the request, as a correct receiver reads it that got it at `now`: a POST of JSON, the signature proven where
    /// the contract signs, its time within the tolerance, the envelope decoded.
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
    /// let samples = Samples::new(contract.clone(), &secret)?.with_uri("https://hooks.example.com/".parse()?);
    ///
    /// let client = RecordingClient::new();
    /// client.send(samples.request("call.ended", &"evt_1".parse()?, now)?, &Limits::new(contract.timeout())).await?;
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
    /// [`Rejection`], such as a receiver would answer; [`Rejection::Secrets`] for a secret of the wrong form.
    pub fn event<T: EventData>(
        &self,
        contract: &Contract,
        secret: &Secret,
        now: OffsetDateTime,
    ) -> Result<Envelope<T>, Rejection> {
        let (headers, body): (&HeaderMap, &[u8]) = (self.request.headers(), self.request.body());
        acceptable(self.request.method(), headers)?;
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
