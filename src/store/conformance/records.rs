//! What people ask a store and change in it: pages, secrets, dead letters, statistics.

use super::*;
use crate::delivery::DeadReason;
use crate::event::{EventId, EventType};
use crate::outcome::ErrorClass;
use crate::store::{Added, Cursor, DeliveryQuery, Page, Period, Records, Replay, SecretDigest};

/// Whoever's the other one is; its own it may hold again, and what was deleted holds none.
pub async fn a_secret_of_another_subscription_is_refused(store: &impl Records) {
    let [first, rotated, last] = [90, 91, 93].map(digest);
    let holder = a_subscription(1);
    assert_eq!(add(store, &holder, Some(&first)).await, Added::Done);
    let holds = async |number, digest| {
        store.hold_secret(subscription_id(number), digest).await.expect("store answers")
    };
    assert!(holds(1, &rotated).await && holds(1, &rotated).await && holds(1, &first).await);
    let mut other = a_subscription(2);
    other.organization = "org_2".to_owned();
    for held in [&first, &rotated] {
        assert_eq!(add(store, &other, Some(held)).await, Added::SecretInUse);
        assert!(store.subscription(other.id).await.expect("store answers").is_none(), "nothing was written");
    }
    assert_eq!(add(store, &other, Some(&digest(92))).await, Added::Done);
    assert_eq!(add(store, &a_subscription(3), None).await, Added::Done);
    assert!(!holds(2, &first).await && !holds(3, &rotated).await);
    assert!(!holds(9, &last).await, "there is no such subscription");
    assert!(holds(3, &last).await, "what is not there holds nothing");
    assert!(store.delete_subscription(holder.id, at(1)).await.expect("store answers"));
    assert!(holds(2, &first).await && holds(3, &rotated).await);
}

/// Not more than the limit, and a secret once, also where two come at once.
pub async fn additions_at_once_keep_the_limit_and_share_no_secret(store: &impl Records) {
    let (one, two, secret) = (a_subscription(1), a_subscription(2), digest(1));
    let told =
        both(store.add_subscription(&one, Some(&secret), 9), store.add_subscription(&two, Some(&secret), 9))
            .await;
    let told = [told.0.expect("store answers"), told.1.expect("store answers")];
    assert!(told.contains(&Added::SecretInUse) && told.contains(&Added::Done), "{told:?}");
    let (three, four) = (a_subscription(3), a_subscription(4));
    let told = both(store.add_subscription(&three, None, 2), store.add_subscription(&four, None, 2)).await;
    let told = [told.0.expect("store answers"), told.1.expect("store answers")];
    assert!(told.contains(&Added::Full) && told.contains(&Added::Done), "{told:?}");
    let there = store.subscriptions(ORGANIZATION).await.expect("store answers");
    assert_eq!(there.len(), 2);
    assert_eq!(add(store, &there[0], None).await, Added::Exists);
}

/// Some that were made at one time too; what comes in between changes no page that is still to come.
pub async fn subscriptions_are_listed_oldest_first_in_pages(store: &impl Records) {
    let made = |number: u32, second: i64| {
        let mut subscription = a_subscription(number);
        subscription.created_at = at(second);
        subscription
    };
    for (number, second) in [(1, 3), (2, -1_000_000_000), (3, 3), (4, 1), (5, 9)] {
        assert_eq!(add(store, &made(number, second), None).await, Added::Done);
    }
    let mut foreign = made(6, 2);
    foreign.organization = "org_2".to_owned();
    assert_eq!(add(store, &foreign, None).await, Added::Done);
    for limit in 1..=6 {
        let mut listed = Vec::new();
        let mut after = None;
        loop {
            let page = store.list_subscriptions(ORGANIZATION, after, limit).await.expect("store answers");
            assert!(page.items.len() <= limit as usize);
            listed.extend(page.items.iter().map(|subscription| subscription.id));
            after = page.next.map(through_text);
            if after.is_none() {
                break;
            }
        }
        assert_eq!(listed, [2, 4, 1, 3, 5].map(subscription_id), "pages of {limit}");
    }
    let first = store.list_subscriptions(ORGANIZATION, None, 3).await.expect("store answers");
    assert_eq!(add(store, &made(7, 0), None).await, Added::Done);
    assert_eq!(add(store, &made(8, 5), None).await, Added::Done);
    let second = store.list_subscriptions(ORGANIZATION, first.next, 9).await.expect("store answers");
    let ids: Vec<_> = second.items.iter().map(|subscription| subscription.id).collect();
    assert_eq!(ids, [3, 8, 5].map(subscription_id));
}

