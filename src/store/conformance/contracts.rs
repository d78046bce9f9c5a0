//! Contracts: whose deliveries a look and a claim take.

use std::time::Duration;

use bytes::Bytes;

use super::fixture::{Fixture, Managed};
use super::steps::*;
use crate::contract::ContractId;
use crate::delivery::Next;
use crate::store::{Claim, ContractBacklog, InsertOutcome, NewEvent, Poll, Polled, Share, StoreErrorKind};
use crate::subscription::Subscription;

/// Deliveries of other contracts stay due, for a dispatcher that has them.
pub async fn a_look_and_a_claim_take_the_named_contracts_alone(store: &impl Fixture) {
    two_contracts(store).await;
    let (one, two) = (subscription_id(1), subscription_id(2));
    for (names, ready) in [
        (&[CONTRACT][..], &[one][..]),
        (&[OTHER], &[two]),
        (&[CONTRACT, OTHER], &[one, two]),
        (&[CONTRACT, CONTRACT, "unheard of"], &[one]),
        (&["unheard of", "acm", "acme/v2", ""], &[]),
        (&[], &[]),
    ] {
        let mut polled = store.look(&Poll::new(owned(names), 10, at(0))).await.expect("store answers");
        polled.ready.sort();
        assert_eq!(polled.ready, ready, "{names:?}");
        assert_eq!(polled.wait, None, "{names:?}");
    }
    let shares = || vec![Share::new(one, 10), Share::new(two, 10)];
    for (names, claimed) in
        [(&[][..], &[][..]), (&["unheard of"], &[]), (&[OTHER], &[2]), (&[OTHER, CONTRACT], &[1])]
    {
        let claim = Claim::new(owned(names), LEASE, shares(), at(0));
        let claims = store.claim(&claim).await.expect("store answers");
        assert_eq!(numbers(&claims.deliveries), claimed, "{names:?}");
    }
}

/// Due times of other contracts are no reason to look again.
pub async fn a_look_waits_for_the_named_contracts_alone(store: &impl Fixture) {
    two_contracts(store).await;
    claim_one(store, at(0)).await;
    assert_eq!(look(store, at(0)).await, Polled::new(vec![], Some(LEASE)));
    let other = store.look(&Poll::new(owned(&[OTHER]), 10, at(-5))).await.expect("store answers");
    assert_eq!((other.ready, other.wait), (vec![], Some(Duration::from_secs(5))));
    let none = store.look(&Poll::new(owned(&["unheard of"]), 10, at(0))).await.expect("store answers");
    assert_eq!(none, Polled::default());
}

/// An id is unique within an organization and a contract, whatever the version.
pub async fn the_same_id_under_two_contracts_is_two_events(store: &impl Fixture) {
    use InsertOutcome::{Conflict, Duplicate, New};
    let of = |contract: ContractId, payload: &'static [u8]| {
        let mut event = an_event(1, 0);
        (event.contract, event.payload) = (contract, Bytes::from_static(payload));
        event
    };
    let batch = [of(contract(), b"one"), of(other_contract(), b"two"), of(contract(), b"one")];
    assert_eq!(insert_all(store, &batch).await, [New, New, Duplicate]);
    let again = [of(contract(), b"two"), of(other_contract(), b"two"), of(other_contract(), b"one")];
    assert_eq!(insert_all(store, &again).await, [Conflict, Duplicate, Conflict]);
}

/// An organization has subscriptions of several contracts.
pub async fn subscriptions_of_every_contract_are_read_back(store: &impl Fixture) {
    let (one, two) = two_contracts(store).await;
    let read = subscriptions(store, ORGANIZATION).await;
    assert_eq!(read.len(), 2);
    for (read, written) in read.iter().zip([&one, &two]) {
        assert_same(read, written);
    }
}

