//! Inserting events.

use bytes::Bytes;

use super::fixture::Fixture;
use super::steps::*;
use crate::event::TraceParent;
use crate::store::{InsertOutcome, NewDelivery, StoreErrorKind};

/// An event without deliveries takes its id too.
pub async fn an_event_without_deliveries_is_stored(store: &impl Fixture) {
    assert_eq!(insert(store, an_event(1, 0)).await, InsertOutcome::New);
    assert_eq!(insert(store, an_event(1, 0)).await, InsertOutcome::Duplicate);
    assert!(claim(store, at(0)).await.is_empty());
}

/// A duplicate adds none of its deliveries, not even those to other subscriptions.
pub async fn the_same_event_again_is_a_duplicate_and_changes_nothing(store: &impl Fixture) {
    let subscribed = subscribe(store, 1).await;
    let other = subscribe(store, 2).await;
    assert_eq!(emit(store, 1, 0, 1).await, InsertOutcome::New);
    let again =
        an_event(1, 9).with_delivery(delivery_id(2), subscribed.id).with_delivery(delivery_id(3), other.id);
    assert_eq!(insert(store, again).await, InsertOutcome::Duplicate);
    assert_eq!(ids(&claim(store, at(100)).await), [delivery_id(1)]);
    assert_eq!(store.delivery_state(delivery_id(2)).await, None);
}

/// After a conflict, the first payload is sent.
pub async fn another_payload_under_the_same_id_is_a_conflict_and_changes_nothing(store: &impl Fixture) {
    let subscribed = subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let mut other = an_event(1, 0).with_delivery(delivery_id(2), subscribed.id);
    other.payload = Bytes::from_static(b"other");
    assert_eq!(insert(store, other).await, InsertOutcome::Conflict);
    let claimed = claim_one(store, at(0)).await;
    assert_eq!(claimed.delivery, delivery_id(1));
    assert_eq!(claimed.payload, payload(1));
}

/// An id is unique within an organization.
pub async fn the_same_id_in_two_organizations_is_two_events(store: &impl Fixture) {
    let mut other = an_event(1, 0);
    other.organization = OTHER_ORGANIZATION.to_owned();
    other.payload = Bytes::from_static(b"other");
    assert_eq!(insert(store, an_event(1, 0)).await, InsertOutcome::New);
    assert_eq!(insert(store, other).await, InsertOutcome::New);
}

/// Results come in the order of the events, also where a batch repeats an event.
pub async fn inserts_are_reported_in_the_order_given(store: &impl Fixture) {
    let mut conflict = an_event(1, 0);
    conflict.payload = Bytes::from_static(b"other");
    insert(store, an_event(3, 0)).await;
    let batch = [an_event(1, 0), conflict, an_event(2, 0), an_event(1, 0), an_event(3, 0)];
    use InsertOutcome::{Conflict, Duplicate, New};
    assert_eq!(insert_all(store, &batch).await, [New, Conflict, New, Duplicate, Duplicate]);
}

/// A batch may contain events that are known; the others are written.
pub async fn known_events_of_a_batch_are_reported_and_the_others_are_written(store: &impl Fixture) {
    use InsertOutcome::{Conflict, Duplicate, New};
    let event = |number| an_event(number, 0);
    assert_eq!(insert_all(store, &[event(2), event(4)]).await, [New, New]);
    let mut other = event(4);
    other.payload = Bytes::from_static(b"other");
    let batch = [event(1), event(2), event(3), other, event(5), event(5)];
    assert_eq!(insert_all(store, &batch).await, [New, Duplicate, New, Conflict, New, Duplicate]);
    let all: Vec<_> = (1..=6).map(event).collect();
    assert_eq!(insert_all(store, &all).await, [Duplicate, Duplicate, Duplicate, Duplicate, Duplicate, New]);
}

