//! Payloads in several versions of a contract's data.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use bytes::Bytes;

use super::fixture::{Fixture, Managed};
use super::steps::*;
use crate::contract::ContractId;
use crate::delivery::{DeadReason, Next};
use crate::store::{
    InsertOutcome, MadePayload, NewDelivery, NewEvent, NewPayload, Pruning, Replay, Replayed, Retention,
    Settled, StoreErrorKind, StoreExt as _,
};

/// A delivery sends the version that it names; a version that the event does not have means the newest.
pub async fn a_delivery_sends_the_version_that_it_names(store: &impl Fixture) {
    let mut event = in_two_versions();
    let named = [None, Some("v1"), Some("v2"), Some("v9")];
    for (number, version) in (1..).zip(named) {
        let mut delivery = NewDelivery::new(delivery_id(number), subscribe(store, number).await.id);
        delivery.version = version.map(str::to_owned);
        event.deliveries.push(delivery);
    }
    insert(store, event).await;
    let mut claimed = claim(store, at(0)).await;
    claimed.sort_by_key(|claimed| claimed.delivery);
    let sent: Vec<_> = claimed.iter().map(|sent| (sent.contract.clone(), sent.payload.clone())).collect();
    let (newest, oldest) = ((contract(), payload(1)), (first_version(), old_payload()));
    assert_eq!(sent, [newest.clone(), oldest, newest.clone(), newest]);
}

/// A difference in a version that both events have is a conflict. Events without a version in common are
/// duplicates.
pub async fn versions_that_both_events_have_are_compared(store: &impl Fixture) {
    let subscribed = subscribe(store, 1).await;
    assert_eq!(insert(store, in_two_versions()).await, InsertOutcome::New);
    expect_compared(store).await;
    let again = in_two_versions().with_delivery(delivery_id(1), subscribed.id);
    assert_eq!(insert(store, again).await, InsertOutcome::Duplicate);
    assert!(claim(store, at(0)).await.is_empty(), "a duplicate adds no delivery");
}

/// Expunging deletes the bytes of all versions; their digests still tell a duplicate from a conflict.
pub async fn an_expunged_event_loses_its_payloads_of_all_versions(store: &impl Managed) {
    let id = an_old_delivery(store).await;
    assert!(store.expunge(ORGANIZATION, CONTRACT, &id, at(20)).await.expect("store answers"));
    let found = store.find_event(ORGANIZATION, CONTRACT, &id).await.expect("store answers");
    assert_eq!(found.expect("its id stays").payload, None);
    expect_compared(store).await;
    assert_eq!(replayed(store).await, 0);
}

/// Pruning deletes the bytes of all versions of an event together, and counts them once.
pub async fn the_payloads_of_all_versions_are_pruned_together(store: &(impl Managed + Pruning)) {
    an_old_delivery(store).await;
    let all = Retention::new().with_payloads(LEASE);
    assert_eq!(store.prune(&all, 10, at(1_000)).await.expect("store answers"), 1);
    assert_eq!(store.prune(&all, 10, at(1_000)).await.expect("store answers"), 0);
    expect_compared(store).await;
    assert_eq!(replayed(store).await, 0);
}

/// A replay sends the version that the subscription speaks by then, whichever the old delivery sent.
pub async fn a_replay_sends_the_version_that_the_subscription_speaks(store: &impl Managed) {
    let sent = async |store, second| {
        let claimed = claim(store, at(second)).await.pop().expect("it was made again");
        assert_eq!(settle(store, ended(&claimed, at(second), EXHAUSTED)).await, Settled::Done);
        (claimed.delivery, claimed.contract.clone(), claimed.payload.clone())
    };
    let newest = (contract(), payload(1));
    an_old_delivery(store).await;
    assert_eq!(delivery(store, 1).await.contract, first_version());
    assert_eq!(replayed(store).await, 1);
    let (id, contract, bytes) = sent(store, 30).await;
    assert_eq!((contract, bytes), newest);
    speak(store, 1, "v1").await;
    let replay = Replay::DeadLetters(subscription_id(1));
    for (id, second) in [(Some(id), 40), (None, 50)] {
        let replay = id.map_or_else(|| replay.clone(), Replay::Delivery);
        assert_eq!(store.replay(&replay, 10, at(second)).await.expect("store answers").made, 1);
        let (id, contract, bytes) = sent(store, second).await;
        assert_eq!((contract.clone(), bytes), (first_version(), old_payload()));
        let found = find(store, id).await.expect("delivery is there");
        assert_eq!(found.contract, contract);
    }
}

