//! Claiming.

use std::time::Duration;

use bytes::Bytes;

use super::fixture::Fixture;
use super::steps::*;
use crate::delivery::Next;
use crate::store::{Settlement, Share};

/// A claim reads the event, its payload, its contract and the subscription.
pub async fn a_claim_has_everything_needed_to_send(store: &impl Fixture) {
    let subscribed = subscribe(store, 1).await;
    let payload = Bytes::from_static(b"{\"any\":\"bytes \xff\x00\"}");
    let mut event = an_event(1, 0).with_delivery(delivery_id(1), subscribed.id);
    event.payload = payload.clone();
    insert(store, event.clone()).await;
    let claimed = claim_one(store, at(0)).await;
    assert_eq!(claimed.delivery, delivery_id(1));
    assert_eq!(claimed.attempt, 1);
    assert_eq!(claimed.first_attempt_at, None);
    assert_eq!(claimed.event, event.id);
    assert_eq!(claimed.event_type, event.event_type);
    assert_eq!(claimed.contract, contract());
    assert_eq!(claimed.payload, payload);
    assert_same(&claimed.subscription, &subscribed);
}

/// A claim takes at most the share of each subscription, and nothing of one that it does not name.
pub async fn each_subscription_gives_no_more_than_its_share(store: &impl Fixture) {
    for subscription in 1..=3 {
        subscribe(store, subscription).await;
        for number in 1..=4 {
            emit(store, subscription * 10 + number, i64::from(number), subscription).await;
        }
    }
    let shares = vec![Share::new(subscription_id(1), 1), Share::new(subscription_id(2), 3)];
    let mut claimed = numbers(&claim_shares(store, at(10), shares).await);
    claimed.sort_unstable();
    assert_eq!(claimed, [11, 21, 22, 23]);
    let shares = vec![Share::new(subscription_id(1), 9), Share::new(subscription_id(2), 0)];
    assert_eq!(numbers(&claim_shares(store, at(10), shares).await), [12, 13, 14]);
}

/// A share with a start takes everything that was due from then on, and perhaps what was due before.
pub async fn a_share_begins_where_it_says_and_misses_nothing_from_there_on(store: &impl Fixture) {
    subscribe(store, 1).await;
    for number in 1..=4 {
        emit(store, number, i64::from(number), 1).await;
    }
    let share = Share::new(subscription_id(1), 10).with_since(Some(at(3)));
    let claimed = claim_shares(store, at(10), vec![share]).await;
    assert!(numbers(&claimed).ends_with(&[3, 4]));
    for claimed in &claimed {
        let due = at(i64::from(number(claimed.delivery)));
        assert!(claimed.due_at.is_none_or(|told| told == due), "it was due at {due}");
    }
    // A delivery that is due again is where its new time says.
    let back = claimed.iter().find(|claimed| claimed.delivery == delivery_id(3)).expect("it was claimed");
    settle(store, Settlement::hand_back(back.delivery, back.lease, at(10))).await;
    let share = Share::new(subscription_id(1), 1).with_since(Some(at(5)));
    assert!(numbers(&claim_shares(store, at(10), vec![share]).await).contains(&3));
    let rest = claim(store, at(10)).await.len();
    assert_eq!(rest + claimed.len(), 4, "without a hint the queue begins at its start");
}

/// The order of a claim is that of due times, not that of insertion or of ids.
pub async fn the_earliest_due_are_claimed_first_and_no_more_than_the_limit(store: &impl Fixture) {
    subscribe(store, 1).await;
    for (number, due) in [(1, 4), (2, 1), (3, 3), (4, 2)] {
        emit(store, number, due, 1).await;
    }
    assert_eq!(numbers(&claim_up_to(store, at(10), 3).await), [2, 4, 3]);
    assert_eq!(numbers(&claim_up_to(store, at(10), 3).await), [1]);
    assert!(claim_up_to(store, at(10), 3).await.is_empty());
}

/// A delivery that was not attempted yet goes before retries that were due earlier; one that was handed back
/// was not attempted.
pub async fn new_deliveries_are_claimed_before_retries(store: &impl Fixture) {
    subscribe(store, 1).await;
    for number in 1..=4 {
        emit(store, number, i64::from(number), 1).await;
    }
    for claimed in claim(store, at(4)).await {
        let settlement = match number(claimed.delivery) {
            4 => Settlement::hand_back(claimed.delivery, claimed.lease, at(30)),
            number => ended(&claimed, at(9) - Duration::from_secs(number.into()), Next::retry(SECOND)),
        };
        settle(store, settlement).await;
    }
    emit(store, 5, 20, 1).await;
    emit(store, 6, 25, 1).await;
    let look = look(store, at(20)).await;
    assert_eq!(look.ready, [subscription_id(1)]);
    let waited = look.oldest_due.first().map(|(_, waited)| *waited);
    assert!(waited.is_none_or(|waited| waited == Duration::from_secs(13)), "the first retry: {waited:?}");
    assert_eq!(numbers(&claim_up_to(store, at(30), 2).await), [5, 6]);
    assert_eq!(numbers(&claim_up_to(store, at(30), 3).await), [4, 3, 2]);
    assert_eq!(numbers(&claim_up_to(store, at(30), 3).await), [1]);
}

