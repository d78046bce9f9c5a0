//! The spans and events of receivers and workers.

use std::error::Error as _;
use std::sync::Arc;

use http::HeaderMap;
use tracing::{Instrument as _, Span, debug, field, info_span, warn};

use crate::event::{DataError, Envelope, EventData, TraceParent};
use crate::receive::rejection::Rejection;
use crate::store::InboxKey;

/// The headers that may name the sender's place in a trace.
#[derive(Clone, Copy)]
pub(in crate::receive) struct Trace<'a>(&'a HeaderMap);

impl<'a> Trace<'a> {
    pub(in crate::receive) const fn of(headers: &'a HeaderMap) -> Self {
        Self(headers)
    }

    /// The place in a trace that the sender named. Nothing proves it, so it is for logs alone.
    fn parent(self) -> Option<TraceParent> {
        self.0.get("traceparent").and_then(|value| value.to_str().ok()?.parse().ok())
    }
}

/// The span of an event that is handled. It continues the sender's trace.
pub(in crate::receive) struct EventSpan(Span);

impl EventSpan {
    pub(in crate::receive) fn of<T: EventData>(
        provider: &Arc<str>,
        read: &Result<Envelope<T>, Box<DataError>>,
        trace: Trace<'_>,
    ) -> Self {
        let (id, event_type) = match read {
            Ok(envelope) => (Some(&envelope.id), envelope.event_type()),
            Err(error) => (error.id(), error.event_type().as_str()),
        };
        let span = info_span!(
            "event",
            %provider,
            event = id.map(field::display),
            r#type = event_type,
            trace_id = field::Empty,
            parent_id = field::Empty,
        );
        if !span.is_disabled()
            && let Some(trace) = trace.parent()
        {
            span.record("trace_id", format_args!("{:032x}", u128::from_be_bytes(trace.trace_id())));
            span.record("parent_id", format_args!("{:016x}", u64::from_be_bytes(trace.parent_id())));
        }
        Self(span)
    }

    /// Runs a future in the span.
    pub(in crate::receive) fn around<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        future.instrument(self.0)
    }
}

pub(super) fn refused(provider: &Arc<str>, rejection: &Rejection) {
    let cause = rejection.source().map(field::display);
    match rejection {
        Rejection::Challenge { .. } => debug!(%provider, "challenge answered"),
        Rejection::Handler(_) | Rejection::Inbox(_) | Rejection::Secrets(_) => {
            warn!(%provider, reason = rejection.reason(), %rejection, cause, "request failed");
        }
        _ => debug!(%provider, reason = rejection.reason(), %rejection, cause, "request refused"),
    }
}

pub(super) fn overran(key: &InboxKey) {
    warn!(source = %key.source, event = %key.id, "event took longer than its lease");
}

pub(super) fn undecodable(provider: &Arc<str>, error: &DataError) {
    warn!(%provider, event = error.id().map(field::display), %error, "data does not fit its type");
}
