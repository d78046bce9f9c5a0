//! Looking for what can be claimed.

use std::collections::BTreeSet;
use std::time::Duration;

use super::fixture::Fixture;
use super::steps::*;
use crate::contract::ContractId;
use crate::delivery::Next;
use crate::store::{InsertOutcome, NewEvent, Poll, Polled, ReadyDetails, Settled};
use crate::subscription::Health;

/// A look lists a subscription once, however many of its deliveries are due.
pub async fn a_look_lists_each_ready_subscription_once(store: &impl Fixture) {
    for number in 1..=3 {
        subscribe(store, number).await;
    }
    for (number, subscription) in [(1, 1), (2, 1), (3, 1), (4, 3), (5, 3)] {
        emit(store, number, 0, subscription).await;
    }
    assert_eq!(look(store, at(0)).await.ready, [1, 3].map(subscription_id));
    assert_eq!(claim(store, at(0)).await.len(), 5);
    assert!(look(store, at(0)).await.ready.is_empty());
}

/// A look says when another subscription has something due, or a lease of it ends.
pub async fn a_look_tells_how_long_until_another_subscription_is_ready(store: &impl Fixture) {
    assert_eq!(look(store, at(0)).await, Polled::default());
    subscribe(store, 1).await;
    subscribe(store, 2).await;
    assert_eq!(look(store, at(0)).await, Polled::default());
    emit(store, 1, 10, 1).await;
    emit(store, 2, 20, 1).await;
    emit(store, 3, 30, 2).await;
    let wait = |seconds| Some(Duration::from_secs(seconds));
    let (one, two) = (subscription_id(1), subscription_id(2));
    assert_eq!(look(store, at(4)).await, Polled::new(vec![], wait(6)));
    assert_eq!(look(store, at(10)).await, Polled::new(vec![one], wait(20)));
    assert_eq!(look(store, at(50)).await, Polled::new(vec![one, two], None));
    let claimed = claim_one(store, at(10)).await;
    assert_eq!(look(store, at(10)).await, Polled::new(vec![], wait(10)));
    claim_one(store, at(20)).await;
    assert_eq!(look(store, at(20)).await, Polled::new(vec![], wait(10)));
    assert_eq!(look(store, at(30)).await, Polled::new(vec![two], wait(40)));
    assert_eq!(settle(store, ended(&claimed, at(30), Next::Done)).await, Settled::Done);
    assert_eq!(look(store, at(30)).await, Polled::new(vec![two], wait(50)));
    let cut = store.look(&poll(1, at(100))).await.expect("store answers");
    assert_eq!((cut.ready.len(), cut.wait), (1, wait(0)), "one that was left out is ready now");
}

/// Looks with a limit list every ready subscription in turn, also when nothing is claimed in between.
pub async fn a_look_that_may_not_list_all_leaves_none_out_for_ever(store: &impl Fixture) {
    for number in 1..=5 {
        subscribe(store, number).await;
        emit(store, number, 0, number).await;
    }
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        let ready = store.look(&poll(2, at(0))).await.expect("store answers").ready;
        assert!(ready.len() <= 2, "two were asked for and {} listed", ready.len());
        seen.extend(ready);
    }
    assert_eq!(seen.len(), 5, "some were never listed");
}

/// The polls of dispatchers with other contracts go on each by itself: none hides a subscription from
/// another.
pub async fn polls_of_other_contracts_leave_out_none_for_ever(store: &impl Fixture) {
    let names = [CONTRACT, "other_acme"];
    for (number, name) in [(1, names[0]), (10, names[0]), (15, names[1]), (16, names[1]), (20, names[0])] {
        let mut subscription = a_subscription(number);
        let version = subscription.contract.version().to_owned();
        subscription.contract = ContractId::new(name, &version).expect("contract is right");
        store.put_subscription(&subscription).await;
        let event = an_event(number, 0).with_delivery(delivery_id(number), subscription.id);
        let event = NewEvent { contract: subscription.contract, ..event };
        assert_eq!(insert(store, event).await, InsertOutcome::New);
    }
    let mut seen = BTreeSet::new();
    for name in names.iter().cycle().take(20) {
        let poll = Poll::new(vec![(*name).to_owned()], 1, at(0));
        seen.extend(store.look(&poll).await.expect("store answers").ready);
    }
    let all: BTreeSet<_> = [1, 10, 15, 16, 20].map(subscription_id).into();
    assert_eq!(seen, all);
}

/// A look lists no subscription that is disabled, or whose deliveries are not due or are leased.
pub async fn a_look_leaves_out_what_cannot_be_claimed(store: &impl Fixture) {
    for number in 1..=4 {
        subscribe(store, number).await;
        emit(store, number, if number == 2 { 5 } else { 0 }, number).await;
    }
    disable(store, 3).await;
    claim_one(store, at(0)).await;
    assert_eq!(look(store, at(0)).await, Polled::new(vec![subscription_id(4)], Some(Duration::from_secs(5))));
    subscribe(store, 3).await;
    assert_eq!(look(store, at(0)).await.ready, [3, 4].map(subscription_id));
}

/// The details of a look are optional. A store that gives them gives those of every listed subscription, as
/// they are stored.
pub async fn a_look_that_gives_details_gives_those_that_are_stored(store: &impl Fixture) {
    for number in 1..=4 {
        let mut subscription = a_subscription(number);
        subscription.organization = format!("org_{number}");
        store.put_subscription(&subscription).await;
        let event = an_event(number, 0).with_delivery(delivery_id(number), subscription.id);
        let event = NewEvent { organization: subscription.organization, ..event };
        assert_eq!(insert(store, event).await, InsertOutcome::New);
    }
    let (healthy, failing) = (Health::default(), Health::default().failed(at(0), None));
    for (number, seen, health) in
        [(2, &healthy, &failing), (3, &healthy, &failing), (3, &failing, &failing.succeeded())]
    {
        store.put_health(subscription_id(number), seen, health, None, at(1)).await.expect("store answers");
    }
    disable(store, 4).await;
    let polled = store.look(&poll(1_000, at(1))).await.expect("store answers");
    let told: BTreeSet<_> = polled.ready.into_iter().collect();
    assert_eq!(told, [1, 2, 3].map(subscription_id).into());
    let details = [(1, false), (2, true), (3, false)].map(|(number, is_failing)| {
        ReadyDetails::new(subscription_id(number), format!("org_{number}"), is_failing)
    });
    let mut given = polled.details;
    given.sort_by_key(|details| details.subscription);
    assert!(given.is_empty() || given == details, "details are {given:?}");
}
