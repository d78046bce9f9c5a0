//! Reads the events of a proven request.

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::event::{DecodeError, EventId, EventType};
use crate::mending::mended;
use crate::provider::authentication::{Authentication, JwtPlace};
use crate::provider::definition::Provider;
use crate::provider::jwt;
use crate::provider::place::Place;
use crate::signature::{Request, TimeForm, Verified, form, json};

/// One event of a provider's request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProviderEvent {
    /// The event's id, or the SHA-256 of the body if the provider sends none.
    pub id: EventId,
    /// The name that tells copies of the delivery apart: the signed id of the message where there is one, or
    /// else the event's id.
    pub key: EventId,
    /// Whether the event's id, or a time in its body, tells it apart from other events. If not, an equal
    /// event is a copy of it only within the provider's [`copy_window`](Provider::copy_window).
    pub is_told_apart: bool,
    /// The event's type, `unknown` if the provider names none.
    pub event_type: EventType,
    /// The event's time, if the provider sends one.
    pub created_at: Option<OffsetDateTime>,
    /// The data, byte for byte as it was sent if the body is JSON.
    pub data: Box<RawValue>,
}

impl Provider {
    /// Reads the events of a request that was [proven](crate::provider::RequestVerifier): one, or as many as
    /// the provider puts into a request, which may be none.
    ///
    /// Half a surrogate in a text (RFC 8259 section 8.2) is read as U+FFFD, and a byte order mark is skipped.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the body is not JSON, or not the form or token that the provider sends, or if a
    /// type is not one.
    pub fn events(
        &self,
        request: &Request<'_>,
        verified: &Verified<'_>,
    ) -> Result<Vec<ProviderEvent>, DecodeError> {
        Ok(self.events_within(request, verified, usize::MAX)?.unwrap_or_default())
    }

    /// Reads the events of a request, or `None` if there are more than `limit`.
    pub(crate) fn events_within(
        &self,
        request: &Request<'_>,
        verified: &Verified<'_>,
        limit: usize,
    ) -> Result<Option<Vec<ProviderEvent>>, DecodeError> {
        let text = self.json(request)?;
        let text = mended(&text);
        let body: Value = serde_json::from_str(&text).map_err(|error| DecodeError::Malformed {
            reason: "JSON is not well-formed",
            line: error.line(),
            column: error.column(),
        })?;
        // Xero's trial of an endpoint has `null` for no events.
        if self.shape.events.is_some_and(|list| body.pointer(list).is_some_and(Value::is_null)) {
            return Ok(Some(Vec::new()));
        }
        let items = self
            .shape
            .events
            .and_then(|list| Some((body.pointer(list)?.as_array()?, raw_items(&text, list)?)));
        // A genuine body without the list is one event: its sender would repeat it in vain.
        let Some((items, texts)) = items else {
            return Ok(Some(vec![self.event(request, verified, &body, &body, &text, None)?]));
        };
        if items.len() > limit {
            return Ok(None);
        }
        let several = items.len() > 1;
        let events = items.iter().zip(texts).enumerate().map(|(number, (item, raw))| {
            let number = several.then_some(number);
            self.event(request, verified, &body, item, raw.get(), number)
        });
        let mut events = events.collect::<Result<Vec<_>, _>>()?;
        tell_apart(&mut events);
        Ok(Some(events))
    }

