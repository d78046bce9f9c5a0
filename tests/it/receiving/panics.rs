//! Panics in the application's own parts: the request is answered, and everything it held is free again.

use std::sync::atomic::{AtomicU32, Ordering};

use hookwire::MemoryStore;
use hookwire::receive::{Admission, Answer, Arrival, Guard, HeaderGuard, Receiver, Rejection, Senders};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::received::{handled, handled_by_any, stored};

use super::{Arrived, NOON, Request, receiver};

/// A guard that panics at its first call.
struct Startled(AtomicU32);

impl Guard for Startled {
    fn name(&self) -> &'static str {
        "startled"
    }

    fn admits(&self, _: &Arrival<'_>) -> bool {
        assert!(self.0.fetch_add(1, Ordering::SeqCst) > 0, "a bug of the guard's");
        true
    }
}

#[tokio::test]
async fn a_guard_that_panics_is_answered_503_and_holds_no_place() {
    let receiver = one_at_once().with_guard(Startled(AtomicU32::new(0)));
    let rejection = answer(&receiver).await.unwrap_err();
    assert_eq!(rejection.to_string(), "guard `startled` panicked");
    assert_repeats(&rejection);
    assert_eq!(answer(&receiver).await.unwrap(), Answer::OK);

    // The check of a ready guard may panic too.
    let checks = AtomicU32::new(0);
    let checked = HeaderGuard::bearer_checked(move |_| {
        assert!(checks.fetch_add(1, Ordering::SeqCst) > 0, "a bug of the check's");
        true
    });
    let receiver = one_at_once().with_guard(checked);
    let rejection = answer(&receiver).await.unwrap_err();
    assert_eq!(rejection.to_string(), "guard `bearer` panicked");
    assert_repeats(&rejection);
    assert_eq!(answer(&receiver).await.unwrap(), Answer::OK);
}

/// Admits no request, and its challenge is not a valid header value.
struct Unspeakable(fn() -> Option<&'static str>);

impl Guard for Unspeakable {
    fn name(&self) -> &'static str {
        "unspeakable"
    }

    fn admits(&self, _: &Arrival<'_>) -> bool {
        false
    }

    fn challenge(&self) -> Option<&'static str> {
        (self.0)()
    }
}

#[tokio::test]
async fn a_guard_whose_challenge_is_not_ascii_or_no_header_or_panics_is_answered_401_all_the_same() {
    let unspeakable: [(fn() -> _, _); 3] = [
        (|| Some(r#"Bearer realm="Büro""#), r#"Bearer realm="Büro""#),
        (|| Some("Bearer realm=\"a\"\r\nX-Mine: 1"), "Webhook"),
        (|| panic!("a bug of the guard's"), "Webhook"),
    ];
    for (challenge, shown) in unspeakable {
        let receiver = one_at_once().with_guard(Unspeakable(challenge));
        let rejection = answer(&receiver).await.unwrap_err();
        let response = receiver.refuse(&rejection).into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()[WWW_AUTHENTICATE], shown);
    }
}

#[tokio::test]
async fn a_key_that_panics_is_answered_503_and_holds_neither_a_place_nor_the_event() {
    let calls = AtomicU32::new(0);
    let receiver = one_at_once().with_key(move |_| {
        assert!(calls.fetch_add(1, Ordering::SeqCst) > 0, "a bug of the key's");
        None
    });
    let rejection = answer(&receiver).await.unwrap_err();
    assert!(matches!(rejection, Rejection::KeyPanicked), "{rejection:?}");
    assert_repeats(&rejection);
    assert_eq!(answer(&receiver).await.unwrap(), Answer::OK);

    let kept = self::receiver().with_key(|_| panic!("a bug of the key's")).with_intake(MemoryStore::new());
    let request = Request::new("evt_1");
    let arrival = Arrival::post(&request.headers);
    let rejection = stored(&kept, arrival, &request.body, NOON).await.unwrap_err();
    assert!(matches!(rejection, Rejection::KeyPanicked), "{rejection:?}");
}

#[tokio::test]
async fn a_guard_of_one_sender_that_panics_keeps_no_request_from_the_others() {
    let startled = || receiver().with_guard(Startled(AtomicU32::new(0)));
    let handle = async |event: Arrived| Ok(event.map(drop)?);
    let request = Request::new("evt_1");
    let arrival = Arrival::post(&request.headers);
    let senders = Senders::new().with_handler(startled(), handle).with_handler(receiver(), handle);
    let answered = handled_by_any(&senders, arrival, &request.body, NOON).await;
    assert_eq!(answered.unwrap(), Answer::OK);
    // If no other sender proves the request, it may have been this sender's.
    let senders = Senders::new().with_handler(startled(), handle);
    let rejection = handled_by_any(&senders, arrival, &request.body, NOON).await.unwrap_err();
    assert_repeats(&rejection);
}

fn one_at_once() -> Receiver<MemoryStore> {
    receiver().with_inbox(MemoryStore::new()).with_admission(Admission::new().with_max_concurrent(1))
}

/// Answers a genuine event, always the same.
async fn answer(receiver: &Receiver<MemoryStore>) -> Result<Answer, Rejection> {
    let request = Request::new("evt_1");
    let mut headers: HeaderMap = request.headers;
    headers.insert("authorization", HeaderValue::from_static("Bearer x"));
    let handle = async |event: Arrived| event.map(drop);
    handled(receiver, Arrival::post(&headers), &request.body, NOON, handle).await
}

fn assert_repeats(rejection: &Rejection) {
    assert_eq!(rejection.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(rejection.retry_after().is_some());
}
