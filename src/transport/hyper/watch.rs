//! [`Watch`]: the progress of one exchange.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::connection::Poison;
use super::dial::{Dial, Phase};
use super::fault::{BoxError, diagnose, message, own_fault};
use crate::outcome::{ErrorClass, FailureReason, Timings};
use crate::transport::error::{OwnFault, TransportError};
use crate::transport::limits::Limits;

/// The progress of one exchange, from which its timings and its error are made.
pub(super) struct Watch {
    pub(super) start: Instant,
    pub(super) deadline: Instant,
    pub(super) first_byte: Option<Duration>,
    /// The status, once the response's head has come.
    pub(super) status: Option<StatusCode>,
    /// The connection that is opened for the exchange, if there is one.
    pub(super) dial: Option<Arc<Dial>>,
    /// Whether a connection has the request.
    pub(super) is_sent: bool,
    /// Whether the request waits for a stream, because other requests have all of them.
    pub(super) is_queued: bool,
    /// Whether the request's own connection is open, and its peer takes no requests at all.
    pub(super) is_barred: bool,
    pub(super) poison: Option<Poison>,
}

impl Watch {
    pub(super) fn new(start: Instant, deadline: Instant) -> Self {
        Self {
            start,
            deadline,
            first_byte: None,
            status: None,
            dial: None,
            is_sent: false,
            is_queued: false,
            is_barred: false,
            poison: None,
        }
    }

    /// The error of an exchange whose deadline passed.
    pub(super) fn timeout(&self, limits: &Limits) -> TransportError {
        self.fail(self.timed_out(), None, limits)
    }

    /// The error of an exchange that `source` ended.
    pub(super) fn failure(&self, source: BoxError, limits: &Limits) -> TransportError {
        let reason = match diagnose(&*source) {
            reason if self.status.is_some() => reason.after_status(),
            // The deadline of a dial is the exchange's.
            FailureReason::TimedOut => self.timed_out(),
            reason => reason,
        };
        self.fail(reason, Some(source), limits)
    }

    fn timed_out(&self) -> FailureReason {
        match (self.first_byte, self.is_sent) {
            (Some(_), _) => FailureReason::BodyTimeout,
            (None, true) => FailureReason::ResponseTimeout,
            (None, false) if self.is_barred => FailureReason::RefusedStream,
            (None, false) if self.is_queued => FailureReason::Streams,
            (None, false) => self.phase().timed_out(),
        }
    }

    fn phase(&self) -> Phase {
        self.dial.as_ref().map_or(Phase::Pool, |dial| dial.phase())
    }

    fn fail(&self, reason: FailureReason, source: Option<BoxError>, limits: &Limits) -> TransportError {
        let class = reason.class();
        // An HTTP/2 connection outlives a request that timed out. If it is dead, the next request would time
        // out too.
        match (&self.poison, class) {
            (Some(poison), _) if self.is_barred => poison.poison(),
            (Some(poison), ErrorClass::Timeout) => poison.poison_if_silent(),
            _ => {}
        }
        let error = match class {
            ErrorClass::Timeout => {
                let phase = match (self.first_byte, self.is_sent) {
                    (Some(_), _) => "reading the response body",
                    (None, true) => "waiting for the response",
                    (None, false) => self.phase().doing(),
                };
                TransportError::new(class, format!("deadline of {:?} passed while {phase}", limits.deadline))
            }
            _ if matches!(reason, FailureReason::RefusedStream | FailureReason::Streams) => {
                TransportError::new(class, reason.explanation())
            }
            class => TransportError::new(class, message(class)),
        };
        let mut error = error
            .with_reason(reason)
            .with_status(self.status)
            .with_maybe_sent(self.is_sent)
            .with_timings(self.timings(Instant::now()));
        let told = source.as_deref().and_then(|source| own_fault(source));
        // The deadline passed, so there is no error that tells it.
        let passed = match reason {
            FailureReason::Proxy => Some(OwnFault::Proxy),
            FailureReason::DnsTimeout => Some(OwnFault::Resolver),
            FailureReason::Streams => Some(OwnFault::Streams),
            _ => None,
        };
        if let Some(fault) = told.or(passed) {
            error = error.with_own_fault(fault);
        }
        match source {
            Some(source) => error.with_source(source),
            None => error,
        }
    }

    pub(super) fn timings(&self, now: Instant) -> Timings {
        let mut timings = self.dial.as_ref().map_or_else(Timings::default, |dial| dial.timings());
        timings.first_byte = self.first_byte;
        timings.total = now.saturating_duration_since(self.start);
        timings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_deadline_that_passes_in_a_phase_of_this_side_names_what_it_lacked() {
        let limits = Limits::new(Duration::from_secs(1));
        let at = |phase| {
            let mut watch = Watch::new(Instant::now(), Instant::now());
            let dial = Dial::new(watch.deadline);
            dial.enter(phase);
            watch.dial = Some(Arc::new(dial));
            watch
        };
        for (phase, reason, fault) in [
            (Phase::Dns, FailureReason::DnsTimeout, Some(OwnFault::Resolver)),
            (Phase::Proxy, FailureReason::Proxy, Some(OwnFault::Proxy)),
            (Phase::Connect, FailureReason::ConnectTimeout, None),
            (Phase::Tls, FailureReason::TlsTimeout, None),
        ] {
            let error = at(phase).timeout(&limits);
            assert_eq!((error.reason(), error.own_fault()), (reason, fault));
            assert!(!error.maybe_sent());
        }
        let mut queued = at(Phase::Connect);
        queued.is_queued = true;
        let error = queued.timeout(&limits);
        assert_eq!((error.reason(), error.own_fault()), (FailureReason::Streams, Some(OwnFault::Streams)));
    }
}
