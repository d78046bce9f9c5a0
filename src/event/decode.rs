//! Reads an envelope.
//!
//! If the type stands before the data, as every platform writes it, one pass reads the typed data in place.
//! If that fails, or if the type stands after the data, a second reader keeps the text of the data, and finds
//! the fault if there is one.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::event::data::{ObjectForStruct, typed};
use crate::event::{DataError, DecodeError, EnvelopeFormat, EventData, EventId, EventType, Field};
use crate::mending::{mended, with_whole_numbers};

/// The parts of an event that the body has. The others come from headers and the time of receipt.
pub(crate) struct Received<T> {
    pub(crate) id: Option<EventId>,
    pub(crate) created_at: Option<OffsetDateTime>,
    pub(crate) version: Option<Cow<'static, str>>,
    pub(crate) data: T,
}

impl EnvelopeFormat {
    pub(crate) fn decode<T: EventData>(&self, body: &[u8]) -> Result<Received<T>, DecodeError> {
        // Some programs write a byte order mark, which RFC 8259 section 8.1 lets a parser ignore.
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let text = std::str::from_utf8(body).map_err(|_| DecodeError::Malformed {
            reason: "body is not UTF-8 (RFC 8259 section 8.1)",
            line: 0,
            column: 0,
        })?;
        if let Ok(Some(received)) = self.read(text, InPlace(PhantomData)).map(|outer| outer.complete()) {
            return Ok(received);
        }
        self.decode_slowly(text)
    }

    /// Reads the body again and keeps the text of the data, to find the fault or to read the fields in
    /// another order.
    #[cold]
    fn decode_slowly<T: EventData>(&self, text: &str) -> Result<Received<T>, DecodeError> {
        let mended_text;
        let mut whole = text;
        let mut outer = match self.read(text, AsText) {
            Ok(outer) => outer,
            // Half of a surrogate pair in the envelope itself.
            Err(error) => match mended(text) {
                Cow::Borrowed(_) => return Err(error),
                Cow::Owned(mended) => {
                    mended_text = mended;
                    whole = &mended_text;
                    self.read(whole, AsText)?
                }
            },
        };
        if outer.data.is_none() && self.reads_flat_bodies() {
            outer.data = serde_json::from_str(whole).ok();
        }
        for field in self.fields() {
            let missing = match field {
                Field::Id(_) => outer.id.is_none(),
                Field::Type(_) => outer.event_type.is_none(),
                Field::CreatedAt(..) => outer.created_at.is_none(),
                // A receiver does not need the version.
                Field::Version(..) => false,
                Field::Data(_) => outer.data.is_none(),
            };
            if missing {
                return Err(DecodeError::MissingField { field: field.name() });
            }
        }
        let (Some(event_type), Some(data)) = (outer.event_type, outer.data) else {
            unreachable!("invariant: every format has a type and a data field, and neither is missing");
        };
        if !T::accepts(&event_type) {
            let event_type = event_type.parse().expect("invariant: the reader checked the type's name");
            return Err(DecodeError::UnexpectedType { event_type });
        }
        match typed_leniently::<T>(&event_type, data) {
            Ok(data) => {
                Ok(Received { id: outer.id, created_at: outer.created_at, version: outer.version, data })
            }
            Err(error) => {
                let error = match outer.id {
                    Some(id) => error.with_id(id),
                    None => error,
                };
                Err(DecodeError::Data(Box::new(error)))
            }
        }
    }

    fn read<'de, R: ReadData<'de>>(
        &self,
        text: &'de str,
        read: R,
    ) -> Result<Outer<'de, R::Data>, DecodeError> {
        let mut fault = None;
        let mut json = serde_json::Deserializer::from_str(text);
        let outer = json
            .deserialize_map(OuterVisitor { format: self, read, fault: &mut fault })
            .and_then(|outer| json.end().map(|()| outer));
        outer.map_err(|error| {
            fault.unwrap_or_else(|| DecodeError::Malformed {
                // The text of serde's error may quote the payload.
                reason: match error.classify() {
                    serde_json::error::Category::Eof => "JSON ends too early",
                    serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
                        "JSON is not well-formed"
                    }
                    serde_json::error::Category::Data => "expected a JSON object",
                },
                line: error.line(),
                column: error.column(),
            })
        })
    }
}

