//! [`Sender`]: carries out one attempt: signs, sends, judges. A failure of the endpoint costs this attempt
//! and nothing else; a fault on this side costs none, if it is the process's or the subscription's.

use std::borrow::Cow;
use std::error::Error as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::contract::Contract;
use crate::delivery::{Attempt, DeadReason, Next, Progress};
use crate::dispatch::clock::AttemptTime;
use crate::dispatch::contracts::{Contracts, Terms};
use crate::dispatch::erased::{ErasedClient, ErasedTokens};
use crate::dispatch::fault::{Fault, FaultKind, FaultScope};
use crate::dispatch::faults::{self, Faults, Proof};
use crate::dispatch::finished::{Finished, Report, is_ours};
use crate::dispatch::keys::Keys;
use crate::dispatch::telemetry;
use crate::error::{Error, ErrorKind};
use crate::event::TraceParent;
use crate::id::DeliveryId;
use crate::outcome::{ErrorClass, FailureReason, Outcome, Timings};
use crate::retry::{RetryPolicy, retry_after};
use crate::signature::{Secret, Signer};
use crate::store::{Lease, Leased, Settlement, StoreError, Unreadable};
use crate::subscription::{Authentication, DisabledReason, Subscription};
use crate::transport::OwnFault;

/// Everything an attempt needs besides its delivery.
#[derive(Clone)]
pub(super) struct Sender {
    pub(super) client: Arc<dyn ErasedClient>,
    pub(super) contracts: Contracts,
    pub(super) excerpt: usize,
    pub(super) tokens: Option<Arc<dyn ErasedTokens>>,
    pub(super) keys: Keys,
    pub(super) faults: Arc<Faults>,
    /// Whether requests carry the trace of their events.
    pub(super) is_traced: bool,
}

impl Sender {
    /// Carries out one attempt, and decides what becomes of the delivery. The request uses the memory of
    /// `headers`, which are empty. They are empty afterwards too, with the memory of the response's headers.
    pub(super) async fn attempt(
        &self,
        claimed: Leased,
        time: &AttemptTime,
        headers: &mut HeaderMap,
    ) -> Finished {
        let Some(terms) = self.contracts.of(claimed.contract.name()) else {
            // No claim asks for it. Under another contract it would reach its endpoint in another form.
            let back = Settlement::hand_back(claimed.delivery, claimed.lease, time.now());
            return Finished::new(back.with_delay(faults::FIRST), Some(claimed));
        };
        let trace = self.child_of(&claimed);
        if let Some(trace) = trace.and_then(|trace| HeaderValue::try_from(trace.to_string()).ok()) {
            headers.insert(TRACEPARENT, trace);
        }
        let ended = telemetry::in_span(&claimed, trace, async {
            let tried = self.try_once(&claimed, terms, time, headers).await;
            self.conclude(&claimed, &terms.contract, tried, time.now())
        });
        let (settlement, report) = ended.await;
        Finished { report, ..Finished::new(settlement, Some(claimed)) }
    }

    /// The attempt's own place in the trace of its event.
    fn child_of(&self, claimed: &Leased) -> Option<TraceParent> {
        let parent = claimed.trace.filter(|_| self.is_traced)?;
        let mut id = [0; 8];
        // Without random bytes, the request goes without a trace.
        getrandom::fill(&mut id).ok()?;
        Some(parent.child(id))
    }

    /// Sends a delivery once. `headers` are as in [`attempt`](Self::attempt).
    pub(super) async fn try_once(
        &self,
        claimed: &Leased,
        terms: &Terms,
        time: &AttemptTime,
        headers: &mut HeaderMap,
    ) -> Tried {
        let started_at = time.now();
        let began = Instant::now();
        // The client may be the caller's own, and may panic.
        let guarded = AssertUnwindSafe(self.send(claimed, terms, time, headers)).catch_unwind();
        let sent = guarded.await.unwrap_or_else(|_panic| {
            Err(Fault::of_delivery(FaultKind::Panic, "a part of the sender panicked"))
        });
        let (result, fault) = match sent.and_then(|result| self.own_fault(claimed, result)) {
            Ok(result) => (result, None),
            Err(fault) => (AttemptResult::failed(fault.logged), Some(fault)),
        };
        let mut attempt = Attempt::new(claimed.attempt, started_at, began.elapsed(), result.outcome)
            .with_timings(result.timings)
            .with_response_excerpt(result.excerpt);
        if let Some(reason) = result.reason {
            attempt = attempt.with_reason(reason, result.head_status);
        }
        Tried { attempt, fault }
    }

