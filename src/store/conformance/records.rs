//! Reading deliveries, attempts, events and statistics.

use std::time::Duration;

use http::StatusCode;

use super::fixture::Managed;
use super::steps::*;
use crate::delivery::{Attempt, DeadReason, Delivery, DeliveryState, Next};
use crate::event::{EventId, EventType};
use crate::outcome::{ErrorClass, FailureReason, Outcome, Timings};
use crate::store::{Count, Cursor, DeliveryQuery, InsertOutcome, Page, Period, Replay, Settled, Settlement};

/// The deliveries of a test event have ended with their one attempt, whatever its result.
pub async fn a_test_event_is_written_as_ended_and_never_claimed(store: &impl Managed) {
    subscribe(store, 1).await;
    let attempt = Attempt::new(1, at(0), Duration::ZERO, Outcome::answered(StatusCode::OK));
    for (number, failed) in [(1, None), (2, Some("404"))] {
        let event = an_event(number, 0).with_delivery(delivery_id(number), subscription_id(1));
        store.add_test(&event, &attempt, failed).await.expect("store answers");
    }
    assert_eq!(look(store, at(9)).await.ready, []);
    assert!(claim(store, at(9)).await.is_empty());
    let (delivered, failed) = (delivery(store, 1).await, delivery(store, 2).await);
    assert_eq!((delivered.state, delivered.attempts, delivered.is_test), (DeliveryState::Delivered, 1, true));
    assert_eq!((failed.state, failed.attempts), (DeliveryState::Dead(DeadReason::Discarded), 1));
    assert_eq!(failed.note.as_deref(), Some("404"));
    // An event that is not a test goes its way.
    emit(store, 3, 9, 1).await;
    assert_eq!(numbers(&claim(store, at(9)).await), [3]);
}

/// Attempts are read back with every outcome, in the order in which they were made.
pub async fn attempts_are_listed_first_to_last_as_they_were(store: &impl Managed) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let waits =
        Outcome::answered(StatusCode::SERVICE_UNAVAILABLE).with_retry_after(Some(Duration::from_secs(9)));
    let outcomes = [Outcome::answered(StatusCode::OK), waits]
        .into_iter()
        .map(|outcome| (outcome, None))
        .chain(FailureReason::ALL.iter().map(|reason| (Outcome::Failed(reason.class()), Some(*reason))));
    let mut made = Vec::new();
    for (number, (outcome, reason)) in (1..).zip(outcomes) {
        let claimed = claim_one(store, at(0)).await;
        assert_eq!(claimed.attempt, number);
        let took = Duration::from_micros(1_500_001);
        let mut timings = Timings::new(Duration::from_micros(1_499_999));
        if number == 1 {
            let phase = |micros| Some(Duration::from_micros(micros));
            timings.dns = phase(0);
            timings.connect = phase(1);
            timings.tls = phase(22);
            timings.first_byte = phase(333);
        }
        let attempt = Attempt::new(number, at(i64::from(number)), took, outcome)
            .with_timings(timings)
            .with_response_excerpt("line\n\"quoted\" \\ \u{1F98A} \u{fffd} \u{0}end");
        let attempt = match reason {
            Some(reason) => attempt.with_reason(reason, Some(StatusCode::BAD_GATEWAY)),
            None => attempt,
        };
        made.push(attempt.clone());
        let again = Next::retry(Duration::ZERO);
        settle(store, Settlement::new(claimed.delivery, claimed.lease, attempt, again, at(0))).await;
    }
    assert_eq!(attempts(store, 1).await, made);
}

