//! One attempt: sign, send, judge. Whatever goes wrong in it costs this attempt and nothing else.

use std::error::Error as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::contract::Contract;
use crate::delivery::{Attempt, DeadReason, Next, Progress};
use crate::dispatch::clock::AttemptTime;
use crate::dispatch::erased::{ErasedClient, ErasedTokens};
use crate::dispatch::lanes::{End, Lanes};
use crate::dispatch::sealing::Keys;
use crate::dispatch::telemetry;
use crate::error::{Error, ErrorKind};
use crate::id::{DeliveryId, SubscriptionId};
use crate::outcome::{ErrorClass, Outcome, Timings};
use crate::retry::{RetryPolicy, retry_after};
use crate::signature::{Secret, Signer};
use crate::store::{Claimed, Lease, Settlement, StoreError, Unreadable};
use crate::subscription::{Authentication, DisabledReason, Subscription};
use crate::transport::Limits;

/// Everything an attempt needs besides its delivery.
#[derive(Clone)]
pub(super) struct Sender {
    pub(super) client: Arc<dyn ErasedClient>,
    pub(super) contract: Arc<Contract>,
    pub(super) limits: Limits,
    pub(super) excerpt: usize,
    pub(super) tokens: Option<Arc<dyn ErasedTokens>>,
    pub(super) keys: Keys,
}

/// An attempt that ended, with what it was an attempt of.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) settlement: Settlement,
    /// Nothing when its row could not be read.
    pub(super) claimed: Option<Claimed>,
    /// Whether the attempt before it in this process failed.
    pub(super) was_failing: bool,
}

impl Ended {
    pub(super) const fn new(settlement: Settlement, claimed: Option<Claimed>) -> Self {
        Self { settlement, claimed, was_failing: false }
    }

    /// Tells its lane that it ended. Its room is free from here on and not when it is settled: what is claimed while it is
    /// settled may take it.
    pub(super) fn leave(&mut self, lanes: &mut Lanes) {
        let Some(id) = self.subscription() else { return };
        self.was_failing = lanes.is_failing(id);
        lanes.ended(id, self.settlement.now, self.end());
    }

    pub(super) fn subscription(&self) -> Option<SubscriptionId> {
        self.claimed.as_ref().map(|claimed| claimed.subscription.id)
    }

    /// Whose next delivery of the same ordering key may be due now.
    pub(super) fn lets_another_go(&self) -> Option<SubscriptionId> {
        let is_over = !matches!(self.settlement.next, Next::Retry { .. });
        self.claimed
            .as_ref()
            .filter(|claimed| claimed.is_ordered && is_over)
            .map(|claimed| claimed.subscription.id)
    }

    /// How it ended, as far as the endpoint's lane cares.
    pub(super) fn end(&self) -> End {
        match (&self.settlement.next, &self.settlement.attempt) {
            (Next::Delivered, _) => End::Delivered,
            (_, Some(attempt)) if !is_ours(&attempt.outcome) => End::Failed { pause: self.settlement.pause },
            _ => End::Ours,
        }
    }
}

impl Sender {
    /// Carries out one attempt and says what becomes of the delivery. The request takes the memory of `headers`,
    /// which are empty, and leaves them as empty with that of the answer's.
    pub(super) async fn attempt(
        &self,
        claimed: Claimed,
        time: &AttemptTime,
        headers: &mut HeaderMap,
    ) -> Ended {
        let settlement = telemetry::in_span(&claimed, self.try_once(&claimed, time, headers)).await;
        Ended::new(settlement, Some(claimed))
    }

