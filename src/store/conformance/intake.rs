//! The rules of [`Intake`].

use std::time::Duration;

use bytes::Bytes;

use super::intake_steps::*;
use super::steps::{LEASE, at, both};
use crate::signature::Proof;
use crate::store::{
    InboxKey, Intake, Lease, LeaseRequests, NO_ATTEMPT_LEFT, Settled, Stored, StoredRequest, WaitingRequests,
};

/// Every part of a request is read back, also a body that is no text.
pub async fn a_request_is_leased_as_it_was_stored(intake: &impl Intake) {
    let body = Bytes::from_iter(0..=u8::MAX);
    let key = InboxKey::new("allison/\u{c4} \"'\\%_{}[]", id("evt_'\"\\%"));
    let request = StoredRequest::new(key, at(0), body)
        .with_queue("queue of '\"\\ allison")
        .with_event(id("evt_2"))
        .with_proof("guard \u{2713}", Some(at(-3)));
    assert_eq!(store_one(intake, &request).await, Stored::New);
    let leased = intake
        .lease_requests(&LeaseRequests::new(&request.queue, LEASE, 10, at(1)))
        .await
        .expect("intake answers");
    let [ref leased] = leased.requests[..] else { panic!("one request was kept: {leased:?}") };
    assert!(leased.row == request, "it came back changed: {:?}", leased.row);
    assert_eq!((leased.attempt, leased.first_attempt_at), (1, Some(at(1))));
    let verified = leased.verified();
    assert_eq!((verified.id(), verified.by()), (Some("evt_2"), Proof::Stored));
}

/// A copy is a duplicate in every state of the first request.
pub async fn a_copy_of_a_stored_request_is_a_duplicate_and_changes_nothing(intake: &impl Intake) {
    let copy = StoredRequest::new(key("a"), at(1), Bytes::from_static(b"another body"));
    store(intake, "a", at(0)).await;
    assert_eq!(store_one(intake, &copy).await, Stored::Duplicate);
    let leased = lease_one(intake, at(1)).await;
    assert_eq!(leased.body, body("a"));
    assert_eq!(store_one(intake, &copy).await, Stored::Duplicate);
    settle(intake, &leased, at(1), End::Retry(Duration::ZERO, "no")).await;
    assert_eq!(store_one(intake, &copy).await, Stored::Duplicate);
    let leased = lease_one(intake, at(1)).await;
    settle(intake, &leased, at(1), End::GiveUp("no")).await;
    assert_eq!(store_one(intake, &copy).await, Stored::Duplicate);
    assert!(intake.close_given_up(&key("a"), KEEP, at(1)).await.expect("intake answers"));
    assert_eq!(store_one(intake, &copy).await, Stored::Duplicate);
    assert!(lease(intake, at(2)).await.is_empty());
}

/// One of several copies is new, in one batch or in two batches at once.
pub async fn one_of_copies_that_are_stored_together_is_new(intake: &impl Intake) {
    let (a, b) = (request("a", at(0)), request("b", at(0)));
    let results = intake.store_requests(&[b.clone(), a.clone(), b.clone()]).await.expect("intake answers");
    assert_eq!(results, [Stored::New, Stored::New, Stored::Duplicate]);
    let c = request("c", at(0));
    let (one, two) = both(store_one(intake, &c), store_one(intake, &c)).await;
    assert!(matches!((one, two), (Stored::New, Stored::Duplicate) | (Stored::Duplicate, Stored::New)));
    let mut leased = lease(intake, at(0)).await;
    leased.sort_by_key(|leased| leased.key.clone());
    assert_eq!(names(&leased), ["a", "b", "c"]);
}