/// The order of deliveries is that of their ids, which sort by time.
pub async fn deliveries_are_listed_newest_first_in_pages(store: &impl Managed) {
    subscribe(store, 1).await;
    subscribe(store, 2).await;
    for number in 1..=5 {
        emit(store, number, i64::from(number), 1).await;
    }
    emit(store, 6, 6, 2).await;
    let query = DeliveryQuery::new(subscription_id(1));
    let mut after = None;
    for expected in [&[5, 4][..], &[3, 2], &[1]] {
        let page = store.list_deliveries(ORGANIZATION, &query, after, 2).await.expect("store answers");
        let listed: Vec<_> = page.items.iter().map(|delivery| delivery.id).collect();
        assert_eq!(listed, expected.iter().map(|number| delivery_id(*number)).collect::<Vec<_>>());
        after = page.next;
    }
    assert_eq!(after, None);
    let first = delivery(store, 1).await;
    assert_eq!(first.subscription, subscription_id(1));
    assert_eq!(first.contract, contract());
    assert_eq!((first.event, first.event_type), (an_event(1, 1).id, an_event(1, 1).event_type));
    assert_eq!((first.created_at, first.due_at), (at(1), Some(at(1))));
    assert!(find(store, delivery_id(9)).await.is_none());
}

/// A list by state, type, time or any of them together, in pages of any size, equals a filter over all
/// deliveries.
pub async fn deliveries_are_listed_as_asked_for(store: &impl Managed) {
    let all = some_deliveries(store).await;
    let types = ["call.ended", "contact.created", "unheard.of"];
    let states = DeliveryState::ALL.iter().copied().map(Some).chain([None]);
    for state in states {
        for event_type in types.into_iter().map(Some).chain([None]) {
            for (since, until) in [(None, None), (Some(5), None), (None, Some(15)), (Some(5), Some(15))] {
                let mut query = DeliveryQuery::new(subscription_id(1));
                query.state = state;
                query.event_type = event_type.map(|name| name.parse().expect("type is right"));
                (query.since, query.until) = (since.map(at), until.map(at));
                let is_asked = |delivery: &&Delivery| {
                    state.is_none_or(|state| delivery.state == state)
                        && event_type.is_none_or(|name| delivery.event_type == *name)
                        && since.is_none_or(|since| delivery.created_at >= at(since))
                        && until.is_none_or(|until| delivery.created_at < at(until))
                };
                let expected: Vec<_> = all.iter().filter(is_asked).cloned().collect();
                for limit in [1, 4, 100] {
                    assert_eq!(listed(store, &query, limit).await, expected, "{query:?} in pages of {limit}");
                }
            }
        }
    }
}

/// A page that finds nothing in the rows that it may read is empty and says where the next one begins. The
/// pages together miss nothing.
pub async fn a_narrowed_page_looks_through_no_more_than_it_may(store: &impl Managed) {
    subscribe(store, 1).await;
    let most = Page::<Delivery>::LOOKED_THROUGH;
    let mut events: Vec<_> = (1..=2 * most + 1)
        .map(|number| an_event(number, 0).with_delivery(delivery_id(number), subscription_id(1)))
        .collect();
    events[0].event_type = "contact.created".parse::<EventType>().expect("type is right");
    store.insert(&events).await.expect("store answers");
    let event_type = events[0].event_type.clone();
    let query = DeliveryQuery::new(subscription_id(1)).with_event_type(event_type);
    let mut after = None;
    for _ in 0..2 {
        let page = list(store, &query, after, 10).await;
        assert!(page.items.is_empty(), "{page:?}");
        after = Some(page.next.map(through_text).expect("the list goes on"));
    }
    let page = list(store, &query, after, 10).await;
    assert_eq!(page.items.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), [delivery_id(1)]);
    assert_eq!(page.next, None);
}

/// A delivery that is made between two pages appears on no later page.
pub async fn pages_of_deliveries_are_stable_under_inserts(store: &impl Managed) {
    let all = some_deliveries(store).await;
    let query = DeliveryQuery::new(subscription_id(1));
    let mut found = Vec::new();
    let mut after = None;
    for number in 50.. {
        let page = list(store, &query, after, 3).await;
        found.extend(page.items);
        after = page.next.map(through_text);
        emit(store, number, i64::from(number), 1).await;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, all);
}