    /// Judges whose fault a failure is, and learns from what was no fault of this side.
    fn own_fault(&self, claimed: &Leased, result: AttemptResult) -> Result<AttemptResult, Fault> {
        let subscription = &claimed.subscription;
        let is_suspect = |kind| self.faults.suspect(kind, &subscription.organization);
        let fault = |scope, kind| Err(Fault::new(scope, kind, result.own_words.as_str()));
        match result.own_fault {
            Some(OwnFault::Descriptors) => return fault(FaultScope::Process, FaultKind::Descriptors),
            Some(OwnFault::Client) => return fault(FaultScope::Process, FaultKind::Client),
            Some(OwnFault::Ports) if is_suspect(FaultKind::Ports) => {
                return fault(FaultScope::Process, FaultKind::Ports);
            }
            Some(OwnFault::Ports) => return fault(FaultScope::Subscription, FaultKind::Ports),
            Some(OwnFault::Streams) => return fault(FaultScope::Subscription, FaultKind::Streams),
            Some(OwnFault::ClientCertificate) => {
                return fault(FaultScope::Subscription, FaultKind::ClientCertificate);
            }
            Some(OwnFault::Proxy) if is_suspect(FaultKind::Proxy) => {
                return fault(FaultScope::Process, FaultKind::Proxy);
            }
            Some(OwnFault::Proxy) => return fault(FaultScope::Subscription, FaultKind::Proxy),
            Some(OwnFault::Resolver) if is_suspect(FaultKind::Resolver) => {
                return fault(FaultScope::Process, FaultKind::Resolver);
            }
            None if is_ours(&result.outcome) => return fault(FaultScope::Delivery, FaultKind::Client),
            // The name's own servers may be silent.
            Some(OwnFault::Resolver) | None => {}
        }
        self.faults.passed(subscription.id, result.proof());
        Ok(result)
    }

    /// Decides what becomes of a delivery: a fault of the process or of its subscription costs no attempt.
    fn conclude(
        &self,
        claimed: &Leased,
        contract: &Contract,
        tried: Tried,
        now: OffsetDateTime,
    ) -> (Settlement, Option<Report>) {
        let Tried { attempt, mut fault } = tried;
        let started_at = attempt.started_at;
        let late = claimed.late.unwrap_or_else(|| since(claimed.due_at.unwrap_or(started_at), started_at));
        telemetry::late(late);
        let subscription = claimed.subscription.id;
        if let Some(fault) = fault.take_if(|fault| !fault.costs()) {
            let wait = self.faults.keep_back(fault.scope, fault.kind, subscription, now);
            let uncounted = late.saturating_add(since(started_at, now)).saturating_add(wait);
            let settlement = Settlement::hand_back(claimed.delivery, claimed.lease, now)
                .with_delay(wait)
                .with_late(uncounted);
            return (settlement, Report::new(fault, Some(subscription), Some(wait)));
        }
        let retry = claimed.subscription.options.retry(contract);
        let place = Place { delivery: claimed.delivery, lease: claimed.lease, late };
        let settlement = judge(contract, place, claimed.first_attempt_at, attempt, &retry, now);
        (settlement, fault.and_then(|fault| Report::new(fault, Some(subscription), None)))
    }

    /// Settles a delivery that cannot be read: as a failed attempt, or untried where its subscription is what
    /// cannot be read.
    pub(super) fn unreadable(&self, unreadable: &Unreadable, now: OffsetDateTime) -> Finished {
        let (delivery, lease, reason) = (unreadable.key, unreadable.lease, why(&unreadable.error));
        if let Some(subscription) = unreadable.subscription {
            let fault = Fault::of_subscription(FaultKind::Unreadable, reason);
            let wait = self.faults.keep_back(fault.scope, fault.kind, subscription, now);
            let settlement = Settlement::hand_back(delivery, lease, now).with_delay(wait).with_late(wait);
            let report = Report::new(fault, Some(subscription), Some(wait));
            return Finished { report, ..Finished::new(settlement, None) };
        }
        let outcome = Outcome::Failed(ErrorClass::Internal);
        let attempt = Attempt::new(unreadable.attempt, now, Duration::ZERO, outcome)
            .with_reason(FailureReason::Unreadable, None);
        let contract = self.contracts.most_patient();
        let place = Place { delivery, lease, late: Duration::ZERO };
        let settlement = judge(contract, place, unreadable.first_attempt_at, attempt, contract.retry(), now);
        let report = Report::new(Fault::of_delivery(FaultKind::Unreadable, reason), None, None);
        Finished { report, ..Finished::new(settlement, None) }
    }