    /// The JSON of the events: the body, a field of the form, the form itself, or a token's claims.
    fn json<'r>(&self, request: &Request<'r>) -> Result<Cow<'r, str>, DecodeError> {
        let malformed = |reason| DecodeError::Malformed { reason, line: 0, column: 0 };
        if let Authentication::Jwt(rule) = self.authentication
            && rule.place == JwtPlace::Body
        {
            let claims = jwt::claims_of_body(request.body).and_then(|claims| String::from_utf8(claims).ok());
            return claims.map(Cow::Owned).ok_or_else(|| malformed("body is not a JSON Web Token"));
        }
        if is_form(request) {
            let json = self.form_json.and_then(|name| form::field(request.body, name));
            return Ok(Cow::Owned(json.unwrap_or_else(|| form_as_json(request.body))));
        }
        str::from_utf8(json::unmarked(request.body))
            .map(Cow::Borrowed)
            .map_err(|_| malformed("body is not UTF-8 (RFC 8259 section 8.1)"))
    }

    fn event(
        &self,
        request: &Request<'_>,
        verified: &Verified<'_>,
        body: &Value,
        item: &Value,
        text: &str,
        number: Option<usize>,
    ) -> Result<ProviderEvent, DecodeError> {
        let find = |places: &[Place]| places.iter().find_map(|place| lookup(*place, request, body, item));
        let message_id = verified.id().filter(|_| verified.id_is_signed());
        let invalid = |field, reason| DecodeError::InvalidField { field, reason };
        let own_id = find(self.shape.id);
        let has_id = own_id.is_some() || message_id.is_some();
        let id = match (own_id, message_id) {
            (Some(id), _) => id_of(&id),
            (None, Some(id)) => numbered(id, number),
            (None, None) if number.is_some() => EventId::of_body(text.as_bytes()),
            (None, None) => EventId::of_body(request.body),
        };
        let key = match message_id {
            Some(message) => numbered(message, number),
            None => id.clone(),
        };
        let event_type = find(self.shape.event_type).unwrap_or_else(|| UNKNOWN.to_owned());
        let event_type: EventType = event_type
            .parse()
            .map_err(|_| invalid("type", "expected 1 to 256 bytes without a control character"))?;
        let created_at =
            self.shape.time.and_then(|(place, form)| time_of(&lookup(place, request, body, item)?, form));
        let has_time =
            created_at.is_some() && matches!(self.shape.time, Some((Place::Field(_) | Place::Body(_), _)));
        let data = match self.shape.data {
            "" => text.to_owned(),
            pointer => raw_at(text, pointer).map_or_else(|| text.to_owned(), |data| data.get().to_owned()),
        };
        let data = RawValue::from_string(data).map_err(|_| DecodeError::Malformed {
            reason: "JSON is not well-formed",
            line: 0,
            column: 0,
        })?;
        Ok(ProviderEvent {
            id,
            key,
            is_told_apart: has_id && !self.is_subject_id || has_time,
            event_type,
            created_at,
            data,
        })
    }
}

impl ProviderEvent {
    /// The event in the envelope of [`Provider::contract`].
    pub(crate) fn envelope(&self, at: OffsetDateTime) -> Vec<u8> {
        #[derive(serde::Serialize)]
        struct Document<'a> {
            id: &'a str,
            #[serde(rename = "type")]
            event_type: &'a str,
            #[serde(with = "time::serde::rfc3339")]
            created_at: OffsetDateTime,
            data: &'a RawValue,
        }
        let document = Document {
            id: self.id.as_str(),
            event_type: self.event_type.as_str(),
            created_at: self.created_at.unwrap_or(at),
            data: &self.data,
        };
        serde_json::to_vec(&document).expect("invariant: an event that was read can be written")
    }
}

/// Numbers the equal events of one request that nothing else tells apart: none is a copy of another.
fn tell_apart(events: &mut [ProviderEvent]) {
    let mut seen: HashMap<EventId, usize> = HashMap::new();
    for event in events.iter_mut().filter(|event| !event.is_told_apart) {
        let before = seen.entry(event.id.clone()).or_default();
        if *before > 0 {
            event.id = numbered(event.id.as_str(), Some(*before));
            event.key = event.id.clone();
        }
        *before += 1;
    }
}

/// Whether the content type is that of a form.
fn is_form(request: &Request<'_>) -> bool {
    request.header_text("content-type").is_some_and(|text| {
        let essence = text.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    })
}

/// The form's fields as a JSON object. The first of several fields of one name counts.
fn form_as_json(body: &[u8]) -> String {
    let mut object = Map::new();
    for (name, value) in form::fields(body) {
        object.entry(name).or_insert(Value::String(value));
    }
    Value::Object(object).to_string()
}

