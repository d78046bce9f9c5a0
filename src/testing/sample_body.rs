//! Makes a body of a provider's shape: id, type, time and data where the provider has them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::error::{Error, ErrorKind};
use crate::provider::{BodyForm, Place, Provider};
use crate::signature::{Part, form};

/// A body, and the headers that say the rest.
pub(super) struct Sample {
    pub(super) body: Vec<u8>,
    pub(super) headers: HeaderMap,
}

/// The sample of a provider's event, made at `now`.
pub(super) fn sample(provider: &Provider, now: OffsetDateTime) -> Sample {
    let shape = provider.shape;
    let mut made = Made { item: Value::Object(Map::new()), headers: HeaderMap::new() };
    let is_form = provider.bodies().first() == Some(&BodyForm::Form);
    for part in provider.scheme().map_or(&[][..], |scheme| scheme.content()) {
        if let Part::Json(pointer) | Part::AnyJson(pointer) = part {
            made.set(pointer, Value::from("sample-1"));
        }
    }
    made.place(shape.id.first().copied(), "sample-1");
    made.place(shape.event_type.first().copied(), "sample");
    if let Some((place, form)) = shape.time
        && let Some(text) = form.write(now)
    {
        let value = text.parse::<i64>().map_or_else(|_| Value::from(&*text), Value::from);
        match place {
            Place::Field(pointer) => made.set(pointer, value),
            Place::Header(name) => made.header(name, &text),
            _ => {}
        }
    }
    if !is_form {
        made.set(&format!("{}/note", shape.data), Value::from("caf\u{e9} \u{2713}"));
    }
    let body = match shape.events {
        Some("") => json!([made.item]),
        Some(list) => put(&Value::Object(Map::new()), list, json!([made.item]))
            .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|_| refused("body is no JSON")))
            .unwrap_or(made.item),
        None => made.item,
    };
    let (content_type, body) = match body.as_object().filter(|_| is_form) {
        Some(fields) => {
            let pairs = fields.iter().filter_map(|(name, value)| {
                Some(format!("{}={}", form::encoded(name), form::encoded(value.as_str()?)))
            });
            ("application/x-www-form-urlencoded", pairs.collect::<Vec<_>>().join("&").into_bytes())
        }
        None => ("application/json", body.to_string().into_bytes()),
    };
    made.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Sample { body, headers: made.headers }
}

struct Made {
    item: Value,
    headers: HeaderMap,
}

impl Made {
    /// Puts a text where a provider has it.
    fn place(&mut self, place: Option<Place>, text: &str) {
        match place {
            Some(Place::Field(pointer) | Place::Body(pointer)) => self.set(pointer, Value::from(text)),
            Some(Place::Header(name)) => self.header(name, text),
            Some(Place::Join(places)) => places.iter().for_each(|place| self.place(Some(*place), text)),
            Some(Place::FieldName(others)) => {
                for name in others {
                    self.set(&format!("/{name}"), Value::from(1));
                }
                self.set(&format!("/{text}/note"), Value::from(text));
            }
            Some(Place::Xml(pointer, element)) => {
                let xml = format!("<notification><{element}>{text}</{element}></notification>\n");
                self.set(pointer, Value::from(STANDARD.encode(xml) + "\n"));
            }
            Some(Place::Fixed(_)) | None => {}
        }
    }

    fn header(&mut self, name: &'static str, text: &str) {
        if let Ok(value) = HeaderValue::from_str(text) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
    }

    /// Sets a value, unless there is one.
    fn set(&mut self, pointer: &str, value: Value) {
        if self.item.pointer(pointer).is_none()
            && let Ok(bytes) = put(&self.item, pointer, value)
            && let Ok(item) = serde_json::from_slice(&bytes)
        {
            self.item = item;
        }
    }
}

/// The JSON with this value at a JSON Pointer; objects on the way are made.
pub(super) fn put(json: &Value, pointer: &str, value: Value) -> Result<Vec<u8>, Error> {
    let mut json = json.clone();
    let mut found = &mut json;
    for segment in pointer.split('/').skip(1) {
        let fields =
            found.as_object_mut().ok_or_else(|| refused("body has no object where a value belongs"))?;
        found = fields.entry(segment).or_insert_with(|| Value::Object(Map::new()));
    }
    *found = value;
    Ok(json.to_string().into_bytes())
}

pub(super) fn refused(reason: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Sign, reason)
}
