//! The schemas of the document: bodies and answers.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::events::{in_camel_case, name_of_data, new_events};
use super::fields::{about, answer, array, closed, date_time, for_clients, integer, named, nullable, object};
use super::settings::{
    AUTHENTICATIONS, RETRIES, attributes, authentication_kept, authentication_patch, basic, condition,
    credential, header_name, header_value, hidden, kept_certificate, one_of, rate, retry_delays,
    retry_exponential, secret, token, typed,
};
use crate::bounds;
use crate::contract::{Contract, FieldTarget, SubscriptionField, Versions};
use crate::delivery::DeliveryState;
use crate::manage::{Emitter, SubscriptionDraft};
use crate::outcome::{ErrorClass, FailureReason};
use crate::subscription::DisabledReason;

pub(super) fn schemas(chains: &[&Versions], emits: bool) -> Value {
    let mut all = Map::new();
    of_each(&mut all, chains, "SubscriptionDraft", draft);
    of_each(&mut all, chains, "SubscriptionReplacement", replacement);
    of_each(&mut all, chains, "SubscriptionPatch", patch);
    of_each(&mut all, chains, "Subscription", subscription);
    for (name, schema) in [
        ("EventPattern", event_pattern(chains)),
        ("Hidden", hidden()),
        ("KeptHeaderValue", json!({"anyOf": [header_value(), named("Hidden")]})),
        ("Condition", condition()),
        ("NoAuthentication", typed("none", [], &[], "No authentication beside the signature.")),
        ("ApiKeyAuthentication", {
            let fields = [("header", header_name()), ("key", credential())];
            typed("api_key", fields, &["header", "key"], "A key as the whole value of a header.")
        }),
        ("BasicAuthentication", {
            typed("basic", basic(), &["user", "password"], "A name and a password (RFC 7617).")
        }),
        ("BearerAuthentication", {
            typed("bearer", [("token", token())], &["token"], "A fixed bearer token (RFC 6750).")
        }),
        ("BearerFromSourceAuthentication", {
            typed("bearer_from_source", [], &[], "A bearer token from the platform's token source.")
        }),
        ("Authentication", one_of(AUTHENTICATIONS)),
        ("AuthenticationShown", {
            let kinds: Vec<_> = AUTHENTICATIONS.iter().map(|(kind, _)| *kind).collect();
            let header = about(json!({"type": "string"}), "The header of an API key.");
            object([("type", json!({"type": "string", "enum": kinds})), ("header", header)], &["type"])
        }),
        ("AuthenticationKept", authentication_kept()),
        ("AuthenticationPatch", authentication_patch()),
        ("ClientCertificate", {
            let pem = |kind: &str, text: &str| json!({"type": "string", "format": kind, "description": text});
            let certificates = pem("pem-certificates", "The certificates in PEM, the own one first.");
            let key = pem("pem-key", "The private key in PEM.");
            closed([("certificates", certificates), ("key", key)], &["certificates", "key"])
        }),
        ("Rate", rate(&["per_second"])),
        ("RatePatch", rate(&[])),
        ("NoRetry", typed("none", [], &[], "One attempt and no retry.")),
        ("RetryDelays", retry_delays()),
        ("RetryExponential", retry_exponential()),
        ("Retry", one_of(RETRIES)),
        ("RetryShown", one_of(&RETRIES[..2])),
        ("Rotate", {
            let mut contracts = chains.iter().map(|versions| versions.newest());
            let carries_several =
                contracts.any(|it| it.scheme().is_none_or(|scheme| scheme.carries_several()));
            let longest = if carries_several { 2_592_000 } else { 0 };
            let overlap = about(integer(0, longest), "How long the old secrets sign beside the new one.");
            closed([("secret", nullable(secret())), ("overlap_seconds", nullable(overlap))], &[])
        }),
        ("Test", {
            let wait = json!({"type": "boolean", "description": "Whether to wait for the outcome, as it does by default."});
            let kind = about(
                json!({"type": ["string", "null"]}),
                "A type that the subscription asks for and that has a sample; the first such type by default.",
            );
            closed([("event_type", kind), ("wait", wait)], &[])
        }),
        ("Recover", {
            let name = json!({"type": "string", "minLength": 1, "maxLength": bounds::EVENT_TYPE, "pattern": "^[ -~]+$"});
            let fields = [
                ("since", about(date_time(), "Deliveries that were made at this time or later.")),
                ("until", about(nullable(date_time()), "Only deliveries that were made before this time.")),
                ("event_types", about(array(name), "Only deliveries of these types.")),
                ("preview", about(json!({"type": "boolean"}), "Counts the deliveries and sends none.")),
            ];
            closed(fields, &["since"])
        }),
        ("Retried", answer([("delivery_id", json!({"type": ["string", "null"]}))])),
        ("Session", {
            answer([
                ("organization", id()),
                ("label", json!({"type": ["string", "null"]})),
                ("scope", json!({"type": "string", "enum": ["read", "write"]})),
                ("expires_at", nullable(date_time())),
                ("now", date_time()),
            ])
        }),
        ("Contract", {
            let span = || json!({"type": "number", "minimum": 0});
            answer([
                ("name", id()),
                ("versions", array(id())),
                ("signature_headers", array(id())),
                ("tolerance_seconds", integer(0, u64::MAX)),
                ("timeout_seconds", span()),
                ("success", about(array(integer(100, 999)), "The least and the greatest status.")),
                ("retry_seconds", about(array(span()), "The delays before retries, without jitter.")),
                ("disables_on_gone", json!({"type": "boolean"})),
                ("disables_after_seconds", nullable(span())),
                ("rotation_overlap_seconds", integer(0, u64::MAX)),
            ])
        }),
        ("Discard", {
            let note = json!({
                "type": "string", "maxLength": bounds::NOTE, "pattern": "^[^\\u0000]*$",
                "description": format!("The reason, in at most {} bytes.", bounds::NOTE),
            });
            closed([("note", note)], &[])
        }),
        ("Delivery", answer(delivery())),
        ("DeliveryWithAttempts", {
            answer(delivery().into_iter().chain([("attempt_log", array(named("Attempt")))]))
        }),
        ("Attempt", attempt()),
        ("TestResult", {
            answer([
                ("event_id", id()),
                ("event_type", id()),
                ("delivery_id", id()),
                ("delivered", json!({"type": "boolean"})),
                ("attempt", named("Attempt")),
            ])
        }),
        ("Replayed", {
            answer([(
                "replayed",
                about(integer(0, u64::MAX), "The number of deliveries that are sent again."),
            )])
        }),
        ("Statistics", statistics()),
        ("Count", {
            answer([
                ("status", nullable(status())),
                ("error", error()),
                ("delivered", json!({"type": "boolean"})),
                ("attempts", integer(0, u64::MAX)),
            ])
        }),
        ("Event", answer(event())),
        ("EventWithPayload", {
            let payload =
                about(json!({}), "The envelope as it is sent; missing once it is no longer stored.");
            let fields = event();
            let required: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
            object(fields.clone().into_iter().chain([("payload", payload)]), &required)
        }),
        ("EventType", {
            answer([
                ("name", id()),
                ("description", json!({"type": "string"})),
                ("sample", about(json!({}), "Data of this type.")),
                ("schema", about(json!({"type": "object"}), "The JSON Schema (2020-12) of the data.")),
            ])
        }),
        ("Problem", problem()),
    ] {
        all.insert(name.into(), schema);
    }
    for contract in chains.iter().map(|versions| versions.newest()) {
        for kind in contract.catalogue().iter() {
            let mut data = for_clients(kind.schema());
            // Generators of clients name a type by its title, which is not a name of this document.
            data.as_object_mut().and_then(|data| data.remove("title"));
            all.insert(name_of_data(chains, contract, kind.name()), data);
        }
    }
    if emits {
        new_events(&mut all, chains);
        let several = array(named("NewEvent"));
        let mut several = closed([("events", several)], &["events"]);
        several["properties"]["events"]["minItems"] = json!(1);
        several["properties"]["events"]["maxItems"] = json!(Emitter::<()>::MOST);
        all.insert("NewEvents".into(), about(several, "Several events of one contract."));
        all.insert("Events".into(), json!({"anyOf": [named("NewEvent"), named("NewEvents")]}));
        let deliveries = about(integer(0, u64::MAX), "The number of deliveries that were made.");
        let duplicate = about(json!({"type": "boolean"}), "Whether the same event was there already.");
        let emitted = answer([("id", id()), ("deliveries", deliveries), ("duplicate", duplicate)]);
        all.insert("Emitted".into(), emitted);
    }
    Value::Object(all)
}

