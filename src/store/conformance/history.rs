//! Reading deliveries back, replaying them, and forgetting them.

use super::*;
use crate::delivery::DeadReason;
use crate::store::{Replay, Replayed, Retention};

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

/// The old one becomes replayed.
pub async fn a_dead_delivery_is_replayed_as_a_new_one_of_the_same_event(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    end(store, 1, Next::dead(DeadReason::Exhausted)).await;
    assert_eq!(replay(store, Replay::Delivery(delivery_id(1)), 10).await, Replayed::new(1, false));
    assert_eq!(state(store, 1).await, DeliveryState::Dead(DeadReason::Replayed));
    assert_eq!(store.attempts(delivery_id(1)).await.expect("store answers").len(), 1);
    assert!(claim(store, REPLAYED_AT - Duration::from_micros(1)).await.is_empty());
    let claimed = claim_one(store, REPLAYED_AT).await;
    assert_ne!(claimed.delivery, delivery_id(1));
    assert_eq!((claimed.event.clone(), claimed.payload.clone()), (an_event(1, 0).id, an_event(1, 0).payload));
    assert_eq!((claimed.attempt, claimed.first_attempt_at), (1, None));
    let made = store.delivery(claimed.delivery).await.expect("store answers").expect("delivery was made");
    assert_eq!((made.state, made.created_at), (DeliveryState::Pending, REPLAYED_AT));
    let listed = store.deliveries(subscription_id(1), None, 10).await.expect("store answers");
    assert_eq!(listed.iter().map(|listed| listed.id).collect::<Vec<_>>(), [claimed.delivery, delivery_id(1)]);
    let attempt = attempt(1, 200);
    let done = Settlement::new(claimed.delivery, claimed.lease, REPLAYED_AT, attempt, Next::Delivered);
    assert_eq!(settle(store, done).await, Settled::Done);
}

/// It is history; so is one that was cancelled, which may be replayed too.
pub async fn a_delivered_delivery_is_replayed_and_stays_delivered(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    end(store, 1, Next::Delivered).await;
    assert_eq!(replay(store, Replay::Delivery(delivery_id(1)), 10).await, Replayed::new(1, false));
    assert_eq!(state(store, 1).await, DeliveryState::Delivered);
    emit(store, 2, 0, 1).await;
    assert!(store.cancel(delivery_id(2), at(1)).await.expect("store answers"));
    assert_eq!(replay(store, Replay::Delivery(delivery_id(2)), 10).await, Replayed::new(1, false));
    let events: Vec<_> = claim(store, REPLAYED_AT).await.into_iter().map(|claimed| claimed.event).collect();
    assert_eq!(events.len(), 2);
    assert!(events.contains(&an_event(1, 0).id) && events.contains(&an_event(2, 0).id));
    assert_eq!(replay(store, Replay::Delivery(delivery_id(99)), 10).await, Replayed::default());
}

/// Of whatever kind of replay, also while the pending one is being attempted.
pub async fn a_replay_never_makes_a_second_pending_delivery(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let all = [
        Replay::Delivery(delivery_id(1)),
        Replay::DeadLetters(subscription_id(1)),
        Replay::Since(subscription_id(1), at(0)),
    ];
    for again in &all {
        assert_eq!(replay(store, again.clone(), 10).await, Replayed::default(), "{again:?}");
    }
    assert_eq!(state(store, 1).await, DeliveryState::Pending);
    end(store, 1, Next::dead(DeadReason::Refused)).await;
    assert_eq!(replay(store, all[0].clone(), 10).await, Replayed::new(1, false));
    for again in &all {
        assert_eq!(replay(store, again.clone(), 10).await, Replayed::default(), "{again:?}");
    }
    let claimed = claim(store, REPLAYED_AT).await;
    assert_eq!(claimed.len(), 1);
    for again in &all {
        assert_eq!(replay(store, again.clone(), 10).await, Replayed::default(), "{again:?}");
    }
    // The event's other subscription is another matter.
    let other = subscribe(store, 2).await;
    insert(
        store,
        an_event(2, 0)
            .with_delivery(delivery_id(2), subscription_id(1))
            .with_delivery(delivery_id(3), other.id),
    )
    .await;
    assert!(store.cancel(delivery_id(3), at(1)).await.expect("store answers"));
    assert_eq!(replay(store, Replay::Delivery(delivery_id(3)), 10).await, Replayed::new(1, false));
}