/// Reads typed data as it is, or else with what its fields' types cannot hold mended: halves of surrogate
/// pairs, and whole numbers with a fraction. A sender would repeat it in vain.
fn typed_leniently<T: EventData>(event_type: &str, data: &RawValue) -> Result<T, DataError> {
    typed::<T>(event_type, data).or_else(|error| {
        let text = mended(data.get());
        let text = with_whole_numbers(&text);
        if *text == *data.get() {
            return Err(error);
        }
        let mended = RawValue::from_string(text.into_owned()).map_err(|_| error.clone())?;
        typed::<T>(event_type, &mended).map_err(|_| error)
    })
}

/// A way to read the data field.
trait ReadData<'de>: Copy {
    type Data;

    /// `None` if this reader cannot read data before it knows the type.
    fn read<A: MapAccess<'de>>(
        self,
        map: &mut A,
        event_type: Option<&str>,
    ) -> Result<Option<Self::Data>, A::Error>;
}

/// Reads typed data in place.
struct InPlace<T>(PhantomData<T>);

impl<T> Clone for InPlace<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for InPlace<T> {}

impl<'de, T: EventData> ReadData<'de> for InPlace<T> {
    type Data = T;

    fn read<A: MapAccess<'de>>(self, map: &mut A, event_type: Option<&str>) -> Result<Option<T>, A::Error> {
        match event_type {
            Some(event_type) if T::accepts(event_type) => {
                map.next_value_seed(Typed { event_type, data: self }).map(Some)
            }
            _ => Err(A::Error::custom("the slow reader is needed")),
        }
    }
}

/// Reads the text of the data.
#[derive(Clone, Copy)]
struct AsText;

impl<'de> ReadData<'de> for AsText {
    type Data = &'de RawValue;

    fn read<A: MapAccess<'de>>(
        self,
        map: &mut A,
        _: Option<&str>,
    ) -> Result<Option<&'de RawValue>, A::Error> {
        map.next_value().map(Some)
    }
}

struct Typed<'a, T> {
    event_type: &'a str,
    data: InPlace<T>,
}

impl<'de, T: EventData> DeserializeSeed<'de> for Typed<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        let InPlace(PhantomData) = self.data;
        T::deserialize_data(self.event_type, ObjectForStruct(deserializer))
    }
}

struct Outer<'de, D> {
    id: Option<EventId>,
    event_type: Option<Cow<'de, str>>,
    created_at: Option<OffsetDateTime>,
    version: Option<Cow<'static, str>>,
    data: Option<D>,
    fields_missing: bool,
}

impl<T> Outer<'_, T> {
    fn complete(self) -> Option<Received<T>> {
        if self.fields_missing {
            return None;
        }
        Some(Received { id: self.id, created_at: self.created_at, version: self.version, data: self.data? })
    }
}

struct OuterVisitor<'a, R> {
    format: &'a EnvelopeFormat,
    read: R,
    fault: &'a mut Option<DecodeError>,
}

