//! Two versions of an event's data: receivers of the first version keep getting it after the second one is
//! out.
//!
//! ```text
//! cargo run --example versions --features manage,memory
//! ```
//!
//! Nothing is sent: the client prints each request and answers 204. The program prints each step.

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use hookwire::contract::Versions;
use hookwire::dispatch::{Dispatcher, Outbox};
use hookwire::manage::{Service, SubscriptionDraft, SubscriptionPatch};
use hookwire::{Contract, Envelope, Exchange, HttpClient, Limits, MemoryStore, TransportError};
use http::{Request, Response, StatusCode};
use time::OffsetDateTime;

/// The first version, as it was published.
mod v1 {
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
    pub(crate) struct OrderPaid {
        pub(crate) order_id: String,
        pub(crate) price: f64,
    }

    hookwire::catalogue! {
        /// The shop's events in version v1.
        pub(crate) enum Event {
            /// An order was paid in full.
            OrderPaid = "order.paid", sample: OrderPaid { order_id: "o-1".into(), price: 19.99 };
        }
    }
}

/// The second version: prices are whole cents, and there are refunds.
mod v2 {
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
    pub(crate) struct OrderPaid {
        pub(crate) order_id: String,
        pub(crate) cents: u64,
    }

    #[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
    pub(crate) struct OrderRefunded {
        pub(crate) order_id: String,
    }

    hookwire::catalogue! {
        /// The shop's events in version v2.
        pub(crate) enum Event {
            /// An order was paid in full.
            OrderPaid = "order.paid", sample: OrderPaid { order_id: "o-1".into(), cents: 1999 };
            /// An order was refunded.
            OrderRefunded = "order.refunded", sample: OrderRefunded { order_id: "o-1".into() };
        }
    }
}

/// The contract in both versions. The application emits v2; the function makes v1 of it.
fn shop() -> Result<Versions, hookwire::Error> {
    let v1 = Contract::standard_webhooks().with_name("shop")?.with_catalogue(v1::Event::CATALOGUE);
    let v2 = v1.clone().with_version("v2")?.with_catalogue(v2::Event::CATALOGUE);
    Versions::new(v2).with_older(v1, |event: v2::Event| {
        Ok(match event {
            v2::Event::OrderPaid(v2::OrderPaid { order_id, cents }) => {
                Some(v1::Event::OrderPaid(v1::OrderPaid { order_id, price: cents as f64 / 100.0 }))
            }
            // The type does not exist in v1: its subscriptions get no delivery.
            v2::Event::OrderRefunded(_) => None,
            v2::Event::Other(other) => Some(v1::Event::Other(other)),
        })
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (store, versions) = (Arc::new(MemoryStore::new()), shop()?);
    let outbox = Outbox::of(Arc::clone(&store), versions.clone());
    let service = Service::of(Arc::clone(&store), versions.clone());
    // The dispatcher needs no functions: it sends the bytes that are stored.
    let dispatcher = Dispatcher::new(Arc::clone(&store), Printing, versions.newest().clone());

    let first = SubscriptionDraft::new("https://first.example.com/hooks", ["*"]).with_version("v1");
    let first = service.create("org_1", first).await?.subscription;
    let second = SubscriptionDraft::new("https://second.example.com/hooks", ["*"]);
    service.create("org_1", second).await?;

    println!("1. One event, in the version that each subscription speaks:");
    let paid = Envelope::new(v2::OrderPaid { order_id: "o-7".into(), cents: 4250 });
    let emitted = outbox.emit("org_1", &paid).await?;
    dispatcher.step(OffsetDateTime::now_utc()).await?;
    println!("   {} deliveries", emitted.deliveries);

    println!("\n2. A type that v1 does not have:");
    let refunded = Envelope::new(v2::OrderRefunded { order_id: "o-7".into() });
    let emitted = outbox.emit("org_1", &refunded).await?;
    dispatcher.step(OffsetDateTime::now_utc()).await?;
    println!("   {} delivery, {} subscription left out", emitted.deliveries, emitted.left_out);

    println!("\n3. The first receiver moves to v2, and has the paid order sent again:");
    service.update("org_1", first.id, SubscriptionPatch::new().with_version("v2"), None).await?;
    let query = hookwire::store::DeliveryQuery::new(first.id);
    let delivered = service.deliveries("org_1", &query, None, 10).await?.items.remove(0);
    service.retry("org_1", delivered.id).await?;
    dispatcher.step(OffsetDateTime::now_utc()).await?;

    println!("\n4. The same event again is a duplicate, which adds nothing:");
    let emitted = outbox.emit("org_1", &paid).await?;
    println!("   duplicate: {}, {} deliveries", emitted.duplicate, emitted.deliveries);
    Ok(())
}

/// Prints requests instead of sending them.
struct Printing;

impl HttpClient for Printing {
    async fn send(&self, request: Request<Bytes>, _: &Limits) -> Result<Exchange, TransportError> {
        println!("   {}: {}", request.uri().host().unwrap_or_default(), text(request.body()));
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(Exchange::new(response))
    }
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