/// Those that were cancelled are not among them: somebody did not want them sent.
pub async fn dead_letters_are_replayed_in_batches_and_become_replayed(store: &impl Store) {
    subscribe(store, 1).await;
    subscribe(store, 2).await;
    let reasons = [DeadReason::Exhausted, DeadReason::Refused, DeadReason::Gone];
    for number in 1..=5 {
        emit(store, number, 0, 1).await;
        end(store, number, Next::dead(reasons[number as usize % 3])).await;
    }
    emit(store, 6, 0, 1).await;
    end(store, 6, Next::Delivered).await;
    emit(store, 7, 0, 1).await;
    assert!(store.cancel(delivery_id(7), at(1)).await.expect("store answers"));
    emit(store, 8, 0, 2).await;
    end_of(store, 2, 8, Next::dead(DeadReason::Gone)).await;
    let mut made = 0;
    let mut batches = Vec::new();
    for _ in 0..10 {
        let told = replay(store, Replay::DeadLetters(subscription_id(1)), 2).await;
        made += told.made;
        batches.push(told.made);
        if !told.more {
            break;
        }
    }
    assert_eq!((made, &batches[..]), (5, &[2, 2, 1][..]));
    for number in 1..=5 {
        assert_eq!(state(store, number).await, DeliveryState::Dead(DeadReason::Replayed));
    }
    assert_eq!(state(store, 6).await, DeliveryState::Delivered);
    assert_eq!(state(store, 7).await, DeliveryState::Dead(DeadReason::Cancelled));
    assert_eq!(state(store, 8).await, DeliveryState::Dead(DeadReason::Gone));
    let mut events: Vec<_> =
        claim(store, REPLAYED_AT).await.into_iter().map(|claimed| claimed.event).collect();
    events.sort_by_key(|event| event.as_str().to_owned());
    assert_eq!(events, [1, 2, 3, 4, 5].map(|number| an_event(number, 0).id));
}

/// Made at that instant counts; what was cancelled too, for it was not delivered.
pub async fn what_was_made_since_a_time_and_not_delivered_is_replayed(store: &impl Store) {
    subscribe(store, 1).await;
    let dead = Next::dead(DeadReason::Exhausted);
    for (number, second, next) in [
        (1, 1, Some(dead)),
        (2, 2, Some(dead)),
        (3, 3, Some(Next::Delivered)),
        (4, 4, None),
        (5, 5, Some(dead)),
    ] {
        emit(store, number, second, 1).await;
        match next {
            Some(next) => end(store, number, next).await,
            None => assert!(store.cancel(delivery_id(number), at(5)).await.expect("store answers")),
        }
    }
    emit(store, 6, 6, 1).await;
    let since = Replay::Since(subscription_id(1), at(2));
    assert_eq!(replay(store, since.clone(), 2).await, Replayed::new(2, true));
    assert_eq!(replay(store, since.clone(), 2).await, Replayed::new(1, false));
    assert_eq!(replay(store, since, 2).await, Replayed::default());
    assert_eq!(state(store, 1).await, DeliveryState::Dead(DeadReason::Exhausted));
    assert_eq!(state(store, 3).await, DeliveryState::Delivered);
    let mut events: Vec<_> =
        claim(store, REPLAYED_AT).await.into_iter().map(|claimed| claimed.event).collect();
    events.sort_by_key(|event| event.as_str().to_owned());
    assert_eq!(events, [2, 4, 5, 6].map(|number| an_event(number, 0).id));
}

/// So that a replay in batches comes to an end whose deliveries die as fast as they are made.
pub async fn what_ends_after_a_replay_began_is_not_replayed_by_it(store: &impl Store) {
    subscribe(store, 1).await;
    for number in 1..=3 {
        emit(store, number, 0, 1).await;
        end(store, number, Next::dead(DeadReason::Refused)).await;
    }
    for all in [Replay::DeadLetters(subscription_id(1)), Replay::Since(subscription_id(1), at(0))] {
        let early = store.replay(&all, at(10) - Duration::from_micros(1), 10).await.expect("store answers");
        assert_eq!(early, Replayed::default());
        let mut made = 0;
        for _ in 0..10 {
            let told = replay(store, all.clone(), 1).await;
            made += told.made;
            for again in claim(store, REPLAYED_AT).await {
                let later = REPLAYED_AT + Duration::from_secs(1);
                let refused = ended(&again, later, Next::dead(DeadReason::Refused));
                assert_eq!(settle(store, refused).await, Settled::Done);
            }
            if !told.more {
                break;
            }
        }
        assert_eq!(made, if all == Replay::DeadLetters(subscription_id(1)) { 3 } else { 0 });
    }
}

