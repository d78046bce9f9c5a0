//! Settling, extending and cancelling.

use super::*;
use crate::delivery::DeadReason;
use crate::outcome::{ErrorClass, Timings};
use crate::store::Lease;

/// It is never claimed again.
pub async fn a_delivered_delivery_is_finished_and_its_attempt_logged(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    let attempt = attempt(1, 0).with_response_excerpt("thanks");
    let done = Settlement::new(claimed.delivery, claimed.lease, at(1), attempt.clone(), Next::Delivered);
    assert_eq!(settle(store, done).await, Settled::Done);
    let delivery = delivery(store, 1).await;
    assert_eq!(delivery.state, DeliveryState::Delivered);
    assert_eq!(delivery.attempts, 1);
    assert_eq!(delivery.due_at, None);
    assert_eq!(store.attempts(claimed.delivery).await.expect("store answers"), [attempt]);
    assert!(claim(store, at(1_000_000)).await.is_empty());
}

/// Dead is visible, and why.
pub async fn a_dead_letter_stays_readable_with_its_reason(store: &impl Store) {
    subscribe(store, 1).await;
    let reasons = [DeadReason::Exhausted, DeadReason::Refused, DeadReason::Gone];
    for (number, reason) in (1..).zip(reasons) {
        emit(store, number, 0, 1).await;
        let claimed = claim_one(store, at(0)).await;
        let dead = Settlement::new(claimed.delivery, claimed.lease, at(1), attempt(1, 0), Next::dead(reason));
        assert_eq!(settle(store, dead).await, Settled::Done);
        assert_eq!(delivery(store, number).await.state, DeliveryState::Dead(reason));
        assert_eq!(delivery(store, number).await.event, an_event(number, 0).id);
    }
    assert!(claim(store, at(1_000_000)).await.is_empty());
}

/// The delay counts from the settlement.
pub async fn a_retry_is_due_after_its_delay(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    let retry = Next::retry(Duration::from_secs(100));
    settle(store, Settlement::new(claimed.delivery, claimed.lease, at(7), attempt(1, 0), retry)).await;
    let waiting = delivery(store, 1).await;
    assert_eq!((waiting.state, waiting.attempts), (DeliveryState::Pending, 1));
    assert_eq!(waiting.due_at, Some(at(107)));
    assert!(claim(store, at(107) - Duration::from_micros(1)).await.is_empty());
    assert_eq!(claim_one(store, at(107)).await.attempt, 2);
}

/// The time since then bounds the retries.
pub async fn the_first_attempt_is_remembered(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    for (number, second) in [(1, 3), (2, 30), (3, 300)] {
        let claimed = claim_one(store, at(second)).await;
        assert_eq!(claimed.first_attempt_at, (number > 1).then(|| at(3)));
        let again = Next::retry(Duration::ZERO);
        settle(
            store,
            Settlement::new(claimed.delivery, claimed.lease, at(second), attempt(number, second), again),
        )
        .await;
    }
}

/// Neither the state nor the log.
pub async fn a_stale_settlement_changes_nothing(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let slow = claim_one(store, at(0)).await;
    let fresh = claim_one(store, at(0) + LEASE).await;
    let before = delivery(store, 1).await;
    let late = |lease| Settlement::new(slow.delivery, lease, at(61), attempt(1, 0), Next::Delivered);
    let never = Lease::new(u64::MAX);
    for lease in [slow.lease, Lease::new(0), never] {
        assert_eq!(settle(store, late(lease)).await, Settled::Stale);
    }
    let unknown = Settlement::new(delivery_id(9), fresh.lease, at(61), attempt(1, 0), Next::Delivered);
    assert_eq!(settle(store, unknown).await, Settled::Stale);
    assert_eq!(delivery(store, 1).await, before);
    assert!(store.attempts(slow.delivery).await.expect("store answers").is_empty());
    assert_eq!(settle(store, late(fresh.lease)).await, Settled::Done);
}

/// A caller that was not told of the first may repeat it.
pub async fn a_settlement_sent_twice_is_written_once(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    let retry = Next::retry(Duration::from_secs(5));
    let once = Settlement::new(claimed.delivery, claimed.lease, at(1), attempt(1, 0), retry);
    let told = store.settle(&[once.clone(), once.clone()]).await.expect("settlements are written");
    assert_eq!(told, [Settled::Done, Settled::Stale]);
    assert_eq!(settle(store, once).await, Settled::Stale);
    assert_eq!(delivery(store, 1).await.attempts, 1);
    assert_eq!(store.attempts(claimed.delivery).await.expect("store answers").len(), 1);
}

/// The work was done, and nobody does it again.
pub async fn a_late_settlement_counts_while_nobody_else_claimed(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let slow = claim_one(store, at(0)).await;
    let late = Settlement::new(slow.delivery, slow.lease, at(1_000), attempt(1, 0), Next::Delivered);
    assert_eq!(settle(store, late).await, Settled::Done);
    assert!(claim(store, at(1_000)).await.is_empty());
}

/// A stale one stops no others.
pub async fn settlements_are_told_in_the_order_given(store: &impl Store) {
    subscribe(store, 1).await;
    for number in 1..=4 {
        emit(store, number, 0, 1).await;
    }
    let claimed = claim(store, at(0)).await;
    let batch: Vec<_> = [3, 1, 0, 2]
        .map(|index: usize| {
            let lease = if index == 1 { Lease::new(77) } else { claimed[index].lease };
            Settlement::new(claimed[index].delivery, lease, at(1), attempt(1, 0), Next::Delivered)
        })
        .to_vec();
    let told = store.settle(&batch).await.expect("settlements are written");
    assert_eq!(told, [Settled::Done, Settled::Stale, Settled::Done, Settled::Done]);
    assert_eq!(delivery(store, 2).await.state, DeliveryState::Pending);
    assert_eq!(delivery(store, 4).await.state, DeliveryState::Delivered);
}

