//! What every [`Intake`] has to keep to.

use std::time::Duration;

use bytes::Bytes;
use time::OffsetDateTime;

use super::{LEASE, at, both};
use crate::signature::Proof;
use crate::store::{
    Conclusion, GivenUpRequest, InboxKey, Intake, Kept, KeptRequest, Lease, NO_ATTEMPT_LEFT,
    RequestSettlement, Settled, Take, Taken, TakenRequest,
};

/// Every part of it, bytes that are no text among them.
pub async fn a_request_is_taken_as_it_was_kept(intake: &impl Intake) {
    let body = Bytes::from_iter(0..=u8::MAX);
    let key = InboxKey::new("allison/\u{c4} \"'\\%_{}[]", id("evt_'\"\\%"));
    let request = KeptRequest::new(key, at(0), body)
        .with_queue("queue of '\"\\ allison")
        .with_event(id("evt_2"))
        .with_proof("guard \u{2713}", Some(at(-3)));
    assert_eq!(keep_one(intake, &request).await, Kept::New);
    let taken = intake.take(&Take::new(&request.queue, at(1), LEASE, 10)).await.expect("intake answers");
    let [ref taken] = taken.requests[..] else { panic!("one request was kept: {taken:?}") };
    assert!(taken.request == request, "it came back changed: {:?}", taken.request);
    assert_eq!((taken.attempt, taken.first_attempt_at), (1, at(1)));
    let verified = taken.request.verified();
    assert_eq!((verified.id(), verified.by()), (Some("evt_2"), Proof::Kept));
}

/// Whatever became of the first one.
pub async fn a_copy_of_a_kept_request_is_a_duplicate_and_changes_nothing(intake: &impl Intake) {
    let copy = KeptRequest::new(key("a"), at(1), Bytes::from_static(b"another body"));
    keep(intake, "a", at(0)).await;
    assert_eq!(keep_one(intake, &copy).await, Kept::Duplicate);
    let taken = take_one(intake, at(1)).await;
    assert_eq!(taken.request.body, body("a"));
    assert_eq!(keep_one(intake, &copy).await, Kept::Duplicate);
    settle(intake, &taken, at(1), Conclusion::retry(Duration::ZERO, "no")).await;
    assert_eq!(keep_one(intake, &copy).await, Kept::Duplicate);
    let taken = take_one(intake, at(1)).await;
    settle(intake, &taken, at(1), Conclusion::give_up("no")).await;
    assert_eq!(keep_one(intake, &copy).await, Kept::Duplicate);
    assert!(intake.close_given_up(&key("a"), at(1), KEEP).await.expect("intake answers"));
    assert_eq!(keep_one(intake, &copy).await, Kept::Duplicate);
    assert!(take(intake, at(2)).await.is_empty());
}

/// In one batch, and in two at once.
pub async fn of_copies_that_are_kept_together_one_is_new(intake: &impl Intake) {
    let (a, b) = (request("a", at(0)), request("b", at(0)));
    let told = intake.keep(&[b.clone(), a.clone(), b.clone()]).await.expect("intake answers");
    assert_eq!(told, [Kept::New, Kept::New, Kept::Duplicate]);
    let c = request("c", at(0));
    let (one, two) = both(keep_one(intake, &c), keep_one(intake, &c)).await;
    assert!(matches!((one, two), (Kept::New, Kept::Duplicate) | (Kept::Duplicate, Kept::New)));
    let mut taken = take(intake, at(0)).await;
    taken.sort_by_key(|taken| taken.request.key.clone());
    assert_eq!(names(&taken), ["a", "b", "c"]);
}

/// A sender's id is its own.
pub async fn the_same_id_of_two_sources_is_two_requests(intake: &impl Intake) {
    keep(intake, "a", at(0)).await;
    let other = KeptRequest::new(InboxKey::new("other source", id("a")), at(0), body("a")).with_queue(QUEUE);
    assert_eq!(keep_one(intake, &other).await, Kept::New);
    assert_eq!(take(intake, at(0)).await.len(), 2);
}