/// Where one event is not stored in the version that the subscription speaks, a replay makes nothing and
/// reports the event. Once it is stored in that version, the replay sends it.
pub async fn a_replay_without_the_bytes_makes_nothing_until_they_are_added(store: &impl Managed) {
    let id = an_old_delivery(store).await;
    for number in 2..=4 {
        emit(store, number, 0, 1).await;
        end(store, number, EXHAUSTED).await;
    }
    speak(store, 1, "v1").await;
    let replay = Replay::DeadLetters(subscription_id(1));
    let missing = async |replay: &Replay, limit| {
        let missing = store.missing_payloads(replay, limit, at(30)).await.expect("store answers");
        assert!(missing.iter().all(|missing| missing.contract == first_version()));
        missing.into_iter().map(|missing| missing.event).collect::<BTreeSet<_>>()
    };
    let lacking: BTreeSet<_> = (2..=4).map(|number| an_event(number, 0).id).collect();
    assert_eq!(missing(&replay, 10).await, lacking);
    assert_eq!(missing(&replay, 2).await.len(), 2);
    assert_eq!(missing(&Replay::Since(subscription_id(1), at(0)), 10).await, lacking);
    assert_eq!(missing(&Replay::Delivery(delivery_id(1)), 10).await, BTreeSet::new());
    assert_eq!(missing(&Replay::Delivery(delivery_id(2)), 10).await, [an_event(2, 0).id].into());
    for replay in [&replay, &Replay::Delivery(delivery_id(2))] {
        let told = store.replay(replay, 10, at(30)).await.expect("store answers");
        assert_eq!((told.made, told.more, told.missing.is_empty()), (0, false, false));
    }
    assert!(claim(store, at(30)).await.is_empty(), "nothing was made, of event 1 neither");
    let all = NonZeroU32::new(10).expect("not zero");
    let refused = store.replay_all(&replay, all, at(30), |_| ()).await.expect_err("bytes are missing");
    assert_eq!(refused.kind(), StoreErrorKind::MissingPayload);

    let added = |number| Bytes::from(format!("old {number}"));
    let made = |number, bytes| MadePayload::new(first_version(), an_event(number, 0).id, bytes);
    // The type of event 4 does not exist in the old version.
    let payloads = [made(2, Some(added(2))), made(3, Some(added(3))), made(4, None)];
    store.add_payloads("elsewhere", &payloads).await.expect("store answers");
    assert_eq!(missing(&replay, 10).await, lacking, "they are another organization's");
    store.add_payloads(ORGANIZATION, &payloads).await.expect("store answers");
    // Nothing that is stored is changed.
    let other = |number| made(number, Some(Bytes::from_static(b"other")));
    let newest = MadePayload::new(contract(), id, Some(Bytes::from_static(b"other")));
    store.add_payloads(ORGANIZATION, &[other(2), other(1), newest]).await.expect("store answers");
    assert_eq!(missing(&replay, 10).await, BTreeSet::new());
    assert_eq!(store.replay_all(&replay, all, at(30), |_| ()).await.expect("store answers"), 3);
    let mut claimed = claim(store, at(30)).await;
    claimed.sort_by_key(|claimed| claimed.event.clone());
    let sent: Vec<_> = claimed.iter().map(|sent| (sent.event.clone(), sent.payload.clone())).collect();
    let event = |number| an_event(number, 0).id;
    assert_eq!(sent, [(event(1), old_payload()), (event(2), added(2)), (event(3), added(3))]);
    assert!(claimed.iter().all(|claimed| claimed.contract == first_version()));
    // An added version is compared like any other; one without the type has nothing to compare.
    let again = |number, bytes| NewEvent { contract: first_version(), payload: bytes, ..an_event(number, 0) };
    assert_eq!(insert(store, again(2, added(2))).await, InsertOutcome::Duplicate);
    assert_eq!(insert(store, again(2, added(3))).await, InsertOutcome::Conflict);
    assert_eq!(insert(store, again(4, added(4))).await, InsertOutcome::Duplicate);
}

