//! A receiver of a provider: events, batches, ids, and challenges of which the proof comes first.

use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use hookwire::provider::{Keys, Provider};
use hookwire::receive::{Answer, Arrival, Received, Receiver, Rejection};
use hookwire::signature::Request;
use hookwire::{DataError, Envelope, RawEvent, Secret, Signer};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use time::OffsetDateTime;
use time::macros::datetime;

use super::vectors::{Vector, vectors};

#[test]
fn every_vector_with_an_event_is_received() {
    let mut received = 0;
    let events = vectors().into_iter().filter(|vector| vector.kind != "challenge" && vector.has_event);
    for vector in events.filter(Vector::is_built_in) {
        let receiver = Receiver::of(vector.provider(), vector.keys()).unwrap().with_url(&vector.url);
        let query = vector.url.split_once('?').map(|(_, query)| query);
        let mut arrival = Arrival::new(&vector.method, &vector.headers).with_path("/in");
        arrival.query = query;
        let answered = ready(async {
            let admitted = receiver.admit(arrival, vector.now())?;
            admitted.prove(&vector.body, vector.now()).await?.receive::<RawEvent>().await
        });
        match answered {
            Ok(Received::Event { envelope, .. }) => {
                assert!(!envelope.id.as_str().is_empty());
                received += 1;
            }
            // These official vectors have a body that is no event.
            Err(Rejection::Malformed(_)) => {
                let odd = ["github", "jira", "line", "paddle", "adyen_standard"];
                assert!(odd.contains(&&*vector.provider), "{}", vector.provider);
            }
            other => panic!("{}: {other:?}", vector.provider),
        }
    }
    assert!(received > 50, "only {received}");
}

#[test]
fn the_id_of_a_message_tells_deliveries_apart_and_the_bodys_id_is_the_events() {
    let body =
        br#"{"id":"evt_9","type":"response.completed","created_at":1764498000,"data":{"id":"resp_1"}}"#;
    let secret = Secret::from_random([7; 32]);
    let openai = provider("openai");
    let headers = signed(openai, &secret, "wh_1", body);
    let receiver = Receiver::of(openai, &secret).unwrap();
    match ready(receive(&receiver, &headers, body)).unwrap() {
        Received::Event { envelope, receipt, .. } => {
            assert_eq!(envelope.id.as_str(), "evt_9");
            assert_eq!(receipt.key().id.as_str(), "wh_1");
            assert_eq!(envelope.created_at, datetime!(2025-11-30 10:20 UTC));
            assert_eq!(envelope.data.data().get(), r#"{"id":"resp_1"}"#);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn several_events_are_handled_one_by_one_and_answered_as_a_whole() {
    let body = br#"{"destination":"U1","events":[
        {"webhookEventId":"01A","type":"message","timestamp":1700000000123,"n":1},
        {"webhookEventId":"01B","type":"follow","timestamp":1700000000124,"n":2}]}"#;
    let secret: Secret = "channel".parse().unwrap();
    let line = provider("line");
    let headers = signed(line, &secret, "", body);
    let receiver = Receiver::of(line, &secret).unwrap();

    let several = ready(receive(&receiver, &headers, body)).unwrap_err();
    assert!(matches!(several, Rejection::SeveralEvents), "{several:?}");

    let seen = Mutex::new(Vec::new());
    let handle = |fails: &'static str| {
        let seen = &seen;
        let headers = &headers;
        let receiver = &receiver;
        async move {
            let admitted = receiver.admit(Arrival::post(headers), NOW)?;
            admitted
                .prove(body, NOW)
                .await?
                .handle_each(async |event: Result<Envelope<RawEvent>, Box<DataError>>| {
                    let event = event?;
                    seen.lock().unwrap().push((event.id.as_str().to_owned(), event.event_type().to_owned()));
                    if event.id.as_str() == fails { Err("full") } else { Ok(()) }
                        .map_err(Box::<dyn Error + Send + Sync>::from)
                })
                .await
        }
    };
    assert_eq!(ready(handle("none")).unwrap().status, 200);
    let both = [("01A".to_owned(), "message".to_owned()), ("01B".to_owned(), "follow".to_owned())];
    assert_eq!(*seen.lock().unwrap(), both);
    // The second is handled although the first fails.
    let failed = ready(handle("01A")).unwrap_err();
    assert_eq!(failed.status(), 503);
    assert_eq!(seen.lock().unwrap().len(), 4);
}