fn lookup(place: Place, request: &Request<'_>, body: &Value, item: &Value) -> Option<String> {
    match place {
        Place::Field(pointer) => text_of(item.pointer(pointer)?),
        Place::Body(pointer) => text_of(body.pointer(pointer)?),
        Place::Header(name) => request.header_text(name).filter(|text| !text.is_empty()).map(str::to_owned),
        Place::Fixed(text) => Some(text.to_owned()),
        Place::Xml(pointer, element) => xml_text(item.pointer(pointer)?.as_str()?, element),
        Place::FieldName(others) => {
            let names = item.as_object()?.keys();
            names.into_iter().find(|name| !others.contains(&name.as_str())).cloned()
        }
        Place::Join(places) => {
            let texts: Option<Vec<_>> =
                places.iter().map(|place| lookup(*place, request, body, item)).collect();
            texts.map(|texts| texts.join("."))
        }
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The text of the first element of this name in XML, which is in base64.
///
/// It has to be plain text: what an escape stands for is the business of an XML parser.
fn xml_text(base64: &str, element: &str) -> Option<String> {
    let base64: String = base64.split_ascii_whitespace().collect();
    let xml = String::from_utf8(STANDARD.decode(base64).ok()?).ok()?;
    let (_, rest) = xml
        .match_indices('<')
        .map(|(at, _)| xml.split_at(at + 1))
        .find(|(_, rest)| rest.strip_prefix(element).is_some_and(|rest| rest.starts_with(['>', ' '])))?;
    let (_, content) = rest.split_once('>')?;
    let (text, _) = content.split_once('<')?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty() && !text.contains('&'))
}

/// The id as it is, or its digest if it holds other characters or is too long.
fn id_of(text: &str) -> EventId {
    text.parse().unwrap_or_else(|_| EventId::of_body(text.as_bytes()))
}

/// The id of one of several events in a message.
fn numbered(id: &str, number: Option<usize>) -> EventId {
    match number {
        None => id_of(id),
        Some(number) => id_of(&format!("{id}:{number}")),
    }
}

/// Reads a time in the provider's form, or in another one that it may have changed to: which one it is shows
/// in the number's size. A time outside the years that RFC 3339 can write is none.
fn time_of(text: &str, form: TimeForm) -> Option<OffsetDateTime> {
    let is_good = |at: &OffsetDateTime| (0..=9999).contains(&at.year());
    let forms = match text.parse::<f64>() {
        // Seconds have this many digits from the year 5138 on, and milliseconds until 1973.
        Ok(number) if number.abs() >= 1e11 => [TimeForm::Milliseconds, form],
        Ok(_) => [TimeForm::Seconds, form],
        Err(_) => [TimeForm::Rfc3339, form],
    };
    forms.into_iter().find_map(|form| form.read(text).filter(is_good))
}

/// The text of the value at a JSON Pointer.
fn raw_at<'t>(text: &'t str, pointer: &str) -> Option<&'t RawValue> {
    let mut found: &RawValue = serde_json::from_str(text).ok()?;
    for segment in pointer.split('/').skip(1) {
        let name = segment.replace("~1", "/").replace("~0", "~");
        found = match found.get().as_bytes().first()? {
            b'{' => {
                let fields: HashMap<Cow<'t, str>, &RawValue> = serde_json::from_str(found.get()).ok()?;
                fields.get(name.as_str()).copied()?
            }
            _ => {
                let items: Vec<&RawValue> = serde_json::from_str(found.get()).ok()?;
                items.get(name.parse::<usize>().ok()?).copied()?
            }
        };
    }
    Some(found)
}

fn raw_items<'t>(text: &'t str, pointer: &str) -> Option<Vec<&'t RawValue>> {
    serde_json::from_str(raw_at(text, pointer)?.get()).ok()
}

/// The type of an event of which the provider names none.
const UNKNOWN: &str = "unknown";
