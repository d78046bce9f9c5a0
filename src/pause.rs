//! [`Pause`]: how long to leave a store alone that could not be reached; for the loops of dispatcher and worker.
#![cfg(feature = "dispatch")]

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How long to leave a store alone that could not be reached.
pub(crate) struct Pause {
    pub(crate) until: Instant,
    next: Duration,
}

impl Pause {
    pub(crate) async fn over(&self) {
        sleep_until(self.until).await;
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn lengthen(&mut self) {
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
pub(crate) fn after(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or_else(|| now + FOREVER)
}

/// For a wait beyond what an instant can hold.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(5);
