//! Emitting an event in the newest version and in those that the organization uses.

use std::sync::Arc;

use hookwire::contract::Versions;
use hookwire::dispatch::{EmitError, Outbox};
use hookwire::store::sqlite::SqliteStore;
use hookwire::subscription::Condition;
use hookwire::testing::RecordingClient;
use hookwire::{
    Contract, DisabledReason, Envelope, ErrorKind, EventFilter, MemoryStore, RawEvent, Records as _,
    SubscriptionStatus,
};
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Row as _};

use super::*;
use crate::stores::deliveries;

on_every_store! {
    each_subscription_gets_the_event_in_its_own_version
    older_versions_are_stored_where_a_subscription_uses_them
    a_condition_is_judged_on_the_bytes_that_its_subscription_gets
    a_type_that_a_version_lacks_is_left_out_and_counted
    a_type_is_refused_only_where_no_version_has_it
    a_failing_function_fails_the_emit_and_nothing_is_written
    a_duplicate_adds_no_delivery
    two_outboxes_use_one_id_under_two_contracts
}

async fn each_subscription_gets_the_event_in_its_own_version<S: Whole>(store: Arc<S>) {
    let old = subscribe(&store, "old", "v1", EventFilter::all()).await;
    let new = subscribe(&store, "new", "v2", EventFilter::all()).await;
    // A version that the outbox does not have gets the newest.
    let odd = subscribe(&store, "odd", "v0", EventFilter::all()).await;
    let emitted = outbox(&store).emit("org_1", &paid("e1", 1999)).await.unwrap();
    assert_eq!((emitted.deliveries, emitted.left_out), (3, 0));
    let client = RecordingClient::new();
    assert_eq!(dispatcher(&store, &client, shop_v2()).step(NOON).await.unwrap().delivered, 3);
    let expected =
        [("new", body_v2("e1", 1999)), ("odd", body_v2("e1", 1999)), ("old", body_v1("e1", 19.99))];
    assert_eq!(sent(&client), expected.map(|(path, body)| (path.to_owned(), body)));
    for (subscription, contract) in [(&old, "shop/v1"), (&new, "shop/v2"), (&odd, "shop/v2")] {
        let made = deliveries(&*store, "org_1", subscription.id).await;
        assert_eq!(made[0].contract.to_string(), contract);
    }
    let record = store.find_event("org_1", "shop", &event_id("e1")).await.unwrap().unwrap();
    assert_eq!(record.contract.version(), "v2", "the newest is always stored");
}

/// Only a version that is stored can conflict with the bytes of a first binary.
async fn older_versions_are_stored_where_a_subscription_uses_them<S: Whole>(store: Arc<S>) {
    let conflicts = async |organization: &str, id: &str| {
        outbox(&store).emit(organization, &paid(id, 1999)).await.unwrap();
        let again = old_outbox(&store).emit(organization, &paid_v1(id, 5.0)).await;
        match again {
            Ok(emitted) => {
                assert!(emitted.duplicate && emitted.deliveries == 0);
                false
            }
            Err(error) => {
                assert!(matches!(error, EmitError::Conflict { .. }), "{error}");
                true
            }
        }
    };
    let other = subscribe(&store, "other", "v2", EventFilter::all()).await;
    assert!(!conflicts("org_1", "e1").await);
    let old = subscribe(&store, "old", "v1", EventFilter::new(["parcel.*"]).unwrap()).await;
    assert!(conflicts("org_1", "e2").await, "whatever it asks for");
    assert!(!conflicts("org_2", "e2").await, "it is another organization's");
    let disabled = SubscriptionStatus::disabled(DisabledReason::Manual, NOON);
    assert!(store.set_status(old.id, &disabled).await.unwrap());
    assert!(conflicts("org_1", "e3").await);
    // The same bytes in that version are a duplicate.
    let again = old_outbox(&store).emit("org_1", &paid_v1("e3", 19.99)).await.unwrap();
    assert!(again.duplicate);
    store.delete(old.id, NOON).await.unwrap();
    assert!(!conflicts("org_1", "e4").await);
    assert_eq!(deliveries(&*store, "org_1", other.id).await.len(), 4);
}

