//! An event's path through outbox, store, dispatcher and client, on a real file and real sockets.

use std::sync::Arc;
use std::time::Duration;

use hookwire::allison::{CallEnded, Event};
use hookwire::dispatch::{Dispatcher, EmitError, Outbox, Step, Wake, WhileDisabled};
use hookwire::sqlx::SqlitePool;
use hookwire::sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use hookwire::store::StoreErrorKind;
use hookwire::store::implement::Share;
use hookwire::store::sqlite::SqliteStore;
use hookwire::{
    Attempt, Contract, DeadReason, Delivery, DeliveryState, DisabledReason, Envelope, ErrorClass,
    EventFilter, Exchange, HttpClient, HyperClient, Limits, Outcome, Records, Scheme, Secret, Store,
    Subscription, SubscriptionStatus, Subscriptions, TransportError,
};
use tempfile::TempDir;
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::sync::oneshot;

use crate::endpoint::{Answer, Endpoint, loopback};
use crate::stores::{claim_of, deliveries, poll};
use crate::watched_store::Watched;

const NOON: OffsetDateTime = datetime!(2026-04-17 12:00 UTC);
const MINUTE: Duration = Duration::from_secs(60);

/// One sender with one subscription to one endpoint.
struct Setup {
    store: Arc<SqliteStore>,
    contract: Contract,
    secret: Secret,
    subscription: Subscription,
    endpoint: Endpoint,
    folder: TempDir,
}

impl Setup {
    async fn new(contract: Contract, answers: impl IntoIterator<Item = Answer>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hooks.db");
        let store = Arc::new(SqliteStore::open(path).await.unwrap());
        let endpoint = Endpoint::start(answers).await;
        let secret = Secret::from_random([7; 32]);
        let subscription = Subscription::new("org_1", &contract, endpoint.url(), EventFilter::all())
            .with_secret(secret.clone());
        store.put(&subscription).await.unwrap();
        Self { store, contract, secret, subscription, endpoint, folder }
    }

    fn outbox(&self) -> Outbox<Arc<SqliteStore>> {
        Outbox::new(Arc::clone(&self.store), self.contract.clone()).with_clock(|| NOON)
    }

    fn dispatcher(&self) -> Dispatcher {
        Dispatcher::new(Arc::clone(&self.store), HyperClient::new(), self.contract.clone())
            .with_address_policy(loopback())
    }

    async fn delivery(&self) -> Delivery {
        let [delivery] = deliveries(&self.store, "org_1", self.subscription.id).await.try_into().unwrap();
        delivery
    }

    async fn attempts(&self) -> Vec<Attempt> {
        self.store.list_attempts(self.delivery().await.id).await.unwrap()
    }
}

fn call() -> Envelope<CallEnded> {
    Envelope::new(CallEnded::new("c1"))
}

#[tokio::test]
async fn an_event_arrives_signed_once_and_is_what_was_emitted() {
    let setup = Setup::new(Contract::allison(), []).await;
    let envelope = call();
    let emitted = setup.outbox().emit("org_1", &envelope).await.unwrap();
    assert_eq!((emitted.id.clone(), emitted.deliveries, emitted.duplicate), (envelope.id.clone(), 1, false));

    let step = setup.dispatcher().step(NOON).await.unwrap();
    assert_eq!((step.delivered, step.next_due), (1, None));

    let requests = setup.endpoint.requests().clone();
    let [(headers, body)] = requests.as_slice() else { panic!("{} requests", requests.len()) };
    assert_eq!(headers["content-type"], "application/json");
    let verified = setup.contract.verifier(&setup.secret).unwrap().verify_at(headers, body, NOON).unwrap();
    let received: Envelope<Event> = setup.contract.decode(&verified).unwrap();
    assert_eq!(received.id, envelope.id);
    assert_eq!(received.data, Event::CallEnded(envelope.data));
    assert_eq!(setup.delivery().await.state, DeliveryState::Delivered);
    assert_eq!(setup.attempts().await[0].outcome.status().unwrap(), 200);
}