/// It was made last. Of several that are made at once the oldest comes first.
pub async fn a_replayed_delivery_takes_the_last_place_in_its_ordering_key(store: &impl Store) {
    subscribe(store, 1).await;
    for number in 1..=3 {
        emit_keyed(store, number, i64::from(number), 1, "call").await;
    }
    for number in [1, 2] {
        end(store, number, Next::dead(DeadReason::Exhausted)).await;
    }
    let told = replay(store, Replay::DeadLetters(subscription_id(1)), 10).await;
    assert_eq!(told, Replayed::new(2, false));
    for number in [3, 1, 2] {
        let claimed = claim(store, REPLAYED_AT).await;
        assert_eq!(claimed.len(), 1);
        assert_eq!(claimed[0].event, an_event(number, 0).id);
        assert_eq!(settle(store, ended(&claimed[0], REPLAYED_AT, Next::Delivered)).await, Settled::Done);
    }
}

/// Such dead letters stay as they are, and stand in no others' way.
pub async fn nothing_is_replayed_without_a_payload_or_a_subscription(store: &impl Store) {
    subscribe(store, 1).await;
    for number in 1..=4 {
        emit(store, number, 0, 1).await;
        end(store, number, Next::dead(DeadReason::Exhausted)).await;
    }
    for number in 1..=3 {
        assert!(store.expunge(ORGANIZATION, &an_event(number, 0).id, at(5)).await.expect("store answers"));
    }
    assert_eq!(replay(store, Replay::Delivery(delivery_id(1)), 10).await, Replayed::default());
    assert_eq!(state(store, 1).await, DeliveryState::Dead(DeadReason::Exhausted));
    assert_eq!(replay(store, Replay::DeadLetters(subscription_id(1)), 1).await.made, 1);
    assert_eq!(replay(store, Replay::DeadLetters(subscription_id(1)), 1).await, Replayed::default());
    assert_eq!(claim(store, REPLAYED_AT).await.len(), 1);
    assert!(store.delete_subscription(subscription_id(1), REPLAYED_AT).await.expect("store answers"));
    assert_eq!(replay(store, Replay::Delivery(delivery_id(4)), 10).await, Replayed::default());
}

/// The same bytes are a duplicate still, and others a conflict.
pub async fn an_expunged_event_is_never_sent_and_its_id_stays_taken(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    emit(store, 2, 0, 1).await;
    let id = an_event(1, 0).id;
    assert!(!store.expunge("org_2", &id, at(1)).await.expect("store answers"));
    assert!(!store.expunge(ORGANIZATION, &an_event(9, 0).id, at(1)).await.expect("store answers"));
    for _ in 0..2 {
        assert!(store.expunge(ORGANIZATION, &id, at(1)).await.expect("store answers"));
    }
    assert_eq!(state(store, 1).await, DeliveryState::Dead(DeadReason::Cancelled));
    assert_eq!(delivery(store, 1).await.event, id);
    assert_eq!(numbers(&claim(store, at(2)).await), [2]);
    let again = an_event(1, 0).with_delivery(delivery_id(3), subscription_id(1));
    assert_eq!(insert(store, again).await, Inserted::Duplicate);
    let mut other = an_event(1, 0);
    other.payload = Bytes::from_static(b"other");
    assert_eq!(insert(store, other).await, Inserted::Conflict);
    assert!(claim(store, at(2)).await.is_empty());
}

