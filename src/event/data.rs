//! Reads an event's data as its type. [`DataError`] says which field does not fit, and keeps the data.

use std::fmt;

use serde::de::{Deserializer, Error as _, Visitor};
use serde_json::value::RawValue;
use serde_path_to_error::{Path, Segment};

use crate::event::data_schema::SchemaFault;
use crate::event::{EventData, EventId, EventType};

/// Data that does not fit the type that its envelope names.
///
/// `Display` and `Debug` do not show the data; [`data`](Self::data) returns it. They name a field only as far
/// as the type's definition does, because any other key is part of the data; [`field`](Self::field) returns
/// the whole path.
#[derive(Clone)]
pub struct DataError {
    event_type: EventType,
    field: Box<str>,
    /// The part of `field` that stands in the type's definition.
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

    /// The path of the field that does not fit, such as `outcome_tags[2]`; `.` for the data as a whole.
    ///
    /// Below a map, the path holds the map's key, which the peer chose.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The kind of value that would fit, if that is known.
    pub fn expected(&self) -> Option<&str> {
        self.expected.as_deref()
    }

    /// The id that [`Envelope::id`](crate::Envelope::id) would have, if the data came in an envelope.
    pub fn id(&self) -> Option<&EventId> {
        self.id.as_ref()
    }

    /// The data, byte for byte as it was received.
    pub fn data(&self) -> &RawValue {
        &self.data
    }

    /// Turns the error into the type and the data of an untyped event.
    pub fn into_raw(self) -> (EventType, Box<RawValue>) {
        (self.event_type, self.data)
    }

    pub(super) fn of_schema(event_type: &str, fault: SchemaFault, data: &RawValue) -> Self {
        let field: Box<str> = if fault.path.is_empty() { ".".into() } else { fault.path.into() };
        Self {
            event_type: stored_type(event_type),
            own_field: Some(field.clone()),
            field,
            expected: Some(fault.expected.into()),
            id: None,
            data: data.to_owned(),
        }
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

pub(crate) fn typed<T: EventData>(event_type: &str, data: &RawValue) -> Result<T, DataError> {
    let mut track = serde_path_to_error::Track::new();
    let mut json = serde_json::Deserializer::from_str(data.get());
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    T::deserialize_data(event_type, ObjectForStruct(tracked)).map_err(|error| {
        let path = track.path();
        DataError {
            event_type: stored_type(event_type),
            field: bounded(&path.to_string()).into(),
            own_field: own_field::<T>(event_type, &path).map(String::into_boxed_str),
            expected: expectation(&error.to_string()).map(String::into_boxed_str),
            id: None,
            data: data.to_owned(),
        }
    })
}

fn stored_type(event_type: &str) -> EventType {
    let question_mark = || "?".parse().expect("invariant: a question mark is a valid type name");
    event_type.parse().unwrap_or_else(|_| question_mark())
}

/// The start of `path` that stands in the type's definition: a field of its struct, and the place in that
/// field's list.
fn own_field<T: EventData>(event_type: &str, path: &Path) -> Option<String> {
    let mut segments = path.iter().peekable();
    let mut own = match segments.next() {
        None => ".".to_owned(),
        Some(Segment::Map { key }) => {
            let mut fields: &[&str] = &[];
            // This always fails. It only notes the fields of the struct.
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

/// A deserializer without data, which notes the fields of the struct that is read from it.
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

/// The part of serde's text that says which value would fit. The part before it may quote the payload, and so
/// may any text that is not serde's own.
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

/// Limits a path, which may hold keys that a peer chose.
fn bounded(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(200).collect()
}

/// Reads a struct from an object only. Derived code would take an array too, with its values as the fields in
/// turn.
pub(super) struct ObjectForStruct<D>(pub(super) D);

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

    // A raw value is read as a newtype with a name that only JSON's own reader knows.
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

    // Every other kind is read as the JSON has it.
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string unit unit_struct seq tuple tuple_struct map identifier
    }
}
