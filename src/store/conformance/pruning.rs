//! Deleting old rows.

use std::time::Duration;

use super::fixture::Managed;
use super::steps::*;
use crate::delivery::{DeadReason, DeliveryState, Next};
use crate::store::{InsertOutcome, Pruning, Replay, Retention};

/// A payload's age counts from the end of the last delivery of its event. The id stays taken, and nothing is
/// replayed.
pub async fn payloads_are_pruned_once_their_event_is_finished_for_long_enough(
    store: &(impl Managed + Pruning),
) {
    subscribe(store, 1).await;
    subscribe(store, 2).await;
    let event = an_event(1, 0)
        .with_delivery(delivery_id(1), subscription_id(1))
        .with_delivery(delivery_id(2), subscription_id(2));
    insert(store, event).await;
    let mut claimed = claim(store, at(0)).await;
    claimed.sort_by_key(|claimed| claimed.delivery);
    let retention = Retention::new().with_payloads(Duration::from_secs(100));
    let prune = async |now| store.prune(&retention, 10, now).await.expect("store answers");
    settle(store, ended(&claimed[0], at(10), Next::Done)).await;
    assert_eq!(prune(at(1_000)).await, 0, "a delivery is pending");
    settle(store, ended(&claimed[1], at(1_000), Next::dead(DeadReason::Refused))).await;
    assert_eq!(prune(at(1_099)).await, 0, "a delivery ended less than its age ago");
    assert_eq!(prune(at(1_100)).await, 1);
    assert_eq!(prune(at(1_100)).await, 0);
    assert_eq!(replayed(store).await, 0);
    assert_eq!(insert(store, an_event(1, 0)).await, InsertOutcome::Duplicate);
    assert_eq!(state(store, 1).await, DeliveryState::Delivered);
    assert_eq!(attempts(store, 1).await.len(), 1);
}

/// Attempts of a pending delivery stay.
pub async fn attempts_are_pruned_and_their_delivery_stays(store: &(impl Managed + Pruning)) {
    subscribe(store, 1).await;
    for (number, next) in [(1, Next::Done), (2, Next::retry(Duration::from_secs(10_000)))] {
        emit(store, number, 0, 1).await;
        end(store, number, next).await;
    }
    let retention = Retention::new().with_attempts(Duration::from_secs(100));
    assert_eq!(store.prune(&retention, 10, at(50)).await.expect("store answers"), 0);
    assert_eq!(store.prune(&retention, 10, at(5_000)).await.expect("store answers"), 1);
    assert_eq!(store.prune(&retention, 10, at(5_000)).await.expect("store answers"), 0);
    assert!(attempts(store, 1).await.is_empty());
    assert_eq!(delivery(store, 1).await.attempts, 1);
    assert_eq!(attempts(store, 2).await.len(), 1);
    assert_eq!(replayed(store).await, 1, "the payload stays");
}

/// An event goes with its last delivery, and its id is free again.
pub async fn deliveries_are_pruned_with_their_attempts_and_events(store: &(impl Managed + Pruning)) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    end(store, 1, Next::Done).await;
    emit(store, 2, 0, 1).await;
    let retention = Retention::new().with_deliveries(Duration::from_secs(100));
    assert_eq!(store.prune(&retention, 10, at(50)).await.expect("store answers"), 0);
    let pruned = store.prune(&retention, 10, at(5_000)).await.expect("store answers");
    assert_eq!(pruned, 3, "a delivery, its attempt and its event");
    assert!(find(store, delivery_id(1)).await.is_none());
    assert!(attempts(store, 1).await.is_empty());
    assert_eq!(state(store, 2).await, DeliveryState::Pending);
    assert_eq!(emit(store, 1, 0, 1).await, InsertOutcome::New);
    assert_eq!(insert(store, an_event(2, 0)).await, InsertOutcome::Duplicate);
}

/// The age of an event without deliveries counts from its insertion.
pub async fn an_event_that_nobody_wanted_is_pruned_by_its_age(store: &(impl Managed + Pruning)) {
    insert(store, an_event(1, 0)).await;
    let retention = Retention::new().with_payloads(Duration::from_secs(10)).with_deliveries(LEASE);
    assert_eq!(store.prune(&retention, 10, at(9)).await.expect("store answers"), 0);
    assert_eq!(store.prune(&retention, 10, at(10)).await.expect("store answers"), 1);
    assert_eq!(insert(store, an_event(1, 0)).await, InsertOutcome::Duplicate);
    assert_eq!(store.prune(&retention, 10, at(60)).await.expect("store answers"), 1);
    assert_eq!(store.prune(&retention, 10, at(60)).await.expect("store answers"), 0);
    assert_eq!(insert(store, an_event(1, 0)).await, InsertOutcome::New);
}

/// Calls that are repeated until one deletes nothing delete everything, however many rows that stay are in
/// between.
pub async fn no_more_is_pruned_than_the_limit_and_calls_again_prune_the_rest(
    store: &(impl Managed + Pruning),
) {
    subscribe(store, 1).await;
    subscribe(store, 2).await;
    for number in 1..=3 {
        let event = an_event(number, 0)
            .with_delivery(delivery_id(number), subscription_id(1))
            .with_delivery(delivery_id(number + 10), subscription_id(2));
        insert(store, event).await;
        end(store, number, Next::Done).await;
    }
    for number in 4..=8 {
        emit(store, number, 0, 1).await;
        end(store, number, Next::Done).await;
    }
    let all = async |retention: &Retention| {
        let mut pruned = Vec::new();
        loop {
            match store.prune(retention, 2, at(5_000)).await.expect("store answers") {
                0 => return pruned,
                some => pruned.push(some),
            }
            assert!(pruned.len() < 20, "it never ends: {pruned:?}");
        }
    };
    let payloads = all(&Retention::new().with_payloads(Duration::from_secs(100))).await;
    assert_eq!(payloads.iter().sum::<u64>(), 5);
    assert!(payloads.iter().all(|pruned| *pruned <= 2), "{payloads:?}");
    let attempts = all(&Retention::new().with_attempts(Duration::from_secs(100))).await;
    assert_eq!(attempts.iter().sum::<u64>(), 8);
    assert!(attempts.iter().all(|pruned| *pruned <= 2), "{attempts:?}");
    let deliveries = all(&Retention::new().with_deliveries(Duration::from_secs(100))).await;
    assert_eq!(deliveries.iter().sum::<u64>(), 13, "eight deliveries and the events of five");
    assert!(deliveries.iter().all(|pruned| *pruned <= 4), "{deliveries:?}");
    let mut left = numbers(&claim(store, at(5_000)).await);
    left.sort_unstable();
    assert_eq!(left, [11, 12, 13]);
}

/// A retention without ages deletes nothing.
pub async fn what_is_kept_for_ever_is_not_pruned(store: &(impl Managed + Pruning)) {
    subscribe(store, 1).await;
    insert(store, an_event(2, 0)).await;
    emit(store, 1, 0, 1).await;
    end(store, 1, Next::Done).await;
    assert_eq!(store.prune(&Retention::new(), 10, at(1_000_000_000)).await.expect("store answers"), 0);
    assert_eq!(attempts(store, 1).await.len(), 1);
    assert_eq!(replayed(store).await, 1);
}

/// Replays delivery 1, and returns how many deliveries that made.
async fn replayed(store: &impl Managed) -> u32 {
    let replay = Replay::Delivery(delivery_id(1));
    store.replay(&replay, 10, at(10_000)).await.expect("store answers").made
}
