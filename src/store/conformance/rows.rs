//! The rows that the rules write, and their numbers.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use time::OffsetDateTime;
use time::macros::datetime;

use crate::address::EndpointUrl;
use crate::contract::ContractId;
use crate::delivery::Attempt;
use crate::id::{DeliveryId, SubscriptionId};
use crate::outcome::Outcome;
use crate::signature::Secret;
use crate::store::NewEvent;
use crate::subscription::{EventFilter, Subscription};

/// The number that [`delivery_id`] was given.
pub(super) fn number(id: DeliveryId) -> u32 {
    (1..=MOST_DELIVERIES)
        .find(|number| delivery_id(*number) == id)
        .expect("delivery is one of the test's own")
}

pub(super) fn assert_same(read: &Subscription, written: &Subscription) {
    assert_eq!(read.id, written.id);
    assert_eq!(read.organization, written.organization);
    assert_eq!(read.contract, written.contract);
    assert_eq!(read.url, written.url);
    assert_eq!(read.filter, written.filter);
    assert!(read.secrets == written.secrets, "the secrets came back changed");
    assert!(read.options.to_storage() == written.options.to_storage(), "the options came back changed");
    assert_eq!(read.status, written.status);
    assert_eq!(read.created_at, written.created_at);
}

pub(super) fn a_subscription(number: u32) -> Subscription {
    Subscription::from_parts(
        subscription_id(number),
        START,
        ORGANIZATION,
        contract(),
        url(&number.to_string()),
        EventFilter::all(),
    )
    .with_secret(Secret::from_random([7; 32]))
}

/// An event with a payload of its own, due at `second`.
pub(super) fn an_event(number: u32, second: i64) -> NewEvent {
    NewEvent::new(
        ORGANIZATION,
        contract(),
        format!("evt_{number}").parse().expect("id is right"),
        "call.ended".parse().expect("type is right"),
        payload(number),
        at(second),
    )
}

/// Version `v2` of the tests' contract.
pub(super) fn contract() -> ContractId {
    ContractId::new(CONTRACT, "v2").expect("contract is right")
}

/// The payload of event `number`.
pub(super) fn payload(number: u32) -> Bytes {
    Bytes::from(format!("{{\"number\":{number}}}"))
}

pub(super) fn attempt(number: u32, second: i64) -> Attempt {
    let outcome = Outcome::answered(StatusCode::INTERNAL_SERVER_ERROR);
    Attempt::new(number, at(second), Duration::from_millis(12), outcome)
}

pub(super) fn url(path: &str) -> EndpointUrl {
    EndpointUrl::from_storage(&format!("https://hooks.example.com/{path}")).expect("URL is right")
}

pub(super) fn subscription_id(number: u32) -> SubscriptionId {
    SubscriptionId::from_parts(at(i64::from(number)), [1; 10])
}

pub(super) fn delivery_id(number: u32) -> DeliveryId {
    DeliveryId::from_parts(at(i64::from(number)), [2; 10])
}

/// `second` seconds after the tests' beginning.
pub(super) fn at(second: i64) -> OffsetDateTime {
    START + time::Duration::seconds(second)
}

pub(super) const START: OffsetDateTime = datetime!(2026-04-17 19:12:03.482_001 UTC);
pub(super) const ORGANIZATION: &str = "org_1";
pub(super) const OTHER_ORGANIZATION: &str = "org_2";
/// The name of the contract of every subscription and event, if nothing else is said.
pub(super) const CONTRACT: &str = "acme";
pub(super) const LEASE: Duration = Duration::from_secs(60);
pub(super) const MOST_SUBSCRIPTIONS: u32 = 50;
pub(super) const MOST_DELIVERIES: u32 = 100;
