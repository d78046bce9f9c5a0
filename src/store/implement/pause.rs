//! [`Pause`]: the time in which nothing is claimed of a subscription.

use std::time::Duration;

use time::OffsetDateTime;

use super::row::later;
use crate::subscription::SubscriptionStatus;

/// The time in which nothing is claimed of a subscription, because its endpoint asked for it.
///
/// ```
/// use std::time::Duration;
/// use hookwire::SubscriptionStatus;
/// use hookwire::store::implement::Pause;
/// use time::OffsetDateTime;
///
/// let (now, hour) = (OffsetDateTime::now_utc(), Duration::from_secs(3_600));
/// let mut pause = Pause::default();
/// pause.add(hour, now);
/// assert_eq!(pause.closed_since(&SubscriptionStatus::Enabled, now + hour / 2), Some(now));
/// assert_eq!(pause.closed_since(&SubscriptionStatus::Enabled, now + hour), None);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Pause {
    /// When the pause began; with less than [`GAP`](Self::GAP) between two pauses, when the first began.
    pub since: Option<OffsetDateTime>,
    /// When the pause that ends last ends.
    pub until: Option<OffsetDateTime>,
}

impl Pause {
    /// The time from which on a pause is no longer part of the one before.
    pub const GAP: Duration = Duration::from_secs(86_400);

    /// Adds a pause of this length from `now` on.
    pub fn add(&mut self, pause: Duration, now: OffsetDateTime) {
        if self.until.is_none_or(|until| later(until, Self::GAP) <= now) {
            self.since = Some(now);
        }
        self.until = self.until.max(Some(later(now, pause)));
    }

    /// Since when nothing is claimed of a subscription with this status; `None` if something may be claimed
    /// at `now`.
    pub fn closed_since(&self, status: &SubscriptionStatus, now: OffsetDateTime) -> Option<OffsetDateTime> {
        match status {
            SubscriptionStatus::Disabled { at, .. } => Some(*at),
            SubscriptionStatus::Enabled => self.since.filter(|_| self.until.is_some_and(|until| until > now)),
        }
    }
}
