//! Requests that other programs send: each is one member of a kind, and none is a retry loop.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookwire::provider::{Place, Provider};
use hookwire::receive::{Answer, Arrival, Received, Receiver, Rejection, Senders};
use hookwire::signature::HeaderFamily;
use hookwire::{
    Contract, DataError, Envelope, MemoryStore, RawEvent, Scheme, Secret, Signer, VerifyError, allison,
    allo_v1,
};
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};

use super::{Arrived, Failure, NOON, Request, receiver, secret};
use crate::received::{handled, handled_by_any, received};

// JSON.

#[tokio::test]
async fn a_byte_order_mark_half_surrogates_and_whole_numbers_with_a_fraction_are_read() {
    for (data, summary, seconds) in [
        (r#"{"call_id":"c","summary":"a\ud83d","duration_seconds":12}"#, "a\u{fffd}", 12),
        (r#"{"call_id":"c","summary":"\ude00b","duration_seconds":12.0}"#, "\u{fffd}b", 12),
        (r#"{"call_id":"c","summary":"\ud83d\ude00 12.0","duration_seconds":1.2e1}"#, "\u{1f600} 12.0", 12),
    ] {
        for mark in ["", "\u{feff}"] {
            let body = format!(
                r#"{mark}{{"id":"evt_1","type":"call.ended","created_at":"2026-04-17T12:00:00.000Z","api_version":"v1","data":{data}}}"#
            );
            let headers = sign(body.as_bytes());
            let receiver = receiver();
            let call =
                received::<allison::CallEnded, _>(&receiver, Arrival::post(&headers), body.as_bytes(), NOON);
            let Received::Event { envelope, .. } = call.await.unwrap() else { panic!("{body}") };
            assert_eq!(envelope.data.summary.as_deref(), Some(summary), "{body}");
            assert_eq!(envelope.data.duration_seconds, Some(seconds), "{body}");
            // The raw data are as they were sent.
            let raw = received::<RawEvent, _>(&receiver, Arrival::post(&headers), body.as_bytes(), NOON);
            let Received::Event { envelope, .. } = raw.await.unwrap() else { panic!("{body}") };
            assert_eq!(envelope.data.data().get(), data);
        }
    }
}

#[tokio::test]
async fn half_a_surrogate_in_the_envelope_itself_is_no_reason_to_refuse_it() {
    let body = br#"{"id":"evt_1","type":"call.ended","created_at":"2026-04-17T12:00:00.000Z","note\ud83d":1,"api_version":"v1","data":{"call_id":"c"}}"#;
    let headers = sign(body);
    let receiver = receiver();
    let event = received::<allison::Event, _>(&receiver, Arrival::post(&headers), body, NOON).await.unwrap();
    assert!(matches!(event, Received::Event { .. }), "{event:?}");
}

#[tokio::test]
async fn a_providers_time_is_read_in_any_of_its_usual_forms_or_left_out() {
    static TIMED: Provider = Provider::signed("timed", Scheme::new("timed", "x-signature"))
        .with_time(Place::Field("/at"), hookwire::signature::TimeForm::Seconds);
    let secret: Secret = "hush".parse().unwrap();
    let receiver = Receiver::of(&TIMED, &secret).unwrap();
    let noon = NOON.unix_timestamp();
    for (at, expected) in [
        (format!("{noon}"), NOON),
        (format!("{noon}.0"), NOON),
        (format!("\"{noon}\""), NOON),
        (format!("{noon}000"), NOON),
        (format!("\"{noon}250\""), NOON + Duration::from_millis(250)),
        ("\"2026-04-17T14:00:00+02:00\"".to_owned(), NOON),
        // Nothing that can be read: the time of arrival.
        ("null".to_owned(), NOON + Duration::from_secs(9)),
        ("\"soon\"".to_owned(), NOON + Duration::from_secs(9)),
        ("1e300".to_owned(), NOON + Duration::from_secs(9)),
    ] {
        let body = format!(r#"{{"at":{at}}}"#);
        let headers = Signer::new(TIMED.scheme().unwrap(), &secret).unwrap();
        let headers = headers.sign("", NOON, body.as_bytes()).unwrap();
        let now = NOON + Duration::from_secs(9);
        let event = received::<RawEvent, _>(&receiver, Arrival::post(&headers), body.as_bytes(), now);
        let Received::Event { envelope, .. } = event.await.unwrap() else { panic!("{at}") };
        assert_eq!(envelope.created_at, expected, "{at}");
    }
}

// Content types and encodings.

#[tokio::test]
async fn a_compressed_body_is_answered_415_with_the_encoding_that_is_taken() {
    let request = Request::new("evt_1");
    let receiver = receiver();
    for (encoding, status) in
        [("gzip", 415), ("br, gzip", 415), ("identity", 200), ("Identity", 200), ("", 200)]
    {
        let mut headers = request.headers.clone();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        let answer = answered(&receiver, Arrival::post(&headers), &request.body).await;
        assert_eq!(answer.status.as_u16(), status, "{encoding}");
        let expected = (status == 415).then(|| HeaderValue::from_static("identity"));
        assert_eq!(answer.header(&ACCEPT_ENCODING), expected.as_ref());
    }
    let stripe = Receiver::of(Provider::by_name("stripe").unwrap(), secret(0)).unwrap();
    let mut headers = request.headers.clone();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    assert_eq!(answered(&stripe, Arrival::post(&headers), b"{}").await.status, 415);
}

#[tokio::test]
async fn a_body_that_was_compressed_before_it_was_signed_is_decoded_where_that_is_set() {
    let plain = Request::new("evt_1").body;
    let sent = |body: &[u8], encoding: &'static str| {
        let mut headers = sign(body);
        headers.append(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        headers
    };
    let body = gzipped(&plain);
    let receiver = receiver().with_gzip(plain.len());
    for encoding in ["gzip", "GZIP", "x-gzip", " gzip "] {
        let headers = sent(&body, encoding);
        let event = received::<allison::Event, _>(&receiver, Arrival::post(&headers), &body, NOON);
        let Received::Event { envelope, .. } = event.await.unwrap() else { panic!("{encoding}") };
        assert_eq!((envelope.id.as_str(), envelope.event_type()), ("evt_1", "call.ended"), "{encoding}");
    }
    assert_eq!(answered(&receiver, Arrival::post(&sign(&plain)), &plain).await.status, 200, "a plain body");

    // Another encoding, two of them, and one on top of the other.
    for encoding in ["br", "gzip, gzip", "deflate, gzip"] {
        let answer = answered(&receiver, Arrival::post(&sent(&body, encoding)), &body).await;
        assert_eq!(answer.status, 415, "{encoding}");
        assert_eq!(answer.header(&ACCEPT_ENCODING), Some(&HeaderValue::from_static("gzip, identity")));
    }
    let mut twice = sent(&body, "gzip");
    twice.append(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    assert_eq!(answered(&receiver, Arrival::post(&twice), &body).await.status, 415);

    // Nothing is decoded for a stranger, and no more than the limit for anybody.
    let bomb = gzipped(&vec![b' '; 10 << 20]);
    assert!(bomb.len() < 20_000);
    let unsigned = sent(&body, "gzip");
    assert_eq!(answered(&receiver, Arrival::post(&unsigned), &bomb).await.status, 401);
    let headers = sent(&bomb, "gzip");
    let refused = received::<allison::Event, _>(&receiver, Arrival::post(&headers), &bomb, NOON).await;
    let limit = plain.len();
    assert!(matches!(refused, Err(Rejection::DecodedTooLarge { limit: at, .. }) if at == limit));
    assert_eq!(answered(&receiver, Arrival::post(&headers), &bomb).await.status, 413);
    let broken = &body[..body.len() - 1];
    let answer = answered(&receiver, Arrival::post(&sent(broken, "gzip")), broken).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn a_providers_compressed_body_is_decoded_after_its_proof_and_stored_decoded() {
    let (stripe, secret) = (Provider::by_name("stripe").unwrap(), secret(0));
    let plain = br#"{"id":"evt_1","type":"invoice.paid","created":1776427200,"data":{"object":{}}}"#;
    let body = gzipped(plain);
    let mut headers = Signer::new(stripe.scheme().unwrap(), &secret).unwrap().sign("", NOON, &body).unwrap();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let receiver = Receiver::of(stripe, &secret).unwrap().with_gzip(1 << 20);
    let event = received::<RawEvent, _>(&receiver, Arrival::post(&headers), &body, NOON).await.unwrap();
    let Received::Event { envelope, .. } = event else { panic!("{event:?}") };
    assert_eq!((envelope.id.as_str(), envelope.event_type()), ("evt_1", "invoice.paid"));

    let stored_first = Receiver::of(stripe, &secret).unwrap().with_gzip(1 << 20);
    let stored_first = stored_first.with_intake(Arc::new(MemoryStore::new()));
    let stored = crate::received::stored(&stored_first, Arrival::post(&headers), &body, NOON).await.unwrap();
    assert_eq!(stored, hookwire::receive::StoredFirst::New);
    let worker = stored_first.worker(async |event: Result<Envelope<RawEvent>, Box<DataError>>| {
        assert_eq!(event?.event_type(), "invoice.paid");
        Ok::<_, Failure>(())
    });
    assert_eq!(worker.step(NOON).await.unwrap().done, 1);
}

fn gzipped(body: &[u8]) -> Vec<u8> {
    use std::io::Write as _;

    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn json_under_another_content_type_is_taken_where_it_was_named() {
    let request = Request::new("evt_1");
    let mut headers = request.headers.clone();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("Text/Plain; charset=utf-8"));
    let strict = receiver();
    assert_eq!(answered(&strict, Arrival::post(&headers), &request.body).await.status, 415);
    let lenient = receiver().with_content_type("text/plain");
    assert_eq!(answered(&lenient, Arrival::post(&headers), &request.body).await.status, 200);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    assert_eq!(answered(&lenient, Arrival::post(&headers), &request.body).await.status, 415);

    let (stripe, secret) = (Provider::by_name("stripe").unwrap(), secret(0));
    let mut headers = Signer::new(stripe.scheme().unwrap(), &secret).unwrap().sign("", NOON, b"{}").unwrap();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    let receiver = Receiver::of(stripe, &secret).unwrap();
    assert_eq!(answered(&receiver, Arrival::post(&headers), b"{}").await.status, 415);
    let receiver = receiver.with_content_type("text/plain");
    assert_eq!(answered(&receiver, Arrival::post(&headers), b"{}").await.status, 200);
}

#[tokio::test]
async fn a_405_names_the_methods_of_the_providers_challenges() {
    let allow = |name| {
        let receiver = Receiver::of(Provider::by_name(name).unwrap(), secret(0)).unwrap();
        let headers = HeaderMap::new();
        let rejection = receiver.admit(Arrival::new(&Method::DELETE, &headers), NOON).map(drop).unwrap_err();
        let answer = receiver.refuse(&rejection);
        (answer.status.as_u16(), answer.header(&ALLOW).unwrap().to_str().unwrap().to_owned())
    };
    assert_eq!(allow("stripe"), (405, "POST".to_owned()));
    assert_eq!(allow("dropbox"), (405, "GET, POST".to_owned()));
    assert_eq!(allow("trello"), (405, "HEAD, POST".to_owned()));
}

// Header families.

#[tokio::test]
async fn one_family_of_headers_is_complete_and_two_are_never_mixed() {
    const NAMES: [(&str, &str); 3] = [
        ("webhook-id", "svix-id"),
        ("webhook-timestamp", "svix-timestamp"),
        ("webhook-signature", "svix-signature"),
    ];
    let secret = secret(0);
    for (scheme, is_svix) in [(Scheme::STANDARD_WEBHOOKS, false), (Scheme::SVIX, true)] {
        let own = Signer::new(scheme, &secret).unwrap().sign("msg_1", NOON, b"{}").unwrap();
        let verifier = hookwire::Verifier::new(scheme, &secret).unwrap();
        let names = NAMES.map(|(standard, svix)| if is_svix { (svix, standard) } else { (standard, svix) });
        let others: HeaderMap = names
            .iter()
            .map(|(from, to)| (to.parse::<http::HeaderName>().unwrap(), own[*from].clone()))
            .collect();
        assert_eq!(verifier.verify_at(&own, b"{}", NOON).unwrap().id(), Some("msg_1"));
        assert_eq!(verifier.verify_at(&others, b"{}", NOON).unwrap().id(), Some("msg_1"));
        assert_eq!(verifier.verify_at(&others, b"[]", NOON).unwrap_err(), VerifyError::SignatureMismatch);
        for (from, to) in names {
            let mut mixed = others.clone();
            mixed.remove(to);
            mixed.insert(from, own[from].clone());
            let error = verifier.verify_at(&mixed, b"{}", NOON).unwrap_err();
            assert!(matches!(error, VerifyError::MissingHeader { .. }), "{from}: {error}");
        }
        let mut twice = others.clone();
        twice.append(names[2].1, others[names[2].1].clone());
        let error = verifier.verify_at(&twice, b"{}", NOON).unwrap_err();
        assert!(matches!(error, VerifyError::DuplicateHeader { .. }), "{error}");
    }
    const ACME: Scheme = Scheme::SHOPIFY.with_other_headers(&HeaderFamily::new("acme-hmac"));
    for (scheme, name) in [(Scheme::SHOPIFY, "shopify-hmac-sha256"), (ACME, "acme-hmac")] {
        let value = Signer::new(scheme, &secret).unwrap().sign("", NOON, b"{}").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(name, value["x-shopify-hmac-sha256"].clone());
        let verifier = hookwire::Verifier::new(scheme, &secret).unwrap();
        verifier.verify_at(&headers, b"{}", NOON).unwrap();
    }
}

// Data that does not fit its type.

#[tokio::test]
async fn data_that_does_not_fit_is_shelved_and_answered_200() {
    let request = unfit("evt_1");
    let store = Arc::new(MemoryStore::new());
    let shelf = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&shelf);
    let receiver = receiver().with_inbox(Arc::clone(&store)).with_shelf(move |error| {
        let id = error.id().unwrap().to_string();
        kept.lock().unwrap().push((id, error.event_type().to_string(), error.data().get().to_owned()));
    });
    assert_eq!(answered(&receiver, Arrival::post(&request.headers), &request.body).await.status, 200);
    // A copy of it is a duplicate.
    assert_eq!(answered(&receiver, Arrival::post(&request.headers), &request.body).await.status, 200);
    let all = shelf.lock().unwrap().clone();
    assert_eq!(all, [("evt_1".to_owned(), "call.ended".to_owned(), r#"{"call_id":7}"#.to_owned())]);

    // Also where the handler wraps the error, and among several senders.
    let wrapped = async |event: Arrived| match event {
        Ok(_) => Ok(()),
        Err(error) => Err::<(), Failure>(Wrapped(error).into()),
    };
    let request = unfit("evt_2");
    let answer =
        handled(&receiver, Arrival::post(&request.headers), &request.body, NOON, wrapped).await.unwrap();
    assert_eq!((answer.status.as_u16(), shelf.lock().unwrap().len()), (200, 2));
    let senders = Senders::new().with_handler(super::receiver(), async |event: Arrived| Ok(event.map(drop)?));
    let answer = handled_by_any(&senders, Arrival::post(&request.headers), &request.body, NOON).await;
    assert_eq!(answer.unwrap().status, 200);

    // Every other failure has the sender repeat, and so has this one where the application wants it.
    let fails = async |_: Arrived| Err::<(), Failure>("away".into());
    let request = unfit("evt_3");
    let failed = handled(&receiver, Arrival::post(&request.headers), &request.body, NOON, fails).await;
    assert!(matches!(failed, Err(Rejection::Handler(_))));
    let repeated = super::receiver().with_repetition_of_unfit_data();
    assert_eq!(answered(&repeated, Arrival::post(&request.headers), &request.body).await.status, 503);
    let panics = super::receiver().with_shelf(|_| panic!("no shelf"));
    assert_eq!(answered(&panics, Arrival::post(&request.headers), &request.body).await.status, 200);
}

#[tokio::test]
async fn a_worker_gives_data_that_does_not_fit_up_at_once() {
    let store = Arc::new(MemoryStore::new());
    let receiver = receiver().with_intake(Arc::clone(&store));
    let request = unfit("evt_1");
    let admitted = receiver.admit(Arrival::post(&request.headers), NOON).unwrap();
    admitted.prove(&request.body, NOON).await.unwrap().store_first().await.unwrap();
    let worker = receiver.worker(async |event: Arrived| Ok(event.map(drop)?));
    let worked = worker.step(NOON).await.unwrap();
    assert_eq!((worked.given_up, worked.retried), (1, 0));
    let given_up = hookwire::Intake::given_up(&*store, "allison", None, 10).await.unwrap();
    assert_eq!(given_up[0].request.body, request.body);
}

// Bounds.

#[tokio::test]
async fn the_number_of_events_in_a_request_is_bounded() {
    static MANY: Provider = Provider::signed("many", Scheme::new("many", "x-signature")).with_events("");
    let secret: Secret = "hush".parse().unwrap();
    let receiver = Receiver::of(&MANY, &secret).unwrap();
    let (default, few) = (10_000, 2);
    for (receiver, limit) in
        [(Receiver::of(&MANY, &secret).unwrap(), default), (receiver.with_max_events(few), few)]
    {
        for (events, status) in [(limit, 200), (limit + 1, 413)] {
            let body = format!("[{}]", vec!["0"; events].join(","));
            let headers = Signer::new(MANY.scheme().unwrap(), &secret).unwrap();
            let headers = headers.sign("", NOON, body.as_bytes()).unwrap();
            let proven = receiver.admit(Arrival::post(&headers), NOON).unwrap();
            let proven = proven.prove(body.as_bytes(), NOON).await.unwrap();
            let handler = async |event: Result<Envelope<RawEvent>, Box<DataError>>| event.map(drop);
            let answer = proven.handle_each(handler).await;
            let answer = answer.unwrap_or_else(|rejection| receiver.refuse(&rejection));
            assert_eq!(answer.status.as_u16(), status, "{events} of {limit}");
        }
    }
}

#[test]
fn the_first_allo_reads_an_integral_float_and_half_a_surrogate() {
    let body = br#"{"topic":"CONTACT_CREATED","data":{"id":"c","name":"R\ud83d","emails":[],"numbers":[]}}"#;
    let headers = HeaderMap::new();
    let taken = hookwire::Verified::dangerous_unsigned_at(&headers, body, NOON);
    let read = Contract::allo_v1().decode::<allo_v1::Event>(&taken).unwrap();
    let allo_v1::Event::ContactCreated(contact) = read.data else { panic!("{read:?}") };
    assert_eq!(contact.name.as_deref(), Some("R\u{fffd}"));
}

async fn answered(receiver: &Receiver<impl hookwire::Inbox>, arrival: Arrival<'_>, body: &[u8]) -> Answer {
    let handle = async |event: Result<Envelope<allison::Event>, Box<DataError>>| event.map(drop);
    let answer = handled(receiver, arrival, body, NOON, handle).await;
    answer.unwrap_or_else(|rejection| receiver.refuse(&rejection))
}

/// A `call.ended` with data that does not fit.
fn unfit(id: &str) -> Request {
    let body = format!(
        r#"{{"id":"{id}","type":"call.ended","created_at":"2026-04-17T12:00:00.000Z","api_version":"v1","data":{{"call_id":7}}}}"#
    );
    let headers = Contract::allison().signer(&secret(0)).unwrap().sign(id, NOON, body.as_bytes()).unwrap();
    Request { headers, body: body.into_bytes().into() }
}

fn sign(body: &[u8]) -> HeaderMap {
    Contract::allison().signer(&secret(0)).unwrap().sign("evt_1", NOON, body).unwrap()
}

/// An error of the application's own.
#[derive(Debug)]
struct Wrapped(Box<DataError>);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not handled")
    }
}

impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}