/// Adds the schema of the only contract, or one of each and their union.
fn of_each(all: &mut Map<String, Value>, chains: &[&Versions], name: &str, schema: fn(&Versions) -> Value) {
    if let [only] = chains {
        all.insert(name.into(), schema(only));
        return;
    }
    let mut alternatives = Vec::new();
    for (at, versions) in chains.iter().enumerate() {
        let contract = versions.newest().name();
        let mut own = schema(versions);
        if name != "SubscriptionReplacement" {
            own["properties"]["contract"] = json!({"type": "string", "const": contract});
        }
        if at > 0 && name == "SubscriptionDraft" {
            // Without it, a draft is for the first contract.
            let required = own["required"].as_array_mut().expect("invariant: a draft has required fields");
            required.push(json!("contract"));
        }
        let own_name = format!("{}{name}", in_camel_case(contract));
        alternatives.push(named(&own_name));
        all.insert(own_name, own);
    }
    all.insert(name.into(), json!({"anyOf": alternatives}));
}

fn draft(versions: &Versions) -> Value {
    let mut schema = closed(draft_fields(versions), &["events", "url"]);
    schema["properties"]["secret"] = nullable(secret());
    // Where the contract has a name of its own for them, events may stand under either.
    if let Some(name) = name_of_events(versions.newest()) {
        schema["required"] = json!(["url"]);
        schema["anyOf"] = json!([{"required": ["events"]}, {"required": [name]}]);
        schema["not"] = json!({"required": ["events", name]});
    }
    schema
}

