//! Storing a request: verification, the stored data, and the answer.

use hookwire::event::{EnvelopeFormat, Field};
use hookwire::receive::{Answer, Arrival, HeaderGuard, Receiver, Rejection, SecretSource, StoredFirst};
use hookwire::store::{InboxKey, LeaseRequests, StoreErrorKind, StoredRequest};
use hookwire::{Contract, Envelope, EventId, Intake, RawEvent, Scheme, Secret, nectar_desk};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;
use time::OffsetDateTime;

use crate::received::{received, stored};

use super::away::Away;
use super::{Failure, NOW, Request, SECOND, call, event, receiver, secret, signed, store};

#[tokio::test]
async fn a_request_is_kept_with_what_it_takes_to_read_it_and_its_copy_is_a_duplicate() {
    let receiver = receiver(store());
    let request = call("evt_1", NOW);
    assert_eq!(keep(&receiver, &request).await.unwrap(), StoredFirst::New);
    assert_eq!(keep(&receiver, &request).await.unwrap(), StoredFirst::Duplicate);
    assert_eq!(Answer::from(StoredFirst::New), Answer::OK);
    assert_eq!(Answer::from(StoredFirst::Duplicate).status, StatusCode::OK);
    let [kept] = &kept(receiver.intake(), "allison").await[..] else { panic!("one request was kept") };
    assert_eq!(kept.key, InboxKey::new("allison", id("evt_1")));
    assert_eq!(kept.body, request.body);
    assert_eq!((kept.received_at, kept.signed_at), (NOW, Some(NOW)));
    assert_eq!(kept.proof, "signature");
}

