//! [`Flight`]: attempts under way; [`Pause`]: how long to leave a store alone.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::dispatch::attempt::Ended;
use crate::id::DeliveryId;
use crate::store::Lease;

/// Attempts under way, and those that ended and are not settled yet.
#[derive(Default)]
pub(super) struct Flight {
    pub(super) tasks: JoinSet<Ended>,
    pub(super) leases: HashMap<DeliveryId, Lease>,
    pub(super) ended: Vec<Ended>,
}

impl Flight {
    pub(super) fn len(&self) -> usize {
        self.tasks.len() + self.ended.len()
    }

    /// An attempt that was aborted keeps its lease here, to be handed back.
    pub(super) fn end(&mut self, ended: Option<Result<Ended, JoinError>>) {
        if let Some(Ok(ended)) = ended {
            // A delivery whose lease ended too early may be under way a second time, under another lease.
            if self.leases.get(&ended.settlement.delivery) == Some(&ended.settlement.lease) {
                self.leases.remove(&ended.settlement.delivery);
            }
            self.ended.push(ended);
        }
    }

    /// Gathers what has ended by now, so that it is settled together.
    pub(super) fn gather(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            self.end(Some(ended));
        }
    }
}

/// How long to leave a store alone that could not be reached.
pub(super) struct Pause {
    pub(super) until: Instant,
    next: Duration,
}

impl Pause {
    pub(super) async fn over(&self) {
        sleep_until(self.until).await;
    }

    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    pub(super) fn lengthen(&mut self) {
        self.until = Instant::now() + self.next;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
    }
}

impl Default for Pause {
    fn default() -> Self {
        Self { until: Instant::now(), next: FIRST_PAUSE }
    }
}

/// That long from now, or as good as never.
pub(super) fn after(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or_else(|| now + FOREVER)
}

/// For a wait beyond what an instant can hold.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5);
