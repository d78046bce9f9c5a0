//! The receiver without an inbox: proofs, refusals, and their answers.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hookwire::event::DecodeError;
use hookwire::receive::{Arrival, Guard, HeaderGuard, NoInbox, Received, Receiver, Rejection};
use hookwire::{
    Contract, Envelope, EventData, EventId, RawEvent, Secret, StoreError, VerifyError, allison, allo_v1,
};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::json;
use time::OffsetDateTime;
use time::macros::datetime;

use crate::received::received;

// Signed.

#[tokio::test]
async fn a_signed_event_is_verified_and_typed() {
    let (receiver, headers, body) = signed(allison::CallEnded::new("c"));
    let Received::Event { envelope, receipt, .. } =
        received::<allison::Event, _>(&receiver, Arrival::post(&headers), &body, NOW).await.unwrap()
    else {
        panic!("expected an event");
    };
    assert_eq!(envelope.id, id("evt_1"));
    assert_eq!(envelope.data, allison::CallEnded::new("c").into());
    assert!(receipt.commit(NOW).await.unwrap());
    assert_eq!(receiver.contract().name(), "allison");
}

#[tokio::test]
async fn without_an_inbox_every_copy_is_handled() {
    let (receiver, headers, body) = signed(allison::CallEnded::new("c"));
    for _ in 0..2 {
        let received =
            received::<allison::Event, _>(&receiver, Arrival::post(&headers), &body, NOW).await.unwrap();
        let Received::Event { receipt, .. } = received else { panic!("expected an event") };
        assert!(receipt.release().await.unwrap());
    }
}

#[tokio::test]
async fn what_the_signature_does_not_prove_is_answered_401() {
    let (receiver, headers, body) = signed(allison::CallEnded::new("c"));
    let mut unsigned = headers.clone();
    unsigned.remove("x-allison-signature");
    let mut doubled = headers.clone();
    doubled.append("x-allison-signature", headers["x-allison-signature"].clone());
    let mut malformed = headers.clone();
    malformed.insert("x-allison-signature", HeaderValue::from_static("v1=zz"));
    let mut forged = headers.clone();
    forged.insert("x-allison-timestamp", HeaderValue::from_static("1776453124"));
    let mut nameless = headers.clone();
    nameless.remove("x-allison-event-id");

    let late = NOW + Duration::from_secs(301);
    for (headers, now, why) in [
        (&HeaderMap::new(), NOW, "missing header"),
        (&unsigned, NOW, "missing header"),
        (&nameless, NOW, "missing header"),
        (&doubled, NOW, "doubled header"),
        (&malformed, NOW, "malformed header"),
        (&forged, NOW, "wrong signature"),
        (&headers, late, "old"),
        (&headers, NOW - Duration::from_secs(301), "in the future"),
    ] {
        let rejection = refused::<allison::Event>(&receiver, headers, &body, now).await;
        let Rejection::Unverified(error) = &rejection else { panic!("{why}: {rejection}") };
        assert_eq!(rejection.status(), StatusCode::UNAUTHORIZED, "{why}");
        assert_eq!(rejection.retry_after(), None, "{why}");
        let told = match error {
            VerifyError::MissingHeader { .. } => "missing header",
            VerifyError::DuplicateHeader { .. } => "doubled header",
            VerifyError::MalformedHeader { .. } => "malformed header",
            VerifyError::SignatureMismatch => "wrong signature",
            VerifyError::TimestampTooOld { .. } => "old",
            VerifyError::TimestampInFuture { .. } => "in the future",
            _ => "something else",
        };
        assert_eq!(told, why);
    }
    let rejection = refused::<allison::Event>(&receiver, &headers, b"{}", NOW).await;
    assert_eq!(rejection.status(), StatusCode::UNAUTHORIZED, "another body");
}

