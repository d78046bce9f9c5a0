//! [`Outcome`]: what came of one attempt, before any contract has judged it; [`Timings`]: how long it took.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

/// What came of one attempt: the endpoint's answer, or why there was none.
///
/// An outcome is a fact; whether it is a success is the contract's judgement
/// ([`Contract::judge`](crate::Contract::judge)).
///
/// ```
/// use hookwire::{ErrorClass, Outcome};
/// use http::StatusCode;
///
/// let answered = Outcome::answered(StatusCode::SERVICE_UNAVAILABLE);
/// assert_eq!(answered.status(), Some(StatusCode::SERVICE_UNAVAILABLE));
/// assert_eq!(Outcome::Failed(ErrorClass::Timeout).status(), None);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The endpoint answered with a complete response head.
    #[non_exhaustive]
    Answered {
        /// The response's status code.
        status: StatusCode,
        /// The wait that its `Retry-After` header asked for, already relative to the answer's arrival.
        retry_after: Option<Duration>,
    },
    /// No usable answer came.
    Failed(ErrorClass),
}

impl Outcome {
    /// An answer with `status` and no `Retry-After`.
    pub const fn answered(status: StatusCode) -> Self {
        Self::Answered { status, retry_after: None }
    }

    /// The same answer, asking for a wait of `retry_after`; a failure stays as it is.
    pub const fn with_retry_after(self, retry_after: Option<Duration>) -> Self {
        match self {
            Self::Answered { status, .. } => Self::Answered { status, retry_after },
            failed @ Self::Failed(_) => failed,
        }
    }

    /// The status code, when the endpoint answered.
    pub const fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Answered { status, .. } => Some(*status),
            Self::Failed(_) => None,
        }
    }

    /// The wait the endpoint asked for.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answered { retry_after, .. } => *retry_after,
            Self::Failed(_) => None,
        }
    }
}

/// Why an attempt got no usable answer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorClass {
    /// The host name did not resolve.
    Dns,
    /// The name resolved to, or the URL named, an address that the policy forbids. Nothing was sent.
    AddressDenied,
    /// No connection could be made: refused, unreachable, no route.
    Connect,
    /// The TLS handshake failed: certificate, protocol version, alert.
    Tls,
    /// The deadline passed, in whatever phase.
    Timeout,
    /// The connection was closed or reset before the response was complete.
    Reset,
    /// The peer spoke something that is not HTTP, or broke a bound on headers.
    Protocol,
    /// A fault on this side (signing, the client itself, a panic); never the endpoint's.
    Internal,
}

impl ErrorClass {
    /// Every class, in the order of declaration.
    pub const ALL: [Self; 8] = [
        Self::Dns,
        Self::AddressDenied,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Reset,
        Self::Protocol,
        Self::Internal,
    ];

    /// The class as stored and logged: `snake_case`, stable across versions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::AddressDenied => "address_denied",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Protocol => "protocol",
            Self::Internal => "internal",
        }
    }

    /// Whether the fault says nothing about the endpoint, so that it is not counted against it.
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Internal)
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How long the phases of one exchange took, as far as they took place.
///
/// A phase that was not reached, or not needed because a connection was reused, is `None`; the phase in which an
/// exchange failed counts up to the failure.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Timings {
    /// Resolving the host name.
    pub dns: Option<Duration>,
    /// Connecting, all addresses that were tried together.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// From the start of the exchange to the complete head of the response.
    pub first_byte: Option<Duration>,
    /// The whole exchange.
    pub total: Duration,
}

impl Timings {
    /// Timings of an exchange of which only its length is known.
    pub const fn new(total: Duration) -> Self {
        Self { dns: None, connect: None, tls: None, first_byte: None, total }
    }
}
