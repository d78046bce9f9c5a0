//! The steps that the rules are written in, and the rows that they write.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task;

use time::OffsetDateTime;

use super::fixture::{Fixture, Managed};
pub(super) use super::rows::*;
use crate::delivery::{Attempt, Delivery, DeliveryState, Next};
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::{
    Claim, Cursor, DeliveryQuery, InsertOutcome, Inserted, Leased, NewEvent, Poll, Polled, Settled,
    Settlement, Share,
};
use crate::subscription::{DisabledReason, Subscription, SubscriptionStatus};

/// Writes subscription `number`, enabled; again, too.
pub(super) async fn subscribe(store: &impl Fixture, number: u32) -> Subscription {
    let subscription = a_subscription(number);
    store.put_subscription(&subscription).await;
    subscription
}

pub(super) async fn subscription(store: &impl Fixture, id: SubscriptionId) -> Subscription {
    store.subscription(id).await.expect("store answers").expect("subscription was written")
}

/// Every subscription of an organization, each of which can be read.
pub(super) async fn subscriptions(store: &impl Fixture, organization: &str) -> Vec<Subscription> {
    let read = store.subscriptions(organization).await.expect("store answers");
    read.subscriptions
        .into_iter()
        .map(|scanned| scanned.subscription.expect("row is as it was written"))
        .collect()
}

pub(super) async fn disable(store: &impl Fixture, number: u32) {
    let mut subscription = subscription(store, subscription_id(number)).await;
    subscription.status = SubscriptionStatus::disabled(DisabledReason::Manual, at(0));
    store.put_subscription(&subscription).await;
}

pub(super) async fn enable(store: &impl Managed, number: u32) {
    let enabled = SubscriptionStatus::Enabled;
    assert!(store.set_status(subscription_id(number), &enabled).await.expect("store answers"));
}

/// Inserts event `number` with delivery `number` to a subscription, due at `second`.
pub(super) async fn emit(store: &impl Fixture, number: u32, second: i64, subscription: u32) -> InsertOutcome {
    let event = an_event(number, second).with_delivery(delivery_id(number), subscription_id(subscription));
    insert(store, event).await
}

pub(super) async fn insert(store: &impl Fixture, event: NewEvent) -> InsertOutcome {
    insert_one(store, event).await.outcome
}

pub(super) async fn insert_one(store: &impl Fixture, event: NewEvent) -> Inserted {
    let mut inserted = store.insert(&[event]).await.expect("event is written");
    assert_eq!(inserted.len(), 1, "one event was inserted");
    inserted.remove(0)
}

pub(super) async fn insert_all(store: &impl Fixture, events: &[NewEvent]) -> Vec<InsertOutcome> {
    let inserted = store.insert(events).await.expect("events are written");
    inserted.iter().map(|inserted| inserted.outcome).collect()
}

/// Claims everything that is due, of any subscription of the tests.
pub(super) async fn claim(store: &impl Fixture, now: OffsetDateTime) -> Vec<Leased> {
    let shares = (1..=MOST_SUBSCRIPTIONS).map(|number| Share::new(subscription_id(number), 1_000)).collect();
    claim_shares(store, now, shares).await
}

/// Claims at most `limit` due deliveries of subscription 1.
pub(super) async fn claim_up_to(store: &impl Fixture, now: OffsetDateTime, limit: u32) -> Vec<Leased> {
    claim_shares(store, now, vec![Share::new(subscription_id(1), limit)]).await
}

/// Claims one due delivery of subscription 1.
pub(super) async fn claim_one(store: &impl Fixture, now: OffsetDateTime) -> Leased {
    let mut claimed = claim_up_to(store, now, 1).await;
    assert_eq!(claimed.len(), 1, "one delivery is due");
    claimed.remove(0)
}

pub(super) async fn claim_shares(
    store: &impl Fixture,
    now: OffsetDateTime,
    shares: Vec<Share>,
) -> Vec<Leased> {
    let claims = store.claim(&claim_of(shares, now)).await.expect("store answers");
    assert!(claims.unreadable.is_empty(), "unreadable: {:?}", claims.unreadable);
    claims.deliveries
}

/// A claim of the tests' contract.
pub(super) fn claim_of(shares: Vec<Share>, now: OffsetDateTime) -> Claim {
    Claim::new(vec![CONTRACT.to_owned()], LEASE, shares, now)
}

/// Looks for everything: sorted, and without the ages of the oldest deliveries.
pub(super) async fn look(store: &impl Fixture, now: OffsetDateTime) -> Polled {
    let mut polled = store.look(&poll(1_000, now)).await.expect("store answers");
    polled.ready.sort();
    Polled::new(polled.ready, polled.wait)
}

