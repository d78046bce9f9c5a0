//! [`Period`]: a span of time for statistics.

use std::time::Duration;

use time::OffsetDateTime;

/// A span of time, and the length of its slots.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Period {
    /// Where it begins.
    pub since: OffsetDateTime,
    /// Where it ends. This instant is not part of it.
    pub until: OffsetDateTime,
    /// How long a slot is.
    pub slot: Duration,
    /// How long before the period the deliveries may have been made whose attempts are counted: as long as
    /// retries go on.
    pub reach: Duration,
}

impl Period {
    /// The number of deliveries that are read, the newest ones.
    pub const MOST_DELIVERIES: u32 = 50_000;

    /// Makes the time from `since` to `until` in slots of this length, with a reach of two days.
    pub const fn new(since: OffsetDateTime, until: OffsetDateTime, slot: Duration) -> Self {
        Self { since, until, slot, reach: Duration::from_secs(2 * 24 * 3600) }
    }

    /// Sets how long before the period its deliveries may have been made.
    pub const fn with_reach(mut self, reach: Duration) -> Self {
        self.reach = reach;
        self
    }

    /// Whether this instant is part of it.
    pub fn has(&self, at: OffsetDateTime) -> bool {
        self.since <= at && at < self.until
    }

    /// The number of the slot that this instant is in.
    pub fn slot_of(&self, at: OffsetDateTime) -> u64 {
        let since = Duration::try_from(at - self.since).unwrap_or(Duration::ZERO);
        u64::try_from(since.as_micros() / self.slot_micros()).unwrap_or(u64::MAX)
    }

    /// When the slot of this number begins.
    pub fn slot_at(&self, number: u64) -> OffsetDateTime {
        let micros = u128::from(number).saturating_mul(self.slot_micros());
        let micros = i64::try_from(micros).unwrap_or(i64::MAX);
        self.since.checked_add(time::Duration::microseconds(micros)).unwrap_or(self.until)
    }

    fn slot_micros(&self) -> u128 {
        self.slot.as_micros().max(1)
    }
}
