//! Admission: the limits of concurrent requests and of their body bytes.

use std::sync::Arc;
use std::time::Duration;

use hookwire::receive::{Admission, Answer, Arrival, Receiver, Rejection, Senders};
use hookwire::subscription::Rate;
use http::{HeaderMap, StatusCode};

use super::{Arrived, NOON, Request, answer, answer_at, receiver};
use crate::received::handled;

#[tokio::test]
async fn more_than_are_handled_at_once_are_answered_429_and_told_to_wait() {
    let receiver = Arc::new(receiver().with_admission(Admission::new().with_max_concurrent(2)));
    let (let_go, hold) = tokio::sync::watch::channel(false);
    let handling: Vec<_> = (0..2)
        .map(|number| {
            let (receiver, mut hold) = (Arc::clone(&receiver), hold.clone());
            tokio::spawn(async move {
                let request = Request::new(&format!("evt_{number}"));
                let arrival = Arrival::post(&request.headers);
                let handle = async |_: Arrived| hold.wait_for(|go| *go).await.map(drop);
                handled(&receiver, arrival, &request.body, NOON, handle).await.unwrap()
            })
        })
        .collect();
    tokio::task::yield_now().await;
    let request = Request::new("evt_3");
    let arrival = Arrival::post(&request.headers);
    // A refused request takes no place.
    for _ in 0..2 {
        let rejection = answer(&receiver, &arrival, b"not even read").await.unwrap_err();
        assert_eq!(rejection.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(rejection.retry_after().unwrap() > Duration::ZERO);
    }
    let_go.send(true).unwrap();
    for handled in handling {
        assert_eq!(handled.await.unwrap(), Answer::OK);
    }
    assert_eq!(answer(&receiver, &arrival, &request.body).await.unwrap(), Answer::OK);
}

#[tokio::test]
async fn a_rate_is_kept_before_anything_is_verified() {
    let admission = Admission::new().with_rate(Rate::new(0.5, 2).unwrap());
    let receiver = receiver().with_admission(admission);
    let headers = HeaderMap::new();
    let arrival = Arrival::post(&headers);
    for _ in 0..2 {
        let rejection = answer(&receiver, &arrival, b"").await.unwrap_err();
        assert_eq!(rejection.status(), StatusCode::UNAUTHORIZED);
    }
    let rejection = answer(&receiver, &arrival, b"").await.unwrap_err();
    assert_eq!(rejection.status(), StatusCode::TOO_MANY_REQUESTS);
    let response = Answer::from(&rejection).into_response();
    assert_eq!(response.headers()["retry-after"], "3", "whole seconds, rounded up");
    let wait = rejection.retry_after().unwrap();
    let later = NOON + wait;
    let set_back = later - Duration::from_secs(86_400);
    // One request is admitted after the wait. Then the clock jumps back by a day, and the next request still
    // waits only as long.
    for (now, status) in [
        (later, StatusCode::UNAUTHORIZED),
        (set_back, StatusCode::TOO_MANY_REQUESTS),
        (set_back + wait, StatusCode::UNAUTHORIZED),
    ] {
        let rejection = answer_at(&receiver, &arrival, b"", now).await.unwrap_err();
        assert_eq!(rejection.status(), status, "{now}");
    }
}

#[test]
fn requests_at_once_are_bounded_by_default() {
    let (receiver, request) = (receiver(), Request::new("evt_1"));
    let admit = || receiver.admit(Arrival::post(&request.headers), NOON);
    let mut admitted: Vec<_> = (0..4_096).map(|_| admit().unwrap()).collect();
    assert!(matches!(admit().unwrap_err(), Rejection::Busy { .. }));
    admitted.pop();
    drop(admit().unwrap());
}

#[test]
fn bodies_in_flight_are_bounded_by_default() {
    let (receiver, request) = (receiver(), Request::new("evt_1"));
    let admit = || receiver.admit(Arrival::post(&request.headers), NOON).unwrap();
    let mut held = Vec::new();
    let is_full = (0..4_096).any(|_| {
        let mut admitted = admit();
        let accepted = admitted.accept(MIB);
        held.push(admitted);
        accepted.is_err()
    });
    assert!(is_full);
    // The limit is 64 MiB, and each request counts 16 KiB more than its body.
    assert_eq!(held.len() - 1, 65);
}

#[test]
fn large_bodies_keep_out_large_bodies_and_no_small_ones() {
    let admission = Admission::new().with_max_bytes(100 * KIB);
    let (receiver, request) = (receiver().with_admission(admission), Request::new("evt_1"));
    let admit = || receiver.admit(Arrival::post(&request.headers), NOON).unwrap();
    let mut first = admit();
    first.accept(10 * KIB).unwrap();
    first.accept(70 * KIB).unwrap();
    let mut second = admit();
    second.accept(16 * KIB).unwrap();
    let rejection = second.accept(60 * KIB).unwrap_err();
    assert_eq!(rejection.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(rejection.retry_after().is_some());
    // The refused bytes do not count.
    second.accept(36 * KIB).unwrap();
    assert!(second.accept(1).is_err());
    admit().accept(16 * KIB).unwrap();
    drop(first);
    second.accept(64 * KIB).unwrap();
    drop(second);
    admit().accept(116 * KIB).unwrap();
    assert!(admit().accept(117 * KIB).is_err());
}

#[tokio::test]
async fn bytes_count_until_the_event_is_handled() {
    let admission = Admission::new().with_max_bytes(0);
    let (receiver, request) = (receiver().with_admission(admission), Request::new("evt_1"));
    let mut admitted = receiver.admit(Arrival::post(&request.headers), NOON).unwrap();
    admitted.accept(16 * KIB).unwrap();
    assert!(admitted.accept(1).is_err());
    let full = Admission::new().with_max_bytes(1);
    let receiver = super::receiver().with_admission(full);
    let accept = |bytes| {
        let mut admitted = receiver.admit(Arrival::post(&request.headers), NOON).unwrap();
        admitted.accept(bytes).map(|()| admitted)
    };
    let proven = accept(16 * KIB + 1).unwrap().prove(&request.body, NOON).await.unwrap();
    assert!(accept(16 * KIB + 1).is_err(), "another one is proven and not handled");
    proven.handle(async |event: Arrived| event.map(drop)).await.unwrap();
    assert!(accept(16 * KIB + 1).is_ok());
}

#[test]
fn a_body_that_is_too_long_is_refused_by_the_pieces_that_arrive() {
    let receiver: Receiver = receiver().with_max_body(100);
    let request = Request::new("evt_1");
    let mut admitted = receiver.admit(Arrival::post(&request.headers), NOON).unwrap();
    admitted.accept(60).unwrap();
    assert!(matches!(admitted.accept(41).unwrap_err(), Rejection::TooLarge { limit: 100, .. }));
    admitted.accept(40).unwrap();
    drop(admitted);

    // Several senders together accept as much as the largest of them.
    let handle = async |event: Arrived| Ok(event.map(drop)?);
    let senders = Senders::new().with_handler(receiver, handle).with_handler(super::receiver(), handle);
    let mut admitted = senders.admit(Arrival::post(&request.headers), NOON).unwrap();
    admitted.accept(MIB).unwrap();
    assert!(matches!(admitted.accept(1).unwrap_err(), Rejection::TooLarge { limit: MIB, .. }));
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
