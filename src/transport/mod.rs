//! [`HttpClient`]: sends one request, returns one response.
//!
//! The response is hostile: whoever owns the endpoint chooses what it answers and how slowly. So a deadline, a cap
//! on the body and an [`AddressPolicy`] are arguments of every call, and what a client must do with them is part of
//! the trait's contract.

pub(crate) mod hyper;
mod names;
pub(crate) mod reqwest;

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::address::AddressPolicy;
use crate::outcome::{ErrorClass, Outcome, Timings};

/// Sends one request and returns one response, within [`Limits`].
///
/// An implementation
///
/// - ends within the deadline, which covers name resolution, connecting, TLS, the response's head and its body;
/// - reads the body up to the cap, cuts it there and says so;
/// - refuses a URL, and every address that its name resolves to, unless the policy allows it, and dials just the
///   addresses it has checked. A connection is reused only under a policy equal to the one it was opened under;
/// - follows no redirect, decodes no content coding, asks no proxy from the environment;
/// - sends a request again only when nothing of it had been sent.
///
/// ```
/// use bytes::Bytes;
/// use hookwire::{Exchange, HttpClient, Limits, TransportError};
///
/// /// Answers everything with 204, for tests of what comes after.
/// struct Yes;
///
/// impl HttpClient for Yes {
///     async fn send(&self, _: http::Request<Bytes>, _: &Limits) -> Result<Exchange, TransportError> {
///         let mut response = http::Response::new(Bytes::new());
///         *response.status_mut() = http::StatusCode::NO_CONTENT;
///         Ok(Exchange::new(response))
///     }
/// }
/// ```
pub trait HttpClient: Send + Sync {
    /// Sends `request`, whose URI is absolute, and reads the response.
    ///
    /// # Errors
    ///
    /// [`TransportError`] when no complete response (or none up to the cap) came. A response of any status is none.
    fn send(
        &self,
        request: http::Request<Bytes>,
        limits: &Limits,
    ) -> impl Future<Output = Result<Exchange, TransportError>> + Send;
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient + ?Sized> HttpClient for &C {
    fn send(
        &self,
        request: http::Request<Bytes>,
        limits: &Limits,
    ) -> impl Future<Output = Result<Exchange, TransportError>> + Send {
        C::send(self, request, limits)
    }
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient + ?Sized> HttpClient for Arc<C> {
    fn send(
        &self,
        request: http::Request<Bytes>,
        limits: &Limits,
    ) -> impl Future<Output = Result<Exchange, TransportError>> + Send {
        C::send(self, request, limits)
    }
}

/// What one request may take and where it may go.
///
/// ```
/// use std::time::Duration;
/// use hookwire::{AddressPolicy, Limits};
///
/// let limits = Limits::new(Duration::from_secs(10))
///     .with_body_cap(4 * 1024)
///     .with_addresses(AddressPolicy::new().allow_loopback());
/// assert_eq!(limits.body_cap, 4096);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Everything from name resolution to the last byte of the body happens within this time.
    pub deadline: Duration,
    /// How much of the response's body is kept, in bytes; 16 KiB unless set.
    pub body_cap: usize,
    /// What may be reached; the strict policy unless set.
    pub addresses: AddressPolicy,
}

impl Limits {
    /// Limits with a deadline and otherwise strict defaults.
    pub const fn new(deadline: Duration) -> Self {
        Self { deadline, body_cap: DEFAULT_BODY_CAP, addresses: AddressPolicy::new() }
    }

    /// Keeps `bytes` of the response's body.
    #[must_use]
    pub const fn with_body_cap(mut self, bytes: usize) -> Self {
        self.body_cap = bytes;
        self
    }

    /// Reaches what `addresses` allows.
    #[must_use]
    pub fn with_addresses(mut self, addresses: AddressPolicy) -> Self {
        self.addresses = addresses;
        self
    }
}

/// A response, and how it came.
///
/// `Debug` shows neither headers nor body.
#[derive(Clone)]
#[non_exhaustive]
pub struct Exchange {
    /// The response; its body is at most [`Limits::body_cap`] long.
    pub response: http::Response<Bytes>,
    /// Whether the body was longer than what is kept of it.
    pub truncated: bool,
    /// How long each phase took.
    pub timings: Timings,
}

impl Exchange {
    /// A complete response whose timings are not known.
    pub fn new(response: http::Response<Bytes>) -> Self {
        Self { response, truncated: false, timings: Timings::default() }
    }

    /// Says whether the body was cut.
    #[must_use]
    pub fn with_truncated(mut self, truncated: bool) -> Self {
        self.truncated = truncated;
        self
    }

    /// Says how long the phases took.
    #[must_use]
    pub fn with_timings(mut self, timings: Timings) -> Self {
        self.timings = timings;
        self
    }

    /// The answer as an outcome, without its `Retry-After`.
    pub fn outcome(&self) -> Outcome {
        Outcome::answered(self.response.status())
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("status", &self.response.status())
            .field("body_len", &self.response.body().len())
            .field("truncated", &self.truncated)
            .field("timings", &self.timings)
            .finish()
    }
}

/// An exchange that brought no response.
///
/// The text says what went wrong and never holds the URL's path or query, a header or a body; the cause is the
/// [`source`](StdError::source).
///
/// ```
/// use hookwire::{ErrorClass, Outcome, TransportError};
///
/// let error = TransportError::new(ErrorClass::Connect, "connection was refused").with_maybe_sent(false);
/// assert_eq!(error.outcome(), Outcome::Failed(ErrorClass::Connect));
/// assert_eq!(error.to_string(), "connection was refused");
/// ```
pub struct TransportError(Box<Failure>);

impl TransportError {
    /// A failure of `class`, of which parts of the request may have been sent.
    pub fn new(class: ErrorClass, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Failure {
            class,
            message: message.into(),
            maybe_sent: true,
            timings: Timings::default(),
            source: None,
        }))
    }

    /// Adds what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Says how long the phases took up to the failure.
    #[must_use]
    pub fn with_timings(mut self, timings: Timings) -> Self {
        self.0.timings = timings;
        self
    }

    /// Says whether any part of the request may have reached the endpoint.
    #[must_use]
    pub fn with_maybe_sent(mut self, maybe_sent: bool) -> Self {
        self.0.maybe_sent = maybe_sent;
        self
    }

    /// What kind of failure it was.
    pub fn class(&self) -> ErrorClass {
        self.0.class
    }

    /// Whether any part of the request may have reached the endpoint, so that sending it again may double it.
    pub fn maybe_sent(&self) -> bool {
        self.0.maybe_sent
    }

    /// How long the phases took up to the failure.
    pub fn timings(&self) -> &Timings {
        &self.0.timings
    }

    /// The failure as an outcome.
    pub fn outcome(&self) -> Outcome {
        Outcome::Failed(self.0.class)
    }
}

impl StdError for TransportError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { class, message, maybe_sent, timings, source } = &*self.0;
        f.debug_struct("TransportError")
            .field("class", class)
            .field("message", message)
            .field("maybe_sent", maybe_sent)
            .field("timings", timings)
            .field("source", source)
            .finish()
    }
}

struct Failure {
    class: ErrorClass,
    message: Cow<'static, str>,
    maybe_sent: bool,
    timings: Timings,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

// Enough to read an error page by; an attempt's log keeps less.
const DEFAULT_BODY_CAP: usize = 16 * 1024;