/// A request says under which other ids, and since when, an equal one makes it a copy.
pub async fn a_copy_under_another_id_is_a_duplicate_for_as_long_as_the_request_says(intake: &impl Intake) {
    let copy =
        |name, second, since| request(name, at(second)).with_copies(vec![id("a"), id("none")], at(since));
    assert_eq!(store_one(intake, &copy("a", 10, 0)).await, Stored::New);
    // It waits, is leased, was given up, or is done.
    assert_eq!(store_one(intake, &copy("b", 11, 9)).await, Stored::Duplicate);
    let taken = lease_one(intake, at(11)).await;
    assert_eq!(store_one(intake, &copy("b", 12, 9)).await, Stored::Duplicate);
    give_up(intake, &taken).await;
    assert_eq!(store_one(intake, &copy("b", 13, 9)).await, Stored::Duplicate);
    assert!(intake.close_given_up(&key("a"), KEEP, at(13)).await.expect("intake answers"));
    assert_eq!(store_one(intake, &copy("b", 14, 9)).await, Stored::Duplicate);
    assert!(lease(intake, at(14)).await.is_empty());
    // Another source has copies of its own.
    let other = InboxKey::new("other source", id("b"));
    let other =
        StoredRequest::new(other, at(14), body("b")).with_queue(QUEUE).with_copies(vec![id("a")], at(9));
    assert_eq!(store_one(intake, &other).await, Stored::New);
    // In one batch: the first arrived too early, and one is no copy of anything.
    let batch = [copy("c", 70, 10), request("d", at(70)), copy("e", 70, 9)];
    let told = intake.store_requests(&batch).await.expect("intake answers");
    assert_eq!(told, [Stored::New, Stored::New, Stored::Duplicate]);
    let mut taken = lease(intake, at(70)).await;
    taken.sort_by_key(|taken| taken.key.id.clone());
    assert_eq!(names(&taken), ["b", "c", "d"]);
}

/// An id is unique within a source.
pub async fn the_same_id_of_two_sources_is_two_requests(intake: &impl Intake) {
    store(intake, "a", at(0)).await;
    let other =
        StoredRequest::new(InboxKey::new("other source", id("a")), at(0), body("a")).with_queue(QUEUE);
    assert_eq!(store_one(intake, &other).await, Stored::New);
    assert_eq!(lease(intake, at(0)).await.len(), 2);
}

/// Workers lease the requests of their queue alone.
pub async fn a_request_is_its_queues_own(intake: &impl Intake) {
    store(intake, "a", at(0)).await;
    let other = request("b", at(0)).with_queue("other queue");
    store_one(intake, &other).await;
    assert_eq!(names(&lease(intake, at(0)).await), ["a"]);
    assert_eq!(next_due(intake, at(0)).await, Some(LEASE));
    let leased = intake
        .lease_requests(&LeaseRequests::new("other queue", LEASE, 10, at(0)))
        .await
        .expect("intake answers");
    assert_eq!(names(&leased.requests), ["b"]);
    give_up(intake, &leased.requests[0]).await;
    assert!(given_up(intake).await.is_empty());
    assert!(intake.next_due("third queue", at(0)).await.expect("intake answers").is_none());
}

/// The longest due requests are leased first, and no more than were asked for.
pub async fn the_longest_due_request_is_leased_first(intake: &impl Intake) {
    for (name, second) in [("a", 3), ("b", 1), ("c", 2), ("d", 9)] {
        store(intake, name, at(second)).await;
    }
    let some =
        intake.lease_requests(&LeaseRequests::new(QUEUE, LEASE, 2, at(5))).await.expect("intake answers");
    assert_eq!(names(&some.requests), ["b", "c"]);
    let none =
        intake.lease_requests(&LeaseRequests::new(QUEUE, LEASE, 0, at(5))).await.expect("intake answers");
    assert!(none.requests.is_empty());
    assert_eq!(names(&lease(intake, at(5)).await), ["a"]);
}

/// A worker hears how long it may rest.
pub async fn the_next_due_time_is_reported(intake: &impl Intake) {
    assert_eq!(next_due(intake, at(0)).await, None);
    store(intake, "a", at(10)).await;
    assert_eq!(next_due(intake, at(4)).await, Some(Duration::from_secs(6)));
    assert_eq!(next_due(intake, at(10)).await, Some(Duration::ZERO));
    assert_eq!(next_due(intake, at(11)).await, Some(Duration::ZERO));
    let leased = lease_one(intake, at(11)).await;
    assert_eq!(next_due(intake, at(11)).await, Some(LEASE));
    settle(intake, &leased, at(12), End::Done).await;
    assert_eq!(next_due(intake, at(12)).await, None);
}

