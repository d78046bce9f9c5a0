//! [`Clocks`]: notices that a caller's clock was set back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The latest time that this process was given for deliveries, and for each queue of requests.
///
/// SQLite has no clock of its own, so times come from the caller's. If that was ahead and is right again,
/// times that it wrote meanwhile lie in the future: of due deliveries, of the ends of leases and pauses. They
/// are mended when the clock is set back, and once by each process, because it may have been set back before
/// the process began. First attempts are then due at once. A retry and a pause begin their whole wait again,
/// and a lease its whole length, because an attempt is never early.
///
/// A clock that shows a time before this crate was written is wrong itself, as on a machine that starts
/// without a battery: nothing is mended by it.
#[derive(Clone, Debug, Default)]
pub(super) struct Clocks(Arc<Mutex<HashMap<Option<String>, i64>>>);

impl Clocks {
    /// The time, in microseconds, from which on a stored time was written by a clock that was ahead; `None`
    /// if no such time needs to be looked for.
    pub(super) fn ahead_from(&self, queue: Option<&str>, now: i64) -> Option<i64> {
        if now < NOT_BEFORE {
            return None;
        }
        let clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match clocks.get(&queue.map(str::to_owned)) {
            None => Some(now.saturating_add(TOLERANCE)),
            Some(last) => (now < last.saturating_sub(TOLERANCE)).then_some(now),
        }
    }

    /// Takes note that nothing is ahead of this time any more.
    pub(super) fn note(&self, queue: Option<&str>, now: i64) {
        if now < NOT_BEFORE {
            return;
        }
        let mut clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = clocks.entry(queue.map(str::to_owned)).or_insert(now);
        let is_set_back = now < last.saturating_sub(TOLERANCE);
        *last = if is_set_back { now } else { now.max(*last) };
    }
}

/// The beginning of 2025.
const NOT_BEFORE: i64 = 1_735_689_600_000_000;
/// A minute: processes of one machine read its clock at slightly different moments.
pub(super) const TOLERANCE: i64 = 60_000_000;
