//! Spans and numbers of receivers and workers, for the features `tracing` and `metrics`.
//!
//! Spans (`tracing`): `event` around the handler of an event, with `provider`, `event`, `type`, and
//! `trace_id` and `parent_id` if the request has a `traceparent` header (W3C Trace Context), whose trace it
//! continues. `stored_event` around the call of a worker's handler, with `queue`, `event` and `attempt` of
//! its first event. A refused request is an event of level `DEBUG`. Failed handlers, overruns, data that does
//! not fit its type and requests that are given up are warnings.
//!
//! Numbers (`metrics`):
//!
//! | name | kind | labels |
//! |---|---|---|
//! | `hookwire_requests_total` | counter | `provider`, `outcome`: `accepted`, `challenge`, `refused`, `failed`; `reason`: `none`, or [`Rejection::reason`](crate::receive::Rejection::reason) |
//! | `hookwire_duplicates_total` | counter | `provider` |
//! | `hookwire_undecodable_events_total` | counter | `provider`: events of known types with data that does not fit |
//! | `hookwire_overruns_total` | counter | `provider`: events that were handled after their leases had ended |
//! | `hookwire_handler_duration_seconds` | histogram | `provider`, or `queue` for a worker |
//! | `hookwire_stored_requests` | gauge | `queue`: requests that wait for a worker or are handled by one, counted up to 100,000 |
//! | `hookwire_oldest_stored_request_seconds` | gauge | `queue`: how long ago the oldest of them arrived |
//! | `hookwire_stored_request_failures_total` | counter | `queue`: attempts that failed and are repeated |
//! | `hookwire_stored_requests_given_up_total` | counter | `queue` |
//!
//! `provider` is the name of the receiver's contract or provider, `several` for a request that none of
//! several [`Senders`](crate::receive::Senders) proves; `queue` is the name that the application gives its
//! worker. No label has a value that a peer chooses. Each number has a description. The counters of a
//! receiver are there when it is made, so install your recorder before; those of a worker from the start of
//! its `run`.

// Without its feature, each of the two is a file of the same functions that do nothing.
#[cfg_attr(not(feature = "metrics"), path = "no_numbers.rs")]
mod numbers;
#[cfg_attr(not(feature = "tracing"), path = "no_spans.rs")]
mod spans;

pub(super) use numbers::{Numbers, Stopwatch};
pub(super) use spans::{EventSpan, Trace};

use std::sync::Arc;

use crate::event::DataError;
use crate::receive::rejection::Rejection;
use crate::store::InboxKey;

/// Reports a request that was refused, or a challenge that was answered.
pub(super) fn refused(provider: &Arc<str>, rejection: &Rejection) {
    numbers::refused(provider, rejection);
    spans::refused(provider, rejection);
}

/// Reports an event that was handled after its lease had ended.
pub(super) fn overran(provider: &Arc<str>, key: &InboxKey) {
    numbers::overran(provider);
    spans::overran(key);
}

/// Reports an event of a known type with data that does not fit.
pub(super) fn undecodable(provider: &Arc<str>, error: &DataError) {
    numbers::undecodable(provider);
    spans::undecodable(provider, error);
}