fn replacement(versions: &Versions) -> Value {
    let mut schema = draft(versions);
    if let Some(fields) = schema["properties"].as_object_mut() {
        fields.remove("secret");
        for name in SubscriptionDraft::READ_ONLY {
            let text = "As a read shows it. It changes nothing.";
            fields.insert((*name).into(), about(json!({}), text));
        }
        fields.insert("authentication".into(), nullable(named("AuthenticationKept")));
        fields.insert("client_certificate".into(), kept_certificate());
        // As a read has them, so that its type is that of a replacement.
        fields.insert("contract".into(), about(id(), "The contract that it speaks."));
        fields.insert("version".into(), about(id(), "The version of the contract's data."));
        fields["events"]["items"] = json!({"type": "string", "minLength": 1});
        fields["headers"]["anyOf"][0]["additionalProperties"] = named("KeptHeaderValue");
    }
    schema
}

fn patch(versions: &Versions) -> Value {
    let mut fields: Map<_, _> =
        draft_fields(versions).into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    let mut values = about(array(json!({"type": "string"})), "`null` takes the attribute out.");
    values["minItems"] = json!(1);
    fields["attributes"]["anyOf"][0]["additionalProperties"] = nullable(values);
    fields["headers"]["anyOf"][0]["additionalProperties"] = nullable(named("KeptHeaderValue"));
    fields["metadata"]["anyOf"][0]["additionalProperties"] = json!({"type": ["string", "null"]});
    fields.insert("client_certificate".into(), kept_certificate());
    fields["authentication"] = nullable(named("AuthenticationPatch"));
    fields["rate"] = nullable(named("RatePatch"));
    for field in versions.newest().subscription_fields() {
        if field.target().attribute().is_some() {
            fields[field.name()] = nullable(fields[field.name()].clone());
        }
    }
    fields["enabled"] = nullable(fields["enabled"].clone());
    let mut schema = closed([], &[]);
    schema["properties"] = Value::Object(fields);
    if let Some(name) = name_of_events(versions.newest()) {
        schema["not"] = json!({"required": ["events", name]});
    }
    schema
}

