//! [`RawEvent`]: an event with untyped data; [`EventType`]: the name of an event's type.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::bounds;
use crate::error::{Error, ErrorKind};
use crate::event::EventData;

/// The name of an event's type, such as `call.ended`: 1 to 256 bytes, no control characters.
///
/// Names with spaces exist (`Call Ended` at Nectar Desk).
///
/// ```
/// use hookwire::EventType;
///
/// let name: EventType = "call.ended".parse()?;
/// assert_eq!(name.as_str(), "call.ended");
/// assert!("".parse::<EventType>().is_err());
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EventType(Arc<str>);

impl EventType {
    /// The greatest length of a name, in bytes.
    pub const MAX_LEN: usize = bounds::EVENT_TYPE;

    /// The name, as requests carry it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks a name. The error is the fault, and a name that would be right.
    pub(crate) const fn check(text: &str) -> Result<(), (&'static str, &'static str)> {
        if text.is_empty() {
            return Err(("event type is empty", "1 to 256 bytes"));
        }
        if text.len() > Self::MAX_LEN {
            return Err(("event type is too long", "at most 256 bytes"));
        }
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            // U+0000 to U+001F, U+007F, and U+0080 to U+009F in UTF-8, by bytes, because `chars` is not
            // const.
            let control = bytes[at].is_ascii_control()
                || bytes[at] == 0xc2 && at + 1 < bytes.len() && matches!(bytes[at + 1], 0x80..=0x9f);
            if control {
                return Err(("event type has a control character", "none"));
            }
            at += 1;
        }
        Ok(())
    }
}

impl FromStr for EventType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::check(text)
            .map_err(|(reason, expected)| Error::new(ErrorKind::Event, reason).with_expected(expected))?;
        Ok(Self(text.into()))
    }
}

impl AsRef<str> for EventType {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq<str> for EventType {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl PartialEq<&str> for EventType {
    fn eq(&self, other: &&str) -> bool {
        *self.0 == **other
    }
}

/// An event with the name of its type and its data as JSON text. It is the `Other` of a catalogue, and the
/// event of a program that learns its event types at run time.
///
/// The data is kept byte for byte.
///
/// ```
/// use hookwire::{Contract, Envelope, RawEvent};
///
/// let event = RawEvent::new("call_order.status_changed", serde_json::json!({"status": "ready"}))?;
/// let body = Contract::allison().encode(&Envelope::new(event))?;
/// assert!(body.ends_with(br#""data":{"status":"ready"}}"#));
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RawEvent {
    event_type: EventType,
    data: Box<RawValue>,
}

impl RawEvent {
    /// Makes an event of the type `event_type`. `data` is written as JSON now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Event`] for a name that is no [`EventType`], and [`ErrorKind::Encode`] for data that
    /// cannot be JSON.
    pub fn new(event_type: &str, data: impl Serialize) -> Result<Self, Error> {
        let data = serde_json::value::to_raw_value(&data).map_err(|source| {
            Error::new(ErrorKind::Encode, "event data cannot be written as JSON").with_source(source)
        })?;
        Ok(Self { event_type: event_type.parse()?, data })
    }

    /// The type's name.
    pub fn event_type(&self) -> &str {
        self.event_type.as_str()
    }

    /// The data, byte for byte.
    pub fn data(&self) -> &RawValue {
        &self.data
    }

    #[doc(hidden)] // for the catalogue macro, with a name that the envelope's decoder has checked
    pub fn deserialize<'de, D: Deserializer<'de>>(
        event_type: &str,
        deserializer: D,
    ) -> Result<Self, D::Error> {
        let event_type = event_type.parse().map_err(serde::de::Error::custom)?;
        Ok(Self { event_type, data: Box::<RawValue>::deserialize(deserializer)? })
    }
}

/// Two events are equal if their names and the texts of their data are, byte for byte.
impl PartialEq for RawEvent {
    fn eq(&self, other: &Self) -> bool {
        self.event_type == other.event_type && self.data.get() == other.data.get()
    }
}

impl EventData for RawEvent {
    fn event_type(&self) -> &str {
        self.event_type.as_str()
    }

    fn accepts(_event_type: &str) -> bool {
        true
    }

    fn is_raw(&self) -> bool {
        true
    }

    fn serialize_data<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.data.serialize(serializer)
    }

    fn deserialize_data<'de, D: Deserializer<'de>>(
        event_type: &str,
        deserializer: D,
    ) -> Result<Self, D::Error> {
        Self::deserialize(event_type, deserializer)
    }
}
