//! Several contracts on one store, and changes that a contract makes to its subscriptions.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookwire::allison::CallEnded;
use hookwire::contract::{AutoDisable, Retryable, Rotation};
use hookwire::dispatch::{Dispatcher, Observer, Outbox};
use hookwire::event::Catalogue;
use hookwire::store::implement::{
    Claim, Claims, HealthWritten, Inserted, NewEvent, Poll, Polled, Settled, Settlement, StoreId, Subscribed,
};
use hookwire::store::{ContractBacklog, Lease};
use hookwire::subscription::Health;
use hookwire::testing::{RecordingClient, Reply};
use hookwire::{
    Contract, DeadReason, DeliveryId, DeliveryState, DisabledReason, EndpointUrl, Envelope, ErrorKind,
    EventFilter, MemoryStore, RawEvent, Records, RetryPolicy, Scheme, Secret, Store, StoreError,
    Subscription, SubscriptionId, SubscriptionStatus, Subscriptions,
};
use http::StatusCode;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::stores::deliveries;

const SECOND: Duration = Duration::from_secs(1);
const NOON: OffsetDateTime = datetime!(2026-04-17 12:00 UTC);

/// Allison's data under Standard Webhooks' headers.
fn acme() -> Contract {
    Contract::allison().with_name("acme").unwrap().with_scheme(Scheme::STANDARD_WEBHOOKS)
}

async fn subscribe(store: &MemoryStore, contract: &Contract) -> SubscriptionId {
    subscribe_at(store, contract, "in").await
}

async fn subscribe_at(store: &MemoryStore, contract: &Contract, path: &str) -> SubscriptionId {
    let url = EndpointUrl::from_storage(&format!("https://hooks.example.com/{path}")).unwrap();
    let subscription = Subscription::new("org_1", contract, url, EventFilter::all())
        .with_secret(Secret::from_random([7; 32]));
    store.put(&subscription).await.unwrap();
    subscription.id
}

fn outbox(store: &Arc<MemoryStore>, contract: &Contract) -> Outbox<Arc<MemoryStore>> {
    Outbox::new(Arc::clone(store), contract.clone()).with_clock(|| NOON)
}

/// An event of the first type that the contract publishes.
fn sample(contract: &Contract) -> Envelope<RawEvent> {
    let kind = contract.catalogue().iter().next().unwrap();
    Envelope::new(RawEvent::new(kind.name(), kind.sample()).unwrap())
}

/// `data`, with the fields of the sample where the sender promises fields.
pub(crate) fn promised(contract: &Contract, event_type: &str, data: Value) -> Value {
    let kind = contract.catalogue().find(event_type);
    let Some(kind) = kind.filter(|kind| kind.check_schema(&to_raw_value(&json!({})).unwrap()).is_err())
    else {
        return data;
    };
    let mut promised: Value = serde_json::from_str(kind.sample().get()).unwrap();
    let fields = data.as_object().unwrap().iter();
    promised.as_object_mut().unwrap().extend(fields.map(|(name, value)| (name.clone(), value.clone())));
    promised
}

#[tokio::test]
async fn an_event_goes_to_the_subscriptions_of_its_contract_in_whatever_version() {
    let (store, allison, acme) = (Arc::new(MemoryStore::new()), Contract::allison(), acme());
    let own = subscribe(&store, &allison).await;
    let other = subscribe(&store, &acme).await;
    let older = subscribe(&store, &acme.clone().with_version("v0").unwrap()).await;
    let envelope = Envelope::new(CallEnded::new("c1"));
    assert_eq!(outbox(&store, &allison).emit("org_1", &envelope).await.unwrap().deliveries, 1);
    let emitted = outbox(&store, &acme).emit("org_1", &envelope).await.unwrap();
    assert_eq!((emitted.deliveries, emitted.duplicate), (2, false), "the same id, and another contract");
    for (id, contract) in [(own, "allison/v1"), (other, "acme/v1"), (older, "acme/v1")] {
        let made = deliveries(&store, "org_1", id).await;
        assert_eq!(made.len(), 1);
        assert_eq!(made[0].contract.to_string(), contract);
    }
}