/// The fields of a draft without its secret.
fn draft_fields(versions: &Versions) -> Vec<(&'static str, Value)> {
    let contract = versions.newest();
    let mut patterns = array(named("EventPattern"));
    (patterns["minItems"], patterns["maxItems"]) = (json!(1), json!(MOST_PATTERNS));
    let mut conditions = array(named("Condition"));
    conditions["maxItems"] = json!(bounds::CONDITIONS);
    let at_most = format!("With events and conditions, at most {} bytes as JSON.", bounds::FILTER_LEN);
    let version: Vec<_> = versions.iter().map(Contract::version).collect();
    let mut fields = vec![
        ("url", {
            let url = json!({"type": "string", "format": "uri"});
            about(url, "The URL that the events go to, in at most 8,000 bytes.")
        }),
        ("events", about(patterns.clone(), "The event types, prefixes such as `call.*`, or `*`.")),
        ("description", {
            nullable(about(json!({"type": "string", "maxLength": bounds::DESCRIPTION}), "Words for people."))
        }),
        ("uid", {
            let uid = json!({"type": "string", "minLength": 1, "maxLength": bounds::UID});
            nullable(about(uid, "Your own name of it. Several may have the same."))
        }),
        ("metadata", {
            let metadata = json!({
                "type": "object", "maxProperties": bounds::METADATA,
                "propertyNames": {"minLength": 1},
                "additionalProperties": {"type": "string", "maxLength": bounds::METADATA_LEN},
            });
            let text = format!("Names and values for programs, in {} bytes.", bounds::METADATA_LEN);
            nullable(about(metadata, text))
        }),
        ("conditions", about(nullable(conditions), "What an event's JSON must have, all of it.")),
        ("attributes", about(nullable(attributes()), at_most)),
        ("headers", {
            let headers = json!({
                "type": "object",
                "maxProperties": bounds::HEADERS,
                "propertyNames": header_name(),
                "additionalProperties": header_value(),
            });
            nullable(about(
                headers,
                format!("Extra headers, in {} bytes with their names.", bounds::HEADERS_LEN),
            ))
        }),
        ("authentication", nullable(named("Authentication"))),
        ("client_certificate", nullable(named("ClientCertificate"))),
        ("max_in_flight", {
            nullable(about(integer(1, u32::MAX.into()), "The most attempts under way at once."))
        }),
        ("rate", nullable(named("Rate"))),
        ("retry", nullable(named("Retry"))),
        (
            "enabled",
            json!({"type": "boolean", "description": "Whether deliveries are sent, as they are by default."}),
        ),
        ("contract", {
            let contract = json!({"type": "string", "const": contract.name()});
            about(contract, "The contract that it speaks. A subscription keeps it.")
        }),
        ("version", {
            about(json!({"type": "string", "enum": version}), "The version of the contract's data.")
        }),
    ];
    for field in contract.subscription_fields() {
        let mut item = json!({"type": "string", "minLength": 1, "examples": [field.example()]});
        if let Some(pattern) = field.pattern() {
            item["pattern"] = json!(pattern);
        }
        let schema = match field.target() {
            FieldTarget::Text(_) => item,
            FieldTarget::Events => patterns.clone(),
            FieldTarget::List(_) => {
                let mut list = array(item);
                list["minItems"] = json!(1);
                list
            }
        };
        fields.push((field.name(), about(schema, field.description())));
    }
    fields
}

fn subscription(versions: &Versions) -> Value {
    let boolean = json!({"type": "boolean"});
    let mut schema = answer([
        ("id", id()),
        ("contract", id()),
        ("version", id()),
        ("url", json!({"type": "string", "format": "uri"})),
        ("description", json!({"type": ["string", "null"]})),
        ("uid", json!({"type": ["string", "null"]})),
        ("metadata", json!({"type": "object", "additionalProperties": {"type": "string"}})),
        ("events", array(json!({"type": "string"}))),
        ("conditions", array(named("Condition"))),
        ("attributes", attributes()),
        ("headers", json!({"type": "object", "additionalProperties": named("Hidden")})),
        ("authentication", named("AuthenticationShown")),
        ("client_certificate", nullable(named("Hidden"))),
        ("max_in_flight", nullable(integer(1, u32::MAX.into()))),
        ("rate", nullable(named("Rate"))),
        ("retry", nullable(named("RetryShown"))),
        ("enabled", boolean),
        ("disabled_reason", { about(one_of_texts(DisabledReason::ALL), "Why no deliveries are sent.") }),
        ("auto_disabled_reason", {
            about(one_of_texts(DisabledReason::ALL), "The reason, if it was disabled automatically.")
        }),
        ("disabled_at", nullable(date_time())),
        ("failing_since", about(nullable(date_time()), "Since when the endpoint only fails.")),
        ("secret_preview", about(json!({"type": ["string", "null"]}), "The beginning of the newest secret.")),
        ("secrets", {
            let secret = answer([("preview", id()), ("until", nullable(date_time()))]);
            about(array(secret), "The secrets that sign now, the newest first.")
        }),
        ("signing_secrets", about(integer(0, 11), "How many secrets sign now.")),
        ("created_at", date_time()),
    ]);
    for field in versions.newest().subscription_fields() {
        let shown = match field.target() {
            FieldTarget::Events => continue,
            FieldTarget::Text(_) => json!({"type": "string"}),
            FieldTarget::List(_) => array(json!({"type": "string"})),
        };
        schema["properties"][field.name()] = about(shown, field.description());
    }
    schema
}

fn name_of_events(contract: &Contract) -> Option<&'static str> {
    let mut fields = contract.subscription_fields().iter();
    fields.find(|field| field.target() == FieldTarget::Events).map(SubscriptionField::name)
}