#[test]
fn a_request_without_events_is_accepted() {
    let secret: Secret = "channel".parse().unwrap();
    let body = br#"{"destination":"U1","events":[]}"#;
    let headers = signed(provider("line"), &secret, "", body);
    let receiver = Receiver::of(provider("line"), &secret).unwrap();
    assert!(matches!(ready(receive(&receiver, &headers, body)).unwrap(), Received::NoEvent));
    // Xero's trial of an endpoint.
    let body = br#"{"events":null,"firstEventSequence":0,"lastEventSequence":0,"entropy":"FMLHZNKCVK"}"#;
    let headers = signed(provider("xero"), &secret, "", body);
    let receiver = Receiver::of(provider("xero"), &secret).unwrap();
    assert!(matches!(ready(receive(&receiver, &headers, body)).unwrap(), Received::NoEvent));
}

#[test]
fn deepgram_shows_its_secret_as_credentials_or_in_the_body() {
    use base64::Engine as _;

    let basic = base64::engine::general_purpose::STANDARD.encode("agent:hush");
    let basic = format!("Basic {basic}");
    let in_the_body = r#"{"metadata":{"request_id":"r","extra":{"callback_secret":"hush"}}}"#;
    for (secret, header, body, expected) in [
        ("agent:hush", Some(("authorization", &*basic)), "{}", true),
        ("agent:hush", Some(("authorization", "Basic YWdlbnQ6aHVzSA==")), "{}", false),
        ("hush", None, in_the_body, true),
        ("other", None, in_the_body, false),
        ("hush", Some(("dg-token", "hush")), "{}", true),
        ("hush", None, "{}", false),
    ] {
        let mut headers = HeaderMap::new();
        if let Some((name, value)) = header {
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        let secret: Secret = secret.parse().unwrap();
        let receiver = Receiver::of(provider("deepgram"), &secret).unwrap();
        let received = ready(receive(&receiver, &headers, body.as_bytes()));
        assert_eq!(received.is_ok(), expected, "{secret:?} {header:?} {body}");
    }
}

#[test]
fn slack_is_answered_only_if_it_signs_its_challenge() {
    let body = br#"{"type":"url_verification","token":"t","challenge":"3eZbrw1aB"}"#;
    let secret: Secret = "8f742231b10e8888abcd99yyyzzz85a5".parse().unwrap();
    let slack = provider("slack");
    let receiver = Receiver::of(slack, &secret).unwrap();
    let answer = challenged(ready(receive(&receiver, &signed(slack, &secret, "", body), body)));
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"3eZbrw1aB"[..]));
    assert_eq!(answer.header(&http::header::X_CONTENT_TYPE_OPTIONS).unwrap(), "nosniff");

    let forged = signed(slack, &"another secret".parse().unwrap(), "", body);
    let refused = ready(receive(&receiver, &forged, body)).unwrap_err();
    assert_eq!(refused.status(), 401);
}

#[test]
fn zoom_gets_the_hmac_of_its_token() {
    let body = br#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#;
    let secret: Secret = "zoomtoken".parse().unwrap();
    let zoom = provider("zoom");
    let receiver = Receiver::of(zoom, &secret).unwrap();
    let answer = challenged(ready(receive(&receiver, &signed(zoom, &secret, "", body), body)));
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(json["plainToken"], "qgg8vlvZRS6UYooatFL8Aw");
    // By another program: printf qgg8vlvZRS6UYooatFL8Aw | openssl dgst -sha256 -hmac zoomtoken
    assert_eq!(json["encryptedToken"], ZOOM_MAC);
}

