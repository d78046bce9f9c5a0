//! [`Delivery`]: one event on its way to one subscription; [`Attempt`]: one POST and its outcome.

mod attempt;
mod next;
mod state;

pub use attempt::Attempt;
pub use next::{Next, Progress};
pub use state::{DeadReason, DeliveryState};

use time::OffsetDateTime;

use crate::contract::ContractId;
use crate::event::{EventId, EventType};
use crate::id::{DeliveryId, SubscriptionId};

/// One event on its way to one subscription, as a store reads it back.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Delivery {
    /// The delivery's id.
    pub id: DeliveryId,
    /// The subscription that it goes to.
    pub subscription: SubscriptionId,
    /// The contract under which it was made: the name and the version of the bytes that are sent.
    pub contract: ContractId,
    /// The event that is delivered.
    pub event: EventId,
    /// The type of that event.
    pub event_type: EventType,
    /// Where it stands.
    pub state: DeliveryState,
    /// The number of attempts that were made.
    pub attempts: u32,
    /// When the next attempt is due, while it is pending.
    pub due_at: Option<OffsetDateTime>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// Why it was discarded, if somebody did so.
    pub note: Option<String>,
    /// Whether it is of a test event: neither retried nor replayed, and in no statistics.
    pub is_test: bool,
}

impl Delivery {
    /// Makes a delivery that is pending and was not attempted yet.
    pub fn new(
        id: DeliveryId,
        subscription: SubscriptionId,
        contract: ContractId,
        event: EventId,
        event_type: EventType,
        created_at: OffsetDateTime,
    ) -> Self {
        Self {
            id,
            subscription,
            contract,
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
