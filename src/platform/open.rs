//! Event data with unpublished fields: JSON objects that are kept whole, with readers that never fail.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// Defines a platform's open data: a JSON object with the readers that every platform has.
macro_rules! open_data {
    ($(#[$meta:meta])* pub struct $name:ident;) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
        #[non_exhaustive]
        #[serde(transparent)]
        pub struct $name {
            /// Every field, as it came.
            pub fields: serde_json::Map<String, serde_json::Value>,
        }

        impl $name {
            /// Data without a field.
            pub fn new() -> Self {
                Self::default()
            }

            /// Sets the field `name` to `value`.
            pub fn with(mut self, name: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
                self.fields.insert(name.into(), value.into());
                self
            }

            /// The field of this name.
            pub fn field(&self, name: &str) -> Option<&serde_json::Value> {
                self.fields.get(name)
            }

            /// The field of this name if it is text. A number is read as its digits, because ids come as
            /// either.
            pub fn text(&self, name: &str) -> Option<std::borrow::Cow<'_, str>> {
                $crate::platform::open::text(&self.fields, &[name])
            }
        }

        impl From<serde_json::Map<String, serde_json::Value>> for $name {
            fn from(fields: serde_json::Map<String, serde_json::Value>) -> Self {
                Self { fields }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::event::or_default(deserializer).map(|fields| Self { fields })
            }
        }
    };
}

pub(crate) use open_data;

/// The text of the first of these fields that is text or a number.
pub(crate) fn text<'a>(fields: &'a Map<String, Value>, names: &[&str]) -> Option<Cow<'a, str>> {
    names.iter().find_map(|name| match fields.get(*name)? {
        Value::String(text) if !text.is_empty() => Some(Cow::Borrowed(text.as_str())),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    })
}

/// The fields of a sample. Write the keys of a sample in alphabetical order, so that its bytes are the same
/// whether or not another crate turns on serde_json's `preserve_order`.
pub(crate) fn object(sample: Value) -> Map<String, Value> {
    match sample {
        Value::Object(fields) => fields,
        _ => unreachable!("invariant: a sample is written as an object"),
    }
}
