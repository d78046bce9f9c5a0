//! [`Clocks`]: notices that a caller's clock was set back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The latest time that this process was given for deliveries, and for each queue of requests.
///
/// SQLite has no clock of its own, so due times come from the caller's. When that was set back, whatever was
/// inserted before and not attempted yet is due at once. A retry, a lease and a pause keep their times,
/// because an attempt is never early; they wait for as long as the clock was set back.
#[derive(Clone, Debug, Default)]
pub(super) struct Clocks(Arc<Mutex<HashMap<Option<String>, i64>>>);

impl Clocks {
    /// Takes note of the time, in microseconds, and returns whether it was later before.
    pub(super) fn is_set_back(&self, queue: Option<&str>, now: i64) -> bool {
        let mut clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = clocks.entry(queue.map(str::to_owned)).or_insert(now);
        let is_set_back = now < last.saturating_sub(TOLERANCE);
        *last = if is_set_back { now } else { now.max(*last) };
        is_set_back
    }
}

/// A minute: processes of one machine read its clock at slightly different moments.
const TOLERANCE: i64 = 60_000_000;
