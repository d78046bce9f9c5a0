//! Faults on this side: which ones slow down all sending, and that no endpoint, name server or customer can
//! cause one of those.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hookwire::allison::CallEnded;
use hookwire::dispatch::{AttemptEvent, Dispatcher, FaultEvent, FaultKind, FaultScope, Observer, Outbox};
use hookwire::subscription::{Authentication, TokenSource};
use hookwire::transport::OwnFault;
use hookwire::transport::hyper::Resolve;
use hookwire::{
    Contract, DeliveryState, EndpointUrl, Envelope, ErrorClass, EventFilter, Exchange, HttpClient,
    HyperClient, Limits, MemoryStore, Secret, Subscription, SubscriptionId, Subscriptions, TransportError,
};
use http::{Request, Response};
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::net::TcpListener;

use crate::endpoint::{Endpoint, loopback};
use crate::stores::deliveries;

const NOON: OffsetDateTime = datetime!(2026-04-17 12:00 UTC);
const SECOND: Duration = Duration::from_secs(1);

/// A store, and the faults that its dispatchers met.
struct Scene {
    store: Arc<MemoryStore>,
    contract: Contract,
    heard: Heard,
}

impl Scene {
    fn new() -> Self {
        Self { store: Arc::new(MemoryStore::new()), contract: Contract::allison(), heard: Heard::default() }
    }

    async fn subscribe(&self, organization: &str, url: &str) -> SubscriptionId {
        let url = EndpointUrl::parse(url, &loopback()).unwrap();
        let subscription = Subscription::new(organization, &self.contract, url, EventFilter::all())
            .with_secret(Secret::from_random([7; 32]));
        self.store.put(&subscription).await.unwrap();
        subscription.id
    }

    async fn emit(&self, organization: &str, now: OffsetDateTime) {
        let outbox = Outbox::new(Arc::clone(&self.store), self.contract.clone()).with_clock(move || now);
        outbox.emit(organization, &Envelope::new(CallEnded::new("c1"))).await.unwrap();
    }

    fn dispatcher(&self, client: impl HttpClient + 'static) -> Dispatcher {
        Dispatcher::new(Arc::clone(&self.store), client, self.contract.clone())
            .with_address_policy(loopback())
            .with_observer(self.heard.clone())
    }

    /// The states of an organization's deliveries, with the numbers of their attempts.
    async fn states(&self, organization: &str, id: SubscriptionId) -> Vec<(DeliveryState, u32)> {
        let all = deliveries(&*self.store, organization, id).await;
        all.iter().map(|delivery| (delivery.state, delivery.attempts)).collect()
    }

    fn faults(&self) -> Vec<(FaultScope, FaultKind)> {
        std::mem::take(&mut *self.heard.0.lock().unwrap())
    }
}

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(FaultScope, FaultKind)>>>);

impl Observer for Heard {
    fn own_fault(&self, fault: &FaultEvent<'_>) {
        self.0.lock().unwrap().push((fault.scope, fault.kind));
    }

    fn attempt_failed(&self, event: &AttemptEvent<'_>) {
        assert!(!event.attempt.outcome.to_string().is_empty());
    }
}

/// Steps as long as there is work at `now`.
async fn drain(dispatcher: &Dispatcher, now: OffsetDateTime) -> (usize, usize, usize) {
    let mut sum = (0, 0, 0);
    loop {
        let step = dispatcher.step(now).await.unwrap();
        sum = (sum.0 + step.delivered, sum.1 + step.retried + step.dead, sum.2 + step.kept_back);
        if step.next_due != Some(Duration::ZERO) {
            return sum;
        }
    }
}

/// A name server for several zones: those that begin with `silent` never answer.
#[derive(Clone)]
struct Zones;

impl Resolve for Zones {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        match host.split('-').next() {
            Some("silent") => Err(io::Error::new(io::ErrorKind::TimedOut, "no server answered")),
            Some("missing") => Err(io::Error::new(io::ErrorKind::NotFound, "no such name")),
            _ => Ok(vec![IpAddr::from([127, 0, 0, 1])]),
        }
    }
}

fn resolving() -> HyperClient {
    HyperClient::builder().with_resolver(Zones).build().unwrap()
}

