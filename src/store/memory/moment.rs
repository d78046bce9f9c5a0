//! [`Moment`]: an instant, as a sorted list needs it.

use std::time::Duration;

use time::OffsetDateTime;

/// An instant, in nanoseconds since 1970.
///
/// A list compares it a dozen times for each insertion and removal, and comparing a calendar's time with its
/// offset from UTC takes tens of times as long.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Moment(i128);

impl Moment {
    /// Returns the time since `earlier`, or zero if `earlier` is later.
    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos_u128(u128::try_from(self.0 - earlier.0).unwrap_or(0))
    }
}

impl From<OffsetDateTime> for Moment {
    fn from(at: OffsetDateTime) -> Self {
        Self(at.unix_timestamp_nanos())
    }
}
