//! Settling and extending.

use std::time::Duration;

use super::fixture::Fixture;
use super::steps::*;
use crate::delivery::{DeadReason, DeliveryState, Next};
use crate::store::{Lease, Polled, Settled, Settlement};

/// A delivered delivery is never claimed again.
pub async fn a_delivered_delivery_is_finished(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    assert_eq!(settle(store, ended(&claimed, at(1), Next::Done)).await, Settled::Done);
    assert_eq!(state(store, 1).await, DeliveryState::Delivered);
    assert!(claim(store, at(1_000_000)).await.is_empty());
}

/// A dead letter keeps its reason, and is never claimed again.
pub async fn a_dead_letter_stays_readable_with_its_reason(store: &impl Fixture) {
    subscribe(store, 1).await;
    let reasons = [DeadReason::Exhausted, DeadReason::Refused, DeadReason::Gone];
    for (number, reason) in (1..).zip(reasons) {
        emit(store, number, 0, 1).await;
        let claimed = claim_one(store, at(0)).await;
        let dead = Settlement::new(claimed.delivery, claimed.lease, attempt(1, 0), Next::dead(reason), at(1));
        assert_eq!(settle(store, dead).await, Settled::Done);
        assert_eq!(state(store, number).await, DeliveryState::Dead(reason));
    }
    assert!(claim(store, at(1_000_000)).await.is_empty());
}

/// A retry's delay counts from its settlement.
pub async fn a_retry_is_due_after_its_delay(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    let retry = Next::retry(Duration::from_secs(100));
    settle(store, Settlement::new(claimed.delivery, claimed.lease, attempt(1, 0), retry, at(7))).await;
    assert_eq!(state(store, 1).await, DeliveryState::Pending);
    assert!(claim(store, at(107) - Duration::from_micros(1)).await.is_empty());
    assert_eq!(claim_one(store, at(107)).await.attempt, 2);
}

/// Each claim says when the first attempt began, which bounds the retries.
pub async fn the_first_attempt_is_remembered(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    for (number, second) in [(1, 3), (2, 30), (3, 300)] {
        let claimed = claim_one(store, at(second)).await;
        assert_eq!(claimed.first_attempt_at, (number > 1).then(|| at(3)));
        let again = Next::retry(Duration::ZERO);
        settle(
            store,
            Settlement::new(claimed.delivery, claimed.lease, attempt(number, second), again, at(second)),
        )
        .await;
    }
}

/// A settlement without the last lease changes neither the state nor the lease.
pub async fn a_stale_settlement_changes_nothing(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let slow = claim_one(store, at(0)).await;
    let fresh = claim_one(store, at(0) + LEASE).await;
    let late = |lease| Settlement::new(slow.delivery, lease, attempt(1, 0), Next::Done, at(61));
    let never = Lease::new(u64::MAX);
    for lease in [slow.lease, Lease::new(0), never] {
        assert_eq!(settle(store, late(lease)).await, Settled::Stale);
    }
    let unknown = Settlement::new(delivery_id(9), fresh.lease, attempt(1, 0), Next::Done, at(61));
    assert_eq!(settle(store, unknown).await, Settled::Stale);
    assert_eq!(state(store, 1).await, DeliveryState::Pending);
    assert_eq!(look(store, at(61)).await, Polled::new(vec![], Some(Duration::from_secs(59))));
    assert_eq!(settle(store, late(fresh.lease)).await, Settled::Done);
}

/// A caller that got no answer can repeat a settlement.
pub async fn a_settlement_sent_twice_is_written_once(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    let retry = Next::retry(Duration::from_secs(5));
    let once = Settlement::new(claimed.delivery, claimed.lease, attempt(1, 0), retry, at(1));
    let told = store.settle(&[once.clone(), once.clone()]).await.expect("settlements are written");
    assert_eq!(told, [Settled::Done, Settled::Stale]);
    assert_eq!(settle(store, once).await, Settled::Stale);
    assert_eq!(claim_one(store, at(6)).await.attempt, 2);
}

/// A settlement after the lease counts, as long as no other claim got the delivery.
pub async fn a_late_settlement_counts_while_nobody_else_claimed(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let slow = claim_one(store, at(0)).await;
    let late = Settlement::new(slow.delivery, slow.lease, attempt(1, 0), Next::Done, at(1_000));
    assert_eq!(settle(store, late).await, Settled::Done);
    assert!(claim(store, at(1_000)).await.is_empty());
}

/// A stale settlement of a batch stops no others.
pub async fn settlements_are_reported_in_the_order_given(store: &impl Fixture) {
    subscribe(store, 1).await;
    for number in 1..=4 {
        emit(store, number, 0, 1).await;
    }
    let claimed = claim(store, at(0)).await;
    let batch: Vec<_> = [3, 1, 0, 2]
        .map(|index: usize| {
            let lease = if index == 1 { Lease::new(77) } else { claimed[index].lease };
            Settlement::new(claimed[index].delivery, lease, attempt(1, 0), Next::Done, at(1))
        })
        .to_vec();
    let told = store.settle(&batch).await.expect("settlements are written");
    assert_eq!(told, [Settled::Done, Settled::Stale, Settled::Done, Settled::Done]);
    assert_eq!(state(store, 2).await, DeliveryState::Pending);
    assert_eq!(state(store, 4).await, DeliveryState::Delivered);
}