/// A look says, for each contract, how long the delivery that waits longest could have been claimed.
pub async fn the_age_of_the_oldest_due_delivery_is_reported_by_contract(store: &impl Managed) {
    two_contracts(store).await;
    let ages = async |names: &[&str], second| {
        let polled = store.look(&Poll::new(owned(names), 10, at(second))).await.expect("store answers");
        let mut ages: Vec<_> =
            polled.oldest_due.into_iter().map(|(name, age)| (name, age.as_secs())).collect();
        ages.sort();
        ages
    };
    let age = |name: &str, seconds| (name.to_owned(), seconds);
    assert_eq!(ages(&[CONTRACT, OTHER], 7).await, [age(CONTRACT, 7), age(OTHER, 7)]);
    assert_eq!(ages(&[OTHER, "unheard of"], 8).await, [age(OTHER, 8)]);
    emit(store, 3, 4, 1).await;
    assert_eq!(ages(&[CONTRACT], 9).await, [age(CONTRACT, 9)]);
    // A lease is no wait, and its end begins one.
    claim_up_to(store, at(10), 1).await;
    assert_eq!(ages(&[CONTRACT], 10).await, [age(CONTRACT, 6)]);
    claim_up_to(store, at(10), 1).await;
    assert_eq!(ages(&[CONTRACT], 69).await, []);
    assert_eq!(ages(&[CONTRACT], 71).await, [age(CONTRACT, 1)]);
    // Nothing can be claimed of a disabled subscription.
    disable(store, 1).await;
    assert_eq!(ages(&[CONTRACT, OTHER], 80).await, [age(OTHER, 80)]);
}

/// The backlog by contract counts what could be claimed now, of every contract and organization.
pub async fn the_backlog_is_counted_by_contract(store: &impl Managed) {
    let backlog = async |second| {
        let counted = store.backlog_by_contract(at(second)).await.expect("store answers");
        counted.into_iter().map(|one| (one.contract, one.due, one.waited.as_secs())).collect::<Vec<_>>()
    };
    let of = |name: &str, due, seconds| (name.to_owned(), due, seconds);
    assert_eq!(backlog(0).await, []);
    two_contracts(store).await;
    let mut elsewhere = a_subscription(3);
    elsewhere.organization = "elsewhere".to_owned();
    store.put_subscription(&elsewhere).await;
    emit(store, 3, 4, 1).await;
    let mut event = an_event(4, 2).with_delivery(delivery_id(4), elsewhere.id);
    event.organization = elsewhere.organization.clone();
    assert_eq!(insert(store, event).await, InsertOutcome::New);
    assert_eq!(backlog(7).await, [of(CONTRACT, 3, 7), of(OTHER, 1, 7)]);
    // Leased deliveries are not due, nor are those of a disabled subscription, nor those of later times.
    assert_eq!(claim_one(store, at(10)).await.delivery, delivery_id(1));
    assert_eq!(backlog(10).await, [of(CONTRACT, 2, 8), of(OTHER, 1, 10)]);
    disable(store, 2).await;
    assert_eq!(backlog(10).await, [of(CONTRACT, 2, 8)]);
    assert_eq!(claim(store, at(10)).await.len(), 2);
    assert_eq!(backlog(69).await, []);
    assert_eq!(backlog(71).await, [of(CONTRACT, 3, 1)]);
}

/// A delivery that waits behind another of its ordering key is not counted, and a paused subscription counts
/// from the end of its pause on.
pub async fn the_backlog_leaves_out_what_cannot_be_claimed(store: &impl Managed) {
    subscribe(store, 1).await;
    for number in 1..=3 {
        emit_keyed(store, number, 0, 1, "key").await;
    }
    let backlog = async |second| store.backlog_by_contract(at(second)).await.expect("store answers");
    let due = |due, seconds| vec![ContractBacklog::new(CONTRACT, due, Duration::from_secs(seconds))];
    assert_eq!(backlog(5).await, due(1, 5));
    let claimed = claim_one(store, at(10)).await;
    let settlement = ended(&claimed, at(10), Next::retry(Duration::from_secs(5)));
    settle(store, settlement.with_pause(Duration::from_secs(20))).await;
    assert_eq!(backlog(20).await, []);
    assert_eq!(backlog(32).await, due(1, 2));
}

