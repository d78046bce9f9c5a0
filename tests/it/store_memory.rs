//! The memory store and inbox: the rules of every store, and its own behaviour.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use hookwire::delivery::Next;
use hookwire::store::implement::{Claim, InsertOutcome, NewEvent, Settled, Settlement, Share};
use hookwire::store::{InboxKey, Lease, LeaseRequests, Replay, Retention, StoredRequest};
use hookwire::{
    AddressPolicy, Attempt, DeliveryId, EndpointUrl, EventFilter, Intake, MemoryStore, Outcome, Pruning,
    Records, Store, Subscription, SubscriptionId, Subscriptions,
};
use http::StatusCode;
use time::OffsetDateTime;
use time::macros::datetime;

use crate::stores::{claim_of, deliveries, poll};

mod plain {
    crate::stores::every_suite!(crate::store_memory::fresh);
}

/// The store behind a pointer, which forwards every call.
mod shared {
    crate::stores::every_suite!(crate::store_memory::fresh_shared);
}

async fn fresh() -> (MemoryStore, ()) {
    (MemoryStore::new(), ())
}

async fn fresh_shared() -> (Arc<MemoryStore>, ()) {
    (Arc::new(MemoryStore::new()), ())
}

#[test]
fn no_runtime_is_asked_for_and_no_call_waits() {
    let store = MemoryStore::new();
    at_once(store.put(&subscription(1))).unwrap();
    at_once(store.insert(&[event(1, 0).with_delivery(delivery_id(1), subscription_id(1))])).unwrap();
    assert_eq!(at_once(store.look(&poll(1, at(0)))).unwrap().ready, [subscription_id(1)]);
}

#[test]
fn the_same_calls_are_answered_the_same_down_to_the_ids_of_replays() {
    let replayed = || {
        let store = MemoryStore::new();
        at_once(store.put(&subscription(1))).unwrap();
        for number in 1..=2 {
            let event = event(number, 0).with_delivery(delivery_id(number), subscription_id(1));
            at_once(store.insert(&[event])).unwrap();
            at_once(store.cancel(delivery_id(number), at(1))).unwrap();
        }
        let made = at_once(store.replay(&Replay::Since(subscription_id(1), at(0)), 10, at(2))).unwrap();
        assert_eq!(made.made, 2);
        at_once(deliveries(&store, "org_1", subscription_id(1)))
    };
    let deliveries = replayed();
    assert_eq!(deliveries.len(), 4, "every id is one of its own");
    assert_eq!(deliveries, replayed());
}

#[test]
fn a_delivery_id_that_is_taken_fails_the_whole_batch() {
    let store = MemoryStore::new();
    at_once(store.put(&subscription(1))).unwrap();
    let with = |number: u32, delivery: u32| {
        event(number, 0).with_delivery(delivery_id(delivery), subscription_id(1))
    };
    at_once(store.insert(&[with(1, 1)])).unwrap();
    for batch in [[with(2, 2), with(3, 1)], [with(2, 2), with(3, 2)]] {
        let error = at_once(store.insert(&batch)).unwrap_err();
        assert!(!error.is_retryable());
        assert!(at_once(store.find_delivery("org_1", delivery_id(2))).unwrap().is_none());
    }
    assert_eq!(at_once(store.insert(&[with(2, 2)])).unwrap(), [InsertOutcome::New]);
}

#[test]
fn a_delivery_made_for_a_deleted_subscription_is_a_visible_dead_letter() {
    let store = MemoryStore::new();
    at_once(store.insert(&[event(1, 0).with_delivery(delivery_id(1), subscription_id(1))])).unwrap();
    let delivery = at_once(store.find_delivery("org_1", delivery_id(1))).unwrap().unwrap();
    assert_eq!(delivery.state.as_str(), "cancelled");
    let all = Retention::new().with_deliveries(Duration::ZERO);
    assert_eq!(at_once(store.prune(&all, 10, at(0))).unwrap(), 2, "a delivery and its event");
}

#[test]
fn everything_pruned_leaves_nothing_behind() {
    let store = MemoryStore::new();
    at_once(store.put(&subscription(1))).unwrap();
    for number in 1..=20 {
        let event = event(number, 0)
            .with_ordering_key(format!("key {}", number % 3))
            .with_delivery(delivery_id(number), subscription_id(1));
        at_once(store.insert(&[event])).unwrap();
    }
    while let [claimed, ..] = &at_once(store.claim(&wish(1))).unwrap().deliveries[..] {
        at_once(store.settle(&[delivered(claimed.delivery, claimed.lease)])).unwrap();
    }
    at_once(store.delete(subscription_id(1), at(1))).unwrap();
    let all = Retention::new().with_deliveries(Duration::ZERO);
    assert_eq!(at_once(store.prune(&all, 100, at(1))).unwrap(), 60);
    assert_eq!(format!("{store:?}"), "MemoryStore { subscriptions: 0, events: 0, deliveries: 0, .. }");
}

#[test]
fn a_delivery_with_more_attempts_than_the_limit_is_pruned_in_steps() {
    let store = MemoryStore::new();
    at_once(store.put(&subscription(1))).unwrap();
    at_once(store.insert(&[event(1, 0).with_delivery(delivery_id(1), subscription_id(1))])).unwrap();
    for number in 1..=5 {
        let claimed = at_once(store.claim(&wish(1))).unwrap().deliveries.remove(0);
        let next = if number == 5 { Next::Done } else { Next::retry(Duration::ZERO) };
        let settlement = ended(claimed.delivery, claimed.lease, next);
        assert_eq!(at_once(store.settle(&[settlement])).unwrap(), [Settled::Done]);
    }
    let all = Retention::new().with_deliveries(Duration::ZERO);
    let pruned: Vec<_> = (0..4).map(|_| at_once(store.prune(&all, 2, at(9))).unwrap()).collect();
    assert_eq!(pruned, [2, 2, 3, 0]);
}

