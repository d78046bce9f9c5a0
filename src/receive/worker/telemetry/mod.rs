//! The spans and numbers of workers: see [`telemetry`](crate::receive::telemetry).

#[cfg_attr(not(feature = "metrics"), path = "no_numbers.rs")]
mod numbers;
#[cfg_attr(not(feature = "tracing"), path = "no_spans.rs")]
mod spans;

pub(super) use numbers::{begin, failed, watch};
pub(super) use spans::in_span;

use std::sync::Arc;

use crate::store::InboxKey;

/// Reports a stored request that was given up.
pub(super) fn gave_up(queue: &Arc<str>, key: &InboxKey, reason: &str) {
    numbers::gave_up(queue);
    spans::gave_up(queue, key, reason);
}
