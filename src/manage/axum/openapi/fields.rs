//! Small parts of schemas.

use serde_json::{Map, Value, json};

/// A reference to a schema of the document.
pub(super) fn named(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// An RFC 3339 time.
pub(super) fn date_time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

pub(super) fn array(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

/// A value, or `null`.
pub(super) fn nullable(mut schema: Value) -> Value {
    let is_plain =
        schema.as_object().is_some_and(|schema| schema.keys().all(|key| PLAIN.contains(&key.as_str())));
    match schema.get("type") {
        Some(Value::String(name)) if is_plain && name != "object" && name != "array" => {
            schema["type"] = json!([name, "null"]);
            schema
        }
        // Generators of clients read other schemas with `null` better as one of two.
        _ => {
            let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            let mut either = json!({"anyOf": [schema, {"type": "null"}]});
            if let Some(about) = about {
                either["description"] = about;
            }
            either
        }
    }
}

/// The same schema with [`nullable`] choices and objects.
pub(super) fn for_clients(schema: Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let mut fields: Map<_, _> =
                fields.into_iter().map(|(name, value)| (name, for_clients(value))).collect();
            let types = fields.get("type").and_then(Value::as_array).cloned().unwrap_or_default();
            let [Value::String(name), Value::String(null)] = types.as_slice() else {
                return Value::Object(fields);
            };
            if null != "null" {
                return Value::Object(fields);
            }
            if let Some(choice) = fields.get_mut("enum").and_then(Value::as_array_mut) {
                choice.retain(|value| !value.is_null());
            }
            fields.insert("type".into(), name.as_str().into());
            nullable(Value::Object(fields))
        }
        Value::Array(items) => items.into_iter().map(for_clients).collect(),
        other => other,
    }
}

/// An object that may have more fields in later versions.
pub(super) fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>, required: &[&str]) -> Value {
    let properties: Map<_, _> = fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    let mut schema = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// An answer: every field is always there.
pub(super) fn answer<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let fields: Vec<_> = fields.into_iter().collect();
    let required: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
    object(fields.clone(), &required)
}

/// An object that has these fields and no others.
pub(super) fn closed<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>, required: &[&str]) -> Value {
    let mut schema = object(fields, required);
    schema["additionalProperties"] = json!(false);
    schema
}

/// Adds a description to a schema.
pub(super) fn about(mut schema: Value, text: impl Into<Value>) -> Value {
    schema["description"] = text.into();
    schema
}

/// The keywords of a schema that holds for `null` as well.
const PLAIN: &[&str] = &["type", "description", "minimum", "maximum"];

pub(super) fn integer(least: u64, most: u64) -> Value {
    match most {
        u64::MAX => json!({"type": "integer", "minimum": least}),
        most => json!({"type": "integer", "minimum": least, "maximum": most}),
    }
}
