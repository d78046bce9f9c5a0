//! Inserting, looking and claiming.

use std::collections::BTreeSet;

use super::*;

/// One claim is enough to send.
pub async fn a_claim_has_everything_needed_to_send(store: &impl Store) {
    let subscribed = subscribe(store, 1).await;
    let payload = Bytes::from_static(b"{\"any\":\"bytes \xff\x00\"}");
    let event =
        NewEvent { payload: payload.clone(), ..an_event(1, 0).with_delivery(delivery_id(1), subscribed.id) };
    insert(store, event.clone()).await;
    let claimed = claim_one(store, at(0)).await;
    assert_eq!(claimed.delivery, delivery_id(1));
    assert_eq!(claimed.attempt, 1);
    assert_eq!(claimed.first_attempt_at, None);
    assert_eq!(claimed.event, event.id);
    assert_eq!(claimed.event_type, event.event_type);
    assert_eq!(claimed.payload, payload);
    assert_same(&claimed.subscription, &subscribed);
}

/// Nobody wanted it, and its id is still taken.
pub async fn an_event_without_deliveries_is_kept(store: &impl Store) {
    assert_eq!(insert(store, an_event(1, 0)).await, Inserted::New);
    assert_eq!(insert(store, an_event(1, 0)).await, Inserted::Duplicate);
    assert!(claim(store, at(0)).await.is_empty());
}

/// Deliveries that the copy names are not made, not even to another subscription.
pub async fn the_same_event_again_is_a_duplicate_and_changes_nothing(store: &impl Store) {
    let subscribed = subscribe(store, 1).await;
    let other = subscribe(store, 2).await;
    assert_eq!(emit(store, 1, 0, 1).await, Inserted::New);
    let again =
        an_event(1, 9).with_delivery(delivery_id(2), subscribed.id).with_delivery(delivery_id(3), other.id);
    assert_eq!(insert(store, again).await, Inserted::Duplicate);
    assert_eq!(ids(&claim(store, at(100)).await), [delivery_id(1)]);
    assert!(store.delivery(delivery_id(2)).await.expect("store answers").is_none());
}

/// The first payload stays.
pub async fn another_payload_under_the_same_id_is_a_conflict_and_changes_nothing(store: &impl Store) {
    let subscribed = subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let mut other = an_event(1, 0).with_delivery(delivery_id(2), subscribed.id);
    other.payload = Bytes::from_static(b"other");
    assert_eq!(insert(store, other).await, Inserted::Conflict);
    let claimed = claim_one(store, at(0)).await;
    assert_eq!(claimed.delivery, delivery_id(1));
    assert_eq!(claimed.payload, an_event(1, 0).payload);
}

/// An id is one organization's.
pub async fn the_same_id_in_two_organizations_is_two_events(store: &impl Store) {
    let mut other = an_event(1, 0);
    other.organization = "org_2".to_owned();
    other.payload = Bytes::from_static(b"other");
    assert_eq!(insert(store, an_event(1, 0)).await, Inserted::New);
    assert_eq!(insert(store, other).await, Inserted::New);
}

/// Within one batch too.
pub async fn inserts_are_told_in_the_order_given(store: &impl Store) {
    let mut conflict = an_event(1, 0);
    conflict.payload = Bytes::from_static(b"other");
    insert(store, an_event(3, 0)).await;
    let batch = [an_event(1, 0), conflict, an_event(2, 0), an_event(1, 0), an_event(3, 0)];
    let told = store.insert(&batch).await.expect("events are written");
    use Inserted::{Conflict, Duplicate, New};
    assert_eq!(told, [New, Conflict, New, Duplicate, Duplicate]);
}

/// However many of its deliveries are due.
pub async fn a_look_lists_each_ready_subscription_once(store: &impl Store) {
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

/// Of those that it does not list: when the first has something due, or a lease of it ends.
pub async fn a_look_tells_how_long_until_another_subscription_is_ready(store: &impl Store) {
    assert_eq!(look(store, at(0)).await, Look::default());
    subscribe(store, 1).await;
    subscribe(store, 2).await;
    assert_eq!(look(store, at(0)).await, Look::default());
    emit(store, 1, 10, 1).await;
    emit(store, 2, 20, 1).await;
    emit(store, 3, 30, 2).await;
    let wait = |seconds| Some(Duration::from_secs(seconds));
    let (one, two) = (subscription_id(1), subscription_id(2));
    assert_eq!(look(store, at(4)).await, Look::new(vec![], wait(6)));
    assert_eq!(look(store, at(10)).await, Look::new(vec![one], wait(20)));
    assert_eq!(look(store, at(50)).await, Look::new(vec![one, two], None));
    let claimed = claim_one(store, at(10)).await;
    assert_eq!(look(store, at(10)).await, Look::new(vec![], wait(10)));
    claim_one(store, at(20)).await;
    assert_eq!(look(store, at(20)).await, Look::new(vec![], wait(10)));
    assert_eq!(look(store, at(30)).await, Look::new(vec![two], wait(40)));
    assert_eq!(settle(store, ended(&claimed, at(30), Next::Delivered)).await, Settled::Done);
    assert_eq!(look(store, at(30)).await, Look::new(vec![two], wait(50)));
    let cut = store.look(at(100), 1).await.expect("store answers");
    assert_eq!((cut.ready.len(), cut.wait), (1, wait(0)), "one that was left out is ready now");
}

/// Nothing is claimed in between: those that are listed first must not hide the others.
pub async fn a_look_that_may_not_list_all_leaves_none_out_for_ever(store: &impl Store) {
    for number in 1..=5 {
        subscribe(store, number).await;
        emit(store, number, 0, number).await;
    }
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        let ready = store.look(at(0), 2).await.expect("store answers").ready;
        assert!(ready.len() <= 2, "two were asked for and {} listed", ready.len());
        seen.extend(ready);
    }
    assert_eq!(seen.len(), 5, "some were never listed");
}

