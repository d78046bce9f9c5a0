//! The spans and events of workers.

use std::sync::Arc;

use tracing::{Instrument as _, field, info_span, warn};

use crate::store::InboxKey;

/// Puts the call of a handler into its span. `key` is that of its first event.
pub(in crate::receive::worker) fn in_span<F: Future>(
    queue: &Arc<str>,
    key: Option<&InboxKey>,
    attempt: u32,
    future: F,
) -> impl Future<Output = F::Output> + use<F> {
    let event = key.map(|key| field::display(&key.id));
    future.instrument(info_span!("stored_event", %queue, event, attempt))
}

pub(super) fn gave_up(queue: &Arc<str>, key: &InboxKey, reason: &str) {
    warn!(%queue, source = %key.source, event = %key.id, reason, "stored request given up");
}
