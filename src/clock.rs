//! [`Clock`]: the source of time for the parts that do I/O.

use time::OffsetDateTime;

/// The source of time for the parts that do I/O. The pure parts take the time as an argument instead.
///
/// A closure is a clock:
///
/// ```
/// use hookwire::Clock;
/// use time::macros::datetime;
///
/// let stopped = || datetime!(2026-04-17 19:12 UTC);
/// assert_eq!(stopped.now(), datetime!(2026-04-17 19:12 UTC));
/// ```
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> OffsetDateTime;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "it has no fields and will have none")]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

impl<F: Fn() -> OffsetDateTime + Send + Sync> Clock for F {
    fn now(&self) -> OffsetDateTime {
        self()
    }
}