#[test]
fn leases_and_delays_without_end_are_no_panic() {
    let store = MemoryStore::new();
    at_once(store.put(&subscription(1))).unwrap();
    at_once(store.insert(&[event(1, 0).with_delivery(delivery_id(1), subscription_id(1))])).unwrap();
    let for_ever = claim_of(Duration::MAX, vec![Share::new(subscription_id(1), 1)], at(0));
    let claimed = at_once(store.claim(&for_ever)).unwrap().deliveries.remove(0);
    let never = Next::retry(Duration::MAX);
    let settlement = ended(claimed.delivery, claimed.lease, never);
    at_once(store.settle(&[settlement.with_pause(Duration::MAX)])).unwrap();
    assert!(at_once(store.look(&poll(1, at(0)))).unwrap().wait.is_some());
    let never = Retention::new().with_deliveries(Duration::MAX).with_payloads(Duration::MAX);
    assert_eq!(at_once(store.prune(&never, 1, at(0))).unwrap(), 0);
}

#[test]
fn threads_that_share_a_store_share_no_delivery() {
    let store = Arc::new(MemoryStore::new());
    at_once(store.put(&subscription(1))).unwrap();
    let events: Vec<_> = (1..=400)
        .map(|number| event(number, 0).with_delivery(delivery_id(number), subscription_id(1)))
        .collect();
    at_once(store.insert(&events)).unwrap();
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let store = Arc::clone(&store);
            std::thread::spawn(move || {
                let mut mine = Vec::new();
                loop {
                    let claimed = at_once(store.claim(&wish(7))).unwrap().deliveries;
                    if claimed.is_empty() {
                        return mine;
                    }
                    for claimed in claimed {
                        let told =
                            at_once(store.settle(&[delivered(claimed.delivery, claimed.lease)])).unwrap();
                        assert_eq!(told, [Settled::Done]);
                        mine.push(claimed.delivery);
                    }
                }
            })
        })
        .collect();
    let mut times = HashMap::new();
    for delivery in workers.into_iter().flat_map(|worker| worker.join().unwrap()) {
        *times.entry(delivery).or_insert(0) += 1;
    }
    assert_eq!(times.len(), 400);
    assert!(times.values().all(|times| *times == 1));
}

/// The output of a future that never waits.
fn at_once<F: Future>(future: F) -> F::Output {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the call waits"),
    }
}

fn delivered(delivery: DeliveryId, lease: Lease) -> Settlement {
    ended(delivery, lease, Next::Done)
}

fn ended(delivery: DeliveryId, lease: Lease, next: Next) -> Settlement {
    let attempt = Attempt::new(1, at(0), Duration::ZERO, Outcome::answered(StatusCode::OK));
    Settlement::new(delivery, lease, attempt, next, at(0))
}

fn wish(limit: u32) -> Claim {
    claim_of(Duration::from_secs(60), vec![Share::new(subscription_id(1), limit)], at(0))
}

/// The inbox remembers a handled request for a week. Its body would fill the memory.
#[tokio::test]
async fn the_body_of_a_request_that_is_done_is_let_go_of() {
    struct Body(#[expect(dead_code, reason = "it is counted")] Arc<()>);
    impl AsRef<[u8]> for Body {
        fn as_ref(&self) -> &[u8] {
            b"{}"
        }
    }
    let held = Arc::new(());
    let body = Bytes::from_owner(Body(Arc::clone(&held)));
    let store = MemoryStore::new();
    let request = StoredRequest::new(InboxKey::new("allison", "evt_1".parse().unwrap()), START, body);
    store.store_requests(&[request]).await.unwrap();
    assert_eq!(Arc::strong_count(&held), 2);
    let taken = store
        .lease_requests(&LeaseRequests::new("allison", Duration::from_secs(60), 1, START))
        .await
        .unwrap()
        .requests;
    let (key, lease) = (taken[0].key.clone(), taken[0].lease);
    drop(taken);
    let done = Settlement::handled(key, lease, START);
    assert_eq!(store.settle_requests(&[done], Duration::from_secs(60)).await.unwrap(), [Settled::Done]);
    assert_eq!(Arc::strong_count(&held), 1);
}

fn subscription(number: u32) -> Subscription {
    let url = EndpointUrl::parse("https://hooks.example.com/", &AddressPolicy::new()).unwrap();
    Subscription::from_parts(
        subscription_id(number),
        START,
        "org_1",
        &hookwire::Contract::allison(),
        url,
        EventFilter::all(),
    )
    .with_secret(hookwire::Secret::from_random([7; 32]))
}

fn event(number: u32, second: i64) -> NewEvent {
    NewEvent::new(
        "org_1",
        &hookwire::Contract::allison(),
        format!("evt_{number}").parse().unwrap(),
        "call.ended".parse().unwrap(),
        Bytes::from(format!("{{\"number\":{number}}}")),
        at(second),
    )
}

fn subscription_id(number: u32) -> SubscriptionId {
    SubscriptionId::from_parts(at(i64::from(number)), [1; 10])
}

fn delivery_id(number: u32) -> DeliveryId {
    DeliveryId::from_parts(at(i64::from(number)), [2; 10])
}

fn at(second: i64) -> OffsetDateTime {
    START + time::Duration::seconds(second)
}

const START: OffsetDateTime = datetime!(2026-04-17 19:12:03.482_001 UTC);
