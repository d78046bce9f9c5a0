//! The schemas of events that callers emit, and their names.

use serde_json::{Map, Value, json};

use super::fields::{about, array, closed, named, nullable};
use crate::bounds;
use crate::contract::{Contract, Versions};

/// Adds the events that a caller emits, one of each published type, and their union.
pub(super) fn new_events(all: &mut Map<String, Value>, chains: &[&Versions]) {
    let mut alternatives = Vec::new();
    for (at, versions) in chains.iter().enumerate() {
        let contract = versions.newest();
        let kinds = contract.catalogue().iter().map(|kind| {
            let name = json!({"type": "string", "const": kind.name()});
            (
                name_of_kind(chains, contract, kind.name()),
                name,
                named(&name_of_data(chains, contract, kind.name())),
            )
        });
        let kinds: Vec<_> = match contract.catalogue().is_open() {
            true => {
                let name = json!({
                    "type": "string", "minLength": 1, "maxLength": bounds::EVENT_TYPE,
                    "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$",
                });
                vec![(name_of_kind(chains, contract, "any"), name, json!({}))]
            }
            false => kinds.collect(),
        };
        for (component, name, data) in kinds {
            let own = json!({"type": "string", "const": contract.name()});
            let fields = [
                ("type", name),
                ("data", data),
                ("id", nullable(named("NewEventId"))),
                ("contract", if at == 0 { nullable(own) } else { own }),
                ("ordering_key", nullable(named("OrderingKey"))),
                ("attributes", nullable(named("RoutingAttributes"))),
            ];
            let required: &[&str] = if at == 0 { &["type", "data"] } else { &["type", "data", "contract"] };
            alternatives.push(named(&component));
            all.insert(component, closed(fields, required));
        }
    }
    all.insert("NewEvent".into(), json!({"anyOf": alternatives}));
    let values = json!({"anyOf": [{"type": "string"}, array(json!({"type": "string"}))]});
    for (name, schema) in [
        ("AttributeValues", about(values, "The values of an attribute: a list, or one text.")),
        ("RoutingAttributes", {
            json!({
                "type": "object", "maxProperties": bounds::ATTRIBUTES,
                "additionalProperties": named("AttributeValues"),
            })
        }),
        ("NewEventId", {
            // Where the signature covers the id, a full stop ends the id.
            let is_signed = |versions: &&Versions| versions.newest().scheme().is_some_and(|it| it.signs_id());
            let pattern = if chains.iter().any(is_signed) { "^[!--/-~]+$" } else { "^[!-~]+$" };
            json!({
                "type": "string", "minLength": 1, "maxLength": bounds::EVENT_ID, "pattern": pattern,
                "description": "The event's id, to repeat a call safely; a fresh one by default.",
            })
        }),
        ("OrderingKey", {
            json!({
                "type": "string", "maxLength": bounds::ORDERING_KEY,
                "description": "Events of one key are delivered in their order.",
            })
        }),
    ] {
        all.insert(name.into(), schema);
    }
}

/// The name of the schema of a type's data.
pub(super) fn name_of_data(chains: &[&Versions], contract: &Contract, kind: &str) -> String {
    format!("{}Data", name_of_type(chains, contract, kind))
}

pub(super) fn name_of_kind(chains: &[&Versions], contract: &Contract, kind: &str) -> String {
    format!("{}Event", name_of_type(chains, contract, kind))
}

pub(super) fn name_of_type(chains: &[&Versions], contract: &Contract, kind: &str) -> String {
    match chains.len() {
        1 => in_camel_case(kind),
        _ => format!("{}{}", in_camel_case(contract.name()), in_camel_case(kind)),
    }
}

pub(super) fn in_camel_case(name: &str) -> String {
    let mut camel = String::new();
    let mut starts = true;
    for letter in name.chars() {
        match letter.is_ascii_alphanumeric() {
            true if starts => camel.extend(letter.to_uppercase()),
            true => camel.push(letter),
            false => {}
        }
        starts = !letter.is_ascii_alphanumeric();
    }
    camel
}
