//! A contract in several versions: emitting, replaying, managing, and old and new binaries on one store.
//!
//! The shop's version `v2` has `cents` where `v1` has `price`, and refunds, which `v1` lacks. `v1` has lost
//! parcels, which `v2` no longer has.

mod deploying;
mod emitting;
mod managing;
mod replaying;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookwire::contract::Versions;
use hookwire::delivery::Next;
use hookwire::dispatch::{Dispatcher, Outbox};
use hookwire::event::{Catalogue, EnvelopeFormat, Field, TimePrecision};
use hookwire::store::implement::{Claim, Leased, Poll, Settlement, Share};
use hookwire::testing::RecordingClient;
use hookwire::{
    Attempt, Contract, ContractId, DeadReason, EndpointUrl, Envelope, EventFilter, EventId, Outcome,
    RawEvent, RetryPolicy, Secret, Subscription, SubscriptionId,
};
use http::StatusCode;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::stores::Whole;

const NOON: OffsetDateTime = datetime!(2026-04-17 12:00 UTC);

/// Writes each test for each store.
macro_rules! on_every_store {
    ($($test:ident)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test(std::sync::Arc::new(hookwire::MemoryStore::new())).await;
            })*
        }

        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                let stage = crate::engine::Stage::sqlite().await;
                super::$test(std::sync::Arc::clone(&stage.store)).await;
            })*
        }

        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                let stage = crate::engine::Stage::postgres().await;
                super::$test(std::sync::Arc::clone(&stage.store)).await;
            })*
        }
    };
}
use on_every_store;

mod v1 {
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
    pub(super) struct OrderPaid {
        pub(super) price: f64,
        pub(super) shop: String,
    }

    #[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
    pub(super) struct ParcelLost {
        pub(super) parcel: String,
    }

    hookwire::catalogue! {
        /// The first version.
        pub(super) enum Event {
            /// An order was paid.
            OrderPaid = "order.paid", sample: OrderPaid { price: 1.0, shop: "s".into() };
            /// A parcel was lost.
            ParcelLost = "parcel.lost", sample: ParcelLost { parcel: "p".into() };
        }
    }
}

mod v2 {
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
    pub(super) struct OrderPaid {
        pub(super) cents: u64,
        pub(super) shop: String,
    }

    #[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
    pub(super) struct OrderRefunded {
        pub(super) cents: u64,
    }

    hookwire::catalogue! {
        /// The second version.
        pub(super) enum Event {
            /// An order was paid.
            OrderPaid = "order.paid", sample: OrderPaid { cents: 100, shop: "s".into() };
            /// An order was refunded.
            OrderRefunded = "order.refunded", sample: OrderRefunded { cents: 100 };
        }
    }
}

fn shop(version: &str, catalogue: Catalogue, format: EnvelopeFormat) -> Contract {
    Contract::standard_webhooks()
        .with_name("shop")
        .unwrap()
        .with_version(version)
        .unwrap()
        .with_catalogue(catalogue)
        .with_format(format)
        .with_retry(RetryPolicy::none())
}

/// The contract of the first binary.
fn shop_v1() -> Contract {
    shop("v1", v1::Event::CATALOGUE, FORMAT_1)
}

fn shop_v2() -> Contract {
    shop("v2", v2::Event::CATALOGUE, FORMAT_2)
}

/// The chain of the second binary.
fn versions() -> Versions {
    let to_v1 = |event: v2::Event| match event {
        v2::Event::OrderPaid(paid) if paid.cents == FAILING => Err("no price has so many cents".into()),
        v2::Event::OrderPaid(paid) => {
            Ok(Some(v1::Event::from(v1::OrderPaid { price: paid.cents as f64 / 100.0, shop: paid.shop })))
        }
        v2::Event::OrderRefunded(_) => Ok(None),
        v2::Event::Other(other) => Ok(Some(v1::Event::Other(other))),
    };
    Versions::new(shop_v2()).with_older(shop_v1(), to_v1).unwrap()
}

fn outbox<S: Whole>(store: &Arc<S>) -> Outbox<Arc<S>> {
    Outbox::of(Arc::clone(store), versions()).with_clock(|| NOON)
}

/// The outbox of the first binary.
fn old_outbox<S: Whole>(store: &Arc<S>) -> Outbox<Arc<S>> {
    Outbox::new(Arc::clone(store), shop_v1()).with_clock(|| NOON)
}

fn dispatcher<S: Whole>(store: &Arc<S>, client: &RecordingClient, contract: Contract) -> Dispatcher {
    Dispatcher::new(Arc::clone(store), client.clone(), contract)
}

/// Sends everything that is due, and returns how much was delivered.
async fn drain(dispatcher: &Dispatcher, now: OffsetDateTime) -> usize {
    let mut delivered = 0;
    loop {
        match dispatcher.step(now).await.unwrap().delivered {
            0 => return delivered,
            more => delivered += more,
        }
    }
}

