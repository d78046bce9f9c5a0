//! [`Fault`]: a fault on this side that ended an attempt; [`FaultScope`]: how much of the sending it
//! concerns.

use std::time::Duration;

use crate::id::{DeliveryId, SubscriptionId};
use crate::outcome::FailureReason;

/// How much of the sending a fault on this side concerns.
///
/// A fault of the process or of a subscription costs no attempt: its deliveries are handed back, and are due
/// again after 1 s, then 2 s and so on up to 5 minutes. A name that does not exist, a refused connection, a
/// failed TLS handshake and the like are the endpoint's faults and have no scope.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum FaultScope {
    /// All sending of the process, which slows down: no descriptor, no local port for three organizations, a
    /// store that is away, a resolver that answers for no name of three organizations.
    Process,
    /// One subscription, which alone slows down: its key, its secret, its token, its row.
    Subscription,
    /// One delivery, which pays with an attempt: its row cannot be read, or a part of the sender panicked.
    Delivery,
}

impl FaultScope {
    /// The scope as metrics name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Subscription => "subscription",
            Self::Delivery => "delivery",
        }
    }
}

/// The kind of a fault on this side.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The HTTP client cannot send the request, whatever the endpoint does.
    Client,
    /// The subscription's client certificate cannot be used.
    ClientCertificate,
    /// The subscription's credential makes no header.
    Credential,
    /// No descriptor is left for a socket.
    Descriptors,
    /// A sealed secret does not open: its key is not in the key ring, or it was altered.
    Key,
    /// A part of the sender panicked.
    Panic,
    /// No local port is left.
    Ports,
    /// The proxy cannot be used.
    Proxy,
    /// The resolver gives no answers.
    Resolver,
    /// The subscription has no secret that its contract can sign with.
    Secret,
    /// The event cannot be signed as it is stored.
    Signing,
    /// The store cannot be reached.
    Store,
    /// The HTTP/2 connection to the endpoint had no stream left.
    Streams,
    /// The token source gives no token.
    Token,
    /// A stored row cannot be read.
    Unreadable,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::Client,
        Self::ClientCertificate,
        Self::Credential,
        Self::Descriptors,
        Self::Key,
        Self::Panic,
        Self::Ports,
        Self::Proxy,
        Self::Resolver,
        Self::Secret,
        Self::Signing,
        Self::Store,
        Self::Streams,
        Self::Token,
        Self::Unreadable,
    ];

    /// The scopes that a fault of this kind can have.
    pub const fn scopes(self) -> &'static [FaultScope] {
        match self {
            Self::Descriptors | Self::Resolver | Self::Store => &[FaultScope::Process],
            Self::ClientCertificate
            | Self::Credential
            | Self::Key
            | Self::Secret
            | Self::Streams
            | Self::Token => &[FaultScope::Subscription],
            Self::Panic | Self::Signing => &[FaultScope::Delivery],
            Self::Client => &[FaultScope::Process, FaultScope::Delivery],
            Self::Ports | Self::Proxy => &[FaultScope::Process, FaultScope::Subscription],
            Self::Unreadable => &[FaultScope::Subscription, FaultScope::Delivery],
        }
    }

    /// The reason of an attempt that a fault of this kind ended.
    pub const fn reason(self) -> FailureReason {
        match self {
            Self::Client => FailureReason::Client,
            Self::ClientCertificate => FailureReason::ClientCertificate,
            Self::Credential => FailureReason::Credential,
            Self::Descriptors => FailureReason::Descriptors,
            Self::Key => FailureReason::Key,
            Self::Panic => FailureReason::Panic,
            Self::Ports => FailureReason::Ports,
            Self::Proxy => FailureReason::Proxy,
            Self::Resolver => FailureReason::Resolver,
            Self::Secret => FailureReason::Secret,
            Self::Signing => FailureReason::Signing,
            Self::Store => FailureReason::Store,
            Self::Streams => FailureReason::Streams,
            Self::Token => FailureReason::Token,
            Self::Unreadable => FailureReason::Unreadable,
        }
    }

    /// The kind as metrics name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::ClientCertificate => "client_certificate",
            Self::Credential => "credential",
            Self::Descriptors => "descriptors",
            Self::Key => "key",
            Self::Panic => "panic",
            Self::Ports => "ports",
            Self::Proxy => "proxy",
            Self::Resolver => "resolver",
            Self::Secret => "secret",
            Self::Signing => "signing",
            Self::Store => "store",
            Self::Streams => "streams",
            Self::Token => "token",
            Self::Unreadable => "unreadable",
        }
    }
}

/// A delivery that a fault on this side concerns, as an [`Observer`](crate::dispatch::Observer) hears of it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct FaultEvent<'a> {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Its subscription, where that is known.
    pub subscription: Option<SubscriptionId>,
    /// How much of the sending the fault concerns.
    pub scope: FaultScope,
    /// The kind of fault.
    pub kind: FaultKind,
    /// The fault in words, without a secret.
    pub reason: &'a str,
    /// How long after now the delivery is due again, untried; `None` where the fault cost an attempt.
    pub due_in: Option<Duration>,
}

/// A fault on this side that ended an attempt.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) scope: FaultScope,
    pub(super) kind: FaultKind,
    pub(super) reason: String,
    /// The reason as the attempt log keeps it.
    pub(super) logged: FailureReason,
}

impl Fault {
    pub(super) fn new(scope: FaultScope, kind: FaultKind, reason: impl Into<String>) -> Self {
        Self { scope, kind, reason: reason.into(), logged: kind.reason() }
    }

    pub(super) fn of_subscription(kind: FaultKind, reason: impl ToString) -> Self {
        Self::new(FaultScope::Subscription, kind, reason.to_string())
    }

    pub(super) fn of_delivery(kind: FaultKind, reason: impl ToString) -> Self {
        Self::new(FaultScope::Delivery, kind, reason.to_string())
    }

    pub(super) const fn logged_as(mut self, reason: FailureReason) -> Self {
        self.logged = reason;
        self
    }

    /// Whether it costs an attempt.
    pub(super) const fn costs(&self) -> bool {
        matches!(self.scope, FaultScope::Delivery)
    }
}
