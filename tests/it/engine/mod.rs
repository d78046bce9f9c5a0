//! The whole sending side on every SQL store, with real endpoints on loopback: order, fairness, disabled
//! endpoints, changes in progress, observers.
//!
//! Each step takes the time as an argument, so days pass in milliseconds. Tests of a running dispatcher wait
//! for an event and never for a duration.

mod changes;
mod endpoints;
mod order;
pub(crate) mod running;
mod telling;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use hookwire::allison::CallEnded;
use hookwire::dispatch::{Dispatcher, Outbox, Routing, Step};
use hookwire::event::Catalogue;
use hookwire::store::sqlite::SqliteStore;
use hookwire::{
    Contract, Delivery, DeliveryState, Envelope, EventFilter, EventId, HyperClient, Secret, Store,
    Subscription, Subscriptions,
};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::endpoint::{Endpoint, loopback};
use crate::stores::{Tested, deliveries};

pub(crate) const NOON: OffsetDateTime = datetime!(2026-04-17 12:00 UTC);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// Writes each test for each store.
macro_rules! on_every_store {
    ($($test:ident)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::engine::Stage::sqlite().await).await;
            })*
        }

        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::engine::Stage::postgres().await).await;
            })*
        }
    };
}
pub(crate) use on_every_store;

/// A store, its files, and the parts of a sender on it.
pub(crate) struct Stage<S> {
    pub(crate) store: Arc<S>,
    pub(crate) contract: Contract,
    _keep: Box<dyn Any + Send + Sync>,
}

impl Stage<SqliteStore> {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("hooks.db")).await.unwrap();
        Self::on(store, folder)
    }
}

#[cfg(feature = "postgres")]
impl Stage<hookwire::store::postgres::PostgresStore> {
    pub(crate) async fn postgres() -> Self {
        let builder = hookwire::store::postgres::PostgresStore::builder()
            .with_prefix(crate::postgres_server::prefix())
            .with_connections(4)
            .with_caller_time();
        Self::on(builder.connect(crate::postgres_server::url()).await.unwrap(), ())
    }
}

impl<S: Tested> Stage<S> {
    pub(crate) fn on(store: S, keep: impl Any + Send + Sync) -> Self {
        Self { store: Arc::new(store), contract: Contract::allison(), _keep: Box::new(keep) }
    }

    /// The store with every trait, which may stand behind another.
    pub(crate) fn plain(&self) -> &S::Plain {
        self.store.plain()
    }

    /// The same under another contract, which publishes every type: the tests emit one of Allison's.
    pub(crate) fn under(mut self, contract: Contract) -> Self {
        self.contract = contract.with_catalogue(Catalogue::OPEN);
        self
    }

    pub(crate) fn outbox(&self) -> Outbox<Arc<S>> {
        self.outbox_at(NOON)
    }

    pub(crate) fn outbox_at(&self, now: OffsetDateTime) -> Outbox<Arc<S>> {
        Outbox::new(Arc::clone(&self.store), self.contract.clone()).with_clock(move || now)
    }

    /// A new dispatcher, as after a restart.
    pub(crate) fn dispatcher(&self) -> Dispatcher {
        Dispatcher::new(Arc::clone(&self.store), HyperClient::new(), self.contract.clone())
            .with_address_policy(loopback())
    }

    pub(crate) async fn subscribe(&self, endpoint: &Endpoint) -> Subscription {
        let secret = Secret::from_random([7; 32]);
        let subscription = Subscription::new("org_1", &self.contract, endpoint.url(), EventFilter::all())
            .with_secret(secret);
        self.plain().put(&subscription).await.unwrap();
        subscription
    }

    pub(crate) async fn emit(&self) -> EventId {
        self.emit_at(NOON).await
    }

    pub(crate) async fn emit_at(&self, now: OffsetDateTime) -> EventId {
        self.outbox_at(now).emit("org_1", &call()).await.unwrap().id
    }

    pub(crate) async fn emit_keyed(&self, key: &str) -> EventId {
        let routing = Routing::new().with_ordering_key(key);
        self.outbox().emit_with("org_1", &call(), routing).await.unwrap().id
    }

    /// Steps at `now` as long as there is work.
    pub(crate) async fn drain(&self, dispatcher: &Dispatcher, now: OffsetDateTime) -> Step {
        let mut whole = Step::default();
        loop {
            let step = dispatcher.step(now).await.unwrap();
            whole.delivered += step.delivered;
            whole.retried += step.retried;
            whole.dead += step.dead;
            whole.kept_back += step.kept_back;
            whole.stale += step.stale;
            whole.next_due = step.next_due;
            if step.next_due != Some(Duration::ZERO) {
                return whole;
            }
        }
    }

    /// A subscription's deliveries, oldest first.
    pub(crate) async fn deliveries(&self, subscription: &Subscription) -> Vec<Delivery> {
        let mut deliveries = deliveries(self.plain(), &subscription.organization, subscription.id).await;
        deliveries.reverse();
        deliveries
    }

    pub(crate) async fn states(&self, subscription: &Subscription) -> Vec<DeliveryState> {
        self.deliveries(subscription).await.iter().map(|delivery| delivery.state).collect()
    }

    /// The subscription as it is in the store now.
    pub(crate) async fn read(&self, subscription: &Subscription) -> Subscription {
        self.store.subscription(subscription.id).await.unwrap().unwrap()
    }
}

pub(crate) fn call() -> Envelope<CallEnded> {
    Envelope::new(CallEnded::new("c1"))
}

/// The ids of the events that an endpoint received, in the order of arrival.
pub(crate) fn received(endpoint: &Endpoint) -> Vec<String> {
    let id = |body: &[u8]| {
        let envelope: serde_json::Value = serde_json::from_slice(body).unwrap();
        envelope["id"].as_str().unwrap().to_owned()
    };
    endpoint.requests().iter().map(|(_, body)| id(body)).collect()
}
