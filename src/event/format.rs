//! [`EnvelopeFormat`]: the fields of a platform's envelope, as data.

use bytes::Bytes;
use serde::ser::{Error as _, SerializeMap};
use serde::{Serialize, Serializer};
use time::{OffsetDateTime, UtcOffset};

use crate::error::{Error, ErrorKind};
use crate::event::{DataOf, Envelope, EventData, EventType};

/// The fields of a platform's envelope, in the order in which they are written.
///
/// ```
/// use hookwire::event::{EnvelopeFormat, Field};
///
/// // {"name": "...", "payload": ...}
/// const ACME: EnvelopeFormat = EnvelopeFormat::new(&[Field::Type("name"), Field::Data("payload")]);
/// assert!(!ACME.carries_id());
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EnvelopeFormat {
    fields: &'static [Field],
    is_flat_read: bool,
}

impl EnvelopeFormat {
    /// Makes a format of these fields, in this order.
    ///
    /// # Panics
    ///
    /// When there is not exactly one [`Field::Type`] and one [`Field::Data`], when another kind stands twice,
    /// or when two names are the same. In a constant the compiler reports it.
    pub const fn new(fields: &'static [Field]) -> Self {
        let mut seen = [0u8; 5];
        let mut i = 0;
        while i < fields.len() {
            seen[fields[i].kind()] += 1;
            let mut j = 0;
            while j < i {
                assert!(
                    !same(fields[i].name(), fields[j].name()),
                    "two fields of the envelope have the same name"
                );
                j += 1;
            }
            i += 1;
        }
        assert!(seen[TYPE] == 1, "an envelope has exactly one type field");
        assert!(seen[DATA] == 1, "an envelope has exactly one data field");
        assert!(seen[ID] <= 1 && seen[CREATED_AT] <= 1 && seen[VERSION] <= 1, "a kind of field stands twice");
        Self { fields, is_flat_read: false }
    }

    /// Reads flat bodies too: a body without the data field is an event whose data is the whole body.
    ///
    /// ```
    /// use hookwire::event::{EnvelopeFormat, Field};
    ///
    /// // {"event":"Call Ended","data":{"call_id":9041}}, and {"event":"Call Ended","call_id":9041}
    /// const DESK: EnvelopeFormat =
    ///     EnvelopeFormat::new(&[Field::Type("event"), Field::Data("data")]).with_flat_bodies();
    /// # let _ = DESK;
    /// ```
    pub const fn with_flat_bodies(mut self) -> Self {
        self.is_flat_read = true;
        self
    }

    /// Whether a body without the data field is an event.
    pub(crate) const fn reads_flat_bodies(&self) -> bool {
        self.is_flat_read
    }

    /// The fields, in the order in which they are written.
    pub const fn fields(&self) -> &'static [Field] {
        self.fields
    }

    /// Whether the body has the event's id. Otherwise a header has it, or the platform sends no id.
    pub fn carries_id(&self) -> bool {
        self.fields.iter().any(|field| matches!(field, Field::Id(_)))
    }

    pub(crate) fn encode<T: EventData>(&self, envelope: &Envelope<T>) -> Result<Bytes, Error> {
        EventType::check(envelope.event_type())
            .map_err(|(reason, expected)| Error::new(ErrorKind::Encode, reason).with_expected(expected))?;
        let mut body = Vec::with_capacity(1024);
        serde_json::to_writer(&mut body, &Document { fields: self.fields, envelope }).map_err(|source| {
            Error::new(ErrorKind::Encode, "event cannot be written as JSON in this envelope")
                .with_source(source)
        })?;
        Ok(body.into())
    }
}

/// One field of an envelope, with its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Field {
    /// The event's id.
    Id(&'static str),
    /// The name of the event's type.
    Type(&'static str),
    /// The time of the event, as RFC 3339 text in UTC.
    CreatedAt(&'static str, TimePrecision),
    /// The version of the format: the field's name, and the value that is written. Any value is read.
    Version(&'static str, &'static str),
    /// The data.
    Data(&'static str),
}

impl Field {
    /// The name of the field.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Id(name)
            | Self::Type(name)
            | Self::CreatedAt(name, _)
            | Self::Version(name, _)
            | Self::Data(name) => name,
        }
    }

    const fn kind(&self) -> usize {
        match self {
            Self::Id(_) => ID,
            Self::Type(_) => TYPE,
            Self::CreatedAt(..) => CREATED_AT,
            Self::Version(..) => VERSION,
            Self::Data(_) => DATA,
        }
    }
}

/// The number of digits of a second in an envelope's time. Further digits are cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TimePrecision {
    /// Three: `2026-04-17T19:12:03.482Z`.
    Milliseconds,
    /// Six: `2026-04-17T19:12:03.482000Z`.
    Microseconds,
}

struct Document<'a, T> {
    fields: &'static [Field],
    envelope: &'a Envelope<T>,
}

impl<T: EventData> Serialize for Document<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for field in self.fields {
            let name = field.name();
            match field {
                Field::Id(_) => map.serialize_entry(name, &self.envelope.id)?,
                Field::Type(_) => map.serialize_entry(name, self.envelope.event_type())?,
                Field::CreatedAt(_, precision) => {
                    let at =
                        Timestamp::new(self.envelope.created_at, *precision).map_err(S::Error::custom)?;
                    map.serialize_entry(name, at.as_str())?;
                }
                Field::Version(_, value) => map.serialize_entry(name, value)?,
                Field::Data(_) => map.serialize_entry(name, &DataOf(&self.envelope.data))?,
            }
        }
        map.end()
    }
}

/// A time as RFC 3339 section 5.6 has it, with a fixed number of digits, which the writer of `time` does not
/// offer.
///
/// It is written on the stack and without `format!`, which would take as long for the time as the data of an
/// event take.
struct Timestamp {
    text: [u8; 27],
    len: usize,
}

impl Timestamp {
    fn new(at: OffsetDateTime, precision: TimePrecision) -> Result<Self, &'static str> {
        const OUTSIDE: &str = "time is outside the years 0 to 9999, which RFC 3339 cannot write";
        // Near the ends of the calendar, a time with an offset may have no equal in UTC.
        let at = at.checked_to_offset(UtcOffset::UTC).ok_or(OUTSIDE)?;
        let year = u32::try_from(at.year()).ok().filter(|year| *year <= 9999).ok_or(OUTSIDE)?;
        let (fraction, digits) = match precision {
            TimePrecision::Milliseconds => (u32::from(at.millisecond()), 3),
            TimePrecision::Microseconds => (at.microsecond(), 6),
        };
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        write_digits(&mut text[0..4], year);
        write_digits(&mut text[5..7], u8::from(at.month()).into());
        write_digits(&mut text[8..10], at.day().into());
        write_digits(&mut text[11..13], at.hour().into());
        write_digits(&mut text[14..16], at.minute().into());
        write_digits(&mut text[17..19], at.second().into());
        write_digits(&mut text[20..20 + digits], fraction);
        text[20 + digits] = b'Z';
        Ok(Self { text, len: 21 + digits })
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.text[..self.len]).expect("invariant: digits are ASCII")
    }
}

/// Writes the last digits of a number, with zeros before it.
fn write_digits(text: &mut [u8], mut number: u32) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

pub(super) const fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len() != right.len() {
        return false;
    }
    let mut i = 0;
    while i < left.len() {
        if left[i] != right[i] {
            return false;
        }
        i += 1;
    }
    true
}

const ID: usize = 0;
const TYPE: usize = 1;
const CREATED_AT: usize = 2;
const VERSION: usize = 3;
const DATA: usize = 4;
