//! Cancelling and expunging.

use bytes::Bytes;

use super::fixture::Managed;
use super::steps::*;
use crate::delivery::{DeadReason, DeliveryState, Next};
use crate::store::{InsertOutcome, Polled, Settled};

/// A delivery that is cancelled is a dead letter, and is never claimed.
pub async fn a_pending_delivery_is_cancelled(store: &impl Managed) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    emit(store, 2, 0, 1).await;
    assert!(store.cancel(delivery_id(1), at(1)).await.expect("store answers"));
    let cancelled = delivery(store, 1).await;
    assert_eq!(cancelled.state, DeliveryState::Dead(DeadReason::Cancelled));
    assert_eq!(cancelled.due_at, None);
    assert_eq!(numbers(&claim(store, at(1_000)).await), [2]);
}

/// Cancelling ends a lease: its settlement changes neither the state nor the attempts.
pub async fn a_delivery_cancelled_during_its_attempt_settles_as_stale(store: &impl Managed) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    assert!(store.cancel(delivery_id(1), at(1)).await.expect("store answers"));
    assert_eq!(settle(store, ended(&claimed, at(2), Next::Done)).await, Settled::Stale);
    let leases = [(claimed.delivery, claimed.lease)];
    assert_eq!(store.extend(&leases, LEASE, at(2)).await.expect("store answers"), [Settled::Stale]);
    assert_eq!(state(store, 1).await, DeliveryState::Dead(DeadReason::Cancelled));
    assert!(attempts(store, 1).await.is_empty());
    assert!(claim(store, at(1_000)).await.is_empty());
}

/// Cancelling a delivery that has ended, or that does not exist, returns `false`.
pub async fn what_is_finished_or_missing_is_not_cancelled(store: &impl Managed) {
    subscribe(store, 1).await;
    for (number, next) in [(1, Next::Done), (2, Next::dead(DeadReason::Refused))] {
        emit(store, number, 0, 1).await;
        let claimed = claim_one(store, at(0)).await;
        settle(store, ended(&claimed, at(1), next)).await;
        let before = delivery(store, number).await;
        assert!(!store.cancel(delivery_id(number), at(2)).await.expect("store answers"));
        assert_eq!(delivery(store, number).await, before);
    }
    assert!(!store.cancel(delivery_id(9), at(2)).await.expect("store answers"));
    emit(store, 3, 0, 1).await;
    assert!(store.cancel(delivery_id(3), at(2)).await.expect("store answers"));
    assert!(!store.cancel(delivery_id(3), at(2)).await.expect("store answers"));
}

/// After an event was expunged, the same bytes are a duplicate still, and others a conflict.
pub async fn an_expunged_event_is_never_sent_and_its_id_stays_taken(store: &impl Managed) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    emit(store, 2, 0, 1).await;
    let id = an_event(1, 0).id;
    assert!(!store.expunge("org_2", CONTRACT, &id, at(1)).await.expect("store answers"));
    assert!(!store.expunge(ORGANIZATION, CONTRACT, &an_event(9, 0).id, at(1)).await.expect("store answers"));
    for _ in 0..2 {
        assert!(store.expunge(ORGANIZATION, CONTRACT, &id, at(1)).await.expect("store answers"));
    }
    assert_eq!(state(store, 1).await, DeliveryState::Dead(DeadReason::Cancelled));
    assert_eq!(delivery(store, 1).await.event, id);
    assert_eq!(numbers(&claim(store, at(2)).await), [2]);
    let again = an_event(1, 0).with_delivery(delivery_id(3), subscription_id(1));
    assert_eq!(insert(store, again).await, InsertOutcome::Duplicate);
    let mut other = an_event(1, 0);
    other.payload = Bytes::from_static(b"other");
    assert_eq!(insert(store, other).await, InsertOutcome::Conflict);
    assert!(claim(store, at(2)).await.is_empty());
}

/// Expunging ends a lease: its settlement is stale.
pub async fn an_expunged_event_cancels_its_attempt_under_way(store: &impl Managed) {
    subscribe(store, 1).await;
    subscribe(store, 2).await;
    let event = an_event(1, 0)
        .with_delivery(delivery_id(1), subscription_id(1))
        .with_delivery(delivery_id(2), subscription_id(2));
    insert(store, event).await;
    let claimed = claim_one(store, at(0)).await;
    assert!(store.expunge(ORGANIZATION, CONTRACT, &claimed.event, at(1)).await.expect("store answers"));
    assert_eq!(settle(store, ended(&claimed, at(2), Next::Done)).await, Settled::Stale);
    for number in [1, 2] {
        assert_eq!(state(store, number).await, DeliveryState::Dead(DeadReason::Cancelled));
    }
    assert_eq!(look(store, at(1_000)).await, Polled::default());
}

/// When an event is expunged, the next delivery of its ordering key is due.
pub async fn an_expunged_event_does_not_hold_up_its_ordering_key(store: &impl Managed) {
    subscribe(store, 1).await;
    for number in 1..=3 {
        emit_keyed(store, number, 0, 1, "call").await;
    }
    claim_one(store, at(0)).await;
    for number in [1, 2] {
        assert!(
            store
                .expunge(ORGANIZATION, CONTRACT, &an_event(number, 0).id, at(5))
                .await
                .expect("store answers")
        );
    }
    assert_eq!(numbers(&claim(store, at(5)).await), [3]);
}