#[tokio::test]
async fn dispatchers_of_two_contracts_send_their_own_deliveries_alone() {
    let store = Arc::new(MemoryStore::new());
    let mut made = Vec::new();
    for contract in [Contract::allison(), acme()] {
        let subscription = subscribe(&store, &contract).await;
        let client = RecordingClient::new();
        let dispatcher = Dispatcher::new(Arc::clone(&store), client.clone(), contract.clone());
        made.push((contract, subscription, client, dispatcher));
    }
    for (contract, ..) in &made {
        outbox(&store, contract).emit("org_1", &Envelope::new(CallEnded::new("c1"))).await.unwrap();
    }
    for (number, (contract, subscription, client, dispatcher)) in made.iter().enumerate() {
        let step = dispatcher.step(NOON).await.unwrap();
        assert_eq!((step.delivered, step.next_due), (1, None), "{}", contract.name());
        let requests = client.recorded();
        assert_eq!(requests.len(), 1);
        let is_standard = requests[0].request.headers().contains_key("webhook-signature");
        assert_eq!(is_standard, contract.name() == "acme");
        assert_eq!(deliveries(&store, "org_1", *subscription).await[0].state, DeliveryState::Delivered);
        if number == 0 {
            let (_, other, ..) = &made[1];
            let left = &deliveries(&store, "org_1", *other).await[0];
            assert_eq!((left.state, left.attempts), (DeliveryState::Pending, 0), "it is left alone");
        }
    }
}

#[tokio::test]
async fn one_dispatcher_sends_each_delivery_under_its_own_contract() {
    let store = Arc::new(MemoryStore::new());
    let (allison, acme, open) = (Contract::allison(), acme(), Contract::nectar_desk());
    for contract in [&allison, &acme, &open] {
        subscribe_at(&store, contract, contract.name()).await;
        let emitted = outbox(&store, contract).emit("org_1", &sample(contract)).await.unwrap();
        assert_eq!(emitted.deliveries, 1);
    }
    let client = RecordingClient::new();
    let dispatcher = Dispatcher::new(Arc::clone(&store), client.clone(), allison.clone())
        .with_contract(acme.clone())
        .and_then(|dispatcher| dispatcher.with_contract(open.clone()))
        .unwrap();
    assert_eq!(dispatcher.step(NOON).await.unwrap().delivered, 3);
    let mut signed = Vec::new();
    for recorded in client.recorded() {
        let headers = recorded.request.headers();
        let name = recorded.request.uri().path().trim_start_matches('/').to_owned();
        let by = ["x-allison-signature", "webhook-signature"].map(|header| headers.contains_key(header));
        signed.push((name, by));
    }
    signed.sort();
    let expected = [("acme", [false, true]), ("allison", [true, false]), ("nectar_desk", [false, false])];
    assert_eq!(signed, expected.map(|(name, by)| (name.to_owned(), by)));
}

#[tokio::test]
async fn each_contract_decides_the_success_the_retries_and_the_disabling_of_its_deliveries() {
    let store = Arc::new(MemoryStore::new());
    let strict =
        Contract::nectar_desk().with_name("strict").unwrap().with_retryable(Retryable::FaultsAndServerErrors);
    let failing = acme()
        .with_success(410..=410)
        .with_auto_disable(AutoDisable::failing_for(Duration::ZERO))
        .with_disables_on_gone(false);
    let (one, two, three) = (
        subscribe(&store, &Contract::allison()).await,
        subscribe(&store, &strict).await,
        subscribe(&store, &failing).await,
    );
    for contract in [Contract::allison(), strict.clone(), failing.clone()] {
        outbox(&store, &contract).emit("org_1", &sample(&contract)).await.unwrap();
    }
    let client = RecordingClient::new().with_otherwise(Reply::status(StatusCode::GONE));
    let dispatcher = Dispatcher::new(Arc::clone(&store), client, Contract::allison())
        .with_contract(strict)
        .and_then(|dispatcher| dispatcher.with_contract(failing))
        .unwrap();
    dispatcher.step(NOON).await.unwrap();
    let mut ends = Vec::new();
    for id in [one, two, three] {
        let state = deliveries(&store, "org_1", id).await[0].state;
        ends.push((state, store.subscription(id).await.unwrap().unwrap().status));
    }
    let disabled = SubscriptionStatus::disabled(DisabledReason::Gone, NOON);
    let dead = DeliveryState::Dead;
    assert_eq!(
        ends,
        [
            (dead(DeadReason::Gone), disabled),
            (dead(DeadReason::Refused), SubscriptionStatus::Enabled),
            (DeliveryState::Delivered, SubscriptionStatus::Enabled),
        ]
    );
}

