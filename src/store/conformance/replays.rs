//! Replaying deliveries.

use std::time::Duration;

use time::OffsetDateTime;
use time::macros::datetime;

use super::fixture::Managed;
use super::steps::*;
use crate::delivery::{DeadReason, DeliveryState, Next};
use crate::store::{Replay, Replayed, Settled, Settlement};

/// After a replay, the old delivery is marked as replayed.
pub async fn a_dead_delivery_is_replayed_as_a_new_one_of_the_same_event(store: &impl Managed) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    end(store, 1, Next::dead(DeadReason::Exhausted)).await;
    assert_eq!(replay(store, Replay::Delivery(delivery_id(1)), 10).await, Replayed::new(1, false));
    assert_eq!(state(store, 1).await, DeliveryState::Dead(DeadReason::Replayed));
    assert_eq!(attempts(store, 1).await.len(), 1);
    assert!(claim(store, REPLAYED_AT - Duration::from_micros(1)).await.is_empty());
    let claimed = claim_one(store, REPLAYED_AT).await;
    assert_ne!(claimed.delivery, delivery_id(1));
    assert_eq!((claimed.event.clone(), claimed.payload.clone()), (an_event(1, 0).id, payload(1)));
    assert_eq!((claimed.attempt, claimed.first_attempt_at), (1, None));
    let made = find(store, claimed.delivery).await.expect("delivery was made");
    assert_eq!((made.state, made.created_at), (DeliveryState::Pending, REPLAYED_AT));
    let listed = deliveries(store, 1).await;
    assert_eq!(listed.iter().map(|listed| listed.id).collect::<Vec<_>>(), [claimed.delivery, delivery_id(1)]);
    let attempt = attempt(1, 200);
    let done = Settlement::new(claimed.delivery, claimed.lease, attempt, Next::Done, REPLAYED_AT);
    assert_eq!(settle(store, done).await, Settled::Done);
}

/// A delivered delivery stays delivered when it is replayed. A cancelled one can be replayed too.
pub async fn a_delivered_delivery_is_replayed_and_stays_delivered(store: &impl Managed) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    end(store, 1, Next::Done).await;
    assert_eq!(replay(store, Replay::Delivery(delivery_id(1)), 10).await, Replayed::new(1, false));
    assert_eq!(state(store, 1).await, DeliveryState::Delivered);
    emit(store, 2, 0, 1).await;
    assert!(store.cancel(delivery_id(2), at(1)).await.expect("store answers"));
    assert_eq!(replay(store, Replay::Delivery(delivery_id(2)), 10).await, Replayed::new(1, false));
    let events: Vec<_> =
        claim(store, REPLAYED_AT).await.into_iter().map(|claimed| claimed.row.event).collect();
    assert_eq!(events.len(), 2);
    assert!(events.contains(&an_event(1, 0).id) && events.contains(&an_event(2, 0).id));
    assert_eq!(replay(store, Replay::Delivery(delivery_id(99)), 10).await, Replayed::default());
}

