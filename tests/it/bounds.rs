//! Bounds of what callers hand in, and the errors of an outbox that refuses it.

use hookwire::allison::CallEnded;
use hookwire::bounds;
use hookwire::dispatch::{EmitError, Outbox, Routing};
use hookwire::{
    AddressPolicy, Contract, EndpointUrl, Envelope, ErrorKind, EventFilter, MemoryStore, RawEvent, Secret,
    Subscription,
};
use serde_json::json;

fn outbox() -> Outbox<MemoryStore> {
    Outbox::new(MemoryStore::new(), Contract::allison())
}

fn call() -> Envelope<CallEnded> {
    Envelope::new(CallEnded::new("c1"))
}

#[tokio::test]
async fn an_outbox_says_which_input_is_too_long_and_how_long_it_may_be() {
    let outbox = outbox();
    let many = |count| {
        (0..count).fold(Routing::new(), |routing, number| routing.with_attribute(format!("a{number}"), "v"))
    };
    let values = |count| (0..count).fold(Routing::new(), |routing, _| routing.with_attribute("a", ""));
    let key = |len| Routing::new().with_ordering_key("k".repeat(len));
    let long = |len| Routing::new().with_attribute("", "v".repeat(len));
    for (right, wrong, input, limit) in [
        (key(256), key(257), "ordering key", bounds::ORDERING_KEY),
        (many(32), many(33), "event", bounds::ATTRIBUTES),
        (values(256), values(257), "set of attributes", bounds::ATTRIBUTE_VALUES),
        (long(16 * 1024), long(16 * 1024 + 1), "set of attributes", bounds::ATTRIBUTES_LEN),
    ] {
        let error = outbox.emit_with("org_1", &call(), wrong).await.unwrap_err();
        let EmitError::OutOfBounds(excess) = &error else { panic!("{error:?}") };
        assert_eq!((excess.input, excess.found, excess.limit), (input, limit + 1, limit));
        assert!(error.to_string().contains(&format!("expected at most {limit}")), "{error}");
        outbox.emit_with("org_1", &call(), right).await.unwrap();
    }
    let error = outbox.emit(&"o".repeat(1_001), &call()).await.unwrap_err();
    assert!(matches!(&error, EmitError::OutOfBounds(excess) if excess.input == "organization"), "{error:?}");
    outbox.emit(&"o".repeat(1_000), &call()).await.unwrap();
}

#[tokio::test]
async fn a_key_that_the_data_has_is_bounded_too() {
    let outbox = Outbox::new(MemoryStore::new(), Contract::nectar_desk());
    let ended = |id: String| Envelope::new(RawEvent::new("Call Ended", json!({"call_id": id})).unwrap());
    let error = outbox.emit("org_1", &ended("c".repeat(257))).await.unwrap_err();
    assert!(matches!(&error, EmitError::OutOfBounds(excess) if excess.input == "ordering key"), "{error:?}");
    outbox.emit("org_1", &ended("c".repeat(256))).await.unwrap();
}

#[tokio::test]
async fn a_type_outside_the_catalogue_is_refused_unless_the_catalogue_is_open() {
    let event = || Envelope::new(RawEvent::new("call.endet", json!({"call_id": "c1"})).unwrap());
    let error = outbox().emit("org_1", &event()).await.unwrap_err();
    let EmitError::UnknownType { event_type, contract, .. } = &error else { panic!("{error:?}") };
    assert_eq!((event_type.as_str(), contract.as_str()), ("call.endet", "allison"));
    assert!(error.to_string().contains("with_catalogue"), "{error}");
    let open = Outbox::new(MemoryStore::new(), Contract::standard_webhooks());
    open.emit("org_1", &event()).await.unwrap();
    // A type that the catalogue has may come as an untyped event.
    let raw = RawEvent::new("call.ended", json!({"call_id": "c1"})).unwrap();
    outbox().emit("org_1", &Envelope::new(raw)).await.unwrap();
}

#[test]
fn a_filter_is_bounded_by_its_patterns_too() {
    let pattern = |number: usize| format!("call.{number:0200}");
    let patterns = |count| (0..count).map(pattern).collect::<Vec<_>>();
    assert!(EventFilter::new(patterns(70)).is_ok());
    let error = EventFilter::new(patterns(90)).unwrap_err();
    assert_eq!((error.kind(), error.expected()), (ErrorKind::Subscription, Some("at most 16384")));
}

#[test]
fn a_subscription_without_the_secret_that_its_contract_needs_is_refused() {
    let url = || EndpointUrl::parse("https://hooks.example.com/", &AddressPolicy::new()).unwrap();
    let subscription = |contract: &Contract| Subscription::new("org_1", contract, url(), EventFilter::all());
    for contract in [Contract::allison(), Contract::allo(), Contract::standard_webhooks()] {
        let error = subscription(&contract).check().unwrap_err();
        assert_eq!((error.kind(), error.expected()), (ErrorKind::Subscription, Some("one")), "{contract:?}");
        assert!(error.reason().contains(contract.name()), "{error}");
        subscription(&contract).with_secret(Secret::generate()).check().unwrap();
        subscription(&contract.with_scheme(None)).check().unwrap();
    }
    subscription(&Contract::nectar_desk()).check().unwrap();
    // Another version of a contract needs the secret too.
    let mut newer = subscription(&Contract::allison());
    newer.contract = newer.contract.with_version("v2").unwrap();
    assert!(newer.check().is_err());
}