/// Writing a subscription with another organization is refused, because an organization's lists are read by
/// its subscriptions.
pub async fn a_subscription_never_changes_its_organization(store: &impl Managed) {
    let seen = subscribe(store, 1).await;
    let other = Subscription { organization: OTHER_ORGANIZATION.to_owned(), ..seen.clone() };
    let refused = [store.put(&other).await, store.replace(&seen, &other).await.map(drop)];
    for refused in refused {
        assert_eq!(refused.expect_err("it is another organization").kind(), StoreErrorKind::Backend);
        assert_same(&subscription(store, seen.id).await, &seen);
    }
    let read = store.subscriptions(OTHER_ORGANIZATION).await.expect("store answers");
    assert!(read.subscriptions.is_empty(), "{read:?}");
}

/// Writing a subscription with another contract name is refused, because its deliveries find their contract
/// there. The version may change.
pub async fn a_subscription_never_changes_its_contract(store: &impl Managed) {
    let seen = subscribe(store, 1).await;
    let mut other = seen.clone();
    other.contract = other_contract();
    let refused = [store.put(&other).await, store.replace(&seen, &other).await.map(drop)];
    for refused in refused {
        assert_eq!(refused.expect_err("it is another contract").kind(), StoreErrorKind::Backend);
        assert_same(&subscription(store, seen.id).await, &seen);
    }
    let version = |version| {
        let mut changed = seen.clone();
        changed.contract = seen.contract.with_version(version).expect("version is right");
        changed
    };
    let (third, fourth) = (version("v3"), version("v4"));
    store.put(&third).await.expect("subscription is written");
    assert_same(&subscription(store, seen.id).await, &third);
    assert!(!store.replace(&seen, &fourth).await.expect("store answers"), "its version was changed since");
    assert!(store.replace(&third, &fourth).await.expect("store answers"));
    assert_same(&subscription(store, seen.id).await, &fourth);
}

/// An event of the same id under another contract is another event.
pub async fn an_event_is_found_and_expunged_under_its_contract(store: &impl Managed) {
    let (one, _) = two_contracts(store).await;
    let id = an_event(1, 0).id;
    let mut other = an_event(1, 0).with_delivery(delivery_id(11), subscription_id(2));
    (other.contract, other.payload) = (other_contract(), Bytes::from_static(b"other"));
    assert_eq!(insert(store, other).await, InsertOutcome::New);
    let found = async |name| store.find_event(ORGANIZATION, name, &id).await.expect("store answers");
    assert!(found("unheard of").await.is_none());
    assert!(!store.expunge(ORGANIZATION, "unheard of", &id, at(1)).await.expect("store answers"));
    assert!(store.expunge(ORGANIZATION, OTHER, &id, at(1)).await.expect("store answers"));
    let (own, other) =
        (found(CONTRACT).await.expect("it is there"), found(OTHER).await.expect("its id stays"));
    assert_eq!((own.contract, own.payload), (one.contract, Some(payload(1))));
    assert_eq!((other.contract, other.payload), (other_contract(), None));
    for (name, deliveries) in [(CONTRACT, &[1][..]), (OTHER, &[11])] {
        let page =
            store.list_event_deliveries(ORGANIZATION, name, &id, None, 9).await.expect("store answers");
        assert_eq!(page.items.iter().map(|found| number(found.id)).collect::<Vec<_>>(), deliveries);
        assert!(page.items.iter().all(|found| found.contract.name() == name));
    }
    assert_eq!(numbers(&claim(store, at(1)).await), [1]);
}

/// Subscription 1 speaks the tests' contract and subscription 2 another one. Each has a delivery of its
/// number, due at 0.
async fn two_contracts(store: &impl Fixture) -> (Subscription, Subscription) {
    let one = subscribe(store, 1).await;
    let mut two = a_subscription(2);
    two.contract = other_contract();
    store.put_subscription(&two).await;
    emit(store, 1, 0, 1).await;
    let event =
        NewEvent { contract: other_contract(), ..an_event(2, 0).with_delivery(delivery_id(2), two.id) };
    assert_eq!(insert(store, event).await, InsertOutcome::New);
    (one, two)
}

fn other_contract() -> ContractId {
    ContractId::new(OTHER, "v1").expect("contract is right")
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const OTHER: &str = "other_acme";
