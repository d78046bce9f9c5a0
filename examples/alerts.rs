//! Alerts: an observer that posts to a chat when an endpoint keeps failing, is disabled or recovers, and for
//! each dead letter.
//!
//! ```text
//! cargo run --example alerts --features dispatch,hyper,sqlite
//! ```
//!
//! One process with real parts: a SQLite file in a temporary folder, real HTTP on loopback to two endpoints
//! and to the chat's webhook. More than a day passes in a second, because `Dispatcher::step` takes the time
//! as an argument.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::routing::post;
use axum::{Router, body::Bytes};
use hookwire::allison::CallEnded;
use hookwire::dispatch::{AttemptEvent, Dispatcher, Observer, Outbox};
use hookwire::store::sqlite::SqliteStore;
use hookwire::{
    AddressPolicy, Contract, DeadReason, DisabledReason, EndpointUrl, Envelope, EventFilter, HttpClient,
    HyperClient, Limits, Secret, Subscription, SubscriptionId, Subscriptions,
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let world = Arc::new(World::default());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}", listener.local_addr()?);
    let app = Router::new()
        .route("/acme", post(acme))
        .route("/globex", post(globex))
        .route("/chat", post(chat))
        .with_state(Arc::clone(&world));
    tokio::spawn(async move { axum::serve(listener, app).await });

    let folder = tempfile::tempdir()?;
    let store = Arc::new(SqliteStore::open(folder.path().join("alerts.db")).await?);
    let policy = AddressPolicy::new().allow_loopback().allow_plain_http();
    let mut names = BTreeMap::new();
    for (path, name) in [("/acme", "Acme"), ("/globex", "Globex")] {
        let url = EndpointUrl::parse(&format!("{base}{path}"), &policy)?;
        let subscription = Subscription::new("org_1", &Contract::allison(), url, EventFilter::all())
            .with_secret(Secret::generate());
        store.put(&subscription).await?;
        names.insert(subscription.id, name);
    }

    let (alerts, told) = mpsc::unbounded_channel();
    let limits = Limits::new(Duration::from_secs(10)).with_addresses(policy.clone());
    let posting = tokio::spawn(post_alerts(told, format!("{base}/chat"), limits));
    let dispatcher = Dispatcher::new(Arc::clone(&store), HyperClient::new(), Contract::allison())
        .with_address_policy(policy)
        .with_failing_thresholds([HOUR, 24 * HOUR])
        .with_observer(Alerts { names, alerts });
    let outbox = Outbox::new(Arc::clone(&store), Contract::allison());

    println!(
        "Acme's endpoint answers 500 until somebody repairs it; Globex's is gone after its first answer."
    );
    outbox.emit("org_1", &Envelope::new(CallEnded::new("5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11"))).await?;
    let mut now = deliver(&dispatcher, OffsetDateTime::now_utc()).await?;

    world.is_repaired.store(true, Ordering::Relaxed);
    outbox.emit("org_1", &Envelope::new(CallEnded::new("8c1d9f44-6a57-4b7b-8a34-2b1f0c0d5e02"))).await?;
    now += HOUR;
    deliver(&dispatcher, now).await?;

    // Dropping the dispatcher drops its observer, which closes the channel of alerts.
    drop(dispatcher);
    let posted = posting.await?;
    let seen = world.alerts.load(Ordering::Relaxed);
    println!("{posted} alerts were posted, and the chat has seen {seen}");
    if posted == seen { Ok(()) } else { Err("an alert was lost".into()) }
}

/// Steps from due time to due time until no work is left. Returns the time of the last step.
async fn deliver(dispatcher: &Dispatcher, mut now: OffsetDateTime) -> Result<OffsetDateTime, Box<dyn Error>> {
    while let Some(wait) = dispatcher.step(now).await?.next_due {
        now += wait;
    }
    Ok(now)
}

/// Makes alerts of the dispatcher's events. The dispatcher's own task calls its methods, so they only pass
/// the text on.
struct Alerts {
    names: BTreeMap<SubscriptionId, &'static str>,
    alerts: mpsc::UnboundedSender<String>,
}

impl Alerts {
    fn tell(&self, subscription: SubscriptionId, what: impl std::fmt::Display) {
        let name = self.names.get(&subscription).copied().unwrap_or("an endpoint without a name");
        // The receiver is gone when the program ends.
        let _ = self.alerts.send(format!("{name} {what}"));
    }
}

impl Observer for Alerts {
    fn failing(&self, subscription: SubscriptionId, _: OffsetDateTime, threshold: Duration) {
        self.tell(subscription, format_args!("has failed for more than {} h", threshold.as_secs() / 3600));
    }

    fn given_up(&self, event: &AttemptEvent<'_>, reason: DeadReason) {
        let (event_type, attempt) = (event.event_type, event.attempt.number);
        let what =
            format_args!("was not given a {event_type}: {reason:?} at attempt {attempt}; it can be replayed");
        self.tell(event.subscription, what);
    }

    fn disabled(&self, subscription: SubscriptionId, reason: DisabledReason) {
        self.tell(subscription, format_args!("is disabled: {}", reason.as_str()));
    }

    fn recovered(&self, subscription: SubscriptionId, failing_since: OffsetDateTime) {
        self.tell(subscription, format_args!("has recovered; it had failed since {}", failing_since.date()));
    }
}

/// Posts one alert after the other and returns how many the chat accepted.
async fn post_alerts(mut told: mpsc::UnboundedReceiver<String>, hook: String, limits: Limits) -> u32 {
    let client = HyperClient::new();
    let mut posted = 0;
    while let Some(text) = told.recv().await {
        let request = Request::post(&hook).header("content-type", "application/json");
        let Ok(request) = request.body(Bytes::from(json!({ "text": text }).to_string())) else { continue };
        match client.send(request, &limits).await {
            Ok(exchange) if exchange.response.status().is_success() => posted += 1,
            Ok(exchange) => eprintln!("the chat answered {}: {text}", exchange.response.status()),
            Err(error) => eprintln!("the chat was not reached, {error}: {text}"),
        }
    }
    posted
}

/// The state of the customers' endpoints and of the chat.
#[derive(Default)]
struct World {
    is_repaired: AtomicBool,
    is_gone: AtomicBool,
    alerts: AtomicU32,
}

async fn acme(State(world): State<Arc<World>>) -> StatusCode {
    match world.is_repaired.load(Ordering::Relaxed) {
        true => StatusCode::OK,
        false => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

async fn globex(State(world): State<Arc<World>>) -> StatusCode {
    match world.is_gone.swap(true, Ordering::Relaxed) {
        true => StatusCode::GONE,
        false => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn chat(State(world): State<Arc<World>>, body: Bytes) -> StatusCode {
    let Ok(message) = serde_json::from_slice::<Value>(&body) else { return StatusCode::BAD_REQUEST };
    world.alerts.fetch_add(1, Ordering::Relaxed);
    println!("chat: {}", message["text"].as_str().unwrap_or_default());
    StatusCode::OK
}

const HOUR: Duration = Duration::from_secs(3600);
