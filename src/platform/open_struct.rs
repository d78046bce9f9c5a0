//! Structs of optional fields that keep the rest of their JSON object, for data of which only a part is
//! published.

use serde::Serialize;
use serde_json::{Map, Number, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Defines a struct of optional fields, with the rest of the JSON object in `open`. A field's name in JSON
/// follows `as`, where it is another one.
///
/// Reading is written by hand, because a derived reader with a flattened rest would refuse all of the data
/// for one field of another kind.
macro_rules! open_struct {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$field_meta:meta])* pub $field:ident $(as $key:literal)?: $kind:ty,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_meta])* pub $field: Option<$kind>,)+
            /// Every other field, and each field above whose JSON is of another kind. Where both hold a
            /// field, the one above is written.
            pub open: serde_json::Map<String, serde_json::Value>,
        }

        impl $name {
            /// Data without any field.
            pub fn new() -> Self {
                Self::default()
            }

            fn from_fields(mut open: serde_json::Map<String, serde_json::Value>) -> Self {
                use $crate::platform::open_struct::{key, take};

                Self { $($field: take(&mut open, key!($field $($key)?)),)+ open }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::event::or_default(deserializer).map(Self::from_fields)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                use $crate::platform::open_struct::{FieldKind, key};

                let mut map = serializer.serialize_map(None)?;
                $(if let Some(value) = &self.$field {
                    map.serialize_entry(key!($field $($key)?), &value.written())?;
                })+
                for (name, value) in &self.open {
                    let is_written = match name.as_str() {
                        $(key!($field $($key)?) => self.$field.is_some(),)+
                        _ => false,
                    };
                    if !is_written {
                        map.serialize_entry(name, value)?;
                    }
                }
                map.end()
            }
        }

        impl $crate::platform::open_struct::FieldKind for $name {
            fn read(value: &serde_json::Value) -> Option<Self> {
                value.as_object().cloned().map(Self::from_fields)
            }

            fn written(&self) -> impl serde::Serialize {
                self
            }
        }
    };
}

/// The name of a field in JSON.
macro_rules! key {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:literal) => {
        $key
    };
}

/// Makes fields of these enums of text possible.
macro_rules! text_kind {
    ($($name:ident),+) => {
        $(impl $crate::platform::open_struct::FieldKind for $name {
            fn read(value: &serde_json::Value) -> Option<Self> {
                value.as_str().map(Self::from)
            }

            fn written(&self) -> impl serde::Serialize {
                self
            }
        })+
    };
}

pub(crate) use {key, open_struct, text_kind};

/// A kind of JSON that a field holds.
pub(crate) trait FieldKind: Sized {
    /// The value, if it is of this kind.
    fn read(value: &Value) -> Option<Self>;

    /// The value in the form in which it is written.
    fn written(&self) -> impl Serialize;
}

/// Takes the field out of `fields` if it is of this kind.
pub(crate) fn take<T: FieldKind>(fields: &mut Map<String, Value>, name: &str) -> Option<T> {
    let value = T::read(fields.get(name)?)?;
    fields.remove(name);
    Some(value)
}

impl FieldKind for String {
    fn read(value: &Value) -> Option<Self> {
        value.as_str().map(Self::from)
    }

    fn written(&self) -> impl Serialize {
        self
    }
}

impl FieldKind for Number {
    fn read(value: &Value) -> Option<Self> {
        value.as_number().cloned()
    }

    fn written(&self) -> impl Serialize {
        self
    }
}

/// RFC 3339 text.
impl FieldKind for OffsetDateTime {
    fn read(value: &Value) -> Option<Self> {
        Self::parse(value.as_str()?, &Rfc3339).ok()
    }

    fn written(&self) -> impl Serialize {
        struct Text<'a>(&'a OffsetDateTime);

        impl Serialize for Text<'_> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                time::serde::rfc3339::serialize(self.0, serializer)
            }
        }

        Text(self)
    }
}

impl<T: FieldKind + Serialize> FieldKind for Vec<T> {
    fn read(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(T::read).collect()
    }

    fn written(&self) -> impl Serialize {
        self
    }
}

impl FieldKind for Value {
    fn read(value: &Value) -> Option<Self> {
        // `null` stays in the rest, so that it is written back.
        (!value.is_null()).then(|| value.clone())
    }

    fn written(&self) -> impl Serialize {
        self
    }
}
