//! One attempt: sign, send, judge. Whatever goes wrong in it costs this attempt and nothing else.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::contract::Contract;
use crate::delivery::{Attempt, DeadReason, Next, Progress};
use crate::dispatch::clock::AttemptTime;
use crate::dispatch::erased::ErasedClient;
use crate::error::{Error, ErrorKind};
use crate::outcome::{ErrorClass, Outcome};
use crate::retry::retry_after;
use crate::signature::Signer;
use crate::store::{Claimed, Settlement, Unreadable};
use crate::subscription::{DisabledReason, Subscription};
use crate::transport::Limits;

/// Everything an attempt needs besides its delivery.
#[derive(Clone)]
pub(super) struct Sender {
    pub(super) client: Arc<dyn ErasedClient>,
    pub(super) contract: Arc<Contract>,
    pub(super) limits: Limits,
    pub(super) excerpt: usize,
}

impl Sender {
    /// Carries out one attempt and says what becomes of the delivery.
    pub(super) async fn attempt(&self, claimed: Claimed, time: AttemptTime) -> Settlement {
        let started_at = time.now();
        let began = Instant::now();
        // A client may be the caller's own: it may panic, and it may forget its deadline.
        let guarded = AssertUnwindSafe(self.send(&claimed, started_at)).catch_unwind();
        let (outcome, excerpt) =
            match tokio::time::timeout(self.limits.deadline.saturating_add(GRACE), guarded).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_panic)) => (Outcome::Failed(ErrorClass::Internal), String::new()),
                Err(_elapsed) => (Outcome::Failed(ErrorClass::Timeout), String::new()),
            };
        let attempt = Attempt::new(claimed.attempt, started_at, began.elapsed(), outcome)
            .with_response_excerpt(excerpt);
        self.settle(
            claimed.delivery.as_u128(),
            claimed.first_attempt_at,
            attempt,
            time,
            |attempt, next, now| Settlement::new(claimed.delivery, claimed.lease, now, attempt, next),
        )
    }

    /// What becomes of a delivery whose row cannot be read: a failed attempt, by this side's fault.
    pub(super) fn unreadable(&self, unreadable: &Unreadable, time: AttemptTime) -> Settlement {
        let outcome = Outcome::Failed(ErrorClass::Internal);
        let attempt = Attempt::new(unreadable.attempt, time.now(), Duration::ZERO, outcome)
            .with_response_excerpt(unreadable.error.to_string());
        self.settle(
            unreadable.delivery.as_u128(),
            unreadable.first_attempt_at,
            attempt,
            time,
            |attempt, next, now| Settlement::new(unreadable.delivery, unreadable.lease, now, attempt, next),
        )
    }

    fn settle(
        &self,
        delivery: u128,
        first_attempt_at: Option<OffsetDateTime>,
        attempt: Attempt,
        time: AttemptTime,
        settlement: impl FnOnce(Attempt, Next, OffsetDateTime) -> Settlement,
    ) -> Settlement {
        let now = time.now();
        let first = first_attempt_at.unwrap_or(attempt.started_at);
        let elapsed = Duration::try_from(now - first).unwrap_or(Duration::ZERO);
        // The random half of the id: each delivery has its own jitter, the same whichever process computes it.
        let progress = Progress::new(attempt.number, elapsed, delivery as u64);
        let next = Next::after(&self.contract, progress, &attempt.outcome);
        let settlement = settlement(attempt, next, now);
        match next {
            Next::Dead { reason: DeadReason::Gone } => settlement.with_disable(DisabledReason::Gone),
            _ => settlement,
        }
    }

    async fn send(&self, claimed: &Claimed, now: OffsetDateTime) -> (Outcome, String) {
        let request = match self.request(claimed, now) {
            Ok(request) => request,
            Err(error) => return (Outcome::Failed(ErrorClass::Internal), error.to_string()),
        };
        match self.client.send_dyn(request, &self.limits).await {
            Ok(exchange) => {
                let asked = retry_after(exchange.response.headers(), now);
                (exchange.outcome().with_retry_after(asked), excerpt(exchange.response.body(), self.excerpt))
            }
            Err(error) => (error.outcome(), String::new()),
        }
    }

    fn request(&self, claimed: &Claimed, now: OffsetDateTime) -> Result<Request<bytes::Bytes>, Error> {
        let mut request = Request::new(claimed.payload.clone());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = claimed.subscription.url.uri().clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(signer) = self.signer(&claimed.subscription)? {
            signer.sign_into(headers, claimed.event.as_str(), now, &claimed.payload)?;
        }
        Ok(request)
    }

    fn signer(&self, subscription: &Subscription) -> Result<Option<Signer>, Error> {
        if self.contract.scheme().is_none() {
            return Ok(None);
        }
        let [newest, older @ ..] = subscription.secrets.as_slice() else {
            return Err(Error::new(
                ErrorKind::Secret,
                "subscription has no secret and its contract signs; expected one",
            ));
        };
        older.iter().try_fold(self.contract.signer(newest)?, Signer::with_secret).map(Some)
    }
}

fn excerpt(body: &[u8], cap: usize) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(cap)]);
    // PostgreSQL's text takes no NUL, and no reader of a log needs one.
    text.replace('\0', "\u{fffd}")
}

/// What a client may take beyond its deadline to give up in good order.
const GRACE: Duration = Duration::from_secs(1);