    async fn send(
        &self,
        claimed: &Leased,
        terms: &Terms,
        time: &AttemptTime,
        headers: &mut HeaderMap,
    ) -> Result<AttemptResult, Fault> {
        let request = self.request(claimed, terms, time, std::mem::take(headers)).await?;
        let identity = self
            .keys
            .identity(&claimed.subscription)
            .map_err(|error| Fault::of_subscription(FaultKind::Key, error))?;
        let limits = match identity {
            Some(identity) => Cow::Owned(terms.limits.clone().with_identity(identity)),
            None => Cow::Borrowed(&terms.limits),
        };
        // The client may be the caller's own, and may forget its deadline.
        let most = terms.limits.deadline.saturating_add(GRACE);
        let Ok(sent) = tokio::time::timeout(most, self.client.send_dyn(request, &limits)).await else {
            return Ok(AttemptResult::failed(FailureReason::TimedOut));
        };
        match sent {
            Ok(exchange) => {
                // If Retry-After is a date, the wait counts from the response and not from the attempt's
                // beginning.
                let asked = retry_after(exchange.response.headers(), time.now());
                let result = AttemptResult {
                    outcome: exchange.outcome().with_retry_after(asked),
                    timings: exchange.timings,
                    excerpt: excerpt(exchange.response.body(), self.excerpt),
                    reason: None,
                    head_status: None,
                    own_fault: None,
                    own_words: String::new(),
                };
                let mut kept = exchange.response.into_parts().0.headers;
                // The capacity does not count the room for names that occur more than once.
                if kept.capacity().max(kept.len()) <= MOST_HEADERS_KEPT {
                    // Clear them now: the values are parts of the connection's buffer, and keep all of it
                    // alive.
                    kept.clear();
                    *headers = kept;
                }
                Ok(result)
            }
            Err(error) => {
                let own_fault = error.own_fault();
                let is_ours = own_fault.is_some() || error.class().is_ours();
                Ok(AttemptResult {
                    outcome: error.outcome(),
                    timings: *error.timings(),
                    excerpt: String::new(),
                    reason: Some(error.reason()),
                    head_status: error.status(),
                    own_fault,
                    own_words: if is_ours { error.to_string() } else { String::new() },
                })
            }
        }
    }

    async fn request(
        &self,
        claimed: &Leased,
        terms: &Terms,
        time: &AttemptTime,
        mut headers: HeaderMap,
    ) -> Result<Request<Bytes>, Fault> {
        let subscription = &claimed.subscription;
        let token = self.token(subscription, terms).await?;
        let now = time.now();
        headers.reserve(HEADERS);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(signer) = self.signer(&terms.contract, subscription, now)? {
            signer
                .sign_into(&mut headers, claimed.event.as_str(), now, &claimed.payload)
                .map_err(|error| Fault::of_delivery(FaultKind::Signing, error))?;
        }
        let options =
            self.keys.options(subscription).map_err(|error| Fault::of_subscription(FaultKind::Key, error))?;
        // A header of this name that the subscription has goes before ours.
        if options.headers().contains_key(&TRACEPARENT)
            || options.authentication().header() == Some(&TRACEPARENT)
        {
            headers.remove(TRACEPARENT);
        }
        options
            .apply(&mut headers, token.as_ref().map(Secret::expose))
            .map_err(|error| Fault::of_subscription(FaultKind::Credential, error))?;
        let mut request = Request::new(claimed.payload.clone());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = subscription.url.uri().clone();
        *request.headers_mut() = headers;
        Ok(request)
    }