#[tokio::test]
async fn a_failure_is_tried_again_when_the_contract_says_and_not_before() {
    let setup = Setup::new(Contract::allison(), [Answer::Status(500)]).await;
    setup.outbox().emit("org_1", &call()).await.unwrap();
    let dispatcher = setup.dispatcher();

    let step = dispatcher.step(NOON).await.unwrap();
    assert_eq!((step.retried, step.next_due), (1, Some(MINUTE)));
    let early = dispatcher.step(NOON + MINUTE - Duration::from_millis(1)).await.unwrap();
    assert_eq!((early.delivered, early.retried), (0, 0));
    let late = dispatcher.step(NOON + MINUTE).await.unwrap();
    assert_eq!(late.delivered, 1);

    let attempts = setup.attempts().await;
    assert_eq!(attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(attempts[0].started_at, NOON);
    let requests = setup.endpoint.requests();
    assert_eq!(requests[0].1, requests[1].1, "the bytes are made once");
    assert_ne!(
        requests[0].0["x-allison-signature"], requests[1].0["x-allison-signature"],
        "and signed each time"
    );
}

#[tokio::test]
async fn a_delivery_whose_attempts_are_used_up_is_a_dead_letter() {
    let setup = Setup::new(Contract::allison(), (0..6).map(|_| Answer::Status(302))).await;
    setup.outbox().emit("org_1", &call()).await.unwrap();
    let dispatcher = setup.dispatcher();
    let mut now = NOON;
    let mut steps = 0;
    while let Step { next_due: Some(wait), .. } = dispatcher.step(now).await.unwrap() {
        now += wait;
        steps += 1;
    }
    assert_eq!(steps, 5, "five retries");
    assert_eq!(now - NOON, time::Duration::minutes(31 * 60 + 16));
    assert_eq!(setup.delivery().await.state, DeliveryState::Dead(DeadReason::Exhausted));
    assert_eq!(setup.attempts().await.len(), 6);
    assert_eq!(setup.endpoint.requests().len(), 6, "no redirect was followed");
}

#[tokio::test]
async fn an_endpoint_that_is_gone_ends_the_delivery_and_disables_the_subscription() {
    let setup = Setup::new(Contract::allison(), [Answer::Status(410)]).await;
    setup.outbox().emit("org_1", &call()).await.unwrap();
    assert_eq!(setup.dispatcher().step(NOON).await.unwrap().dead, 1);
    assert_eq!(setup.delivery().await.state, DeliveryState::Dead(DeadReason::Gone));

    let stored = setup.store.subscription(setup.subscription.id).await.unwrap().unwrap();
    assert_eq!(stored.status, SubscriptionStatus::disabled(DisabledReason::Gone, NOON));
    // New events wait for the endpoint's return or are dropped, depending on the outbox's setting.
    assert_eq!(setup.outbox().emit("org_1", &call()).await.unwrap().deliveries, 1);
    let dropping = setup.outbox().with_disabled(WhileDisabled::Drop);
    assert_eq!(dropping.emit("org_1", &call()).await.unwrap().deliveries, 0);
    let step = setup.dispatcher().step(NOON).await.unwrap();
    assert_eq!((step.delivered, step.next_due), (0, None));
}

#[tokio::test]
async fn retry_after_moves_a_retry_within_the_policys_bounds() {
    for (asked, expected) in [("10", MINUTE), ("120", 2 * MINUTE), ("9999999", Duration::from_secs(86_400))] {
        let setup = Setup::new(Contract::allison(), [Answer::With(503, "retry-after", asked)]).await;
        setup.outbox().emit("org_1", &call()).await.unwrap();
        let step = setup.dispatcher().step(NOON).await.unwrap();
        assert_eq!(step.next_due, Some(expected), "asked for {asked} s");
        assert_eq!(setup.attempts().await[0].response_excerpt, "told why");
    }
}

#[tokio::test]
async fn an_answer_that_the_contract_calls_final_is_not_tried_again() {
    let setup = Setup::new(Contract::nectar_desk(), [Answer::With(429, "retry-after", "1")]).await;
    let event = hookwire::RawEvent::new("Call Ended", serde_json::json!({"call_id": "c1"})).unwrap();
    setup.outbox().emit("org_1", &Envelope::new(event)).await.unwrap();
    assert_eq!(setup.dispatcher().step(NOON).await.unwrap().dead, 1);
    assert_eq!(setup.delivery().await.state, DeliveryState::Dead(DeadReason::Refused));
    assert!(!setup.endpoint.requests()[0].0.contains_key("webhook-signature"), "this platform does not sign");
}

#[tokio::test]
async fn an_event_goes_only_to_subscriptions_of_its_organization_that_ask_for_it() {
    let setup = Setup::new(Contract::allison(), []).await;
    let other = |organization: &str, filter: &str| {
        Subscription::new(
            organization,
            &Contract::allison(),
            setup.endpoint.url(),
            EventFilter::new([filter]).unwrap(),
        )
        .with_secret(setup.secret.clone())
    };
    let mut disabled = other("org_1", "*");
    disabled.status = SubscriptionStatus::disabled(DisabledReason::Manual, NOON);
    for subscription in
        [other("org_1", "contact.*"), other("org_1", "call.ended"), other("org_2", "*"), disabled]
    {
        setup.store.put(&subscription).await.unwrap();
    }
    let outbox = setup.outbox().with_disabled(WhileDisabled::Drop);
    assert_eq!(outbox.emit("org_1", &call()).await.unwrap().deliveries, 2);
    assert_eq!(setup.outbox().emit("org_3", &call()).await.unwrap().deliveries, 0);
}

#[tokio::test]
async fn the_same_event_twice_is_a_duplicate_and_another_under_its_id_a_conflict() {
    let setup = Setup::new(Contract::allison(), []).await;
    let outbox = setup.outbox();
    let envelope = call();
    outbox.emit("org_1", &envelope).await.unwrap();
    let again = outbox.emit("org_1", &envelope).await.unwrap();
    assert_eq!((again.duplicate, again.deliveries), (true, 0));
    let other = Envelope::from_parts(envelope.id.clone(), envelope.created_at, CallEnded::new("c2"));
    let error = outbox.emit("org_1", &other).await.unwrap_err();
    assert!(matches!(&error, EmitError::Conflict { id, .. } if *id == envelope.id), "{error:?}");
    assert_eq!(setup.dispatcher().step(NOON).await.unwrap().delivered, 1);
    assert_eq!(setup.endpoint.requests().len(), 1);
}

#[tokio::test]
async fn an_event_joins_the_callers_transaction_and_is_woken_for_after_the_commit() {
    let setup = Setup::new(Contract::allison(), []).await;
    let outbox = setup.outbox();
    // The application's own connections to the same file.
    let path = setup.folder.path().join("hooks.db");
    let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(path)).await.unwrap();

    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    outbox.emit_in(&mut transaction, "org_1", &call()).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(setup.dispatcher().step(NOON).await.unwrap().delivered, 0, "rolled back");

    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let emitted = outbox.emit_in(&mut transaction, "org_1", &call()).await.unwrap();
    transaction.commit().await.unwrap();
    emitted.wake();
    assert_eq!(setup.dispatcher().step(NOON).await.unwrap().delivered, 1);
}

