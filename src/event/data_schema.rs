//! [`DataSchema`]: the data that a sender promises for an event type.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::event::format::same;

/// The data that a sender promises for an event type: a constant, which is written as JSON Schema and checked
/// without one.
///
/// An object may have fields beside those that are named, because receivers ignore the fields that they do
/// not know.
///
/// ```
/// use hookwire::event::{DataSchema, Property};
///
/// const ORDER: DataSchema = DataSchema::object(&[
///     Property::required("order_id", DataSchema::STRING),
///     Property::required("note", DataSchema::STRING.nullable()),
///     Property::optional("state", DataSchema::one_of(&["new", "paid"])),
/// ]);
/// let schema = ORDER.to_json();
/// assert_eq!(schema["required"], serde_json::json!(["order_id", "note"]));
/// assert_eq!(schema["properties"]["note"]["type"], serde_json::json!(["string", "null"]));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct DataSchema {
    kind: Kind,
    is_nullable: bool,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Any,
    Boolean,
    Integer,
    Number,
    String,
    DateTime,
    OneOf(&'static [&'static str]),
    Array(&'static DataSchema),
    Object(&'static [Property]),
}

impl DataSchema {
    /// Any JSON.
    pub const ANY: Self = Self::of(Kind::Any);
    /// `true` or `false`.
    pub const BOOLEAN: Self = Self::of(Kind::Boolean);
    /// A whole number.
    pub const INTEGER: Self = Self::of(Kind::Integer);
    /// A number.
    pub const NUMBER: Self = Self::of(Kind::Number);
    /// Text.
    pub const STRING: Self = Self::of(Kind::String);
    /// An RFC 3339 time as text.
    pub const DATE_TIME: Self = Self::of(Kind::DateTime);

    /// One of these texts.
    ///
    /// # Panics
    ///
    /// When there is no text. In a constant the compiler reports it.
    pub const fn one_of(texts: &'static [&'static str]) -> Self {
        assert!(!texts.is_empty(), "a choice has at least one text");
        Self::of(Kind::OneOf(texts))
    }

    /// A list of such values.
    pub const fn array(items: &'static Self) -> Self {
        Self::of(Kind::Array(items))
    }

    /// An object with these fields, and any others.
    ///
    /// # Panics
    ///
    /// When two fields have the same name, or there are more than 64. In a constant the compiler reports it.
    pub const fn object(properties: &'static [Property]) -> Self {
        assert!(properties.len() <= MAX_PROPERTIES, "an object has at most 64 fields");
        let mut i = 0;
        while i < properties.len() {
            let mut j = 0;
            while j < i {
                assert!(!same(properties[i].name, properties[j].name), "two fields have the same name");
                j += 1;
            }
            i += 1;
        }
        Self::of(Kind::Object(properties))
    }

    /// Allows `null` too.
    pub const fn nullable(mut self) -> Self {
        self.is_nullable = true;
        self
    }

    /// The schema as JSON Schema (2020-12).
    pub fn to_json(&self) -> Value {
        let mut schema = Map::new();
        let name = match self.kind {
            Kind::Any => return json!({}),
            Kind::Boolean => "boolean",
            Kind::Integer => "integer",
            Kind::Number => "number",
            Kind::String => "string",
            Kind::DateTime => {
                schema.insert("format".into(), json!("date-time"));
                "string"
            }
            Kind::OneOf(texts) => {
                let null = self.is_nullable.then_some(Value::Null);
                let texts = texts.iter().map(|text| json!(text)).chain(null);
                schema.insert("enum".into(), texts.collect());
                "string"
            }
            Kind::Array(items) => {
                schema.insert("items".into(), items.to_json());
                "array"
            }
            Kind::Object(properties) => {
                let described = properties.iter().map(|it| (it.name.to_owned(), it.schema.to_json()));
                schema.insert("properties".into(), Value::Object(described.collect()));
                let required: Vec<_> =
                    properties.iter().filter(|it| it.is_required).map(|it| it.name).collect();
                if !required.is_empty() {
                    schema.insert("required".into(), json!(required));
                }
                "object"
            }
        };
        let name = if self.is_nullable { json!([name, "null"]) } else { json!(name) };
        schema.insert("type".into(), name);
        Value::Object(schema)
    }

    /// Finds the first place in `data` that breaks the schema.
    pub(crate) fn fault(&self, data: &str) -> Option<SchemaFault> {
        let mut fault = None;
        let checked = serde_json::Deserializer::from_str(data)
            .deserialize_any(Check { schema: self, fault: &mut fault });
        match checked {
            Ok(()) => None,
            Err(_) => {
                Some(fault.unwrap_or_else(|| SchemaFault { path: String::new(), expected: "JSON".into() }))
            }
        }
    }

    const fn of(kind: Kind) -> Self {
        Self { kind, is_nullable: false }
    }

    /// The values that fit, in words.
    fn expected(&self) -> String {
        let what = match self.kind {
            Kind::Any => "any value".into(),
            Kind::Boolean => "true or false".into(),
            Kind::Integer => "a whole number".into(),
            Kind::Number => "a number".into(),
            Kind::String => "text".into(),
            Kind::DateTime => "a time as RFC 3339 text".into(),
            Kind::OneOf(texts) => format!("one of {}", texts.join(", ")),
            Kind::Array(_) => "a list".into(),
            Kind::Object(_) => "an object".into(),
        };
        if self.is_nullable { what + ", or null" } else { what }
    }
}

