//! [`TimerTable`]: when the engine does what.

use std::time::Duration;

use tokio::time::Instant;

/// The engine's actions that have a time.
#[derive(Clone, Copy)]
pub(super) enum Timer {
    /// Settles and claims.
    Work,
    /// Looks for due rows in the source.
    Look,
    /// Extends the leases of what is in flight.
    Extend,
}

/// When the engine does what. A timer that is not set is never due.
#[derive(Default)]
pub(super) struct TimerTable([Option<Instant>; 3]);

impl TimerTable {
    pub(super) const fn at(&self, timer: Timer) -> Option<Instant> {
        self.0[timer as usize]
    }

    pub(super) fn is_due(&self, timer: Timer) -> bool {
        self.at(timer).is_some_and(|at| at <= Instant::now())
    }

    /// Sets a timer to this long from now, or unsets it.
    pub(super) fn set(&mut self, timer: Timer, wait: Option<Duration>) {
        self.0[timer as usize] = wait.map(after);
    }

    /// Sets a timer to this long from now, unless it is due sooner.
    pub(super) fn set_by(&mut self, timer: Timer, wait: Duration) {
        let (by, at) = (after(wait), &mut self.0[timer as usize]);
        *at = Some(at.map_or(by, |at| at.min(by)));
    }

    /// Returns when the next timer is due, if the store is not called until `pause`.
    pub(super) fn next(&self, pause: Instant) -> Instant {
        let work = self.at(Timer::Work).into_iter().chain(self.at(Timer::Look)).map(|at| at.max(pause));
        work.chain(self.at(Timer::Extend)).min().unwrap_or_else(|| after(FOREVER))
    }
}

/// That long from now, or as good as never.
pub(super) fn after(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or_else(|| now + FOREVER)
}

/// For a wait beyond what an instant can hold.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn work_and_looks_wait_for_a_pause_and_extensions_do_not() {
        let now = Instant::now();
        let mut timers = TimerTable::default();
        assert!(timers.next(now) > now + 1_000 * SECOND, "no timer is set");
        timers.set(Timer::Look, Some(SECOND));
        assert_eq!(timers.next(now), now + SECOND);
        assert_eq!(timers.next(now + 5 * SECOND), now + 5 * SECOND);
        timers.set(Timer::Extend, Some(3 * SECOND));
        assert_eq!(timers.next(now + 5 * SECOND), now + 3 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_is_set_by_a_time_stays_where_it_is_due_sooner() {
        let now = Instant::now();
        let mut timers = TimerTable::default();
        timers.set_by(Timer::Look, 3 * SECOND);
        timers.set_by(Timer::Look, 5 * SECOND);
        assert_eq!(timers.at(Timer::Look), Some(now + 3 * SECOND));
        timers.set_by(Timer::Look, SECOND);
        assert_eq!(timers.at(Timer::Look), Some(now + SECOND));
        timers.set(Timer::Look, Some(Duration::MAX));
        assert!(!timers.is_due(Timer::Look));
        timers.set(Timer::Look, None);
        assert_eq!(timers.at(Timer::Look), None);
    }
}
