//! The way from a [`Rejection`] to the sender's [`Answer`], past the application's log.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use http::header::{ALLOW, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use crate::provider::{Challenge, Provider};
use crate::receive::answer::Answer;
use crate::receive::rejection::Rejection;
use crate::receive::telemetry;

/// The application's log of refused requests.
pub(super) type RejectionObserver = Arc<dyn Fn(&Rejection) + Send + Sync>;

/// Calls the observer, and makes the answer to a request of `provider`. `challenge` is the challenge of the
/// receiver's guards, and `provided` its provider.
pub(super) fn refuse(
    provider: &Arc<str>,
    provided: Option<&'static Provider>,
    observer: Option<&(dyn Fn(&Rejection) + Send + Sync)>,
    rejection: &Rejection,
    challenge: impl FnOnce() -> Option<&'static str>,
) -> Answer {
    telemetry::refused(provider, rejection);
    // A challenge is no refusal.
    if let Rejection::Challenge { answer } = rejection {
        return answer.clone();
    }
    if let Some(observer) = observer {
        // The observer is the application's own, so its panic ends this call and nothing else.
        drop(catch_unwind(AssertUnwindSafe(|| observer(rejection))));
    }
    let answer = Answer::from(rejection);
    if let (Rejection::Method, Some(provider)) = (rejection, provided) {
        return answer.with_header(ALLOW, allowed(provider));
    }
    if answer.status != StatusCode::UNAUTHORIZED {
        return answer;
    }
    // The same challenge whichever guard refused, so that it tells a stranger nothing. A guard may name one
    // that no header can hold.
    match challenge().and_then(|challenge| HeaderValue::from_str(challenge).ok()) {
        Some(challenge) => answer.with_header(WWW_AUTHENTICATE, challenge),
        None => answer,
    }
}

/// The methods that a provider uses: its events are POSTs, and its challenges may be others.
fn allowed(provider: &Provider) -> HeaderValue {
    let mut methods: Vec<_> = provider.challenges().iter().map(Challenge::method).collect();
    methods.push("POST");
    methods.sort_unstable();
    methods.dedup();
    HeaderValue::from_str(&methods.join(", ")).expect("invariant: the names of methods are visible ASCII")
}