/// Workers see what is theirs.
pub async fn a_request_is_its_queues_own(intake: &impl Intake) {
    keep(intake, "a", at(0)).await;
    let other = request("b", at(0)).with_queue("other queue");
    keep_one(intake, &other).await;
    assert_eq!(names(&take(intake, at(0)).await), ["a"]);
    assert_eq!(next_due(intake, at(0)).await, Some(LEASE));
    let taken = intake.take(&Take::new("other queue", at(0), LEASE, 10)).await.expect("intake answers");
    assert_eq!(names(&taken.requests), ["b"]);
    give_up(intake, &taken.requests[0]).await;
    assert!(given_up(intake).await.is_empty());
    assert!(intake.next_due("third queue", at(0)).await.expect("intake answers").is_none());
}

/// And no more than asked for.
pub async fn what_is_due_longest_is_taken_first(intake: &impl Intake) {
    for (name, second) in [("a", 3), ("b", 1), ("c", 2), ("d", 9)] {
        keep(intake, name, at(second)).await;
    }
    let some = intake.take(&Take::new(QUEUE, at(5), LEASE, 2)).await.expect("intake answers");
    assert_eq!(names(&some.requests), ["b", "c"]);
    let none = intake.take(&Take::new(QUEUE, at(5), LEASE, 0)).await.expect("intake answers");
    assert!(none.requests.is_empty());
    assert_eq!(names(&take(intake, at(5)).await), ["a"]);
}

/// So that a worker knows how long to rest.
pub async fn the_next_due_time_is_told(intake: &impl Intake) {
    assert_eq!(next_due(intake, at(0)).await, None);
    keep(intake, "a", at(10)).await;
    assert_eq!(next_due(intake, at(4)).await, Some(Duration::from_secs(6)));
    assert_eq!(next_due(intake, at(10)).await, Some(Duration::ZERO));
    assert_eq!(next_due(intake, at(11)).await, Some(Duration::ZERO));
    let taken = take_one(intake, at(11)).await;
    assert_eq!(next_due(intake, at(11)).await, Some(LEASE));
    settle(intake, &taken, at(12), Conclusion::done(KEEP)).await;
    assert_eq!(next_due(intake, at(12)).await, None);
}

/// A worker that died lost nothing.
pub async fn a_taken_request_is_nobody_elses_until_its_lease_ends(intake: &impl Intake) {
    keep(intake, "a", at(0)).await;
    let first = take_one(intake, at(0)).await;
    assert!(take(intake, at(0) + LEASE - Duration::from_micros(1)).await.is_empty());
    let second = take_one(intake, at(0) + LEASE).await;
    assert!(first.lease < second.lease);
    assert_eq!((second.attempt, second.first_attempt_at), (2, at(0)));
}

/// Even one that ends at once.
pub async fn a_request_is_taken_once_by_a_call_whatever_its_lease(intake: &impl Intake) {
    keep(intake, "a", at(0)).await;
    let brief = Take::new(QUEUE, at(0), Duration::ZERO, 10);
    for attempt in 1..=2 {
        let taken = intake.take(&brief).await.expect("intake answers").requests;
        assert_eq!(taken.iter().map(|taken| taken.attempt).collect::<Vec<_>>(), [attempt]);
    }
}

/// However they interleave.
pub async fn two_takes_at_once_share_nothing(intake: &impl Intake) {
    let requests: Vec<_> = (0..20).map(|number| request(&format!("r{number}"), at(0))).collect();
    intake.keep(&requests).await.expect("intake answers");
    let wish = Take::new(QUEUE, at(0), LEASE, 15);
    let (one, two) = both(intake.take(&wish), intake.take(&wish)).await;
    let mut taken = one.expect("intake answers").requests;
    taken.extend(two.expect("intake answers").requests);
    // What one of them held when the other looked is left for the next.
    taken.extend(take(intake, at(0)).await);
    assert_eq!(names(&taken).len(), 20);
    taken.sort_by_key(|taken| taken.request.key.clone());
    taken.dedup_by_key(|taken| taken.request.key.clone());
    assert_eq!(taken.len(), 20);
}

