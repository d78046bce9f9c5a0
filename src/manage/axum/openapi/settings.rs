//! The schemas of the settings of a subscription.

use serde_json::{Map, Value, json};

use super::fields::{about, array, closed, integer, named, nullable};
use crate::bounds;
use crate::manage::parts::RetryDraft;
use crate::subscription::Subject;

pub(super) fn hidden() -> Value {
    let always = json!({"type": "boolean", "const": true});
    about(closed([("hidden", always)], &["hidden"]), "A value that no read shows. Written back, it stays.")
}

/// A client certificate that may stay as it is.
pub(super) fn kept_certificate() -> Value {
    json!({"anyOf": [named("ClientCertificate"), named("Hidden"), {"type": "null"}]})
}

pub(super) fn header_name() -> Value {
    // RFC 9110 section 5.6.2.
    json!({"type": "string", "minLength": 1, "maxLength": 1_000, "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"})
}

pub(super) fn header_value() -> Value {
    json!({"type": "string", "maxLength": bounds::HEADERS_LEN, "pattern": "^(?:[!-~](?:[ -~]*[!-~])?)?$"})
}

pub(super) fn attributes() -> Value {
    let mut values = array(json!({"type": "string"}));
    values["minItems"] = json!(1);
    json!({
        "type": "object",
        "maxProperties": bounds::CONDITIONS,
        "propertyNames": {"minLength": 1},
        "additionalProperties": values,
    })
}

pub(super) fn condition() -> Value {
    let part = json!({"type": "string", "enum": Subject::ALL});
    let pointer = json!({
        "type": "string", "maxLength": bounds::POINTER, "pattern": "^(?:/(?:[^~]|~[01])*)?$",
        "description": "The place in that part (RFC 6901).",
    });
    let mut values = array(json!({"type": ["string", "number", "boolean", "null"]}));
    values["minItems"] = json!(1);
    let values = about(values, "The values, of which one has to stand there.");
    closed([("part", part), ("pointer", pointer), ("values", values)], &["pointer", "values"])
}

/// An object whose `type` is `kind`.
pub(super) fn typed<'a>(
    kind: &str,
    fields: impl IntoIterator<Item = (&'a str, Value)>,
    required: &[&str],
    text: &str,
) -> Value {
    let kind = json!({"type": "string", "const": kind});
    let required: Vec<_> = ["type"].into_iter().chain(required.iter().copied()).collect();
    about(closed([("type", kind)].into_iter().chain(fields), &required), text)
}

pub(super) fn one_of(kinds: &[(&str, &str)]) -> Value {
    let reference = |name: &str| format!("#/components/schemas/{name}");
    let mapping: Map<_, _> =
        kinds.iter().map(|(kind, name)| ((*kind).to_owned(), json!(reference(name)))).collect();
    json!({
        "oneOf": kinds.iter().map(|(_, name)| named(name)).collect::<Vec<_>>(),
        "discriminator": {"propertyName": "type", "mapping": mapping},
    })
}

pub(super) fn credential() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": bounds::CREDENTIAL, "pattern": "^[!-~](?:[ -~]*[!-~])?$"})
}

pub(super) fn token() -> Value {
    json!({"type": "string", "maxLength": bounds::CREDENTIAL, "pattern": "^[A-Za-z0-9._~+/-]+=*$"})
}

pub(super) fn basic() -> [(&'static str, Value); 2] {
    let user = json!({
        "type": "string", "maxLength": bounds::CREDENTIAL, "pattern": "^[^:\\u0000-\\u001f\\u007f-\\u009f]*$",
    });
    [("user", user), ("password", credential())]
}

/// An authentication that may leave out what is stored.
pub(super) fn authentication_kept() -> Value {
    let kinds: Vec<_> = AUTHENTICATIONS.iter().map(|(kind, _)| *kind).collect();
    let mut schema = authentication_patch();
    schema["properties"]["type"] = json!({"type": "string", "enum": kinds});
    schema["required"] = json!(["type"]);
    about(schema, "As Authentication, but the parts that are left out stay as they are stored for this type.")
}

pub(super) fn authentication_patch() -> Value {
    let kinds: Vec<_> = AUTHENTICATIONS.iter().map(|(kind, _)| *kind).collect();
    let [user, password] = basic();
    let fields = [
        ("type", json!({"type": "string", "enum": kinds})),
        ("header", header_name()),
        ("key", credential()),
        user,
        password,
        ("token", token()),
    ];
    about(closed(fields, &[]), "The parts of an authentication that change.")
}

pub(super) fn rate(required: &[&str]) -> Value {
    let per_second = json!({
        "type": "number", "minimum": 0.000_01, "maximum": 1e300,
        "description": "The most attempts that may begin in a second.",
    });
    let mut burst = integer(1, u32::MAX.into());
    burst["description"] = json!("The most attempts that may begin at once after a quiet time.");
    if required.is_empty() {
        burst = nullable(burst);
    }
    closed([("per_second", per_second), ("burst", burst)], required)
}

pub(super) fn seconds() -> Value {
    let (least, most) = RetryDraft::BOUNDS;
    json!({"type": "number", "minimum": least, "maximum": most})
}

pub(super) fn retry_delays() -> Value {
    let mut delays = array(seconds());
    delays["maxItems"] = json!(bounds::RETRIES);
    typed("delays", [("seconds", delays)], &["seconds"], "A retry after each of these delays.")
}

pub(super) fn retry_exponential() -> Value {
    let fields = [
        ("first_seconds", seconds()),
        ("factor", json!({"type": "number", "minimum": 1, "maximum": 1e300})),
        ("max_delay_seconds", nullable(seconds())),
        ("max_attempts", integer(1, bounds::RETRIES as u64 + 1)),
    ];
    let text = "Delays that grow by a factor, up to `max_delay_seconds`, which is no less than the first.";
    typed("exponential", fields, &["first_seconds", "max_attempts"], text)
}

pub(super) fn secret() -> Value {
    json!({
        "type": "string",
        "pattern": SECRET,
        "description": "`whsec_` and the base64 of 24 to 64 random bytes.",
    })
}

pub(super) const AUTHENTICATIONS: &[(&str, &str)] = &[
    ("none", "NoAuthentication"),
    ("api_key", "ApiKeyAuthentication"),
    ("basic", "BasicAuthentication"),
    ("bearer", "BearerAuthentication"),
    ("bearer_from_source", "BearerFromSourceAuthentication"),
];
pub(super) const RETRIES: &[(&str, &str)] =
    &[("none", "NoRetry"), ("delays", "RetryDelays"), ("exponential", "RetryExponential")];
/// Base64 (RFC 4648) of 24 to 64 bytes, after an optional prefix.
const SECRET: &str = "^(?:whsec_)?(?:(?:[A-Za-z0-9+/]{4}){8,20}(?:[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/][AQgw]==)?|(?:[A-Za-z0-9+/]{4}){21}(?:[A-Za-z0-9+/][AQgw]==)?)$";