#[test]
fn contracts_of_one_name_with_different_terms_do_not_go_into_one_dispatcher() {
    let dispatcher = || Dispatcher::new(MemoryStore::new(), RecordingClient::new(), Contract::allison());
    let base = Contract::allison;
    let waits = RetryPolicy::delays([SECOND]).unwrap();
    for (term, contract) in [
        ("scheme", base().with_scheme(Scheme::STANDARD_WEBHOOKS)),
        ("scheme", base().with_scheme(None)),
        ("tolerance", base().with_tolerance(SECOND)),
        ("timeout", base().with_timeout(SECOND)),
        ("success", base().with_success(200..=200)),
        ("retry", base().with_retry(waits)),
        ("retryable", base().with_retryable(Retryable::FaultsAndServerErrors)),
        ("disables_on_gone", base().with_disables_on_gone(false)),
        ("auto_disable", base().with_auto_disable(None)),
        ("rotation", base().with_rotation(Rotation::Overlap(SECOND))),
        ("dedupe_window", base().with_dedupe_window(SECOND)),
        ("copy_window", base().with_copy_window(SECOND)),
    ] {
        let refused = dispatcher().with_contract(contract.clone()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Contract, "{term}");
        let text = refused.to_string();
        assert!(text.contains("`allison`") && text.contains(&format!("`{term}`")), "{text}");
        dispatcher().with_contract(contract.with_name("own").unwrap()).unwrap();
    }
    // Its data makes a version, not another contract.
    let data = base().with_version("v2").unwrap().with_catalogue(Catalogue::OPEN);
    dispatcher().with_contract(data).unwrap();
}

#[tokio::test]
async fn the_default_lease_outlasts_the_slowest_contract() {
    let (store, allison) = (Arc::new(MemoryStore::new()), Contract::allison());
    subscribe(&store, &allison).await;
    let patient = acme().with_timeout(Duration::from_secs(300));
    for (patient, lease, expected) in [
        (None, None, 40),
        (Some(patient.clone()), None, 330),
        // A lease that somebody set stays.
        (Some(patient), Some(Duration::from_secs(50)), 50),
    ] {
        outbox(&store, &allison).emit("org_1", &Envelope::new(CallEnded::new("c1"))).await.unwrap();
        let noting = Noting::default();
        let meddled = Meddled(Arc::clone(&store), noting.clone());
        let mut dispatcher = Dispatcher::new(meddled, RecordingClient::new(), allison.clone());
        if let Some(lease) = lease {
            dispatcher = dispatcher.with_lease(lease);
        }
        if let Some(patient) = patient {
            dispatcher = dispatcher.with_contract(patient).unwrap();
        }
        dispatcher.step(NOON).await.unwrap();
        assert_eq!(*noting.0.lock().unwrap(), [Duration::from_secs(expected)]);
    }
}