#[tokio::test]
async fn a_transaction_that_holds_the_pools_only_connection_can_emit() {
    let setup = Setup::new(Contract::allison(), []).await;
    let path = setup.folder.path().join("hooks.db");
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_millis(100))
        .connect_with(SqliteConnectOptions::new().filename(path))
        .await
        .unwrap();
    let store = SqliteStore::builder().open_pool(pool.clone()).await.unwrap();
    let outbox = Outbox::new(store, setup.contract.clone()).with_clock(|| NOON);
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    assert_eq!(outbox.emit_in(&mut transaction, "org_1", &call()).await.unwrap().deliveries, 1);
    transaction.commit().await.unwrap();
    assert_eq!(setup.dispatcher().step(NOON).await.unwrap().delivered, 1);
}

#[tokio::test]
async fn what_a_dead_dispatcher_had_claimed_is_sent_again_when_its_lease_ends() {
    let setup = Setup::new(Contract::allison(), []).await;
    setup.outbox().emit("org_1", &call()).await.unwrap();
    let claims = setup
        .store
        .claim(&claim_of(MINUTE, vec![Share::new(setup.subscription.id, 10)], NOON))
        .await
        .unwrap();
    assert_eq!(claims.deliveries.len(), 1);

    let dispatcher = setup.dispatcher();
    assert_eq!(dispatcher.step(NOON + MINUTE / 2).await.unwrap().delivered, 0);
    assert_eq!(dispatcher.step(NOON + MINUTE).await.unwrap().delivered, 1);
}

#[tokio::test]
async fn every_secret_signs_while_a_standard_webhooks_secret_is_rotated() {
    let contract = Contract::standard_webhooks();
    let mut setup = Setup::new(contract.clone(), []).await;
    let new = Secret::from_random([9; 32]);
    setup.subscription = setup.subscription.clone().with_secret(new.clone());
    setup.store.put(&setup.subscription).await.unwrap();
    let event = hookwire::RawEvent::new("order.paid", serde_json::json!({})).unwrap();
    setup.outbox().emit("org_1", &Envelope::new(event)).await.unwrap();
    setup.dispatcher().step(NOON).await.unwrap();
    let (headers, body) = setup.endpoint.requests()[0].clone();
    for secret in [&setup.secret, &new] {
        contract.verifier(secret).unwrap().verify_at(&headers, &body, NOON).unwrap();
    }
    assert_eq!(contract.scheme(), Some(Scheme::STANDARD_WEBHOOKS));
}

#[tokio::test]
async fn a_subscription_without_the_secret_its_contract_needs_waits_and_is_never_sent_unsigned() {
    let mut setup = Setup::new(Contract::allison(), []).await;
    setup.subscription.secrets.clear();
    let refused = setup.store.put(&setup.subscription).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Backend, "{refused:?}");
    // The id of a contract that was read from a text does not tell whether the contract signs.
    setup.subscription.contract = "allison/v1".parse().unwrap();
    setup.store.put(&setup.subscription).await.unwrap();
    setup.outbox().emit("org_1", &call()).await.unwrap();
    assert_eq!(setup.dispatcher().step(NOON).await.unwrap().kept_back, 1);
    assert!(setup.attempts().await.is_empty(), "no attempt is spent");
    assert!(setup.endpoint.requests().is_empty());
}