#[tokio::test]
async fn a_proven_body_that_is_no_event_is_answered_400() {
    let contract = Contract::allison();
    let receiver = Receiver::signed(contract.clone(), &secret()).unwrap();
    for body in [
        &b""[..],
        b"MARKER",
        b"[]",
        b"{}",
        b"\xff",
        br#"{"id":"MARKER MARKER"}"#,
        br#"{"MARKER":1,"MARKER":2}"#,
    ] {
        let headers = contract.signer(&secret()).unwrap().sign("evt_1", NOW, body).unwrap();
        let rejection = refused::<allison::Event>(&receiver, &headers, body, NOW).await;
        assert!(matches!(rejection, Rejection::Malformed(_)), "{rejection}");
        assert_eq!((rejection.status(), rejection.retry_after()), (StatusCode::BAD_REQUEST, None));
        assert!(!format!("{rejection} {rejection:?}").contains("MARKER"), "{rejection:?}");
        assert!(std::error::Error::source(&rejection).is_some());
    }
}

#[tokio::test]
async fn an_id_header_that_is_not_the_bodys_is_answered_400() {
    let (receiver, mut headers, body) = signed(allison::CallEnded::new("c"));
    headers.insert("x-allison-event-id", HeaderValue::from_static("evt_2"));
    let rejection = refused::<allison::Event>(&receiver, &headers, &body, NOW).await;
    assert!(matches!(rejection, Rejection::Malformed(DecodeError::IdMismatch { .. })), "{rejection}");
    assert_eq!(rejection.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_type_that_nobody_knows_is_an_event_like_any_other() {
    let (receiver, headers, body) =
        signed(RawEvent::new("call_order.status_changed", json!({"a": 1})).unwrap());
    let Received::Event { envelope, receipt, .. } =
        received::<allison::Event, _>(&receiver, Arrival::post(&headers), &body, NOW).await.unwrap()
    else {
        panic!("expected an event");
    };
    assert!(matches!(envelope.data, allison::Event::Other(_)));
    receipt.commit(NOW).await.unwrap();
}

#[tokio::test]
async fn a_type_that_was_not_asked_for_is_no_fault_of_the_senders() {
    let (receiver, headers, body) =
        signed(RawEvent::new("contact.created", json!({"contact_id": "c"})).unwrap());
    let received =
        received::<allison::CallEnded, _>(&receiver, Arrival::post(&headers), &body, NOW).await.unwrap();
    let Received::OtherType { event_type, .. } = received else { panic!("expected another type") };
    assert_eq!(event_type, "contact.created");
}

#[tokio::test]
async fn data_that_does_not_fit_is_handed_over_and_not_refused() {
    let (receiver, headers, body) = signed(RawEvent::new("call.ended", json!({"call_id": 5})).unwrap());
    let Received::Undecodable { error, receipt, .. } =
        received::<allison::Event, _>(&receiver, Arrival::post(&headers), &body, NOW).await.unwrap()
    else {
        panic!("expected data that does not fit");
    };
    assert_eq!((error.event_type().as_str(), error.field()), ("call.ended", "call_id"));
    assert_eq!((error.id(), error.data().get()), (Some(&id("evt_1")), r#"{"call_id":5}"#));
    receipt.commit(NOW).await.unwrap();
}

#[tokio::test]
async fn a_verifier_of_ones_own_accepts_the_old_secret_too() {
    let (_, headers, body) = signed(allison::CallEnded::new("c"));
    let contract = Contract::allison();
    let verifier = contract.verifier(&Secret::generate()).unwrap().with_secret(&secret()).unwrap();
    let receiver = Receiver::verified(contract.clone(), verifier);
    assert!(received::<allison::Event, _>(&receiver, Arrival::post(&headers), &body, NOW).await.is_ok());

    let receiver = Receiver::verified(contract.clone(), contract.verifier(&Secret::generate()).unwrap());
    assert_eq!(
        refused::<allison::Event>(&receiver, &headers, &body, NOW).await.status(),
        StatusCode::UNAUTHORIZED
    );
}

#[test]
fn a_contract_that_signs_nothing_has_no_signed_receiver() {
    let error = Receiver::signed(Contract::nectar_desk(), &secret()).unwrap_err();
    assert_eq!(error.kind(), hookwire::ErrorKind::Unsigned);
    let short: Secret = "whsec_c2hvcnQ=".parse().unwrap();
    assert_eq!(Receiver::signed(Contract::allo(), &short).unwrap_err().kind(), hookwire::ErrorKind::Secret);
}

// Guarded.

#[tokio::test]
async fn a_bearer_token_admits_what_is_unsigned() {
    let receiver = guarded(HeaderGuard::bearer(&token()));
    let Received::Event { envelope, receipt, .. } = received::<allo_v1::Event, _>(
        &receiver,
        Arrival::post(&headers(AUTHORIZATION, &["Bearer a-long-random-token"])),
        BODY,
        NOW,
    )
    .await
    .unwrap() else {
        panic!("expected an event");
    };
    assert_eq!(envelope.id, EventId::of_body(BODY));
    assert_eq!(envelope.created_at, NOW);
    receipt.commit(NOW).await.unwrap();
}

#[tokio::test]
async fn a_guard_admits_exactly_its_secret_shown_exactly_once() {
    const KEY: HeaderName = HeaderName::from_static("x-api-key");
    let bearer = guarded(HeaderGuard::bearer(&token()));
    let api_key = guarded(HeaderGuard::api_key(KEY, &token()));
    for (receiver, name, values, admitted) in [
        (&bearer, AUTHORIZATION, &["Bearer a-long-random-token"][..], true),
        // RFC 9110 section 11.1: the scheme's name is case-insensitive.
        (&bearer, AUTHORIZATION, &["bearer a-long-random-token"], true),
        (&bearer, AUTHORIZATION, &["BEARER a-long-random-token"], true),
        (&bearer, AUTHORIZATION, &["Bearer A-long-random-token"], false),
        (&bearer, AUTHORIZATION, &["Bearer a-long-random-toke"], false),
        (&bearer, AUTHORIZATION, &["Bearer a-long-random-token2"], false),
        (&bearer, AUTHORIZATION, &["Bearer a-long-random-token "], false),
        (&bearer, AUTHORIZATION, &["Bearer"], false),
        (&bearer, AUTHORIZATION, &["Bearer "], false),
        (&bearer, AUTHORIZATION, &["Bear"], false),
        (&bearer, AUTHORIZATION, &[""], false),
        (&bearer, AUTHORIZATION, &[], false),
        (&bearer, AUTHORIZATION, &["a-long-random-token"], false),
        (&bearer, AUTHORIZATION, &["Basic a-long-random-token"], false),
        (&bearer, AUTHORIZATION, &["Bearer a-long-random-token"; 2], false),
        (&bearer, AUTHORIZATION, &["Bearer a-long-random-token", "Bearer x"], false),
        (&bearer, AUTHORIZATION, &["Bearer x", "Bearer a-long-random-token"], false),
        (&bearer, KEY, &["a-long-random-token"], false),
        (&api_key, KEY, &["a-long-random-token"], true),
        (&api_key, KEY, &["A-LONG-RANDOM-TOKEN"], false),
        (&api_key, KEY, &["Bearer a-long-random-token"], false),
        (&api_key, KEY, &["a-long-random-token"; 2], false),
        (&api_key, KEY, &[""], false),
        (&api_key, KEY, &[], false),
        (&api_key, AUTHORIZATION, &["a-long-random-token"], false),
    ] {
        let received =
            received::<allo_v1::Event, _>(receiver, Arrival::post(&headers(name, values)), BODY, NOW)
                .await
                .map(drop);
        match received {
            Ok(()) => assert!(admitted, "{values:?}"),
            Err(rejection) => {
                assert!(!admitted, "{values:?}: {rejection}");
                assert!(matches!(rejection, Rejection::NotAdmitted { .. }));
                assert_eq!(rejection.status(), StatusCode::UNAUTHORIZED);
                assert_eq!(rejection.retry_after(), None);
                assert!(!format!("{rejection} {rejection:?}").contains("token"), "{rejection:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_guard_of_ones_own_sees_path_and_peer() {
    struct Unguessable;

    impl Guard for Unguessable {
        fn name(&self) -> &'static str {
            "unguessable"
        }

        fn admits(&self, arrival: &Arrival<'_>) -> bool {
            arrival.path == Some("/hooks/9f2c") && arrival.peer == Some(IpAddr::V4(Ipv4Addr::LOCALHOST))
        }
    }

    let receiver = guarded(Unguessable);
    let headers = HeaderMap::new();
    let whole = Arrival::post(&headers).with_path("/hooks/9f2c").with_peer(Ipv4Addr::LOCALHOST.into());
    assert!(received::<allo_v1::Event, _>(&receiver, whole, BODY, NOW).await.is_ok());
    let rejection = refused::<allo_v1::Event>(&receiver, &headers, BODY, NOW).await;
    assert_eq!(rejection.to_string(), "request is not admitted by guard `unguessable`");
}

#[tokio::test]
async fn a_guarded_body_that_is_no_event_is_answered_400() {
    let receiver = guarded(HeaderGuard::bearer(&token()));
    let headers = headers(AUTHORIZATION, &["Bearer a-long-random-token"]);
    let rejection = refused::<allo_v1::Event>(&receiver, &headers, b"{}", NOW).await;
    assert_eq!(rejection.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn unguarded_takes_anything_from_anybody() {
    let receiver = Receiver::dangerous_unguarded(Contract::allo_v1());
    assert!(
        received::<allo_v1::Event, _>(&receiver, Arrival::post(&HeaderMap::new()), BODY, NOW).await.is_ok()
    );
    let (_, mut headers, body) = signed(allison::CallEnded::new("c"));
    headers.remove("x-allison-signature");
    let receiver = Receiver::dangerous_unguarded(Contract::allison());
    assert!(received::<allison::Event, _>(&receiver, Arrival::post(&headers), &body, NOW).await.is_ok());
}

// Answers.

#[test]
fn a_request_that_the_sender_should_repeat_is_answered_503_with_a_wait() {
    let unavailable =
        Rejection::from(StoreError::new(hookwire::store::StoreErrorKind::Unavailable, "connection refused"));
    for rejection in [Rejection::InFlight, unavailable] {
        assert_eq!(rejection.status(), StatusCode::SERVICE_UNAVAILABLE, "{rejection}");
        assert_eq!(rejection.retry_after(), Some(Duration::from_secs(5)), "{rejection}");
    }
}

#[test]
fn debug_shows_no_secret() {
    let guard = HeaderGuard::bearer(&token());
    assert!(!format!("{guard:?}").contains("token"), "{guard:?}");
    assert_eq!(guard.name(), "bearer");
    let receiver = guarded(guard);
    assert_eq!(format!("{receiver:?}"), r#"Receiver { source: "allo_v1", .. }"#);
    let named = receiver.with_source("allo_v1:org_1").with_handling_lease(Duration::from_secs(5));
    assert_eq!(format!("{named:?}"), r#"Receiver { source: "allo_v1:org_1", .. }"#);
}

#[test]
fn receivers_are_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    fn sent<T: Send>(_: T) {}
    let receiver = guarded(HeaderGuard::bearer(&token()));
    shared(&receiver);
    let headers = HeaderMap::new();
    sent(received::<allo_v1::Event, _>(&receiver, Arrival::post(&headers), BODY, NOW));
}

// Helpers.

fn signed<T: EventData>(data: T) -> (Receiver, HeaderMap, bytes::Bytes) {
    let contract = Contract::allison();
    let body = contract.encode(&Envelope::from_parts(id("evt_1"), NOW, data)).unwrap();
    let headers = contract.signer(&secret()).unwrap().sign("evt_1", NOW, &body).unwrap();
    (Receiver::signed(contract, &secret()).unwrap(), headers, body)
}

fn guarded(guard: impl Guard + 'static) -> Receiver {
    Receiver::guarded(Contract::allo_v1(), guard)
}

async fn refused<T: EventData>(
    receiver: &Receiver<NoInbox>,
    headers: &HeaderMap,
    body: &[u8],
    now: OffsetDateTime,
) -> Rejection {
    received::<T, _>(receiver, Arrival::post(headers), body, now).await.map(drop).unwrap_err()
}

fn headers(name: HeaderName, values: &[&'static str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(name.clone(), HeaderValue::from_static(value));
    }
    headers
}

fn secret() -> Secret {
    Secret::from_bytes([7; 32])
}

fn token() -> Secret {
    "a-long-random-token".parse().unwrap()
}

fn id(text: &str) -> EventId {
    text.parse().unwrap()
}

const NOW: OffsetDateTime = datetime!(2026-04-17 19:12:03 UTC);
const BODY: &[u8] = br#"{"topic":"CALL_NEW","data":{"id":"c"}}"#;