/// A field of an object in a [`DataSchema`].
#[derive(Clone, Copy, Debug)]
pub struct Property {
    name: &'static str,
    schema: DataSchema,
    is_required: bool,
}

impl Property {
    /// A field that is always there.
    pub const fn required(name: &'static str, schema: DataSchema) -> Self {
        Self { name, schema, is_required: true }
    }

    /// A field that may be missing.
    pub const fn optional(name: &'static str, schema: DataSchema) -> Self {
        Self { name, schema, is_required: false }
    }
}

/// A place in data that breaks a schema.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct SchemaFault {
    /// The path of names that stand in the schema, such as `transcript[2].text`; empty for the data itself.
    pub(crate) path: String,
    pub(crate) expected: String,
}

/// Reads a value without keeping it, and notes the first fault.
struct Check<'a> {
    schema: &'a DataSchema,
    fault: &'a mut Option<SchemaFault>,
}

impl Check<'_> {
    fn judge<E: serde::de::Error>(self, fits: bool) -> Result<(), E> {
        match fits || matches!(self.schema.kind, Kind::Any) {
            true => Ok(()),
            false => {
                *self.fault = Some(SchemaFault { path: String::new(), expected: self.schema.expected() });
                Err(E::custom("the schema is broken"))
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Check<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.schema.expected())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        let is_nullable = self.schema.is_nullable;
        self.judge(is_nullable)
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        let fits = matches!(self.schema.kind, Kind::Boolean);
        self.judge(fits)
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        let fits = matches!(self.schema.kind, Kind::Integer | Kind::Number);
        self.judge(fits)
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.visit_i64(0)
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        // JSON Schema counts 12.0 among the whole numbers.
        let fits = match self.schema.kind {
            Kind::Number => true,
            Kind::Integer => number.fract() == 0.0,
            _ => false,
        };
        self.judge(fits)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        let fits = match self.schema.kind {
            Kind::String => true,
            Kind::DateTime => OffsetDateTime::parse(text, &Rfc3339).is_ok(),
            Kind::OneOf(texts) => texts.contains(&text),
            _ => false,
        };
        self.judge(fits)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let items = match self.schema.kind {
            Kind::Array(items) => items,
            Kind::Any => &DataSchema::ANY,
            _ => return self.judge(false),
        };
        for index in 0_usize.. {
            match seq.next_element_seed(Check { schema: items, fault: &mut *self.fault }) {
                Ok(Some(())) => {}
                Ok(None) => break,
                Err(error) => {
                    below(self.fault, &format!("[{index}]"));
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let properties = match self.schema.kind {
            Kind::Object(properties) => properties,
            Kind::Any => &[],
            _ => return self.judge(false),
        };
        let mut seen = 0_u64;
        while let Some(place) = map.next_key_seed(Name(properties))? {
            let Some(place) = place else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            seen |= 1 << place;
            let Property { name, schema, .. } = &properties[place];
            if let Err(error) = map.next_value_seed(Check { schema, fault: &mut *self.fault }) {
                below(self.fault, name);
                return Err(error);
            }
        }
        let is_missing = |(place, it): &(usize, &Property)| it.is_required && seen & (1_u64 << place) == 0;
        if let Some((_, missing)) = properties.iter().enumerate().find(is_missing) {
            let expected = format!("a field `{}`", missing.name);
            *self.fault = Some(SchemaFault { path: String::new(), expected });
            return Err(A::Error::custom("a field is missing"));
        }
        Ok(())
    }
}

/// Puts a fault below the field or the place `segment`.
fn below(fault: &mut Option<SchemaFault>, segment: &str) {
    if let Some(fault) = fault {
        let dot = if fault.path.is_empty() || fault.path.starts_with('[') { "" } else { "." };
        fault.path = format!("{segment}{dot}{}", fault.path);
    }
}

/// Reads a key as the place of its property.
struct Name(&'static [Property]);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|property| property.name == name))
    }
}

const MAX_PROPERTIES: usize = 64;
