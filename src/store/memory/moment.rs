//! [`Moment`]: an instant as the lists of a [`MemoryStore`](super::MemoryStore) are sorted by it.

use std::time::Duration;

use time::OffsetDateTime;

/// An instant, in nanoseconds since 1970.
///
/// Lists compare it a dozen times whenever something is put in or taken out, and a calendar's time with its offset from UTC takes
/// tens of times as long to compare.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Moment(i128);

impl Moment {
    /// How long after `earlier` it is: nothing when it is before.
    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos_u128(u128::try_from(self.0 - earlier.0).unwrap_or(0))
    }
}

impl From<OffsetDateTime> for Moment {
    fn from(at: OffsetDateTime) -> Self {
        Self(at.unix_timestamp_nanos())
    }
}
