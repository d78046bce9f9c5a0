//! [`Housekeeping`] deletes old rows, and [`expire`] ends old waits, beside the deliveries.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crate::dispatch::clock::SharedClock;
use crate::dispatch::erased::{ErasedPruning, ErasedStore};
use crate::dispatch::telemetry;
use crate::lease::in_batches;
use crate::store::{Pruning, Retention, StoreError};

/// Deletes rows that are older than the retention allows, every interval.
#[derive(Clone)]
pub(super) struct Housekeeping {
    store: Arc<dyn ErasedPruning>,
    retention: Retention,
    interval: Duration,
}

impl Housekeeping {
    pub(super) fn new(store: impl Pruning + 'static, retention: Retention, interval: Duration) -> Self {
        Self { store: Arc::new(store), retention, interval: interval.max(LEAST_INTERVAL) }
    }

    /// Prunes in short batches with breaks between them, so that deliveries wait for one at most.
    pub(super) async fn run(&self, clock: &SharedClock) -> Infallible {
        let prune = move |limit| async move {
            let pruned = self.store.prune_dyn(&self.retention, limit, clock.now()).await;
            reported("prune", pruned, telemetry::pruned)
        };
        in_batches(self.interval, prune).await
    }
}

/// Ends deliveries that have waited for `age`. Without an age, only those end whose subscription was deleted
/// while they were made.
pub(super) async fn expire(
    store: &dyn ErasedStore,
    age: Option<Duration>,
    clock: &SharedClock,
) -> Infallible {
    let age = age.unwrap_or(NEVER);
    let expire = move |limit| async move {
        reported("expire", store.expire_dyn(age, limit, clock.now()).await, telemetry::expired)
    };
    in_batches(DEFAULT_INTERVAL, expire).await
}

/// The number of rows of a batch; none where the call failed.
fn reported(call: &'static str, rows: Result<u64, StoreError>, report: impl Fn(u64)) -> u64 {
    let rows = rows.unwrap_or_else(|error| {
        telemetry::store_failed(call, &error);
        0
    });
    if rows > 0 {
        report(rows);
    }
    rows
}

/// Longer than any wait.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
pub(super) const DEFAULT_INTERVAL: Duration = Duration::from_secs(10 * 60);
const LEAST_INTERVAL: Duration = Duration::from_secs(1);