/// Dead letters are listed newest first with their reasons; not those that were cancelled, replayed or
/// discarded.
pub async fn dead_letters_are_listed_until_they_are_seen_to(store: &impl Managed) {
    let all = some_deliveries(store).await;
    let is_letter = |delivery: &&Delivery| {
        matches!(
            delivery.state,
            DeliveryState::Dead(DeadReason::Exhausted | DeadReason::Refused | DeadReason::Gone)
        )
    };
    let mut letters: Vec<_> = all.iter().filter(is_letter).cloned().collect();
    assert_eq!(dead_letters(store).await, letters);
    let discarded = letters.remove(1);
    let note = "sent by hand, it's \"done\" \u{1F98A}";
    assert!(store.discard(ORGANIZATION, discarded.id, note).await.expect("store answers"));
    assert!(!store.discard(ORGANIZATION, discarded.id, "again").await.expect("store answers"));
    let read = store.find_delivery(ORGANIZATION, discarded.id).await.expect("store answers");
    let read = read.expect("it stays readable");
    assert_eq!(read.state, DeliveryState::Dead(DeadReason::Discarded));
    assert_eq!(read.note.as_deref(), Some(note));
    assert_eq!(dead_letters(store).await, letters);
    let pending = all.iter().find(|delivery| delivery.state == DeliveryState::Pending).expect("one is");
    assert!(!store.discard(ORGANIZATION, pending.id, "no letter").await.expect("store answers"));
    let replayed = store.replay(&Replay::DeadLetters(subscription_id(1)), 100, at(50)).await;
    assert_eq!(
        replayed.expect("store answers").made as usize,
        letters.len(),
        "the discarded one is not wanted"
    );
    assert!(dead_letters(store).await.is_empty());
}

/// Events are listed in the order of their insertion, the last first. A payload is read for one event alone.
pub async fn events_are_listed_last_first_in_pages(store: &impl Managed) {
    subscribe(store, 1).await;
    // Their ids and times say nothing of when they were inserted.
    for (number, second) in [(3, 0), (1, 2), (4, 0), (5, 0), (2, 1)] {
        assert_eq!(insert(store, an_event(number, second)).await, InsertOutcome::New);
    }
    let mut foreign = an_event(6, 0);
    foreign.organization = OTHER_ORGANIZATION.to_owned();
    assert_eq!(insert(store, foreign).await, InsertOutcome::New);
    for limit in [1, 2, 5] {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = store.list_events(ORGANIZATION, after, limit).await.expect("store answers");
            found.extend(page.items);
            after = page.next.map(through_text);
            if after.is_none() {
                break;
            }
        }
        let ids: Vec<_> = found.iter().map(|event| event.id.to_string()).collect();
        assert_eq!(ids, ["evt_2", "evt_5", "evt_4", "evt_1", "evt_3"]);
        assert!(found.iter().all(|event| event.payload.is_none()));
        assert_eq!((found[0].created_at, found[0].event_type.as_str()), (at(1), "call.ended"));
    }
    let id: EventId = "evt_4".parse().expect("id is right");
    let event =
        store.find_event(ORGANIZATION, CONTRACT, &id).await.expect("store answers").expect("it was inserted");
    assert_eq!(event.payload, Some(payload(4)));
    assert!(store.expunge(ORGANIZATION, CONTRACT, &id, at(3)).await.expect("store answers"));
    let event =
        store.find_event(ORGANIZATION, CONTRACT, &id).await.expect("store answers").expect("its id stays");
    assert_eq!(event.payload, None);
}

/// Attributes are read back, and are deleted with the payload.
pub async fn attributes_are_read_back_and_go_with_the_payload(store: &impl Managed) {
    let mut event = an_event(1, 0);
    for (name, values) in [("list", &["a \"b\"", "c", ""][..]), ("", &["\u{1F98A}\n"]), ("none", &[])] {
        event.attributes.insert(name.to_owned(), values.iter().map(|value| (*value).to_owned()).collect());
    }
    insert(store, event.clone()).await;
    let read = async || {
        let found = store.find_event(ORGANIZATION, CONTRACT, &event.id).await.expect("store answers");
        found.expect("it was inserted").attributes
    };
    assert_eq!(read().await, event.attributes);
    assert!(store.expunge(ORGANIZATION, CONTRACT, &event.id, at(1)).await.expect("store answers"));
    assert!(read().await.is_empty());
}

