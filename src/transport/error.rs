//! [`TransportError`]: why an exchange brought no response.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use http::StatusCode;

use crate::outcome::{ErrorClass, FailureReason, Outcome, Timings};

/// An exchange that brought no response.
///
/// The text names the fault and never holds the URL's path or query, a header or a body. The cause is the
/// [`source`](StdError::source).
///
/// ```
/// use hookwire::{ErrorClass, Outcome, TransportError};
///
/// let error = TransportError::new(ErrorClass::Connect, "connection was refused").with_maybe_sent(false);
/// assert_eq!(error.outcome(), Outcome::Failed(ErrorClass::Connect));
/// assert_eq!(error.to_string(), "connection was refused");
/// ```
pub struct TransportError(Box<Details>);

impl TransportError {
    /// Makes an error of `class`, after which parts of the request may have been sent.
    pub fn new(class: ErrorClass, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Details {
            reason: FailureReason::of(class),
            status: None,
            message: message.into(),
            maybe_sent: true,
            timings: Timings::default(),
            own_fault: None,
            source: None,
        }))
    }

    /// Sets why it failed. The class becomes that of the reason.
    #[must_use]
    pub fn with_reason(mut self, reason: FailureReason) -> Self {
        self.0.reason = reason;
        self
    }

    /// Sets the status of the response, which then broke off.
    #[must_use]
    pub fn with_status(mut self, status: Option<StatusCode>) -> Self {
        self.0.status = status;
        self
    }

    /// Sets what this side lacked. The dispatcher judges from it whose fault the failure is.
    #[must_use]
    pub fn with_own_fault(mut self, fault: OwnFault) -> Self {
        self.0.own_fault = Some(fault);
        self
    }

    /// Sets the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Sets how long the phases took up to the failure.
    #[must_use]
    pub fn with_timings(mut self, timings: Timings) -> Self {
        self.0.timings = timings;
        self
    }

    /// Sets whether any part of the request may have reached the endpoint.
    #[must_use]
    pub fn with_maybe_sent(mut self, maybe_sent: bool) -> Self {
        self.0.maybe_sent = maybe_sent;
        self
    }

    /// The kind of failure.
    pub fn class(&self) -> ErrorClass {
        self.0.reason.class()
    }

    /// Why it failed.
    pub fn reason(&self) -> FailureReason {
        self.0.reason
    }

    /// The status, if the response broke off after it.
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }

    /// Whether any part of the request may have reached the endpoint, so that sending it again may double it.
    pub fn maybe_sent(&self) -> bool {
        self.0.maybe_sent
    }

    /// How long the phases took up to the failure.
    pub fn timings(&self) -> &Timings {
        &self.0.timings
    }

    /// The thing that this side lacked, if it is known or likely to be the cause.
    pub fn own_fault(&self) -> Option<OwnFault> {
        self.0.own_fault
    }

    /// The failure as an outcome.
    pub fn outcome(&self) -> Outcome {
        Outcome::Failed(self.class())
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
        let Details { reason, status, message, maybe_sent, timings, own_fault, source } = &*self.0;
        f.debug_struct("TransportError")
            .field("reason", reason)
            .field("status", status)
            .field("message", message)
            .field("maybe_sent", maybe_sent)
            .field("timings", timings)
            .field("own_fault", own_fault)
            .field("source", source)
            .finish()
    }
}

// Boxed in the error, so that a `Result` stays small.
struct Details {
    reason: FailureReason,
    status: Option<StatusCode>,
    message: Cow<'static, str>,
    maybe_sent: bool,
    timings: Timings,
    own_fault: Option<OwnFault>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Something that this side needs to send a request, and that it lacked.
///
/// A client reports what it saw. Whether one failure is this side's fault is the dispatcher's judgement,
/// which knows of other organizations: see `dispatch::FaultScope`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum OwnFault {
    /// The process has no descriptor left, or the system no memory, for one more socket.
    Descriptors,
    /// There is no local port left to connect from. A port is taken for each destination, so one busy
    /// endpoint may use up those that lead to it.
    Ports,
    /// The resolver gave no answer. The name's own servers may be the reason, or a resolver that does not
    /// work.
    Resolver,
    /// The proxy cannot be reached, does not take the credentials, or does not speak the protocol of a proxy.
    Proxy,
    /// The HTTP/2 connection to the endpoint had no stream left for the request.
    Streams,
    /// The client certificate of the request cannot be used: its key does not fit, or the client takes none.
    ClientCertificate,
    /// The client is set up so that it cannot send this request, whatever the endpoint does.
    Client,
}
