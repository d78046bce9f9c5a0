//! What every [`Store`] and every [`Inbox`](crate::Inbox) has to keep to, one test per rule.
//!
//! [`store_conformance!`](crate::store_conformance) and [`inbox_conformance!`](crate::inbox_conformance) write the tests, so that a
//! store of your own is tested as ours are. A rule that is broken panics and says what was found.
//!
//! Time is the tests' own: a store on the clock of its database has to be built to use its caller's.
#![cfg(feature = "testing")]

mod inbox;

pub use inbox::*;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use time::OffsetDateTime;
use time::macros::datetime;

use crate::address::{AddressPolicy, EndpointUrl};
use crate::delivery::{Attempt, DeadReason, DeliveryState, Next};
use crate::id::{DeliveryId, SubscriptionId};
use crate::outcome::{ErrorClass, Outcome};
use crate::signature::Secret;
use crate::store::{Claim, Claimed, Claims, Inserted, Lease, NewEvent, Settled, Settlement, Store};
use crate::subscription::{DisabledReason, EventFilter, Subscription, SubscriptionStatus};

/// Writes a test for every rule of [`Store`](crate::Store).
///
/// Takes the attribute of an asynchronous test, then a block that makes an empty store and what has to live as long
/// as it, such as a temporary directory (`()` when nothing has to).
///
/// ```
/// # struct MyStore;
/// mod my_store {
///     hookwire::store_conformance! {
///         #[tokio::test]
///         async { (MyStore::new().await, ()) }
///     }
/// }
/// ```
#[macro_export]
macro_rules! store_conformance {
    ($(#[$attribute:meta])* async $make:block) => {
        $crate::__conformance! {
            ($(#[$attribute])*) ($make)
            a_subscription_is_read_back_as_it_was_written
            a_subscription_written_again_is_replaced
            an_organization_sees_its_own_subscriptions_oldest_first
            a_status_is_written_and_a_missing_subscription_is_told
            a_claim_has_everything_needed_to_send
            an_event_without_deliveries_is_kept
            the_same_event_again_is_a_duplicate_and_changes_nothing
            another_payload_under_the_same_id_is_a_conflict_and_changes_nothing
            the_same_id_in_two_organizations_is_two_events
            inserts_are_told_in_the_order_given
            the_earliest_due_are_claimed_first_and_no_more_than_the_limit
            a_delivery_is_not_claimed_before_it_is_due
            a_claimed_delivery_is_nobody_elses_until_its_lease_ends
            two_claims_at_once_share_nothing
            every_claim_of_a_delivery_has_a_greater_lease
            one_event_to_many_is_claimed_for_each
            a_delivered_delivery_is_finished_and_its_attempt_logged
            a_dead_letter_stays_readable_with_its_reason
            a_retry_is_due_after_its_delay
            the_first_attempt_is_remembered
            a_stale_settlement_changes_nothing
            a_settlement_sent_twice_is_written_once
            a_late_settlement_counts_while_nobody_else_claimed
            settlements_are_told_in_the_order_given
            a_delivery_handed_back_counts_no_attempt_and_is_due_at_once
            attempts_are_listed_first_to_last_as_they_were
            deliveries_of_a_disabled_subscription_wait_until_it_is_enabled
            events_for_a_disabled_subscription_wait_until_it_is_enabled
            a_settlement_disables_and_keeps_an_earlier_reason
            a_stale_settlement_disables_nothing
            the_next_due_time_is_told
            deliveries_are_listed_newest_first_in_pages
            nothing_is_asked_and_nothing_happens
        }
    };
}

/// Writes a test for every rule of [`Inbox`](crate::Inbox); takes what
/// [`store_conformance!`](crate::store_conformance) takes.
#[macro_export]
macro_rules! inbox_conformance {
    ($(#[$attribute:meta])* async $make:block) => {
        $crate::__conformance! {
            ($(#[$attribute])*) ($make)
            an_event_is_reserved_by_one_at_a_time
            two_reservations_at_once_are_one
            a_committed_event_is_done
            a_released_event_is_new_again
            a_reservation_ends_with_its_lease
            a_late_commit_counts_while_nobody_else_reserved
            a_stale_lease_neither_commits_nor_releases
            a_commit_sent_twice_is_told_twice
            a_committed_event_is_not_released
            the_same_id_of_two_sources_is_two_events
            an_event_is_forgotten_after_its_time_and_no_earlier
            no_more_are_forgotten_than_the_limit
            a_reservation_in_progress_is_not_forgotten
            a_lease_from_before_an_event_was_forgotten_is_stale
        }
    };
}

/// Not part of the public interface.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance {
    ($attributes:tt $make:tt $($rule:ident)*) => {
        $($crate::__conformance!(@ $attributes $make $rule);)*
    };
    (@ ($(#[$attribute:meta])*) ($make:block) $rule:ident) => {
        $(#[$attribute])*
        async fn $rule() {
            let (tested, _guard) = $make;
            $crate::store::conformance::$rule(&tested).await;
        }
    };
}

/// Every part of a subscription comes back: its secrets of either kind, filter, status, times.
pub async fn a_subscription_is_read_back_as_it_was_written(store: &impl Store) {
    let filter = EventFilter::new(["call.*", "contact.created", "*"]).expect("patterns are right");
    let mut written = Subscription::from_parts(subscription_id(1), START, "org \"1\"", url("a"), filter)
        .with_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().expect("secret is right"))
        .with_secret(Secret::from_bytes([0xff; 32]))
        .with_secret("It's a \"secret\" to \u{1F98A}".parse().expect("secret is right"));
    written.status = SubscriptionStatus::disabled(DisabledReason::Failing, at(5));
    store.put_subscription(&written).await.expect("subscription is written");
    let read = subscription(store, written.id).await;
    assert_same(&read, &written);
    assert!(store.subscription(subscription_id(9)).await.expect("store answers").is_none());
}

/// The same id again replaces every part.
pub async fn a_subscription_written_again_is_replaced(store: &impl Store) {
    subscribe(store, 1).await;
    let filter = EventFilter::new(["contact.*"]).expect("pattern is right");
    let other = Subscription::from_parts(subscription_id(1), at(1), "org_2", url("b"), filter);
    store.put_subscription(&other).await.expect("subscription is written");
    assert_same(&subscription(store, other.id).await, &other);
    assert!(store.subscriptions(ORGANIZATION).await.expect("store answers").is_empty());
}

/// A list holds one organization's subscriptions, disabled ones too.
pub async fn an_organization_sees_its_own_subscriptions_oldest_first(store: &impl Store) {
    for (number, created_at) in [(1, 3), (2, 1), (3, 2)] {
        let mut subscription = a_subscription(number);
        subscription.created_at = at(created_at);
        store.put_subscription(&subscription).await.expect("subscription is written");
    }
    let mut foreign = a_subscription(4);
    foreign.organization = "org_2".to_owned();
    store.put_subscription(&foreign).await.expect("subscription is written");
    disable(store, 3).await;
    let listed = store.subscriptions(ORGANIZATION).await.expect("store answers");
    let ids: Vec<_> = listed.iter().map(|subscription| subscription.id).collect();
    assert_eq!(ids, [2, 3, 1].map(subscription_id));
}

/// `false` says that there is none of this id.
pub async fn a_status_is_written_and_a_missing_subscription_is_told(store: &impl Store) {
    subscribe(store, 1).await;
    let disabled = SubscriptionStatus::disabled(DisabledReason::Manual, at(7));
    for status in [disabled, SubscriptionStatus::Enabled] {
        assert!(store.set_subscription_status(subscription_id(1), &status).await.expect("store answers"));
        assert_eq!(subscription(store, subscription_id(1)).await.status, status);
        assert!(!store.set_subscription_status(subscription_id(2), &status).await.expect("store answers"));
    }
}

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

/// Due times decide, not the order of insertion or the ids.
pub async fn the_earliest_due_are_claimed_first_and_no_more_than_the_limit(store: &impl Store) {
    subscribe(store, 1).await;
    for (number, due) in [(1, 4), (2, 1), (3, 3), (4, 2)] {
        emit(store, number, due, 1).await;
    }
    let first = store.claim(&Claim::new(at(10), 3, LEASE)).await.expect("store answers");
    assert_eq!(ids(&first.deliveries), [2, 4, 3].map(delivery_id));
    let rest = store.claim(&Claim::new(at(10), 3, LEASE)).await.expect("store answers");
    assert_eq!(ids(&rest.deliveries), [delivery_id(1)]);
    let none = store.claim(&Claim::new(at(10), 3, LEASE)).await.expect("store answers");
    assert!(none.deliveries.is_empty() && none.unreadable.is_empty());
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
    let wish = Claim::new(at(0), 10, LEASE);
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
    for number in 1..=50 {
        event = event.with_delivery(delivery_id(number), subscribe(store, number).await.id);
    }
    let payload = event.payload.clone();
    insert(store, event).await;
    let claimed = claim(store, at(0)).await;
    assert_eq!(claimed.len(), 50);
    for (number, claimed) in (1..).zip(claimed) {
        assert_eq!(claimed.delivery, delivery_id(number));
        assert_eq!(claimed.subscription.id, subscription_id(number));
        assert_eq!(claimed.payload, payload);
    }
}

/// It is never claimed again.
pub async fn a_delivered_delivery_is_finished_and_its_attempt_logged(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    let attempt = attempt(1, 0).with_response_excerpt("thanks");
    let done = Settlement::new(claimed.delivery, claimed.lease, at(1), attempt.clone(), Next::Delivered);
    assert_eq!(settle(store, done).await, Settled::Done);
    let delivery = delivery(store, 1).await;
    assert_eq!(delivery.state, DeliveryState::Delivered);
    assert_eq!(delivery.attempts, 1);
    assert_eq!(delivery.due_at, None);
    assert_eq!(store.attempts(claimed.delivery).await.expect("store answers"), [attempt]);
    assert!(claim(store, at(1_000_000)).await.is_empty());
}

/// Dead is visible, and why.
pub async fn a_dead_letter_stays_readable_with_its_reason(store: &impl Store) {
    subscribe(store, 1).await;
    let reasons = [DeadReason::Exhausted, DeadReason::Refused, DeadReason::Gone];
    for (number, reason) in (1..).zip(reasons) {
        emit(store, number, 0, 1).await;
        let claimed = claim_one(store, at(0)).await;
        let dead = Settlement::new(claimed.delivery, claimed.lease, at(1), attempt(1, 0), Next::dead(reason));
        assert_eq!(settle(store, dead).await, Settled::Done);
        assert_eq!(delivery(store, number).await.state, DeliveryState::Dead(reason));
        assert_eq!(delivery(store, number).await.event, an_event(number, 0).id);
    }
    assert!(claim(store, at(1_000_000)).await.is_empty());
}

/// The delay counts from the settlement.
pub async fn a_retry_is_due_after_its_delay(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    let retry = Next::retry(Duration::from_secs(100));
    settle(store, Settlement::new(claimed.delivery, claimed.lease, at(7), attempt(1, 0), retry)).await;
    let waiting = delivery(store, 1).await;
    assert_eq!((waiting.state, waiting.attempts), (DeliveryState::Pending, 1));
    assert_eq!(waiting.due_at, Some(at(107)));
    assert!(claim(store, at(107) - Duration::from_micros(1)).await.is_empty());
    assert_eq!(claim_one(store, at(107)).await.attempt, 2);
}

/// The time since then bounds the retries.
pub async fn the_first_attempt_is_remembered(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    for (number, second) in [(1, 3), (2, 30), (3, 300)] {
        let claimed = claim_one(store, at(second)).await;
        assert_eq!(claimed.first_attempt_at, (number > 1).then(|| at(3)));
        let again = Next::retry(Duration::ZERO);
        settle(
            store,
            Settlement::new(claimed.delivery, claimed.lease, at(second), attempt(number, second), again),
        )
        .await;
    }
}

/// Neither the state nor the log.
pub async fn a_stale_settlement_changes_nothing(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let slow = claim_one(store, at(0)).await;
    let fresh = claim_one(store, at(0) + LEASE).await;
    let before = delivery(store, 1).await;
    let late = |lease| Settlement::new(slow.delivery, lease, at(61), attempt(1, 0), Next::Delivered);
    let never = Lease::new(u64::MAX);
    for lease in [slow.lease, Lease::new(0), never] {
        assert_eq!(settle(store, late(lease)).await, Settled::Stale);
    }
    let unknown = Settlement::new(delivery_id(9), fresh.lease, at(61), attempt(1, 0), Next::Delivered);
    assert_eq!(settle(store, unknown).await, Settled::Stale);
    assert_eq!(delivery(store, 1).await, before);
    assert!(store.attempts(slow.delivery).await.expect("store answers").is_empty());
    assert_eq!(settle(store, late(fresh.lease)).await, Settled::Done);
}

/// A caller that was not told of the first may repeat it.
pub async fn a_settlement_sent_twice_is_written_once(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    let retry = Next::retry(Duration::from_secs(5));
    let once = Settlement::new(claimed.delivery, claimed.lease, at(1), attempt(1, 0), retry);
    let told = store.settle(&[once.clone(), once.clone()]).await.expect("settlements are written");
    assert_eq!(told, [Settled::Done, Settled::Stale]);
    assert_eq!(settle(store, once).await, Settled::Stale);
    assert_eq!(delivery(store, 1).await.attempts, 1);
    assert_eq!(store.attempts(claimed.delivery).await.expect("store answers").len(), 1);
}

/// The work was done, and nobody does it again.
pub async fn a_late_settlement_counts_while_nobody_else_claimed(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let slow = claim_one(store, at(0)).await;
    let late = Settlement::new(slow.delivery, slow.lease, at(1_000), attempt(1, 0), Next::Delivered);
    assert_eq!(settle(store, late).await, Settled::Done);
    assert!(claim(store, at(1_000)).await.is_empty());
}

/// A stale one stops no others.
pub async fn settlements_are_told_in_the_order_given(store: &impl Store) {
    subscribe(store, 1).await;
    for number in 1..=4 {
        emit(store, number, 0, 1).await;
    }
    let claimed = claim(store, at(0)).await;
    let batch: Vec<_> = [3, 1, 0, 2]
        .map(|index: usize| {
            let lease = if index == 1 { Lease::new(77) } else { claimed[index].lease };
            Settlement::new(claimed[index].delivery, lease, at(1), attempt(1, 0), Next::Delivered)
        })
        .to_vec();
    let told = store.settle(&batch).await.expect("settlements are written");
    assert_eq!(told, [Settled::Done, Settled::Stale, Settled::Done, Settled::Done]);
    assert_eq!(delivery(store, 2).await.state, DeliveryState::Pending);
    assert_eq!(delivery(store, 4).await.state, DeliveryState::Delivered);
}

/// A worker that shuts down costs the delivery nothing.
pub async fn a_delivery_handed_back_counts_no_attempt_and_is_due_at_once(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    let back = Settlement::hand_back(claimed.delivery, claimed.lease, at(1));
    assert_eq!(settle(store, back).await, Settled::Done);
    assert_eq!(delivery(store, 1).await.attempts, 0);
    assert!(store.attempts(claimed.delivery).await.expect("store answers").is_empty());
    assert_eq!(claim_one(store, at(1)).await.attempt, 1);
}

/// Every outcome comes back.
pub async fn attempts_are_listed_first_to_last_as_they_were(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let waits =
        Outcome::answered(StatusCode::SERVICE_UNAVAILABLE).with_retry_after(Some(Duration::from_secs(9)));
    let outcomes = [Outcome::answered(StatusCode::OK), waits]
        .into_iter()
        .chain(ErrorClass::ALL.into_iter().map(Outcome::Failed));
    let mut made = Vec::new();
    for (number, outcome) in (1..).zip(outcomes) {
        let claimed = claim_one(store, at(0)).await;
        assert_eq!(claimed.attempt, number);
        let attempt = Attempt::new(number, at(i64::from(number)), Duration::from_micros(1_500_001), outcome)
            .with_response_excerpt("line\n\"quoted\" \\ \u{1F98A} \u{fffd} \u{0}end");
        made.push(attempt.clone());
        let again = Next::retry(Duration::ZERO);
        settle(store, Settlement::new(claimed.delivery, claimed.lease, at(0), attempt, again)).await;
    }
    assert_eq!(store.attempts(delivery_id(1)).await.expect("store answers"), made);
}

/// Waiting they are pending still, and others are not behind them.
pub async fn deliveries_of_a_disabled_subscription_wait_until_it_is_enabled(store: &impl Store) {
    subscribe(store, 1).await;
    subscribe(store, 2).await;
    emit(store, 1, 0, 1).await;
    emit(store, 2, 1, 2).await;
    disable(store, 1).await;
    let wish = Claim::new(at(1), 1, LEASE);
    let claims = store.claim(&wish).await.expect("store answers");
    assert_eq!(ids(&claims.deliveries), [delivery_id(2)]);
    assert_eq!(delivery(store, 1).await.state, DeliveryState::Pending);
    enable(store, 1).await;
    assert_eq!(ids(&claim(store, at(1)).await), [delivery_id(1)]);
    store
        .put_subscription(&{
            let mut disabled = a_subscription(2);
            disabled.status = SubscriptionStatus::disabled(DisabledReason::Manual, at(2));
            disabled
        })
        .await
        .expect("subscription is written");
    assert!(
        claim(store, at(1) + LEASE).await.iter().all(|claimed| claimed.subscription.id != subscription_id(2))
    );
    subscribe(store, 2).await;
    assert_eq!(ids(&claim(store, at(1) + LEASE).await), [delivery_id(2)]);
}

/// Those that come while it is disabled too.
pub async fn events_for_a_disabled_subscription_wait_until_it_is_enabled(store: &impl Store) {
    subscribe(store, 1).await;
    disable(store, 1).await;
    emit(store, 1, 0, 1).await;
    assert!(claim(store, at(0)).await.is_empty());
    assert_eq!(next_due(store, at(0)).await, None);
    enable(store, 1).await;
    assert_eq!(next_due(store, at(0)).await, Some(Duration::ZERO));
    assert_eq!(ids(&claim(store, at(0)).await), [delivery_id(1)]);
}

/// In the settlement's own transaction, and only once.
pub async fn a_settlement_disables_and_keeps_an_earlier_reason(store: &impl Store) {
    subscribe(store, 1).await;
    for number in 1..=3 {
        emit(store, number, 0, 1).await;
    }
    let claims = store.claim(&Claim::new(at(0), 2, LEASE)).await.expect("store answers");
    for (second, reason, claimed) in [
        (1, DisabledReason::Gone, &claims.deliveries[0]),
        (2, DisabledReason::Failing, &claims.deliveries[1]),
    ] {
        let dead = Next::dead(DeadReason::Gone);
        let last = Settlement::new(claimed.delivery, claimed.lease, at(second), attempt(1, 0), dead);
        assert_eq!(settle(store, last.with_disable(reason)).await, Settled::Done);
    }
    let status = subscription(store, subscription_id(1)).await.status;
    assert_eq!(status, SubscriptionStatus::disabled(DisabledReason::Gone, at(1)));
    assert!(claim(store, at(100)).await.is_empty());
    enable(store, 1).await;
    assert_eq!(ids(&claim(store, at(100)).await), [delivery_id(3)]);
}

/// A worker that lost its lease decides nothing.
pub async fn a_stale_settlement_disables_nothing(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let slow = claim_one(store, at(0)).await;
    claim_one(store, at(0) + LEASE).await;
    let dead = Next::dead(DeadReason::Gone);
    let late = Settlement::new(slow.delivery, slow.lease, at(61), attempt(1, 0), dead);
    assert_eq!(settle(store, late.with_disable(DisabledReason::Gone)).await, Settled::Stale);
    assert_eq!(subscription(store, subscription_id(1)).await.status, SubscriptionStatus::Enabled);
}

/// Leased ones are due when their lease ends.
pub async fn the_next_due_time_is_told(store: &impl Store) {
    assert_eq!(next_due(store, at(0)).await, None);
    subscribe(store, 1).await;
    emit(store, 1, 10, 1).await;
    emit(store, 2, 20, 1).await;
    assert_eq!(next_due(store, at(4)).await, Some(Duration::from_secs(6)));
    assert_eq!(next_due(store, at(50)).await, Some(Duration::ZERO));
    let claimed = claim_one(store, at(10)).await;
    assert_eq!(next_due(store, at(10)).await, Some(Duration::from_secs(10)));
    claim_one(store, at(20)).await;
    assert_eq!(next_due(store, at(20)).await, Some(Duration::from_secs(50)));
    settle(store, Settlement::new(claimed.delivery, claimed.lease, at(20), attempt(1, 0), Next::Delivered))
        .await;
    assert_eq!(next_due(store, at(20)).await, Some(Duration::from_secs(60)));
}

/// A delivery's id sorts by its time.
pub async fn deliveries_are_listed_newest_first_in_pages(store: &impl Store) {
    subscribe(store, 1).await;
    subscribe(store, 2).await;
    for number in 1..=5 {
        emit(store, number, i64::from(number), 1).await;
    }
    emit(store, 6, 6, 2).await;
    let mut after = None;
    for expected in [&[5, 4][..], &[3, 2], &[1], &[]] {
        let page = store.deliveries(subscription_id(1), after, 2).await.expect("store answers");
        let listed: Vec<_> = page.iter().map(|delivery| delivery.id).collect();
        assert_eq!(listed, expected.iter().map(|number| delivery_id(*number)).collect::<Vec<_>>());
        after = listed.last().copied();
    }
    let first = delivery(store, 1).await;
    assert_eq!(first.subscription, subscription_id(1));
    assert_eq!((first.event, first.event_type), (an_event(1, 1).id, an_event(1, 1).event_type));
    assert_eq!((first.created_at, first.due_at), (at(1), Some(at(1))));
    assert!(store.delivery(delivery_id(9)).await.expect("store answers").is_none());
}

/// Empty batches are fine.
pub async fn nothing_is_asked_and_nothing_happens(store: &impl Store) {
    assert!(store.insert(&[]).await.expect("store answers").is_empty());
    assert!(store.settle(&[]).await.expect("store answers").is_empty());
    let claims = store.claim(&Claim::new(at(0), 0, LEASE)).await.expect("store answers");
    assert!(claims.deliveries.is_empty() && claims.unreadable.is_empty());
}

async fn subscribe(store: &impl Store, number: u32) -> Subscription {
    let subscription = a_subscription(number);
    store.put_subscription(&subscription).await.expect("subscription is written");
    subscription
}

async fn subscription(store: &impl Store, id: SubscriptionId) -> Subscription {
    store.subscription(id).await.expect("store answers").expect("subscription was written")
}

async fn disable(store: &impl Store, number: u32) {
    let status = SubscriptionStatus::disabled(DisabledReason::Manual, at(0));
    assert!(store.set_subscription_status(subscription_id(number), &status).await.expect("store answers"));
}

async fn enable(store: &impl Store, number: u32) {
    let enabled = SubscriptionStatus::Enabled;
    assert!(store.set_subscription_status(subscription_id(number), &enabled).await.expect("store answers"));
}

/// Event and delivery `number` for the subscription of this number, due at `second`.
async fn emit(store: &impl Store, number: u32, second: i64, subscription: u32) -> Inserted {
    let event = an_event(number, second).with_delivery(delivery_id(number), subscription_id(subscription));
    insert(store, event).await
}

async fn insert(store: &impl Store, event: NewEvent) -> Inserted {
    let told = store.insert(&[event]).await.expect("event is written");
    let [told] = told[..] else { panic!("one event was inserted and {} were told of", told.len()) };
    told
}

async fn claim(store: &impl Store, now: OffsetDateTime) -> Vec<Claimed> {
    let Claims { deliveries, unreadable } =
        store.claim(&Claim::new(now, 1_000, LEASE)).await.expect("store answers");
    assert!(unreadable.is_empty(), "unreadable: {unreadable:?}");
    deliveries
}

async fn claim_one(store: &impl Store, now: OffsetDateTime) -> Claimed {
    let mut claims = store.claim(&Claim::new(now, 1, LEASE)).await.expect("store answers");
    assert!(claims.unreadable.is_empty(), "unreadable: {:?}", claims.unreadable);
    assert_eq!(claims.deliveries.len(), 1, "one delivery is due");
    claims.deliveries.remove(0)
}

async fn settle(store: &impl Store, settlement: Settlement) -> Settled {
    let told = store.settle(&[settlement]).await.expect("settlement is written");
    let [told] = told[..] else { panic!("one settlement was made and {} were told of", told.len()) };
    told
}

async fn delivery(store: &impl Store, number: u32) -> crate::delivery::Delivery {
    store.delivery(delivery_id(number)).await.expect("store answers").expect("delivery was written")
}

async fn next_due(store: &impl Store, now: OffsetDateTime) -> Option<Duration> {
    store.next_due(now).await.expect("store answers")
}

/// Both at once, in one task: no runtime is asked for.
async fn both<A: Future, B: Future>(one: A, two: B) -> (A::Output, B::Output) {
    let (mut one, mut two) = (pin!(one), pin!(two));
    let (mut first, mut second) = (None, None);
    poll_fn(move |context| {
        if first.is_none() {
            first = match one.as_mut().poll(context) {
                Poll::Ready(output) => Some(output),
                Poll::Pending => None,
            };
        }
        if second.is_none() {
            second = match two.as_mut().poll(context) {
                Poll::Ready(output) => Some(output),
                Poll::Pending => None,
            };
        }
        match (first.take(), second.take()) {
            (Some(one), Some(two)) => Poll::Ready((one, two)),
            (one, two) => {
                (first, second) = (one, two);
                Poll::Pending
            }
        }
    })
    .await
}

fn assert_same(read: &Subscription, written: &Subscription) {
    assert_eq!(read.id, written.id);
    assert_eq!(read.organization, written.organization);
    assert_eq!(read.url, written.url);
    assert_eq!(read.filter, written.filter);
    assert!(read.secrets == written.secrets, "the secrets came back changed");
    assert_eq!(read.status, written.status);
    assert_eq!(read.created_at, written.created_at);
}

fn ids(claimed: &[Claimed]) -> Vec<DeliveryId> {
    claimed.iter().map(|claimed| claimed.delivery).collect()
}

fn a_subscription(number: u32) -> Subscription {
    Subscription::from_parts(
        subscription_id(number),
        START,
        ORGANIZATION,
        url(&number.to_string()),
        EventFilter::all(),
    )
    .with_secret(Secret::from_random([7; 32]))
}

/// Another payload for each number, due at `second`.
fn an_event(number: u32, second: i64) -> NewEvent {
    NewEvent::new(
        ORGANIZATION,
        format!("evt_{number}").parse().expect("id is right"),
        "call.ended".parse().expect("type is right"),
        at(second),
        Bytes::from(format!("{{\"number\":{number}}}")),
    )
}

fn attempt(number: u32, second: i64) -> Attempt {
    let outcome = Outcome::answered(StatusCode::INTERNAL_SERVER_ERROR);
    Attempt::new(number, at(second), Duration::from_millis(12), outcome)
}

fn url(path: &str) -> EndpointUrl {
    EndpointUrl::parse(&format!("https://hooks.example.com/{path}"), &AddressPolicy::new())
        .expect("URL is right")
}

fn subscription_id(number: u32) -> SubscriptionId {
    SubscriptionId::from_parts(at(i64::from(number)), [1; 10])
}

fn delivery_id(number: u32) -> DeliveryId {
    DeliveryId::from_parts(at(i64::from(number)), [2; 10])
}

/// `second` seconds after the tests' beginning.
fn at(second: i64) -> OffsetDateTime {
    START + time::Duration::seconds(second)
}

const START: OffsetDateTime = datetime!(2026-04-17 19:12:03.482_001 UTC);
const ORGANIZATION: &str = "org_1";
const LEASE: Duration = Duration::from_secs(60);
