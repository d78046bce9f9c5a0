//! [`Rejection`]: why a request is not handled.

use std::error::Error as StdError;
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, ALLOW, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use crate::event::DecodeError;
use crate::receive::answer::Answer;
use crate::signature::VerifyError;
use crate::store::StoreError;

/// Why a request is not handled.
///
/// The sender sees only the [`status`](Self::status). The reason is for your own log.
///
/// ```
/// use hookwire::receive::{Answer, Rejection};
///
/// let rejection = Rejection::too_large(1_000);
/// assert_eq!(rejection.to_string(), "body is longer than 1000 bytes, the limit set by `with_max_body`");
/// assert_eq!(Answer::from(&rejection).status, 413);
/// ```
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
    /// A guard panicked, so it is not known whether it admits the request.
    #[error("guard `{guard}` panicked")]
    #[non_exhaustive]
    GuardPanicked {
        /// The guard's name.
        guard: &'static str,
    },
    /// The request is a challenge of the provider, and this is the answer that it wants. Nothing is wrong,
    /// and there is nothing to handle.
    #[error("request is a challenge, which is answered and no event")]
    #[non_exhaustive]
    Challenge {
        /// The answer.
        answer: Answer,
    },
    /// The request has several events, and was asked for one.
    #[error("request has several events, expected `receive_all` or `handle_each`")]
    SeveralEvents,
    /// The request names no tenant, or a tenant without secrets.
    #[error("request is for no known tenant, expected one for which the secret source has secrets")]
    UnknownTenant,
    /// The method is not POST, nor that of a challenge.
    #[error("method is not POST")]
    Method,
    /// The content type is not one that the sender sends, which mostly is JSON.
    #[error("content type is not one of the sender's, mostly application/json")]
    ContentType,
    /// The body is compressed, or encoded in another way, and the receiver does not decode it.
    #[error("body has a content encoding, expected none, or gzip if it is set by `with_gzip`")]
    ContentEncoding,
    /// The request is proven, but its body is not gzip, although its content encoding says so.
    #[error("request is genuine, but its body is not gzip as its content encoding says")]
    Undecodable(#[source] std::io::Error),
    /// The body is longer than the receiver takes when it is decoded.
    #[error("decoded body is longer than {limit} bytes, the limit set by `with_gzip`")]
    #[non_exhaustive]
    DecodedTooLarge {
        /// The greatest length of a decoded body, in bytes.
        limit: usize,
    },
    /// The request has more events than the receiver takes.
    #[error("request has more than {limit} events, the limit set by `with_max_events`")]
    #[non_exhaustive]
    TooManyEvents {
        /// The greatest number of events in a request.
        limit: usize,
    },
    /// The body is longer than the receiver takes.
    #[error("body is longer than {limit} bytes, the limit set by `with_max_body`")]
    #[non_exhaustive]
    TooLarge {
        /// The greatest length of a body, in bytes.
        limit: usize,
    },
    /// The body did not arrive in time.
    #[error("body did not arrive within the time set by `with_body_deadline`")]
    Incomplete,
    /// The body is shorter than its length, or its chunks are malformed (RFC 9112 section 7).
    #[error("body cannot be read to its end, expected as many bytes as its length or chunks announce")]
    Truncated,
    /// The request is proven, but its body is not an event of the contract.
    #[error("request is genuine, but its body is not an event of the contract")]
    Malformed(#[source] DecodeError),
    /// The endpoint is retired.
    #[error("endpoint is retired by `with_retirement`")]
    Retired,
    /// More requests, or more bytes of their bodies, arrive than the receiver admits.
    #[error("more requests or bytes arrive than the receiver admits, see `with_admission`")]
    #[non_exhaustive]
    Busy {
        /// How long the sender is asked to wait.
        retry_after: Duration,
    },
    /// The function that makes an event's key panicked.
    #[error("function given to `with_key` panicked")]
    KeyPanicked,
    /// Another copy of the same event is being handled right now.
    #[error("another copy of the event is being handled, at most for the time set by `with_handling_lease`")]
    InFlight,
    /// The inbox or the intake cannot be reached, or refuses the request.
    #[error("inbox or intake failed")]
    Inbox(#[from] StoreError),
    /// The secrets cannot be looked up.
    #[error("secrets of the tenant are unavailable")]
    Secrets(#[source] Box<dyn StdError + Send + Sync>),
    /// The handler failed, so the sender should repeat the request.
    #[error("handler failed")]
    Handler(#[source] Box<dyn StdError + Send + Sync>),
}

impl Rejection {
    /// The rejection of a body that is longer than `limit` bytes, for a server of your own that reads bodies
    /// itself.
    pub const fn too_large(limit: usize) -> Self {
        Self::TooLarge { limit }
    }

    /// The status code of the answer: 401 if the request is not proven, 400 if it is no event, 503 if the
    /// sender should repeat it.
    ///
    /// It is never 500, because a peer cannot cause a fault of the server.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Challenge { answer } => answer.status,
            Self::Unverified(_) | Self::NotAdmitted { .. } | Self::UnknownTenant => StatusCode::UNAUTHORIZED,
            Self::Malformed(_) | Self::Truncated | Self::Undecodable(_) => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentType | Self::ContentEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } | Self::DecodedTooLarge { .. } | Self::TooManyEvents { .. } => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::Incomplete => StatusCode::REQUEST_TIMEOUT,
            Self::Retired => StatusCode::GONE,
            Self::Busy { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::GuardPanicked { .. }
            | Self::KeyPanicked
            | Self::InFlight
            | Self::Inbox(_)
            | Self::Secrets(_)
            | Self::SeveralEvents
            | Self::Handler(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// A word for the reason, for a label or a log line. It is one of a few fixed ones, whatever a peer
    /// sends.
    ///
    /// ```
    /// use hookwire::receive::Rejection;
    ///
    /// assert_eq!(Rejection::Method.reason(), "method");
    /// ```
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Challenge { .. } => "none",
            Self::Unverified(error) => match error {
                VerifyError::MissingHeader { .. } => "missing_header",
                VerifyError::DuplicateHeader { .. } => "duplicate_header",
                VerifyError::MalformedHeader { .. } => "malformed_header",
                VerifyError::TimestampTooOld { .. } => "too_old",
                VerifyError::TimestampInFuture { .. } => "in_future",
                VerifyError::SignatureMismatch => "signature",
                VerifyError::UnknownUrl => "unknown_url",
                VerifyError::UnknownKey => "unknown_key",
                _ => "unproven",
            },
            Self::NotAdmitted { .. } => "guard",
            Self::UnknownTenant => "unknown_tenant",
            Self::Method => "method",
            Self::ContentType => "content_type",
            Self::ContentEncoding => "content_encoding",
            Self::TooLarge { .. } | Self::DecodedTooLarge { .. } => "too_large",
            Self::TooManyEvents { .. } => "too_many_events",
            Self::Incomplete => "incomplete",
            Self::Truncated => "truncated",
            Self::Malformed(_) => "malformed",
            Self::Undecodable(_) => "undecodable",
            Self::Retired => "retired",
            Self::Busy { .. } => "busy",
            Self::GuardPanicked { .. } | Self::KeyPanicked => "panic",
            Self::SeveralEvents => "several_events",
            Self::InFlight => "in_flight",
            Self::Inbox(_) => "inbox",
            Self::Secrets(_) => "secrets",
            Self::Handler(_) => "handler",
        }
    }

    /// A word for what becomes of the request: the sender is asked to repeat it, or is not.
    #[allow(dead_code, reason = "only the numbers ask for it")]
    pub(super) const fn outcome(&self) -> &'static str {
        match self {
            Self::Challenge { .. } => "challenge",
            _ if self.retry_after().is_some() => "failed",
            _ => "refused",
        }
    }

    /// Every pair of an outcome and a reason, without the challenge.
    #[allow(dead_code, reason = "only the numbers ask for it")]
    pub(super) const REASONS: &[(&'static str, &'static str)] = &[
        ("refused", "missing_header"),
        ("refused", "duplicate_header"),
        ("refused", "malformed_header"),
        ("refused", "too_old"),
        ("refused", "in_future"),
        ("refused", "signature"),
        ("refused", "unknown_url"),
        ("refused", "unknown_key"),
        ("refused", "unproven"),
        ("refused", "guard"),
        ("refused", "unknown_tenant"),
        ("refused", "method"),
        ("refused", "content_type"),
        ("refused", "content_encoding"),
        ("refused", "too_large"),
        ("refused", "too_many_events"),
        ("refused", "incomplete"),
        ("refused", "truncated"),
        ("refused", "malformed"),
        ("refused", "undecodable"),
        ("refused", "retired"),
        ("failed", "busy"),
        ("failed", "panic"),
        ("failed", "several_events"),
        ("failed", "in_flight"),
        ("failed", "inbox"),
        ("failed", "secrets"),
        ("failed", "handler"),
    ];

    /// The wait for the header `Retry-After`, if the sender should repeat the request.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after } => Some(*retry_after),
            Self::GuardPanicked { .. }
            | Self::KeyPanicked
            | Self::InFlight
            | Self::Inbox(_)
            | Self::Secrets(_)
            | Self::SeveralEvents
            | Self::Handler(_) => Some(RETRY_AFTER),
            _ => None,
        }
    }
}

/// The rejection's status, and the headers that HTTP demands with it.
///
/// [`Receiver::refuse`](crate::receive::Receiver::refuse) adds the challenge of the receiver's guards to a
/// 401.
impl From<&Rejection> for Answer {
    fn from(rejection: &Rejection) -> Self {
        if let Rejection::Challenge { answer } = rejection {
            return answer.clone();
        }
        let answer = Self::new(rejection.status());
        let answer = match rejection.retry_after() {
            Some(wait) => answer.with_retry_after(wait),
            None => answer,
        };
        match answer.status {
            StatusCode::UNAUTHORIZED => {
                answer.with_header(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE))
            }
            StatusCode::METHOD_NOT_ALLOWED => answer.with_header(ALLOW, HeaderValue::from_static("POST")),
            StatusCode::UNSUPPORTED_MEDIA_TYPE if matches!(rejection, Rejection::ContentEncoding) => {
                answer.with_header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            }
            _ => answer,
        }
    }
}

/// RFC 9110 section 15.5.2 demands a challenge with every 401. No registered scheme stands for a signature
/// over the body, so this one says nothing.
const CHALLENGE: &str = "Webhook";
const RETRY_AFTER: Duration = Duration::from_secs(5);
