//! Reading an envelope: [`DecodeError`] for a body that is not one, [`DataError`] for data that does not fit its type.
//!
//! One pass reads the typed data in place when its type stands before it, as every platform writes it. When that
//! fails, or the type stands after the data, a second reader keeps the data's text and says what was wrong with it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_path_to_error::{Path, Segment};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::event::{EnvelopeFormat, EventData, EventId, EventType, Field};

/// Why a proven body could not be read as an event.
///
/// ```
/// use hookwire::{allison, Contract, DecodeError, Verified};
/// use time::OffsetDateTime;
///
/// let headers = http::HeaderMap::new();
/// let verified = Verified::dangerous_unsigned_at(&headers, b"[]", OffsetDateTime::UNIX_EPOCH);
/// let error = Contract::allison().decode::<allison::Event>(&verified).unwrap_err();
/// assert!(matches!(error, DecodeError::Malformed { .. }));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The body is not a JSON object in UTF-8.
    #[error("body is not an envelope: {reason}{}", place(*line, *column))]
    #[non_exhaustive]
    Malformed {
        /// What was wrong.
        reason: &'static str,
        /// The line, from 1; 0 when the fault has no place.
        line: usize,
        /// The column, from 1; 0 for the start of a line, or when the fault has no place.
        column: usize,
    },
    /// A field of the envelope is not there.
    #[error("envelope has no field `{field}`")]
    #[non_exhaustive]
    MissingField {
        /// The field's name.
        field: &'static str,
    },
    /// A field of the envelope stands twice, so two readers could see two different events.
    #[error("envelope has {} twice", known(field))]
    #[non_exhaustive]
    DuplicateField {
        /// The field's name; `None` for one that the format does not know.
        field: Option<&'static str>,
    },
    /// A field of the envelope holds something else than it should.
    #[error("envelope's field `{field}` is not valid: {reason}")]
    #[non_exhaustive]
    InvalidField {
        /// The field's name.
        field: &'static str,
        /// What was wrong.
        reason: &'static str,
    },
    /// The id in the body is not the id in the header: one of them was not made by the sender.
    #[error("event id in the body differs from the one in header `{header}`")]
    #[non_exhaustive]
    IdMismatch {
        /// The header's name.
        header: &'static str,
    },
    /// The event is of another type than the one asked for.
    #[error("event type `{event_type}` is not the one asked for")]
    #[non_exhaustive]
    UnexpectedType {
        /// The event's type.
        event_type: EventType,
    },
    /// The envelope is sound and the data does not fit its type. The request was not forged: the receiver decides.
    #[error(transparent)]
    Data(Box<DataError>),
}

/// Data that does not fit the type its envelope names.
///
/// Neither `Display` nor `Debug` shows the data; [`data`](Self::data) does. They name a field only as far as the type's own
/// definition does, since any other key is part of the data; [`field`](Self::field) has the whole path.
#[derive(Clone)]
pub struct DataError {
    event_type: EventType,
    field: Box<str>,
    /// As much of `field` as no peer wrote.
    own_field: Option<Box<str>>,
    expected: Option<Box<str>>,
    id: Option<EventId>,
    data: Box<RawValue>,
}

impl DataError {
    /// The event's type.
    pub fn event_type(&self) -> &EventType {
        &self.event_type
    }

    /// The path of the field that did not fit, such as `outcome_tags[2]`; `.` for the data as a whole.
    ///
    /// Below a field that is a map, the path holds the map's key, which the peer chose.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What would have fitted, where that can be said.
    pub fn expected(&self) -> Option<&str> {
        self.expected.as_deref()
    }

    /// The event's id, as [`Envelope::id`](crate::Envelope::id) would have been, when the data came in an envelope.
    pub fn id(&self) -> Option<&EventId> {
        self.id.as_ref()
    }

    /// The data, byte for byte as it came.
    pub fn data(&self) -> &RawValue {
        &self.data
    }

    /// Keeps the data as an untyped event.
    pub fn into_raw(self) -> (EventType, Box<RawValue>) {
        (self.event_type, self.data)
    }

    pub(crate) fn with_id(self, id: EventId) -> Self {
        Self { id: Some(id), ..self }
    }

    #[doc(hidden)] // for the catalogue macro
    pub fn check<T: EventData>(event_type: &str, data: &RawValue) -> Result<(), Self> {
        typed::<T>(event_type, data).map(drop)
    }
}

