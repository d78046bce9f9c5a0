//! `POST /v1/events`: emits an event to every subscription that asks for it.
//!
//! The answer is 202 with `{"id","deliveries","duplicate"}` for an event that is now stored, and 200 for an
//! event that was stored before with the same id, type and data. Another event with the same id is answered
//! 409, and a value that cannot be used 400 with its field. `contract` names one of the program's contracts;
//! without it, the event is the first one's.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hookwire::dispatch::{EmitError, Emitted, Outbox, Routing, Wake};
use hookwire::manage::axum::{Access, Scope};
use hookwire::{Contract, DataError, Envelope, EventId, RawEvent, Records, Secret, Signer, Store};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use tokio::time::timeout;

use super::problem::Problem;

/// Emits the events that callers send.
pub(crate) struct Events<S> {
    store: Arc<S>,
    /// One for each contract, the first for events that name none.
    senders: Vec<Sender<S>>,
}

/// Emits the events of one contract.
struct Sender<S> {
    outbox: Outbox<Arc<S>>,
    contract: Contract,
    /// Knows which ids can be signed. Its secret is no endpoint's.
    signer: Option<Signer>,
}

impl<S: Store + Records> Events<S> {
    pub(crate) fn new(
        store: &Arc<S>,
        wake: &Wake,
        contracts: Vec<Contract>,
    ) -> Result<Self, hookwire::Error> {
        let sender = |contract: Contract| {
            let signer = match contract.scheme() {
                Some(_) => Some(contract.signer(&Secret::try_generate()?)?),
                None => None,
            };
            let outbox = Outbox::new(Arc::clone(store), contract.clone()).with_wake(wake);
            Ok(Sender { outbox, contract, signer })
        };
        let senders = contracts.into_iter().map(sender).collect::<Result<_, hookwire::Error>>()?;
        Ok(Self { store: Arc::clone(store), senders })
    }

    async fn take(&self, organization: &str, draft: Draft) -> Result<Emitted, Problem> {
        let name = draft.contract.as_deref();
        let sender =
            self.senders.iter().find(|sender| name.is_none_or(|name| sender.contract.name() == name));
        let sender = sender.ok_or_else(|| {
            let names: Vec<_> = self.senders.iter().map(|sender| sender.contract.name()).collect();
            Problem::field("contract", "there is no such contract", format!("one of {}", names.join(", ")))
        })?;
        sender.take(&self.store, organization, draft).await
    }
}

impl<S: Store + Records> Sender<S> {
    async fn take(&self, store: &S, organization: &str, draft: Draft) -> Result<Emitted, Problem> {
        let event = self.event(&draft)?;
        let id = draft.id.as_deref().map(|id| self.id(id)).transpose()?;
        let is_given = id.is_some();
        let id = id.unwrap_or_else(EventId::generate);
        let mut routing = Routing::new();
        routing.ordering_key = draft.ordering_key;
        routing.attributes =
            draft.attributes.unwrap_or_default().into_iter().map(|(name, values)| (name, values.0)).collect();

        let now = OffsetDateTime::now_utc();
        // Envelopes have the time in milliseconds.
        let now = now.replace_nanosecond(u32::from(now.millisecond()) * 1_000_000).unwrap_or(now);
        let emitted = self.emit_at(now, organization, &id, &event, &routing).await;
        let Err(EmitError::Conflict { .. }) = &emitted else { return emitted.map_err(problem) };
        if !is_given {
            return emitted.map_err(problem);
        }
        // The caller either repeats its event or uses the id for another one. With the time of the first
        // event, a repeat has the same bytes.
        let first = store.find_event(organization, self.contract.name(), &id).await;
        let first = first.map_err(EmitError::Store).map_err(problem)?;
        let at = first.map_or(now, |first| first.created_at);
        self.emit_at(at, organization, &id, &event, &routing).await.map_err(problem)
    }

    /// Emits an event with the envelope's own time in the store, so that a repeat can have the same time.
    async fn emit_at(
        &self,
        at: OffsetDateTime,
        organization: &str,
        id: &EventId,
        event: &RawEvent,
        routing: &Routing,
    ) -> Result<Emitted, EmitError> {
        let envelope = Envelope::from_parts(id.clone(), at, event.clone());
        let outbox = self.outbox.clone().with_clock(move || at);
        outbox.emit_with(organization, &envelope, routing.clone()).await
    }

    /// Reads an event that the contract publishes, with data that fits.
    fn event(&self, draft: &Draft) -> Result<RawEvent, Problem> {
        let name = draft.event_type.as_str();
        let event = RawEvent::new(name, &draft.data).map_err(|error| Problem::refused("type", &error))?;
        let catalogue = self.contract.catalogue();
        if !catalogue.is_open() && catalogue.find(name).is_none() {
            let names: Vec<_> = catalogue.iter().map(|kind| kind.name()).collect();
            let what = format!("contract `{}` has no such event", self.contract.name());
            return Err(Problem::field("type", &what, format!("one of {}", names.join(", "))));
        }
        catalogue.check_schema(name, event.data()).map_err(|error| misfit(&error))?;
        Ok(event)
    }

    /// Reads an id that can be signed.
    fn id(&self, text: &str) -> Result<EventId, Problem> {
        let id: EventId = text.parse().map_err(|error| Problem::refused("id", &error))?;
        if let Some(signer) = &self.signer {
            let signed = signer.signature(id.as_str(), OffsetDateTime::now_utc(), b"");
            signed.map_err(|error| Problem::refused("id", &error))?;
        }
        Ok(id)
    }
}