/// Copies of it are duplicates for so long, and its payload is not needed any more.
pub async fn a_request_that_is_done_is_remembered_and_not_taken_again(intake: &impl Intake) {
    keep(intake, "a", at(0)).await;
    let taken = take_one(intake, at(0)).await;
    assert_eq!(settle(intake, &taken, at(1), Conclusion::done(KEEP)).await, Settled::Done);
    assert!(take(intake, at(1) + KEEP + LEASE).await.is_empty());
    let before = at(1) + KEEP - Duration::from_secs(1);
    assert_eq!(keep_one(intake, &request("a", before)).await, Kept::Duplicate);
    assert_eq!(keep_one(intake, &request("a", at(1) + KEEP)).await, Kept::New);
    let again = take_one(intake, at(1) + KEEP).await;
    assert!(taken.lease < again.lease);
    assert_eq!((again.attempt, again.request.body), (1, body("a")));
}

/// After its delay, and no earlier.
pub async fn a_request_that_failed_is_taken_again_after_its_delay(intake: &impl Intake) {
    keep(intake, "a", at(0)).await;
    let taken = take_one(intake, at(0)).await;
    settle(intake, &taken, at(2), Conclusion::retry(Duration::from_secs(10), "no")).await;
    assert!(take(intake, at(12) - Duration::from_micros(1)).await.is_empty());
    let again = take_one(intake, at(12)).await;
    assert_eq!((again.attempt, again.first_attempt_at), (2, at(0)));
    assert_eq!(again.request, taken.request);
}

/// As if nobody had had it.
pub async fn a_request_handed_back_is_due_at_once_and_counts_no_attempt(intake: &impl Intake) {
    keep(intake, "a", at(0)).await;
    let taken = take_one(intake, at(0)).await;
    settle(intake, &taken, at(1), Conclusion::HandBack).await;
    let again = take_one(intake, at(1)).await;
    assert_eq!((again.attempt, again.first_attempt_at), (1, at(1)));
    settle(intake, &again, at(2), Conclusion::retry(Duration::ZERO, "no")).await;
    let third = take_one(intake, at(2)).await;
    settle(intake, &third, at(3), Conclusion::HandBack).await;
    let fourth = take_one(intake, at(3)).await;
    assert_eq!((fourth.attempt, fourth.first_attempt_at), (2, at(1)));
}

/// A worker that lost its lease decides nothing.
pub async fn a_stale_lease_settles_and_extends_nothing(intake: &impl Intake) {
    keep(intake, "a", at(0)).await;
    let slow = take_one(intake, at(0)).await;
    let fresh = take_one(intake, at(0) + LEASE).await;
    for lease in [slow.lease, Lease::new(0), Lease::new(u64::MAX)] {
        for conclusion in [
            Conclusion::done(KEEP),
            Conclusion::retry(Duration::ZERO, "no"),
            Conclusion::give_up("no"),
            Conclusion::HandBack,
        ] {
            let settlement = RequestSettlement::new(key("a"), lease, at(61), conclusion);
            assert_eq!(settle_all(intake, &[settlement]).await, [Settled::Stale]);
        }
        assert_eq!(extend(intake, &[(key("a"), lease)], at(61)).await, [Settled::Stale]);
    }
    let unknown = RequestSettlement::new(key("b"), fresh.lease, at(61), Conclusion::done(KEEP));
    assert_eq!(settle_all(intake, &[unknown]).await, [Settled::Stale]);
    assert!(take(intake, at(62)).await.is_empty());
    assert_eq!(settle(intake, &fresh, at(62), Conclusion::done(KEEP)).await, Settled::Done);
}

/// The call whose answer was lost is repeated, and tells that it was written before.
pub async fn a_settlement_of_a_request_sent_twice_is_written_once(intake: &impl Intake) {
    keep(intake, "a", at(0)).await;
    let taken = take_one(intake, at(0)).await;
    let retry = |after| Conclusion::retry(Duration::from_secs(after), "no");
    let [first, second] = [retry(1), retry(9)]
        .map(|next| RequestSettlement::new(taken.request.key.clone(), taken.lease, at(0), next));
    assert_eq!(settle_all(intake, &[first.clone(), second.clone()]).await, [Settled::Done, Settled::Stale]);
    assert_eq!(settle_all(intake, &[second]).await, [Settled::Stale]);
    assert_eq!(settle_all(intake, &[first]).await, [Settled::Stale]);
    assert_eq!(next_due(intake, at(0)).await, Some(Duration::from_secs(1)));
    assert_eq!(extend(intake, &[(key("a"), taken.lease)], at(0)).await, [Settled::Stale]);
}

