//! Makes the requests of each [`Fault`].

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::contract::Contract;
use crate::error::Error;
use crate::event::{Envelope, EventId, Field, RawEvent};
use crate::signature::Scheme;
use crate::testing::fault::Fault;
use crate::testing::samples::Samples;

pub(super) fn faults(samples: &Samples, now: OffsetDateTime) -> Result<Vec<Fault>, Error> {
    let mut maker = Maker { samples, now, events: 0, faults: Vec::new() };
    maker.repeats()?;
    maker.requests_of_another_kind()?;
    maker.bodies()?;
    if let Some(scheme) = samples.contract().scheme() {
        maker.changes_on_the_way()?;
        maker.signatures(scheme)?;
        maker.ids(scheme)?;
        if scheme.signs_time() {
            maker.times(scheme)?;
        }
    }
    Ok(maker.faults)
}

/// A body that is too long for a receiver that takes `most` bytes.
pub(super) fn too_large(samples: &Samples, now: OffsetDateTime, most: usize) -> Result<Fault, Error> {
    // No other fault has an event of this number.
    let mut maker = Maker { samples, now, events: u8::MAX - 1, faults: Vec::new() };
    let event = maker.event()?;
    let mut body = event.body.to_vec();
    body.resize(body.len().max(most + 1), b' ');
    let request = samples.request_with(body, &event.id, now)?;
    let requests = vec![(request, StatusCode::PAYLOAD_TOO_LARGE)];
    Ok(Fault::new("too_large", "the body is longer than the receiver takes", requests, 0))
}

struct Maker<'a> {
    samples: &'a Samples,
    now: OffsetDateTime,
    events: u8,
    faults: Vec<Fault>,
}

/// An event of one fault alone.
struct Event {
    id: EventId,
    body: Bytes,
}