/// Has every delivery that is due become a dead letter.
async fn all_die<S: Whole>(store: &Arc<S>) {
    let contracts = || vec!["shop".to_owned()];
    let ready = store.look(&Poll::new(contracts(), 100, NOON)).await.unwrap().ready;
    let shares = ready.into_iter().map(|id| Share::new(id, 1_000)).collect();
    let claim = Claim::new(contracts(), Duration::from_secs(60), shares, NOON);
    let claimed = store.claim(&claim).await.unwrap().deliveries;
    assert!(!claimed.is_empty());
    let refused = Outcome::answered(StatusCode::INTERNAL_SERVER_ERROR);
    let die = |claimed: &Leased| {
        let attempt = Attempt::new(1, NOON, Duration::ZERO, refused);
        let next = Next::dead(DeadReason::Exhausted);
        Settlement::new(claimed.delivery, claimed.lease, attempt, next, NOON)
    };
    store.settle(&claimed.iter().map(die).collect::<Vec<_>>()).await.unwrap();
}

/// Makes a subscription of `org_1` to the path `path`, which speaks this version of the shop's contract.
async fn subscribe<S: Whole>(store: &Arc<S>, path: &str, version: &str, filter: EventFilter) -> Subscription {
    subscribe_to(store, path, ContractId::new("shop", version).unwrap(), filter).await
}

async fn subscribe_to<S: Whole>(
    store: &Arc<S>,
    path: &str,
    contract: ContractId,
    filter: EventFilter,
) -> Subscription {
    let url = EndpointUrl::from_storage(&format!("https://hooks.example.com/{path}")).unwrap();
    let subscription =
        Subscription::new("org_1", contract, url, filter).with_secret(Secret::from_random([7; 32]));
    store.put(&subscription).await.unwrap();
    subscription
}

async fn speak<S: Whole>(store: &Arc<S>, id: SubscriptionId, version: &str) {
    let mut changed = store.subscription(id).await.unwrap().unwrap();
    changed.contract = changed.contract.with_version(version).unwrap();
    store.put(&changed).await.unwrap();
}

fn paid(id: &str, cents: u64) -> Envelope<v2::OrderPaid> {
    envelope(id, v2::OrderPaid { cents, shop: "s_1".into() })
}

/// The same event as [`paid`], as the first binary emits it.
fn paid_v1(id: &str, price: f64) -> Envelope<v1::OrderPaid> {
    envelope(id, v1::OrderPaid { price, shop: "s_1".into() })
}

fn raw(id: &str, event_type: &str) -> Envelope<RawEvent> {
    envelope(id, RawEvent::new(event_type, json!({"parcel": "p_1"})).unwrap())
}

fn envelope<T>(id: &str, data: T) -> Envelope<T> {
    Envelope::from_parts(event_id(id), NOON, data)
}

fn event_id(id: &str) -> EventId {
    id.parse().unwrap()
}

/// The requests by the paths that they went to, with their bodies.
fn sent(client: &RecordingClient) -> Vec<(String, Value)> {
    let read = |body: &Bytes| serde_json::from_slice::<Value>(body).unwrap();
    let requests = client.recorded().into_iter().map(|recorded| recorded.request);
    let mut sent: Vec<_> = requests
        .map(|request| (request.uri().path().trim_start_matches('/').to_owned(), read(request.body())))
        .collect();
    sent.sort_by_key(|(path, body)| (path.clone(), body["id"].to_string()));
    sent
}

fn body_v1(id: &str, price: f64) -> Value {
    let (at, data) = ("2026-04-17T12:00:00.000Z", json!({"price": price, "shop": "s_1"}));
    json!({"id": id, "type": "order.paid", "at": at, "version": "1", "data": data})
}

fn body_v2(id: &str, cents: u64) -> Value {
    let (at, data) = ("2026-04-17T12:00:00.000Z", json!({"cents": cents, "shop": "s_1"}));
    json!({"id": id, "type": "order.paid", "at": at, "version": "2", "data": data})
}

const FORMAT_1: EnvelopeFormat = EnvelopeFormat::new(&[
    Field::Id("id"),
    Field::Type("type"),
    Field::CreatedAt("at", TimePrecision::Milliseconds),
    Field::Version("version", "1"),
    Field::Data("data"),
]);
const FORMAT_2: EnvelopeFormat = EnvelopeFormat::new(&[
    Field::Id("id"),
    Field::Type("type"),
    Field::CreatedAt("at", TimePrecision::Milliseconds),
    Field::Version("version", "2"),
    Field::Data("data"),
]);
/// The chain fails for an order of so many cents.
const FAILING: u64 = 13;
