//! Our side: an outbox and a dispatcher with their default settings.

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
    AddressPolicy, Contract, EndpointUrl, EventFilter, HyperClient, MemoryStore, Pruning, Secret, Store,
    Subscription, Subscriptions,
};
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::event::envelope;
use crate::pipeline::{Endpoints, Pipeline};
use crate::place::{Kind, Place};

/// An outbox, and a dispatcher that runs until it is stopped.
pub(crate) struct Ours<S> {
    outbox: Outbox<S>,
    endpoints: usize,
    dispatcher: Dispatching,
}

impl<S: Store + Subscriptions + Clone + 'static> Ours<S> {
    /// Sends each event to all endpoints.
    pub(crate) async fn start(store: S, endpoints: &Endpoints) -> Self {
        for (address, offset) in endpoints.with_offsets() {
            let subscription = subscription(ORGANIZATION, address, offset);
            store.put(&subscription).await.expect("the store takes it");
        }
        let wake = Wake::new();
        Self {
            outbox: Outbox::new(store.clone(), Contract::allison()).with_wake(&wake),
            endpoints: endpoints.addresses.len(),
            dispatcher: Dispatching::start(dispatcher(store, Contract::allison()).with_wake(&wake)),
        }
    }
}

impl<S: Store + Subscriptions + Clone + 'static> Pipeline for Ours<S> {
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

/// A running dispatcher.
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

/// A dispatcher with default settings that may also reach loopback.
pub(crate) fn dispatcher(store: impl Store + 'static, contract: Contract) -> Dispatcher {
    Dispatcher::new(store, HyperClient::new(), contract).with_address_policy(loopback())
}

/// A subscription whose URL path is the offset that the endpoint adds to its events' numbers.
pub(crate) fn subscription(organization: &str, endpoint: SocketAddr, offset: u64) -> Subscription {
    let url = EndpointUrl::parse(&format!("http://{endpoint}/{offset}"), &loopback());
    Subscription::new(
        organization,
        &Contract::allison(),
        url.expect("loopback is allowed"),
        EventFilter::all(),
    )
    .with_secret(Secret::from_bytes(KEY))
}

/// Opens our store at a place of its kind.
pub(crate) trait Opens: Store + Subscriptions + Clone + 'static {
    const KIND: Kind;

    fn open(place: &Place) -> impl Future<Output = Self> + Send;

    /// Deletes ended deliveries from a store that holds them in this process's memory.
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
        self.prune(&retention, 1_000, OffsetDateTime::now_utc()).await.expect("memory forgets");
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
