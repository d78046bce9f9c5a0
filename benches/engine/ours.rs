//! Our side: an outbox and a dispatcher with their settings as they come.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hookwire::dispatch::{Dispatcher, Outbox, Wake};
use hookwire::store::Retention;
use hookwire::store::postgres::PostgresStore;
use hookwire::store::sqlite::SqliteStore;
use hookwire::{
    AddressPolicy, Contract, EndpointUrl, EventFilter, HyperClient, MemoryStore, Secret, Store, Subscription,
};
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::event::envelope;
use crate::pipeline::{Endpoints, IN_FLIGHT, Pipeline};
use crate::place::{Kind, Place};

/// An outbox, and a dispatcher that runs until it is stopped.
pub(crate) struct Ours<S> {
    outbox: Outbox<S>,
    endpoints: usize,
    dispatcher: Dispatching,
}

impl<S: Store + Clone + 'static> Ours<S> {
    /// Each event goes to all endpoints.
    pub(crate) async fn start(store: S, endpoints: &Endpoints, keep: Duration) -> Self {
        for (address, offset) in endpoints.with_offsets() {
            let subscription = subscription(ORGANIZATION, address, offset);
            store.put_subscription(&subscription).await.expect("the store takes it");
        }
        let wake = Wake::new();
        Self {
            outbox: Outbox::new(store.clone(), Contract::allison())
                .with_wake(&wake)
                .with_subscriptions_kept_for(keep),
            endpoints: endpoints.addresses.len(),
            // As much to one endpoint as the pipeline by hand.
            dispatcher: Dispatching::start(
                dispatcher(store, Contract::allison())
                    .with_max_in_flight_per_subscription(IN_FLIGHT as u32)
                    .with_wake(&wake),
            ),
        }
    }
}

impl<S: Store + Clone + 'static> Pipeline for Ours<S> {
    fn emit(&self, number: u64) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let emitted =
                self.outbox.emit(ORGANIZATION, &envelope(number)).await.expect("the store takes it");
            assert_eq!(emitted.deliveries, self.endpoints, "each event goes to all endpoints");
        })
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(self.dispatcher.stop())
    }
}

/// A dispatcher at work.
pub(crate) struct Dispatching {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Dispatching {
    pub(crate) fn start(dispatcher: Dispatcher) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move { dispatcher.run(async { drop(stopped.await) }).await });
        Self { stop, task }
    }

    pub(crate) async fn stop(self) {
        drop(self.stop);
        self.task.await.expect("the dispatcher ends by itself");
    }
}

/// One that may reach loopback, and is otherwise as it comes.
pub(crate) fn dispatcher(store: impl Store + 'static, contract: Contract) -> Dispatcher {
    Dispatcher::new(store, HyperClient::new(), contract).with_address_policy(loopback())
}

/// The endpoint's path is the number that it adds to those of its events.
pub(crate) fn subscription(organization: &str, endpoint: SocketAddr, offset: u64) -> Subscription {
    let url = EndpointUrl::parse(&format!("http://{endpoint}/{offset}"), &loopback());
    Subscription::new(organization, url.expect("loopback is allowed"), EventFilter::all())
        .with_secret(Secret::from_bytes(KEY))
}

/// A store of ours that opens what is at a place of its kind.
pub(crate) trait Opens: Store + Clone + 'static {
    const KIND: Kind;

    fn open(place: &Place) -> impl Future<Output = Self> + Send;

    /// Forgets what has ended, where that would fill the process's own memory.
    fn forget(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

impl Opens for Arc<MemoryStore> {
    const KIND: Kind = Kind::Memory;

    async fn open(_: &Place) -> Self {
        Self::default()
    }

    async fn forget(&self) {
        let retention = Retention::new().with_deliveries(Duration::ZERO);
        self.prune(&retention, OffsetDateTime::now_utc(), 1_000).await.expect("memory forgets");
    }
}

impl Opens for SqliteStore {
    const KIND: Kind = Kind::Sqlite;

    async fn open(place: &Place) -> Self {
        Self::open(place.address()).await.expect("the folder takes a database")
    }
}

impl Opens for PostgresStore {
    const KIND: Kind = Kind::Postgres;

    async fn open(place: &Place) -> Self {
        Self::connect(&place.address()).await.expect("the server answers")
    }
}

fn loopback() -> AddressPolicy {
    AddressPolicy::new().allow_loopback().allow_plain_http()
}

const ORGANIZATION: &str = "org_0";
pub(crate) const KEY: [u8; 32] = *b"0123456789abcdef0123456789abcdef";
