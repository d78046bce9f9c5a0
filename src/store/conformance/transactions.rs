//! Transactions of an application: inserts and commits of handled events that join them.

use std::future::Future;
use std::time::Duration;

use super::fixture::Fixture;
use super::inbox::{KEEP, commit, key, reserve, reserve_new};
use super::steps::*;
use crate::delivery::{DeadReason, DeliveryState};
use crate::store::{
    InsertOutcome, Lease, NewEvent, Polled, Reservation, TransactionalInbox, TransactionalStore,
};

/// An application's own connection to the database of the store or inbox, with one transaction at a time.
pub trait Application<C>: Send {
    /// Begins a transaction.
    fn begin(&mut self) -> impl Future<Output = ()> + Send;

    /// The connection, for what is written in the transaction.
    fn connection(&mut self) -> &mut C;

    /// Commits it.
    fn commit(&mut self) -> impl Future<Output = ()> + Send;

    /// Rolls it back.
    fn roll_back(&mut self) -> impl Future<Output = ()> + Send;
}

/// The writes of a handler and the mark that it handled the event are committed together.
pub async fn an_event_committed_in_a_transaction_is_done_when_that_commits<I: TransactionalInbox>(
    inbox: &I,
    application: &mut impl Application<I::Connection>,
) {
    let lease = reserve_new(inbox, "a", at(0)).await;
    assert!(commit_in(inbox, application, "a", lease).await);
    application.commit().await;
    for later in [at(2), at(2) + 2 * LEASE, at(1) + KEEP - LEASE] {
        assert_eq!(reserve(inbox, "a", later).await, Reservation::Done);
    }
    reserve_new(inbox, "a", at(1) + KEEP).await;
}

/// After a rollback, the event is as if its handler had crashed.
pub async fn an_event_committed_in_a_transaction_is_as_before_when_that_rolls_back<I: TransactionalInbox>(
    inbox: &I,
    application: &mut impl Application<I::Connection>,
) {
    for (name, is_committed_then) in [("a", true), ("b", false)] {
        let lease = reserve_new(inbox, name, at(0)).await;
        assert!(commit_in(inbox, application, name, lease).await);
        application.roll_back().await;
        assert_eq!(reserve(inbox, name, at(2)).await, Reservation::InFlight);
        if is_committed_then {
            assert!(commit(inbox, name, lease, at(3)).await);
            assert_eq!(reserve(inbox, name, at(0) + LEASE).await, Reservation::Done);
        } else {
            let next = reserve_new(inbox, name, at(0) + LEASE).await;
            assert!(lease < next);
        }
    }
}

/// A commit without the last lease returns `false`, so that the handler rolls back.
pub async fn a_stale_lease_is_reported_in_a_transaction_and_changes_nothing<I: TransactionalInbox>(
    inbox: &I,
    application: &mut impl Application<I::Connection>,
) {
    let slow = reserve_new(inbox, "a", at(0)).await;
    let fresh = reserve_new(inbox, "a", at(0) + LEASE).await;
    for stale in [slow, Lease::new(0), Lease::new(u64::MAX)] {
        assert!(!commit_in(inbox, application, "a", stale).await);
        // Even so.
        application.commit().await;
    }
    assert!(!commit_in(inbox, application, "never reserved", fresh).await);
    application.commit().await;
    assert_eq!(reserve(inbox, "a", at(61)).await, Reservation::InFlight);
    assert!(commit_in(inbox, application, "a", fresh).await);
    application.commit().await;
    assert_eq!(reserve(inbox, "a", at(62)).await, Reservation::Done);
}

/// One transaction may commit several events.
pub async fn events_committed_in_one_transaction_are_done_together<I: TransactionalInbox>(
    inbox: &I,
    application: &mut impl Application<I::Connection>,
) {
    let leases = [reserve_new(inbox, "a", at(0)).await, reserve_new(inbox, "b", at(0)).await];
    for is_committed in [false, true] {
        application.begin().await;
        for (name, lease) in ["a", "b"].into_iter().zip(leases) {
            let told = inbox.commit_in(application.connection(), &key(name), lease, KEEP, at(1)).await;
            assert!(told.expect("inbox answers"));
        }
        if is_committed {
            application.commit().await;
        } else {
            application.roll_back().await;
        }
        let expected = if is_committed { Reservation::Done } else { Reservation::InFlight };
        for name in ["a", "b"] {
            assert_eq!(reserve(inbox, name, at(2)).await, expected);
        }
    }
}

/// After a rollback, the event was never inserted.
pub async fn an_event_of_a_transaction_is_gone_when_that_rolls_back<S: TransactionalStore + Fixture>(
    store: &S,
    application: &mut impl Application<S::Connection>,
) {
    let event = an_event_to_one(store, 1).await;
    application.begin().await;
    assert_eq!(insert_in(store, application, std::slice::from_ref(&event)).await, [InsertOutcome::New]);
    application.roll_back().await;
    assert_eq!(store.delivery_state(delivery_id(1)).await, None);
    assert_eq!(look(store, at(0)).await, Polled::default());
    assert_eq!(insert(store, event).await, InsertOutcome::New);
}

/// An event is claimed after the commit of its transaction and no earlier.
pub async fn an_event_of_a_transaction_is_delivered_when_that_commits<S: TransactionalStore + Fixture>(
    store: &S,
    application: &mut impl Application<S::Connection>,
) {
    use InsertOutcome::{Conflict, Duplicate, New};
    let [one, two] = [an_event_to_one(store, 1).await, an_event_to_one(store, 2).await];
    application.begin().await;
    let batch = [one.clone(), two.clone(), one.clone()];
    assert_eq!(insert_in(store, application, &batch).await, [New, New, Duplicate]);
    let mut other = two;
    other.payload = payload(9);
    assert_eq!(insert_in(store, application, &[other, one]).await, [Conflict, Duplicate]);
    assert_eq!(look(store, at(0)).await, Polled::default());
    application.commit().await;
    assert_eq!(look(store, at(0)).await.ready, [subscription_id(1)]);
    assert_eq!(claim(store, at(0)).await.len(), 2);
}

