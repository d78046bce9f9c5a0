//! The sending side as a program: subscriptions managed over HTTP, events taken, delivered and replayed.
//!
//! ```text
//! cargo run --example sender --features full -- --listen 127.0.0.1:8080 --contract allison --api-key "$API_KEY=acme"
//! ```
//!
//! Whoever holds an API key manages its organization's subscriptions under `/v1/webhook-subscriptions` and below, as
//! `hookwire::manage::axum` has it, and emits events by `POST /v1/events`. A dispatcher runs beside it. Any number of these programs
//! may share one PostgreSQL; what one of them leaves behind when it is killed, the others send.
//!
//! `GET /healthz` tells a load balancer whether the store answers, `GET /metrics` is for Prometheus; both need no key. SIGTERM or
//! ctrl-c ends the program in order: no connection is taken any more, requests are answered, attempts under way end, and what is
//! still to be sent stays in the store.

#[path = "../shared/ending.rs"]
mod ending;
mod events;
#[path = "../shared/flags.rs"]
mod flags;
mod health;
mod keys;
mod numbers;
mod problem;
mod ring;

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use flags::{Flags, Names};
use hookwire::dispatch::{Dispatcher, Outbox, Relay, Wake};
use hookwire::manage::Service;
use hookwire::manage::axum::router;
use hookwire::store::Retention;
use hookwire::store::postgres::{PostgresNotifications, PostgresStore};
use hookwire::store::sqlite::SqliteStore;
use hookwire::{AddressPolicy, Contract, HyperClient, KeyRing, MemoryStore, Records};
use keys::ApiKeys;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[tokio::main]
async fn main() -> ExitCode {
    let names = Names {
        needed: &["--listen", "--contract", "--api-key"],
        optional: &["--store", "--key-ring"],
        alone: &["--allow-loopback"],
        repeated: &["--api-key"],
    };
    flags::main(USAGE, names, Options::parse, run).await
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    match options.place.clone() {
        Place::Sqlite(file) => {
            let store = SqliteStore::open(file).await?;
            let ended = serve(options, store.clone(), None).await;
            store.close().await;
            ended
        }
        Place::Postgres(url) => {
            let store = PostgresStore::connect(&url).await?;
            let ended = serve(options, store.clone(), Some(store.notifications())).await;
            store.close().await;
            ended
        }
        Place::Memory => serve(options, MemoryStore::new(), None).await,
    }
}

async fn serve<S: Records + 'static>(
    options: Options,
    store: S,
    notifications: Option<PostgresNotifications>,
) -> Result<(), Box<dyn Error>> {
    let Options { listen, contract, keys, addresses, ring, .. } = options;
    let store = Arc::new(store);
    let (client, wake) = (HyperClient::new(), Wake::new());
    let mut dispatcher = Dispatcher::new(Arc::clone(&store), client.clone(), contract.clone())
        .with_address_policy(addresses.clone())
        .with_wake(&wake)
        .with_lease(LEASE)
        .with_drain_deadline(GRACE)
        .with_retention(Retention::new().with_payloads(KEPT).with_attempts(KEPT).with_deliveries(KEPT));
    let mut service = Service::new(Arc::clone(&store), contract.clone())
        .with_address_policy(addresses)
        .with_client(client)
        .with_wake(&wake);
    if let Some(ring) = &ring {
        dispatcher = dispatcher.with_key_ring(Arc::clone(ring));
        service = service.with_key_ring(Arc::clone(ring));
    }
    let outbox = Outbox::new(Arc::clone(&store), contract.clone()).with_wake(&wake);
    let events = Arc::new(events::Events::new(Arc::clone(&store), outbox, contract)?);
    let app = router(service)
        .route("/v1/events", post(events::emit::<S>).with_state(events))
        .layer(from_fn_with_state(Arc::new(keys), keys::authenticate))
        .route("/healthz", get(health::health::<S>).with_state(Arc::clone(&store)))
        .route("/metrics", get(numbers::numbers).with_state(numbers::install()?))
        .fallback(problem::not_found);

    let listener = TcpListener::bind(&listen).await?;
    let (end, ended) = watch::channel(false);
    let ending = ending::ending()?;
    tokio::spawn(async move {
        ending.await;
        end.send_replace(true);
    });
    eprintln!("listening on http://{}/", listener.local_addr()?);
    // What the dispatcher warns of, with the delivery that it is about: dead letters, disabled endpoints, a store that does not answer.
    let told_of = Targets::new().with_default(LevelFilter::WARN).with_target("hookwire", LevelFilter::INFO);
    tracing_subscriber::registry().with(layer().with_writer(io::stderr)).with(told_of).init();

    if let Some(ring) = ring {
        tokio::spawn(ring::reseal(ring, store));
    }
    if let Some(notifications) = notifications {
        let (relay, ended) = (Relay::new(notifications, &wake), ended.clone());
        tokio::spawn(async move { relay.run(told(ended)).await });
    }
    let delivering = tokio::spawn({
        let ended = ended.clone();
        async move { dispatcher.run(told(ended)).await }
    });
    let delivering = async { delivering.await.map_err(Box::<dyn Error>::from) };
    let serving = async {
        let late = async {
            told(ended.clone()).await;
            sleep(GRACE).await;
        };
        tokio::select! {
            served = async { axum::serve(listener, app).with_graceful_shutdown(told(ended.clone())).await } => {
                served.map_err(Box::<dyn Error>::from)
            }
            // Somebody has connected and says nothing.
            () = late => Ok(()),
        }
    };
    // A program that takes events and delivers none, or the other way round, is none to keep.
    tokio::try_join!(serving, delivering)?;
    Ok(())
}