/// Retries are due, and looked for, whatever waits among the new deliveries.
pub async fn a_retry_is_found_behind_new_deliveries_that_are_not_due(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    settle(store, ended(&claimed, at(0), Next::retry(SECOND))).await;
    emit(store, 2, 60, 1).await;
    let (early, late) = (look(store, at(0)).await, look(store, at(1)).await);
    assert_eq!((early.ready.as_slice(), early.wait), (&[][..], Some(SECOND)));
    assert_eq!(late.ready, [subscription_id(1)]);
    assert_eq!(numbers(&claim(store, at(1)).await), [1]);
    assert_eq!(look(store, at(1)).await.wait, Some(Duration::from_secs(59)));
}

/// A delivery can be claimed from the instant at which it is due.
pub async fn a_delivery_is_not_claimed_before_it_is_due(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit(store, 1, 10, 1).await;
    assert!(claim(store, at(10) - Duration::from_micros(1)).await.is_empty());
    assert_eq!(ids(&claim(store, at(10)).await), [delivery_id(1)]);
}

/// A leased delivery is claimed again when its lease ends, so that a process that crashed loses nothing.
pub async fn a_claimed_delivery_is_nobody_elses_until_its_lease_ends(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    assert!(claim(store, at(0) + LEASE - Duration::from_micros(1)).await.is_empty());
    let again = claim_one(store, at(0) + LEASE).await;
    assert_eq!(again.delivery, claimed.delivery);
    assert_eq!(again.attempt, 1, "an attempt that was not settled is not counted");
}

/// Two claims at once lease different deliveries, however they interleave.
pub async fn two_claims_at_once_share_nothing(store: &impl Fixture) {
    subscribe(store, 1).await;
    for number in 1..=20 {
        emit(store, number, 0, 1).await;
    }
    let wish = claim_of(vec![Share::new(subscription_id(1), 10)], at(0));
    let (one, two) = both(store.claim(&wish), store.claim(&wish)).await;
    let mut all = ids(&one.expect("store answers").deliveries);
    all.extend(ids(&two.expect("store answers").deliveries));
    all.extend(ids(&claim(store, at(0)).await));
    all.sort();
    assert_eq!(all, (1..=20).map(delivery_id).collect::<Vec<_>>());
}

/// Each lease of a delivery has a greater number than all before it.
pub async fn every_claim_of_a_delivery_has_a_greater_lease(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let first = claim_one(store, at(0)).await;
    let second = claim_one(store, at(0) + LEASE).await;
    settle(store, Settlement::hand_back(second.delivery, second.lease, at(61))).await;
    let third = claim_one(store, at(61)).await;
    assert!(first.lease < second.lease && second.lease < third.lease);
}

/// An event to many subscriptions has a delivery of the same bytes for each.
pub async fn one_event_to_many_is_claimed_for_each(store: &impl Fixture) {
    let mut event = an_event(1, 0);
    for number in 1..=MOST_SUBSCRIPTIONS {
        event = event.with_delivery(delivery_id(number), subscribe(store, number).await.id);
    }
    let payload = event.payload.clone();
    insert(store, event).await;
    let mut claimed = claim(store, at(0)).await;
    claimed.sort_by_key(|claimed| claimed.delivery);
    assert_eq!(claimed.len(), 50);
    for (number, claimed) in (1..).zip(claimed) {
        assert_eq!(claimed.delivery, delivery_id(number));
        assert_eq!(claimed.subscription.id, subscription_id(number));
        assert_eq!(claimed.payload, payload);
    }
}

/// Empty batches, empty shares and unknown subscriptions are answered and change nothing.
pub async fn nothing_is_asked_and_nothing_happens(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    assert!(store.insert(&[]).await.expect("store answers").is_empty());
    assert!(store.settle(&[]).await.expect("store answers").is_empty());
    assert!(store.extend(&[], LEASE, at(0)).await.expect("store answers").is_empty());
    for shares in [vec![], vec![Share::new(subscription_id(1), 0)], vec![Share::new(subscription_id(9), 5)]] {
        let claims = store.claim(&claim_of(shares, at(0))).await.expect("store answers");
        assert!(claims.deliveries.is_empty() && claims.unreadable.is_empty());
    }
}

const SECOND: Duration = Duration::from_secs(1);
