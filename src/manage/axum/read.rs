//! Readers of a request's body and headers.

use std::time::Duration;

use ::axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap, IF_MATCH};
use http::{HeaderName, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use time::OffsetDateTime;
use tokio::time::timeout;

use super::problem::Problem;
use crate::manage::reading::only_objects;
use crate::manage::{EventDraft, Revision};
use crate::signature::Secret;

/// The body of a rotation.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, remote = "Self")]
pub(super) struct RotateBody {
    pub(super) secret: Option<Secret>,
    pub(super) overlap_seconds: Option<u64>,
}

/// The body of a test.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, remote = "Self")]
pub(super) struct TestBody {
    pub(super) event_type: Option<String>,
    pub(super) wait: bool,
}

impl Default for TestBody {
    fn default() -> Self {
        Self { event_type: None, wait: true }
    }
}

/// The body of a recovery: which missed deliveries are sent again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct RecoverBody {
    #[serde(with = "time::serde::rfc3339")]
    pub(super) since: OffsetDateTime,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(super) until: Option<OffsetDateTime>,
    #[serde(default)]
    pub(super) event_types: Vec<String>,
    #[serde(default)]
    pub(super) preview: bool,
}

/// The body of a discarding.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, remote = "Self")]
pub(super) struct DiscardBody {
    pub(super) note: String,
}

/// Several events.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
struct EventsBody {
    events: Vec<EventDraft>,
}

/// Whether a body has several events, or is one.
#[derive(Deserialize)]
#[serde(remote = "Self")]
struct HasEvents {
    #[serde(default)]
    events: Option<IgnoredAny>,
}

/// Reads one event, or several in `events`. The flag says whether they stand in `events`.
pub(super) fn events(headers: &HeaderMap, body: &[u8]) -> Result<(Vec<EventDraft>, bool), Problem> {
    let has: HasEvents = json_body(headers, body)?;
    match has.events {
        Some(_) => Ok((json_body::<EventsBody>(headers, body)?.events, true)),
        None => Ok((vec![json_body(headers, body)?], false)),
    }
}

only_objects!(EventsBody, HasEvents, RotateBody, TestBody, RecoverBody, DiscardBody);

/// Reads the whole body, within a deadline and up to a size.
pub(super) async fn whole(headers: &HeaderMap, mut body: Body, most: usize) -> Result<Bytes, Problem> {
    let too_large = || format!("body is too large, expected at most {most} bytes");
    // A caller that waits for `100 Continue` gets the answer before it sends the body.
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if headers.contains_key(EXPECT) && announced.is_some_and(|len| len > most) {
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, too_large()));
    }
    let (status, detail) = match timeout(BODY_DEADLINE, Limited::new(&mut body, most).collect()).await {
        Ok(Ok(body)) => return Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            // The answer is the same whether this succeeds or not.
            let _ = timeout(LINGER, discard(&mut body)).await;
            (StatusCode::PAYLOAD_TOO_LARGE, too_large())
        }
        Ok(Err(_)) => (StatusCode::BAD_REQUEST, "body was cut short, expected all of it".to_owned()),
        Err(_) => {
            let detail = format!("body is slow, expected all of it within {} s", BODY_DEADLINE.as_secs());
            (StatusCode::REQUEST_TIMEOUT, detail)
        }
    };
    Err(Problem::new(status, detail))
}

/// Reads and drops more of the body. If a connection is closed with unread bytes, a caller that writes before
/// it reads sees a reset instead of the answer (RFC 9112 section 9.6).
async fn discard(body: &mut Body) {
    let mut discarded = 0_usize;
    while let Some(Ok(frame)) = body.frame().await
        && discarded < MAX_DISCARDED
    {
        discarded = discarded.saturating_add(frame.data_ref().map_or(0, Bytes::len));
    }
}

/// Reads a body that may be empty.
pub(super) fn optional_body<T: DeserializeOwned + Default>(
    headers: &HeaderMap,
    body: &[u8],
) -> Result<T, Problem> {
    if body.is_empty() {
        return Ok(T::default());
    }
    json_body(headers, body)
}

pub(super) fn json_body<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Problem> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence != "application/json" && !(essence.starts_with("application/") && essence.ends_with("+json")) {
        let detail = "body is of another content type, expected application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        match inner.is_data() {
            true => misfit(path.trim_matches('.'), &inner.to_string()),
            false => not_json(),
        }
    })?;
    json.end().map_err(|_| not_json())?;
    Ok(read)
}

/// The revisions in `If-Match`; `None` without the header and for `*`.
pub(super) fn revisions(headers: &HeaderMap) -> Result<Option<Vec<Revision>>, Problem> {
    let mut named = Vec::new();
    let mut is_there = false;
    for value in headers.get_all(IF_MATCH) {
        is_there = true;
        let value = value.to_str().map_err(|_| no_tag())?;
        for tag in value.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
            if tag == "*" {
                return Ok(None);
            }
            // A weak tag matches nothing here (RFC 9110 section 13.1.1), and neither does a tag that is no
            // revision.
            let is_weak = tag.starts_with("W/");
            let inner = tag.trim_start_matches("W/");
            let inner = inner.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).ok_or_else(no_tag)?;
            named.extend(inner.parse::<Revision>().ok().filter(|_| !is_weak));
        }
    }
    Ok(is_there.then_some(named))
}

/// The value of a header that stands there once and is text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    text.map(Some)
        .ok_or_else(|| Problem::field(name.to_string(), "header cannot be read", "one header in ASCII"))
}

/// Turns serde's message into a problem without the value that it may repeat, because that could be a secret.
fn misfit(path: &str, message: &str) -> Problem {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let within = |name: &str| match path {
        "" => name.to_owned(),
        path if path == name || path.ends_with(&format!(".{name}")) => path.to_owned(),
        path => format!("{path}.{name}"),
    };
    let quoted = |prefix: &str| message.strip_prefix(prefix).and_then(|rest| rest.split('`').next());
    if let Some(name) = quoted("missing field `") {
        return Problem::field(within(name), "required field is missing", "a value");
    }
    if let Some(name) = quoted("duplicate field `") {
        return Problem::field(within(name), "field is given twice", "one value");
    }
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| expected.to_owned());
    if let Some(name) = quoted("unknown field `") {
        let expected = expected.unwrap_or_else(|| "none".to_owned());
        return Problem::field(within(name), "there is no such field", expected);
    }
    if path.is_empty() {
        return Problem::new(StatusCode::BAD_REQUEST, "body is of another type, expected an object of JSON");
    }
    let expected = expected.unwrap_or_else(|| "another value".to_owned());
    Problem::field(path.to_owned(), "value cannot be used", expected)
}

fn not_json() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "body is not JSON, expected one value of JSON (RFC 8259)")
}

fn no_tag() -> Problem {
    Problem::field("If-Match", "header cannot be read", "entity tags in quotes, as `ETag` gave them, or `*`")
}

/// Many times the size of a subscription with every field.
pub(super) const MAX_BODY: usize = 256 * 1024;
/// The size of an event that an outbox takes by default, and room for the fields around its data.
pub(super) const MAX_EVENTS: usize = 1024 * 1024 + 64 * 1024;
const MAX_DISCARDED: usize = 16 * MAX_BODY;
const BODY_DEADLINE: Duration = Duration::from_secs(10);
const LINGER: Duration = Duration::from_secs(2);