/// The work was done, and nobody did it again.
pub async fn a_late_settlement_of_a_request_counts_while_nobody_else_took_it(intake: &impl Intake) {
    keep(intake, "a", at(0)).await;
    let taken = take_one(intake, at(0)).await;
    assert_eq!(settle(intake, &taken, at(0) + 3 * LEASE, Conclusion::done(KEEP)).await, Settled::Done);
    assert!(take(intake, at(0) + 4 * LEASE).await.is_empty());
}

/// Those of many, each its own.
pub async fn settlements_of_requests_are_told_in_the_order_given(intake: &impl Intake) {
    for name in ["a", "b", "c", "d"] {
        keep(intake, name, at(0)).await;
    }
    let taken = take(intake, at(0)).await;
    let of = |name: &str, conclusion| {
        let taken = taken.iter().find(|taken| taken.request.key == key(name)).expect("it was taken");
        RequestSettlement::new(key(name), taken.lease, at(1), conclusion)
    };
    let mut stale = of("c", Conclusion::done(KEEP));
    stale.lease = Lease::new(stale.lease.number() + 7);
    let told = settle_all(
        intake,
        &[
            of("d", Conclusion::HandBack),
            stale,
            of("b", Conclusion::retry(Duration::from_secs(5), "no")),
            of("a", Conclusion::give_up("never")),
        ],
    )
    .await;
    assert_eq!(told, [Settled::Done, Settled::Stale, Settled::Done, Settled::Done]);
    assert_eq!(names(&take(intake, at(1)).await), ["d"]);
    assert_eq!(names(&take(intake, at(6)).await), ["b"]);
    assert_eq!(given_up(intake).await.len(), 1);
    assert_eq!(names(&take(intake, at(0) + LEASE).await), ["c"]);
}

/// For handlers that take their time.
pub async fn a_lease_of_a_request_that_is_extended_ends_later(intake: &impl Intake) {
    keep(intake, "a", at(0)).await;
    keep(intake, "b", at(0)).await;
    let taken = take(intake, at(0)).await;
    let lease_of_a = taken.iter().find(|taken| taken.request.key == key("a")).expect("it was taken").lease;
    let asked = [(key("b"), Lease::new(u64::MAX)), (key("a"), lease_of_a)];
    assert_eq!(extend(intake, &asked, at(50)).await, [Settled::Stale, Settled::Done]);
    assert_eq!(names(&take(intake, at(109)).await), ["b"]);
    let settled = RequestSettlement::new(key("a"), lease_of_a, at(109), Conclusion::done(KEEP));
    assert_eq!(settle_all(intake, &[settled]).await, [Settled::Done]);
}

/// Visibly, with what went wrong.
pub async fn a_request_that_is_given_up_stays_with_its_reason(intake: &impl Intake) {
    keep(intake, "a", at(0)).await;
    let first = take_one(intake, at(0)).await;
    settle(intake, &first, at(1), Conclusion::retry(Duration::ZERO, "not yet")).await;
    let second = take_one(intake, at(1)).await;
    settle(intake, &second, at(2), Conclusion::give_up("the \"disk\" is full \u{2713}")).await;
    let expected = GivenUpRequest::new(first.request, 2, at(2), "the \"disk\" is full \u{2713}");
    assert_eq!(given_up(intake).await, [expected]);
    assert!(take(intake, at(0) + KEEP).await.is_empty());
    assert_eq!(next_due(intake, at(2)).await, None);
}

