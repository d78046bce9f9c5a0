//! [`Outcome`]: the result of one attempt, before any contract has judged it; [`FailureReason`]: why there
//! was no response; [`Timings`]: how long it took.

mod reason;

pub use self::reason::FailureReason;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::StatusCode;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, ErrorKind};
use crate::text::stored_as_text;

/// The result of one attempt: the endpoint's response, or why there was none.
///
/// An outcome is a fact; the contract judges whether it is a success
/// ([`Contract::judge`](crate::Contract::judge)).
///
/// Its text is `503`, `503 (retry after 2m)` or `timeout`, in `Display`, `FromStr` and serde; serde also
/// reads a bare number as a status code.
///
/// ```
/// use std::time::Duration;
/// use hookwire::{ErrorClass, Outcome};
/// use http::StatusCode;
///
/// let answered = Outcome::answered(StatusCode::SERVICE_UNAVAILABLE);
/// assert_eq!(answered.status(), Some(StatusCode::SERVICE_UNAVAILABLE));
/// assert_eq!(Outcome::Failed(ErrorClass::Timeout).status(), None);
///
/// let later = answered.with_retry_after(Some(Duration::from_secs(120)));
/// assert_eq!(later.to_string(), "503 (retry after 2m)");
/// assert_eq!("503 (retry after 2m)".parse::<Outcome>()?, later);
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The endpoint answered with a complete response head.
    #[non_exhaustive]
    Answered {
        /// The response's status code.
        status: StatusCode,
        /// The wait that its `Retry-After` header asked for, relative to the response's arrival.
        retry_after: Option<Duration>,
    },
    /// No usable response came.
    Failed(ErrorClass),
}

impl Outcome {
    /// Makes the outcome of a response with `status` and no `Retry-After`.
    pub const fn answered(status: StatusCode) -> Self {
        Self::Answered { status, retry_after: None }
    }

    /// Sets the wait that the response asks for; a failure stays as it is.
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

    /// The wait that the endpoint asked for.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answered { retry_after, .. } => *retry_after,
            Self::Failed(_) => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered { status, retry_after: None } => write!(f, "{}", status.as_str()),
            Self::Answered { status, retry_after: Some(wait) } => {
                write!(f, "{}{RETRY_AFTER}{})", status.as_str(), humantime::format_duration(*wait))
            }
            Self::Failed(class) => f.write_str(class.as_str()),
        }
    }
}

impl FromStr for Outcome {
    type Err = Error;

    /// Reads the text that `Display` writes.
    fn from_str(text: &str) -> Result<Self, Error> {
        if let Ok(class) = text.parse() {
            return Ok(Self::Failed(class));
        }
        let (status, wait) = match text.strip_suffix(')').and_then(|text| text.split_once(RETRY_AFTER)) {
            Some((status, wait)) => (status, Some(wait)),
            None => (text, None),
        };
        let status = StatusCode::from_str(status).map_err(|error| unreadable().with_source(error))?;
        let retry_after = wait
            .map(humantime::parse_duration)
            .transpose()
            .map_err(|error| unreadable().with_source(error))?;
        Ok(Self::Answered { status, retry_after })
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrStatus;

        impl Visitor<'_> for TextOrStatus {
            type Value = Outcome;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a status code or an error class, such as 503, \"503 (retry after 2m)\" or \"timeout\"",
                )
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Outcome, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: serde::de::Error>(self, status: u64) -> Result<Outcome, E> {
                let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
                status.map(Outcome::answered).ok_or_else(|| E::custom(unreadable()))
            }

            fn visit_i64<E: serde::de::Error>(self, status: i64) -> Result<Outcome, E> {
                self.visit_u64(u64::try_from(status).map_err(|_| E::custom(unreadable()))?)
            }
        }

        deserializer.deserialize_any(TextOrStatus)
    }
}

/// Why an attempt got no usable response.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorClass {
    /// The host name did not resolve.
    Dns,
    /// The policy forbids the address that the URL names or that its name resolved to. Nothing was sent.
    AddressDenied,
    /// No connection could be made: refused, unreachable, no route.
    Connect,
    /// The TLS handshake failed: certificate, protocol version, alert.
    Tls,
    /// The deadline passed, in any phase.
    Timeout,
    /// The connection was closed or reset before the response was complete.
    Reset,
    /// The peer did not speak HTTP, or broke a bound on headers.
    Protocol,
    /// A fault on this side (signing, the client itself, a panic); never the endpoint's.
    Internal,
}

impl ErrorClass {
    /// Every class, in the order of declaration.
    pub const ALL: &'static [Self] = &[
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

    /// Whether the fault tells nothing about the endpoint, so that it is not counted against it.
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Internal)
    }
}

stored_as_text!(ErrorClass, "error class", ErrorKind::Outcome);

/// How long the phases of one exchange took, as far as they took place.
///
/// A phase is `None` when it was not reached, or not needed because a connection was reused. The phase in
/// which an exchange failed counts up to the failure.
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
    /// Makes the timings of an exchange of which only the length is known.
    pub const fn new(total: Duration) -> Self {
        Self { dns: None, connect: None, tls: None, first_byte: None, total }
    }
}

fn unreadable() -> Error {
    Error::new(ErrorKind::Outcome, "outcome cannot be read")
        .with_expected("a status code or an error class, such as 503, 503 (retry after 2m) or timeout")
}

/// Between the status code and the wait.
const RETRY_AFTER: &str = " (retry after ";