async fn a_condition_is_judged_on_the_bytes_that_its_subscription_gets<S: Whole>(store: Arc<S>) {
    let asking = |condition: Condition| EventFilter::all().with_condition(condition).unwrap();
    let price = || asking(Condition::data("/price", [19.99]).unwrap());
    let cents = || asking(Condition::data("/cents", [1999]).unwrap());
    let version = |version: &str| asking(Condition::envelope("/version", [version]).unwrap());
    for (path, speaks, filter) in [
        ("a", "v1", price()),
        ("b", "v1", cents()),
        ("c", "v2", price()),
        ("d", "v2", cents()),
        ("e", "v1", version("1")),
        ("f", "v1", version("2")),
    ] {
        subscribe(&store, path, speaks, filter).await;
    }
    let emitted = outbox(&store).emit("org_1", &paid("e1", 1999)).await.unwrap();
    assert_eq!((emitted.deliveries, emitted.left_out), (3, 0));
    let client = RecordingClient::new();
    dispatcher(&store, &client, shop_v2()).step(NOON).await.unwrap();
    let paths: Vec<_> = sent(&client).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["a", "d", "e"]);
}

async fn a_type_that_a_version_lacks_is_left_out_and_counted<S: Whole>(store: Arc<S>) {
    let old = subscribe(&store, "old", "v1", EventFilter::new(["order.*"]).unwrap()).await;
    // It does not ask for the type, so nothing is kept from it.
    let parcels = subscribe(&store, "parcels", "v1", EventFilter::new(["parcel.*"]).unwrap()).await;
    let new = subscribe(&store, "new", "v2", EventFilter::all()).await;
    let refunded = || envelope("e1", v2::OrderRefunded { cents: 5 });
    let emitted = outbox(&store).emit("org_1", &refunded()).await.unwrap();
    assert_eq!((emitted.deliveries, emitted.left_out, emitted.duplicate), (1, 1, false));
    for (subscription, made) in [(&old, 0), (&parcels, 0), (&new, 1)] {
        assert_eq!(deliveries(&*store, "org_1", subscription.id).await.len(), made);
    }
    let again = outbox(&store).emit("org_1", &refunded()).await.unwrap();
    assert_eq!((again.deliveries, again.left_out, again.duplicate), (0, 0, true));
}

async fn a_type_is_refused_only_where_no_version_has_it<S: Whole>(store: Arc<S>) {
    let old = subscribe(&store, "old", "v1", EventFilter::all()).await;
    let new = subscribe(&store, "new", "v2", EventFilter::all()).await;
    let lost = outbox(&store).emit("org_1", &raw("e1", "parcel.lost")).await.unwrap();
    assert_eq!((lost.deliveries, lost.left_out), (1, 1), "the newest version lacks it");
    let refused = outbox(&store).emit("org_1", &raw("e2", "parcel.found")).await.unwrap_err();
    assert!(matches!(refused, EmitError::UnknownType { .. }), "{refused}");
    // Without the chain, only the newest catalogue counts.
    let alone = Outbox::new(Arc::clone(&store), shop_v2());
    let refused = alone.emit("org_1", &raw("e3", "parcel.lost")).await.unwrap_err();
    assert!(matches!(refused, EmitError::UnknownType { .. }), "{refused}");
    assert_eq!(deliveries(&*store, "org_1", old.id).await.len(), 1);
    assert_eq!(deliveries(&*store, "org_1", new.id).await.len(), 0);
    for id in ["e2", "e3"] {
        assert!(store.find_event("org_1", "shop", &event_id(id)).await.unwrap().is_none());
    }
}

async fn a_failing_function_fails_the_emit_and_nothing_is_written<S: Whole>(store: Arc<S>) {
    let new = subscribe(&store, "new", "v2", EventFilter::all()).await;
    // Nobody uses the old version yet, so the function is not called.
    outbox(&store).emit("org_1", &paid("e1", FAILING)).await.unwrap();
    subscribe(&store, "old", "v1", EventFilter::new(["parcel.*"]).unwrap()).await;
    let error = outbox(&store).emit("org_1", &paid("e2", FAILING)).await.unwrap_err();
    let EmitError::Version(error) = error else { panic!("{error}") };
    assert_eq!((&*error.contract, &*error.version), ("shop", "v1"));
    assert_eq!(error.event_type.as_ref().map(|name| name.as_str()), Some("order.paid"));
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "no price has so many cents");
    assert!(store.find_event("org_1", "shop", &event_id("e2")).await.unwrap().is_none());
    assert_eq!(deliveries(&*store, "org_1", new.id).await.len(), 1);
}