/// An event's deliveries are listed by subscription, replayed ones too.
pub async fn an_events_deliveries_are_listed_in_pages(store: &impl Managed) {
    let mut event = an_event(1, 0);
    for number in 1..=5 {
        subscribe(store, number).await;
        event = event.with_delivery(delivery_id(10 - number), subscription_id(number));
    }
    let id = event.id.clone();
    insert(store, event).await;
    emit(store, 30, 0, 1).await;
    assert!(store.cancel(delivery_id(7), at(1)).await.expect("store answers"));
    assert_eq!(
        store.replay(&Replay::Delivery(delivery_id(7)), 1, at(2)).await.expect("store answers").made,
        1
    );
    for limit in [1, 2, 9] {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = store.list_event_deliveries(ORGANIZATION, CONTRACT, &id, after, limit).await;
            let page = page.expect("store answers");
            found.extend(page.items);
            after = page.next.map(through_text);
            if after.is_none() {
                break;
            }
        }
        let to: Vec<_> = found.iter().map(|delivery| delivery.subscription).collect();
        assert_eq!(to, [1, 2, 3, 3, 4, 5].map(subscription_id));
        assert!(found.iter().all(|delivery| delivery.event == id));
    }
}

/// Statistics count the attempts that began in the period by outcome and slot, the latencies of answered
/// ones, and the backlog.
pub async fn statistics_count_the_attempts_of_a_period(store: &impl Managed) {
    subscribe(store, 1).await;
    subscribe(store, 2).await;
    for number in 1..=4 {
        emit(store, number, 0, 1).await;
    }
    emit(store, 5, 0, 2).await;
    let answered = |status| Outcome::answered(StatusCode::from_u16(status).expect("status is right"));
    for (second, millis, outcome) in [
        (0, 900, answered(200)),
        (1, 10, answered(503).with_retry_after(Some(Duration::from_secs(3)))),
        (11, 20, answered(503)),
        (12, 5_000, Outcome::Failed(ErrorClass::Timeout)),
        (30, 1, answered(200)),
    ] {
        let claimed = claim_one(store, at(100 + second)).await;
        let attempt = Attempt::new(1, at(second), Duration::from_millis(millis), outcome);
        let next = Next::retry(Duration::ZERO);
        let settlement = Settlement::new(claimed.delivery, claimed.lease, attempt, next, at(100 + second));
        assert_eq!(settle(store, settlement).await, Settled::Done);
    }
    let period = Period::new(at(0), at(30), Duration::from_secs(10));
    let told = store.statistics(ORGANIZATION, subscription_id(1), &period).await.expect("store answers");
    let told = told.expect("there is such a subscription");
    let counts =
        |counts: &[Count]| -> Vec<_> { counts.iter().map(|count| (count.outcome, count.attempts)).collect() };
    let timeout = Outcome::Failed(ErrorClass::Timeout);
    assert_eq!(counts(&told.outcomes), [(timeout, 1), (answered(200), 1), (answered(503), 2)]);
    assert_eq!(told.slots.len(), 2);
    assert_eq!((told.slots[0].at, told.slots[1].at), (at(0), at(10)));
    assert_eq!(counts(&told.slots[0].outcomes), [(answered(200), 1), (answered(503), 1)]);
    assert_eq!(counts(&told.slots[1].outcomes), [(timeout, 1), (answered(503), 1)]);
    assert_eq!(told.share(|outcome| outcome.status().is_some_and(|status| status.is_success())), Some(0.25));
    let latency = told.latency.expect("some were answered");
    let millis = [latency.median, latency.p95, latency.p99, latency.max].map(|took| took.as_millis());
    assert_eq!(millis, [20, 900, 900, 900]);
    assert_eq!((told.backlog.pending, told.backlog.since, told.is_cut), (4, Some(at(0)), false));
    let empty = store.statistics(ORGANIZATION, subscription_id(2), &period).await.expect("store answers");
    let empty = empty.expect("there is such a subscription");
    assert_eq!((empty.attempts(), empty.share(|_| true), empty.latency), (0, None, None));
}