/// A custom client that panics or never answers.
struct Faulty {
    panics: bool,
}

impl HttpClient for Faulty {
    async fn send(&self, _: http::Request<bytes::Bytes>, _: &Limits) -> Result<Exchange, TransportError> {
        assert!(!self.panics, "a fault of the client's own");
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_panic_in_the_client_costs_one_attempt() {
    let setup = Setup::new(Contract::allison(), []).await;
    setup.outbox().emit("org_1", &call()).await.unwrap();
    let dispatcher =
        Dispatcher::new(Arc::clone(&setup.store), Faulty { panics: true }, setup.contract.clone());
    assert_eq!(dispatcher.step(NOON).await.unwrap().retried, 1);
    assert_eq!(setup.attempts().await[0].outcome, Outcome::Failed(ErrorClass::Internal));
}

#[tokio::test]
async fn a_client_that_forgets_its_deadline_is_given_up() {
    let setup = Setup::new(Contract::allison().with_timeout(Duration::from_millis(10)), []).await;
    setup.outbox().emit("org_1", &call()).await.unwrap();
    let dispatcher =
        Dispatcher::new(Arc::clone(&setup.store), Faulty { panics: false }, setup.contract.clone());
    assert_eq!(dispatcher.step(NOON).await.unwrap().retried, 1);
    assert_eq!(setup.attempts().await[0].outcome, Outcome::Failed(ErrorClass::Timeout));
}

#[tokio::test]
async fn a_running_dispatcher_delivers_when_woken_and_ends_when_told() {
    let setup = Setup::new(Contract::allison(), []).await;
    let wake = Wake::new();
    let (stop, stopped) = oneshot::channel::<()>();
    // A poll interval longer than the test, so that only the wake lets the dispatcher poll.
    let dispatcher = setup.dispatcher().with_wake(&wake).with_poll_interval(Duration::from_secs(86_400));
    let running = tokio::spawn(async move { dispatcher.run(async { drop(stopped.await) }).await });
    let outbox = Outbox::new(Arc::clone(&setup.store), setup.contract.clone()).with_wake(&wake);
    for count in 1..=5 {
        outbox.emit("org_1", &call()).await.unwrap();
        setup.endpoint.arrived(count).await;
    }
    stop.send(()).unwrap();
    running.await.unwrap();
    let deliveries = deliveries(&setup.store, "org_1", setup.subscription.id).await;
    assert_eq!(deliveries.len(), 5);
    assert!(
        deliveries.iter().all(|delivery| delivery.state == DeliveryState::Delivered),
        "settled before the end"
    );
}

#[tokio::test]
async fn a_shutdown_hands_back_what_did_not_end_in_time() {
    let setup = Setup::new(Contract::allison(), [Answer::Hang]).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let dispatcher = setup.dispatcher().with_drain_deadline(Duration::ZERO);
    let running = tokio::spawn(async move { dispatcher.run(async { drop(stopped.await) }).await });
    Outbox::new(Arc::clone(&setup.store), setup.contract.clone()).emit("org_1", &call()).await.unwrap();
    setup.endpoint.arrived(1).await;
    stop.send(()).unwrap();
    running.await.unwrap();
    assert!(setup.attempts().await.is_empty(), "no attempt was finished");
    let now = OffsetDateTime::now_utc();
    assert_eq!(
        setup.store.look(&poll(10, now)).await.unwrap().ready,
        [setup.subscription.id],
        "due again at once"
    );
}

#[tokio::test]
async fn what_was_sent_while_the_store_was_away_is_settled_when_it_is_back() {
    let setup = Setup::new(Contract::allison(), []).await;
    let wake = Wake::new();
    let (stop, stopped) = oneshot::channel::<()>();
    let store = Watched::new(Arc::clone(&setup.store));
    store.settlements_fail(3);
    let dispatcher = Dispatcher::new(store, HyperClient::new(), setup.contract.clone())
        .with_address_policy(loopback())
        .with_wake(&wake);
    let running = tokio::spawn(async move { dispatcher.run(async { drop(stopped.await) }).await });
    let outbox = Outbox::new(Arc::clone(&setup.store), setup.contract.clone()).with_wake(&wake);
    outbox.emit("org_1", &call()).await.unwrap();
    setup.endpoint.arrived(1).await;
    stop.send(()).unwrap();
    running.await.unwrap();
    assert_eq!(setup.delivery().await.state, DeliveryState::Delivered);
    assert_eq!(setup.endpoint.requests().len(), 1, "sent once all the same");
}