impl Maker<'_> {
    /// Requests that real senders send every day.
    fn repeats(&mut self) -> Result<(), Error> {
        let sent = self.sent()?;
        self.add("genuine", "nothing", 1, [(sent, OK)]);
        let sent = self.sent()?;
        self.add("duplicate", "the same request comes twice", 1, [(sent.clone(), OK), (sent, OK)]);
        let (earlier, later) = (self.event_of(self.now - MINUTE)?, self.event()?);
        let requests = [(self.send(&later)?, OK), (self.send(&earlier)?, OK)];
        self.add("out_of_order", "an event comes after one that happened later", 2, requests);
        let unknown = self.event_with(self.now, "hookwire.sample", json!({"is": "unknown"}))?;
        let sent = self.send(&unknown)?;
        self.add("unknown_type", "the event's type is newer than the receiver", 1, [(sent, OK)]);
        let event = self.event()?;
        let changed = self.changed(&event, |envelope| {
            envelope.insert("hookwire_sample".to_owned(), json!({"is": "unknown"}));
        });
        let sent = self.samples.request_with(changed, &event.id, self.now)?;
        self.add(
            "unknown_member",
            "the envelope has a member that is newer than the receiver",
            1,
            [(sent, OK)],
        );
        Ok(())
    }

    /// Requests that are not a POST of JSON.
    fn requests_of_another_kind(&mut self) -> Result<(), Error> {
        for (name, description, method) in [
            ("method_get", "the method is GET", Method::GET),
            ("method_put", "the method is PUT", Method::PUT),
        ] {
            let mut sent = self.sent()?;
            *sent.method_mut() = method;
            self.add(name, description, 0, [(sent, StatusCode::METHOD_NOT_ALLOWED)]);
        }
        for (name, description, content_type) in [
            ("content_type_text", "the content type is plain text", "text/plain"),
            ("content_type_form", "the content type is a form's", "application/x-www-form-urlencoded"),
        ] {
            let sent = self.sent_with(CONTENT_TYPE, content_type)?;
            self.add(name, description, 0, [(sent, StatusCode::UNSUPPORTED_MEDIA_TYPE)]);
        }
        let mut sent = self.sent()?;
        sent.headers_mut().append(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let description = "a second content type stands beside the first";
        self.add("content_type_doubled", description, 0, [(sent, StatusCode::UNSUPPORTED_MEDIA_TYPE)]);
        let sent = self.sent_with(CONTENT_TYPE, "Application/JSON; charset=utf-8")?;
        self.add("content_type_charset", "the content type names its character set", 1, [(sent, OK)]);
        Ok(())
    }

    /// Bodies that a sender signs although they are no events.
    fn bodies(&mut self) -> Result<(), Error> {
        let whole = self.event()?.body;
        let type_field = self.type_field();
        let doubled = [format!(r#"{{"{type_field}":"hookwire.sample","#).as_bytes(), &whole[1..]].concat();
        for (name, description, body) in [
            ("body_empty", "the sender had nothing to send", Vec::new()),
            ("body_no_json", "the body is not JSON", b"event=call".to_vec()),
            ("body_no_envelope", "the body is JSON, but not an envelope", b"{}".to_vec()),
            ("body_array", "the body is an array of events", [b"[", &whole[..], b"]"].concat()),
            (
                "body_cut_by_sender",
                "the sender cut the body before it signed",
                whole[..whole.len() / 2].to_vec(),
            ),
            ("body_doubled_key", "a key stands twice in the envelope", doubled),
            ("body_with_rest", "something follows the envelope", [&whole[..], b"{}"].concat()),
            ("body_no_utf8", "the body is not UTF-8", [&whole[..], b"\xff"].concat()),
        ] {
            let id = self.event()?.id;
            let sent = self.samples.request_with(body, &id, self.now)?;
            self.add(name, description, 0, [(sent, StatusCode::BAD_REQUEST)]);
        }
        let event = self.event()?;
        let mut sent = self.send(&event)?;
        *sent.body_mut() = event.body.slice(..event.body.len() / 2);
        let expected = match self.samples.contract().scheme() {
            Some(_) => REFUSED,
            None => StatusCode::BAD_REQUEST,
        };
        self.add("truncated_body", "the body is cut short on its way", 0, [(sent, expected)]);
        Ok(())
    }

    /// Bodies that are changed after they were signed.
    fn changes_on_the_way(&mut self) -> Result<(), Error> {
        let data_field = self.data_field();
        let event = self.event()?;
        let mut sent = self.send(&event)?;
        *sent.body_mut() = self.changed(&event, |envelope| {
            envelope.insert(data_field.to_owned(), json!({"hookwire_sample": "tampered"}));
        });
        self.add("tampered_body", "the data is changed under a good signature", 0, [(sent, REFUSED)]);
        let event = self.event()?;
        let mut sent = self.send(&event)?;
        let parsed = serde_json::from_slice::<Value>(&event.body).unwrap_or_default();
        *sent.body_mut() = format!("{parsed:#}").into();
        let description = "the body is parsed and written again on its way, the same JSON in other bytes";
        self.add("reserialized_body", description, 0, [(sent, REFUSED)]);
        let event = self.event()?;
        let mut sent = self.send(&event)?;
        *sent.body_mut() = [&event.body[..], b"\n"].concat().into();
        self.add("newline_added", "a newline is added to the body on its way", 0, [(sent, REFUSED)]);
        Ok(())
    }

    fn signatures(&mut self, scheme: Scheme) -> Result<(), Error> {
        let header = HeaderName::from_static(scheme.signature_header());
        let event = self.event()?;
        let forged = self.samples.forged()?.request_with(event.body.clone(), &event.id, self.now)?;
        self.add("wrong_secret", "another secret has signed", 0, [(forged, REFUSED)]);

        let event = self.event()?;
        let forged = self.samples.forged()?.request_with(event.body.clone(), &event.id, self.now)?;
        let genuine = self.send(&event)?;
        let description = "a forgery comes before the event whose id it bears, and the event twice";
        let requests = [(forged, REFUSED), (genuine.clone(), OK), (genuine, OK)];
        self.add("forged_before_genuine", description, 1, requests);

        let mut sent = self.sent()?;
        sent.headers_mut().remove(&header);
        self.add("missing_signature", "there is no signature", 0, [(sent, REFUSED)]);
        let sent = self.sent_doubling(&header)?;
        self.add("doubled_signature", "the signature's header stands twice", 0, [(sent, REFUSED)]);
        let sent = self.sent_with(header.clone(), "not a signature")?;
        self.add("malformed_signature", "the signature does not have its form", 0, [(sent, REFUSED)]);
        let sent = self.sent_with(header.clone(), "")?;
        self.add("empty_signature", "the signature's header is empty", 0, [(sent, REFUSED)]);
        let mut sent = self.sent()?;
        let cut =
            sent.headers()[&header].as_bytes().split_last().map(|(_, rest)| HeaderValue::from_bytes(rest));
        if let Some(Ok(cut)) = cut {
            sent.headers_mut().insert(&header, cut);
        }
        self.add("cut_signature", "the signature lacks its last character", 0, [(sent, REFUSED)]);
        Ok(())
    }

    fn ids(&mut self, scheme: Scheme) -> Result<(), Error> {
        let Some(header) = scheme.id_header().map(HeaderName::from_static) else { return Ok(()) };
        let mut sent = self.sent()?;
        sent.headers_mut().remove(&header);
        self.add("missing_id", "the header with the id is not there", 0, [(sent, REFUSED)]);
        let sent = self.sent_doubling(&header)?;
        self.add("doubled_id", "the header with the id stands twice", 0, [(sent, REFUSED)]);
        let expected = match (scheme.signs_id(), self.samples.contract().format().carries_id()) {
            (true, _) => REFUSED,
            (false, true) => StatusCode::BAD_REQUEST,
            // An id that is neither signed nor in the body is not proven, so no receiver believes the header.
            (false, false) => return Ok(()),
        };
        let (captured, other) = (self.event()?, self.event()?);
        let genuine = self.send(&captured)?;
        let mut replayed = genuine.clone();
        replayed.headers_mut().insert(&header, value(other.id.as_str()));
        let requests = [(genuine, OK), (replayed, expected), (self.send(&other)?, OK)];
        let description = "a captured request is sent again under another event's id, which comes after it";
        self.add("replayed_as_another", description, 2, requests);
        Ok(())
    }

    fn times(&mut self, scheme: Scheme) -> Result<(), Error> {
        let tolerance = self.samples.contract().tolerance();
        let beyond = tolerance + MINUTE;
        let (past, future) = (self.now - beyond, self.now + beyond);
        for (name, description, signed_at, expected) in [
            ("late", "the request was signed a minute longer ago than is tolerated", past, REFUSED),
            (
                "from_the_future",
                "the request was signed a minute further ahead than is tolerated",
                future,
                REFUSED,
            ),
            (
                "late_in_time",
                "the request was signed half of what is tolerated ago",
                self.now - tolerance / 2,
                OK,
            ),
            (
                "clock_ahead",
                "the request was signed half of what is tolerated ahead",
                self.now + tolerance / 2,
                OK,
            ),
        ] {
            let event = self.event()?;
            let sent = self.samples.request_with(event.body, &event.id, signed_at)?;
            self.add(name, description, usize::from(expected == OK), [(sent, expected)]);
        }
        let event = self.event()?;
        let first = self.samples.request_with(event.body.clone(), &event.id, self.now - tolerance / 2)?;
        let requests = [(first, OK), (self.send(&event)?, OK)];
        self.add("retried", "the event comes again, signed anew with a fresh timestamp", 1, requests);

        let Some(header) = scheme.timestamp_header().map(HeaderName::from_static) else { return Ok(()) };
        let event = self.event()?;
        let mut sent = self.samples.request_with(event.body, &event.id, past)?;
        sent.headers_mut().insert(&header, value(&self.now.unix_timestamp().to_string()));
        self.add("freshened", "an old request is given a fresh timestamp", 0, [(sent, REFUSED)]);
        let mut sent = self.sent()?;
        sent.headers_mut().remove(&header);
        self.add("missing_timestamp", "the header with the time is not there", 0, [(sent, REFUSED)]);
        let sent = self.sent_doubling(&header)?;
        self.add("doubled_timestamp", "the header with the time stands twice", 0, [(sent, REFUSED)]);
        let milliseconds = format!("{}000", self.now.unix_timestamp());
        let sent = self.sent_with(header, &milliseconds)?;
        self.add("timestamp_in_milliseconds", "the time is in milliseconds", 0, [(sent, REFUSED)]);
        Ok(())
    }

    fn add<const N: usize>(
        &mut self,
        name: &'static str,
        description: &'static str,
        handled: usize,
        requests: [(Request<Bytes>, StatusCode); N],
    ) {
        self.faults.push(Fault::new(name, description, requests.into(), handled));
    }

    fn sent(&mut self) -> Result<Request<Bytes>, Error> {
        let event = self.event()?;
        self.send(&event)
    }

    fn sent_with(&mut self, header: HeaderName, text: &str) -> Result<Request<Bytes>, Error> {
        let mut sent = self.sent()?;
        sent.headers_mut().insert(header, value(text));
        Ok(sent)
    }

    fn sent_doubling(&mut self, header: &HeaderName) -> Result<Request<Bytes>, Error> {
        let mut sent = self.sent()?;
        let copy = sent.headers()[header].clone();
        sent.headers_mut().append(header, copy);
        Ok(sent)
    }

    fn send(&self, event: &Event) -> Result<Request<Bytes>, Error> {
        self.samples.request_with(event.body.clone(), &event.id, self.now)
    }

    fn event(&mut self) -> Result<Event, Error> {
        self.event_of(self.now)
    }

    fn event_of(&mut self, created_at: OffsetDateTime) -> Result<Event, Error> {
        match self.samples.contract().catalogue().iter().next() {
            Some(kind) => self.event_with(created_at, kind.name(), kind.sample()),
            None => self.event_with(created_at, "hookwire.sample", json!({"is": "a sample"})),
        }
    }

    fn event_with(
        &mut self,
        created_at: OffsetDateTime,
        event_type: &str,
        data: impl serde::Serialize,
    ) -> Result<Event, Error> {
        self.events += 1;
        let contract = self.samples.contract();
        let id = EventId::from_parts(self.now, [self.events; 10]);
        let envelope = Envelope::from_parts(id.clone(), created_at, RawEvent::new(event_type, data)?);
        let mut body = contract.encode(&envelope)?.to_vec();
        if !proves_ids(contract) {
            // Only the body tells these events apart.
            body.resize(body.len() + usize::from(self.events), b' ');
        }
        Ok(Event { id, body: body.into() })
    }

    /// The body of an event after `change`.
    fn changed(&self, event: &Event, change: impl FnOnce(&mut Map<String, Value>)) -> Bytes {
        let mut envelope = serde_json::from_slice(&event.body).unwrap_or_default();
        change(&mut envelope);
        let mut body = Value::Object(envelope).to_string();
        body.extend(std::iter::repeat_n(' ', event.body.len() - event.body.trim_ascii_end().len()));
        body.into()
    }

    fn type_field(&self) -> &'static str {
        self.field(|field| matches!(field, Field::Type(_)))
    }

    fn data_field(&self) -> &'static str {
        self.field(|field| matches!(field, Field::Data(_)))
    }

    fn field(&self, is: impl Fn(&Field) -> bool) -> &'static str {
        let fields = self.samples.contract().format().fields();
        let field = fields.iter().find(|field| is(field));
        field.expect("invariant: every envelope has a type and data").name()
    }
}

/// Whether a receiver reads an event's id from proven bytes.
fn proves_ids(contract: &Contract) -> bool {
    contract.format().carries_id() || contract.scheme().is_some_and(|scheme| scheme.signs_id())
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("invariant: ids, numbers and these texts are visible ASCII")
}

const OK: StatusCode = StatusCode::OK;
const REFUSED: StatusCode = StatusCode::UNAUTHORIZED;
const MINUTE: Duration = Duration::from_secs(60);
