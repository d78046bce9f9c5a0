//! [`Timeline`]: the attempts of a policy in order.

use std::iter::FusedIterator;
use std::time::Duration;

use time::OffsetDateTime;

use super::policy::RetryPolicy;

impl RetryPolicy {
    /// Returns every attempt with its nominal time, the first one at `start`, for as long as the policy
    /// allows.
    ///
    /// An attempt itself takes no time here. Without a limit the timeline goes on until the calendar of
    /// [`OffsetDateTime`] ends.
    ///
    /// ```
    /// use std::time::Duration;
    /// use hookwire::RetryPolicy;
    /// use time::macros::datetime;
    ///
    /// let policy = RetryPolicy::delays([60, 900].map(Duration::from_secs))?;
    /// let last = policy.timeline(datetime!(2026-04-17 19:00 UTC)).last().unwrap();
    /// assert_eq!((last.attempt, last.at), (3, datetime!(2026-04-17 19:16 UTC)));
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub const fn timeline(&self, start: OffsetDateTime) -> Timeline<'_> {
        let first = Planned { attempt: 1, delay: Duration::ZERO, elapsed: Duration::ZERO, at: start };
        Timeline { policy: self, start, next: Some(first) }
    }
}

/// The attempts of a [`RetryPolicy`] in order, each with its nominal time: [`RetryPolicy::timeline`].
#[derive(Clone, Debug)]
pub struct Timeline<'a> {
    policy: &'a RetryPolicy,
    start: OffsetDateTime,
    next: Option<Planned>,
}

impl Timeline<'_> {
    fn after(&self, planned: Planned) -> Option<Planned> {
        let delay = self.policy.delay_after(planned.attempt)?;
        let elapsed = planned.elapsed.checked_add(delay)?;
        if self.policy.max_elapsed.is_some_and(|max| elapsed > max) {
            return None;
        }
        let at = self.start.checked_add(elapsed.try_into().ok()?)?;
        Some(Planned { attempt: planned.attempt.checked_add(1)?, delay, elapsed, at })
    }
}

impl Iterator for Timeline<'_> {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        let planned = self.next.take()?;
        self.next = self.after(planned);
        Some(planned)
    }
}

impl FusedIterator for Timeline<'_> {}

/// One attempt of a [`Timeline`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct Planned {
    /// Which attempt, counted from 1.
    pub attempt: u32,
    /// The wait since the attempt before; zero for the first.
    pub delay: Duration,
    /// The time since the first attempt.
    pub elapsed: Duration,
    /// The instant of the attempt, in the offset of the timeline's start.
    pub at: OffsetDateTime,
}