async fn a_duplicate_adds_no_delivery<S: Whole>(store: Arc<S>) {
    outbox(&store).emit("org_1", &paid("e1", 1999)).await.unwrap();
    // Subscriptions that were made since, in either version.
    let old = subscribe(&store, "old", "v1", EventFilter::all()).await;
    let new = subscribe(&store, "new", "v2", EventFilter::all()).await;
    let again = outbox(&store).emit("org_1", &paid("e1", 1999)).await.unwrap();
    assert_eq!((again.duplicate, again.deliveries), (true, 0));
    // No version is common to both: it cannot be told whether they differ.
    let older = old_outbox(&store).emit("org_1", &paid_v1("e1", 5.0)).await.unwrap();
    assert_eq!((older.duplicate, older.deliveries), (true, 0));
    for subscription in [old, new] {
        assert_eq!(deliveries(&*store, "org_1", subscription.id).await.len(), 0);
    }
}

async fn two_outboxes_use_one_id_under_two_contracts<S: Whole>(store: Arc<S>) {
    let courier = shop_v1().with_name("courier").unwrap();
    subscribe(&store, "shop", "v1", EventFilter::all()).await;
    subscribe_to(&store, "courier", (&courier).into(), EventFilter::all()).await;
    let other = Outbox::new(Arc::clone(&store), courier.clone()).with_clock(|| NOON);
    for duplicate in [false, true] {
        let emitted = outbox(&store).emit("org_1", &paid("e1", 1999)).await.unwrap();
        assert_eq!((emitted.duplicate, emitted.deliveries), (duplicate, usize::from(!duplicate)));
        let emitted = other.emit("org_1", &paid_v1("e1", 5.0)).await.unwrap();
        assert_eq!((emitted.duplicate, emitted.deliveries), (duplicate, usize::from(!duplicate)));
    }
    let client = RecordingClient::new();
    let dispatcher = dispatcher(&store, &client, shop_v2()).with_contract(courier).unwrap();
    assert_eq!(dispatcher.step(NOON).await.unwrap().delivered, 2);
    let expected = [("courier", body_v1("e1", 5.0)), ("shop", body_v1("e1", 19.99))];
    assert_eq!(sent(&client), expected.map(|(path, body)| (path.to_owned(), body)));
}

#[tokio::test]
async fn an_emit_that_fails_leaves_the_callers_transaction_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hooks.db");
    let store = Arc::new(SqliteStore::open(&file).await.unwrap());
    subscribe(&store, "old", "v1", EventFilter::all()).await;
    let mut connection = SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
    connection.execute("CREATE TABLE orders (id TEXT)").await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    transaction.execute("INSERT INTO orders VALUES ('o_1')").await.unwrap();
    let outbox = outbox(&store);
    let error = outbox.emit_in(&mut transaction, "org_1", &paid("e1", FAILING)).await.unwrap_err();
    assert!(matches!(error, EmitError::Version(_)), "{error}");
    let emitted = outbox.emit_in(&mut transaction, "org_1", &paid("e2", 5)).await.unwrap();
    assert_eq!(emitted.deliveries, 1);
    transaction.commit().await.unwrap();
    let row = sqlx::query("SELECT count(*) FROM orders").fetch_one(&mut connection).await.unwrap();
    assert_eq!(row.get::<i64, _>(0), 1);
    assert!(store.find_event("org_1", "shop", &event_id("e1")).await.unwrap().is_none());
    assert!(store.find_event("org_1", "shop", &event_id("e2")).await.unwrap().is_some());
}

#[tokio::test]
async fn an_older_version_that_is_too_long_is_refused() {
    let store = Arc::new(MemoryStore::new());
    let longer = |event: RawEvent| Ok(Some(RawEvent::new(event.event_type(), "x".repeat(200))?));
    let contract = || shop("v2", Catalogue::OPEN, FORMAT_2);
    let older = shop("v1", Catalogue::OPEN, FORMAT_1);
    let versions = Versions::new(contract()).with_older(older, longer).unwrap();
    let outbox = Outbox::of(Arc::clone(&store), versions).with_max_payload(200);
    outbox.emit("org_1", &raw("e1", "a")).await.unwrap();
    subscribe(&store, "old", "v1", EventFilter::all()).await;
    let error = outbox.emit("org_1", &raw("e2", "a")).await.unwrap_err();
    let EmitError::TooLarge { len, limit, .. } = error else { panic!("{error}") };
    assert!(len > 200 && limit == 200);
    assert!(store.find_event("org_1", "shop", &event_id("e2")).await.unwrap().is_none());
}

