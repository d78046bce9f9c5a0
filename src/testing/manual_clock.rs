//! [`ManualClock`]: a clock that stands still until a test moves it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

use crate::clock::Clock;

/// A clock that stands still until a test moves it.
///
/// Clones are the same clock: give one away and keep one to move it. It moves no timers. Use `TokioClock` for
/// a dispatcher that runs by itself; a dispatcher that is driven by `Dispatcher::step` has no timers.
///
/// ```
/// use std::time::Duration;
/// use hookwire::Clock;
/// use hookwire::testing::ManualClock;
/// use time::macros::datetime;
///
/// let clock = ManualClock::new(datetime!(2026-04-17 19:12 UTC));
/// let given_away = clock.clone();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(given_away.now(), datetime!(2026-04-17 19:13 UTC));
///
/// // It also moves back, as a machine's clock may.
/// clock.set(datetime!(2026-04-16 00:00 UTC));
/// assert_eq!(given_away.now(), datetime!(2026-04-16 00:00 UTC));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<OffsetDateTime>>);

impl ManualClock {
    /// Makes a clock that shows `at`.
    pub fn new(at: OffsetDateTime) -> Self {
        Self(Arc::new(Mutex::new(at)))
    }

    /// Moves the clock ahead by `by`.
    ///
    /// # Panics
    ///
    /// When the result is beyond the year 9999, which no [`OffsetDateTime`] can hold.
    pub fn advance(&self, by: Duration) {
        let mut at = self.at();
        *at += by;
    }

    /// Moves the clock to `at`, ahead or back.
    pub fn set(&self, at: OffsetDateTime) {
        *self.at() = at;
    }

    fn at(&self) -> MutexGuard<'_, OffsetDateTime> {
        // An advance that panicked changed nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        *self.at()
    }
}
