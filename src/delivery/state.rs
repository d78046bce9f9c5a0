//! [`DeliveryState`]: where a delivery stands; [`DeadReason`]: why it is a dead letter.

use crate::error::ErrorKind;
use crate::text::stored_as_text;

/// Where a delivery stands.
///
/// ```
/// use hookwire::{DeadReason, DeliveryState};
///
/// let state: DeliveryState = "exhausted".parse()?;
/// assert_eq!(state, DeliveryState::Dead(DeadReason::Exhausted));
/// assert_eq!(state.to_string(), "exhausted");
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum DeliveryState {
    /// An attempt is due, now or later, or under way.
    Pending,
    /// An endpoint accepted it.
    Delivered,
    /// A dead letter: nothing attempts it again by itself.
    Dead(DeadReason),
}

impl DeliveryState {
    /// Every state.
    pub const ALL: &'static [Self] = &[
        Self::Pending,
        Self::Delivered,
        Self::Dead(DeadReason::Exhausted),
        Self::Dead(DeadReason::Refused),
        Self::Dead(DeadReason::Gone),
        Self::Dead(DeadReason::Expired),
        Self::Dead(DeadReason::Cancelled),
        Self::Dead(DeadReason::Replayed),
        Self::Dead(DeadReason::Discarded),
    ];

    /// The states of the dead letters that wait for somebody to replay or discard them.
    pub const LETTERS: &'static [Self] = &[
        Self::Dead(DeadReason::Exhausted),
        Self::Dead(DeadReason::Refused),
        Self::Dead(DeadReason::Gone),
        Self::Dead(DeadReason::Expired),
    ];

    /// The state as stored and shown: `snake_case`, stable across versions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead(reason) => reason.as_str(),
        }
    }
}

stored_as_text!(DeliveryState, "state of a delivery", ErrorKind::Delivery);

/// Why a delivery is a dead letter.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum DeadReason {
    /// The retry policy has no attempt left.
    Exhausted,
    /// The endpoint's answer was final under the contract.
    Refused,
    /// The endpoint answered that it is gone.
    Gone,
    /// It waited for too long while its subscription was disabled or paused, or while a fault on this side
    /// kept it from being attempted. `Dispatcher::with_expiry` sets how long it may wait.
    Expired,
    /// Somebody cancelled it, or deleted its subscription.
    Cancelled,
    /// It was a dead letter, and a new delivery of the same event was made in its place.
    Replayed,
    /// It was a dead letter, and somebody discarded it; [`Delivery::note`](crate::Delivery::note) says why.
    Discarded,
}

impl DeadReason {
    /// Every reason.
    pub const ALL: &'static [Self] = &[
        Self::Exhausted,
        Self::Refused,
        Self::Gone,
        Self::Expired,
        Self::Cancelled,
        Self::Replayed,
        Self::Discarded,
    ];

    /// The reason as stored and shown: `snake_case`, stable across versions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Refused => "refused",
            Self::Gone => "gone",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
        }
    }
}

stored_as_text!(DeadReason, "reason of a dead letter", ErrorKind::Delivery);