/// An insert in a transaction leases nothing, because nobody may send before the commit.
pub async fn an_insert_in_a_transaction_leases_nothing<S: TransactionalStore + Fixture>(
    store: &S,
    application: &mut impl Application<S::Connection>,
) {
    let mut event = an_event_to_one(store, 1).await;
    event.deliveries[0].lease = Some(LEASE);
    application.begin().await;
    let inserted = store.insert_in(application.connection(), &[event]).await.expect("event is written");
    assert!(inserted[0].leased.is_empty());
    application.commit().await;
    assert_eq!(numbers(&claim(store, at(0)).await), [1]);
}

/// A transaction reads the same subscriptions on its own connection.
pub async fn a_transaction_reads_the_subscriptions<S: TransactionalStore + Fixture>(
    store: &S,
    application: &mut impl Application<S::Connection>,
) {
    let one = subscribe(store, 1).await;
    let mut foreign = a_subscription(2);
    foreign.organization = OTHER_ORGANIZATION.to_owned();
    store.put_subscription(&foreign).await;
    application.begin().await;
    for (organization, expected) in
        [(ORGANIZATION, &[&one][..]), (OTHER_ORGANIZATION, &[&foreign]), ("org\0", &[])]
    {
        let read =
            store.subscriptions_in(application.connection(), organization).await.expect("store answers");
        let read = read.subscriptions;
        assert_eq!(read.len(), expected.len());
        for (read, expected) in read.iter().zip(expected) {
            assert_same(read.subscription.as_ref().expect("row is as it was written"), expected);
        }
    }
    application.roll_back().await;
}

/// An event of an older edition is not written by a transaction, and another one is.
pub async fn a_transaction_writes_no_event_of_an_older_edition<S: TransactionalStore + Fixture>(
    store: &S,
    application: &mut impl Application<S::Connection>,
) {
    subscribe(store, 1).await;
    let Some(old) = store.subscriptions(ORGANIZATION).await.expect("store answers").edition else { return };
    subscribe(store, 2).await;
    application.begin().await;
    let read = store.subscriptions_in(application.connection(), ORGANIZATION).await.expect("store answers");
    let event = |number, edition| an_event(number, 0).with_edition(edition);
    let events = [event(1, Some(old)), event(2, read.edition), event(3, None)];
    let expected = [InsertOutcome::Stale, InsertOutcome::New, InsertOutcome::New];
    assert_eq!(insert_in(store, application, &events).await, expected);
    assert_eq!(insert_in(store, application, &events[..1]).await, [InsertOutcome::Stale]);
    application.commit().await;
    assert_eq!(insert(store, event(1, None)).await, InsertOutcome::New);
    assert_eq!(insert(store, event(2, None)).await, InsertOutcome::Duplicate);
}

/// A subscription that is deleted while a transaction with an event for it is open gets nothing, and no
/// delivery stays pending: at the latest, the next call that expires deliveries cancels it.
pub async fn a_subscription_deleted_during_a_transaction_leaves_nothing_pending<
    S: TransactionalStore + Fixture,
>(
    store: &S,
    application: &mut impl Application<S::Connection>,
) {
    let is_cancelled = async |number: u32| {
        while store.expire(Duration::from_secs(3_600), 100, at(2)).await.expect("store answers") > 0 {}
        assert_eq!(state(store, number).await, DeliveryState::Dead(DeadReason::Cancelled), "{number}");
        assert_eq!(look(store, at(2)).await, Polled::default());
    };
    let event = an_event_to_one(store, 1).await;
    application.begin().await;
    assert_eq!(insert_in(store, application, &[event]).await, [InsertOutcome::New]);
    // A store with one writer deletes it after the commit.
    both(store.delete_subscription(subscription_id(1), at(1)), application.commit()).await;
    is_cancelled(1).await;
    let event = an_event_to_one(store, 2).await;
    application.begin().await;
    let read = store.subscriptions_in(application.connection(), ORGANIZATION).await.expect("store answers");
    assert_eq!(read.subscriptions.len(), 1);
    store.delete_subscription(subscription_id(1), at(1)).await;
    match store.insert_in(application.connection(), &[event]).await {
        Ok(_) => {
            application.commit().await;
            is_cancelled(2).await;
        }
        // The transaction has to be repeated, because it read something that has changed.
        Err(error) => {
            assert!(error.is_retryable(), "{error:?}");
            application.roll_back().await;
            assert_eq!(store.delivery_state(delivery_id(2)).await, None);
        }
    }
}

/// An event with a delivery of its number to subscription 1.
async fn an_event_to_one(store: &impl Fixture, number: u32) -> NewEvent {
    an_event(number, 0).with_delivery(delivery_id(number), subscribe(store, 1).await.id)
}

async fn insert_in<S: TransactionalStore>(
    store: &S,
    application: &mut impl Application<S::Connection>,
    events: &[NewEvent],
) -> Vec<InsertOutcome> {
    let inserted = store.insert_in(application.connection(), events).await.expect("events are written");
    inserted.iter().map(|inserted| inserted.outcome).collect()
}

/// Leaves the transaction open.
async fn commit_in<I: TransactionalInbox>(
    inbox: &I,
    application: &mut impl Application<I::Connection>,
    name: &str,
    lease: Lease,
) -> bool {
    application.begin().await;
    inbox.commit_in(application.connection(), &key(name), lease, KEEP, at(1)).await.expect("inbox answers")
}
