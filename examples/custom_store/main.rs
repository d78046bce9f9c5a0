//! A store of your own (lists behind a mutex), an outbox and a dispatcher on it, and the suite it passes.
//!
//! Begin here for a database that has no store in the crate: delivering needs the trait `Store` alone.
//! `cargo run --example custom_store --features dispatch,hyper` runs it; its suite needs `testing`.

mod store;

use std::sync::Arc;

use hookwire::allison::CallEnded;
use hookwire::dispatch::{Dispatcher, Outbox};
use hookwire::{AddressPolicy, Contract, EndpointUrl, Envelope, HyperClient, Secret, Subscription};
use time::OffsetDateTime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let policy = AddressPolicy::new().allow_loopback().allow_plain_http();
    let url = EndpointUrl::parse(&format!("http://{}/calls", listener.local_addr()?), &policy)?;
    let endpoint = axum::Router::new().fallback(|| async { axum::http::StatusCode::NO_CONTENT });
    tokio::spawn(async move { axum::serve(listener, endpoint).await });

    let (store, contract) = (Arc::new(store::ListStore::default()), Contract::allison());
    let subscription = Subscription::new("org_1", &contract, url, hookwire::EventFilter::new(["call.*"])?);
    store.put(subscription.with_secret(Secret::generate())).await;

    let outbox = Outbox::new(Arc::clone(&store), contract.clone());
    let ended = CallEnded::new("5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11");
    let emitted = outbox.emit("org_1", &Envelope::new(ended)).await?;
    println!("{} is stored, {} delivery pending", emitted.id, emitted.deliveries);
    let dispatcher = Dispatcher::new(store, HyperClient::new(), contract).with_address_policy(policy);
    println!("{} delivered", dispatcher.step(OffsetDateTime::now_utc()).await?.delivered);
    Ok(())
}

#[cfg(all(test, feature = "testing"))]
hookwire::store::conformance::store_conformance! {
    #[tokio::test]
    async { (store::ListStore::default(), ()) }
}
