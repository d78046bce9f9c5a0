//! Inserts that come at once, as a store may write them together.

use bytes::Bytes;

use super::fixture::{Fixture, Managed};
use super::steps::*;
use crate::delivery::{DeliveryState, Next};
use crate::store::{InsertOutcome, NewEvent, Settled, Share, StoreError, StoreErrorKind};

/// An insert whose delivery's id is taken fails as a whole; inserts at the same time are written.
pub async fn an_insert_with_a_delivery_id_that_is_taken_fails_alone(store: &impl Managed) {
    subscribe(store, 1).await;
    assert_eq!(insert(store, event(1)).await, InsertOutcome::New);
    let taken = [event(5), NewEvent { deliveries: event(1).deliveries, ..event(6) }];
    let twice = [event(7).with_delivery(delivery_id(7), subscription_id(1))];
    let (fine, refused) = both(
        both(store.insert(&[event(2)]), store.insert(&[event(3), event(4)])),
        both(store.insert(&taken), store.insert(&twice)),
    )
    .await;
    assert_eq!(fine.0.expect("event is written"), [InsertOutcome::New]);
    assert_eq!(fine.1.expect("events are written"), [InsertOutcome::New; 2]);
    for refused in [refused.0, refused.1] {
        assert_eq!(refused.expect_err("its delivery's id is taken").kind(), StoreErrorKind::Backend);
    }
    assert_eq!(insert_all(store, &[event(5), event(6), event(7)]).await, [InsertOutcome::New; 3]);
    assert_eq!(claim(store, at(0)).await.len(), 7);
}

/// The ids of deliveries that have ended are taken, too, for any subscription, and for one that was deleted.
pub async fn the_id_of_a_delivery_that_has_ended_stays_taken(store: &impl Managed) {
    for number in 1..=3 {
        subscribe(store, number).await;
    }
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    assert_eq!(settle(store, ended(&claimed, at(1), Next::Done)).await, Settled::Done);
    emit(store, 2, 0, 2).await;
    store.delete_subscription(subscription_id(3), at(2)).await;
    for (number, id) in [(11, 1), (12, 1), (13, 1), (14, 2), (15, 2)] {
        // 3 was deleted.
        let subscription = subscription_id(number % 3 + 1);
        let event = an_event(number, 3).with_delivery(delivery_id(id), subscription);
        let refused = store.insert(&[event]).await.expect_err("its delivery's id is taken");
        assert_eq!(refused.kind(), StoreErrorKind::Backend, "{number}");
    }
    assert_eq!(store.delivery_state(delivery_id(1)).await, Some(DeliveryState::Delivered));
    let shares = vec![Share::new(subscription_id(1), 9), Share::new(subscription_id(2), 9)];
    assert_eq!(numbers(&claim_shares(store, at(3), shares).await), [2]);
}

/// Inserts at the same time get each their own results: new, known, or with other bytes.
pub async fn inserts_at_once_each_report_their_own(store: &impl Fixture) {
    use InsertOutcome::{Conflict, Duplicate, New};
    subscribe(store, 1).await;
    assert_eq!(insert(store, event(3)).await, New);
    let other = NewEvent { payload: Bytes::from_static(b"[]"), ..event(3) };
    let (one, two, three) = ([event(1), event(2)], [event(3), event(4)], [other, event(1)]);
    let many: Vec<_> = (5..100).map(event).collect();
    let inserts =
        both(both(store.insert(&one), store.insert(&two)), both(store.insert(&three), store.insert(&many)));
    let ((one, two), (three, many)) = inserts.await;
    let outcomes = |inserted: Result<Vec<crate::store::Inserted>, StoreError>| -> Vec<_> {
        inserted.expect("events are written").iter().map(|inserted| inserted.outcome).collect()
    };
    let (one, three) = (outcomes(one), outcomes(three));
    assert_eq!(outcomes(two), [Duplicate, New]);
    assert_eq!((one[1], three[0]), (New, Conflict));
    assert!([[New, Duplicate], [Duplicate, New]].contains(&[one[0], three[1]]), "one of two is new");
    assert_eq!(outcomes(many), [New; 95]);
}

/// With one delivery of its number.
fn event(number: u32) -> NewEvent {
    an_event(number, 0).with_delivery(delivery_id(number), subscription_id(1))
}
