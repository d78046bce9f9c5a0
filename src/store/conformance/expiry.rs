//! Deliveries that wait for somebody, and the end of their wait.

use std::time::Duration;

use time::OffsetDateTime;

use super::fixture::{Fixture, Managed};
use super::steps::*;
use crate::delivery::{DeadReason, DeliveryState, Next};
use crate::store::{Replay, Settled, Settlement};

/// A delivery expires once its subscription has been disabled for long enough, and not a moment earlier.
pub async fn deliveries_of_a_disabled_subscription_expire_after_their_wait(store: &impl Fixture) {
    subscribe(store, 1).await;
    subscribe(store, 2).await;
    for (number, subscription) in [(1, 1), (2, 1), (3, 2)] {
        emit(store, number, -50, subscription).await;
    }
    // It is disabled at second 0.
    disable(store, 1).await;
    assert_eq!(expire(store, at(0) + AGE - MOMENT).await, 0);
    assert_eq!(state(store, 1).await, DeliveryState::Pending);
    assert_eq!(expire(store, at(0) + AGE).await, 2);
    for (number, expected) in [(1, EXPIRED), (2, EXPIRED), (3, DeliveryState::Pending)] {
        assert_eq!(state(store, number).await, expected, "{number}");
    }
    assert_eq!(expire(store, at(0) + AGE).await, 0, "nothing is left");
    subscribe(store, 1).await;
    assert_eq!(numbers(&claim(store, at(0) + AGE).await), [3], "an expired delivery is not sent");
}

/// The wait of a delivery that was made, or is due, after its subscription was disabled begins then.
pub async fn a_wait_begins_when_a_delivery_of_a_disabled_subscription_is_due(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit(store, 1, -50, 1).await;
    let claimed = claim_one(store, at(-50)).await;
    let again = ended(&claimed, at(-50), Next::retry(Duration::from_secs(70)));
    assert_eq!(settle(store, again).await, Settled::Done);
    disable(store, 1).await;
    emit(store, 2, 40, 1).await;
    assert_eq!(expire(store, at(20) + AGE - MOMENT).await, 0, "the retry was due at second 20");
    assert_eq!(expire(store, at(40) + AGE - MOMENT).await, 1);
    assert_eq!((state(store, 1).await, state(store, 2).await), (EXPIRED, DeliveryState::Pending));
    assert_eq!(expire(store, at(40) + AGE).await, 1);
}

/// A subscription that was enabled again begins a new wait when it is disabled again.
pub async fn a_wait_ends_when_its_subscription_is_enabled(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit(store, 1, -50, 1).await;
    disable(store, 1).await;
    subscribe(store, 1).await;
    assert_eq!(expire(store, at(0) + 2 * AGE).await, 0, "an enabled subscription's delivery is only late");
    assert_eq!(numbers(&claim(store, at(0) + 2 * AGE).await), [1]);
}

/// Neither a delivery that nobody claims nor a retry that is far away expires while its subscription may be
/// claimed from.
pub async fn the_schedule_of_an_enabled_subscription_never_expires(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    emit(store, 2, 1, 1).await;
    let claimed = claim_one(store, at(0)).await;
    let again = ended(&claimed, at(0), Next::retry(3 * AGE));
    assert_eq!(settle(store, again).await, Settled::Done);
    assert_eq!(expire(store, at(0) + 2 * AGE).await, 0);
    assert_eq!(numbers(&claim(store, at(0) + 3 * AGE).await), [2, 1]);
}

/// A delivery expires while its subscription is paused, once it has been so for long enough. Pauses with
/// little between them are one.
pub async fn deliveries_of_a_paused_subscription_expire_after_their_wait(store: &impl Fixture) {
    subscribe(store, 1).await;
    for number in 1..=4 {
        emit(store, number, 0, 1).await;
    }
    let claimed = claim_up_to(store, at(0), 3).await;
    let pause = |index: usize, now: OffsetDateTime| {
        ended(&claimed[index], now, Next::Done).with_pause(AGE / 2 + 2 * MINUTE)
    };
    assert_eq!(settle(store, pause(0, at(0))).await, Settled::Done);
    assert_eq!(expire(store, at(0) + AGE).await, 0, "the pause is over");
    assert_eq!(settle(store, pause(1, at(0) + AGE / 2 + 3 * MINUTE)).await, Settled::Done);
    assert_eq!(expire(store, at(0) + AGE - MOMENT).await, 0);
    assert_eq!(
        expire(store, at(0) + AGE).await,
        1,
        "one has waited since the first pause, its lease is over"
    );
    assert_eq!(state(store, 4).await, EXPIRED);
    assert_eq!(
        settle(store, pause(2, at(0) + 9 * AGE)).await,
        Settled::Done,
        "a lease that is not due stays"
    );
}

/// After a long time without a pause, the wait begins with the next one.
pub async fn a_pause_long_after_another_begins_a_new_wait(store: &impl Fixture) {
    subscribe(store, 1).await;
    for number in 1..=3 {
        emit(store, number, 0, 1).await;
    }
    let claimed = claim_up_to(store, at(0), 2).await;
    let pause =
        |index: usize, now: OffsetDateTime| ended(&claimed[index], now, Next::Done).with_pause(2 * MINUTE);
    assert_eq!(settle(store, pause(0, at(0))).await, Settled::Done);
    assert_eq!(settle(store, pause(1, at(0) + 48 * AGE)).await, Settled::Done);
    assert_eq!(expire(store, at(0) + 48 * AGE + MINUTE).await, 0);
    assert_eq!(state(store, 3).await, DeliveryState::Pending);
}

