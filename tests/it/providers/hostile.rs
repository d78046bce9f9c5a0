//! The hostile-request table for providers of different kinds: HMAC over time and body, HMAC over URL and
//! form, a shown token, ECDSA, and a JSON Web Token. Every answer is silent, and none is a fault of the
//! server.

use hookwire::receive::{Arrival, Receiver};
use hookwire::{DataError, Envelope, RawEvent};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use time::Duration;

use super::receiving::ready;
use super::vectors::{Vector, vectors};

/// The providers, and the headers that prove their requests.
const KINDS: [(&str, &[&str]); 5] = [
    ("stripe", &["stripe-signature"]),
    ("twilio_form", &["x-twilio-signature"]),
    ("gitlab_token", &["x-gitlab-token"]),
    ("sendgrid", &["x-twilio-email-event-webhook-timestamp", "x-twilio-email-event-webhook-signature"]),
    ("livekit", &["authorization"]),
];

#[test]
fn every_hostile_request_to_providers_of_five_kinds_gets_its_answer() {
    for (name, proofs) in KINDS {
        let vector = vector(name);
        let told = |vector: &Vector| status(vector, Duration::ZERO);
        let genuine = told(&vector);
        assert_eq!(genuine, 200, "{name}");

        // The form of the request.
        for method in [Method::PUT, Method::DELETE, Method::TRACE] {
            assert_eq!(told(&Vector { method, ..vector.clone() }), 405, "{name}");
        }
        for content_type in ["text/html", "multipart/form-data; boundary=x", "application", "\u{e9}"] {
            let odd = edited(&vector, |headers| {
                let value = HeaderValue::from_bytes(content_type.as_bytes()).unwrap();
                headers.insert(CONTENT_TYPE, value);
            });
            assert_eq!(told(&odd), 415, "{name} {content_type}");
        }
        let twice = edited(&vector, |headers| {
            headers.append(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.append(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        });
        assert_eq!(told(&twice), 415, "{name}");
        let packed = edited(&vector, |headers| {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        });
        assert_eq!(told(&packed), 415, "{name}");
        let long = Vector { body: vec![b' '; (1 << 20) + 1], ..vector.clone() };
        assert_eq!(told(&long), 413, "{name}");

        // The proof.
        for proof in proofs {
            let proof: HeaderName = proof.parse().unwrap();
            let value = vector.headers[&proof].clone();
            let without = edited(&vector, |headers| drop(headers.remove(&proof)));
            assert_eq!(told(&without), 401, "{name} without {proof}");
            let twice = edited(&vector, |headers| assert!(headers.append(&proof, value.clone())));
            assert_eq!(told(&twice), 401, "{name} with {proof} twice");
            for odd in [&b""[..], b" ", b"\xff", b"v1=00", &[b'a'; 8_000], b"Bearer", b"a.b.c", b"00 00"] {
                let odd = HeaderValue::from_bytes(odd).unwrap();
                let odd = edited(&vector, |headers| drop(headers.insert(&proof, odd)));
                assert_eq!(told(&odd), 401, "{name} with an odd {proof}");
            }
            let mut cut = value.as_bytes().to_vec();
            cut.pop();
            let cut = HeaderValue::from_bytes(&cut).unwrap();
            let cut = edited(&vector, |headers| drop(headers.insert(&proof, cut)));
            assert_eq!(told(&cut), 401, "{name} with a cut {proof}");
        }

        // The body: whatever a signature covers is the sender's own.
        if name != "gitlab_token" {
            for body in [&b""[..], b"\0", b"\xff\xfe", b"null", &[b'['; 100_000]] {
                let forged = Vector { body: body.to_vec(), ..vector.clone() };
                assert_eq!(told(&forged), 401, "{name} with another body");
            }
        }
        if matches!(name, "stripe" | "sendgrid" | "livekit") {
            assert_eq!(status(&vector, Duration::days(40_000)), 401, "{name} too late");
        }
        if matches!(name, "stripe" | "sendgrid") {
            assert_eq!(status(&vector, Duration::days(-400)), 401, "{name} too early");
        }
    }
}

#[test]
fn a_body_that_only_a_token_covers_is_read_with_care() {
    let vector = vector("gitlab_token");
    for (body, expected) in [
        (&b""[..], 400),
        (b"\xff", 400),
        (b"{", 400),
        (b"{}x", 400),
        // Deeper than any event.
        (&[b'['; 100_000], 400),
        (b"null", 200),
        (b"[]", 200),
        (b"\xef\xbb\xbf{}", 200),
        (br#"{"object_kind":"\ud83d"}"#, 200),
        (br#"{"object_kind":"a\u0000b"}"#, 400),
    ] {
        let shown = Vector { body: body.to_vec(), ..vector.clone() };
        let text = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        assert_eq!(status(&shown, Duration::ZERO), expected, "{text}");
    }
}

fn vector(name: &str) -> Vector {
    let is_it = |vector: &Vector| vector.provider == name && vector.kind != "challenge" && vector.has_event;
    vectors().into_iter().find(is_it).unwrap_or_else(|| panic!("no vector of {name}"))
}

fn edited(vector: &Vector, edit: impl FnOnce(&mut HeaderMap)) -> Vector {
    let mut edited = vector.clone();
    edit(&mut edited.headers);
    edited
}

fn status(vector: &Vector, late: Duration) -> u16 {
    let receiver = Receiver::of(vector.provider(), vector.keys()).unwrap().with_url(&vector.url);
    let now = vector.now() + late;
    let mut arrival = Arrival::new(&vector.method, &vector.headers).with_path("/in");
    arrival.query = vector.url.split_once('?').map(|(_, query)| query);
    let handler = async |event: Result<Envelope<RawEvent>, Box<DataError>>| event.map(drop);
    let answered = ready(async {
        receiver.admit(arrival, now)?.prove(&vector.body, now).await?.handle_each(handler).await
    });
    let answer = answered.unwrap_or_else(|rejection| {
        let text = rejection.to_string();
        assert!(!text.contains("aaaa"), "{text}");
        receiver.refuse(&rejection)
    });
    assert!(answer.status.as_u16() < 500, "{}: {:?}", vector.provider, answer.status);
    assert!(answer.status == 200 || answer.body.is_empty(), "{}", vector.provider);
    answer.status.as_u16()
}
