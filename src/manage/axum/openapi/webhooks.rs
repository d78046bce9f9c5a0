//! The requests that endpoints receive: an OpenAPI webhook for each event type.

use serde_json::{Map, Value, json};

use super::events::{in_camel_case, name_of_data};
use super::fields::{named, object};
use crate::contract::{Contract, Versions};
use crate::event::{Envelope, EventId, EventKind, Field, RawEvent, TimePrecision};

pub(super) fn webhooks(chains: &[&Versions]) -> Value {
    let mut all = Map::new();
    for versions in chains {
        let contract = versions.newest();
        let kinds: Vec<_> = match contract.catalogue().is_open() {
            true => vec![None],
            false => contract.catalogue().iter().map(Some).collect(),
        };
        for kind in kinds {
            let event = kind.map_or("event", EventKind::name);
            let name = match chains.len() {
                1 => event.to_owned(),
                _ => format!("{}/{event}", contract.name()),
            };
            all.insert(name, json!({"post": webhook(chains, contract, kind)}));
        }
    }
    Value::Object(all)
}

fn webhook(chains: &[&Versions], contract: &Contract, kind: Option<&'static EventKind>) -> Value {
    let event = kind.map_or("event", EventKind::name);
    let mut content = json!({"schema": envelope(chains, contract, kind)});
    if let Some(sample) = kind.and_then(|kind| sample(contract, kind)) {
        content["examples"] = json!({"sample": {"value": sample}});
    }
    let success = contract.success();
    let mut responses = match (*success.start(), *success.end()) {
        (200, 299) => json!({"2XX": {"description": "The event was accepted."}}),
        (least, most) => (least..=most)
            .map(|code| (code.to_string(), json!({"description": "The event was accepted."})))
            .collect(),
    };
    if contract.disables_on_gone() {
        responses["410"] = json!({"description": "The endpoint is gone. The subscription is disabled."});
    }
    responses["default"] =
        json!({"description": "The event was not accepted. It is sent again, by the schedule."});
    let about = kind.map(EventKind::description).filter(|about| !about.is_empty());
    let mut post = json!({
        "operationId": format!("Receive{}{}", in_camel_case(contract.name()), in_camel_case(event)),
        "tags": ["Events"],
        "summary": format!("Receives `{event}`."),
        "parameters": headers(contract),
        "requestBody": {"required": true, "content": {"application/json": content}},
        "responses": responses,
        // The signature proves the request, not a scheme of the calls above.
        "security": [],
    });
    if let Some(about) = about {
        post["description"] = about.into();
    }
    post
}

/// The headers of a request.
fn headers(contract: &Contract) -> Vec<Value> {
    let mut headers = Vec::new();
    if let Some(scheme) = contract.scheme() {
        for name in scheme.headers() {
            let about = if Some(name) == scheme.id_header() {
                "The event's id. It is the same in every attempt."
            } else if Some(name) == scheme.timestamp_header() {
                "The time of the attempt, in seconds since 1970. Refuse old requests."
            } else {
                "The signature. Verify it over the bytes of the body, before you read them."
            };
            headers.push(header(name, true, about));
        }
    }
    headers.push(header(crate::store::implement::NewEvent::TEST, false, "`true` on a test event."));
    headers.push(header(
        "traceparent",
        false,
        "The place in a trace, if the event has one (W3C Trace Context).",
    ));
    headers
}

fn header(name: &str, is_required: bool, about: &str) -> Value {
    json!({"name": name, "in": "header", "required": is_required, "description": about, "schema": {"type": "string"}})
}

fn envelope(chains: &[&Versions], contract: &Contract, kind: Option<&'static EventKind>) -> Value {
    let fields: Vec<_> = contract.format().fields().iter().map(|field| {
        let schema = match field {
            Field::Id(_) => json!({"type": "string", "description": "The event's id."}),
            Field::Type(_) => match kind {
                Some(kind) => json!({"type": "string", "const": kind.name()}),
                None => json!({"type": "string"}),
            },
            Field::CreatedAt(_, precision) => {
                let digits = match precision {
                    TimePrecision::Milliseconds => "milliseconds",
                    TimePrecision::Microseconds => "microseconds",
                };
                json!({"type": "string", "format": "date-time", "description": format!("The time of the event, to {digits}.")})
            }
            Field::Version(_, value) => json!({"type": "string", "const": value}),
            Field::Data(_) => kind.map_or_else(|| json!({}), |kind| named(&name_of_data(chains, contract, kind.name()))),
        };
        (field.name(), schema)
    }).collect();
    let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
    object(fields.clone(), &names)
}

/// The body of a sample, as it is sent.
fn sample(contract: &Contract, kind: &EventKind) -> Option<Value> {
    let at = time::macros::datetime!(2026-04-17 19:12:03.482 UTC);
    let event = RawEvent::new(kind.name(), kind.sample()).ok()?;
    let body = contract.encode(&Envelope::from_parts(EventId::from_parts(at, [7; 10]), at, event)).ok()?;
    serde_json::from_slice(&body).ok()
}
