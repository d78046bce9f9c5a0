//! [`Plan`]: when a worker does what.

use std::time::Duration;

use tokio::time::Instant;

use super::crew::Crew;
use crate::pause::{LONGEST_PAUSE, Pause, after};

/// When a worker does what.
pub(super) struct Plan {
    /// Whether something is believed to be due.
    pub(super) is_due: bool,
    pub(super) look_at: Instant,
    pub(super) extend_at: Instant,
    pub(super) pause: Pause,
}

impl Plan {
    pub(super) fn new(lease: Duration) -> Self {
        Self { is_due: false, look_at: Instant::now(), extend_at: after(lease / 3), pause: Pause::default() }
    }

    pub(super) fn may_ask(&self) -> bool {
        self.pause.until <= Instant::now()
    }

    pub(super) fn wake_at(&self, crew: &Crew, room: usize) -> Instant {
        let settle = (!crew.ended.is_empty()).then_some(self.pause.until);
        let extend = (!crew.is_idle()).then_some(self.extend_at);
        let ask = if self.is_due { self.pause.until } else { self.look_at.max(self.pause.until) };
        let ask = (room > 0).then_some(ask);
        // Without any of them a task is under way, whose end is heard.
        settle.into_iter().chain(extend).chain(ask).min().unwrap_or_else(|| after(LONGEST_PAUSE))
    }
}
