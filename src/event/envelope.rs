//! [`Envelope`]: the id, time and data of one event.

use std::borrow::Cow;

use serde::{Deserializer, Serialize, Serializer};
use time::OffsetDateTime;

use crate::event::EventId;

/// One event: an id that is the same on every delivery, the time of the event, and its data.
///
/// `T` is the data of one type ([`CallEnded`](crate::allison::CallEnded)), any event of a catalogue
/// ([`allison::Event`](crate::allison::Event)), or a [`RawEvent`](crate::RawEvent).
///
/// ```
/// use hookwire::{allison::CallEnded, Envelope};
///
/// let envelope = Envelope::new(CallEnded::new("5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11"));
/// assert_eq!(envelope.event_type(), "call.ended");
/// assert_eq!(envelope.created_at.nanosecond() % 1_000_000, 0);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Envelope<T> {
    /// The event's id.
    ///
    /// If the platform sends no id, the decoded id is `sha256_` and the hex digits of the raw body's SHA-256.
    pub id: EventId,
    /// The time of the event, in UTC.
    ///
    /// If the platform sends no time, the decoded time is the signed timestamp, or else the time of receipt.
    pub created_at: OffsetDateTime,
    /// The version in a received envelope; `None` in an envelope that is made here, because the contract
    /// writes its own.
    pub version: Option<Cow<'static, str>>,
    /// The data.
    pub data: T,
}

impl<T> Envelope<T> {
    /// Makes an event that happens now: a fresh id, and the system's time cut to whole milliseconds.
    ///
    /// [`from_parts`](Self::from_parts) is the pure twin.
    pub fn new(data: T) -> Self {
        let now = OffsetDateTime::now_utc();
        let whole = now.replace_nanosecond(now.millisecond() as u32 * 1_000_000).unwrap_or(now);
        Self::from_parts(EventId::generate(), whole, data)
    }

    /// Makes an event of these parts.
    pub fn from_parts(id: EventId, created_at: OffsetDateTime, data: T) -> Self {
        Self { id, created_at, version: None, data }
    }

    /// Converts the data by `f`, such as from the data of one type to its catalogue.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Envelope<U> {
        Envelope { id: self.id, created_at: self.created_at, version: self.version, data: f(self.data) }
    }
}

impl<T: EventData> Envelope<T> {
    /// The name of the event's type.
    pub fn event_type(&self) -> &str {
        self.data.event_type()
    }
}

/// Data that an [`Envelope`] can carry: the data of one type, or of any type of a catalogue.
///
/// The [`catalogue!`](crate::catalogue) macro implements the trait; there is seldom a reason to do so by
/// hand.
pub trait EventData: Sized {
    /// The name of this event's type.
    fn event_type(&self) -> &str;

    /// Whether data of the type named `event_type` can be held.
    fn accepts(event_type: &str) -> bool;

    /// Whether the data is untyped JSON. An outbox checks it against the type that the contract publishes.
    fn is_raw(&self) -> bool {
        false
    }

    /// Writes the data alone.
    ///
    /// # Errors
    ///
    /// The serializer's.
    fn serialize_data<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;

    /// Reads data of the type named `event_type`, which [`accepts`](Self::accepts) has to accept.
    ///
    /// # Errors
    ///
    /// The deserializer's, for data that does not fit the type.
    fn deserialize_data<'de, D: Deserializer<'de>>(
        event_type: &str,
        deserializer: D,
    ) -> Result<Self, D::Error>;
}

/// Serializes the data of an event alone.
pub(crate) struct DataOf<'a, T>(pub(crate) &'a T);

impl<T: EventData> Serialize for DataOf<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize_data(serializer)
    }
}