/// Ready when the program is to end.
async fn told(mut ended: watch::Receiver<bool>) {
    // Nobody is left to tell once the channel is closed.
    let _ = ended.wait_for(|ended| *ended).await;
}

struct Options {
    listen: String,
    contract: Contract,
    keys: ApiKeys,
    place: Place,
    addresses: AddressPolicy,
    ring: Option<Arc<KeyRing>>,
}

impl Options {
    fn parse(flags: &Flags) -> Result<Self, Box<dyn Error>> {
        let addresses = match flags.get("--allow-loopback") {
            Some(_) => AddressPolicy::new().allow_loopback().allow_plain_http(),
            None => AddressPolicy::new(),
        };
        Ok(Self {
            listen: flags.needed("--listen").to_owned(),
            contract: flags.needed("--contract").parse()?,
            keys: ApiKeys::parse(flags.all("--api-key"))?,
            place: Place::parse(flags.get("--store").unwrap_or(DEFAULT_STORE))?,
            addresses,
            ring: flags.get("--key-ring").map(ring::read).transpose()?.map(Arc::new),
        })
    }
}

/// Where everything is kept.
#[derive(Clone)]
enum Place {
    Sqlite(String),
    Postgres(String),
    Memory,
}

impl Place {
    /// The URL may hold a password, so no error repeats it.
    fn parse(text: &str) -> Result<Self, &'static str> {
        match text.split_once(':') {
            _ if text == "memory" => Ok(Self::Memory),
            Some(("sqlite", file)) if !file.is_empty() => {
                Ok(Self::Sqlite(file.strip_prefix("//").unwrap_or(file).to_owned()))
            }
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
                Ok(Self::Postgres(text.to_owned()))
            }
            _ => Err("--store is none of sqlite:FILE, postgres://.. and memory"),
        }
    }
}

const USAGE: &str = "\
usage: sender --listen ADDR --contract NAME --api-key KEY=ORG [--api-key ..] [--store PLACE] [--key-ring FILE] [--allow-loopback]

  --listen ADDR      such as 127.0.0.1:8080; port 0 takes a free one and says which
  --contract NAME    allison, allo, allo_v1, nectar_desk, recept_ai or standard_webhooks
  --api-key KEY=ORG  requests with `Authorization: Bearer KEY` act for the organization ORG; KEY=ORG:read may only look
  --store PLACE      sqlite:FILE, postgres://.. (several senders may share it) or memory; sqlite:sender.db in this folder, if not given
  --key-ring FILE    lines of an id and 32 bytes in base64: the first key seals the secrets in the store, each of them opens;
                     without it they are there in the clear
  --allow-loopback   for development: endpoints may be on this machine, and plain http
";

const DEFAULT_STORE: &str = "sqlite:sender.db";
/// How long what a killed sender was sending waits for another. While one runs, it extends its leases.
const LEASE: Duration = Duration::from_secs(10);
/// How long an end in order may take: less than the half minute after which service managers kill.
const GRACE: Duration = Duration::from_secs(20);
/// How long what has ended can be looked at and replayed, and its event's id stays taken.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
