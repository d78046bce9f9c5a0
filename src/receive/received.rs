//! [`Received`]: a proven request, and what there is to do about it.

use crate::event::{DataError, Envelope, EventId, EventType};
use crate::receive::receipt::Receipt;
use crate::store::Inbox;

/// A proven request, and what there is to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Received<'r, T, I: Inbox> {
    /// An event to handle.
    #[non_exhaustive]
    Event {
        /// The event.
        envelope: Envelope<T>,
        /// The right to handle it: commit it when the event was handled, or release it if it could not be.
        receipt: Receipt<'r, I>,
    },
    /// An event that was handled before. Answer 200.
    #[non_exhaustive]
    Duplicate {
        /// The id by which the inbox knows the event.
        id: EventId,
    },
    /// An event of another type than `T`, if `T` is the data of one type. Answer 200: after an error, the
    /// sender would repeat it, and in the end give up the endpoint.
    #[non_exhaustive]
    OtherType {
        /// The event's type.
        event_type: EventType,
    },
    /// A genuine request without an event, such as a provider's check of the endpoint. Answer 200.
    NoEvent,
    /// An event of a known type with data that does not fit it.
    #[non_exhaustive]
    Undecodable {
        /// The part that does not fit, and the data as it was sent.
        error: Box<DataError>,
        /// The right to decide: commit it if you are done with the event, or release it to see the event
        /// again.
        receipt: Receipt<'r, I>,
    },
}