/// The route.
pub(crate) async fn emit<S: Store + Records + 'static>(
    State(events): State<Arc<Events<S>>>,
    Extension(access): Extension<Access>,
    request: Request,
) -> Result<Response, Problem> {
    if access.scope != Scope::ReadWrite {
        let detail = "this API key may read only, expected one that may write";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let (parts, body) = request.into_parts();
    let draft = Draft::parse(&whole(&parts.headers, body).await?)?;
    let emitted = events.take(&access.organization, draft).await?;
    let status = if emitted.duplicate { StatusCode::OK } else { StatusCode::ACCEPTED };
    let taken = Taken { id: &emitted.id, deliveries: emitted.deliveries, duplicate: emitted.duplicate };
    let taken = serde_json::to_string(&taken).expect("invariant: text and numbers can be written as JSON");
    Ok((status, [(CONTENT_TYPE, "application/json")], taken).into_response())
}

#[derive(Serialize)]
struct Taken<'a> {
    id: &'a EventId,
    deliveries: usize,
    duplicate: bool,
}

/// Reads the body if it is JSON, can be sent by its size, and arrives in time.
async fn whole(headers: &HeaderMap, mut body: Body) -> Result<Bytes, Problem> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    if essence != "application/json" && !(essence.starts_with("application/") && essence.ends_with("+json")) {
        let detail = "body is of another content type, expected application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let too_large = || {
        let detail = format!("body is too large, expected at most {MAX_BODY} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    // A caller that waits for `100 Continue` gets the answer before it sends the body.
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if headers.contains_key(EXPECT) && announced.is_some_and(|len| len > MAX_BODY) {
        return Err(too_large());
    }
    match timeout(PATIENCE, Limited::new(&mut body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            // If the connection is closed with unread bytes, a caller that writes before it reads does not
            // see the answer.
            let _ = timeout(LINGER, discard(body)).await;
            Err(too_large())
        }
        Ok(Err(_)) => Err(Problem::new(StatusCode::BAD_REQUEST, "body was cut short, expected all of it")),
        Err(_) => {
            let detail = format!("body has not come within {} s", PATIENCE.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail))
        }
    }
}

/// Reads and drops more of the body, up to a limit.
async fn discard(mut body: Body) {
    let mut left = 8 * MAX_BODY;
    while let Some(Ok(frame)) = body.frame().await
        && left > 0
    {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
    }
}

/// An event as a caller sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    #[serde(rename = "type")]
    event_type: String,
    /// The data, which is sent byte for byte.
    data: Box<RawValue>,
    id: Option<String>,
    contract: Option<String>,
    ordering_key: Option<String>,
    attributes: Option<BTreeMap<String, Values>>,
}

impl Draft {
    fn parse(body: &[u8]) -> Result<Self, Problem> {
        let no_json = || {
            Problem::new(StatusCode::BAD_REQUEST, "body is not JSON, expected one object of JSON (RFC 8259)")
        };
        let mut json = serde_json::Deserializer::from_slice(body);
        let draft = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            let inner = error.into_inner();
            if inner.is_data() { unread(&path, &inner.to_string()) } else { no_json() }
        })?;
        json.end().map_err(|_| no_json())?;
        Ok(draft)
    }
}

/// The values of an attribute: a list, or one text.
struct Values(Vec<String>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Values;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E>(self, value: &str) -> Result<Values, E> {
                Ok(Values(vec![value.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Values, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = seq.next_element()? {
                    values.push(value);
                }
                Ok(Values(values))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

/// Turns serde's message about a field into a problem, without the value.
fn unread(path: &str, message: &str) -> Problem {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let named = |start: &str| message.strip_prefix(start).and_then(|rest| rest.split('`').next());
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| expected);
    if let Some(name) = named("missing field `") {
        Problem::field(name, "field is missing", "it")
    } else if let Some(name) = named("duplicate field `") {
        Problem::field(name, "field is given twice", "it once")
    } else if let Some(name) = named("unknown field `") {
        Problem::field(name, "there is no such field", expected.unwrap_or("none"))
    } else if path == "." || path.starts_with('[') {
        Problem::new(StatusCode::BAD_REQUEST, "body is not an object, expected one with `type` and `data`")
    } else {
        Problem::field(path, "value cannot be used", expected.unwrap_or("another value"))
    }
}

/// The problem of a field of the data that does not fit, with its path in the body.
fn misfit(error: &DataError) -> Problem {
    let within = match error.field() {
        "." => "data".to_owned(),
        field => format!("data.{field}"),
    };
    let missing = error.expected().and_then(|expected| expected.strip_prefix("a field `")?.strip_suffix('`'));
    let what = format!("data does not fit the type `{}`", error.event_type());
    match missing {
        Some(name) => Problem::field(format!("{within}.{name}"), &what, "a value, but the field is missing"),
        None => {
            let expected = error.expected().unwrap_or("another value");
            Problem::field(
                within,
                &what,
                if expected.starts_with("struct ") { "an object" } else { expected },
            )
        }
    }
}

fn problem(error: EmitError) -> Problem {
    match &error {
        EmitError::Envelope(error) => Problem::refused("data", error),
        EmitError::TooLarge { .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
        EmitError::OutOfBounds(excess) => {
            let field = if excess.input == "ordering key" { "ordering_key" } else { "attributes" };
            let what = format!("{} has {} {}", excess.input, excess.found, excess.unit);
            Problem::field(field, &what, format!("at most {}", excess.limit))
        }
        EmitError::Conflict { .. } => Problem::field("id", "it was used for another event", "a fresh one")
            .with_status(StatusCode::CONFLICT),
        // The cause stays out, because a store's error may describe the database.
        EmitError::Store(store) if store.is_retryable() => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        }
        _ => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// The size that an outbox takes by default, and room for the fields around the data.
const MAX_BODY: usize = 1024 * 1024 + 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(15);
const LINGER: Duration = Duration::from_secs(2);