fn named(host: &str, endpoint: &Endpoint) -> String {
    let url = endpoint.url();
    format!("http://{host}.example.com:{}/", url.uri().port_u16().unwrap())
}

#[tokio::test]
async fn a_customer_with_any_number_of_silent_names_slows_down_nobody() {
    let (scene, endpoint) = (Scene::new(), Endpoint::start([]).await);
    let mut silent = Vec::new();
    for number in 0..20 {
        silent.push(scene.subscribe("evil", &named(&format!("silent-{number}"), &endpoint)).await);
    }
    scene.subscribe("good", &named("fine", &endpoint)).await;
    let dispatcher = scene.dispatcher(resolving());
    for second in 0..10 {
        let now = NOON + second * SECOND;
        scene.emit("evil", now).await;
        scene.emit("good", now).await;
        let (delivered, _, kept_back) = drain(&dispatcher, now).await;
        assert_eq!((delivered, kept_back), (1, 0), "after {second} s");
    }
    assert_eq!(scene.faults(), []);
    // The names are the customer's, and so are the attempts.
    for id in silent {
        assert!(scene.states("evil", id).await.iter().any(|(_, attempts)| *attempts > 0));
    }
}

#[tokio::test]
async fn silent_names_of_many_organizations_hold_up_no_endpoint_that_answers() {
    let (scene, endpoint) = (Scene::new(), Endpoint::start([]).await);
    for number in 0..20 {
        scene.subscribe(&format!("evil_{number}"), &named(&format!("silent-{number}"), &endpoint)).await;
    }
    scene.subscribe("good", &named("fine", &endpoint)).await;
    let dispatcher = scene.dispatcher(resolving());
    scene.emit("good", NOON).await;
    assert_eq!(drain(&dispatcher, NOON).await.0, 1);
    for second in 1..60 {
        let now = NOON + second * SECOND;
        for number in 0..20 {
            scene.emit(&format!("evil_{number}"), now).await;
        }
        scene.emit("good", now).await;
        drain(&dispatcher, now).await;
    }
    // At worst it waits for the first look at whether names resolve.
    drain(&dispatcher, NOON + 60 * SECOND).await;
    assert_eq!(endpoint.requests().len(), 60);
}

#[tokio::test]
async fn a_resolver_that_is_silent_for_three_organizations_costs_no_more_attempts() {
    /// Silent until it is mended.
    #[derive(Clone, Default)]
    struct Broken(Arc<Mutex<bool>>);

    impl Resolve for Broken {
        async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            match *self.0.lock().unwrap() {
                true => Ok(vec![IpAddr::from([127, 0, 0, 1])]),
                false => Err(io::Error::new(io::ErrorKind::TimedOut, "no server answered")),
            }
        }
    }

    let (scene, endpoint, resolver) = (Scene::new(), Endpoint::start([]).await, Broken::default());
    let mut all = Vec::new();
    for number in 0..10 {
        let organization = format!("org_{number}");
        let id = scene.subscribe(&organization, &named(&organization.replace('_', "-"), &endpoint)).await;
        scene.emit(&organization, NOON).await;
        all.push((organization, id));
    }
    let client = HyperClient::builder().with_resolver(resolver.clone()).build().unwrap();
    let dispatcher = scene.dispatcher(client);
    let mut now = NOON;
    while now < NOON + 3_600 * SECOND {
        let step = dispatcher.step(now).await.unwrap();
        assert_eq!((step.delivered, step.dead), (0, 0));
        now += step.next_due.unwrap().max(SECOND);
    }
    let mut attempts = 0;
    for (organization, id) in &all {
        attempts += scene.states(organization, *id).await[0].1;
    }
    assert!(attempts <= 2, "{attempts} attempts were spent before three organizations had met it");
    assert!(scene.faults().iter().all(|fault| *fault == (FaultScope::Process, FaultKind::Resolver)));
    *resolver.0.lock().unwrap() = true;
    for _ in 0..2_000 {
        if endpoint.requests().len() == all.len() {
            break;
        }
        now += dispatcher.step(now).await.unwrap().next_due.unwrap_or_default();
    }
    assert_eq!(endpoint.requests().len(), all.len());
}