/// No kind of replay makes a second pending delivery, also while the first is being attempted.
pub async fn a_replay_never_makes_a_second_pending_delivery(store: &impl Managed) {
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

/// A replay of dead letters leaves out cancelled deliveries: somebody did not want them sent.
pub async fn dead_letters_are_replayed_in_batches_and_become_replayed(store: &impl Managed) {
    subscribe(store, 1).await;
    subscribe(store, 2).await;
    let reasons = [DeadReason::Exhausted, DeadReason::Refused, DeadReason::Gone];
    for number in 1..=5 {
        emit(store, number, 0, 1).await;
        end(store, number, Next::dead(reasons[number as usize % 3])).await;
    }
    emit(store, 6, 0, 1).await;
    end(store, 6, Next::Done).await;
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
        claim(store, REPLAYED_AT).await.into_iter().map(|claimed| claimed.row.event).collect();
    events.sort_by_key(|event| event.as_str().to_owned());
    assert_eq!(events, [1, 2, 3, 4, 5].map(|number| an_event(number, 0).id));
}

/// A replay since a time includes that instant, and cancelled deliveries.
pub async fn what_was_made_since_a_time_and_not_delivered_is_replayed(store: &impl Managed) {
    subscribe(store, 1).await;
    let dead = Next::dead(DeadReason::Exhausted);
    for (number, second, next) in
        [(1, 1, Some(dead)), (2, 2, Some(dead)), (3, 3, Some(Next::Done)), (4, 4, None), (5, 5, Some(dead))]
    {
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
        claim(store, REPLAYED_AT).await.into_iter().map(|claimed| claimed.row.event).collect();
    events.sort_by_key(|event| event.as_str().to_owned());
    assert_eq!(events, [2, 4, 5, 6].map(|number| an_event(number, 0).id));
}

/// A replay in batches comes to an end, however fast its deliveries die.
pub async fn what_ends_after_a_replay_began_is_not_replayed_by_it(store: &impl Managed) {
    subscribe(store, 1).await;
    for number in 1..=3 {
        emit(store, number, 0, 1).await;
        end(store, number, Next::dead(DeadReason::Refused)).await;
    }
    for all in [Replay::DeadLetters(subscription_id(1)), Replay::Since(subscription_id(1), at(0))] {
        let early = store.replay(&all, 10, at(10) - Duration::from_micros(1)).await.expect("store answers");
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

/// A delivery that a replay makes comes last in its key. If it makes several, the oldest comes first.
pub async fn a_replayed_delivery_takes_the_last_place_in_its_ordering_key(store: &impl Managed) {
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
        assert_eq!(settle(store, ended(&claimed[0], REPLAYED_AT, Next::Done)).await, Settled::Done);
    }
}

/// Dead letters without a payload or a subscription stay as they are, and hold up no others.
pub async fn nothing_is_replayed_without_a_payload_or_a_subscription(store: &impl Managed) {
    subscribe(store, 1).await;
    for number in 1..=4 {
        emit(store, number, 0, 1).await;
        end(store, number, Next::dead(DeadReason::Exhausted)).await;
    }
    for number in 1..=3 {
        assert!(
            store
                .expunge(ORGANIZATION, CONTRACT, &an_event(number, 0).id, at(5))
                .await
                .expect("store answers")
        );
    }
    assert_eq!(replay(store, Replay::Delivery(delivery_id(1)), 10).await, Replayed::default());
    assert_eq!(state(store, 1).await, DeliveryState::Dead(DeadReason::Exhausted));
    assert_eq!(replay(store, Replay::DeadLetters(subscription_id(1)), 1).await.made, 1);
    assert_eq!(replay(store, Replay::DeadLetters(subscription_id(1)), 1).await, Replayed::default());
    assert_eq!(claim(store, REPLAYED_AT).await.len(), 1);
    assert!(store.delete(subscription_id(1), REPLAYED_AT).await.expect("store answers"));
    assert_eq!(replay(store, Replay::Delivery(delivery_id(4)), 10).await, Replayed::default());
}

/// Two dead deliveries of one event to one subscription are replayed as one, and both are marked.
pub async fn an_event_that_is_dead_twice_is_replayed_once(store: &impl Managed) {
    subscribe(store, 1).await;
    let twice = an_event(1, 0)
        .with_delivery(delivery_id(1), subscription_id(1))
        .with_delivery(delivery_id(2), subscription_id(1));
    insert(store, twice).await;
    for claimed in claim(store, at(0)).await {
        let dead = ended(&claimed, at(1), Next::dead(DeadReason::Gone));
        assert_eq!(settle(store, dead).await, Settled::Done);
    }
    let dead = Replay::DeadLetters(subscription_id(1));
    assert_eq!(replay(store, dead, 10).await, Replayed::new(1, false));
    for number in [1, 2] {
        assert_eq!(state(store, number).await, DeliveryState::Dead(DeadReason::Replayed));
    }
}

async fn replay(store: &impl Managed, replay: Replay, limit: u32) -> Replayed {
    store.replay(&replay, limit, REPLAYED_AT).await.expect("store answers")
}

/// Later than the time of any delivery's id, because a store may make ids of this time.
const REPLAYED_AT: OffsetDateTime = datetime!(2026-04-17 20:00:00 UTC);
