//! Inserts that lease their deliveries, so that they are sent without a claim. A store whose
//! [`id`](crate::Store::id) is `None` never does, and is tested for that alone.

use std::time::Duration;

use super::fixture::Fixture;
use super::steps::*;
use crate::delivery::{DeliveryState, Next};
use crate::signature::Secret;
use crate::store::{InsertOutcome, Lease, Leased, NewDelivery, NewEvent, Polled, Settled, Settlement};

/// An insert that leases reads what a claim would read, and the delivery is not claimed during the lease.
pub async fn a_leased_insert_has_everything_needed_to_send(store: &impl Fixture) {
    if store.id().is_none() {
        return leases_nothing(store).await;
    }
    let subscribed = subscribe(store, 1).await;
    let claimed = lease(store, an_event(1, 0), 1).await.expect("it can be sent at once");
    assert_eq!((claimed.delivery, claimed.lease), (delivery_id(1), Lease::new(1)));
    assert_eq!((claimed.attempt, claimed.first_attempt_at, claimed.is_ordered), (1, None, false));
    assert_eq!((claimed.event.clone(), claimed.payload.clone()), (an_event(1, 0).id, payload(1)));
    assert_eq!((&claimed.contract, claimed.event_type.as_str()), (&contract(), "call.ended"));
    assert_same(&claimed.subscription, &subscribed);
    assert!(claim(store, at(0)).await.is_empty());
    assert_eq!(look(store, at(0)).await, Polled::new(vec![], Some(LEASE)));
    assert_eq!(
        store.extend(&[(claimed.delivery, claimed.lease)], LEASE, at(10)).await.expect("store answers"),
        [Settled::Done]
    );
    assert!(claim(store, at(10) + LEASE - Duration::from_micros(1)).await.is_empty());
    assert_eq!(settle(store, ended(&claimed, at(11), Next::Done)).await, Settled::Done);
    assert_eq!(state(store, 1).await, DeliveryState::Delivered);
}

/// A delivery that was leased by its insert is claimed with a later lease when the first one ends.
pub async fn a_leased_insert_is_claimed_when_its_lease_ends(store: &impl Fixture) {
    if store.id().is_none() {
        return leases_nothing(store).await;
    }
    subscribe(store, 1).await;
    let first = lease(store, an_event(1, 0), 1).await.expect("it can be sent at once");
    assert!(claim(store, at(0) + LEASE - Duration::from_micros(1)).await.is_empty());
    let second = claim_one(store, at(0) + LEASE).await;
    assert_eq!((second.delivery, second.attempt), (delivery_id(1), 1));
    assert!(second.lease > first.lease, "{:?} is not after {:?}", second.lease, first.lease);
    assert_eq!(settle(store, ended(&first, at(61), Next::Done)).await, Settled::Stale);
    assert_eq!(settle(store, ended(&second, at(61), Next::Done)).await, Settled::Done);
}

/// A delivery to a disabled subscription is inserted due, and waits until that is enabled.
pub async fn nothing_is_leased_to_a_disabled_subscription(store: &impl Fixture) {
    subscribe(store, 1).await;
    disable(store, 1).await;
    assert!(lease(store, an_event(1, 0), 1).await.is_none());
    assert_eq!(state(store, 1).await, DeliveryState::Pending);
    assert!(claim(store, at(0)).await.is_empty());
    subscribe(store, 1).await;
    let claimed = claim_one(store, at(0)).await;
    assert!(claimed.lease > Lease::new(1) || store.id().is_none(), "{:?}", claimed.lease);
}

/// A caller that does not hear the outcome of an insert hands back its lease. That takes no lease from a
/// claim, where the insert leased nothing.
pub async fn a_lease_that_an_insert_did_not_give_takes_none_from_a_claim(store: &impl Fixture) {
    subscribe(store, 1).await;
    disable(store, 1).await;
    assert!(lease(store, an_event(1, 0), 1).await.is_none());
    let hand_back = || Settlement::hand_back(delivery_id(1), Lease::new(1), at(1));
    subscribe(store, 1).await;
    let claimed = claim_one(store, at(0)).await;
    if store.id().is_some() {
        assert_eq!(settle(store, hand_back()).await, Settled::Stale);
    }
    assert!(claim(store, at(1)).await.is_empty(), "its claim is the last");
    assert_eq!(settle(store, ended(&claimed, at(1), Next::Done)).await, Settled::Done);
    assert_eq!(settle(store, hand_back()).await, Settled::Stale);
}

/// The lease of an insert can be handed back once. The delivery is due then, and its next lease is greater.
pub async fn a_lease_of_an_insert_is_handed_back_once(store: &impl Fixture) {
    if store.id().is_none() {
        return leases_nothing(store).await;
    }
    subscribe(store, 1).await;
    let leased = lease(store, an_event(1, 0), 1).await.expect("it can be sent at once");
    let hand_back = Settlement::hand_back(leased.delivery, Lease::new(1), at(1));
    assert_eq!(settle(store, hand_back.clone()).await, Settled::Done);
    assert_eq!(settle(store, hand_back.clone()).await, Settled::Stale);
    let claimed = claim_one(store, at(1)).await;
    assert!((claimed.lease, claimed.attempt) > (Lease::new(1), 0) && claimed.attempt == 1, "{claimed:?}");
    assert_eq!(settle(store, hand_back).await, Settled::Stale);
}

