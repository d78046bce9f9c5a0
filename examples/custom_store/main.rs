//! A store of one's own: plain lists behind a mutex, the public suite that it passes, and a dispatcher that works on it.
//!
//! ```text
//! cargo run --example custom_store --features dispatch,hyper
//! cargo test --example custom_store --features dispatch,hyper,testing
//! ```
//!
//! A place to begin for a database that has no store here. `store.rs` is the whole of it, written to be read: it looks through
//! everything for each answer, so it is for few deliveries, and it forgets all with the process. What a store has to keep to
//! stands at `hookwire::store`; the suite has a named test for each of those rules.

mod store;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use hookwire::allison::CallEnded;
use hookwire::dispatch::{Dispatcher, Outbox};
use hookwire::{
    AddressPolicy, Contract, EndpointUrl, Envelope, EventFilter, HyperClient, Secret, Store, Subscription,
};
use time::OffsetDateTime;
use tokio::net::TcpListener;

use self::store::ListStore;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let policy = AddressPolicy::new().allow_loopback().allow_plain_http();
    let url = EndpointUrl::parse(&format!("http://{}/calls", listener.local_addr()?), &policy)?;
    tokio::spawn(async move { axum::serve(listener, endpoint()).await });

    let store = Arc::new(ListStore::default());
    let subscription =
        Subscription::new("org_1", url, EventFilter::new(["call.*"])?).with_secret(Secret::generate());
    store.put_subscription(&subscription).await?;

    let outbox = Outbox::new(Arc::clone(&store), Contract::allison());
    let envelope = Envelope::new(CallEnded::new("5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11"));
    let emitted = outbox.emit("org_1", &envelope).await?;
    println!("{} is stored, {} delivery pending", emitted.id, emitted.deliveries);
    println!("once more: duplicate = {}", outbox.emit("org_1", &envelope).await?.duplicate);

    // Allison's second attempt comes a minute after the first: time is an argument, so nobody waits for it.
    let dispatcher = Dispatcher::new(Arc::clone(&store), HyperClient::new(), Contract::allison())
        .with_address_policy(policy);
    let start = OffsetDateTime::now_utc();
    for seconds in [0, 30, 90] {
        let step = dispatcher.step(start + Duration::from_secs(seconds)).await?;
        println!("after {seconds:>2} s: {} delivered, {} to be tried again", step.delivered, step.retried);
    }
    for delivery in store.deliveries(subscription.id, None, 10).await? {
        println!("{} of {} is {}", delivery.id, delivery.event_type, delivery.state.as_str());
        for attempt in store.attempts(delivery.id).await? {
            println!("  attempt {}: {:?}", attempt.number, attempt.outcome.status());
        }
    }
    Ok(())
}

/// Fails once, then takes everything.
fn endpoint() -> Router {
    let has_failed = AtomicBool::new(false);
    let answer = move || match has_failed.swap(true, Ordering::Relaxed) {
        false => StatusCode::SERVICE_UNAVAILABLE,
        true => StatusCode::NO_CONTENT,
    };
    let answer = Arc::new(answer);
    Router::new().route("/calls", post(move || async move { answer() }))
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    hookwire::store_conformance! {
        #[tokio::test]
        async { (crate::store::ListStore::default(), ()) }
    }

    mod shared {
        hookwire::store_conformance! {
            #[tokio::test]
            async { (std::sync::Arc::new(crate::store::ListStore::default()), ()) }
        }
    }
}
