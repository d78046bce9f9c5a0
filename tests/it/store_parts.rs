//! What the tests of the SQL stores put into them.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use hookwire::store::{
    Claim, Claimed, Claims, Inserted, NewEvent, Settled, Settlement, Share, StoreErrorKind,
};
use hookwire::{
    AddressPolicy, Attempt, DeliveryId, EndpointUrl, ErrorClass, EventFilter, Next, Outcome, Secret, Store,
    Subscription, SubscriptionId,
};
use time::OffsetDateTime;
use time::macros::datetime;

/// A claim of at most `limit` deliveries of the subscription of these tests.
pub(crate) fn wish(now: OffsetDateTime, limit: u32) -> Claim {
    Claim::new(now, LEASE, vec![Share::new(SUBSCRIPTION, limit)])
}

/// Settlements that deliver what was claimed, each at its first attempt.
pub(crate) fn delivered(claims: &Claims) -> Vec<Settlement> {
    let attempt = Attempt::new(1, NOW, LEASE, Outcome::Failed(ErrorClass::Reset));
    let settle = |claimed: &Claimed| {
        Settlement::new(claimed.delivery, claimed.lease, NOW, attempt.clone(), Next::Delivered)
    };
    claims.deliveries.iter().map(settle).collect()
}

/// Claims and delivers until nothing is due; how much it was.
pub(crate) async fn deliver_all(store: impl Store) -> usize {
    let mut taken = 0;
    loop {
        let claims = store.claim(&wish(NOW, 7)).await.unwrap();
        if claims.deliveries.is_empty() {
            return taken;
        }
        let told = store.settle(&delivered(&claims)).await.unwrap();
        assert!(told.iter().all(|told| *told == Settled::Done));
        taken += told.len();
    }
}

/// Inserts at once, one of which the store has to refuse.
pub(crate) async fn an_insert_fails_among_others(store: impl Store) {
    store.insert(&[event(1)]).await.unwrap();
    let batches: Vec<_> = (2..=9)
        .map(|number| {
            let mut event = event(number);
            if number == 5 {
                event.deliveries[0].0 = delivery_id(1);
            }
            [event]
        })
        .collect();
    let told = join_all(batches.iter().map(|batch| store.insert(batch))).await;
    for (batch, told) in batches.iter().zip(told) {
        match batch[0].id == event(5).id {
            true => assert_eq!(told.unwrap_err().kind(), StoreErrorKind::Backend),
            false => assert_eq!(told.unwrap(), [Inserted::New]),
        }
    }
    assert_eq!(store.insert(&[event(5)]).await.unwrap(), [Inserted::New], "nothing was left of it");
    assert_eq!(deliver_all(store).await, 9);
}

/// Inserts at once of what is new, there already, there with other bytes, and there with another of these.
pub(crate) async fn inserts_of_each_kind_at_once(store: impl Store) {
    store.insert(&[event(3)]).await.unwrap();
    let mut other = event(4);
    other.payload = Bytes::from_static(b"[]");
    let batches = [
        vec![event(1), event(2)],
        vec![event(2)],
        vec![event(3), event(4)],
        vec![other],
        (5..200).map(event).collect(),
    ];
    let told = join_all(batches.iter().map(|batch| store.insert(batch))).await;
    let told: Vec<_> = told.into_iter().map(Result::unwrap).collect();
    assert_eq!(told[0], [Inserted::New, Inserted::New]);
    assert_eq!(told[1], [Inserted::Duplicate]);
    assert_eq!(told[2], [Inserted::Duplicate, Inserted::New]);
    assert_eq!(told[3], [Inserted::Conflict]);
    assert_eq!(told[4], [Inserted::New; 195]);
}

/// Subscription `number` of many.
pub(crate) fn subscription_of(number: u32) -> Subscription {
    let mut subscription = subscription();
    subscription.id = SubscriptionId::from_u128((1 << 64) + u128::from(number));
    subscription
}

pub(crate) fn subscription() -> Subscription {
    let url = EndpointUrl::parse("https://hooks.example.com/calls", &AddressPolicy::new()).unwrap();
    Subscription::from_parts(SUBSCRIPTION, NOW, "org_1", url, EventFilter::all())
        .with_secret(Secret::from_random([7; 32]))
}

/// With one delivery of the same number.
pub(crate) fn event(number: u32) -> NewEvent {
    let id = format!("evt_{number}").parse().unwrap();
    NewEvent::new("org_1", id, "call.ended".parse().unwrap(), NOW, Bytes::from_static(b"{}"))
        .with_delivery(delivery_id(number), SUBSCRIPTION)
}

pub(crate) fn delivery_id(number: u32) -> DeliveryId {
    DeliveryId::from_u128(number.into())
}

pub(crate) const SUBSCRIPTION: SubscriptionId = SubscriptionId::from_u128(1 << 100);
pub(crate) const NOW: OffsetDateTime = datetime!(2026-04-17 19:12:03.482 UTC);
pub(crate) const LEASE: Duration = Duration::from_secs(60);