/// An operator hears how many requests wait, and since when.
pub async fn waiting_requests_are_counted_with_the_age_of_the_oldest(intake: &impl Intake) {
    let waiting =
        async |limit, second| intake.waiting(QUEUE, limit, at(second)).await.expect("intake answers");
    assert_eq!(waiting(10, 0).await, WaitingRequests::new(0, None));
    for (name, second) in [("a", 1), ("b", 4), ("c", 6)] {
        store(intake, name, at(second)).await;
    }
    store_one(intake, &request("d", at(0)).with_queue("other queue")).await;
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(waiting(10, 10).await, WaitingRequests::new(3, seconds(9)));
    assert_eq!(waiting(2, 10).await, WaitingRequests::new(2, seconds(9)));
    // A leased request counts, and so does one that waits for its next attempt.
    let some = intake.lease_requests(&LeaseRequests::new(QUEUE, LEASE, 1, at(10))).await;
    let some = some.expect("intake answers").requests;
    assert_eq!(waiting(10, 10).await, WaitingRequests::new(3, seconds(9)));
    settle(intake, &some[0], at(10), End::Retry(Duration::from_secs(60), "no")).await;
    assert_eq!(waiting(10, 11).await, WaitingRequests::new(3, seconds(10)));
    let rest = lease(intake, at(11)).await;
    settle(intake, &rest[0], at(11), End::Done).await;
    give_up(intake, &rest[1]).await;
    assert_eq!(waiting(10, 11).await, WaitingRequests::new(1, seconds(10)));
}

/// A leased request is leased again when its lease ends, so that a worker that crashed loses nothing.
pub async fn a_leased_request_is_nobody_elses_until_its_lease_ends(intake: &impl Intake) {
    store(intake, "a", at(0)).await;
    let first = lease_one(intake, at(0)).await;
    assert!(lease(intake, at(0) + LEASE - Duration::from_micros(1)).await.is_empty());
    let second = lease_one(intake, at(0) + LEASE).await;
    assert!(first.lease < second.lease);
    assert_eq!((second.attempt, second.first_attempt_at), (2, Some(at(0))));
}

/// A call leases a request once, even for a lease that ends at once.
pub async fn a_request_is_leased_once_by_a_call_whatever_its_lease(intake: &impl Intake) {
    store(intake, "a", at(0)).await;
    let brief = LeaseRequests::new(QUEUE, Duration::ZERO, 10, at(0));
    for attempt in 1..=2 {
        let leased = intake.lease_requests(&brief).await.expect("intake answers").requests;
        assert_eq!(leased.iter().map(|leased| leased.attempt).collect::<Vec<_>>(), [attempt]);
    }
}

/// Two calls at once lease different requests, however they interleave.
pub async fn two_leases_at_once_share_nothing(intake: &impl Intake) {
    let requests: Vec<_> = (0..20).map(|number| request(&format!("r{number}"), at(0))).collect();
    intake.store_requests(&requests).await.expect("intake answers");
    let wish = LeaseRequests::new(QUEUE, LEASE, 15, at(0));
    let (one, two) = both(intake.lease_requests(&wish), intake.lease_requests(&wish)).await;
    let mut leased = one.expect("intake answers").requests;
    leased.extend(two.expect("intake answers").requests);
    // A request that one of them held when the other looked is left for the next.
    leased.extend(lease(intake, at(0)).await);
    assert_eq!(names(&leased).len(), 20);
    leased.sort_by_key(|leased| leased.key.clone());
    leased.dedup_by_key(|leased| leased.key.clone());
    assert_eq!(leased.len(), 20);
}