    async fn try_once(&self, claimed: &Claimed, time: &AttemptTime, headers: &mut HeaderMap) -> Settlement {
        let started_at = time.now();
        let began = Instant::now();
        // A client may be the caller's own: it may panic, and it may forget its deadline.
        let guarded = AssertUnwindSafe(self.send(claimed, time, headers)).catch_unwind();
        let answer = match tokio::time::timeout(self.limits.deadline.saturating_add(GRACE), guarded).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_panic)) => Answer::failed(ErrorClass::Internal, "a part of the sender panicked"),
            Err(_elapsed) => Answer::failed(ErrorClass::Timeout, ""),
        };
        let attempt = Attempt::new(claimed.attempt, started_at, began.elapsed(), answer.outcome)
            .with_timings(answer.timings)
            .with_response_excerpt(answer.excerpt);
        let retry = claimed.subscription.options.retry(&self.contract);
        self.judge(claimed.delivery, claimed.lease, claimed.first_attempt_at, attempt, &retry, time.now())
    }

    /// What becomes of a delivery whose row cannot be read: a failed attempt, by this side's fault.
    pub(super) fn unreadable(&self, unreadable: &Unreadable, now: OffsetDateTime) -> Ended {
        let outcome = Outcome::Failed(ErrorClass::Internal);
        let attempt = Attempt::new(unreadable.attempt, now, Duration::ZERO, outcome)
            .with_response_excerpt(why(&unreadable.error));
        let retry = self.contract.retry();
        let settlement = self.judge(
            unreadable.delivery,
            unreadable.lease,
            unreadable.first_attempt_at,
            attempt,
            retry,
            now,
        );
        Ended::new(settlement, None)
    }

    fn judge(
        &self,
        delivery: DeliveryId,
        lease: Lease,
        first_attempt_at: Option<OffsetDateTime>,
        attempt: Attempt,
        retry: &RetryPolicy,
        now: OffsetDateTime,
    ) -> Settlement {
        let first = first_attempt_at.unwrap_or(attempt.started_at);
        let elapsed = Duration::try_from(now - first).unwrap_or(Duration::ZERO);
        // The random half of the id: each delivery has its own jitter, the same whichever process computes it.
        let progress = Progress::new(attempt.number, elapsed, delivery.as_u128() as u64);
        let outcome = attempt.outcome;
        let next = Next::by(&self.contract, retry, progress, &outcome);
        telemetry::attempted(&attempt, &next);
        let settlement = Settlement::new(delivery, lease, now, attempt, next);
        match (next, pause(&outcome, retry)) {
            (Next::Dead { reason: DeadReason::Gone }, _) => settlement.with_disable(DisabledReason::Gone),
            (Next::Retry { .. }, Some(pause)) => settlement.with_pause(pause),
            _ => settlement,
        }
    }

    async fn send(&self, claimed: &Claimed, time: &AttemptTime, headers: &mut HeaderMap) -> Answer {
        let request = match self.request(claimed, time.now(), std::mem::take(headers)).await {
            Ok(request) => request,
            Err(error) => return Answer::failed(ErrorClass::Internal, &error.to_string()),
        };
        match self.client.send_dyn(request, &self.limits).await {
            Ok(exchange) => {
                // A date is a wait from the answer on, not from when the attempt began.
                let asked = retry_after(exchange.response.headers(), time.now());
                let answer = Answer {
                    outcome: exchange.outcome().with_retry_after(asked),
                    timings: exchange.timings,
                    excerpt: excerpt(exchange.response.body(), self.excerpt),
                };
                let mut answered = exchange.response.into_parts().0.headers;
                // Of a name that comes again the map has room that its capacity does not count.
                if answered.capacity().max(answered.len()) <= MOST_HEADERS_KEPT {
                    // Now: they are parts of what the connection read, and keep all of it.
                    answered.clear();
                    *headers = answered;
                }
                answer
            }
            Err(error) => {
                Answer { outcome: error.outcome(), timings: *error.timings(), excerpt: String::new() }
            }
        }
    }

    async fn request(
        &self,
        claimed: &Claimed,
        now: OffsetDateTime,
        mut headers: HeaderMap,
    ) -> Result<Request<Bytes>, Error> {
        let token = self.token(&claimed.subscription).await?;
        headers.reserve(HEADERS);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(signer) = self.signer(&claimed.subscription, now)? {
            signer.sign_into(&mut headers, claimed.event.as_str(), now, &claimed.payload)?;
        }
        self.keys.options(&claimed.subscription)?.apply(&mut headers, token.as_ref().map(Secret::expose))?;
        let mut request = Request::new(claimed.payload.clone());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = claimed.subscription.url.uri().clone();
        *request.headers_mut() = headers;
        Ok(request)
    }

    async fn token(&self, subscription: &Subscription) -> Result<Option<Secret>, Error> {
        if !matches!(subscription.options.authentication(), Authentication::BearerFromSource) {
            return Ok(None);
        }
        let missing =
            "subscription wants a bearer token from a source, and the dispatcher has none; expected one";
        let tokens = self.tokens.as_ref().ok_or_else(|| Error::new(ErrorKind::Subscription, missing))?;
        let token = tokens.token_dyn(subscription.id).await;
        token.map(Some).map_err(|source| {
            Error::new(ErrorKind::Subscription, "token source gave no token").with_source(source)
        })
    }

    fn signer(&self, subscription: &Subscription, now: OffsetDateTime) -> Result<Option<Signer>, Error> {
        if self.contract.scheme().is_none() {
            return Ok(None);
        }
        let mut secrets = subscription.signing_secrets(now);
        let Some(newest) = secrets.next() else {
            return Err(Error::new(
                ErrorKind::Secret,
                "subscription has no secret and its contract signs; expected one",
            ));
        };
        let signer = self.contract.signer(&*self.keys.secret(subscription.id, newest)?)?;
        let with = |signer: Signer, older| signer.with_secret(&*self.keys.secret(subscription.id, older)?);
        secrets.try_fold(signer, with).map(Some)
    }
}

/// For how long the endpoint asked to be left alone: by `429` and `503` with `Retry-After` (RFC 9110 section 10.2.3),
/// within the policy's bound.
fn pause(outcome: &Outcome, retry: &RetryPolicy) -> Option<Duration> {
    let busy = matches!(outcome.status()?, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let asked = outcome.retry_after().filter(|asked| busy && !asked.is_zero())?;
    Some(asked.min(retry.largest_delay()?))
}

/// What came back, and what the log keeps of it.
struct Answer {
    outcome: Outcome,
    timings: Timings,
    excerpt: String,
}

impl Answer {
    fn failed(class: ErrorClass, why: &str) -> Self {
        Self { outcome: Outcome::Failed(class), timings: Timings::default(), excerpt: why.to_owned() }
    }
}

/// Whether the fault is on this side.
pub(super) fn is_ours(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(class) if class.is_ours())
}

/// An error with what caused it.
fn why(error: &StoreError) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn excerpt(body: &[u8], cap: usize) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(cap)]);
    // PostgreSQL's text takes no NUL, and no reader of a log needs one.
    text.replace('\0', "\u{fffd}")
}

/// Room for those of a signed request and for what a client adds, so that the map does not grow under way.
const HEADERS: usize = 8;
/// A map with room for more is not kept for the next request: endpoints that answer with a hundred headers would fill the memory.
const MOST_HEADERS_KEPT: usize = 4 * HEADERS;
/// What a client may take beyond its deadline to give up in good order.
const GRACE: Duration = Duration::from_secs(1);
