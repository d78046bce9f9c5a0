//! [`in_batches`]: deletes old rows beside the work.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::sleep;

/// Calls `batch` with the most rows that it may delete, again and again, and never ends. `batch` returns how
/// many rows it deleted, and 0 after an error. There is a short break between batches, so that the work waits
/// for one batch at most, and a break of `interval` when nothing is left.
pub(crate) async fn in_batches<F: Future<Output = u64> + Send>(
    interval: Duration,
    mut batch: impl FnMut(u32) -> F + Send,
) -> Infallible {
    // Begin soon after the start, or a process that is restarted often would never delete anything; but not
    // at once, as it is busy then.
    sleep(interval.min(FIRST)).await;
    loop {
        match batch(BATCH).await {
            0 => sleep(interval).await,
            _ => sleep(BREAK).await,
        }
    }
}

const FIRST: Duration = Duration::from_secs(10);
const BREAK: Duration = Duration::from_millis(20);
const BATCH: u32 = 1_000;
