//! The rules of [`Inbox`].

use std::time::Duration;

use time::OffsetDateTime;

use super::steps::{LEASE, at, both};
use crate::store::{Inbox, InboxKey, Lease, Reservation};

/// The second caller hears that the event is being handled.
pub async fn an_event_is_reserved_by_one_at_a_time(inbox: &impl Inbox) {
    reserve_new(inbox, "a", at(0)).await;
    assert_eq!(reserve(inbox, "a", at(1)).await, Reservation::InFlight);
    reserve_new(inbox, "b", at(1)).await;
}

/// If two calls reserve an event at the same time, one succeeds.
pub async fn two_reservations_at_once_are_one(inbox: &impl Inbox) {
    let (one, two) = both(reserve(inbox, "a", at(0)), reserve(inbox, "a", at(0))).await;
    assert!(matches!(
        (one, two),
        (Reservation::New(_), Reservation::InFlight) | (Reservation::InFlight, Reservation::New(_))
    ));
}

/// A committed event is done, also after its lease.
pub async fn a_committed_event_is_done(inbox: &impl Inbox) {
    let lease = reserve_new(inbox, "a", at(0)).await;
    assert!(commit(inbox, "a", lease, at(1)).await);
    assert_eq!(reserve(inbox, "a", at(2)).await, Reservation::Done);
    assert_eq!(reserve(inbox, "a", at(1) + KEEP - Duration::from_secs(1)).await, Reservation::Done);
}

/// A released event can be reserved at once, under a greater lease.
pub async fn a_released_event_is_new_again(inbox: &impl Inbox) {
    let first = reserve_new(inbox, "a", at(0)).await;
    assert!(release(inbox, "a", first).await);
    let second = reserve_new(inbox, "a", at(0)).await;
    assert!(first < second);
    assert!(!commit(inbox, "a", first, at(1)).await);
    assert!(commit(inbox, "a", second, at(1)).await);
}

/// A reservation ends with its lease, so that a handler that crashed loses nothing.
pub async fn a_reservation_ends_with_its_lease(inbox: &impl Inbox) {
    reserve_new(inbox, "a", at(0)).await;
    let end = at(0) + LEASE;
    assert_eq!(reserve(inbox, "a", end - Duration::from_micros(1)).await, Reservation::InFlight);
    reserve_new(inbox, "a", end).await;
}

/// A commit after the lease counts, as long as nobody else reserved the event.
pub async fn a_late_commit_counts_while_nobody_else_reserved(inbox: &impl Inbox) {
    let lease = reserve_new(inbox, "a", at(0)).await;
    assert!(commit(inbox, "a", lease, at(0) + 2 * LEASE).await);
    assert_eq!(reserve(inbox, "a", at(0) + 3 * LEASE).await, Reservation::Done);
}

/// A handler without the last lease neither commits nor releases.
pub async fn a_stale_lease_neither_commits_nor_releases(inbox: &impl Inbox) {
    let slow = reserve_new(inbox, "a", at(0)).await;
    let fresh = reserve_new(inbox, "a", at(0) + LEASE).await;
    assert!(slow < fresh);
    for stale in [slow, Lease::new(0), Lease::new(u64::MAX)] {
        assert!(!commit(inbox, "a", stale, at(61)).await);
        assert!(!release(inbox, "a", stale).await);
    }
    assert!(!commit(inbox, "never reserved", fresh, at(61)).await);
    assert_eq!(reserve(inbox, "a", at(61)).await, Reservation::InFlight);
    assert!(commit(inbox, "a", fresh, at(61)).await);
}

/// A caller that got no answer can repeat a commit.
pub async fn a_commit_sent_twice_is_reported_twice(inbox: &impl Inbox) {
    let lease = reserve_new(inbox, "a", at(0)).await;
    assert!(commit(inbox, "a", lease, at(1)).await);
    assert!(commit(inbox, "a", lease, at(1)).await);
}

/// Releasing a committed event leaves it done.
pub async fn a_committed_event_is_not_released(inbox: &impl Inbox) {
    let lease = reserve_new(inbox, "a", at(0)).await;
    commit(inbox, "a", lease, at(1)).await;
    release(inbox, "a", lease).await;
    assert_eq!(reserve(inbox, "a", at(2)).await, Reservation::Done);
}

/// An id is unique within a source.
pub async fn the_same_id_of_two_sources_is_two_events(inbox: &impl Inbox) {
    let lease = reserve_new(inbox, "a", at(0)).await;
    commit(inbox, "a", lease, at(0)).await;
    let other = InboxKey::new("other source", key("a").id);
    let reserved = inbox.reserve(&other, LEASE, at(1)).await.expect("inbox answers");
    assert!(matches!(reserved, Reservation::New(_)));
}

