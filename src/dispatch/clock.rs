//! [`SharedClock`]: a clock that several parts share.

use std::fmt;
use std::sync::Arc;

use time::OffsetDateTime;

use crate::clock::Clock;

/// A clock that several parts share.
#[derive(Clone)]
pub(crate) struct SharedClock(Arc<dyn Clock>);

impl SharedClock {
    pub(crate) fn new(clock: impl Clock + 'static) -> Self {
        Self(Arc::new(clock))
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        self.0.now()
    }
}

impl fmt::Debug for SharedClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedClock")
    }
}

/// The time that an attempt reads.
#[derive(Clone)]
pub(super) enum AttemptTime {
    /// Time stands still, as it does within a step.
    Still(OffsetDateTime),
    Running(SharedClock),
}

impl AttemptTime {
    pub(super) fn now(&self) -> OffsetDateTime {
        match self {
            Self::Still(now) => *now,
            Self::Running(clock) => clock.now(),
        }
    }
}
