//! Management over real HTTP.

mod access;
mod calls;
mod document;
mod emitting;
mod leaks;
mod odd;
mod reading;
mod routes;
mod stories;
mod wire;
mod writing;

use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use hookwire::dispatch::{Dispatcher, Outbox};
use hookwire::keyring::{Key, KeyRing};
use hookwire::manage::Service;
use hookwire::manage::axum::{Access, Routes, Scope, router};
use hookwire::testing::ManualClock;
use hookwire::{Contract, Envelope, EventData, EventId, HyperClient, MemoryStore};
use serde_json::{Value, json};
use time::OffsetDateTime;

use self::wire::{Answer, Wire};
use crate::endpoint::{Endpoint, loopback};

/// A platform's sending side with its management routes on a port, and a customer's endpoint.
struct Stage {
    wire: Wire,
    endpoint: Endpoint,
    store: Arc<MemoryStore>,
    contract: Contract,
    outbox: Outbox<Arc<MemoryStore>>,
    dispatcher: Dispatcher,
    /// The OpenAPI document of the routes.
    document: Value,
    clock: ManualClock,
}

impl Stage {
    async fn new() -> Self {
        Self::under(Contract::allison()).await
    }

    async fn under(contract: Contract) -> Self {
        let store = Arc::new(MemoryStore::new());
        let clock = ManualClock::new(OffsetDateTime::now_utc().replace_nanosecond(0).unwrap());
        let ring = Arc::new(KeyRing::new("2026-11", Key::generate()).unwrap());
        let service = Service::new(Arc::clone(&store), contract.clone())
            .with_address_policy(loopback())
            .with_client(HyperClient::new())
            .with_clock(clock.clone())
            .with_key_ring(Arc::clone(&ring));
        let dispatcher = Dispatcher::new(Arc::clone(&store), HyperClient::new(), contract.clone())
            .with_address_policy(loopback())
            .with_clock(clock.clone())
            .with_key_ring(ring);
        let routes = Routes::new(service).with_emitting().unwrap();
        let document = routes.document();
        Self {
            wire: Wire::serve(routes.into_router().layer(middleware::from_fn(authenticate))).await,
            document,
            endpoint: Endpoint::start([]).await,
            outbox: Outbox::new(Arc::clone(&store), contract.clone()).with_clock(clock.clone()),
            dispatcher,
            store,
            contract,
            clock,
        }
    }

    /// Creates a subscription of `org_1` to the endpoint, and returns its secret too.
    async fn subscribe(&self, events: &[&str]) -> (String, Option<String>) {
        let body = json!({"url": self.endpoint.url().as_str(), "events": events});
        let made = self.wire.send(POST, SUBSCRIPTIONS, WRITER, &body).await;
        assert_eq!(made.status, 201, "{made:?}");
        let made = made.json();
        (text(&made["data"]["id"]), made["secret"].as_str().map(str::to_owned))
    }

    async fn emit(&self, data: impl EventData) -> EventId {
        self.outbox.emit("org_1", &Envelope::new(data)).await.unwrap().id
    }

    /// Delivers due deliveries and advances the clock until nothing is pending.
    async fn deliver(&self) {
        use hookwire::Clock as _;
        for _ in 0..100 {
            let step = self.dispatcher.step(self.clock.now()).await.unwrap();
            if step.delivered + step.retried + step.dead > 0 {
                continue;
            }
            match step.next_due {
                Some(wait) => self.clock.advance(wait.max(std::time::Duration::from_millis(1))),
                None => return,
            }
        }
        panic!("it never ends");
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.wire.get(path, READER).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.wire.send(POST, path, WRITER, &body).await
    }
}

/// The application's own authentication: keys of two organizations, and a read-only key.
async fn authenticate(mut request: Request, next: Next) -> Response {
    let key = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let access = match key {
        Some("Bearer reader") => Some(Access::new("org_1", Scope::Read)),
        Some("Bearer writer") => Some(Access::new("org_1", Scope::ReadWrite)),
        Some("Bearer stranger") => Some(Access::new("org_2", Scope::ReadWrite)),
        _ => None,
    };
    if let Some(access) = access {
        request.extensions_mut().insert(access);
    }
    next.run(request).await
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn at(path: &str, id: &str) -> String {
    format!("{SUBSCRIPTIONS}/{id}{path}")
}

const SUBSCRIPTIONS: &str = "/v1/webhook-subscriptions";
const POST: &str = "POST";
const READER: Option<&str> = Some("reader");
const WRITER: Option<&str> = Some("writer");
const STRANGER: Option<&str> = Some("stranger");
