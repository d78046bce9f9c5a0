//! [`TokioClock`]: a clock that runs with tokio's time.
#![cfg(feature = "dispatch")]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::clock::Clock;

/// A clock that runs with tokio's time, paused or not.
///
/// A running dispatcher waits on tokio's timers and reads its [`Clock`]. In a test that pauses the time
/// (tokio's feature `test-util`), this clock and the timers advance together: a retry that is due in a day
/// takes a moment. Clones are the same clock. [`advance`](Self::advance) and [`set`](Self::set) make it jump,
/// as a machine's clock may, and move no timer.
///
/// ```
/// use std::time::Duration;
/// use hookwire::Clock;
/// use hookwire::testing::TokioClock;
/// use time::macros::datetime;
///
/// #[tokio::main(flavor = "current_thread", start_paused = true)]
/// async fn main() {
///     let clock = TokioClock::new(datetime!(2026-04-17 19:12 UTC));
///     tokio::time::sleep(Duration::from_secs(86_400)).await;
///     assert_eq!(clock.now(), datetime!(2026-04-18 19:12 UTC));
///
///     clock.set(datetime!(2026-04-17 00:00 UTC));
///     tokio::time::sleep(Duration::from_secs(60)).await;
///     assert_eq!(clock.now(), datetime!(2026-04-17 00:01 UTC));
/// }
/// ```
#[derive(Clone, Debug)]
pub struct TokioClock(Arc<Mutex<Reading>>);

impl TokioClock {
    /// Makes a clock that shows `at` now.
    pub fn new(at: OffsetDateTime) -> Self {
        Self(Arc::new(Mutex::new(Reading { at, when: Instant::now() })))
    }

    /// Makes the clock jump ahead by `by`.
    ///
    /// # Panics
    ///
    /// When the result is beyond the year 9999, which no [`OffsetDateTime`] can hold.
    pub fn advance(&self, by: Duration) {
        let mut reading = self.reading();
        reading.at += by;
    }

    /// Makes the clock jump to `at`, ahead or back.
    pub fn set(&self, at: OffsetDateTime) {
        *self.reading() = Reading { at, when: Instant::now() };
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        // A jump that panicked changed nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for TokioClock {
    fn now(&self) -> OffsetDateTime {
        let reading = self.reading();
        reading.at + reading.when.elapsed()
    }
}

/// The time that the clock showed at an instant of tokio's.
#[derive(Debug)]
struct Reading {
    at: OffsetDateTime,
    when: Instant,
}