#[tokio::test]
async fn a_forged_request_is_not_kept_and_does_not_block_the_real_one() {
    let receiver = receiver(store());
    let mut forged = call("evt_1", NOW);
    forged.headers.insert("x-allison-signature", "v1=00".parse().unwrap());
    let rejection = keep(&receiver, &forged).await.unwrap_err();
    assert_eq!(rejection.status(), StatusCode::UNAUTHORIZED);
    let other = Receiver::signed(Contract::allison(), &Secret::from_random([8; 32]))
        .unwrap()
        .with_intake(receiver.intake().clone());
    assert_eq!(keep(&other, &call("evt_1", NOW)).await.unwrap_err().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(keep(&receiver, &call("evt_1", NOW)).await.unwrap(), StoredFirst::New);
}

#[tokio::test]
async fn what_is_no_event_is_refused_and_not_kept() {
    let receiver = receiver(store()).with_max_body(500);
    for body in [&b""[..], b"[]", b"{}", b"\xff", br#"{"id":"a","id":"a"}"#] {
        let rejection = keep(&receiver, &signed("evt_1", NOW, body.to_vec())).await.unwrap_err();
        assert!(matches!(rejection, Rejection::Malformed(_)), "{rejection}");
        assert_eq!(rejection.status(), StatusCode::BAD_REQUEST);
    }
    let large = keep(&receiver, &signed("evt_1", NOW, vec![b' '; 501])).await.unwrap_err();
    assert_eq!(large.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let request = call("evt_1", NOW);
    let arrival = Arrival::new(&Method::GET, &request.headers);
    let got = stored(&receiver, arrival, &request.body, NOW).await.unwrap_err();
    assert_eq!(got.status(), StatusCode::METHOD_NOT_ALLOWED);
    let mut text = call("evt_1", NOW);
    text.headers.insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(keep(&receiver, &text).await.unwrap_err().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(kept(receiver.intake(), "allison").await.is_empty());
    let retired = receiver.with_retirement();
    assert_eq!(keep(&retired, &request).await.unwrap_err().status(), StatusCode::GONE);
}

#[tokio::test]
async fn data_that_does_not_fit_and_types_that_nobody_knows_are_kept() {
    let receiver = receiver(store());
    let unfit = event("evt_1", "call.ended", json!({"call_id": 7}), NOW);
    assert_eq!(keep(&receiver, &unfit).await.unwrap(), StoredFirst::New);
    let unknown = event("evt_2", "call_order.status_changed", json!([]), NOW);
    assert_eq!(keep(&receiver, &unknown).await.unwrap(), StoredFirst::New);
}

#[tokio::test]
async fn an_intake_that_cannot_be_reached_has_the_sender_repeat() {
    let away = Away::new(store());
    let receiver = receiver(away.clone());
    away.fail("store_requests", StoreErrorKind::Unavailable);
    let rejection = keep(&receiver, &call("evt_1", NOW)).await.unwrap_err();
    assert_eq!(rejection.status(), StatusCode::SERVICE_UNAVAILABLE);
    let answer = Answer::from(&rejection).into_response();
    assert!(answer.headers().contains_key("retry-after"));
    away.come_back();
    assert_eq!(keep(&receiver, &call("evt_1", NOW)).await.unwrap(), StoredFirst::New);
}

#[tokio::test]
async fn requests_are_told_apart_by_the_callers_key_or_their_body_where_no_id_is_sent() {
    let store = store();
    let plain = Receiver::dangerous_unguarded(Contract::nectar_desk()).with_intake(store.clone());
    let body = |text: &str| {
        let contact =
            nectar_desk::Event::Other(RawEvent::new("Contact Created", json!({"id": text})).unwrap());
        let envelope = Envelope::from_parts(id("unused"), NOW, contact);
        let body = Contract::nectar_desk().encode(&envelope).unwrap().to_vec();
        Request { headers: HeaderMap::new(), body }
    };
    assert_eq!(keep(&plain, &body("1")).await.unwrap(), StoredFirst::New);
    assert_eq!(keep(&plain, &body("1")).await.unwrap(), StoredFirst::Duplicate);
    assert_eq!(keep(&plain, &body("2")).await.unwrap(), StoredFirst::New);
    let keyed = plain.with_source("keyed").with_key(|verified| {
        let body: serde_json::Value = serde_json::from_slice(verified.body()).ok()?;
        body["data"]["id"].as_str()?.get(..1)?.parse().ok()
    });
    assert_eq!(keep(&keyed, &body("31")).await.unwrap(), StoredFirst::New);
    assert_eq!(keep(&keyed, &body("32")).await.unwrap(), StoredFirst::Duplicate);
    assert_eq!(keep(&keyed, &body("41")).await.unwrap(), StoredFirst::New);
    let all = kept(&store, "keyed").await;
    assert_eq!(all.iter().map(|kept| kept.key.id.as_str()).collect::<Vec<_>>(), ["3", "4"]);
    assert!(all.iter().all(|kept| kept.event == EventId::of_body(&kept.body)));
    assert_eq!(all[0].proof, "nothing");
}

#[tokio::test]
async fn tenants_share_a_queue_and_no_ids() {
    struct Tenants;

    impl SecretSource for Tenants {
        async fn secrets(&self, _: &str) -> Result<Vec<Secret>, Failure> {
            Ok(vec![secret()])
        }
    }

    let receiver = Receiver::by_tenant(Contract::allison(), Tenants).unwrap().with_intake(store());
    let request = call("evt_1", NOW);
    for (tenant, expected) in
        [("acme", StoredFirst::New), ("other", StoredFirst::New), ("acme", StoredFirst::Duplicate)]
    {
        let arrival = Arrival::post(&request.headers).with_tenant(tenant);
        let told = stored(&receiver, arrival, &request.body, NOW).await.unwrap();
        assert_eq!(told, expected, "{tenant}");
    }
    let sources: Vec<_> =
        kept(receiver.intake(), "allison").await.into_iter().map(|kept| kept.key.source).collect();
    assert_eq!(sources, ["allison/acme".into(), "allison/other".into()]);
}

/// A stored event decodes to the same event as a received one, wherever its parts come from.
#[tokio::test]
async fn what_is_kept_reads_as_what_is_received() {
    const NAMELESS: EnvelopeFormat = EnvelopeFormat::new(&[Field::Type("kind"), Field::Data("body")]);
    let in_the_header = Contract::new("acme", NAMELESS).unwrap().with_scheme(Scheme::STANDARD_WEBHOOKS);
    let in_no_place = Contract::new("acme", NAMELESS).unwrap().with_scheme(Scheme::SLACK);
    let unsigned_id = Contract::allo_v1();
    for contract in [Contract::allison(), Contract::allo(), in_the_header, in_no_place, unsigned_id] {
        let signed_at = NOW - 20 * SECOND;
        let event = RawEvent::new("call.ended", json!({"call_id": "c"})).unwrap();
        let sent = Envelope::from_parts(id("evt_1"), NOW - 90 * SECOND, event);
        let body = contract.encode(&sent).unwrap().to_vec();
        let (plain, headers) = match contract.scheme() {
            Some(_) => {
                let signer = contract.signer(&secret()).unwrap();
                let receiver = Receiver::signed(contract.clone(), &secret()).unwrap();
                (receiver, signer.sign("evt_1", signed_at, &body).unwrap())
            }
            None => {
                let mut headers = HeaderMap::new();
                headers.insert(AUTHORIZATION, "Bearer word".parse().unwrap());
                let guard = HeaderGuard::bearer(&"word".parse().unwrap());
                (Receiver::guarded(contract.clone(), guard), headers)
            }
        };
        let hookwire::receive::Received::Event { envelope, receipt, .. } =
            received::<RawEvent, _>(&plain, Arrival::post(&headers), &body, NOW).await.unwrap()
        else {
            panic!("expected an event");
        };
        receipt.commit(NOW).await.unwrap();
        let receiver = plain.with_intake(store());
        let request = Request { headers, body };
        keep(&receiver, &request).await.unwrap();
        let [kept] = &kept(receiver.intake(), contract.name()).await[..] else { panic!("one was kept") };
        let read: Envelope<RawEvent> = contract.decode(&kept.verified()).unwrap();
        assert_eq!(read.id, envelope.id, "{contract:?}");
        assert_eq!(read.created_at, envelope.created_at, "{contract:?}");
        assert_eq!(read.version, envelope.version);
        assert_eq!(read.data.data().get(), envelope.data.data().get());
        assert_eq!(kept.proof, if contract.scheme().is_some() { "signature" } else { "bearer" });
    }
}

#[tokio::test]
async fn a_body_is_in_no_debug_text() {
    let receiver = receiver(store());
    keep(&receiver, &event("evt_1", "call.ended", json!({"call_id": "MARKER"}), NOW)).await.unwrap();
    let taken =
        receiver.intake().lease_requests(&LeaseRequests::new("allison", SECOND, 1, NOW)).await.unwrap();
    assert!(!format!("{taken:?}").contains("MARKER"));
}

async fn keep<I: Intake>(receiver: &Receiver<I>, request: &Request) -> Result<StoredFirst, Rejection> {
    stored(receiver, Arrival::post(&request.headers), &request.body, NOW).await
}

/// Leases and returns every due request of this queue.
async fn kept(intake: &impl Intake, queue: &str) -> Vec<StoredRequest> {
    let at: OffsetDateTime = NOW + SECOND;
    let mut taken =
        intake.lease_requests(&LeaseRequests::new(queue, SECOND, 100, at)).await.unwrap().requests;
    taken.sort_by_key(|taken| taken.key.clone());
    taken.into_iter().map(|taken| taken.row).collect()
}

fn id(text: &str) -> EventId {
    text.parse().unwrap()
}
