//! [`Dial`]: the progress of a connection that is being opened; [`DialError`]: why it could not be opened.

use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::outcome::{FailureReason, Timings};
use crate::transport::error::OwnFault;

/// The deadline and the progress of a connection that is being opened for an exchange.
pub(in crate::transport) struct Dial {
    pub(in crate::transport) deadline: Instant,
    progress: Mutex<Progress>,
}

impl Dial {
    pub(in crate::transport) fn new(deadline: Instant) -> Self {
        let (since, timings) = (Instant::now(), Timings::default());
        let progress = Progress { phase: Phase::Pool, since, asked: None, timings };
        Self { deadline, progress: Mutex::new(progress) }
    }

    pub(in crate::transport) fn phase(&self) -> Phase {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let is_served = |asked: &Arc<LastAnswer>| asked.is_after_half(progress.since, Instant::now());
        // A proxy that answers others is in order, so it waits for the endpoint.
        if progress.asked.as_ref().is_some_and(is_served) { Phase::Connect } else { progress.phase }
    }

    /// The timings of the phases so far; the current one counts up to now.
    pub(in crate::transport) fn timings(&self) -> Timings {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).timings_at(Instant::now())
    }

    pub(in crate::transport) fn enter(&self, phase: Phase) {
        self.go_on(phase, None);
    }

    /// Begins to wait for the first byte of a proxy that may connect to the endpoint before it sends one.
    pub(in crate::transport) fn ask(&self, last_answer: &Arc<LastAnswer>) {
        self.go_on(Phase::Proxy, Some(Arc::clone(last_answer)));
    }

    fn go_on(&self, phase: Phase, asked: Option<Arc<LastAnswer>>) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        *progress = Progress { phase, since: now, asked, timings: progress.timings_at(now) };
    }
}

struct Progress {
    phase: Phase,
    since: Instant,
    /// When the proxy last answered anybody, while it is waited for.
    asked: Option<Arc<LastAnswer>>,
    /// Those of the phases before.
    timings: Timings,
}

impl Progress {
    fn timings_at(&self, now: Instant) -> Timings {
        let mut timings = self.timings;
        let took = now.saturating_duration_since(self.since);
        match self.phase {
            Phase::Dns => timings.dns = Some(took),
            // Through a proxy, connecting has two phases.
            Phase::Proxy | Phase::Connect => {
                timings.connect = Some(timings.connect.unwrap_or_default().saturating_add(took));
            }
            Phase::Tls => timings.tls = Some(took),
            Phase::Pool | Phase::Done => {}
        }
        timings
    }
}

/// When a proxy last answered, whichever endpoint it was asked for.
#[derive(Default)]
pub(in crate::transport) struct LastAnswer(Mutex<Option<Instant>>);

impl LastAnswer {
    pub(in crate::transport) fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether it answered in the second half of a wait. An answer in the first half proves less: the proxy
    /// may have failed after it.
    fn is_after_half(&self, since: Instant, now: Instant) -> bool {
        let half = now.saturating_duration_since(since) / 2;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|last| last >= since + half)
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
pub(in crate::transport) enum Phase {
    Pool,
    /// Opening a connection to the proxy, and waiting for its own part of the way to the endpoint.
    Proxy,
    Dns,
    Connect,
    Tls,
    Done,
}

impl Phase {
    pub(in crate::transport) fn doing(self) -> &'static str {
        match self {
            Self::Pool | Self::Done => "waiting for a connection",
            Self::Proxy => "connecting to the proxy",
            Self::Dns => "resolving the host name",
            Self::Connect => "connecting",
            Self::Tls => "shaking hands over TLS",
        }
    }

    /// The reason of an exchange whose deadline passed in this phase, before its request was sent.
    pub(in crate::transport) fn timed_out(self) -> FailureReason {
        match self {
            Self::Pool | Self::Done => FailureReason::TimedOut,
            Self::Proxy => FailureReason::Proxy,
            Self::Dns => FailureReason::DnsTimeout,
            Self::Connect => FailureReason::ConnectTimeout,
            Self::Tls => FailureReason::TlsTimeout,
        }
    }
}

/// Why a connection could not be opened.
#[derive(Debug)]
pub(in crate::transport) struct DialError {
    reason: FailureReason,
    message: &'static str,
    own_fault: Option<OwnFault>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl DialError {
    pub(in crate::transport) fn reason(&self) -> FailureReason {
        self.reason
    }

    pub(in crate::transport) fn new(reason: FailureReason, message: &'static str) -> Self {
        Self { reason, message, own_fault: None, source: None }
    }

    /// A proxy that cannot be used.
    pub(in crate::transport) fn proxy(message: &'static str) -> Self {
        Self::new(FailureReason::Proxy, message).for_want_of(OwnFault::Proxy)
    }

    pub(in crate::transport) fn own_fault(&self) -> Option<OwnFault> {
        self.own_fault
    }

    pub(in crate::transport) fn for_want_of(mut self, fault: OwnFault) -> Self {
        self.own_fault = Some(fault);
        self
    }

    pub(in crate::transport) fn caused_by(
        mut self,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl StdError for DialError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message)
    }
}