    async fn token(&self, subscription: &Subscription, terms: &Terms) -> Result<Option<Secret>, Fault> {
        if !matches!(subscription.options.authentication(), Authentication::BearerFromSource) {
            return Ok(None);
        }
        let fault = |reason| Fault::of_subscription(FaultKind::Token, reason);
        let Some(tokens) = &self.tokens else {
            let missing = "subscription wants a bearer token from a source, and the dispatcher has none; \
                           expected one (`Dispatcher::with_token_source`)";
            return Err(fault(missing));
        };
        // The source is the caller's own. Its words may hold what is secret.
        let asked = AssertUnwindSafe(tokens.token_dyn(subscription.id)).catch_unwind();
        match tokio::time::timeout(token_wait(terms), asked).await {
            Ok(Ok(Ok(token))) => Ok(Some(token)),
            Ok(Ok(Err(_))) => Err(fault("token source gave no token")),
            Ok(Err(_panic)) => Err(fault("token source panicked")),
            Err(_elapsed) => Err(fault("token source gave no token in time")),
        }
    }

    fn signer(
        &self,
        contract: &Contract,
        subscription: &Subscription,
        now: OffsetDateTime,
    ) -> Result<Option<Signer>, Fault> {
        if contract.scheme().is_none() {
            return Ok(None);
        }
        let unusable = |error: Error| Fault::of_subscription(FaultKind::Secret, error);
        let open = |secret| {
            let opened = self.keys.secret(subscription.id, secret);
            opened.map_err(|error| Fault::of_subscription(FaultKind::Key, error))
        };
        let mut secrets = subscription.signing_secrets(now);
        let Some(newest) = secrets.next() else {
            let missing = Error::new(ErrorKind::Secret, "subscription has no secret and its contract signs")
                .with_expected("at least one secret");
            let fault = Fault::of_subscription(FaultKind::Secret, missing);
            return Err(fault.logged_as(FailureReason::MissingSecret));
        };
        let signer = contract.signer(&*open(newest)?).map_err(unusable)?;
        let with = |signer: Signer, older| signer.with_secret(&*open(older)?).map_err(unusable);
        secrets.try_fold(signer, with).map(Some)
    }
}

/// Decides what becomes of a delivery after an attempt.
fn judge(
    contract: &Contract,
    Place { delivery, lease, late }: Place,
    first_attempt_at: Option<OffsetDateTime>,
    attempt: Attempt,
    retry: &RetryPolicy,
    now: OffsetDateTime,
) -> Settlement {
    // The schedule's own time: a delivery that waited for this side is no older for it.
    let elapsed = first_attempt_at
        .map_or_else(|| since(attempt.started_at, now), |first| since(first, now).saturating_sub(late));
    // The random half of the id, so that each delivery has its own jitter, and the same one in every process.
    let progress = Progress::new(attempt.number, elapsed, delivery.as_u128() as u64);
    let outcome = attempt.outcome;
    let next = Next::by(contract, retry, progress, &outcome);
    telemetry::attempted(&attempt, &next);
    let late = if first_attempt_at.is_some() { late } else { Duration::ZERO };
    let settlement = Settlement::new(delivery, lease, attempt, next, now).with_late(late);
    match (next, pause(&outcome, retry)) {
        (Next::Dead { reason: DeadReason::Gone }, _) => settlement.with_disable(DisabledReason::Gone),
        (Next::Retry { .. }, Some(pause)) => settlement.with_pause(pause),
        _ => settlement,
    }
}

/// An attempt, and the fault on this side that ended it.
pub(super) struct Tried {
    pub(super) attempt: Attempt,
    fault: Option<Fault>,
}

/// A leased delivery, and for how long it waited for this side.
struct Place {
    delivery: DeliveryId,
    lease: Lease,
    late: Duration,
}

fn since(earlier: OffsetDateTime, now: OffsetDateTime) -> Duration {
    Duration::try_from(now - earlier).unwrap_or(Duration::ZERO)
}