/// One that kills its worker is not tried for ever.
pub async fn a_request_without_an_attempt_left_is_given_up_when_it_is_taken(intake: &impl Intake) {
    let take = async |now| {
        let take = Take::new(QUEUE, now, LEASE, 10).with_max_attempts(2);
        intake.take(&take).await.expect("intake answers")
    };
    keep(intake, "a", at(0)).await;
    keep(intake, "b", at(0)).await;
    let Taken { requests, .. } = take(at(0)).await;
    settle(intake, &requests[1], at(0), Conclusion::retry(LEASE, "a first reason")).await;
    assert_eq!(take(at(0) + LEASE).await.requests.len(), 2);
    keep(intake, "c", at(0)).await;
    let last = take(at(0) + 2 * LEASE).await;
    assert_eq!(names(&last.requests), ["c"]);
    assert_eq!(last.given_up, [key("a"), key("b")]);
    let told = given_up(intake).await;
    assert_eq!(told.iter().map(|told| told.attempts).collect::<Vec<_>>(), [2, 2]);
    assert!(!told[0].reason.is_empty());
    assert!(told[1].reason.ends_with("a first reason"), "{}", told[1].reason);
    assert_eq!(told[0].given_up_at, at(0) + 2 * LEASE);
    // Its lease ended, and nothing may be said about it any more.
    assert_eq!(settle(intake, &requests[0], at(200), Conclusion::done(KEEP)).await, Settled::Stale);
}

