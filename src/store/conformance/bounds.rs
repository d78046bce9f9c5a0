//! Inputs that are out of their bounds.

use super::fixture::Managed;
use super::steps::*;
use crate::bounds;
use crate::contract::Contract;
use crate::delivery::{DeadReason, DeliveryState, Next};
use crate::event::{EnvelopeFormat, Field};
use crate::signature::{Scheme, Secret};
use crate::store::{NewEvent, StoreError, StoreErrorKind};
use crate::subscription::Subscription;

/// An event whose organization, ordering key or attributes are out of their bounds is refused, and one at its
/// bounds is written. A refused event leaves nothing behind.
pub async fn an_event_out_of_its_bounds_is_refused(store: &impl Managed) {
    subscribe(store, 1).await;
    let text = |len| "x".repeat(len);
    type Change = fn(&mut NewEvent, String);
    let changes: [(&str, usize, Change); 5] = [
        ("organization", bounds::ORGANIZATION, |event, text| event.organization = text),
        ("ordering key", bounds::ORDERING_KEY, |event, text| event.ordering_key = Some(text)),
        ("set of attributes", bounds::ATTRIBUTES_LEN, |event, text| {
            event.attributes = [(text, vec![String::new()])].into();
        }),
        ("set of attributes", bounds::ATTRIBUTE_VALUES, |event, text| {
            event.attributes = [(String::new(), vec![String::new(); text.len()])].into();
        }),
        ("event", bounds::ATTRIBUTES, |event, text| {
            event.attributes = (0..text.len()).map(|number| (number.to_string(), Vec::new())).collect();
        }),
    ];
    for (number, (input, limit, change)) in (1..).zip(changes) {
        let mut event = an_event(number, 0).with_delivery(delivery_id(number), subscription_id(1));
        change(&mut event, text(limit + 1));
        let refused = store.insert(std::slice::from_ref(&event)).await.expect_err("it is too long");
        names(&refused, input);
        assert!(find(store, delivery_id(number)).await.is_none(), "{input}: nothing is left");
        change(&mut event, text(limit));
        store.insert(&[event]).await.unwrap_or_else(|error| panic!("{input} at its bound: {error:?}"));
    }
}

/// A subscription whose organization or secrets are out of their bounds is refused, and so is one without the
/// secret that its contract needs. A refused subscription leaves nothing behind, nor a secret that it holds.
pub async fn a_subscription_that_could_not_be_sent_to_is_refused(store: &impl Managed) {
    const FORMAT: EnvelopeFormat = EnvelopeFormat::new(&[Field::Type("type"), Field::Data("data")]);
    let unsigned = Contract::new(CONTRACT, FORMAT).expect("name is right");
    let signed = unsigned.clone().with_scheme(Scheme::STANDARD_WEBHOOKS);
    type Change = fn(&mut Subscription, &Contract);
    let changes: [(&str, Change); 4] = [
        ("organization", |subscription, _| subscription.organization = "o".repeat(bounds::ORGANIZATION + 1)),
        ("secrets", |subscription, _| {
            subscription.secrets = vec![Secret::from_random([7; 32]).into(); bounds::SECRETS + 1];
        }),
        ("secret", |subscription, _| {
            subscription.secrets = vec![Secret::from_bytes([7; bounds::SECRET]).into()];
        }),
        ("no secret", |subscription, signed| {
            subscription.contract = signed.into();
            subscription.secrets.clear();
        }),
    ];
    for (named, change) in changes {
        let mut wrong = a_subscription(1);
        change(&mut wrong, &signed);
        names(&store.put(&wrong).await.expect_err("it is refused"), named);
        let digest = crate::store::SecretDigest::of(&Secret::from_random([9; 32]));
        names(&store.add(&wrong, Some(&digest), 10).await.expect_err("it is refused"), named);
        assert!(store.subscription(wrong.id).await.expect("store answers").is_none(), "{named}");
        let right = subscribe(store, 2).await;
        let mut replacement = right.clone();
        change(&mut replacement, &signed);
        names(&store.replace(&right, &replacement).await.expect_err("it is refused"), named);
        assert_same(&subscription(store, right.id).await, &right);
        assert!(store.hold_secret(right.id, &digest).await.expect("store answers"), "nobody holds it");
    }
    let mut bare = a_subscription(1);
    bare.contract = (&unsigned).into();
    bare.secrets.clear();
    store.put(&bare).await.expect("a contract that does not sign needs no secret");
}

/// A note that is out of its bounds is refused, and the dead letter stays.
pub async fn a_note_out_of_its_bounds_is_refused(store: &impl Managed) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    end(store, 1, Next::dead(DeadReason::Refused)).await;
    let long = "n".repeat(bounds::NOTE + 1);
    let refused = store.discard(ORGANIZATION, delivery_id(1), &long).await.expect_err("it is too long");
    names(&refused, "note");
    assert_eq!(delivery(store, 1).await.state, DeliveryState::Dead(DeadReason::Refused));
    assert!(store.discard(ORGANIZATION, delivery_id(1), &long[1..]).await.expect("store answers"));
}

/// The error is a refusal whose cause names the input.
fn names(error: &StoreError, input: &str) {
    assert_eq!(error.kind(), StoreErrorKind::Backend, "{error:?}");
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    assert!(cause.contains(input), "{cause} does not name {input}");
}