#[test]
fn a_chain_goes_step_by_step_and_ends_where_the_type_does() {
    let open = |version: &str| shop(version, Catalogue::OPEN, FORMAT_1);
    let note = |name: &'static str| {
        move |event: RawEvent| {
            if event.event_type() == name {
                return Ok(None);
            }
            let mut data: Vec<String> = serde_json::from_str(event.data().get())?;
            data.push(name.to_owned());
            Ok(Some(RawEvent::new(event.event_type(), data)?))
        }
    };
    let versions = Versions::new(open("v4"))
        .with_older(open("v3"), note("three"))
        .and_then(|versions| versions.with_older(open("v2"), note("two")))
        .and_then(|versions| versions.with_older(open("v1"), note("one")))
        .unwrap();
    let all: Vec<_> = versions.iter().map(Contract::version).collect();
    assert_eq!(all, ["v4", "v3", "v2", "v1"]);
    let event = |name| RawEvent::new(name, json!([])).unwrap();
    let made = |name, from, to| {
        let made = versions.convert(&event(name), from, to).unwrap();
        made.map(|event| event.data().get().to_owned())
    };
    assert_eq!(made("x", "v4", "v4").as_deref(), Some("[]"));
    assert_eq!(made("x", "v4", "v1").as_deref(), Some(r#"["three","two","one"]"#));
    assert_eq!(made("x", "v3", "v2").as_deref(), Some(r#"["two"]"#));
    assert_eq!(made("two", "v4", "v3").as_deref(), Some(r#"["three"]"#));
    assert_eq!(made("two", "v4", "v2"), None);
    assert_eq!(made("two", "v4", "v1"), None, "nor in still older versions");
    for (from, to) in [("v1", "v2"), ("v4", "v0"), ("v9", "v1")] {
        let error = versions.convert(&event("x"), from, to).unwrap_err();
        assert_eq!((&*error.contract, &*error.version), ("shop", to));
    }
}

#[test]
fn a_chain_has_one_contract_and_each_version_once() {
    let same = |event: RawEvent| Ok(Some(event));
    let chain = || Versions::new(shop_v2()).with_older(shop_v1(), same).unwrap();
    for (wrong, said) in [
        (shop_v1().with_name("other").unwrap(), "`other`"),
        (shop_v1(), "`v1`"),
        (shop_v2(), "`v2`"),
        (shop("v0", Catalogue::OPEN, FORMAT_1).with_timeout(std::time::Duration::ZERO), "`timeout`"),
    ] {
        let refused = chain().with_older(wrong, same).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Contract);
        assert!(refused.to_string().contains(said), "{refused}");
    }
}

#[test]
fn a_function_that_does_not_fit_is_an_error_and_not_another_event() {
    let renamed = |event: RawEvent| Ok(Some(RawEvent::new("order.settled", event.data())?));
    let versions = Versions::new(shop_v2()).with_older(shop_v1(), renamed).unwrap();
    let paid = RawEvent::new("order.paid", json!({"cents": 1, "shop": "s"})).unwrap();
    assert!(versions.convert(&paid, "v2", "v1").is_err());
    // A function of one type takes no other, and data that does not fit its type is named.
    let one = |paid: v2::OrderPaid| Ok(Some(paid));
    let versions = Versions::new(shop_v2()).with_older(shop_v1(), one).unwrap();
    assert!(versions.convert(&paid, "v2", "v1").unwrap().is_some());
    let refunded = RawEvent::new("order.refunded", json!({"cents": 1})).unwrap();
    assert!(versions.convert(&refunded, "v2", "v1").is_err());
    let wrong = RawEvent::new("order.paid", json!({"cents": "one"})).unwrap();
    let error = versions.convert(&wrong, "v2", "v1").unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("`cents`"), "{source}");
}

#[test]
fn data_that_no_function_changes_stays_as_it_is_byte_for_byte() {
    let same = |event: RawEvent| Ok(Some(event));
    let open = |version: &str| shop(version, Catalogue::OPEN, FORMAT_1);
    let versions = Versions::new(open("v2")).with_older(open("v1"), same).unwrap();
    let data =
        serde_json::value::RawValue::from_string(r#"{"n": 1e400,  "b":12345678901234567890123}"#.into());
    let event = RawEvent::new("x", data.unwrap()).unwrap();
    let made: Envelope<RawEvent> = envelope("e1", versions.convert(&event, "v2", "v1").unwrap().unwrap());
    assert_eq!(made.data, event);
}