/// Not due, disabled, leased.
pub async fn a_look_leaves_out_what_cannot_be_claimed(store: &impl Store) {
    for number in 1..=4 {
        subscribe(store, number).await;
        emit(store, number, if number == 2 { 5 } else { 0 }, number).await;
    }
    disable(store, 3).await;
    claim_one(store, at(0)).await;
    assert_eq!(look(store, at(0)).await, Look::new(vec![subscription_id(4)], Some(Duration::from_secs(5))));
    enable(store, 3).await;
    assert_eq!(look(store, at(0)).await.ready, [3, 4].map(subscription_id));
}

/// And one that is not named gives nothing.
pub async fn each_subscription_gives_no_more_than_its_share(store: &impl Store) {
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

/// What was due earlier may be given too.
pub async fn a_share_begins_where_it_is_told_and_misses_nothing_from_there_on(store: &impl Store) {
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

/// Due times decide, not the order of insertion or the ids.
pub async fn the_earliest_due_are_claimed_first_and_no_more_than_the_limit(store: &impl Store) {
    subscribe(store, 1).await;
    for (number, due) in [(1, 4), (2, 1), (3, 3), (4, 2)] {
        emit(store, number, due, 1).await;
    }
    assert_eq!(numbers(&claim_up_to(store, at(10), 3).await), [2, 4, 3]);
    assert_eq!(numbers(&claim_up_to(store, at(10), 3).await), [1]);
    assert!(claim_up_to(store, at(10), 3).await.is_empty());
}

/// The due instant itself is due.
pub async fn a_delivery_is_not_claimed_before_it_is_due(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 10, 1).await;
    assert!(claim(store, at(10) - Duration::from_micros(1)).await.is_empty());
    assert_eq!(ids(&claim(store, at(10)).await), [delivery_id(1)]);
}

/// And then somebody else's, for a worker that died lost nothing.
pub async fn a_claimed_delivery_is_nobody_elses_until_its_lease_ends(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    assert!(claim(store, at(0) + LEASE - Duration::from_micros(1)).await.is_empty());
    let again = claim_one(store, at(0) + LEASE).await;
    assert_eq!(again.delivery, claimed.delivery);
    assert_eq!(again.attempt, 1, "an attempt that was not settled is not counted");
}

/// However they interleave.
pub async fn two_claims_at_once_share_nothing(store: &impl Store) {
    subscribe(store, 1).await;
    for number in 1..=20 {
        emit(store, number, 0, 1).await;
    }
    let wish = Claim::new(at(0), LEASE, vec![Share::new(subscription_id(1), 10)]);
    let (one, two) = both(store.claim(&wish), store.claim(&wish)).await;
    let mut all = ids(&one.expect("store answers").deliveries);
    all.extend(ids(&two.expect("store answers").deliveries));
    all.extend(ids(&claim(store, at(0)).await));
    all.sort();
    assert_eq!(all, (1..=20).map(delivery_id).collect::<Vec<_>>());
}

/// A number that was given once fences out all before it.
pub async fn every_claim_of_a_delivery_has_a_greater_lease(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let first = claim_one(store, at(0)).await;
    let second = claim_one(store, at(0) + LEASE).await;
    settle(store, Settlement::hand_back(second.delivery, second.lease, at(61))).await;
    let third = claim_one(store, at(61)).await;
    assert!(first.lease < second.lease && second.lease < third.lease);
}

/// One delivery each, of the same bytes.
pub async fn one_event_to_many_is_claimed_for_each(store: &impl Store) {
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

/// Empty batches are fine.
pub async fn nothing_is_asked_and_nothing_happens(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    assert!(store.insert(&[]).await.expect("store answers").is_empty());
    assert!(store.settle(&[]).await.expect("store answers").is_empty());
    assert!(store.extend(&[], at(0), LEASE).await.expect("store answers").is_empty());
    for shares in [vec![], vec![Share::new(subscription_id(1), 0)], vec![Share::new(subscription_id(9), 5)]] {
        let claims = store.claim(&Claim::new(at(0), LEASE, shares)).await.expect("store answers");
        assert!(claims.deliveries.is_empty() && claims.unreadable.is_empty());
    }
}