/// A look at the tests' contract.
pub(super) fn poll(limit: u32, now: OffsetDateTime) -> Poll {
    Poll::new(vec![CONTRACT.to_owned()], limit, now)
}

/// A settlement that ends the claimed delivery's first attempt.
pub(super) fn ended(claimed: &Leased, now: OffsetDateTime, next: Next) -> Settlement {
    Settlement::new(claimed.delivery, claimed.lease, attempt(1, 0), next, now)
}

pub(super) async fn settle(store: &impl Fixture, settlement: Settlement) -> Settled {
    let settled = store.settle(&[settlement]).await.expect("settlement is written");
    let [settled] = settled[..] else {
        panic!("one settlement was made and {} were answered", settled.len())
    };
    settled
}

/// Claims delivery `number` of subscription 1, the only one that is due, and settles it.
pub(super) async fn end(store: &impl Fixture, number: u32, next: Next) {
    end_of(store, 1, number, next).await;
}

/// Claims delivery `number` of a subscription, the only one that is due, and settles it.
pub(super) async fn end_of(store: &impl Fixture, subscription: u32, number: u32, next: Next) {
    let mut claimed = claim_shares(store, at(10), vec![Share::new(subscription_id(subscription), 1)]).await;
    let claimed = claimed.pop().expect("a delivery is due");
    assert_eq!(claimed.delivery, delivery_id(number));
    assert_eq!(settle(store, ended(&claimed, at(10), next)).await, Settled::Done);
}

pub(super) async fn state(store: &impl Fixture, number: u32) -> DeliveryState {
    store.delivery_state(delivery_id(number)).await.expect("delivery was written")
}

pub(super) async fn delivery(store: &impl Managed, number: u32) -> Delivery {
    find(store, delivery_id(number)).await.expect("delivery was written")
}

pub(super) async fn find(store: &impl Managed, id: DeliveryId) -> Option<Delivery> {
    store.find_delivery(ORGANIZATION, id).await.expect("store answers")
}

/// Lists the deliveries of subscription `number`, newest first.
pub(super) async fn deliveries(store: &impl Managed, number: u32) -> Vec<Delivery> {
    let query = DeliveryQuery::new(subscription_id(number));
    store.list_deliveries(ORGANIZATION, &query, None, 1_000).await.expect("store answers").items
}

/// Lists the attempts of delivery `number`.
pub(super) async fn attempts(store: &impl Managed, number: u32) -> Vec<Attempt> {
    store.list_attempts(delivery_id(number)).await.expect("store answers")
}

/// The numbers of what was claimed, in its order.
pub(super) fn numbers(claimed: &[Leased]) -> Vec<u32> {
    claimed.iter().map(|claimed| number(claimed.delivery)).collect()
}

/// Both at once, in one task: no runtime is asked for.
pub(super) async fn both<A: Future, B: Future>(one: A, two: B) -> (A::Output, B::Output) {
    let (mut one, mut two) = (pin!(one), pin!(two));
    let (mut first, mut second) = (None, None);
    poll_fn(move |context| {
        if first.is_none() {
            first = match one.as_mut().poll(context) {
                task::Poll::Ready(output) => Some(output),
                task::Poll::Pending => None,
            };
        }
        if second.is_none() {
            second = match two.as_mut().poll(context) {
                task::Poll::Ready(output) => Some(output),
                task::Poll::Pending => None,
            };
        }
        match (first.take(), second.take()) {
            (Some(one), Some(two)) => task::Poll::Ready((one, two)),
            (one, two) => {
                (first, second) = (one, two);
                task::Poll::Pending
            }
        }
    })
    .await
}

pub(super) fn ids(claimed: &[Leased]) -> Vec<DeliveryId> {
    claimed.iter().map(|claimed| claimed.delivery).collect()
}

/// Event and delivery `number` for the subscription of this number, due at `second`, in order with others of
/// `key`.
pub(super) async fn emit_keyed(store: &impl Fixture, number: u32, second: i64, subscription: u32, key: &str) {
    let event = an_event(number, second)
        .with_ordering_key(key.to_owned())
        .with_delivery(delivery_id(number), subscription_id(subscription));
    assert_eq!(insert(store, event).await, InsertOutcome::New);
}

/// As a client hands it back.
pub(super) fn through_text(cursor: Cursor) -> Cursor {
    cursor.to_string().parse().expect("a cursor's text is read back")
}
