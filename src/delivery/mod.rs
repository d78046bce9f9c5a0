//! [`Delivery`]: one event on its way to one subscription; [`Attempt`]: one POST and what came of it.

mod machine;

pub use machine::{Next, Progress};

use std::time::Duration;

use time::OffsetDateTime;

use crate::event::{EventId, EventType};
use crate::id::{DeliveryId, SubscriptionId};
use crate::outcome::{Outcome, Timings};

/// One event on its way to one subscription, as a store reads it back.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Delivery {
    /// The delivery's id.
    pub id: DeliveryId,
    /// Where it goes.
    pub subscription: SubscriptionId,
    /// What is delivered.
    pub event: EventId,
    /// The type of that event.
    pub event_type: EventType,
    /// Where it stands.
    pub state: DeliveryState,
    /// How many attempts were made.
    pub attempts: u32,
    /// When the next attempt is due, while it is pending.
    pub due_at: Option<OffsetDateTime>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// Why it was discarded, where somebody did.
    pub note: Option<String>,
    /// Whether it is a test event's: neither retried nor replayed, and in no statistics.
    pub is_test: bool,
}

impl Delivery {
    /// A delivery of these parts, pending and not yet attempted.
    pub fn new(
        id: DeliveryId,
        subscription: SubscriptionId,
        event: EventId,
        event_type: EventType,
        created_at: OffsetDateTime,
    ) -> Self {
        Self {
            id,
            subscription,
            event,
            event_type,
            state: DeliveryState::Pending,
            attempts: 0,
            due_at: Some(created_at),
            created_at,
            note: None,
            is_test: false,
        }
    }
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum DeliveryState {
    /// An attempt is due, now or later, or under way.
    Pending,
    /// An endpoint took it.
    Delivered,
    /// A dead letter: no further attempt is made by itself.
    Dead(DeadReason),
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Delivered,
        Self::Dead(DeadReason::Exhausted),
        Self::Dead(DeadReason::Refused),
        Self::Dead(DeadReason::Gone),
        Self::Dead(DeadReason::Cancelled),
        Self::Dead(DeadReason::Replayed),
        Self::Dead(DeadReason::Discarded),
    ];

    /// The states of the dead letters that somebody may want to see to: replay, or discard.
    pub const LETTERS: [Self; 3] =
        [Self::Dead(DeadReason::Exhausted), Self::Dead(DeadReason::Refused), Self::Dead(DeadReason::Gone)];

    /// The state as stored and shown: `snake_case`, stable across versions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead(DeadReason::Exhausted) => "exhausted",
            Self::Dead(DeadReason::Refused) => "refused",
            Self::Dead(DeadReason::Gone) => "gone",
            Self::Dead(DeadReason::Cancelled) => "cancelled",
            Self::Dead(DeadReason::Replayed) => "replayed",
            Self::Dead(DeadReason::Discarded) => "discarded",
        }
    }

    /// The state that [`as_str`](Self::as_str) gives as `text`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Why a delivery is a dead letter.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum DeadReason {
    /// The retry policy has no attempt left.
    Exhausted,
    /// The endpoint's answer was final under the contract.
    Refused,
    /// The endpoint said that it is gone.
    Gone,
    /// Somebody cancelled it, or deleted its subscription.
    Cancelled,
    /// It was a dead letter and a new delivery of the same event was made in its place.
    Replayed,
    /// It was a dead letter and somebody said that it is not wanted any more; [`Delivery::note`] says why.
    Discarded,
}

/// One attempt of a delivery, as it is logged.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Attempt {
    /// Which attempt of its delivery, from 1.
    pub number: u32,
    /// When it began.
    pub started_at: OffsetDateTime,
    /// How long it took, until the answer was complete or the fault was known.
    pub duration: Duration,
    /// What came of it.
    pub outcome: Outcome,
    /// How long its phases took, as far as the client measured them.
    pub timings: Timings,
    /// The first bytes of the response's body as text, with what is not UTF-8 replaced.
    pub response_excerpt: String,
}

impl Attempt {
    /// An attempt without an excerpt of a response.
    pub fn new(number: u32, started_at: OffsetDateTime, duration: Duration, outcome: Outcome) -> Self {
        Self {
            number,
            started_at,
            duration,
            outcome,
            timings: Timings::new(duration),
            response_excerpt: String::new(),
        }
    }

    /// The same attempt with the client's own measurements.
    pub const fn with_timings(mut self, timings: Timings) -> Self {
        self.timings = timings;
        self
    }

    /// The same attempt with the text that the endpoint answered.
    pub fn with_response_excerpt(mut self, excerpt: impl Into<String>) -> Self {
        self.response_excerpt = excerpt.into();
        self
    }
}