/// Copies of a request that is done are duplicates for as long as it is remembered.
pub async fn a_request_that_is_done_is_remembered_and_not_leased_again(intake: &impl Intake) {
    store(intake, "a", at(0)).await;
    let leased = lease_one(intake, at(0)).await;
    assert_eq!(settle(intake, &leased, at(1), End::Done).await, Settled::Done);
    assert!(lease(intake, at(1) + KEEP + LEASE).await.is_empty());
    let before = at(1) + KEEP - Duration::from_secs(1);
    assert_eq!(store_one(intake, &request("a", before)).await, Stored::Duplicate);
    assert_eq!(store_one(intake, &request("a", at(1) + KEEP)).await, Stored::New);
    let again = lease_one(intake, at(1) + KEEP).await;
    assert!(leased.lease < again.lease);
    assert_eq!((again.attempt, again.row.body), (1, body("a")));
}

/// A retry is due after its delay, and no earlier.
pub async fn a_request_that_failed_is_leased_again_after_its_delay(intake: &impl Intake) {
    store(intake, "a", at(0)).await;
    let leased = lease_one(intake, at(0)).await;
    settle(intake, &leased, at(2), End::Retry(Duration::from_secs(10), "no")).await;
    assert!(lease(intake, at(12) - Duration::from_micros(1)).await.is_empty());
    let again = lease_one(intake, at(12)).await;
    assert_eq!((again.attempt, again.first_attempt_at), (2, Some(at(0))));
    assert_eq!(again.row, leased.row);
}

/// A request that is handed back is as if it had not been leased.
pub async fn a_request_handed_back_is_due_at_once_and_counts_no_attempt(intake: &impl Intake) {
    store(intake, "a", at(0)).await;
    let leased = lease_one(intake, at(0)).await;
    settle(intake, &leased, at(1), End::HandBack).await;
    let again = lease_one(intake, at(1)).await;
    assert_eq!((again.attempt, again.first_attempt_at), (1, Some(at(1))));
    settle(intake, &again, at(2), End::Retry(Duration::ZERO, "no")).await;
    let third = lease_one(intake, at(2)).await;
    settle(intake, &third, at(3), End::HandBack).await;
    let fourth = lease_one(intake, at(3)).await;
    assert_eq!((fourth.attempt, fourth.first_attempt_at), (2, Some(at(1))));
}

/// A worker without the last lease neither settles nor extends.
pub async fn a_stale_lease_settles_and_extends_nothing(intake: &impl Intake) {
    store(intake, "a", at(0)).await;
    let slow = lease_one(intake, at(0)).await;
    let fresh = lease_one(intake, at(0) + LEASE).await;
    for lease in [slow.lease, Lease::new(0), Lease::new(u64::MAX)] {
        for end in [End::Done, End::Retry(Duration::ZERO, "no"), End::GiveUp("no"), End::HandBack] {
            let settlement = ended(key("a"), lease, at(61), end);
            assert_eq!(settle_all(intake, &[settlement]).await, [Settled::Stale]);
        }
        assert_eq!(extend(intake, &[(key("a"), lease)], at(61)).await, [Settled::Stale]);
    }
    let unknown = ended(key("b"), fresh.lease, at(61), End::Done);
    assert_eq!(settle_all(intake, &[unknown]).await, [Settled::Stale]);
    assert!(lease(intake, at(62)).await.is_empty());
    assert_eq!(settle(intake, &fresh, at(62), End::Done).await, Settled::Done);
}

/// A caller that got no answer can repeat a settlement.
pub async fn a_settlement_of_a_request_sent_twice_is_written_once(intake: &impl Intake) {
    store(intake, "a", at(0)).await;
    let leased = lease_one(intake, at(0)).await;
    let retry = |after| End::Retry(Duration::from_secs(after), "no");
    let [first, second] =
        [retry(1), retry(9)].map(|next| ended(leased.key.clone(), leased.lease, at(0), next));
    assert_eq!(settle_all(intake, &[first.clone(), second.clone()]).await, [Settled::Done, Settled::Stale]);
    assert_eq!(settle_all(intake, &[second]).await, [Settled::Stale]);
    assert_eq!(settle_all(intake, &[first]).await, [Settled::Stale]);
    assert_eq!(next_due(intake, at(0)).await, Some(Duration::from_secs(1)));
    assert_eq!(extend(intake, &[(key("a"), leased.lease)], at(0)).await, [Settled::Stale]);
}