/// A client that lacks something until it is mended, and then answers 200.
#[derive(Clone)]
struct Lacking {
    fault: OwnFault,
    /// The host whose requests fail, or all.
    host: Option<&'static str>,
    is_mended: Arc<Mutex<bool>>,
    asked: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Lacking {
    fn new(fault: OwnFault, host: Option<&'static str>) -> Self {
        Self { fault, host, is_mended: Arc::default(), asked: Arc::default() }
    }
}

impl HttpClient for Lacking {
    async fn send(&self, request: Request<Bytes>, _: &Limits) -> Result<Exchange, TransportError> {
        let host = request.uri().host().unwrap().to_owned();
        *self.asked.lock().unwrap().entry(host.clone()).or_default() += 1;
        if *self.is_mended.lock().unwrap() || self.host.is_some_and(|lacking| lacking != host) {
            return Ok(Exchange::new(Response::new(Bytes::new())));
        }
        Err(TransportError::new(ErrorClass::Internal, "no socket").with_own_fault(self.fault))
    }
}

#[tokio::test]
async fn without_descriptors_sending_slows_down_and_no_attempt_is_spent() {
    let scene = Scene::new();
    let mut all = Vec::new();
    for number in 0..50 {
        let organization = format!("org_{number}");
        let id = scene.subscribe(&organization, &format!("https://e{number}.example.com/")).await;
        for _ in 0..4 {
            scene.emit(&organization, NOON).await;
        }
        all.push((organization, id));
    }
    let client = Lacking::new(OwnFault::Descriptors, None);
    let dispatcher = scene.dispatcher(client.clone());
    let first = dispatcher.step(NOON).await.unwrap();
    assert_eq!((first.kept_back, first.retried, first.delivered), (50, 0, 0), "those that had begun");
    assert_eq!(first.next_due, Some(SECOND));
    let (mut now, mut turns) = (NOON, 0);
    while now < NOON + 600 * SECOND {
        let step = dispatcher.step(now).await.unwrap();
        assert_eq!((step.retried, step.dead, step.delivered), (0, 0, 0));
        assert!(step.kept_back <= 8, "a few at a time");
        let wait = step.next_due.unwrap();
        assert!(wait >= SECOND, "no loop is faster");
        (now, turns) = (now + wait, turns + 1);
    }
    assert!((50..=600).contains(&turns), "{turns} turns in 10 minutes");
    for (organization, id) in &all {
        assert_eq!(scene.states(organization, *id).await, [(DeliveryState::Pending, 0); 4]);
    }
    assert!(scene.faults().iter().all(|fault| *fault == (FaultScope::Process, FaultKind::Descriptors)));
    *client.is_mended.lock().unwrap() = true;
    let mut delivered = 0;
    let mended = now;
    while delivered < 200 {
        let step = dispatcher.step(now).await.unwrap();
        delivered += step.delivered;
        now += step.next_due.unwrap_or_default();
        assert!(now <= mended + 310 * SECOND, "{delivered} delivered");
    }
    for (organization, id) in &all {
        assert_eq!(scene.states(organization, *id).await, [(DeliveryState::Delivered, 1); 4]);
    }
}

#[tokio::test]
async fn an_endpoint_that_uses_up_its_ports_slows_down_nobody_else() {
    let scene = Scene::new();
    let busy = scene.subscribe("busy", "https://busy.example.com/").await;
    scene.subscribe("calm", "https://calm.example.com/").await;
    let dispatcher = scene.dispatcher(Lacking::new(OwnFault::Ports, Some("busy.example.com")));
    for second in 0..30 {
        let now = NOON + second * SECOND;
        scene.emit("busy", now).await;
        scene.emit("calm", now).await;
        assert_eq!(drain(&dispatcher, now).await.0, 1, "after {second} s");
    }
    assert!(scene.states("busy", busy).await.iter().all(|state| *state == (DeliveryState::Pending, 0)));
    assert!(scene.faults().iter().all(|fault| *fault == (FaultScope::Subscription, FaultKind::Ports)));
}

#[tokio::test]
async fn what_endpoints_do_is_their_own_fault_and_slows_down_nobody() {
    let (scene, endpoint) = (Scene::new(), Endpoint::start([]).await);
    let refused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let resets = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = resets.local_addr().unwrap();
    tokio::spawn(async move { while resets.accept().await.is_ok() {} });
    let plain = endpoint.url().uri().port_u16().unwrap();
    let urls = [
        named("missing-1", &endpoint),
        format!("http://{refused}/"),
        format!("http://{address}/"),
        // TLS against a server that speaks plain HTTP.
        format!("https://127.0.0.1:{plain}/"),
    ];
    let mut bad = Vec::new();
    for (number, url) in (0..).zip(urls.iter().cycle().take(12)) {
        let organization = format!("bad_{number}");
        bad.push((organization.clone(), scene.subscribe(&organization, url).await));
    }
    scene.subscribe("good", &named("fine", &endpoint)).await;
    let dispatcher = scene.dispatcher(resolving());
    for second in 0..3 {
        let now = NOON + second * SECOND;
        for (organization, _) in &bad {
            scene.emit(organization, now).await;
        }
        scene.emit("good", now).await;
        let (delivered, _, kept_back) = drain(&dispatcher, now).await;
        assert_eq!((delivered, kept_back), (1, 0));
    }
    assert_eq!(scene.faults(), []);
    for (organization, id) in bad {
        assert!(scene.states(&organization, id).await.iter().any(|(_, attempts)| *attempts == 1));
    }
}

/// A source that gives each customer's token in another way.
struct Tokens(BTreeMap<SubscriptionId, &'static str>);

impl TokenSource for Tokens {
    async fn token(&self, subscription: SubscriptionId) -> Result<Secret, Box<dyn StdError + Send + Sync>> {
        match self.0.get(&subscription) {
            Some(&"hangs") => std::future::pending().await,
            // Without the panic hook, whose backtrace may take longer than the time-out.
            Some(&"panics") => std::panic::resume_unwind(Box::new("a fault of the source's own")),
            Some(&"errs") => Err("no".into()),
            Some(token) => Ok(token.parse()?),
            None => Ok("token".parse()?),
        }
    }
}

#[tokio::test]
async fn a_customers_secrets_and_tokens_concern_that_customer_alone() {
    let (mut scene, endpoint) = (Scene::new(), Endpoint::start([]).await);
    scene.contract = Contract::allison().with_timeout(Duration::from_millis(50));
    let url = endpoint.url().to_string();
    let with_token = async |organization: &str| {
        let id = scene.subscribe(organization, &url).await;
        let mut subscription = hookwire::Store::subscription(&scene.store, id).await.unwrap().unwrap();
        let bearer = Authentication::BearerFromSource;
        subscription.options = subscription.options.with_authentication(bearer).unwrap();
        scene.store.put(&subscription).await.unwrap();
        id
    };
    let mut tokens = BTreeMap::new();
    for kind in ["hangs", "panics", "errs", "line\nbreak"] {
        tokens.insert(with_token(kind).await, kind);
    }
    with_token("good").await;
    let bad: Vec<_> = tokens.iter().map(|(id, kind)| ((*kind).to_owned(), *id)).collect();
    let dispatcher = scene.dispatcher(HyperClient::new()).with_token_source(Tokens(tokens));
    for second in 0..8 {
        let now = NOON + second * SECOND;
        for (organization, _) in &bad {
            scene.emit(organization, now).await;
        }
        scene.emit("good", now).await;
        assert_eq!(drain(&dispatcher, now).await.0, 1, "after {second} s");
        let faults = scene.faults();
        assert!(faults.iter().all(|(scope, _)| *scope == FaultScope::Subscription), "{faults:?}");
        // One delivery of each is tried, after 1, 2 and 4 seconds.
        let tried = if [0, 1, 3, 7].contains(&second) { 4 } else { 0 };
        assert_eq!(faults.len(), tried, "after {second} s");
    }
    assert_eq!(endpoint.requests().len(), 8);
    for (organization, id) in bad {
        let states = scene.states(&organization, id).await;
        assert!(states.iter().all(|state| *state == (DeliveryState::Pending, 0)), "{organization}");
    }
}