/// How long the endpoint asked to be left alone, by `429` or `503` with `Retry-After` (RFC 9110 section
/// 10.2.3), within the policy's bound.
fn pause(outcome: &Outcome, retry: &RetryPolicy) -> Option<Duration> {
    let busy = matches!(outcome.status()?, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let asked = outcome.retry_after().filter(|asked| busy && !asked.is_zero())?;
    Some(asked.min(retry.largest_delay()?))
}

/// The result of one request, as the attempt log keeps it.
struct AttemptResult {
    outcome: Outcome,
    timings: Timings,
    excerpt: String,
    reason: Option<FailureReason>,
    head_status: Option<StatusCode>,
    own_fault: Option<OwnFault>,
    /// The client's words for a fault on this side.
    own_words: String,
}

impl AttemptResult {
    fn failed(reason: FailureReason) -> Self {
        Self {
            outcome: Outcome::Failed(reason.class()),
            timings: Timings::default(),
            excerpt: String::new(),
            reason: Some(reason),
            head_status: None,
            own_fault: None,
            own_words: String::new(),
        }
    }

    fn proof(&self) -> Proof {
        Proof {
            is_resolved: self.timings.dns.is_some() && self.own_fault.is_none(),
            is_connected: self.timings.connect.is_some(),
            is_answered: self.outcome.status().is_some(),
        }
    }
}

/// An error with its cause.
fn why(error: &StoreError) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn excerpt(body: &[u8], cap: usize) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(cap)]);
    // PostgreSQL stores no NUL in text, and no reader of a log needs one.
    text.replace('\0', "\u{fffd}")
}

/// How long a token is waited for. It does not take from the time of the request, so that a slow source of
/// tokens makes no endpoint seem slow.
fn token_wait(terms: &Terms) -> Duration {
    terms.limits.deadline.min(MOST_TOKEN_WAIT)
}

const MOST_TOKEN_WAIT: Duration = Duration::from_secs(15);

/// W3C Trace Context, section 3.2.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Room for the headers of a signed request and those that a client adds, so that the map does not grow.
const HEADERS: usize = 8;
/// A map with room for more is dropped: endpoints that respond with a hundred headers would fill the memory.
const MOST_HEADERS_KEPT: usize = 4 * HEADERS;
/// The time beyond its deadline that a client has to give up in good order.
const GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use http::Response;

    use super::*;
    use crate::address::{AddressPolicy, EndpointUrl};
    use crate::clock::SystemClock;
    use crate::dispatch::clock::SharedClock;
    use crate::event::EventId;
    use crate::store::DueDelivery;
    use crate::subscription::EventFilter;
    use crate::transport::{Exchange, HttpClient, Limits, TransportError};

    /// A client that answers 200, and notes how much room the headers of each request had.
    #[derive(Clone, Default)]
    struct Noting(Arc<Mutex<Vec<usize>>>);

    impl HttpClient for Noting {
        async fn send(&self, request: Request<Bytes>, _: &Limits) -> Result<Exchange, TransportError> {
            let (mut head, body) = request.into_parts();
            assert_eq!(head.headers.len(), 4, "none of an earlier response");
            self.0.lock().unwrap().push(head.headers.capacity());
            head.headers.clear();
            head.headers.insert("x-answer", HeaderValue::from_static("1"));
            let mut response = Response::new(body);
            *response.headers_mut() = head.headers;
            Ok(Exchange::new(response))
        }
    }

    #[tokio::test]
    async fn an_attempt_leaves_the_memory_of_its_headers_to_the_next() {
        let (client, contract) = (Noting::default(), Contract::allison());
        let sender = Sender {
            client: Arc::new(client.clone()),
            contracts: Contracts::new(contract.clone()),
            excerpt: 16,
            tokens: None,
            keys: Keys::default(),
            faults: Arc::default(),
            is_traced: true,
        };
        let url = EndpointUrl::parse("https://hooks.example.com/", &AddressPolicy::new()).unwrap();
        let subscription = Subscription::new("org", &contract, url, EventFilter::all())
            .with_secret(Secret::from_bytes([7; 32]));
        let due = DueDelivery::new(
            DeliveryId::generate(),
            contract.id().clone(),
            EventId::generate(),
            "call.ended".parse().unwrap(),
            Bytes::from_static(b"{}"),
            Arc::new(subscription),
        );
        let claimed = Leased::new(due, Lease::new(1));
        let (time, mut headers) = (AttemptTime::Running(SharedClock::new(SystemClock)), HeaderMap::new());
        for _ in 0..3 {
            let finished = sender.attempt(claimed.clone(), &time, &mut headers).await;
            assert_eq!(finished.settlement.next, Next::Done);
            assert!(headers.is_empty());
        }
        let room = client.0.lock().unwrap().clone();
        assert!(room[0] == room[1] && room[1] == room[2], "{room:?}");
    }
}