/// A settlement after the lease counts, as long as no other call leased the request.
pub async fn a_late_settlement_of_a_request_counts_while_nobody_else_took_it(intake: &impl Intake) {
    store(intake, "a", at(0)).await;
    let leased = lease_one(intake, at(0)).await;
    assert_eq!(settle(intake, &leased, at(0) + 3 * LEASE, End::Done).await, Settled::Done);
    assert!(lease(intake, at(0) + 4 * LEASE).await.is_empty());
}

/// Results come in the order given, and a stale settlement stops no others.
pub async fn settlements_of_requests_are_reported_in_the_order_given(intake: &impl Intake) {
    for name in ["a", "b", "c", "d"] {
        store(intake, name, at(0)).await;
    }
    let leased = lease(intake, at(0)).await;
    let of = |name: &str, end| {
        let leased = leased.iter().find(|leased| leased.key == key(name)).expect("it was leased");
        ended(key(name), leased.lease, at(1), end)
    };
    let mut stale = of("c", End::Done);
    stale.lease = Lease::new(stale.lease.number() + 7);
    let results = settle_all(
        intake,
        &[
            of("d", End::HandBack),
            stale,
            of("b", End::Retry(Duration::from_secs(5), "no")),
            of("a", End::GiveUp("never")),
        ],
    )
    .await;
    assert_eq!(results, [Settled::Done, Settled::Stale, Settled::Done, Settled::Done]);
    assert_eq!(names(&lease(intake, at(1)).await), ["d"]);
    assert_eq!(names(&lease(intake, at(6)).await), ["b"]);
    assert_eq!(given_up(intake).await.len(), 1);
    assert_eq!(names(&lease(intake, at(0) + LEASE).await), ["c"]);
}

/// A lease is extended from `now` on, for handlers that take long.
pub async fn a_lease_of_a_request_that_is_extended_ends_later(intake: &impl Intake) {
    store(intake, "a", at(0)).await;
    store(intake, "b", at(0)).await;
    let leased = lease(intake, at(0)).await;
    let lease_of_a = leased.iter().find(|leased| leased.key == key("a")).expect("it was leased").lease;
    let asked = [(key("b"), Lease::new(u64::MAX)), (key("a"), lease_of_a)];
    assert_eq!(extend(intake, &asked, at(50)).await, [Settled::Stale, Settled::Done]);
    assert_eq!(names(&lease(intake, at(109)).await), ["b"]);
    let settled = ended(key("a"), lease_of_a, at(109), End::Done);
    assert_eq!(settle_all(intake, &[settled]).await, [Settled::Done]);
}

/// Pruning deletes requests that are done when their time is over, and no others.
pub async fn what_is_done_is_forgotten_after_its_time_and_no_earlier(intake: &impl Intake) {
    for name in ["done", "given_up", "leased"] {
        store(intake, name, at(0)).await;
    }
    for leased in lease(intake, at(0)).await {
        match leased.key.id.as_str() {
            "done" => _ = settle(intake, &leased, at(1), End::Done).await,
            "given_up" => give_up(intake, &leased).await,
            _ => {}
        }
    }
    let end = at(1) + KEEP;
    assert_eq!(prune(intake, end - Duration::from_secs(1), 10).await, 0);
    assert_eq!(prune(intake, end + Duration::from_secs(1), 10).await, 1);
    assert_eq!(prune(intake, end + 9 * KEEP, 10).await, 0);
    assert_eq!(given_up(intake).await.len(), 1);
    assert_eq!(names(&lease(intake, end).await), ["leased"]);
}

/// Pruning deletes in batches, so that it holds up no other call.
pub async fn no_more_requests_are_forgotten_than_the_limit(intake: &impl Intake) {
    for name in ["a", "b", "c"] {
        store(intake, name, at(0)).await;
        let leased = lease_one(intake, at(0)).await;
        settle(intake, &leased, at(0), End::Done).await;
    }
    for expected in [2, 1, 0] {
        assert_eq!(prune(intake, at(1) + KEEP, 2).await, expected);
    }
}