#[tokio::test]
async fn the_age_of_the_oldest_due_delivery_is_told_for_each_contract_of_the_dispatcher() {
    let store = Arc::new(MemoryStore::new());
    let (allison, acme, other) = (Contract::allison(), acme(), Contract::nectar_desk());
    for contract in [&allison, &other] {
        subscribe(&store, contract).await;
        outbox(&store, contract).emit("org_1", &sample(contract)).await.unwrap();
    }
    let ages = Ages::default();
    let dispatcher = Dispatcher::new(Arc::clone(&store), RecordingClient::new(), allison)
        .with_contract(acme)
        .unwrap()
        .with_observer(ages.clone());
    dispatcher.step(NOON + Duration::from_secs(9)).await.unwrap();
    let told = |name: &str, seconds| (name.to_owned(), Duration::from_secs(seconds));
    let before_and_after = [told("allison", 9), told("acme", 0), told("allison", 0), told("acme", 0)];
    assert_eq!(*ages.0.lock().unwrap(), before_and_after);
    // No dispatcher here has the third contract, and the records show it.
    let backlog = store.backlog_by_contract(NOON + Duration::from_secs(9)).await.unwrap();
    assert_eq!(backlog, [ContractBacklog::new("nectar_desk", 1, Duration::from_secs(9))]);
}

#[derive(Clone, Default)]
struct Ages(Arc<Mutex<Vec<(String, Duration)>>>);

impl Observer for Ages {
    fn oldest_due(&self, contract: &str, age: Duration) {
        self.0.lock().unwrap().push((contract.to_owned(), age));
    }
}

/// An operator enables the subscription again as soon as its health is written.
#[tokio::test]
async fn an_operators_change_after_the_disabling_is_not_undone() {
    let contract = Contract::allison().with_auto_disable(AutoDisable::failing_for(Duration::ZERO));
    let plain = Arc::new(MemoryStore::new());
    let id = subscribe(&plain, &contract).await;
    outbox(&plain, &contract).emit("org_1", &Envelope::new(CallEnded::new("c1"))).await.unwrap();
    let client = RecordingClient::new().with_otherwise(Reply::status(StatusCode::INTERNAL_SERVER_ERROR));
    let disabled = Arc::new(Mutex::new(Vec::new()));
    let store = Meddled(Arc::clone(&plain), Noting::default());
    let dispatcher = Dispatcher::new(store, client, contract).with_observer(Disabled(Arc::clone(&disabled)));
    assert_eq!(dispatcher.step(NOON).await.unwrap().retried, 1);
    let read = plain.subscription(id).await.unwrap().unwrap();
    assert_eq!((read.status, read.health), (SubscriptionStatus::Enabled, Health::default()));
    assert_eq!(*disabled.lock().unwrap(), [id], "the disabling itself is reported once");
}

struct Disabled(Arc<Mutex<Vec<SubscriptionId>>>);

impl Observer for Disabled {
    fn disabled(&self, subscription: SubscriptionId, _: DisabledReason) {
        self.0.lock().unwrap().push(subscription);
    }
}

struct Meddled(Arc<MemoryStore>, Noting);

/// The lease of each claim.
#[derive(Clone, Default)]
struct Noting(Arc<Mutex<Vec<Duration>>>);

impl Store for Meddled {
    fn id(&self) -> Option<StoreId> {
        self.0.id()
    }

    async fn subscriptions(&self, organization: &str) -> Result<Subscribed, StoreError> {
        self.0.subscriptions(organization).await
    }

    async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        self.0.subscription(id).await
    }

    async fn insert(&self, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        self.0.insert(events).await
    }

    async fn look(&self, poll: &Poll) -> Result<Polled, StoreError> {
        self.0.look(poll).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Claims, StoreError> {
        self.1.0.lock().unwrap().push(claim.lease);
        self.0.claim(claim).await
    }

    async fn extend(
        &self,
        leases: &[(DeliveryId, Lease)],
        lease: Duration,
        now: OffsetDateTime,
    ) -> Result<Vec<Settled>, StoreError> {
        self.0.extend(leases, lease, now).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        self.0.settle(settlements).await
    }

    async fn put_health(
        &self,
        id: SubscriptionId,
        seen: &Health,
        health: &Health,
        disable: Option<DisabledReason>,
        now: OffsetDateTime,
    ) -> Result<HealthWritten, StoreError> {
        let written = self.0.put_health(id, seen, health, disable, now).await;
        self.0.set_status(id, &SubscriptionStatus::Enabled).await?;
        written
    }

    async fn expire(&self, age: Duration, limit: u32, now: OffsetDateTime) -> Result<u64, StoreError> {
        self.0.expire(age, limit, now).await
    }
}
