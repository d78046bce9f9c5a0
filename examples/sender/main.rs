//! The sending side as a program: callers manage subscriptions over HTTP and emit events, and a dispatcher
//! delivers them.
//!
//! ```text
//! cargo run --example sender --features full -- \
//!     --listen 127.0.0.1:8080 --contract allison --api-key "$API_KEY=acme"
//! ```
//!
//! A caller with an API key manages its organization's subscriptions under `/v1/webhook-subscriptions`, with
//! the routes of `hookwire::manage::axum`, and emits events by `POST /v1/events`. A dispatcher runs in the
//! same process. Any number of these programs may share one PostgreSQL; if one of them is killed, the others
//! send its deliveries.
//!
//! `GET /healthz` says whether the store answers, and `GET /metrics` is for Prometheus; both need no key.
//! SIGTERM or ctrl-c ends the program in order: it accepts no more connections, answers the open requests,
//! waits for the attempts under way, and leaves the other deliveries in the store.

#[path = "../shared/ending.rs"]
mod ending;
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
use axum::routing::get;
use flags::{Flags, Names};
use hookwire::dispatch::{Dispatcher, Relay, Wake};
use hookwire::manage::Service;
use hookwire::manage::axum::Routes;
use hookwire::store::Retention;
use hookwire::store::postgres::{PostgresNotifications, PostgresStore};
use hookwire::store::sqlite::SqliteStore;
use hookwire::{
    AddressPolicy, Contract, HyperClient, KeyRing, MemoryStore, Pruning, Records, Store, Subscriptions,
};
use keys::ApiKeys;
use serde_json::json;
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
        optional: &["--store", "--key-ring", "--allow-network"],
        alone: &["--allow-loopback"],
        repeated: &["--api-key", "--contract", "--allow-network"],
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

async fn serve<S: Store + Subscriptions + Records + Pruning + 'static>(
    options: Options,
    store: S,
    notifications: Option<PostgresNotifications>,
) -> Result<(), Box<dyn Error>> {
    let Options { listen, contracts: (first, others), keys, addresses, ring, .. } = options;
    let store = Arc::new(store);
    ring::check(ring.as_deref(), &*store).await?;
    let (client, wake) = (HyperClient::new(), Wake::new());
    let mut dispatcher = Dispatcher::new(Arc::clone(&store), client.clone(), first.clone())
        .with_address_policy(addresses.clone())
        .with_wake(&wake)
        .with_lease(LEASE)
        .with_drain_deadline(GRACE)
        .with_retention(
            store.clone(),
            Retention::new().with_payloads(KEPT).with_attempts(KEPT).with_deliveries(KEPT),
        );
    let mut service = Service::new(Arc::clone(&store), first.clone())
        .with_address_policy(addresses)
        .with_client(client)
        .with_wake(&wake);
    for contract in &others {
        dispatcher = dispatcher.with_contract(contract.clone())?;
        service = service.with_contract(contract.clone())?;
    }
    if let Some(ring) = &ring {
        dispatcher = dispatcher.with_key_ring(Arc::clone(ring));
        service = service.with_key_ring(Arc::clone(ring));
    }
    let numbers = (numbers::install()?, Arc::clone(&store));
    let routes = Routes::new(service)
        .with_title("Webhook sender")
        .with_server("/")
        .with_security_scheme("key", json!({"type": "http", "scheme": "bearer"}))
        .with_emitting()?;
    let app = routes
        .into_router()
        .layer(from_fn_with_state(Arc::new(keys), keys::authenticate))
        .route("/healthz", get(health::health::<S>).with_state(Arc::clone(&store)))
        .route("/metrics", get(numbers::numbers::<S>).with_state(numbers))
        .fallback(problem::not_found);

    let listener = TcpListener::bind(&listen).await?;
    let (end, ended) = watch::channel(false);
    let ending = ending::ending()?;
    tokio::spawn(async move {
        ending.await;
        end.send_replace(true);
    });
    eprintln!("listening on http://{}/", listener.local_addr()?);
    // The dispatcher warns of dead letters, disabled endpoints and a store that does not answer.
    let shown = Targets::new().with_default(LevelFilter::WARN).with_target("hookwire", LevelFilter::INFO);
    tracing_subscriber::registry().with(layer().with_writer(io::stderr)).with(shown).init();

    if let Some(ring) = ring {
        tokio::spawn(ring::reseal(ring, store));
    }
    if let Some(notifications) = notifications {
        let (relay, ended) = (Relay::new(notifications, &wake), ended.clone());
        tokio::spawn(async move { relay.run(end_of(ended)).await });
    }
    let delivering = tokio::spawn({
        let ended = ended.clone();
        async move { dispatcher.run(end_of(ended)).await }
    });
    let delivering = async { delivering.await.map_err(Box::<dyn Error>::from) };
    let serving = async {
        let late = async {
            end_of(ended.clone()).await;
            sleep(GRACE).await;
        };
        tokio::select! {
            served = async { axum::serve(listener, app).with_graceful_shutdown(end_of(ended.clone())).await } => {
                served.map_err(Box::<dyn Error>::from)
            }
            // An idle connection does not delay the end any longer.
            () = late => Ok(()),
        }
    };
    // If either of them fails, the program ends.
    tokio::try_join!(serving, delivering)?;
    Ok(())
}

