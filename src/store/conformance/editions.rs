//! Rules of the editions of subscriptions, for stores that have them.

use super::fixture::Fixture;
use super::steps::*;
use crate::delivery::Next;
use crate::store::implement::Edition;
use crate::store::{HealthWritten, InsertOutcome};
use crate::subscription::{EventFilter, Health};

/// An event whose deliveries were chosen from other subscriptions than the organization has is not written,
/// in a batch either, where the others are.
pub async fn an_event_of_an_older_edition_is_not_written(store: &impl Fixture) {
    let Some(none) = edition(store).await else { return };
    subscribe(store, 1).await;
    let Some(one) = edition(store).await else { panic!("the store has editions") };
    let event = |number: u32, edition| {
        an_event(number, 0).with_delivery(delivery_id(number), subscription_id(1)).with_edition(edition)
    };
    assert_eq!(insert(store, event(1, Some(none))).await, InsertOutcome::Stale);
    assert_eq!(insert(store, event(1, Some(one))).await, InsertOutcome::New);
    // Both are true for an event that is there already.
    let again = insert(store, event(1, Some(none))).await;
    assert!(matches!(again, InsertOutcome::Stale | InsertOutcome::Duplicate), "{again:?}");
    let foreign = {
        let mut event = event(2, Some(one));
        event.organization = OTHER_ORGANIZATION.to_owned();
        event.deliveries.clear();
        event
    };
    assert_eq!(insert(store, foreign).await, InsertOutcome::Stale, "of another organization");
    let batch = [event(3, Some(none)), event(4, Some(one)), event(5, None), event(6, Some(none))];
    let inserted = store.insert(&batch).await.expect("store answers");
    let expected = [InsertOutcome::Stale, InsertOutcome::New, InsertOutcome::New, InsertOutcome::Stale];
    assert_eq!(inserted, expected);
    let claimed = claim(store, at(1)).await;
    assert_eq!(numbers(&claimed), [1, 4, 5]);
    // One event twice, as two callers have it whose inserts share a transaction.
    let of_old = event(7, Some(none));
    let of_new = an_event(7, 0).with_delivery(delivery_id(8), subscription_id(1)).with_edition(Some(one));
    let inserted = store.insert(&[of_old, of_new]).await.expect("store answers");
    let first = inserted[0].outcome;
    assert!(matches!(first, InsertOutcome::Stale | InsertOutcome::Duplicate), "{first:?}");
    assert_eq!(inserted[1], InsertOutcome::New);
    assert_eq!(numbers(&claim(store, at(1)).await), [8]);
    assert_eq!(insert(store, event(3, Some(one))).await, InsertOutcome::New);
}

/// An organization has another edition after a subscription was added or deleted, or got another version or
/// filter, and no edition twice.
pub async fn an_edition_changes_with_what_decides_where_events_go(store: &impl Fixture) {
    let Some(first) = edition(store).await else { return };
    let mut seen = vec![first];
    let mut subscription = subscribe(store, 1).await;
    seen.extend(edition(store).await);
    let filters = [["call.ended"], ["call.message_taken"], ["call.ended"]];
    for filter in filters {
        subscription.filter = EventFilter::new(filter).expect("the types are valid");
        store.put_subscription(&subscription).await;
        seen.extend(edition(store).await);
    }
    subscription.contract = subscription.contract.with_version("2").expect("the version is valid");
    store.put_subscription(&subscription).await;
    seen.extend(edition(store).await);
    subscribe(store, 2).await;
    seen.extend(edition(store).await);
    store.delete_subscription(subscription_id(2), at(1)).await;
    seen.extend(edition(store).await);
    assert_eq!(seen.len(), 8);
    for (place, edition) in seen.iter().enumerate() {
        assert!(!seen[..place].contains(edition), "{place}: {seen:?}");
    }
}

/// Health, status and deliveries leave the edition as it is, so that routes stay cached.
pub async fn an_edition_stays_while_nothing_decides_where_events_go(store: &impl Fixture) {
    subscribe(store, 1).await;
    let Some(before) = edition(store).await else { return };
    emit(store, 1, 0, 1).await;
    end(store, 1, Next::Done).await;
    let (seen, health) = (Health::default(), Health::default().failed(at(2), None));
    let written = store.put_health(subscription_id(1), &seen, &health, None, at(2)).await;
    assert_eq!(written.expect("store answers"), HealthWritten::Done);
    disable(store, 1).await;
    assert_eq!(edition(store).await, Some(before));
}

async fn edition(store: &impl Fixture) -> Option<Edition> {
    store.subscriptions(ORGANIZATION).await.expect("store answers").edition
}