/// Pruning deletes an event when its time is over, and then it is new again.
pub async fn an_event_is_forgotten_after_its_time_and_no_earlier(inbox: &impl Inbox) {
    let lease = reserve_new(inbox, "a", at(0)).await;
    commit(inbox, "a", lease, at(1)).await;
    let end = at(1) + KEEP;
    assert_eq!(inbox.prune_handled(10, end - Duration::from_secs(1)).await.expect("inbox answers"), 0);
    assert_eq!(reserve(inbox, "a", end - Duration::from_secs(1)).await, Reservation::Done);
    assert_eq!(inbox.prune_handled(10, end + Duration::from_secs(1)).await.expect("inbox answers"), 1);
    reserve_new(inbox, "a", end + Duration::from_secs(1)).await;
}

/// An event whose time is over is new, whether it was pruned or not.
pub async fn an_event_whose_time_is_over_is_reserved_like_a_new_one(inbox: &impl Inbox) {
    let lease = reserve_new(inbox, "a", at(0)).await;
    commit(inbox, "a", lease, at(0)).await;
    let again = at(1) + KEEP;
    let lease = reserve_new(inbox, "a", again).await;
    assert_eq!(reserve(inbox, "a", again).await, Reservation::InFlight, "it is not done yet");
    assert_eq!(
        inbox.prune_handled(10, again).await.expect("inbox answers"),
        0,
        "its handler may still commit"
    );
    assert!(commit(inbox, "a", lease, again).await);
    assert_eq!(reserve(inbox, "a", again + LEASE).await, Reservation::Done);
}

/// Sources of any text are told apart, or refused.
pub async fn a_source_of_any_text_is_remembered_whole_or_refused(inbox: &impl Inbox) {
    for source in ["", " ", "a\0b", "a\0", "'; --", "\u{10ffff}"] {
        let key = InboxKey::new(source, key("a").id);
        let Ok(reserved) = inbox.reserve(&key, LEASE, at(0)).await else { continue };
        let Reservation::New(lease) = reserved else {
            panic!("{source:?} was taken for another: {reserved:?}")
        };
        assert!(inbox.commit(&key, lease, KEEP, at(1)).await.expect("inbox answers"), "{source:?}");
        let copy = inbox.reserve(&key, LEASE, at(2)).await.expect("inbox answers");
        assert_eq!(copy, Reservation::Done, "{source:?}");
    }
}

/// Pruning deletes in batches, so that it holds up no other call.
pub async fn no_more_are_forgotten_than_the_limit(inbox: &impl Inbox) {
    for id in ["a", "b", "c"] {
        let lease = reserve_new(inbox, id, at(0)).await;
        commit(inbox, id, lease, at(0)).await;
    }
    let later = at(1) + KEEP;
    for expected in [2, 1, 0] {
        assert_eq!(inbox.prune_handled(2, later).await.expect("inbox answers"), expected);
    }
}

/// A reservation stays for a while after its lease, because its handler may still commit it.
pub async fn a_reservation_in_progress_is_not_forgotten(inbox: &impl Inbox) {
    let lease = reserve_new(inbox, "a", at(0)).await;
    assert_eq!(inbox.prune_handled(10, at(1)).await.expect("inbox answers"), 0);
    // Nor one whose handler takes longer than its lease, and whom nobody has overtaken.
    let late = at(1) + LEASE;
    assert_eq!(inbox.prune_handled(10, late).await.expect("inbox answers"), 0);
    assert!(commit(inbox, "a", lease, late).await);
    assert_eq!(reserve(inbox, "a", late).await, Reservation::Done);
}

/// Lease numbers do not begin anew when an event was deleted.
pub async fn a_lease_from_before_an_event_was_forgotten_is_stale(inbox: &impl Inbox) {
    let old = reserve_new(inbox, "a", at(0)).await;
    commit(inbox, "a", old, at(0)).await;
    inbox.prune_handled(10, at(1) + KEEP).await.expect("inbox answers");
    let new = reserve_new(inbox, "a", at(1) + KEEP).await;
    assert!(old < new);
    assert!(!commit(inbox, "a", old, at(2) + KEEP).await);
}

pub(super) async fn reserve(inbox: &impl Inbox, id: &str, now: OffsetDateTime) -> Reservation {
    inbox.reserve(&key(id), LEASE, now).await.expect("inbox answers")
}

pub(super) async fn reserve_new(inbox: &impl Inbox, id: &str, now: OffsetDateTime) -> Lease {
    match reserve(inbox, id, now).await {
        Reservation::New(lease) => lease,
        other => panic!("event {id} is {other:?} and not new"),
    }
}

pub(super) async fn commit(inbox: &impl Inbox, id: &str, lease: Lease, now: OffsetDateTime) -> bool {
    inbox.commit(&key(id), lease, KEEP, now).await.expect("inbox answers")
}

async fn release(inbox: &impl Inbox, id: &str, lease: Lease) -> bool {
    inbox.release(&key(id), lease).await.expect("inbox answers")
}

pub(super) fn key(id: &str) -> InboxKey {
    InboxKey::new("allison", id.replace(' ', "_").parse().expect("id is right"))
}

pub(super) const KEEP: Duration = Duration::from_secs(7 * 24 * 60 * 60);