/// A delivery that is handed back with a delay waits from the first time on, until an attempt is made. One
/// that is handed back at once does not wait.
pub async fn a_delivery_that_is_kept_back_expires_after_its_wait(store: &impl Fixture) {
    subscribe(store, 1).await;
    for number in 1..=3 {
        emit(store, number, 0, 1).await;
    }
    let keep_back = async |number: u32, after: Duration, now: OffsetDateTime| {
        let claimed =
            claim(store, now).await.into_iter().find(|claimed| claimed.delivery == delivery_id(number));
        let claimed = claimed.expect("it is due");
        let mut back = Settlement::hand_back(claimed.delivery, claimed.lease, now);
        back.next = Next::retry(after);
        assert_eq!(settle(store, back).await, Settled::Done);
    };
    keep_back(1, MINUTE, at(0)).await;
    keep_back(2, Duration::ZERO, at(0) + 2 * MINUTE).await;
    keep_back(3, MINUTE, at(0) + 4 * MINUTE).await;
    keep_back(1, MINUTE, at(0) + 6 * MINUTE).await;
    // An attempt at the third ends its wait.
    let tried = claim(store, at(0) + 8 * MINUTE).await;
    let tried = tried.iter().find(|claimed| claimed.delivery == delivery_id(3)).expect("it is due");
    let again = ended(tried, at(0) + 8 * MINUTE, Next::retry(MINUTE));
    assert_eq!(settle(store, again).await, Settled::Done);
    assert_eq!(expire(store, at(0) + AGE - MOMENT).await, 0);
    assert_eq!(expire(store, at(0) + 2 * AGE).await, 1);
    for (number, expected) in [(1, EXPIRED), (2, DeliveryState::Pending), (3, DeliveryState::Pending)] {
        assert_eq!(state(store, number).await, expected, "{number}");
    }
}

/// Deliveries that are blocked behind one of their ordering key wait for their subscription too.
pub async fn an_ordering_key_expires_with_each_deliverys_own_wait(store: &impl Fixture) {
    subscribe(store, 1).await;
    for (number, second) in [(1, -50), (2, -40), (3, 30), (4, 31)] {
        emit_keyed(store, number, second, 1, "a").await;
    }
    disable(store, 1).await;
    assert_eq!(expire(store, at(0) + AGE).await, 2);
    assert_eq!((state(store, 2).await, state(store, 3).await), (EXPIRED, DeliveryState::Pending));
    assert_eq!(
        expire(store, at(30) + AGE).await,
        1,
        "it waits since it was made, not since the last expired"
    );
    subscribe(store, 1).await;
    assert_eq!(numbers(&claim(store, at(30) + AGE).await), [4]);
}

/// A call ends about as many as it may, and calls that are repeated end all.
pub async fn a_call_expires_no_more_than_its_limit(store: &impl Fixture) {
    subscribe(store, 1).await;
    for number in 1..=5 {
        emit(store, number, 0, 1).await;
    }
    disable(store, 1).await;
    let mut counts = Vec::new();
    for _ in 0..4 {
        counts.push(store.expire(AGE, 2, at(0) + AGE).await.expect("store answers"));
    }
    assert_eq!(counts, [2, 2, 1, 0]);
}

/// An expired delivery is a dead letter: it is listed, replayed, and discarded.
pub async fn an_expired_delivery_is_a_dead_letter(store: &impl Managed) {
    subscribe(store, 1).await;
    for number in 1..=2 {
        emit(store, number, 0, 1).await;
    }
    disable(store, 1).await;
    assert_eq!(expire(store, at(0) + AGE).await, 2);
    let letters = async || {
        let page = store.list_dead_letters(ORGANIZATION, None, 10).await.expect("store answers");
        page.items.iter().map(|letter| (number(letter.id), letter.state)).collect::<Vec<_>>()
    };
    assert_eq!(letters().await, [(2, EXPIRED), (1, EXPIRED)]);
    let only = crate::store::DeliveryQuery::new(subscription_id(1)).with_state(EXPIRED);
    let listed = store.list_deliveries(ORGANIZATION, &only, None, 10).await.expect("store answers");
    assert_eq!(listed.items.len(), 2);
    assert_eq!(delivery(store, 1).await.due_at, None);
    assert!(store.discard(ORGANIZATION, delivery_id(1), "not wanted").await.expect("store answers"));
    enable(store, 1).await;
    let all = Replay::DeadLetters(subscription_id(1));
    let replayed = store.replay(&all, 10, at(0) + AGE).await.expect("store answers");
    assert_eq!(replayed.made, 1);
    assert!(letters().await.is_empty());
    assert_eq!(claim(store, at(0) + AGE).await.len(), 1);
}

async fn expire(store: &impl Fixture, now: OffsetDateTime) -> u64 {
    store.expire(AGE, 100, now).await.expect("store answers")
}

const EXPIRED: DeliveryState = DeliveryState::Dead(DeadReason::Expired);
const AGE: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_micros(1);