impl<'de, R: ReadData<'de>> Visitor<'de> for OuterVisitor<'_, R> {
    type Value = Outer<'de, R::Data>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut outer = Outer {
            id: None,
            event_type: None,
            created_at: None,
            version: None,
            data: None,
            fields_missing: false,
        };
        let mut seen = 0u8;
        let mut unknown = HashSet::new();
        while let Some(Text(key)) = map.next_key()? {
            let Some(index) = self.format.fields().iter().position(|field| field.name() == key) else {
                map.next_value::<IgnoredAny>()?;
                if !unknown.insert(key) {
                    return fail(self.fault, DecodeError::DuplicateField { field: None });
                }
                continue;
            };
            let field = &self.format.fields()[index];
            if seen & (1 << index) != 0 {
                return fail(self.fault, DecodeError::DuplicateField { field: Some(field.name()) });
            }
            seen |= 1 << index;
            let invalid = |reason| DecodeError::InvalidField { field: field.name(), reason };
            match field {
                Field::Id(_) => match text(&mut map)?.map(|id| id.parse()) {
                    Some(Ok(id)) => outer.id = Some(id),
                    _ => return fail(self.fault, invalid("expected 1 to 256 visible ASCII characters")),
                },
                Field::Type(_) => match text(&mut map)? {
                    Some(name) => match EventType::check(&name) {
                        Ok(()) => outer.event_type = Some(name),
                        Err(_) => {
                            let reason = "expected 1 to 256 bytes without a control character";
                            return fail(self.fault, invalid(reason));
                        }
                    },
                    None => return fail(self.fault, invalid("expected text")),
                },
                Field::CreatedAt(..) => {
                    match text(&mut map)?.map(|at| OffsetDateTime::parse(&at, &Rfc3339)) {
                        Some(Ok(at)) => {
                            // With an offset, the time in UTC may be outside the years that RFC 3339 can
                            // write.
                            outer.created_at = at
                                .checked_to_offset(UtcOffset::UTC)
                                .filter(|at| (0..=9999).contains(&at.year()));
                        }
                        _ => return fail(self.fault, invalid("expected RFC 3339 text")),
                    }
                    if outer.created_at.is_none() {
                        return fail(self.fault, invalid("expected a time within the years 0 to 9999"));
                    }
                }
                Field::Version(_, ours) => {
                    // A version that is no text differs from ours and is not refused.
                    outer.version = text(&mut map)?.map(|version| {
                        if version == *ours { Cow::Borrowed(*ours) } else { Cow::Owned(version.into_owned()) }
                    });
                }
                Field::Data(_) => outer.data = self.read.read(&mut map, outer.event_type.as_deref())?,
            }
        }
        outer.fields_missing = self
            .format
            .fields()
            .iter()
            .enumerate()
            .any(|(index, field)| seen & (1 << index) == 0 && !matches!(field, Field::Version(..)));
        Ok(outer)
    }
}

fn fail<T, E: serde::de::Error>(fault: &mut Option<DecodeError>, error: DecodeError) -> Result<T, E> {
    *fault = Some(error);
    Err(E::custom("see the fault"))
}

/// Reads the next value if it is text; `None` for JSON of another kind.
fn text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    Ok(map.next_value::<MaybeText<'de>>()?.0)
}

/// A key, which is borrowed from the body unless it holds an escape.
struct Text<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_str(TextVisitor)? {
            MaybeText(Some(text)) => Ok(Self(text)),
            MaybeText(None) => Err(D::Error::custom("expected text")),
        }
    }
}

struct MaybeText<'de>(Option<Cow<'de, str>>);

impl<'de> serde::Deserialize<'de> for MaybeText<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = MaybeText<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<MaybeText<'de>, E> {
        Ok(MaybeText(Some(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<MaybeText<'de>, E> {
        Ok(MaybeText(Some(Cow::Owned(text.to_owned()))))
    }

    fn visit_bool<E>(self, _: bool) -> Result<MaybeText<'de>, E> {
        Ok(MaybeText(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<MaybeText<'de>, E> {
        Ok(MaybeText(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<MaybeText<'de>, E> {
        Ok(MaybeText(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<MaybeText<'de>, E> {
        Ok(MaybeText(None))
    }

    fn visit_unit<E>(self) -> Result<MaybeText<'de>, E> {
        Ok(MaybeText(None))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<MaybeText<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(MaybeText(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MaybeText<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(MaybeText(None))
    }
}
