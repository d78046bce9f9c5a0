//! [`Rejection`]: a request that is not handled, and the answer that it gets.

use std::error::Error as StdError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::event::DecodeError;
use crate::receive::answer::Answer;
use crate::signature::VerifyError;
use crate::store::StoreError;

/// A request that is not handled, and the answer that it gets.
///
/// The status is all that a stranger is told; the rest is for one's own log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The signature does not prove the request.
    #[error("request is not proven")]
    Unverified(#[from] VerifyError),
    /// A guard did not admit the request.
    #[error("request is not admitted by guard `{guard}`")]
    #[non_exhaustive]
    NotAdmitted {
        /// The guard's name.
        guard: &'static str,
    },
    /// A guard panicked, so that nobody knows whether it admits the request.
    #[error("guard `{guard}` panicked")]
    #[non_exhaustive]
    GuardPanicked {
        /// The guard's name.
        guard: &'static str,
    },
    /// The request names no tenant whose secrets could prove it.
    #[error("request is for no tenant that is known")]
    UnknownTenant,
    /// The method is not POST.
    #[error("method is not POST")]
    Method,
    /// The content type is not JSON.
    #[error("content type is not JSON, expected application/json")]
    ContentType,
    /// The body is longer than the receiver takes.
    #[error("body is longer than {limit} bytes")]
    #[non_exhaustive]
    TooLarge {
        /// How long it may be.
        limit: usize,
    },
    /// The body did not come in time.
    #[error("body did not arrive in time")]
    Incomplete,
    /// The body ended before its length said so, or its chunks are none (RFC 9112 section 8).
    #[error("body cannot be read to its end")]
    Truncated,
    /// The request is proven and its body is not the contract's envelope.
    #[error("request is genuine and its body is not an event")]
    Malformed(#[source] DecodeError),
    /// The endpoint is retired.
    #[error("endpoint is retired")]
    Retired,
    /// More requests come than are looked at.
    #[error("too many requests")]
    #[non_exhaustive]
    Busy {
        /// How long the sender is asked to wait.
        retry_after: Duration,
    },
    /// The function that makes an event's key panicked.
    #[error("function of the event's key panicked")]
    KeyPanicked,
    /// Another copy of the same event is being handled right now.
    #[error("another copy of the same event is being handled")]
    InFlight,
    /// The inbox cannot be asked.
    #[error("inbox is unavailable")]
    Inbox(#[from] StoreError),
    /// The secrets cannot be looked up.
    #[error("secrets are unavailable")]
    Secrets(#[source] Box<dyn StdError + Send + Sync>),
    /// The handler failed, so that the sender should repeat.
    #[error("handler failed")]
    Handler(#[source] Box<dyn StdError + Send + Sync>),
}

impl Rejection {
    /// The refusal of a body that is longer than `limit` bytes: for whoever reads the body, and stops there.
    pub const fn too_large(limit: usize) -> Self {
        Self::TooLarge { limit }
    }

    /// The status code to answer: 401 for what is not proven, 400 for what is not an event, 503 when the sender should repeat.
    ///
    /// Never 500: what a peer sends is no fault of the server.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Unverified(_) | Self::NotAdmitted { .. } | Self::UnknownTenant => StatusCode::UNAUTHORIZED,
            Self::Malformed(_) | Self::Truncated => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Incomplete => StatusCode::REQUEST_TIMEOUT,
            Self::Retired => StatusCode::GONE,
            Self::Busy { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::GuardPanicked { .. }
            | Self::KeyPanicked
            | Self::InFlight
            | Self::Inbox(_)
            | Self::Secrets(_)
            | Self::Handler(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The wait to ask for in `Retry-After`, for a sender that should repeat.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after } => Some(*retry_after),
            Self::GuardPanicked { .. }
            | Self::KeyPanicked
            | Self::InFlight
            | Self::Inbox(_)
            | Self::Secrets(_)
            | Self::Handler(_) => Some(RETRY_AFTER),
            _ => None,
        }
    }
}

/// Is told of what is refused.
pub(super) type RejectionObserver = Arc<dyn Fn(&Rejection) + Send + Sync>;

/// Tells the observer, and then the sender. The observer is the caller's own: its panic ends the call and nothing else.
pub(super) fn refuse(
    observer: Option<&(dyn Fn(&Rejection) + Send + Sync)>,
    rejection: &Rejection,
    challenge: Option<&'static str>,
) -> Answer {
    if let Some(observer) = observer {
        drop(catch_unwind(AssertUnwindSafe(|| observer(rejection))));
    }
    let answer = Answer::from(rejection);
    // The receiver's, not the guard's that refused: which of them did is nobody's business.
    Answer { challenge: challenge.filter(|_| answer.status == StatusCode::UNAUTHORIZED), ..answer }
}

const RETRY_AFTER: Duration = Duration::from_secs(5);
