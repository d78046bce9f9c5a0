//! The JSON Schemas of a type: what its sender promises, and what its reader accepts, found by trying values
//! on it.

use serde_json::{Map, Value, json};

use crate::event::EventKind;

impl EventKind {
    /// The JSON Schema (2020-12) of the data that a sender of this type promises.
    ///
    /// It is the schema of [`with_schema`](Self::with_schema), or else
    /// [`accepted_schema`](Self::accepted_schema). An outbox refuses data that breaks it.
    ///
    /// ```
    /// let contract = hookwire::Contract::allison();
    /// let schema = contract.catalogue().find("call.ended").expect("a type of Allison").schema();
    /// assert_eq!(schema["required"], serde_json::json!(["call_id"]));
    /// assert_eq!(schema["properties"]["started_at"]["format"], "date-time");
    /// assert_eq!(schema["properties"]["direction"]["enum"][0], "inbound");
    /// ```
    pub fn schema(&self) -> Value {
        match &self.schema {
            Some(schema) => self.described(schema.to_json()),
            None => self.accepted_schema(),
        }
    }

    /// The JSON Schema (2020-12) of the data that a receiver of this type reads: the fields, which of them
    /// are required, and the kinds of their values.
    ///
    /// It is found by trying values on [`check`](Self::check), so it describes the data that is really read.
    /// The fields are those of the [`sample`](Self::sample); later versions may have more. It tolerates more
    /// than the [`schema`](Self::schema) of the sender, such as an empty list for a missing value.
    ///
    /// ```
    /// let contract = hookwire::Contract::allison();
    /// let kind = contract.catalogue().find("call.ended").expect("a type of Allison");
    /// let schema = kind.accepted_schema();
    /// assert_eq!(schema["properties"]["direction"]["type"], serde_json::json!(["null", "string", "array"]));
    /// ```
    pub fn accepted_schema(&self) -> Value {
        let sample = serde_json::from_str(self.sample().get()).unwrap_or(Value::Null);
        let fits = |value: &Value| {
            serde_json::value::to_raw_value(value).is_ok_and(|data| self.check(&data).is_ok())
        };
        self.described(of(&sample, &fits))
    }

    fn described(&self, mut schema: Value) -> Value {
        schema["title"] = self.name().into();
        schema["description"] = self.description().into();
        schema
    }
}

/// The schema of the values that `fits` accepts. `sample` is a value with every field.
pub(crate) fn of(sample: &Value, fits: &dyn Fn(&Value) -> bool) -> Value {
    let mut types: Vec<&str> = Vec::new();
    let mut schema = Map::new();
    if fits(&Value::Null) {
        types.push("null");
    }
    if fits(&json!(true)) {
        types.push("boolean");
    }
    numbers(sample, fits, &mut types, &mut schema);
    text(sample, fits, &mut types, &mut schema);
    list(sample, fits, &mut types, &mut schema);
    object(sample, fits, &mut types, &mut schema);
    // Any value fits.
    if ["null", "boolean", "number", "string", "array", "object"].iter().all(|name| types.contains(name)) {
        return json!({});
    }
    schema.insert("type".into(), if types.len() == 1 { json!(types[0]) } else { json!(types) });
    Value::Object(schema)
}

fn numbers(
    sample: &Value,
    fits: &dyn Fn(&Value) -> bool,
    types: &mut Vec<&str>,
    schema: &mut Map<String, Value>,
) {
    match (fits(&json!(1.5)), fits(&json!(1)) || sample.is_number() && fits(sample)) {
        (true, _) => types.push("number"),
        (false, true) => types.push("integer"),
        (false, false) => return,
    }
    if !fits(&json!(-1)) {
        schema.insert("minimum".into(), json!(0));
    }
}

fn text(
    sample: &Value,
    fits: &dyn Fn(&Value) -> bool,
    types: &mut Vec<&str>,
    schema: &mut Map<String, Value>,
) {
    let is_time = fits(&json!("2026-04-17T19:12:03.482Z"));
    if fits(&json!("any text")) {
        types.push("string");
    } else if is_time {
        types.push("string");
        schema.insert("format".into(), json!("date-time"));
    } else if sample.is_string() && fits(sample) {
        types.push("string");
        schema.insert("examples".into(), json!([sample]));
    }
}

fn list(
    sample: &Value,
    fits: &dyn Fn(&Value) -> bool,
    types: &mut Vec<&str>,
    schema: &mut Map<String, Value>,
) {
    let item = sample.as_array().and_then(|items| items.first());
    if let Some(item) = item.filter(|item| fits(&json!([item]))) {
        types.push("array");
        schema.insert("items".into(), of(item, &|value| fits(&json!([value]))));
        return;
    }
    if !fits(&json!([])) {
        return;
    }
    types.push("array");
    let has_items = [json!("any text"), json!(1), json!({}), json!(null), json!([])];
    // An empty list stands for a missing value.
    if !has_items.iter().any(|item| fits(&json!([item]))) {
        schema.insert("maxItems".into(), json!(0));
    }
}

fn object(
    sample: &Value,
    fits: &dyn Fn(&Value) -> bool,
    types: &mut Vec<&str>,
    schema: &mut Map<String, Value>,
) {
    let Some(fields) = sample.as_object().filter(|_| fits(sample)) else {
        if fits(&json!({})) {
            types.push("object");
        }
        return;
    };
    types.push("object");
    let with = |name: &str, value: Option<&Value>| {
        let mut changed = fields.clone();
        match value {
            Some(value) => drop(changed.insert(name.to_owned(), value.clone())),
            None => drop(changed.remove(name)),
        }
        fits(&Value::Object(changed))
    };
    let any = [json!(null), json!(true), json!(1), json!("any text"), json!([]), json!({})];
    let unknown = any.iter().filter(|value| with(UNKNOWN, Some(value))).count();
    // The object is a map: the caller chooses the names, and all values have one type.
    if let Some((name, first)) = fields.iter().next()
        && unknown < any.len()
        && with(UNKNOWN, Some(first))
    {
        schema.insert("additionalProperties".into(), of(first, &|value| with(name, Some(value))));
        return;
    }
    let described =
        fields.iter().map(|(name, field)| (name.clone(), of(field, &|value| with(name, Some(value)))));
    schema.insert("properties".into(), Value::Object(described.collect()));
    let required: Vec<_> = fields.keys().filter(|name| !with(name, None)).collect();
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
    if unknown == 0 {
        schema.insert("additionalProperties".into(), json!(false));
    }
}

const UNKNOWN: &str = "x-none-of-the-fields";