#[test]
fn challenges_by_get_head_and_options_are_answered_before_a_body() {
    let text = |name: &str, method: Method, query: &str, header: Option<(&str, &str)>, keys: Keys| {
        let receiver = Receiver::of(provider(name), keys).unwrap();
        let mut headers = HeaderMap::new();
        if let Some((name, value)) = header {
            headers.insert(HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let mut arrival = Arrival::new(&method, &headers).with_path("/in");
        if !query.is_empty() {
            arrival = arrival.with_query(query);
        }
        match receiver.admit(arrival, NOW) {
            Ok(_) => panic!("{name}: it is a challenge"),
            Err(rejection) => receiver.refuse(&rejection),
        }
    };
    let key = || Keys::from("k".parse::<Secret>().unwrap());
    let body = |answer: &Answer| String::from_utf8(answer.body.to_vec()).unwrap();

    let meta = "hub.mode=subscribe&hub.verify_token=mine&hub.challenge=1158201444";
    let keys = || key().with_verify_token("mine".parse().unwrap());
    let answer = text("meta_whatsapp", Method::GET, meta, None, keys());
    assert_eq!((answer.status.as_u16(), body(&answer)), (200, "1158201444".to_owned()));
    let wrong = text("meta_whatsapp", Method::GET, &meta.replace("mine", "other"), None, keys());
    assert_eq!(wrong.status, 401);

    let answer = text("x_twitter", Method::GET, "crc_token=foo", None, key());
    assert!(body(&answer).starts_with(r#"{"response_token":"sha256="#), "{}", body(&answer));
    let answer = text("okta", Method::GET, "", Some(("x-okta-verification-challenge", "ab1")), key());
    assert_eq!(body(&answer), r#"{"verification":"ab1"}"#);
    let origin = Some(("webhook-request-origin", "eventemitter.example.com"));
    let answer = text("cloudevents", Method::OPTIONS, "", origin, key());
    assert_eq!(
        answer.header(&HeaderName::from_static("webhook-allowed-origin")).unwrap(),
        "eventemitter.example.com"
    );
    assert_eq!(text("trello", Method::HEAD, "", None, key()).status, 200);
    assert_eq!(text("intercom", Method::HEAD, "", None, key()).status, 200);
    assert_eq!(text("stripe", Method::GET, "challenge=x", None, key()).status, 405);
    let answer = text("braintree", Method::GET, "bt_challenge=abc", None, key().with_key_id("pub"));
    assert!(body(&answer).starts_with("pub|"), "{}", body(&answer));
}

#[test]
fn a_challenge_repeats_no_page_no_line_and_no_flood() {
    let dropbox = provider("dropbox");
    let receiver = Receiver::of(dropbox, "k".parse::<Secret>().unwrap()).unwrap();
    let (method, headers) = (Method::GET, HeaderMap::new());
    let long = format!("challenge={}", "a".repeat(1025));
    let hostile = [
        "challenge=%3Cscript%3E",
        "challenge=a%0d%0ab",
        "challenge=%00",
        "challenge=",
        "challenge=%C3%A9",
        &long,
    ];
    for query in hostile {
        let arrival = Arrival::new(&method, &headers).with_path("/").with_query(query);
        let refused = receiver.admit(arrival, NOW).map(drop).unwrap_err();
        assert_eq!(receiver.refuse(&refused).status, 401, "{query}");
    }
}

/// X, Zoom and Braintree sign their events with the secret that answers their challenges.
#[test]
fn no_challenge_has_a_text_signed_that_could_be_an_event() {
    let keys = || Keys::from("k".parse::<Secret>().unwrap()).with_key_id("pub");
    let (method, headers) = (Method::GET, HeaderMap::new());
    let judge = |name: &str, query: &str| {
        let receiver = Receiver::of(provider(name), keys()).unwrap();
        let refused = receiver.admit(Arrival::new(&method, &headers).with_query(query), NOW).map(drop);
        receiver.refuse(&refused.unwrap_err()).status.as_u16()
    };
    // {"tweet_create_events":[]}, [1] and "x"
    for event in ["%7B%22tweet_create_events%22%3A%5B%5D%7D", "%5B1%5D", "%22x%22", "a b"] {
        assert_eq!(judge("x_twitter", &format!("crc_token={event}")), 401, "{event}");
    }
    assert_eq!(judge("x_twitter", "crc_token=9b4507b3-9040-4669-9ca3-6b94edb50553"), 200);
    assert_eq!(judge("x_twitter", "crc_token=MTYyLzQ%2BOTE_xy.z~%3D"), 200);
    // <notification/> in base64
    assert_eq!(judge("braintree", "bt_challenge=PG5vdGlmaWNhdGlvbi8%2B"), 401);
    assert_eq!(judge("braintree", "bt_challenge=20f9f8ed05f77439fe955c977e4c8a53"), 200);

    let secret: Secret = "k".parse().unwrap();
    let body = br#"{"event":"endpoint.url_validation","payload":{"plainToken":"v0:1:{}"}}"#;
    let receiver = Receiver::of(provider("zoom"), &secret).unwrap();
    let refused = ready(receive(&receiver, &signed(provider("zoom"), &secret, "", body), body));
    assert_eq!(refused.unwrap_err().status(), 401);
}

#[test]
fn a_secret_that_is_handed_over_is_in_no_debug_output() {
    for name in ["asana", "notion"] {
        let receiver = Receiver::of(provider(name), "old".parse::<Secret>().unwrap()).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("x-hook-secret", HeaderValue::from_static("b537207f20cbfa02357cf448134da559"));
        let body = br#"{"verification_token":"secret_b537207f20cbfa02357cf448134da559"}"#;
        let answered = ready(receive(&receiver, &headers, body));
        let shown =
            format!("{answered:?} {:?}", answered.as_ref().err().map(|refusal| receiver.refuse(refusal)));
        assert!(!shown.contains("b537207f"), "{name}: {shown}");
        assert!(shown.contains("200"), "{name} is answered: {shown}");
    }
}

#[test]
fn a_secret_that_is_handed_over_goes_to_the_application() {
    let seen: &'static Mutex<Vec<Secret>> = Box::leak(Box::default());
    let asana = provider("asana");
    let receiver = Receiver::of(asana, "old".parse::<Secret>().unwrap())
        .unwrap()
        .with_secret_observer(|secret| seen.lock().unwrap().push(secret.clone()));
    let mut headers = HeaderMap::new();
    headers.insert("x-hook-secret", HeaderValue::from_static("b537207f20cbfa02357cf448134da559"));
    let answer = challenged(ready(receive(&receiver, &headers, b"")));
    assert_eq!(
        answer.header(&HeaderName::from_static("x-hook-secret")).unwrap(),
        "b537207f20cbfa02357cf448134da559"
    );
    assert_eq!(seen.lock().unwrap()[0].expose(), "b537207f20cbfa02357cf448134da559");
}

#[test]
fn adyen_is_answered_with_the_body_that_it_demands() {
    let item = r#"{"NotificationRequestItem":{"additionalData":{"hmacSignature":"SIG"},"amount":{"currency":"EUR","value":1130},"eventCode":"AUTHORISATION","merchantAccountCode":"TestMerchant","merchantReference":"Test:Payment 1","pspReference":"7914073381342284","success":"true","eventDate":"2019-05-06T17:15:34+02:00"}}"#;
    let content = "7914073381342284::TestMerchant:Test:Payment 1:1130:EUR:AUTHORISATION:true";
    let key = [0x44_u8; 32];
    let scheme = hookwire::Scheme::new("content", "x-content").with_base64_signature();
    let signature = Signer::new(scheme, &Secret::from_bytes(key))
        .unwrap()
        .signature("", NOW, content.as_bytes())
        .unwrap();
    let body = format!(r#"{{"live":"false","notificationItems":[{}]}}"#, item.replace("SIG", &signature));
    let secret: Secret = "44".repeat(32).parse().unwrap();
    let receiver = Receiver::of(provider("adyen_standard"), &secret).unwrap();
    let headers = HeaderMap::new();
    let handle = async |body: &str| {
        let admitted = receiver.admit(Arrival::post(&headers), NOW)?;
        let handler = async |event: Result<Envelope<RawEvent>, Box<DataError>>| {
            let event = event?;
            assert_eq!(event.event_type(), "AUTHORISATION");
            assert_eq!(event.id.as_str(), "7914073381342284.AUTHORISATION.true");
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        };
        admitted.prove(body.as_bytes(), NOW).await?.handle_each(handler).await
    };
    assert_eq!(&ready(handle(&body)).unwrap().body[..], b"[accepted]");
    let forged = ready(handle(&body.replace("1130", "1131"))).unwrap_err();
    assert_eq!(forged.status(), 401);
    // The border between two fields may not move: the reference may hold a colon, the others may not.
    let moved = body
        .replace(r#""currency":"EUR""#, r#""currency":"EUR:AUTHORISATION""#)
        .replace(r#""eventCode":"AUTHORISATION""#, r#""eventCode":"""#);
    assert_eq!(ready(handle(&moved)).unwrap_err().status(), 401);
}

#[test]
fn half_a_surrogate_and_a_byte_order_mark_are_read() {
    let github = provider("github");
    let secret: Secret = "hush".parse().unwrap();
    let body = "\u{feff}{\"zen\":\"cut \\ud83d\"}";
    let mut headers = signed(github, &secret, "", body.as_bytes());
    headers.insert("x-github-event", HeaderValue::from_static("ping"));
    let receiver = Receiver::of(github, &secret).unwrap();
    match ready(receive(&receiver, &headers, body.as_bytes())).unwrap() {
        Received::Event { envelope, .. } => {
            assert_eq!(envelope.event_type(), "ping");
            assert_eq!(envelope.data.data().get(), "{\"zen\":\"cut \\ufffd\"}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn forms_are_events_with_their_fields() {
    let slack = provider("slack");
    let secret: Secret = "hush".parse().unwrap();
    let receiver = Receiver::of(slack, &secret).unwrap();
    let event = |body: &'static [u8]| {
        let mut headers = signed(slack, &secret, "", body);
        headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
        match ready(receive(&receiver, &headers, body)).unwrap() {
            Received::Event { envelope, .. } => {
                (envelope.event_type().to_owned(), envelope.data.data().get().to_owned())
            }
            other => panic!("{other:?}"),
        }
    };
    let (kind, data) = event(b"command=%2Fweather&text=94070&trigger_id=13.37");
    assert_eq!(
        (&*kind, &*data),
        ("/weather", r#"{"command":"/weather","text":"94070","trigger_id":"13.37"}"#)
    );
    let (kind, data) = event(b"payload=%7B%22type%22%3A%22block_actions%22%7D");
    assert_eq!((&*kind, &*data), ("block_actions", r#"{"type":"block_actions"}"#));
}

#[test]
fn another_content_type_is_refused() {
    let stripe = provider("stripe");
    let secret: Secret = "hush".parse().unwrap();
    let mut headers = signed(stripe, &secret, "", b"a=1");
    headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
    let receiver = Receiver::of(stripe, &secret).unwrap();
    assert_eq!(ready(receive(&receiver, &headers, b"a=1")).unwrap_err().status(), 415);
}

fn challenged<T: std::fmt::Debug>(received: Result<T, Rejection>) -> Answer {
    match received {
        Err(Rejection::Challenge { answer, .. }) => answer,
        other => panic!("{other:?}"),
    }
}

fn provider(name: &str) -> &'static Provider {
    Provider::by_name(name).unwrap()
}

fn signed(provider: &Provider, secret: &Secret, id: &str, body: &[u8]) -> HeaderMap {
    let headers = HeaderMap::new();
    let signer = Signer::new(provider.scheme().unwrap(), secret).unwrap();
    signer.sign_request(&Request::post(&headers, body), id, NOW).unwrap()
}

async fn receive<'r>(
    receiver: &'r Receiver,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Received<'r, RawEvent, hookwire::receive::NoInbox>, Rejection> {
    receiver.admit(Arrival::post(headers).with_path("/in"), NOW)?.prove(body, NOW).await?.receive().await
}

/// The output of a future that waits for nothing.
pub(super) fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits for nothing"),
    }
}

const NOW: OffsetDateTime = datetime!(2026-11-30 10:20:00 UTC);
const ZOOM_MAC: &str = "34c2b0ac7a57ac7e8d9d467195e462559f06c11158230eb47d713c22bccce459";
