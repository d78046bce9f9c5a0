//! Ordering keys.

use std::time::Duration;

use super::fixture::Fixture;
use super::steps::*;
use crate::delivery::{DeadReason, Next};
use crate::store::{InsertOutcome, Polled, Settled, Settlement, Share};

/// Deliveries with another ordering key, or without one, are not held up.
pub async fn only_the_first_of_an_ordering_key_is_claimed(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit_keyed(store, 1, 0, 1, "call 1").await;
    emit_keyed(store, 2, 0, 1, "call 1").await;
    emit_keyed(store, 3, 0, 1, "call 2").await;
    emit(store, 4, 0, 1).await;
    emit_keyed(store, 5, 0, 1, "call 1").await;
    emit(store, 6, 0, 1).await;
    emit_keyed(store, 7, 0, 1, "").await;
    emit_keyed(store, 8, 0, 1, "").await;
    let mut claimed = numbers(&claim(store, at(0)).await);
    claimed.sort_unstable();
    assert_eq!(claimed, [1, 3, 4, 6, 7]);
    assert!(claim(store, at(1)).await.is_empty());
    // The lease of the first ends, and it is the first still.
    let mut claimed = numbers(&claim(store, at(0) + LEASE).await);
    claimed.sort_unstable();
    assert_eq!(claimed, [1, 3, 4, 6, 7]);
}

/// When the first delivery of a key ends, the next one is due at that instant: a share that begins there
/// finds it.
pub async fn the_next_of_an_ordering_key_is_due_at_once_when_the_first_ends(store: &impl Fixture) {
    subscribe(store, 1).await;
    for number in 1..=4 {
        emit_keyed(store, number, i64::from(number), 1, "call").await;
    }
    let since = |second| vec![Share::new(subscription_id(1), 10).with_since(Some(at(second)))];
    let first = claim_one(store, at(10)).await;
    assert_eq!(first.delivery, delivery_id(1));
    assert_eq!(settle(store, ended(&first, at(20), Next::Done)).await, Settled::Done);
    assert_eq!(look(store, at(20)).await.ready, [subscription_id(1)]);
    let second = claim_shares(store, at(20), since(20)).await;
    assert_eq!(numbers(&second), [2]);
    let dead = ended(&second[0], at(30), Next::dead(DeadReason::Exhausted));
    assert_eq!(settle(store, dead).await, Settled::Done);
    assert!(claim(store, at(29)).await.is_empty());
    let third = claim_shares(store, at(30), since(30)).await;
    assert_eq!(numbers(&third), [3]);
    let dead = ended(&third[0], at(40), Next::dead(DeadReason::Refused));
    assert_eq!(settle(store, dead).await, Settled::Done);
    assert_eq!(numbers(&claim_shares(store, at(40), since(40)).await), [4]);
}

/// A key waits while its first delivery waits for its retry, or was handed back.
pub async fn an_ordering_key_waits_while_its_first_is_tried_again(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit_keyed(store, 1, 0, 1, "call").await;
    emit_keyed(store, 2, 0, 1, "call").await;
    let first = claim_one(store, at(0)).await;
    let retry = Next::retry(Duration::from_secs(100));
    assert_eq!(settle(store, ended(&first, at(1), retry)).await, Settled::Done);
    assert!(claim(store, at(100)).await.is_empty());
    let again = claim(store, at(101)).await;
    assert_eq!(numbers(&again), [1]);
    let back = Settlement::hand_back(again[0].delivery, again[0].lease, at(102));
    assert_eq!(settle(store, back).await, Settled::Done);
    assert_eq!(numbers(&claim(store, at(102)).await), [1]);
}

/// A look does not count deliveries that wait behind the first of their key.
pub async fn an_ordering_key_that_waits_is_not_ready(store: &impl Fixture) {
    subscribe(store, 1).await;
    for number in 1..=3 {
        emit_keyed(store, number, 0, 1, "call").await;
    }
    claim_one(store, at(0)).await;
    assert_eq!(look(store, at(1)).await, Polled::new(vec![], Some(Duration::from_secs(59))));
}

/// The same key at two subscriptions is two keys, so that an endpoint that fails holds up no other.
pub async fn an_ordering_key_is_one_subscriptions_own(store: &impl Fixture) {
    subscribe(store, 1).await;
    subscribe(store, 2).await;
    for (number, other) in [(1, 11), (2, 12)] {
        let event = an_event(number, 0)
            .with_ordering_key("call".to_owned())
            .with_delivery(delivery_id(number), subscription_id(1))
            .with_delivery(delivery_id(other), subscription_id(2));
        assert_eq!(insert(store, event).await, InsertOutcome::New);
    }
    let mut claimed = claim(store, at(0)).await;
    claimed.sort_by_key(|claimed| claimed.delivery);
    assert_eq!(numbers(&claimed), [1, 11]);
    assert_eq!(settle(store, ended(&claimed[1], at(1), Next::Done)).await, Settled::Done);
    assert_eq!(numbers(&claim(store, at(1)).await), [12]);
}

/// Within a key, the order is that of insertion, also within a batch; not that of ids or of due times.
pub async fn order_is_that_of_insertion_and_not_of_ids(store: &impl Fixture) {
    subscribe(store, 1).await;
    let batch: Vec<_> = [(9, 5), (3, 2), (7, 4)]
        .into_iter()
        .map(|(number, second)| {
            an_event(number, second)
                .with_ordering_key("call".to_owned())
                .with_delivery(delivery_id(number), subscription_id(1))
        })
        .collect();
    assert_eq!(insert_all(store, &batch).await, [InsertOutcome::New; 3]);
    emit_keyed(store, 1, 0, 1, "call").await;
    for number in [9, 3, 7, 1] {
        let claimed = claim(store, at(10)).await;
        assert_eq!(numbers(&claimed), [number]);
        assert_eq!(settle(store, ended(&claimed[0], at(10), Next::Done)).await, Settled::Done);
    }
}

/// A duplicate takes no place, also where it names another key.
pub async fn a_duplicate_takes_no_place_in_its_ordering_key(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit_keyed(store, 1, 0, 1, "call").await;
    for key in ["call", "other"] {
        let again = an_event(1, 0)
            .with_ordering_key(key.to_owned())
            .with_delivery(delivery_id(2), subscription_id(1));
        assert_eq!(insert(store, again).await, InsertOutcome::Duplicate);
    }
    emit_keyed(store, 3, 0, 1, "other").await;
    let claimed = claim(store, at(0)).await;
    assert_eq!(claimed.len(), 2);
    for claimed in &claimed {
        assert_eq!(settle(store, ended(claimed, at(0), Next::Done)).await, Settled::Done);
    }
    assert_eq!(look(store, at(1)).await, Polled::default());
}

/// Two deliveries of one event to one subscription share its key.
pub async fn one_event_twice_to_one_subscription_keeps_its_order(store: &impl Fixture) {
    subscribe(store, 1).await;
    let twice = an_event(1, 0)
        .with_ordering_key("call".to_owned())
        .with_delivery(delivery_id(1), subscription_id(1))
        .with_delivery(delivery_id(2), subscription_id(1));
    assert_eq!(insert(store, twice).await, InsertOutcome::New);
    for number in [1, 2] {
        let claimed = claim(store, at(0)).await;
        assert_eq!(numbers(&claimed), [number]);
        assert_eq!(settle(store, ended(&claimed[0], at(0), Next::Done)).await, Settled::Done);
    }
}