/// An empty payload is stored and sent, also beside others in a batch.
pub async fn a_payload_of_no_bytes_is_a_payload(store: &impl Fixture) {
    subscribe(store, 1).await;
    let event = |number, payload: &'static [u8]| {
        let mut event = an_event(number, 0).with_delivery(delivery_id(number), subscription_id(1));
        event.payload = Bytes::from_static(payload);
        event
    };
    assert_eq!(insert(store, event(1, b"")).await, InsertOutcome::New);
    let batch = [event(2, b""), event(3, b"{}"), event(4, b""), event(1, b"{}")];
    use InsertOutcome::{Conflict, New};
    assert_eq!(insert_all(store, &batch).await, [New, New, New, Conflict]);
    let mut claimed = claim(store, at(0)).await;
    claimed.sort_by_key(|claimed| claimed.delivery);
    let lengths: Vec<_> = claimed.iter().map(|claimed| claimed.payload.len()).collect();
    assert_eq!(lengths, [0, 0, 2, 0]);
}

/// The place in a trace that an event comes from is kept. It does not tell two events apart.
pub async fn an_events_trace_comes_with_its_deliveries(store: &impl Fixture) {
    let subscribed = subscribe(store, 1).await;
    let trace: TraceParent =
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().expect("trace is right");
    let traced = an_event(1, 0).with_trace(Some(trace)).with_delivery(delivery_id(1), subscribed.id);
    assert_eq!(insert(store, traced).await, InsertOutcome::New);
    assert_eq!(insert(store, an_event(1, 0)).await, InsertOutcome::Duplicate);
    assert_eq!(emit(store, 2, 1, 1).await, InsertOutcome::New);
    let leased = NewDelivery::new(delivery_id(3), subscribed.id).with_lease(LEASE);
    let mut event = an_event(3, 2).with_trace(Some(trace.child([7; 8])));
    event.deliveries.push(leased);
    let inserted = insert_one(store, event).await;
    let traces: Vec<_> = claim(store, at(1)).await.iter().map(|claimed| claimed.trace).collect();
    assert_eq!(traces, [Some(trace), None]);
    assert!(inserted.leased.iter().all(|leased| leased.trace == Some(trace.child([7; 8]))));
}

/// Texts are stored as values and never become parts of statements. A text that a store cannot hold is
/// refused, and matches no organization.
pub async fn texts_of_any_kind_are_stored_whole_or_refused(store: &impl Fixture) {
    use InsertOutcome::{Conflict, Duplicate, New};
    let subscribed = subscribe(store, 1).await;
    let long = "o".repeat(1024 * 1024);
    let texts = [
        "'; DROP TABLE hookwire_events; --",
        "nul\0inside",
        "nul\0other",
        "",
        "a\"b\\",
        "\u{feff}é🦀",
        "\u{1f}\u{7f}\u{e000}",
        &long,
    ];
    let mut kept = 0;
    for (number, text) in (1..).zip(texts) {
        let mut odd = an_event(1, 0).with_delivery(delivery_id(number), subscribed.id);
        odd.organization = text.to_owned();
        odd.id = "~!'\"%_\\".parse().expect("id is right");
        odd.payload = Bytes::from_static(&[0xff, 0x00, 0x27]);
        odd.attributes.insert(text.to_owned(), vec![text.to_owned()]);
        match store.insert(std::slice::from_ref(&odd)).await {
            Ok(inserted) => assert_eq!(inserted, [New]),
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Backend, "{error:?}");
                assert!(store.subscriptions(text).await.expect("store answers").subscriptions.is_empty());
                continue;
            }
        }
        kept += 1;
        odd.deliveries.clear();
        assert_eq!(insert(store, odd.clone()).await, Duplicate);
        odd.payload = Bytes::new();
        assert_eq!(insert(store, odd).await, Conflict);
    }
    let claimed = claim(store, at(0)).await;
    assert_eq!(claimed.len(), kept);
    assert!(claimed.iter().all(|claimed| claimed.payload[..] == [0xff, 0x00, 0x27]));
    assert!(store.subscriptions("nul").await.expect("store answers").subscriptions.is_empty());
}