/// Every pattern that matches a published type; any pattern, where a catalogue is open.
fn event_pattern(chains: &[&Versions]) -> Value {
    let mut patterns = BTreeSet::from(["*".to_owned()]);
    for contract in chains.iter().flat_map(|versions| versions.iter()) {
        if contract.catalogue().is_open() {
            return json!({
                "type": "string", "minLength": 1, "maxLength": bounds::EVENT_TYPE,
                "pattern": "^(?:\\*|[^*\\u0000-\\u001f\\u007f-\\u009f]+(?:[. ]\\*)?)$",
                "description": "An event type, a prefix such as `call.*`, or `*`.",
            });
        }
        for kind in contract.catalogue().iter() {
            patterns.insert(kind.name().to_owned());
            for (at, _) in kind.name().match_indices(['.', ' ']) {
                patterns.insert(format!("{}*", &kind.name()[..=at]));
            }
        }
    }
    json!({"type": "string", "enum": patterns})
}

fn delivery() -> Vec<(&'static str, Value)> {
    vec![
        ("id", id()),
        ("subscription_id", id()),
        ("contract", id()),
        ("version", id()),
        ("event_id", id()),
        ("event_type", id()),
        ("state", json!({"type": "string", "enum": DeliveryState::ALL})),
        ("reason", about(json!({"type": ["string", "null"]}), "Why it is dead, in words.")),
        ("note", about(json!({"type": ["string", "null"]}), "Why it was discarded.")),
        ("test", json!({"type": "boolean"})),
        ("attempts", integer(0, u32::MAX.into())),
        ("due_at", nullable(date_time())),
        ("created_at", date_time()),
    ]
}

fn attempt() -> Value {
    let span = || json!({"type": "number", "minimum": 0});
    let timings = answer([
        ("dns_ms", nullable(span())),
        ("connect_ms", nullable(span())),
        ("tls_ms", nullable(span())),
        ("first_byte_ms", nullable(span())),
        ("total_ms", span()),
    ]);
    answer([
        ("number", integer(0, u32::MAX.into())),
        ("started_at", date_time()),
        ("duration_ms", span()),
        ("delivered", json!({"type": "boolean"})),
        ("status", nullable(status())),
        ("error", error()),
        ("reason", about(one_of_texts(FailureReason::ALL), "Why it failed.")),
        ("explanation", about(json!({"type": ["string", "null"]}), "The reason in words.")),
        ("timings", timings),
        ("response_excerpt", about(json!({"type": "string"}), "The beginning of the response's body.")),
    ])
}

fn statistics() -> Value {
    let span = || json!({"type": "number", "minimum": 0});
    let latency = answer([("median", span()), ("p95", span()), ("p99", span()), ("max", span())]);
    let slot = answer([("at", date_time()), ("outcomes", array(named("Count")))]);
    let backlog = answer([
        ("pending", integer(0, u64::MAX)),
        ("or_more", json!({"type": "boolean"})),
        ("since", nullable(date_time())),
    ]);
    answer([
        ("since", date_time()),
        ("until", date_time()),
        ("slot_seconds", integer(1, u64::MAX)),
        ("attempts", integer(0, u64::MAX)),
        ("success_rate", nullable(json!({"type": "number", "minimum": 0, "maximum": 1}))),
        ("latency_ms", nullable(latency)),
        ("outcomes", array(named("Count"))),
        ("slots", array(slot)),
        ("cut", about(json!({"type": "boolean"}), "Whether only the newest deliveries are counted.")),
        ("failing_since", nullable(date_time())),
        ("backlog", backlog),
    ])
}

fn event() -> Vec<(&'static str, Value)> {
    vec![
        ("id", id()),
        ("type", id()),
        ("created_at", date_time()),
        ("attributes", {
            json!({"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}})
        }),
        ("test", json!({"type": "boolean"})),
    ]
}

fn problem() -> Value {
    let text = |words: &str| about(json!({"type": "string"}), words);
    object(
        [
            ("type", json!({"type": "string", "format": "uri"})),
            ("title", json!({"type": "string"})),
            ("status", status()),
            ("detail", text("What was wrong, and what would be right.")),
            ("field", text("The field, parameter or header that was wrong.")),
            ("expected", text("A value that would be right.")),
            ("rule", text("The rule of the address policy that refuses a URL.")),
        ],
        &["type", "title", "status", "detail"],
    )
}

fn id() -> Value {
    json!({"type": "string"})
}

fn status() -> Value {
    integer(100, 999)
}

fn error() -> Value {
    about(one_of_texts(ErrorClass::ALL), "The kind of failure, if there was no response.")
}

fn one_of_texts(choice: &[impl serde::Serialize]) -> Value {
    nullable(json!({"type": "string", "enum": choice}))
}

/// A filter has room for more than these, unless their names are very long.
const MOST_PATTERNS: usize = 200;