/// Its settlement is stale.
pub async fn an_expunged_event_cancels_its_attempt_under_way(store: &impl Store) {
    subscribe(store, 1).await;
    subscribe(store, 2).await;
    let event = an_event(1, 0)
        .with_delivery(delivery_id(1), subscription_id(1))
        .with_delivery(delivery_id(2), subscription_id(2));
    insert(store, event).await;
    let claimed = claim_one(store, at(0)).await;
    assert!(store.expunge(ORGANIZATION, &claimed.event, at(1)).await.expect("store answers"));
    assert_eq!(settle(store, ended(&claimed, at(2), Next::Delivered)).await, Settled::Stale);
    for number in [1, 2] {
        assert_eq!(state(store, number).await, DeliveryState::Dead(DeadReason::Cancelled));
    }
    assert_eq!(look(store, at(1_000)).await, Look::default());
}

/// The last of its deliveries counts; the id stays taken, and nothing can be replayed.
pub async fn payloads_are_pruned_once_their_event_is_finished_for_long_enough(store: &impl Store) {
    subscribe(store, 1).await;
    subscribe(store, 2).await;
    let event = an_event(1, 0)
        .with_delivery(delivery_id(1), subscription_id(1))
        .with_delivery(delivery_id(2), subscription_id(2));
    insert(store, event).await;
    let mut claimed = claim(store, at(0)).await;
    claimed.sort_by_key(|claimed| claimed.delivery);
    let retention = Retention::new().with_payloads(Duration::from_secs(100));
    let prune = async |now| store.prune(&retention, now, 10).await.expect("store answers");
    settle(store, ended(&claimed[0], at(10), Next::Delivered)).await;
    assert_eq!(prune(at(1_000)).await, 0, "a delivery is pending");
    settle(store, ended(&claimed[1], at(1_000), Next::dead(DeadReason::Refused))).await;
    assert_eq!(prune(at(1_099)).await, 0, "a delivery ended less than its age ago");
    assert_eq!(prune(at(1_100)).await, 1);
    assert_eq!(prune(at(1_100)).await, 0);
    assert_eq!(replay(store, Replay::Delivery(delivery_id(1)), 10).await, Replayed::default());
    assert_eq!(insert(store, an_event(1, 0)).await, Inserted::Duplicate);
    assert_eq!(state(store, 1).await, DeliveryState::Delivered);
    assert_eq!(store.attempts(delivery_id(1)).await.expect("store answers").len(), 1);
}

/// Those of a delivery that is pending stay.
pub async fn attempts_are_pruned_and_their_delivery_stays(store: &impl Store) {
    subscribe(store, 1).await;
    for (number, next) in [(1, Next::Delivered), (2, Next::retry(Duration::from_secs(10_000)))] {
        emit(store, number, 0, 1).await;
        end(store, number, next).await;
    }
    let retention = Retention::new().with_attempts(Duration::from_secs(100));
    assert_eq!(store.prune(&retention, at(50), 10).await.expect("store answers"), 0);
    assert_eq!(store.prune(&retention, at(5_000), 10).await.expect("store answers"), 1);
    assert_eq!(store.prune(&retention, at(5_000), 10).await.expect("store answers"), 0);
    assert!(store.attempts(delivery_id(1)).await.expect("store answers").is_empty());
    assert_eq!(delivery(store, 1).await.attempts, 1);
    assert_eq!(store.attempts(delivery_id(2)).await.expect("store answers").len(), 1);
    assert_eq!(replay(store, Replay::Delivery(delivery_id(1)), 10).await.made, 1, "the payload stays");
}

/// An event goes with its last delivery, and its id is free again.
pub async fn deliveries_are_pruned_with_their_attempts_and_events(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    end(store, 1, Next::Delivered).await;
    emit(store, 2, 0, 1).await;
    let retention = Retention::new().with_deliveries(Duration::from_secs(100));
    assert_eq!(store.prune(&retention, at(50), 10).await.expect("store answers"), 0);
    let pruned = store.prune(&retention, at(5_000), 10).await.expect("store answers");
    assert_eq!(pruned, 3, "a delivery, its attempt and its event");
    assert!(store.delivery(delivery_id(1)).await.expect("store answers").is_none());
    assert!(store.attempts(delivery_id(1)).await.expect("store answers").is_empty());
    assert_eq!(state(store, 2).await, DeliveryState::Pending);
    assert_eq!(emit(store, 1, 0, 1).await, Inserted::New);
    assert_eq!(insert(store, an_event(2, 0)).await, Inserted::Duplicate);
}

