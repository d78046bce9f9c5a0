//! A dispatcher between a store whose calls take time and endpoints of every kind, in paused time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use hookwire::dispatch::{Dispatcher, Outbox, Wake};
use hookwire::store::implement::NewEvent;
use hookwire::subscription::Health;
use hookwire::testing::TokioClock;
use hookwire::{
    AddressPolicy, Clock as _, Contract, DeliveryId, EndpointUrl, Envelope, ErrorClass, EventFilter,
    Exchange, HttpClient, Limits, MemoryStore, RawEvent, Secret, Store as _, Subscription, SubscriptionId,
    Subscriptions as _, TransportError,
};
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::watched_store::Watched;

pub(super) const NOON: OffsetDateTime = datetime!(2026-04-17 12:00 UTC);
pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// An endpoint's way to treat a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// Answers this status after this time.
    Answer(u16, Duration),
    /// Answers 503 at once, with this `Retry-After`.
    Busy(&'static str),
    /// Never answers.
    Hang,
    /// Refuses the connection.
    Refuse,
}

pub(super) const HEALTHY: Act = Act::Answer(200, Duration::from_millis(5));

/// A request as an endpoint saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) at: Instant,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

type Acts = dyn Fn(&str, usize) -> Act + Send + Sync;

/// All endpoints. The act of a request follows from its URL's path and its number at that path.
#[derive(Clone)]
pub(super) struct Endpoints {
    acts: Arc<Acts>,
    seen: Arc<Mutex<HashMap<String, Vec<Seen>>>>,
}

impl Endpoints {
    pub(super) fn new(acts: impl Fn(&str, usize) -> Act + Send + Sync + 'static) -> Self {
        Self { acts: Arc::new(acts), seen: Arc::default() }
    }

    /// The requests to a path.
    pub(super) fn seen(&self, path: &str) -> Vec<Seen> {
        self.log().get(path).cloned().unwrap_or_default()
    }

    fn log(&self) -> MutexGuard<'_, HashMap<String, Vec<Seen>>> {
        self.seen.lock().unwrap()
    }
}

impl HttpClient for Endpoints {
    async fn send(&self, request: http::Request<Bytes>, limits: &Limits) -> Result<Exchange, TransportError> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let number = {
            let mut log = self.log();
            let seen = log.entry(path.clone()).or_default();
            seen.push(Seen { at: Instant::now(), headers: head.headers, body });
            seen.len() - 1
        };
        match (self.acts)(&path, number) {
            Act::Answer(status, after) => {
                sleep(after).await;
                let mut response = http::Response::new(Bytes::new());
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                Ok(Exchange::new(response))
            }
            Act::Busy(wait) => {
                let mut response = http::Response::new(Bytes::new());
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(wait));
                Ok(Exchange::new(response))
            }
            Act::Hang => {
                sleep(limits.deadline).await;
                Err(TransportError::new(ErrorClass::Timeout, "the endpoint hangs"))
            }
            Act::Refuse => {
                sleep(MS).await;
                Err(TransportError::new(ErrorClass::Connect, "the endpoint refuses"))
            }
        }
    }
}

/// A store, an outbox and the endpoints, and a dispatcher while one runs.
pub(super) struct World {
    pub(super) store: Arc<MemoryStore>,
    pub(super) endpoints: Endpoints,
    pub(super) outbox: Outbox<Arc<MemoryStore>>,
    pub(super) clock: TokioClock,
    pub(super) contract: Contract,
    /// The longest time between two looks of the dispatcher.
    pub(super) poll: Duration,
    wake: Wake,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl World {
    pub(super) fn new(contract: Contract, endpoints: Endpoints) -> Self {
        let (store, wake, clock) = (Arc::new(MemoryStore::new()), Wake::new(), TokioClock::new(NOON));
        let outbox =
            Outbox::new(Arc::clone(&store), contract.clone()).with_wake(&wake).with_clock(clock.clone());
        Self { store, endpoints, outbox, clock, contract, poll: 5 * SECOND, wake, running: None }
    }

    pub(super) fn subscription(&self, organization: &str, path: &str) -> Subscription {
        let url = format!("https://hooks.example.com{path}");
        let url = EndpointUrl::parse(&url, &AddressPolicy::new()).unwrap();
        let subscription = Subscription::new(organization, &self.contract, url, EventFilter::all());
        if self.contract.scheme().is_none() {
            return subscription;
        }
        subscription.with_secret(Secret::generate())
    }

    pub(super) async fn subscribe(&self, organization: &str, path: &str) -> SubscriptionId {
        let subscription = self.subscription(organization, path);
        self.store.put(&subscription).await.unwrap();
        subscription.id
    }

    /// Subscribes an endpoint that has failed since an hour ago, as far as the store knows.
    pub(super) async fn subscribe_failing(&self, organization: &str, path: &str) -> SubscriptionId {
        let mut subscription = self.subscription(organization, path);
        subscription.health = Health::default().failed(NOON - 3_600 * SECOND, None);
        self.store.put(&subscription).await.unwrap();
        subscription.id
    }

    /// Leaves deliveries to a subscription that were due a minute ago.
    pub(super) async fn backlog(&self, subscription: SubscriptionId, organization: &str, events: usize) {
        let at = self.clock.now() - 60 * SECOND;
        let events: Vec<_> = (0..events)
            .map(|_| {
                let delivery = DeliveryId::generate();
                let id = format!("evt_{:032x}", delivery.as_u128()).parse().unwrap();
                let event_type = "call.ended".parse().unwrap();
                NewEvent::new(organization, &self.contract, id, event_type, Bytes::from_static(b"{}"), at)
                    .with_delivery(delivery, subscription)
            })
            .collect();
        self.store.insert(&events).await.unwrap();
    }

    pub(super) async fn emit(&self, organization: &str) -> String {
        self.emit_with(organization, serde_json::json!({})).await
    }

    pub(super) async fn emit_with(&self, organization: &str, data: serde_json::Value) -> String {
        let event_type = self.contract.catalogue().iter().next().map_or("call.ended", |kind| kind.name());
        let data = crate::contracts::promised(&self.contract, event_type, data);
        let mut envelope = Envelope::new(RawEvent::new(event_type, data).unwrap());
        envelope.created_at = self.clock.now().replace_nanosecond(0).unwrap();
        self.outbox.emit(organization, &envelope).await.unwrap();
        envelope.id.to_string()
    }

    /// Starts a dispatcher with default settings. Each claim takes the store 2 ms.
    pub(super) fn start(&mut self) {
        let store = Watched::new(Arc::clone(&self.store));
        store.claims_take(2 * MS);
        let dispatcher = Dispatcher::new(store, self.endpoints.clone(), self.contract.clone())
            .with_clock(self.clock.clone())
            .with_wake(&self.wake)
            .with_poll_interval(self.poll)
            .with_drain_deadline(MS);
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move { dispatcher.run(async { drop(stopped.await) }).await });
        self.running = Some((stop, task));
    }

    pub(super) async fn stop(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            drop(stop);
            task.await.unwrap();
        }
    }
}

/// The value below which this part of the values lies.
pub(super) fn quantile(values: &[Duration], part: f64) -> Duration {
    let mut values = values.to_vec();
    values.sort_unstable();
    values[((values.len() - 1) as f64 * part).ceil() as usize]
}
