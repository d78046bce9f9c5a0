//! Data for the tests of the SQL stores.

use std::time::Duration;

use bytes::Bytes;
use hookwire::delivery::Next;
use hookwire::store::implement::{Claim, Claims, Leased, NewEvent, Settled, Settlement, Share};
use hookwire::{
    AddressPolicy, Attempt, DeliveryId, EndpointUrl, ErrorClass, EventFilter, Outcome, Secret, Store,
    Subscription, SubscriptionId,
};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::stores::claim_of;

/// A claim of at most `limit` deliveries of these tests' subscription.
pub(crate) fn wish(now: OffsetDateTime, limit: u32) -> Claim {
    claim_of(LEASE, vec![Share::new(SUBSCRIPTION, limit)], now)
}

/// Settlements of all claimed deliveries as delivered, each at its first attempt.
pub(crate) fn delivered(claims: &Claims) -> Vec<Settlement> {
    let attempt = Attempt::new(1, NOW, LEASE, Outcome::Failed(ErrorClass::Reset));
    let settle =
        |claimed: &Leased| Settlement::new(claimed.delivery, claimed.lease, attempt.clone(), Next::Done, NOW);
    claims.deliveries.iter().map(settle).collect()
}

/// Claims and delivers until nothing is due. Returns the number of deliveries.
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

/// Subscription `number` of many.
pub(crate) fn subscription_of(number: u32) -> Subscription {
    let mut subscription = subscription();
    subscription.id = SubscriptionId::from_u128((1 << 64) + u128::from(number));
    subscription
}

pub(crate) fn subscription() -> Subscription {
    let url = EndpointUrl::parse("https://hooks.example.com/calls", &AddressPolicy::new()).unwrap();
    Subscription::from_parts(
        SUBSCRIPTION,
        NOW,
        "org_1",
        &hookwire::Contract::allison(),
        url,
        EventFilter::all(),
    )
    .with_secret(Secret::from_random([7; 32]))
}

/// An event with one delivery of the same number.
pub(crate) fn event(number: u32) -> NewEvent {
    let id = format!("evt_{number}").parse().unwrap();
    NewEvent::new(
        "org_1",
        &hookwire::Contract::allison(),
        id,
        "call.ended".parse().unwrap(),
        Bytes::from_static(b"{}"),
        NOW,
    )
    .with_delivery(delivery_id(number), SUBSCRIPTION)
}

pub(crate) fn delivery_id(number: u32) -> DeliveryId {
    DeliveryId::from_u128(number.into())
}

pub(crate) const SUBSCRIPTION: SubscriptionId = SubscriptionId::from_u128(1 << 100);
pub(crate) const NOW: OffsetDateTime = datetime!(2026-04-17 19:12:03.482 UTC);
pub(crate) const LEASE: Duration = Duration::from_secs(60);