/// A version that was added goes with the others when the event is expunged, and none can be added later.
pub async fn an_added_version_is_expunged_with_the_others(store: &impl Managed) {
    subscribe(store, 1).await;
    for number in 1..=2 {
        emit(store, number, 0, 1).await;
        end(store, number, EXHAUSTED).await;
    }
    speak(store, 1, "v1").await;
    let add = async |number, bytes: Bytes| {
        let made = MadePayload::new(first_version(), an_event(number, 0).id, Some(bytes));
        store.add_payloads(ORGANIZATION, &[made]).await.expect("store answers");
    };
    add(1, old_payload()).await;
    for number in 1..=2 {
        let id = an_event(number, 0).id;
        assert!(store.expunge(ORGANIZATION, CONTRACT, &id, at(20)).await.expect("store answers"));
        add(number, Bytes::from_static(b"secret")).await;
    }
    for number in 1..=2 {
        let replay = Replay::Delivery(delivery_id(number));
        assert_eq!(store.replay(&replay, 10, at(30)).await.expect("store answers"), Replayed::default());
        assert_eq!(store.missing_payloads(&replay, 10, at(30)).await.expect("store answers"), []);
    }
    let again = |number, bytes| NewEvent { contract: first_version(), payload: bytes, ..an_event(number, 0) };
    assert_eq!(insert(store, again(1, old_payload())).await, InsertOutcome::Duplicate);
    assert_eq!(insert(store, again(1, payload(1))).await, InsertOutcome::Conflict);
    // Event 2 never had old bytes.
    assert_eq!(insert(store, again(2, payload(1))).await, InsertOutcome::Duplicate);
}

/// Has a subscription speak this version.
async fn speak(store: &impl Managed, number: u32, version: &str) {
    let mut changed = subscription(store, subscription_id(number)).await;
    changed.contract = changed.contract.with_version(version).expect("version is right");
    store.put(&changed).await.expect("subscription is written");
}

/// Inserts [`in_two_versions`] again in other versions and with other bytes.
async fn expect_compared(store: &impl Fixture) {
    use InsertOutcome::{Conflict, Duplicate};
    let version = |version| contract().with_version(version).expect("version is right");
    let other = || Bytes::from_static(b"other");
    let with = |newest, bytes, older| {
        let mut event = in_two_versions();
        (event.contract, event.payload, event.older) = (version(newest), bytes, older);
        event
    };
    let old = |bytes| vec![NewPayload::new(first_version(), bytes)];
    for (event, outcome) in [
        (with("v2", payload(1), old(old_payload())), Duplicate),
        (with("v2", payload(1), vec![]), Duplicate),
        (with("v1", old_payload(), vec![]), Duplicate),
        (with("v3", other(), vec![]), Duplicate),
        (with("v3", other(), old(old_payload())), Duplicate),
        (with("v2", other(), vec![]), Conflict),
        (with("v2", payload(1), old(other())), Conflict),
        (with("v1", payload(1), vec![]), Conflict),
        (with("v3", payload(1), old(payload(1))), Conflict),
    ] {
        let shown = format!("{event:?}");
        assert_eq!(insert(store, event).await, outcome, "{shown}");
    }
}

/// A dead delivery of the older version to subscription 1.
async fn an_old_delivery(store: &impl Managed) -> crate::event::EventId {
    let to = subscribe(store, 1).await.id;
    let mut event = in_two_versions();
    event.deliveries.push(NewDelivery::new(delivery_id(1), to).with_version("v1"));
    let id = event.id.clone();
    insert(store, event).await;
    end(store, 1, EXHAUSTED).await;
    id
}

async fn replayed(store: &impl Managed) -> u32 {
    store.replay(&Replay::Delivery(delivery_id(1)), 10, at(30)).await.expect("store answers").made
}

/// Event 1, whose newest version is `v2`.
fn in_two_versions() -> NewEvent {
    an_event(1, 0).with_older(NewPayload::new(first_version(), old_payload()))
}

fn first_version() -> ContractId {
    contract().with_version("v1").expect("version is right")
}

fn old_payload() -> Bytes {
    Bytes::from_static(b"{\"old\":1}")
}

const EXHAUSTED: Next = Next::dead(DeadReason::Exhausted);