/// By state, type, time and any of them together, in pages of any size, as a walk over all would find them.
pub async fn deliveries_are_listed_as_asked_for(store: &impl Records) {
    let all = some_deliveries(store).await;
    let types = ["call.ended", "contact.created", "unheard.of"];
    let states = DeliveryState::ALL.into_iter().map(Some).chain([None]);
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

/// A page that finds nothing in them is empty and says where the next one begins; the pages together miss nothing.
pub async fn a_narrowed_page_looks_through_no_more_than_it_may(store: &impl Records) {
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

/// What is made while somebody reads appears on no later page.
pub async fn pages_of_deliveries_are_stable_under_inserts(store: &impl Records) {
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

/// Newest first, with why; not those that were cancelled, replayed or discarded.
pub async fn dead_letters_are_listed_until_they_are_seen_to(store: &impl Records) {
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
    let replayed = store.replay(&Replay::DeadLetters(subscription_id(1)), at(50), 100).await;
    assert_eq!(
        replayed.expect("store answers").made as usize,
        letters.len(),
        "the discarded one is not wanted"
    );
    assert!(dead_letters(store).await.is_empty());
}

/// The last first, and the payload only of one that is asked for.
pub async fn events_are_listed_last_first_in_pages(store: &impl Records) {
    subscribe(store, 1).await;
    // Their ids and times say nothing of when they were inserted.
    for (number, second) in [(3, 0), (1, 2), (4, 0), (5, 0), (2, 1)] {
        assert_eq!(insert(store, an_event(number, second)).await, Inserted::New);
    }
    let mut foreign = an_event(6, 0);
    foreign.organization = "org_2".to_owned();
    assert_eq!(insert(store, foreign).await, Inserted::New);
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
    let event = store.find_event(ORGANIZATION, &id).await.expect("store answers").expect("it was inserted");
    assert_eq!(event.payload, Some(an_event(4, 0).payload));
    assert!(store.expunge(ORGANIZATION, &id, at(3)).await.expect("store answers"));
    let event = store.find_event(ORGANIZATION, &id).await.expect("store answers").expect("its id stays");
    assert_eq!(event.payload, None);
}

/// To each subscription, the replayed ones too.
pub async fn an_events_deliveries_are_listed_in_pages(store: &impl Records) {
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
        store.replay(&Replay::Delivery(delivery_id(7)), at(2), 1).await.expect("store answers").made,
        1
    );
    for limit in [1, 2, 9] {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = store.list_event_deliveries(ORGANIZATION, &id, after, limit).await;
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

/// Attempts that began in the period by their outcomes and slots, latencies of what was answered, and the backlog.
pub async fn statistics_count_the_attempts_of_a_period(store: &impl Records) {
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
        let settlement = Settlement::new(claimed.delivery, claimed.lease, at(100 + second), attempt, next);
        assert_eq!(settle(store, settlement).await, Settled::Done);
    }
    let period = Period::new(at(0), at(30), Duration::from_secs(10));
    let told = store.statistics(ORGANIZATION, subscription_id(1), &period).await.expect("store answers");
    let told = told.expect("there is such a subscription");
    let counts = |counts: &[crate::store::Count]| -> Vec<_> {
        counts.iter().map(|count| (count.outcome, count.attempts)).collect()
    };
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

/// Every call, as another organization and as one that nobody ever heard of.
pub async fn what_is_anothers_is_answered_as_what_is_not_there(store: &impl Records) {
    let all = some_deliveries(store).await;
    let letter = dead_letters(store).await.remove(0);
    let mut foreign = a_subscription(2);
    foreign.organization = "org_2".to_owned();
    assert_eq!(add(store, &foreign, None).await, Added::Done);
    let period = Period::new(at(0), at(90), Duration::from_secs(10));
    let query = DeliveryQuery::new(subscription_id(1));
    for organization in ["org_2", "org_3", "", "org_1 ", "ORG_1", "org\0"] {
        let told = store.list_subscriptions(organization, None, 9).await.expect("store answers");
        assert!(told.items.iter().all(|subscription| subscription.id != subscription_id(1)));
        assert!(store.find_delivery(organization, all[0].id).await.expect("store answers").is_none());
        let told = store.list_deliveries(organization, &query, None, 9).await.expect("store answers");
        assert_eq!(told, Page::last(Vec::new()));
        let told = store.list_dead_letters(organization, None, 9).await.expect("store answers");
        assert_eq!(told, Page::last(Vec::new()));
        assert!(!store.discard(organization, letter.id, "").await.expect("store answers"));
        assert!(store.find_event(organization, &all[0].event).await.expect("store answers").is_none());
        let told = store.list_events(organization, None, 9).await.expect("store answers");
        assert_eq!(told, Page::last(Vec::new()));
        let told = store.list_event_deliveries(organization, &all[0].event, None, 9).await;
        assert_eq!(told.expect("store answers"), Page::last(Vec::new()));
        let told = store.statistics(organization, subscription_id(1), &period).await.expect("store answers");
        assert!(told.is_none());
    }
    assert!(store.find_delivery(ORGANIZATION, all[0].id).await.expect("store answers").is_some());
    assert!(store.discard(ORGANIZATION, letter.id, "").await.expect("store answers"));
}

/// Deliveries 1 to 24 to subscription 1, in every state and of two types, newest first; one is another subscription's.
async fn some_deliveries(store: &impl Records) -> Vec<Delivery> {
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
    let ends = [Next::Delivered].into_iter().chain(dead.map(Next::dead));
    let claimed = claim_up_to(store, at(24), 20).await;
    for (claimed, next) in claimed.iter().zip(ends.cycle()) {
        assert_eq!(settle(store, ended(claimed, at(26), next)).await, Settled::Done);
    }
    // A letter in whose place another was made.
    let made = store.replay(&Replay::Delivery(claimed[2].delivery), at(40), 1).await.expect("store answers");
    assert_eq!(made.made, 1);
    let mut all = store.deliveries(subscription_id(1), None, 100).await.expect("store answers");
    assert_eq!(all.len(), 25);
    all.sort_by_key(|delivery| std::cmp::Reverse(delivery.id));
    all
}

async fn listed(store: &impl Records, query: &DeliveryQuery, limit: u32) -> Vec<Delivery> {
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
    store: &impl Records,
    query: &DeliveryQuery,
    after: Option<Cursor>,
    limit: u32,
) -> Page<Delivery> {
    store.list_deliveries(ORGANIZATION, query, after, limit).await.expect("store answers")
}

/// In pages of two.
async fn dead_letters(store: &impl Records) -> Vec<Delivery> {
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

async fn add(store: &impl Records, subscription: &Subscription, secret: Option<&SecretDigest>) -> Added {
    store.add_subscription(subscription, secret, 50).await.expect("store answers")
}

fn digest(number: u8) -> SecretDigest {
    SecretDigest::of(&Secret::from_random([number; 32]))
}

/// As a client hands it back.
fn through_text(cursor: Cursor) -> Cursor {
    cursor.to_string().parse().expect("a cursor's text is read back")
}