/// From its insertion on: nothing of it ever ended.
pub async fn an_event_that_nobody_wanted_is_pruned_by_its_age(store: &impl Store) {
    insert(store, an_event(1, 0)).await;
    let retention = Retention::new().with_payloads(Duration::from_secs(10)).with_deliveries(LEASE);
    assert_eq!(store.prune(&retention, at(9), 10).await.expect("store answers"), 0);
    assert_eq!(store.prune(&retention, at(10), 10).await.expect("store answers"), 1);
    assert_eq!(insert(store, an_event(1, 0)).await, Inserted::Duplicate);
    assert_eq!(store.prune(&retention, at(60), 10).await.expect("store answers"), 1);
    assert_eq!(store.prune(&retention, at(60), 10).await.expect("store answers"), 0);
    assert_eq!(insert(store, an_event(1, 0)).await, Inserted::New);
}

/// Until one prunes nothing, however many siblings of what is kept are in the way.
pub async fn no_more_is_pruned_than_the_limit_and_calls_again_prune_the_rest(store: &impl Store) {
    subscribe(store, 1).await;
    subscribe(store, 2).await;
    for number in 1..=3 {
        let event = an_event(number, 0)
            .with_delivery(delivery_id(number), subscription_id(1))
            .with_delivery(delivery_id(number + 10), subscription_id(2));
        insert(store, event).await;
        end(store, number, Next::Delivered).await;
    }
    for number in 4..=8 {
        emit(store, number, 0, 1).await;
        end(store, number, Next::Delivered).await;
    }
    let all = async |retention: &Retention| {
        let mut pruned = Vec::new();
        loop {
            match store.prune(retention, at(5_000), 2).await.expect("store answers") {
                0 => return pruned,
                some => pruned.push(some),
            }
            assert!(pruned.len() < 20, "it never ends: {pruned:?}");
        }
    };
    let payloads = all(&Retention::new().with_payloads(Duration::from_secs(100))).await;
    assert_eq!(payloads.iter().sum::<u64>(), 5);
    assert!(payloads.iter().all(|pruned| *pruned <= 2), "{payloads:?}");
    let attempts = all(&Retention::new().with_attempts(Duration::from_secs(100))).await;
    assert_eq!(attempts.iter().sum::<u64>(), 8);
    assert!(attempts.iter().all(|pruned| *pruned <= 2), "{attempts:?}");
    let deliveries = all(&Retention::new().with_deliveries(Duration::from_secs(100))).await;
    assert_eq!(deliveries.iter().sum::<u64>(), 13, "eight deliveries and the events of five");
    assert!(deliveries.iter().all(|pruned| *pruned <= 4), "{deliveries:?}");
    let mut left = numbers(&claim(store, at(5_000)).await);
    left.sort_unstable();
    assert_eq!(left, [11, 12, 13]);
}

/// Which is what happens unless an age is set.
pub async fn what_is_kept_for_ever_is_not_pruned(store: &impl Store) {
    subscribe(store, 1).await;
    insert(store, an_event(2, 0)).await;
    emit(store, 1, 0, 1).await;
    end(store, 1, Next::Delivered).await;
    assert_eq!(store.prune(&Retention::new(), at(1_000_000_000), 10).await.expect("store answers"), 0);
    assert_eq!(store.attempts(delivery_id(1)).await.expect("store answers").len(), 1);
    assert_eq!(replay(store, Replay::Delivery(delivery_id(1)), 10).await.made, 1);
}

/// Claims delivery `number` of subscription 1, the only one that is due, and settles it.
async fn end(store: &impl Store, number: u32, next: Next) {
    end_of(store, 1, number, next).await;
}

async fn end_of(store: &impl Store, subscription: u32, number: u32, next: Next) {
    let mut claimed = claim_shares(store, at(10), vec![Share::new(subscription_id(subscription), 1)]).await;
    let claimed = claimed.pop().expect("a delivery is due");
    assert_eq!(claimed.delivery, delivery_id(number));
    assert_eq!(settle(store, ended(&claimed, at(10), next)).await, Settled::Done);
}

async fn replay(store: &impl Store, replay: Replay, limit: u32) -> Replayed {
    store.replay(&replay, REPLAYED_AT, limit).await.expect("store answers")
}

// Later than any number of a delivery in seconds, for a store may make ids of this time.
const REPLAYED_AT: OffsetDateTime = datetime!(2026-04-17 20:00:00 UTC);