impl std::error::Error for DataError {}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "data of `{}` does not fit its type", self.event_type)?;
        if let Some(field) = &self.own_field {
            write!(f, " at `{field}`")?;
        }
        match &self.expected {
            Some(expected) => write!(f, ", expected {expected}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataError")
            .field("event_type", &self.event_type)
            .field("field", &self.own_field)
            .field("expected", &self.expected)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What a body said of its event; what it did not say comes from elsewhere.
pub(crate) struct Received<T> {
    pub(crate) id: Option<EventId>,
    pub(crate) created_at: Option<OffsetDateTime>,
    pub(crate) version: Option<Cow<'static, str>>,
    pub(crate) data: T,
}

impl EnvelopeFormat {
    pub(crate) fn decode<T: EventData>(&self, body: &[u8]) -> Result<Received<T>, DecodeError> {
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

    /// Reads again, this time keeping the data's text, to find what was wrong or what stood in another order.
    #[cold]
    fn decode_slowly<T: EventData>(&self, text: &str) -> Result<Received<T>, DecodeError> {
        let outer = self.read(text, Kept)?;
        for field in self.fields() {
            let missing = match field {
                Field::Id(_) => outer.id.is_none(),
                Field::Type(_) => outer.event_type.is_none(),
                Field::CreatedAt(..) => outer.created_at.is_none(),
                // A receiver has no use for a version it does not act on.
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
        match typed::<T>(&event_type, data) {
            Ok(data) => {
                Ok(Received { id: outer.id, created_at: outer.created_at, version: outer.version, data })
            }
            Err(mut error) => {
                error.id = outer.id;
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
                // serde's own text may quote the payload.
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

fn typed<T: EventData>(event_type: &str, data: &RawValue) -> Result<T, DataError> {
    let mut track = serde_path_to_error::Track::new();
    let mut json = serde_json::Deserializer::from_str(data.get());
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    T::deserialize_data(event_type, ObjectForStruct(tracked)).map_err(|error| {
        let path = track.path();
        DataError {
            event_type: event_type
                .parse()
                .unwrap_or_else(|_| "?".parse().expect("invariant: a question mark is a valid type name")),
            field: bounded(&path.to_string()).into(),
            own_field: own_field::<T>(event_type, &path).map(String::into_boxed_str),
            expected: expectation(&error.to_string()).map(String::into_boxed_str),
            id: None,
            data: data.to_owned(),
        }
    })
}

/// The start of `path` that stands in the type's definition: a field of its struct, and where in that field's list.
fn own_field<T: EventData>(event_type: &str, path: &Path) -> Option<String> {
    let mut segments = path.iter().peekable();
    let mut own = match segments.next() {
        None => ".".to_owned(),
        Some(Segment::Map { key }) => {
            let mut fields: &[&str] = &[];
            // It never succeeds: all it does is to be asked for a struct's fields.
            let _ = T::deserialize_data(event_type, FieldsOf(&mut fields));
            fields.iter().find(|field| *field == key).map(|field| (*field).to_owned())?
        }
        Some(_) => return None,
    };
    while let Some(Segment::Seq { index }) = segments.peek() {
        own.push_str(&format!("[{index}]"));
        segments.next();
    }
    Some(own)
}

/// Holds no data: notes the fields of the struct that it is asked for.
struct FieldsOf<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldsOf<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("no data"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The part of serde's text that says what would have fitted. The part before it may quote the payload, and so may any
/// text that is not serde's own.
fn expectation(text: &str) -> Option<String> {
    if let Some(field) = text.strip_prefix("missing field ") {
        return Some(format!("a field {}", field.split(" at line ").next().unwrap_or(field)));
    }
    const OWN: [&str; 5] =
        ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant `", "unknown field `"];
    if !OWN.iter().any(|start| text.starts_with(start)) || text.contains("`, there are no ") {
        return None;
    }
    let (_, expected) = text.rsplit_once(", expected ")?;
    Some(bounded(expected.split(" at line ").next().unwrap_or(expected)))
}

/// A path holds keys that a peer chose.
fn bounded(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(200).collect()
}

fn place(line: usize, column: usize) -> String {
    if line == 0 { String::new() } else { format!(", at line {line} column {column}") }
}

fn known(field: &Option<&'static str>) -> String {
    field.map_or_else(|| "an unknown field".to_owned(), |name| format!("field `{name}`"))
}

/// How the data field is read.
trait ReadData<'de>: Copy {
    type Data;

    /// `None` when this reader cannot read data before it knows the type.
    fn read<A: MapAccess<'de>>(
        self,
        map: &mut A,
        event_type: Option<&str>,
    ) -> Result<Option<Self::Data>, A::Error>;
}

/// Typed data, straight from the body.
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

/// The data's own text.
#[derive(Clone, Copy)]
struct Kept;

impl<'de> ReadData<'de> for Kept {
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

/// Reads a struct from an object alone. Derived code would take an array too, its values as the fields in turn.
struct ObjectForStruct<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for ObjectForStruct<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_option(visitor)
    }

    // Raw values are asked for as a newtype of a name that only JSON's own reader knows.
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_ignored_any(visitor)
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_i128(visitor)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_u128(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_bytes(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_byte_buf(visitor)
    }

    // To the rest, JSON's own kind of the value is the answer.
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string unit unit_struct seq tuple tuple_struct map identifier
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
                        Err(reason) => return fail(self.fault, invalid(reason)),
                    },
                    None => return fail(self.fault, invalid("expected text")),
                },
                Field::CreatedAt(..) => {
                    match text(&mut map)?.map(|at| OffsetDateTime::parse(&at, &Rfc3339)) {
                        Some(Ok(at)) => {
                            // An offset can lead out of what RFC 3339 can write in UTC.
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
                    // Numbers and the like are somebody else's version: told apart from ours, not refused.
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

/// The next value when it is text; `None` for JSON of another kind.
fn text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    Ok(map.next_value::<MaybeText<'de>>()?.0)
}

/// A key, borrowed from the body unless it holds an escape.
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