/// A process that shuts down hands deliveries back without an attempt.
pub async fn a_delivery_handed_back_counts_no_attempt_and_is_due_at_once(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    let back = Settlement::hand_back(claimed.delivery, claimed.lease, at(1));
    assert_eq!(settle(store, back).await, Settled::Done);
    assert_eq!(claim_one(store, at(1)).await.attempt, 1);
}

/// A delivery that a fault on the sender's side kept back waits, and counts no attempt.
pub async fn a_delivery_handed_back_for_later_is_due_then(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    let wait = Duration::from_secs(300);
    let back = Settlement::hand_back(claimed.delivery, claimed.lease, at(1)).with_delay(wait);
    assert_eq!(settle(store, back).await, Settled::Done);
    assert!(claim(store, at(301) - Duration::from_micros(1)).await.is_empty());
    assert_eq!(claim_one(store, at(301)).await.attempt, 1);
}

/// A settlement names time that does not count towards the total time of retries.
pub async fn time_that_does_not_count_moves_the_first_attempt(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let late = |settlement: Settlement, seconds| settlement.with_late(Duration::from_secs(seconds));
    let claimed = claim_one(store, at(0)).await;
    let back = Settlement::hand_back(claimed.delivery, claimed.lease, at(10));
    settle(store, late(back, 10)).await;
    let claimed = claim_one(store, at(10)).await;
    assert_eq!(claimed.first_attempt_at, None, "none was made");
    let first =
        Settlement::new(claimed.delivery, claimed.lease, attempt(1, 10), Next::retry(Duration::ZERO), at(11));
    settle(store, late(first, 0)).await;
    let claimed = claim_one(store, at(11)).await;
    assert_eq!(claimed.first_attempt_at, Some(at(10)));
    let back = Settlement::hand_back(claimed.delivery, claimed.lease, at(20));
    settle(store, late(back, 9)).await;
    let claimed = claim_one(store, at(20)).await;
    assert_eq!(claimed.first_attempt_at, Some(at(19)));
    let second =
        Settlement::new(claimed.delivery, claimed.lease, attempt(2, 20), Next::retry(Duration::ZERO), at(21));
    settle(store, late(second, 2)).await;
    assert_eq!(claim_one(store, at(21)).await.first_attempt_at, Some(at(21)));
}

/// A lease is extended from `now` on, also after its end, as long as no other claim got the delivery.
pub async fn a_lease_that_is_extended_ends_later(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    let leases = [(claimed.delivery, claimed.lease)];
    assert_eq!(store.extend(&leases, LEASE, at(50)).await.expect("store answers"), [Settled::Done]);
    assert!(claim(store, at(50) + LEASE - Duration::from_micros(1)).await.is_empty());
    assert_eq!(settle(store, ended(&claimed, at(109), Next::Done)).await, Settled::Done);
    emit(store, 2, 0, 1).await;
    let late = claim_one(store, at(0)).await;
    let leases = [(late.delivery, late.lease)];
    assert_eq!(
        store.extend(&leases, LEASE, at(200)).await.expect("store answers"),
        [Settled::Done],
        "nobody else claimed it"
    );
    assert!(claim(store, at(201)).await.is_empty());
    assert_eq!(numbers(&claim(store, at(200) + LEASE).await), [2]);
}

/// Results come in the order given, and a stale lease stops no others.
pub async fn a_lease_that_is_not_the_last_is_not_extended(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let slow = claim_one(store, at(0)).await;
    let fresh = claim_one(store, at(0) + LEASE).await;
    emit(store, 2, 60, 1).await;
    let other = claim_one(store, at(60)).await;
    emit(store, 3, 60, 1).await;
    let done = claim_one(store, at(60)).await;
    assert_eq!(settle(store, ended(&done, at(60), Next::Done)).await, Settled::Done);
    let leases = [
        (slow.delivery, slow.lease),
        (fresh.delivery, fresh.lease),
        (delivery_id(9), fresh.lease),
        (done.delivery, done.lease),
        (other.delivery, Lease::new(u64::MAX)),
        (other.delivery, other.lease),
    ];
    use Settled::{Done, Stale};
    let told = store.extend(&leases, LEASE, at(100)).await.expect("store answers");
    assert_eq!(told, [Stale, Done, Stale, Stale, Stale, Done]);
    assert_eq!(state(store, 3).await, DeliveryState::Delivered);
    assert!(claim(store, at(159)).await.is_empty());
    assert_eq!(settle(store, ended(&fresh, at(160), Next::Done)).await, Settled::Done);
}

/// If a lease is settled twice at the same time, one settlement counts.
pub async fn a_lease_settled_twice_at_once_is_settled_once(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    let back = || Settlement::hand_back(claimed.delivery, claimed.lease, at(1));
    let settled: [Settled; 2] = both(settle(store, back()), settle(store, back())).await.into();
    assert!(settled.contains(&Settled::Done) && settled.contains(&Settled::Stale), "{settled:?}");
    assert_eq!(claim(store, at(1)).await.len(), 1);
}