/// A worker that shuts down costs the delivery nothing.
pub async fn a_delivery_handed_back_counts_no_attempt_and_is_due_at_once(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    let back = Settlement::hand_back(claimed.delivery, claimed.lease, at(1));
    assert_eq!(settle(store, back).await, Settled::Done);
    assert_eq!(delivery(store, 1).await.attempts, 0);
    assert!(store.attempts(claimed.delivery).await.expect("store answers").is_empty());
    assert_eq!(claim_one(store, at(1)).await.attempt, 1);
}

/// Every outcome comes back.
pub async fn attempts_are_listed_first_to_last_as_they_were(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let waits =
        Outcome::answered(StatusCode::SERVICE_UNAVAILABLE).with_retry_after(Some(Duration::from_secs(9)));
    let outcomes = [Outcome::answered(StatusCode::OK), waits]
        .into_iter()
        .chain(ErrorClass::ALL.into_iter().map(Outcome::Failed));
    let mut made = Vec::new();
    for (number, outcome) in (1..).zip(outcomes) {
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
        made.push(attempt.clone());
        let again = Next::retry(Duration::ZERO);
        settle(store, Settlement::new(claimed.delivery, claimed.lease, at(0), attempt, again)).await;
    }
    assert_eq!(store.attempts(delivery_id(1)).await.expect("store answers"), made);
}

/// From `now` on, whatever was left of it.
pub async fn a_lease_that_is_extended_ends_later(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    let leases = [(claimed.delivery, claimed.lease)];
    assert_eq!(store.extend(&leases, at(50), LEASE).await.expect("store answers"), [Settled::Done]);
    assert!(claim(store, at(50) + LEASE - Duration::from_micros(1)).await.is_empty());
    assert_eq!(settle(store, ended(&claimed, at(109), Next::Delivered)).await, Settled::Done);
    emit(store, 2, 0, 1).await;
    let late = claim_one(store, at(0)).await;
    let leases = [(late.delivery, late.lease)];
    assert_eq!(
        store.extend(&leases, at(200), LEASE).await.expect("store answers"),
        [Settled::Done],
        "nobody else claimed it"
    );
    assert!(claim(store, at(201)).await.is_empty());
    assert_eq!(numbers(&claim(store, at(200) + LEASE).await), [2]);
}

/// Told in the order given; one that is stale stops no others.
pub async fn a_lease_that_is_not_the_last_is_not_extended(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let slow = claim_one(store, at(0)).await;
    let fresh = claim_one(store, at(0) + LEASE).await;
    emit(store, 2, 60, 1).await;
    let other = claim_one(store, at(60)).await;
    emit(store, 3, 60, 1).await;
    let done = claim_one(store, at(60)).await;
    assert_eq!(settle(store, ended(&done, at(60), Next::Delivered)).await, Settled::Done);
    let leases = [
        (slow.delivery, slow.lease),
        (fresh.delivery, fresh.lease),
        (delivery_id(9), fresh.lease),
        (done.delivery, done.lease),
        (other.delivery, Lease::new(u64::MAX)),
        (other.delivery, other.lease),
    ];
    use Settled::{Done, Stale};
    let told = store.extend(&leases, at(100), LEASE).await.expect("store answers");
    assert_eq!(told, [Stale, Done, Stale, Stale, Stale, Done]);
    assert_eq!(state(store, 3).await, DeliveryState::Delivered);
    assert!(claim(store, at(159)).await.is_empty());
    assert_eq!(settle(store, ended(&fresh, at(160), Next::Delivered)).await, Settled::Done);
}

/// It is a dead letter and says so.
pub async fn a_pending_delivery_is_cancelled(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    emit(store, 2, 0, 1).await;
    assert!(store.cancel(delivery_id(1), at(1)).await.expect("store answers"));
    let cancelled = delivery(store, 1).await;
    assert_eq!(cancelled.state, DeliveryState::Dead(DeadReason::Cancelled));
    assert_eq!(cancelled.due_at, None);
    assert_eq!(numbers(&claim(store, at(1_000)).await), [2]);
}

/// Neither its state nor its log is touched.
pub async fn a_delivery_cancelled_during_its_attempt_settles_as_stale(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    assert!(store.cancel(delivery_id(1), at(1)).await.expect("store answers"));
    assert_eq!(settle(store, ended(&claimed, at(2), Next::Delivered)).await, Settled::Stale);
    let leases = [(claimed.delivery, claimed.lease)];
    assert_eq!(store.extend(&leases, at(2), LEASE).await.expect("store answers"), [Settled::Stale]);
    assert_eq!(state(store, 1).await, DeliveryState::Dead(DeadReason::Cancelled));
    assert!(store.attempts(claimed.delivery).await.expect("store answers").is_empty());
    assert!(claim(store, at(1_000)).await.is_empty());
}

/// `false` says that there was nothing to cancel.
pub async fn what_is_finished_or_missing_is_not_cancelled(store: &impl Store) {
    subscribe(store, 1).await;
    for (number, next) in [(1, Next::Delivered), (2, Next::dead(DeadReason::Refused))] {
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