/// A delivery to a paused subscription is inserted due, and is claimed after the pause.
pub async fn nothing_is_leased_to_a_paused_subscription(store: &impl Fixture) {
    if store.id().is_none() {
        return leases_nothing(store).await;
    }
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    let pause = ended(&claimed, at(0), Next::Done).with_pause(Duration::from_secs(30));
    assert_eq!(settle(store, pause).await, Settled::Done);
    assert!(lease(store, an_event(2, 29), 2).await.is_none());
    assert!(claim(store, at(29)).await.is_empty());
    assert!(lease(store, an_event(3, 30), 3).await.is_some());
    assert_eq!(numbers(&claim(store, at(30)).await), [2]);
}

/// A delivery to a subscription that does not exist is inserted as cancelled, leased or not.
pub async fn a_delivery_to_a_deleted_subscription_is_cancelled(store: &impl Fixture) {
    let cancelled = DeliveryState::Dead(crate::delivery::DeadReason::Cancelled);
    emit(store, 1, 0, 1).await;
    assert_eq!(state(store, 1).await, cancelled);
    let subscribed = subscribe(store, 1).await;
    assert!(claim(store, at(0)).await.is_empty());
    store.delete_subscription(subscribed.id, at(0)).await;
    assert!(lease(store, an_event(2, 0), 2).await.is_none());
    emit_keyed(store, 3, 0, 1, "call").await;
    for number in 1..=3 {
        assert_eq!(state(store, number).await, cancelled, "delivery {number}");
    }
    subscribe(store, 1).await;
    assert!(claim(store, at(0) + LEASE).await.is_empty());
    assert_eq!(look(store, at(0)).await, Polled::default());
}

/// A delivery with an ordering key is inserted due, because others may come before it.
pub async fn nothing_is_leased_that_has_an_ordering_key(store: &impl Fixture) {
    subscribe(store, 1).await;
    for number in [1, 2] {
        let event = an_event(number, 0).with_ordering_key("call".to_owned());
        assert!(lease(store, event, number).await.is_none());
    }
    assert_eq!(numbers(&claim(store, at(0)).await), [1]);
}

/// An insert that leases reads the URL, the secrets and the options as they are stored at that moment.
pub async fn a_leased_insert_reads_the_subscription_as_it_is_stored(store: &impl Fixture) {
    if store.id().is_none() {
        return leases_nothing(store).await;
    }
    subscribe(store, 1).await;
    let mut changed = a_subscription(1).with_secret(Secret::from_random([8; 32]));
    changed.url = url("moved");
    changed.options = changed.options.with_max_in_flight(3).expect("cap is right");
    store.put_subscription(&changed).await;
    let claimed = lease(store, an_event(1, 0), 1).await.expect("it can be sent at once");
    assert_same(&claimed.subscription, &changed);
}

/// A duplicate or a conflict leases nothing: the first insert did, or the event was sent.
pub async fn a_duplicate_leases_nothing(store: &impl Fixture) {
    if store.id().is_none() {
        return leases_nothing(store).await;
    }
    subscribe(store, 1).await;
    assert!(lease(store, an_event(1, 0), 1).await.is_some());
    let again = insert_one(store, leased(an_event(1, 0), 1)).await;
    assert_eq!((again.outcome, again.leased.len()), (InsertOutcome::Duplicate, 0));
    let other = NewEvent { payload: payload(9), ..leased(an_event(1, 0), 2) };
    let other = insert_one(store, other).await;
    assert_eq!((other.outcome, other.leased.len()), (InsertOutcome::Conflict, 0));
}

/// Deliveries are leased in the order of the event; those that ask for no lease are due.
pub async fn each_delivery_says_whether_it_is_leased(store: &impl Fixture) {
    if store.id().is_none() {
        return leases_nothing(store).await;
    }
    let mut event = an_event(1, 0);
    for number in 1..=4 {
        let mut delivery = NewDelivery::new(delivery_id(number), subscribe(store, number).await.id);
        delivery.lease = (number != 3).then_some(LEASE);
        event.deliveries.push(delivery);
    }
    disable(store, 2).await;
    let plain = an_event(2, 0).with_delivery(delivery_id(5), subscription_id(1));
    let inserted = store.insert(&[event, plain]).await.expect("events are written");
    assert_eq!(numbers(&inserted[0].leased), [1, 4]);
    assert!(inserted[1].leased.is_empty());
    let mut due = numbers(&claim(store, at(0)).await);
    due.sort_unstable();
    assert_eq!(due, [3, 5]);
}

/// An insert of a store without an id leases nothing: the delivery is due, and its first claim is the first
/// lease.
async fn leases_nothing(store: &impl Fixture) {
    subscribe(store, 1).await;
    assert!(lease(store, an_event(1, 0), 1).await.is_none(), "only a store with an id may lease");
    assert_eq!(numbers(&claim(store, at(0)).await), [1]);
}

/// Inserts an event with a delivery of its number to subscription 1, leased.
async fn lease(store: &impl Fixture, event: NewEvent, delivery: u32) -> Option<Leased> {
    let mut inserted = insert_one(store, leased(event, delivery)).await;
    assert_eq!(inserted.outcome, InsertOutcome::New);
    inserted.leased.pop()
}

fn leased(mut event: NewEvent, delivery: u32) -> NewEvent {
    event.deliveries.push(NewDelivery::new(delivery_id(delivery), subscription_id(1)).with_lease(LEASE));
    event
}
