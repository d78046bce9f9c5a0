//! [`Settings`]: the settings of the lease engine.

use std::time::Duration;

/// The settings of the lease engine.
pub(crate) struct Settings {
    /// The most rows that one claim takes.
    pub(crate) batch: u32,
    /// The most tasks at work at once.
    pub(crate) in_flight: usize,
    /// How long a claim leases its rows for.
    pub(crate) lease: Duration,
    /// The longest time between two looks at the source.
    pub(crate) poll: Duration,
    /// How long work in flight may take to end after a shutdown.
    pub(crate) drain: Duration,
}

/// The shortest time between two looks, and the shortest lease: a lease that ends before the store answers is
/// handed back, again and again.
pub(crate) const SOON: Duration = Duration::from_millis(10);
