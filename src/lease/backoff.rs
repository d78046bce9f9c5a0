//! [`Backoff`]: the pauses between calls of a store that cannot be reached.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The pauses between calls of a store that cannot be reached: 50 ms at first, doubling to 5 s.
pub(crate) struct Backoff {
    pub(crate) until: Instant,
    next: Duration,
}

impl Backoff {
    pub(crate) fn is_over(&self) -> bool {
        self.until <= Instant::now()
    }

    pub(crate) async fn over(&self) {
        sleep_until(self.until).await;
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn lengthen(&mut self) {
        self.until = Instant::now() + self.next;
        self.next = (self.next * 2).min(LONGEST);
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { until: Instant::now(), next: Duration::from_millis(50) }
    }
}

pub(super) const LONGEST: Duration = Duration::from_secs(5);
