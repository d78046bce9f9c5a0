//! The numbers of workers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use tokio::time::sleep;

use crate::store::WaitingRequests;

/// Describes a worker's numbers, and has each begin at zero.
pub(in crate::receive::worker) fn begin(queue: &Arc<str>) {
    describe_counter!(FAILURES, "Attempts to handle stored requests that failed and are repeated.");
    describe_counter!(GIVEN_UP, "Stored requests that were given up.");
    describe_gauge!(STORED, "Stored requests that wait or are handled, counted up to 100,000.");
    describe_gauge!(OLDEST, Unit::Seconds, "How long ago the oldest stored request arrived.");
    for name in [FAILURES, GIVEN_UP] {
        counter!(name, "queue" => Arc::clone(queue)).increment(0);
    }
    stored(queue, 0, Duration::ZERO);
}

/// Reports from time to time how many stored requests wait, and the age of the oldest, as `ask` finds out.
pub(in crate::receive::worker) async fn watch<F>(queue: &Arc<str>, ask: impl Fn() -> F) -> Infallible
where
    F: Future<Output = Option<WaitingRequests>>,
{
    loop {
        if let Some(waiting) = ask().await {
            stored(queue, waiting.count, waiting.oldest.unwrap_or_default());
        }
        sleep(EVERY).await;
    }
}

fn stored(queue: &Arc<str>, requests: u64, oldest: Duration) {
    gauge!(STORED, "queue" => Arc::clone(queue)).set(requests as f64);
    gauge!(OLDEST, "queue" => Arc::clone(queue)).set(oldest.as_secs_f64());
}

/// Reports an attempt that failed and is repeated.
pub(in crate::receive::worker) fn failed(queue: &Arc<str>) {
    counter!(FAILURES, "queue" => Arc::clone(queue)).increment(1);
}

pub(super) fn gave_up(queue: &Arc<str>) {
    counter!(GIVEN_UP, "queue" => Arc::clone(queue)).increment(1);
}

const FAILURES: &str = "hookwire_stored_request_failures_total";
const GIVEN_UP: &str = "hookwire_stored_requests_given_up_total";
const STORED: &str = "hookwire_stored_requests";
const OLDEST: &str = "hookwire_oldest_stored_request_seconds";
/// The count reads an index, and nobody looks at a gauge more often.
const EVERY: Duration = Duration::from_secs(15);
