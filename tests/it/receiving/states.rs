//! The states of a request: the data of each, and the judgement of the head.

use hookwire::receive::{Admission, Answer, Arrival, Received, Receiver, Rejection};
use hookwire::signature::Proof;
use hookwire::{MemoryStore, allison};
use http::{HeaderValue, Method, StatusCode};
use std::sync::Arc;

use super::{NOON, Request, receiver};

#[tokio::test]
async fn a_place_is_held_from_the_admission_until_the_receipt_is_used() {
    let receiver = one_at_once();
    let request = Request::new("evt_1");
    let admit = || receiver.admit(Arrival::post(&request.headers), NOON);
    let is_free = || admit().is_ok();

    let admitted = admit().unwrap();
    assert!(!is_free());
    drop(admitted);
    assert!(is_free());

    drop(admit().unwrap().prove(b"another body", NOON).await.unwrap_err());
    assert!(is_free());

    let proven = admit().unwrap().prove(&request.body, NOON).await.unwrap();
    assert!(!is_free());
    assert!(matches!(proven.verified().by(), Proof::Signature(_)));
    assert_eq!(proven.verified().body(), request.body);
    let Received::Event { receipt, .. } = proven.receive::<allison::Event>().await.unwrap() else {
        panic!("it is new")
    };
    assert!(!is_free());
    assert!(receipt.commit(NOON).await.unwrap());
    assert!(is_free());

    let proven = admit().unwrap().prove(&request.body, NOON).await.unwrap();
    let copy = proven.receive::<allison::Event>().await.unwrap();
    assert!(matches!(copy, Received::Duplicate { .. }));
    assert!(is_free());
}

#[tokio::test]
async fn a_receipt_of_a_shared_receiver_goes_where_it_likes() {
    let receiver = Arc::new(one_at_once());
    let request = Request::new("evt_1");
    let admitted = receiver.admit_shared(Arrival::post(&request.headers), NOON).unwrap();
    let proven = admitted.prove(&request.body, NOON).await.unwrap();
    let Received::Event { receipt, .. } = proven.receive::<allison::Event>().await.unwrap() else {
        panic!("it is new")
    };
    drop(request);
    let inbox = Arc::downgrade(&receiver);
    drop(receiver);
    let committed = tokio::spawn(async move { receipt.commit(NOON).await.unwrap() });
    assert!(committed.await.unwrap());
    assert!(inbox.upgrade().is_none(), "nothing holds the receiver any more");
}

#[tokio::test]
async fn an_event_is_released_where_its_receipt_is_dropped_if_that_is_asked_for() {
    let receiver = Arc::new(super::receiver().with_inbox(MemoryStore::new()));
    let request = Request::new("evt_1");
    let receive = async || {
        let admitted = receiver.admit_shared(Arrival::post(&request.headers), NOON)?;
        admitted.prove(&request.body, NOON).await?.receive::<allison::Event>().await
    };
    let receipt = async || match receive().await.unwrap() {
        Received::Event { receipt, .. } => receipt,
        other => panic!("{other:?}"),
    };
    drop(receipt().await.with_release_on_drop(|release| drop(tokio::spawn(release))));
    tokio::task::yield_now().await;
    // The event is free. If the receipt is simply dropped, it is not.
    drop(receipt().await);
    tokio::task::yield_now().await;
    assert!(matches!(receive().await.unwrap_err(), Rejection::InFlight));
}

#[test]
fn the_length_of_a_body_is_judged_before_it_is_read() {
    let receiver = receiver().with_max_body(100);
    let mut headers = Request::new("evt_1").headers;
    let limit = |arrival: Arrival<'_>| match receiver.admit(arrival, NOON) {
        Ok(_) => None,
        Err(Rejection::TooLarge { limit, .. }) => Some(limit),
        Err(other) => panic!("{other}"),
    };
    assert_eq!(limit(Arrival::post(&headers)), None, "nothing is known of it");
    assert_eq!(limit(Arrival::post(&headers).with_body_length(101)), Some(100));
    headers.insert("content-length", HeaderValue::from_static("101"));
    assert_eq!(limit(Arrival::post(&headers)), Some(100));
    assert_eq!(limit(Arrival::post(&headers).with_body_length(100)), None, "the server knows better");
    headers.insert("content-length", HeaderValue::from_static("many"));
    assert_eq!(limit(Arrival::post(&headers)), None);
}

#[test]
fn an_arrival_is_made_of_a_request_and_shows_no_credentials() {
    let request = http::Request::put("https://hooks.example/hooks/s3cret?token=s3cret")
        .header("authorization", "Bearer s3cret")
        .body(())
        .unwrap();
    let arrival = Arrival::from(&request).with_url("https://s3cret.example").with_tenant("acme");
    assert_eq!((arrival.method, arrival.tenant), (&Method::PUT, Some("acme")));
    assert_eq!((arrival.path, arrival.query), (Some("/hooks/s3cret"), Some("token=s3cret")));
    assert_eq!(arrival.url, Some("https://s3cret.example"));
    let shown = format!("{arrival:?}");
    assert!(shown.contains("acme") && !shown.contains("s3cret"), "{shown}");
    let (parts, ()) = request.into_parts();
    assert_eq!(Arrival::from(&parts).query, Some("token=s3cret"));
    let post = Arrival::post(&parts.headers);
    assert_eq!((post.method, post.path), (&Method::POST, None));
}

#[test]
fn an_answer_has_each_header_once_and_a_body() {
    let name = http::header::CONTENT_TYPE;
    let answer = Answer::new(StatusCode::OK)
        .with_header(name.clone(), HeaderValue::from_static("text/html"))
        .with_header(name.clone(), HeaderValue::from_static("text/plain"))
        .with_body("challenge");
    assert_eq!(answer.header(&name).unwrap(), "text/plain");
    let response = answer.into_response();
    assert_eq!(response.headers().get_all(&name).iter().count(), 1);
    assert_eq!(response.body(), "challenge");
    assert!(Answer::OK.into_response().headers().is_empty());
}

fn one_at_once() -> Receiver<MemoryStore> {
    receiver().with_inbox(MemoryStore::new()).with_admission(Admission::new().with_max_concurrent(1))
}
