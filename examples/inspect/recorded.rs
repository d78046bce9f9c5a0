//! Reads requests that a program recorded as JSON: HAR files, events of API Gateway, Lambda URLs and load
//! balancers, and the JSON of functions, tunnels and request bins.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::formats::{Draft, Made};

/// `None` if the JSON is no request.
pub(crate) fn made(text: &str) -> Option<Made> {
    let json: Value = serde_json::from_str(text).ok()?;
    if let Some(entries) = json.pointer("/log/entries").and_then(Value::as_array) {
        return of_har(entries).map(Draft::made);
    }
    // Some loggers put the request into a member, or into a list of one.
    let members = ["", "/request", "/req", "/event", "/0", "/0/request", "/entries/0/request"];
    members.iter().filter_map(|pointer| raw_at(text, pointer)).find_map(of_object)
}

/// The first POST of a HAR file, or the first request.
fn of_har(entries: &[Value]) -> Option<Draft> {
    let posts = |entry: &&Value| entry.pointer("/request/method").and_then(Value::as_str) == Some("POST");
    let at = entries.iter().position(|entry| posts(&entry)).unwrap_or_default();
    let request = entries.get(at)?.get("request")?;
    let mut draft = Draft {
        method: text(request, &["method"])?,
        target: text(request, &["url"])?,
        headers: headers(request.get("headers")?),
        ..Draft::default()
    };
    if entries.len() > 1 {
        draft.notes.push(format!("the file has {} requests; this is number {}", entries.len(), at + 1));
    }
    let Some(data) = request.get("postData") else { return Some(draft) };
    draft.body = match data.get("text").and_then(Value::as_str) {
        Some(text) if data.get("encoding").and_then(Value::as_str) == Some("base64") => {
            STANDARD.decode(text).ok()?
        }
        Some(text) => text.as_bytes().to_vec(),
        None => {
            draft.notes.push(
                "the file has the fields of the form, not its bytes; they were put together".to_owned(),
            );
            let pairs = data.get("params").and_then(Value::as_array).into_iter().flatten();
            let pair = |pair: &Value| {
                let part = |name| pair.get(name).and_then(Value::as_str).map(encoded).unwrap_or_default();
                format!("{}={}", part("name"), part("value"))
            };
            pairs.map(pair).collect::<Vec<_>>().join("&").into_bytes()
        }
    };
    Some(draft)
}

/// A request whose parts are members of an object.
fn of_object(text_of_json: &str) -> Option<Made> {
    let json: &Value = &serde_json::from_str(text_of_json).ok()?;
    // A tunnel keeps the bytes as they came.
    if let Some(bytes) = json.get("raw").and_then(Value::as_str).and_then(|raw| STANDARD.decode(raw).ok()) {
        return Some(Made { bytes, notes: Vec::new() });
    }
    let known =
        json.get("multiValueHeaders").filter(|known| !known.is_null()).or_else(|| json.get("headers"))?;
    let method = text(json, &["/requestContext/http/method", "httpMethod", "method", "verb"]);
    let mut draft = Draft { headers: headers(known), method: method.unwrap_or_default(), ..Draft::default() };
    let path = ["rawPath", "/requestContext/path", "path", "url", "originalUrl", "uri"];
    draft.target = text(json, &path).unwrap_or_default();
    let query = match text(json, &["rawQueryString"]) {
        Some(query) => query,
        None => query(json, &mut draft.notes),
    };
    if !query.is_empty() && !draft.target.contains('?') {
        draft.target += &format!("?{query}");
    }
    let host = text(json, &["/requestContext/domainName"]);
    if let Some(host) = host.filter(|_| !draft.has("host")) {
        draft.headers.push(("host".to_owned(), host));
    }
    let is_base64 = json.get("isBase64Encoded").and_then(Value::as_bool) == Some(true);
    let names = ["rawBody", "raw_body", "body", "content", "payload", "data"];
    let is_there = |name: &&&str| json.get(name).is_some_and(|body| !body.is_null());
    let name = names.iter().find(is_there);
    draft.body = match name.and_then(|name| Some((name, json.get(name)?))) {
        None => Vec::new(),
        Some((_, Value::String(text))) if is_base64 => STANDARD.decode(text).ok()?,
        Some((_, Value::String(text))) => text.as_bytes().to_vec(),
        Some((name, _)) => {
            draft
                .notes
                .push("the body was parsed before it was recorded, so its bytes are not known".to_owned());
            // The text of it still has the order of its keys.
            raw_at(text_of_json, &format!("/{name}"))?.as_bytes().to_vec()
        }
    };
    Some(draft.made())
}

/// The text of the value at a JSON Pointer.
fn raw_at<'t>(text: &'t str, pointer: &str) -> Option<&'t str> {
    let mut found = text;
    for segment in pointer.split('/').skip(1) {
        found = match found.trim_start().starts_with('{') {
            true => {
                serde_json::from_str::<HashMap<String, &RawValue>>(found).ok()?.get(segment).copied()?.get()
            }
            false => {
                let items: Vec<&RawValue> = serde_json::from_str(found).ok()?;
                items.get(segment.parse::<usize>().ok()?).copied()?.get()
            }
        };
    }
    Some(found)
}

/// The query that a gateway took apart.
fn query(json: &Value, notes: &mut Vec<String>) -> String {
    let names = ["multiValueQueryStringParameters", "queryStringParameters"];
    let known = names.iter().filter_map(|name| json.get(name)?.as_object()).next();
    let mut pairs = Vec::new();
    for (name, value) in known.into_iter().flatten() {
        let values = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
        for value in values.iter().filter_map(Value::as_str) {
            pairs.push(format!("{}={}", encoded(name), encoded(value)));
        }
    }
    if pairs.len() > 1 {
        notes.push(
            "the query was put together again, in another order maybe; give the URL with --url".to_owned(),
        );
    }
    pairs.join("&")
}

/// Headers as an object of texts or lists, or as a list of objects.
fn headers(json: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut add = |name: &str, value: &Value| match value {
        Value::String(value) => all.push((name.to_owned(), value.clone())),
        Value::Number(value) => all.push((name.to_owned(), value.to_string())),
        Value::Array(values) => {
            let texts = values.iter().filter_map(Value::as_str);
            all.extend(texts.map(|value| (name.to_owned(), value.to_owned())));
        }
        _ => {}
    };
    match json {
        Value::Object(members) => members.iter().for_each(|(name, value)| add(name, value)),
        Value::Array(items) => {
            for item in items {
                if let (Some(name), Some(value)) = (text(item, &["name", "key"]), item.get("value")) {
                    add(&name, value);
                }
            }
        }
        _ => {}
    }
    all
}

/// The first text of these names, or at these JSON Pointers.
fn text(json: &Value, names: &[&str]) -> Option<String> {
    let at = |name: &&str| if name.starts_with('/') { json.pointer(name) } else { json.get(name) };
    names.iter().filter_map(at).find_map(Value::as_str).map(str::to_owned)
}

/// Percent-encodes a part of a query.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => encoded.push(char::from(byte)),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}