/// Every call answers another organization as one that does not exist.
pub async fn what_is_anothers_is_answered_as_what_is_not_there(store: &impl Managed) {
    let all = some_deliveries(store).await;
    let letter = dead_letters(store).await.remove(0);
    let mut foreign = a_subscription(2);
    foreign.organization = OTHER_ORGANIZATION.to_owned();
    store.put(&foreign).await.expect("subscription is written");
    let period = Period::new(at(0), at(90), Duration::from_secs(10));
    let query = DeliveryQuery::new(subscription_id(1));
    for organization in ["org_2", "org_3", "", "org_1 ", "ORG_1", "org\0"] {
        let told = store.list(organization, None, 9).await.expect("store answers");
        assert!(told.items.iter().all(|subscription| subscription.id != subscription_id(1)));
        assert!(store.find_delivery(organization, all[0].id).await.expect("store answers").is_none());
        let told = store.list_deliveries(organization, &query, None, 9).await.expect("store answers");
        assert_eq!(told, Page::last(Vec::new()));
        let told = store.list_dead_letters(organization, None, 9).await.expect("store answers");
        assert_eq!(told, Page::last(Vec::new()));
        assert!(!store.discard(organization, letter.id, "").await.expect("store answers"));
        assert!(
            store.find_event(organization, CONTRACT, &all[0].event).await.expect("store answers").is_none()
        );
        let told = store.list_events(organization, None, 9).await.expect("store answers");
        assert_eq!(told, Page::last(Vec::new()));
        let told = store.list_event_deliveries(organization, CONTRACT, &all[0].event, None, 9).await;
        assert_eq!(told.expect("store answers"), Page::last(Vec::new()));
        let told = store.statistics(organization, subscription_id(1), &period).await.expect("store answers");
        assert!(told.is_none());
    }
    assert!(store.find_delivery(ORGANIZATION, all[0].id).await.expect("store answers").is_some());
    assert!(store.discard(ORGANIZATION, letter.id, "").await.expect("store answers"));
}

/// Deliveries 1 to 24 to subscription 1, in every state and of two types, newest first; one is another
/// subscription's.
async fn some_deliveries(store: &impl Managed) -> Vec<Delivery> {
    subscribe(store, 1).await;
    subscribe(store, 3).await;
    for number in 1..=24 {
        let mut event = an_event(number, i64::from(number));
        if number % 3 == 0 {
            event.event_type = "contact.created".parse::<EventType>().expect("type is right");
        }
        insert(store, event.with_delivery(delivery_id(number), subscription_id(1))).await;
    }
    emit(store, 25, 25, 3).await;
    let dead = [DeadReason::Exhausted, DeadReason::Refused, DeadReason::Gone, DeadReason::Cancelled];
    let ends = [Next::Done].into_iter().chain(dead.map(Next::dead));
    let claimed = claim_up_to(store, at(24), 20).await;
    for (claimed, next) in claimed.iter().zip(ends.cycle()) {
        assert_eq!(settle(store, ended(claimed, at(26), next)).await, Settled::Done);
    }
    // A letter in whose place another was made.
    let made = store.replay(&Replay::Delivery(claimed[2].delivery), 1, at(40)).await.expect("store answers");
    assert_eq!(made.made, 1);
    let mut all = deliveries(store, 1).await;
    assert_eq!(all.len(), 25);
    all.sort_by_key(|delivery| std::cmp::Reverse(delivery.id));
    all
}

async fn listed(store: &impl Managed, query: &DeliveryQuery, limit: u32) -> Vec<Delivery> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = list(store, query, after, limit).await;
        assert!(page.items.len() <= limit as usize);
        found.extend(page.items);
        after = page.next.map(through_text);
        if after.is_none() {
            return found;
        }
    }
}

async fn list(
    store: &impl Managed,
    query: &DeliveryQuery,
    after: Option<Cursor>,
    limit: u32,
) -> Page<Delivery> {
    store.list_deliveries(ORGANIZATION, query, after, limit).await.expect("store answers")
}

/// In pages of two.
async fn dead_letters(store: &impl Managed) -> Vec<Delivery> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = store.list_dead_letters(ORGANIZATION, after, 2).await.expect("store answers");
        found.extend(page.items);
        after = page.next.map(through_text);
        if after.is_none() {
            return found;
        }
    }
}