/// Waits until the program is to end.
async fn end_of(mut ended: watch::Receiver<bool>) {
    // A closed channel means the end too.
    let _ = ended.wait_for(|ended| *ended).await;
}

struct Options {
    listen: String,
    /// The first one, which callers need not name, and the others.
    contracts: (Contract, Vec<Contract>),
    keys: ApiKeys,
    place: Place,
    addresses: AddressPolicy,
    ring: Option<Arc<KeyRing>>,
}

impl Options {
    fn parse(flags: &Flags) -> Result<Self, Box<dyn Error>> {
        let mut addresses = match flags.get("--allow-loopback") {
            Some(_) => AddressPolicy::new().allow_loopback().allow_plain_http(),
            None => AddressPolicy::new(),
        };
        for network in flags.all("--allow-network") {
            // Services of an own network seldom have certificates.
            addresses = addresses.allow_network(network)?.allow_plain_http();
        }
        let first = flags.needed("--contract").parse()?;
        let others = flags.all("--contract").skip(1).map(str::parse).collect::<Result<_, _>>()?;
        let mut names: Vec<_> = flags.all("--contract").collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("--contract names a contract twice".into());
        }
        Ok(Self {
            listen: flags.needed("--listen").to_owned(),
            contracts: (first, others),
            keys: ApiKeys::parse(flags.all("--api-key"))?,
            place: Place::parse(flags.get("--store").unwrap_or(DEFAULT_STORE))?,
            addresses,
            ring: flags.get("--key-ring").map(ring::read).transpose()?.map(Arc::new),
        })
    }
}

/// The place of the store.
#[derive(Clone)]
enum Place {
    Sqlite(String),
    Postgres(String),
    Memory,
}

impl Place {
    /// Reads a place. The URL may hold a password, so no error repeats it.
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
usage: sender --listen ADDR --contract NAME [--contract ..] --api-key KEY=ORG [--api-key ..] [--store PLACE] [--key-ring FILE] [--allow-loopback] [--allow-network CIDR ..]

  --listen ADDR      such as 127.0.0.1:8080; port 0 takes a free one and says which
  --contract NAME    allison, allo, allo_v1, nectar_desk, recept_ai or standard_webhooks; a subscription or an event with the
                     field `contract` names one of them, and without it means the first
  --api-key KEY=ORG  requests with `Authorization: Bearer KEY` act for the organization ORG; KEY=ORG:read may only look
  --store PLACE      sqlite:FILE, postgres://.. (several senders may share it) or memory; sqlite:sender.db in this folder, if not given
  --key-ring FILE    lines of an id and 32 bytes in base64: the first key seals the secrets in the store, each of them opens;
                     without it they are there in the clear
  --allow-loopback   for development: endpoints may be on this machine, and plain http
  --allow-network CIDR
                     endpoints may be in this network of your own, such as 10.20.0.0/16, and plain http; cloud metadata addresses never
";

const DEFAULT_STORE: &str = "sqlite:sender.db";
/// The time after which another sender takes over the deliveries of a killed one. A sender that runs extends
/// its leases.
const LEASE: Duration = Duration::from_secs(10);
/// The time that an orderly end may take: less than the 30 s after which service managers kill.
const GRACE: Duration = Duration::from_secs(20);
/// How long what has ended can be looked at and replayed, and its event's id stays taken.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