/// Lease numbers do not begin anew when a request was deleted.
pub async fn a_lease_from_before_a_request_was_forgotten_is_stale(intake: &impl Intake) {
    store(intake, "a", at(0)).await;
    let old = lease_one(intake, at(0)).await;
    settle(intake, &old, at(0), End::Done).await;
    prune(intake, at(1) + KEEP, 10).await;
    store(intake, "a", at(1) + KEEP).await;
    let new = lease_one(intake, at(1) + KEEP).await;
    assert!(old.lease < new.lease);
    assert_eq!(settle(intake, &old, at(2) + KEEP, End::Done).await, Settled::Stale);
}

/// Sources of any text are told apart, or refused.
pub async fn a_source_of_any_text_is_stored_whole_or_refused(intake: &impl Intake) {
    for source in ["", " ", "a\0b", "a\0", "'; --", "\u{10ffff}"] {
        let key = InboxKey::new(source, id("evt_1"));
        let request = StoredRequest::new(key, at(0), body("a")).with_queue(QUEUE);
        let Ok(results) = intake.store_requests(std::slice::from_ref(&request)).await else { continue };
        assert_eq!(results, [Stored::New], "{source:?} was taken for another");
        let leased = lease_one(intake, at(0)).await;
        assert_eq!(leased.key, request.key);
        let lease = (leased.key.clone(), leased.lease);
        assert_eq!(extend(intake, &[lease], at(1)).await, [Settled::Done], "{source:?}");
        give_up(intake, &leased).await;
        let listed = given_up(intake).await;
        assert_eq!(listed.len(), 1, "{source:?}");
        assert_eq!(listed[0].request.key, request.key);
        assert!(intake.put_back(&request.key, at(2)).await.expect("intake answers"), "{source:?}");
        let leased = lease_one(intake, at(2)).await;
        assert_eq!(settle(intake, &leased, at(2), End::Done).await, Settled::Done, "{source:?}");
        assert_eq!(store_one(intake, &request).await, Stored::Duplicate, "{source:?}");
    }
}

/// A request that is stored again after its time has no attempts and no reason.
pub async fn a_request_that_is_stored_again_begins_anew(intake: &impl Intake) {
    store(intake, "a", at(0)).await;
    let leased = lease_one(intake, at(0)).await;
    let retry = End::Retry(Duration::from_secs(1), "no");
    assert_eq!(settle(intake, &leased, at(0), retry).await, Settled::Done);
    let leased = lease_one(intake, at(1)).await;
    assert_eq!(settle(intake, &leased, at(1), End::Done).await, Settled::Done);
    let again = at(1) + KEEP;
    store(intake, "a", again).await;
    assert_eq!(next_due(intake, again).await, Some(Duration::ZERO));
    assert_eq!(prune(intake, again + KEEP, 10).await, 0, "it is not done");
    let leased = lease_one(intake, again).await;
    assert_eq!((leased.attempt, leased.first_attempt_at), (1, Some(again)));
    assert_eq!(leased.body, body("a"));
    assert_eq!(settle(intake, &leased, again, End::HandBack).await, Settled::Done);
    let wanted = LeaseRequests::new(QUEUE, LEASE, 10, again).with_max_attempts(Some(0));
    let leased = intake.lease_requests(&wanted).await.expect("intake answers");
    assert_eq!(leased.given_up.len(), 1);
    assert_eq!(given_up(intake).await[0].reason, NO_ATTEMPT_LEFT, "and nothing of before");
}

/// Empty batches are answered and change nothing.
pub async fn an_empty_batch_of_requests_is_answered(intake: &impl Intake) {
    assert!(intake.store_requests(&[]).await.expect("intake answers").is_empty());
    assert!(settle_all(intake, &[]).await.is_empty());
    assert!(extend(intake, &[], at(0)).await.is_empty());
    assert!(lease(intake, at(0)).await.is_empty());
    assert!(given_up(intake).await.is_empty());
    assert_eq!(prune(intake, at(0), 10).await, 0);
}
