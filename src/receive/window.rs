//! [`Window`]: how long copies of an event are duplicates.

use std::time::Duration;

use time::OffsetDateTime;

use crate::event::EventId;

/// How long copies of an event are duplicates.
#[derive(Clone, Copy)]
pub(super) enum Window {
    /// For this long after the event was handled: an id or a time of its own tells it from others.
    Handled(Duration),
    /// For this long after the event arrived: an equal request that arrives later is another event.
    Arrived { length: Duration, since: OffsetDateTime },
}

/// The id under which a request of an event without an id is stored, and the ids of its copies.
pub(super) struct Period {
    pub(super) id: EventId,
    /// The ids of the periods before and after. A copy may have arrived just before the period began, or at
    /// another machine, by a clock that is ahead.
    pub(super) beside: Vec<EventId>,
    /// A request that arrived at this time or before is another event.
    pub(super) since: OffsetDateTime,
}

impl Window {
    /// How long after `now` copies of an event that was handled at `now` are duplicates.
    pub(super) fn left(self, now: OffsetDateTime) -> Duration {
        match self {
            Self::Handled(length) => length,
            Self::Arrived { length, since } => {
                length.saturating_sub(Duration::try_from(now - since).unwrap_or(Duration::ZERO))
            }
        }
    }

    /// The period of an event that counts from its arrival. A stored request is remembered until it is
    /// handled, which may take hours, so its key has to differ from that of an equal event.
    pub(super) fn period(self, id: &EventId) -> Option<Period> {
        let Self::Arrived { length, since } = self else { return None };
        // The stores keep microseconds.
        let length = i128::try_from(length.as_micros()).unwrap_or(i128::MAX).max(1);
        let number = (since.unix_timestamp_nanos() / 1_000).div_euclid(length);
        let of = |number: i128| {
            let named = format!("{id}@{number}");
            named.parse().unwrap_or_else(|_| EventId::of_body(named.as_bytes()))
        };
        let length = Duration::from_micros(u64::try_from(length).unwrap_or(u64::MAX));
        let since = since.checked_sub(length.try_into().unwrap_or(time::Duration::MAX));
        Some(Period {
            id: of(number),
            beside: vec![of(number.saturating_sub(1)), of(number.saturating_add(1))],
            since: since.unwrap_or(OffsetDateTime::UNIX_EPOCH),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use time::macros::datetime;

    use super::Window;
    use crate::event::EventId;

    #[test]
    fn a_window_that_began_with_the_arrival_ends_no_later_for_a_slow_handler() {
        let since = datetime!(2026-04-17 19:00 UTC);
        let window = Window::Arrived { length: Duration::from_secs(60), since };
        assert_eq!(window.left(since + Duration::from_secs(20)), Duration::from_secs(40));
        assert_eq!(window.left(since + Duration::from_secs(90)), Duration::ZERO);
        let handled = Window::Handled(Duration::from_secs(60));
        assert_eq!(handled.left(since + Duration::from_secs(90)), Duration::from_secs(60));
    }

    #[test]
    fn the_period_after_names_the_one_before() {
        let id = EventId::of_body(b"{}");
        let period = |second| {
            let since = datetime!(2026-04-17 19:00 UTC) + Duration::from_secs(second);
            Window::Arrived { length: Duration::from_secs(60), since }.period(&id).unwrap()
        };
        assert_eq!(period(0).id, period(59).id);
        assert_ne!(period(59).id, period(60).id);
        assert!(period(60).beside.contains(&period(59).id) && period(59).beside.contains(&period(60).id));
        assert_eq!(period(61).since, datetime!(2026-04-17 19:00:01 UTC));
        let none = Window::Arrived { length: Duration::ZERO, since: datetime!(1969-12-31 23:00 UTC) };
        assert!(none.period(&id).is_some());
    }
}