/// However many there are.
pub async fn given_up_requests_are_listed_by_their_keys_in_pages(intake: &impl Intake) {
    for name in ["c", "a", "B", "d", "b"] {
        keep(intake, name, at(0)).await;
    }
    keep_one(intake, &KeptRequest::new(InboxKey::new("Z", id("z")), at(0), body("z")).with_queue(QUEUE))
        .await;
    for taken in take(intake, at(0)).await {
        if taken.request.key != key("d") {
            give_up(intake, &taken).await;
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

/// By somebody who mended what was wrong.
pub async fn a_given_up_request_that_is_put_back_is_new_again(intake: &impl Intake) {
    keep(intake, "a", at(0)).await;
    let taken = take_one(intake, at(0)).await;
    assert!(!intake.put_back(&key("a"), at(1)).await.expect("intake answers"), "it is being handled");
    give_up(intake, &taken).await;
    assert!(!intake.put_back(&key("b"), at(1)).await.expect("intake answers"));
    assert!(intake.put_back(&key("a"), at(5)).await.expect("intake answers"));
    assert!(!intake.put_back(&key("a"), at(5)).await.expect("intake answers"));
    assert!(given_up(intake).await.is_empty());
    assert_eq!(settle(intake, &taken, at(5), Conclusion::done(KEEP)).await, Settled::Stale);
    assert!(take(intake, at(4)).await.is_empty());
    let again = take_one(intake, at(5)).await;
    assert_eq!((again.attempt, again.first_attempt_at), (1, at(5)));
    assert_eq!(again.request, taken.request);
}

/// By somebody who saw to it by hand.
pub async fn a_given_up_request_that_is_closed_is_done(intake: &impl Intake) {
    let close = async |name| intake.close_given_up(&key(name), at(1), KEEP).await.expect("intake answers");
    keep(intake, "a", at(0)).await;
    assert!(!close("a").await);
    let taken = take_one(intake, at(0)).await;
    give_up(intake, &taken).await;
    assert!(close("a").await);
    assert!(!close("a").await && !close("b").await);
    assert!(given_up(intake).await.is_empty());
    assert_eq!(keep_one(intake, &request("a", at(2))).await, Kept::Duplicate);
    assert_eq!(prune(intake, at(1) + KEEP, 10).await, 1);
    assert_eq!(keep_one(intake, &request("a", at(2))).await, Kept::New);
}

/// And nothing else is, however old it is.
pub async fn what_is_done_is_forgotten_after_its_time_and_no_earlier(intake: &impl Intake) {
    for name in ["done", "given_up", "leased"] {
        keep(intake, name, at(0)).await;
    }
    for taken in take(intake, at(0)).await {
        match taken.request.key.id.as_str() {
            "done" => _ = settle(intake, &taken, at(1), Conclusion::done(KEEP)).await,
            "given_up" => give_up(intake, &taken).await,
            _ => {}
        }
    }
    let end = at(1) + KEEP;
    assert_eq!(prune(intake, end - Duration::from_secs(1), 10).await, 0);
    assert_eq!(prune(intake, end + Duration::from_secs(1), 10).await, 1);
    assert_eq!(prune(intake, end + 9 * KEEP, 10).await, 0);
    assert_eq!(given_up(intake).await.len(), 1);
    assert_eq!(names(&take(intake, end).await), ["leased"]);
}

/// So that forgetting holds nobody up.
pub async fn no_more_requests_are_forgotten_than_the_limit(intake: &impl Intake) {
    for name in ["a", "b", "c"] {
        keep(intake, name, at(0)).await;
        let taken = take_one(intake, at(0)).await;
        settle(intake, &taken, at(0), Conclusion::done(KEEP)).await;
    }
    for expected in [2, 1, 0] {
        assert_eq!(prune(intake, at(1) + KEEP, 2).await, expected);
    }
}

/// Numbers do not begin anew.
pub async fn a_lease_from_before_a_request_was_forgotten_is_stale(intake: &impl Intake) {
    keep(intake, "a", at(0)).await;
    let old = take_one(intake, at(0)).await;
    settle(intake, &old, at(0), Conclusion::done(KEEP)).await;
    prune(intake, at(1) + KEEP, 10).await;
    keep(intake, "a", at(1) + KEEP).await;
    let new = take_one(intake, at(1) + KEEP).await;
    assert!(old.lease < new.lease);
    assert_eq!(settle(intake, &old, at(2) + KEEP, Conclusion::done(KEEP)).await, Settled::Stale);
}

/// A sender of any name is told apart from others, or told that it cannot be.
pub async fn a_source_of_any_text_is_kept_whole_or_refused(intake: &impl Intake) {
    for source in ["", " ", "a\0b", "a\0", "'; --", "\u{10ffff}"] {
        let key = InboxKey::new(source, id("evt_1"));
        let request = KeptRequest::new(key, at(0), body("a")).with_queue(QUEUE);
        let Ok(told) = intake.keep(std::slice::from_ref(&request)).await else { continue };
        assert_eq!(told, [Kept::New], "{source:?} was taken for another");
        let taken = take_one(intake, at(0)).await;
        assert_eq!(taken.request.key, request.key);
        let lease = (taken.request.key.clone(), taken.lease);
        assert_eq!(extend(intake, &[lease], at(1)).await, [Settled::Done], "{source:?}");
        give_up(intake, &taken).await;
        let listed = given_up(intake).await;
        assert_eq!(listed.len(), 1, "{source:?}");
        assert_eq!(listed[0].request.key, request.key);
        assert!(intake.put_back(&request.key, at(2)).await.expect("intake answers"), "{source:?}");
        let taken = take_one(intake, at(2)).await;
        assert_eq!(settle(intake, &taken, at(2), Conclusion::done(KEEP)).await, Settled::Done, "{source:?}");
        assert_eq!(keep_one(intake, &request).await, Kept::Duplicate, "{source:?}");
    }
}

/// Of its first life nothing is left: neither attempts nor a reason, nor the time of the first of them.
pub async fn a_request_that_is_kept_again_begins_anew(intake: &impl Intake) {
    keep(intake, "a", at(0)).await;
    let taken = take_one(intake, at(0)).await;
    let retry = Conclusion::retry(Duration::from_secs(1), "no");
    assert_eq!(settle(intake, &taken, at(0), retry).await, Settled::Done);
    let taken = take_one(intake, at(1)).await;
    assert_eq!(settle(intake, &taken, at(1), Conclusion::done(KEEP)).await, Settled::Done);
    let again = at(1) + KEEP;
    keep(intake, "a", again).await;
    assert_eq!(next_due(intake, again).await, Some(Duration::ZERO));
    assert_eq!(prune(intake, again + KEEP, 10).await, 0, "it is not done");
    let taken = take_one(intake, again).await;
    assert_eq!((taken.attempt, taken.first_attempt_at), (1, again));
    assert_eq!(taken.request.body, body("a"));
    assert_eq!(settle(intake, &taken, again, Conclusion::HandBack).await, Settled::Done);
    let take = Take::new(QUEUE, again, LEASE, 10).with_max_attempts(Some(0));
    let taken = intake.take(&take).await.expect("intake answers");
    assert_eq!(taken.given_up.len(), 1);
    assert_eq!(given_up(intake).await[0].reason, NO_ATTEMPT_LEFT, "and nothing of before");
}

/// Nothing is asked, and nothing happens.
pub async fn an_empty_batch_of_requests_is_answered(intake: &impl Intake) {
    assert!(intake.keep(&[]).await.expect("intake answers").is_empty());
    assert!(settle_all(intake, &[]).await.is_empty());
    assert!(extend(intake, &[], at(0)).await.is_empty());
    assert!(take(intake, at(0)).await.is_empty());
    assert!(given_up(intake).await.is_empty());
    assert_eq!(prune(intake, at(0), 10).await, 0);
}

async fn keep(intake: &impl Intake, name: &str, now: OffsetDateTime) {
    assert_eq!(keep_one(intake, &request(name, now)).await, Kept::New, "{name}");
}

async fn keep_one(intake: &impl Intake, request: &KeptRequest) -> Kept {
    let told = intake.keep(std::slice::from_ref(request)).await.expect("intake answers");
    let [told] = told[..] else { panic!("one request was kept and {} were told of", told.len()) };
    told
}

async fn next_due(intake: &impl Intake, now: OffsetDateTime) -> Option<Duration> {
    intake.next_due(QUEUE, now).await.expect("intake answers")
}

/// Everything that is due.
async fn take(intake: &impl Intake, now: OffsetDateTime) -> Vec<TakenRequest> {
    let taken = intake.take(&Take::new(QUEUE, now, LEASE, 1_000)).await.expect("intake answers");
    assert!(taken.unreadable.is_empty() && taken.given_up.is_empty(), "{taken:?}");
    taken.requests
}

async fn take_one(intake: &impl Intake, now: OffsetDateTime) -> TakenRequest {
    let mut taken = take(intake, now).await;
    assert_eq!(taken.len(), 1, "one request is due");
    taken.remove(0)
}

async fn settle(
    intake: &impl Intake,
    taken: &TakenRequest,
    now: OffsetDateTime,
    conclusion: Conclusion,
) -> Settled {
    let settlement = RequestSettlement::new(taken.request.key.clone(), taken.lease, now, conclusion);
    settle_all(intake, &[settlement]).await[0]
}

async fn settle_all(intake: &impl Intake, settlements: &[RequestSettlement]) -> Vec<Settled> {
    let told = intake.settle_taken(settlements).await.expect("intake answers");
    assert_eq!(told.len(), settlements.len());
    told
}

async fn extend(intake: &impl Intake, leases: &[(InboxKey, Lease)], now: OffsetDateTime) -> Vec<Settled> {
    intake.extend_taken(leases, now, LEASE).await.expect("intake answers")
}

async fn give_up(intake: &impl Intake, taken: &TakenRequest) {
    assert_eq!(settle(intake, taken, at(1), Conclusion::give_up("no")).await, Settled::Done);
}

async fn given_up(intake: &impl Intake) -> Vec<GivenUpRequest> {
    intake.given_up(QUEUE, None, 1_000).await.expect("intake answers")
}

async fn prune(intake: &impl Intake, now: OffsetDateTime, limit: u32) -> u64 {
    intake.prune_kept(now, limit).await.expect("intake answers")
}

/// The ids of what was taken, in its order.
fn names(taken: &[TakenRequest]) -> Vec<&str> {
    taken.iter().map(|taken| taken.request.key.id.as_str()).collect()
}

fn request(name: &str, now: OffsetDateTime) -> KeptRequest {
    KeptRequest::new(key(name), now, body(name)).with_queue(QUEUE).with_proof("signature", Some(at(-1)))
}

fn body(name: &str) -> Bytes {
    Bytes::from(format!("{{\"name\":\"{name}\"}}"))
}

fn key(name: &str) -> InboxKey {
    InboxKey::new("allison", id(name))
}

fn id(text: &str) -> crate::event::EventId {
    text.parse().expect("id is right")
}

const QUEUE: &str = "allison's";
const KEEP: Duration = Duration::from_secs(7 * 24 * 60 * 60);
