//! The rules of [`Intake`] about requests that were given up.

use std::time::Duration;

use super::intake_steps::*;
use super::steps::{LEASE, at};
use crate::store::{
    GivenUpRequest, InboxKey, Intake, LeaseRequests, LeasedRequests, Settled, Stored, StoredRequest,
};

/// A request that was given up is listed with its reason.
pub async fn a_request_that_is_given_up_stays_with_its_reason(intake: &impl Intake) {
    store(intake, "a", at(0)).await;
    let first = lease_one(intake, at(0)).await;
    settle(intake, &first, at(1), End::Retry(Duration::ZERO, "not yet")).await;
    let second = lease_one(intake, at(1)).await;
    settle(intake, &second, at(2), End::GiveUp("the \"disk\" is full \u{2713}")).await;
    let expected = GivenUpRequest::new(first.row, 2, at(2), "the \"disk\" is full \u{2713}");
    assert_eq!(given_up(intake).await, [expected]);
    assert!(lease(intake, at(0) + KEEP).await.is_empty());
    assert_eq!(next_due(intake, at(2)).await, None);
}

/// A request that kills its worker is given up in the end.
pub async fn a_request_without_an_attempt_left_is_given_up_when_it_is_leased(intake: &impl Intake) {
    let take = async |now| {
        let wanted = LeaseRequests::new(QUEUE, LEASE, 10, now).with_max_attempts(2);
        intake.lease_requests(&wanted).await.expect("intake answers")
    };
    store(intake, "a", at(0)).await;
    store(intake, "b", at(0)).await;
    let LeasedRequests { requests, .. } = take(at(0)).await;
    settle(intake, &requests[1], at(0), End::Retry(LEASE, "a first reason")).await;
    assert_eq!(take(at(0) + LEASE).await.requests.len(), 2);
    store(intake, "c", at(0)).await;
    let last = take(at(0) + 2 * LEASE).await;
    assert_eq!(names(&last.requests), ["c"]);
    assert_eq!(last.given_up, [key("a"), key("b")]);
    let results = given_up(intake).await;
    assert_eq!(results.iter().map(|request| request.attempts).collect::<Vec<_>>(), [2, 2]);
    assert!(!results[0].reason.is_empty());
    assert!(results[1].reason.ends_with("a first reason"), "{}", results[1].reason);
    assert_eq!(results[0].given_up_at, at(0) + 2 * LEASE);
    // Its lease ended, and nothing may be said about it any more.
    assert_eq!(settle(intake, &requests[0], at(200), End::Done).await, Settled::Stale);
}

/// Requests that were given up are listed in pages, in the order of their keys.
pub async fn given_up_requests_are_listed_by_their_keys_in_pages(intake: &impl Intake) {
    for name in ["c", "a", "B", "d", "b"] {
        store(intake, name, at(0)).await;
    }
    store_one(intake, &StoredRequest::new(InboxKey::new("Z", id("z")), at(0), body("z")).with_queue(QUEUE))
        .await;
    for leased in lease(intake, at(0)).await {
        if leased.key != key("d") {
            give_up(intake, &leased).await;
        }
    }
    let mut after = None;
    for expected in [&["z", "B"][..], &["a", "b"], &["c"], &[]] {
        let page = intake.given_up(QUEUE, after.as_ref(), 2).await.expect("intake answers");
        let names: Vec<_> = page.iter().map(|given_up| given_up.request.key.id.as_str()).collect();
        assert_eq!(names, expected);
        after = page.last().map(|last| last.request.key.clone()).or(after);
    }
}

/// A request that is put back has all of its attempts before it.
pub async fn a_given_up_request_that_is_put_back_is_new_again(intake: &impl Intake) {
    store(intake, "a", at(0)).await;
    let leased = lease_one(intake, at(0)).await;
    assert!(!intake.put_back(&key("a"), at(1)).await.expect("intake answers"), "it is being handled");
    give_up(intake, &leased).await;
    assert!(!intake.put_back(&key("b"), at(1)).await.expect("intake answers"));
    assert!(intake.put_back(&key("a"), at(5)).await.expect("intake answers"));
    assert!(!intake.put_back(&key("a"), at(5)).await.expect("intake answers"));
    assert!(given_up(intake).await.is_empty());
    assert_eq!(settle(intake, &leased, at(5), End::Done).await, Settled::Stale);
    assert!(lease(intake, at(4)).await.is_empty());
    let again = lease_one(intake, at(5)).await;
    assert_eq!((again.attempt, again.first_attempt_at), (1, Some(at(5))));
    assert_eq!(again.row, leased.row);
}

/// A request that is closed is done, and remembered.
pub async fn a_given_up_request_that_is_closed_is_done(intake: &impl Intake) {
    let close = async |name| intake.close_given_up(&key(name), KEEP, at(1)).await.expect("intake answers");
    store(intake, "a", at(0)).await;
    assert!(!close("a").await);
    let leased = lease_one(intake, at(0)).await;
    give_up(intake, &leased).await;
    assert!(close("a").await);
    assert!(!close("a").await && !close("b").await);
    assert!(given_up(intake).await.is_empty());
    assert_eq!(store_one(intake, &request("a", at(2))).await, Stored::Duplicate);
    assert_eq!(prune(intake, at(1) + KEEP, 10).await, 1);
    assert_eq!(store_one(intake, &request("a", at(2))).await, Stored::New);
}

/// A request that was given up for long enough is done as one that was closed, the oldest first.
pub async fn a_given_up_request_ends_after_its_age_and_no_earlier(intake: &impl Intake) {
    for (name, second) in [("evt_1", 1), ("evt_2", 2), ("evt_3", 3)] {
        store(intake, name, at(0)).await;
        let leased = lease_one(intake, at(0)).await;
        assert_eq!(settle(intake, &leased, at(second), End::GiveUp("no")).await, Settled::Done);
    }
    let expire = async |queue: &str, limit, now| {
        let age = Duration::from_secs(60);
        let ended = intake.expire_given_up(queue, age, KEEP, limit, now).await.expect("intake answers");
        ended.into_iter().map(|key| key.id.to_string()).collect::<Vec<_>>()
    };
    assert!(expire(QUEUE, 10, at(60)).await.is_empty(), "the first was given up at second 1");
    assert!(expire("another queue", 10, at(100)).await.is_empty());
    assert_eq!(expire(QUEUE, 1, at(62)).await, ["evt_1"]);
    assert_eq!(expire(QUEUE, 10, at(62)).await, ["evt_2"]);
    assert!(expire(QUEUE, 10, at(62)).await.is_empty());
    assert_eq!(given_up(intake).await.len(), 1);
    let copy = request("evt_1", at(70));
    assert_eq!(store_one(intake, &copy).await, Stored::Duplicate, "it is remembered");
    assert!(!intake.put_back(&copy.key, at(100)).await.expect("intake answers"));
    assert_eq!(prune(intake, at(62) + KEEP, 10).await, 2);
}
