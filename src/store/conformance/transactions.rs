//! What every [`TransactionalInbox`] has to keep to, and the application that it is tried with.

use std::future::Future;

use super::inbox::{KEEP, commit, key, reserve, reserve_new};
use super::{LEASE, at};
use crate::store::{Lease, Reservation, TransactionalInbox};

/// An application's own connection to the database that the inbox is in, with one transaction at a time.
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

/// What the handler wrote and that it handled the event are there together.
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

/// Or neither is: it is as if the handler had crashed.
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

/// So that the handler rolls back.
pub async fn a_stale_lease_is_told_in_a_transaction_and_changes_nothing<I: TransactionalInbox>(
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

/// A transaction is whole, however many events it is about.
pub async fn events_committed_in_one_transaction_are_done_together<I: TransactionalInbox>(
    inbox: &I,
    application: &mut impl Application<I::Connection>,
) {
    let leases = [reserve_new(inbox, "a", at(0)).await, reserve_new(inbox, "b", at(0)).await];
    for is_committed in [false, true] {
        application.begin().await;
        for (name, lease) in ["a", "b"].into_iter().zip(leases) {
            let told = inbox.commit_in(application.connection(), &key(name), lease, at(1), KEEP).await;
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

/// Leaves the transaction open.
async fn commit_in<I: TransactionalInbox>(
    inbox: &I,
    application: &mut impl Application<I::Connection>,
    name: &str,
    lease: Lease,
) -> bool {
    application.begin().await;
    inbox.commit_in(application.connection(), &key(name), lease, at(1), KEEP).await.expect("inbox answers")
}
