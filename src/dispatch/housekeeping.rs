//! Deleting what retention no longer wants, beside the deliveries.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::sleep;

use crate::dispatch::clock::SharedClock;
use crate::dispatch::erased::ErasedStore;
use crate::dispatch::telemetry;
use crate::store::Retention;

/// What is kept for how long, and how often it is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Housekeeping {
    pub(super) retention: Retention,
    pub(super) interval: Duration,
}

impl Housekeeping {
    /// Prunes in short batches with breaks between them, so that deliveries never wait for more than one.
    pub(super) async fn keep(self, store: &dyn ErasedStore, clock: &SharedClock) -> Infallible {
        // Soon after the start, or a process that is restarted often would never prune; not at once, as it has other work then.
        sleep(self.interval.min(FIRST)).await;
        loop {
            match store.prune_dyn(&self.retention, clock.now(), BATCH).await {
                Ok(0) => sleep(self.interval).await,
                Ok(rows) => {
                    telemetry::pruned(rows);
                    sleep(BREAK).await;
                }
                Err(error) => {
                    telemetry::store_failed("prune", &error);
                    sleep(self.interval).await;
                }
            }
        }
    }
}

pub(super) const DEFAULT_INTERVAL: Duration = Duration::from_secs(10 * 60);
const FIRST: Duration = Duration::from_secs(10);
const BREAK: Duration = Duration::from_millis(20);
const BATCH: u32 = 1_000;
