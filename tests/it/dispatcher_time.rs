//! A running dispatcher in paused time, with a clock that follows it.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hookwire::dispatch::Dispatcher;
use hookwire::store::implement::NewEvent;
use hookwire::subscription::{Authentication, TokenSource};
use hookwire::testing::{RecordingClient, Reply, TokioClock};
use hookwire::{
    AddressPolicy, Attempt, Clock as _, Contract, DeliveryId, EndpointUrl, EventFilter, MemoryStore, Records,
    Secret, Store as _, Subscription, SubscriptionId, Subscriptions,
};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::stores::{Tested as _, deliveries};
use crate::watched_store::Watched;

const NOON: OffsetDateTime = datetime!(2026-04-17 12:00 UTC);

/// An endpoint that is busy until 12:05, and says so after eight seconds.
fn busy() -> RecordingClient {
    let until = HeaderValue::from_static("Fri, 17 Apr 2026 12:05:00 GMT");
    let reply = Reply::status(StatusCode::SERVICE_UNAVAILABLE).with_header(RETRY_AFTER, until);
    RecordingClient::new()
        .with_otherwise(reply.with_delay(Duration::from_secs(8)))
        .with_sleep(tokio::time::sleep)
}

/// An endpoint that answers 200 after `delay`.
fn slow(delay: Duration) -> RecordingClient {
    let reply = Reply::status(StatusCode::OK).with_delay(delay);
    RecordingClient::new().with_otherwise(reply).with_sleep(tokio::time::sleep)
}

async fn store_with_deliveries(events: impl IntoIterator<Item = NewEvent>) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    let url = EndpointUrl::parse("https://hooks.example.com/in", &AddressPolicy::new()).unwrap();
    let subscription = Subscription::new("org_1", &Contract::allison(), url, EventFilter::all())
        .with_secret(Secret::from_random([7; 32]));
    store.put(&subscription).await.unwrap();
    let with_delivery = |event: NewEvent| event.with_delivery(DeliveryId::generate(), subscription.id);
    store.insert(&events.into_iter().map(with_delivery).collect::<Vec<_>>()).await.unwrap();
    store
}

fn event(number: u32) -> NewEvent {
    let id = format!("evt_{number}");
    let payload = Bytes::from(format!(r#"{{"id":"{id}"}}"#));
    NewEvent::new(
        "org_1",
        &Contract::allison(),
        id.parse().unwrap(),
        "call.ended".parse().unwrap(),
        payload,
        NOON,
    )
}

async fn store_with_a_delivery() -> (Arc<MemoryStore>, DeliveryId) {
    let store = store_with_deliveries([event(1)]).await;
    let subscriptions = store.subscriptions("org_1").await.unwrap().subscriptions;
    let delivery = deliveries(&store, "org_1", subscriptions[0].id).await[0].id;
    (store, delivery)
}

#[tokio::test(start_paused = true)]
async fn a_date_to_wait_for_is_a_wait_from_the_answer_and_not_from_the_request() {
    let (store, id) = store_with_a_delivery().await;
    let clock = TokioClock::new(NOON);
    let dispatcher = Dispatcher::new(Arc::clone(&store), busy(), Contract::allison()).with_clock(clock);
    dispatcher.run(tokio::time::sleep(Duration::from_secs(60))).await;
    let due_at = store.find_delivery("org_1", id).await.unwrap().unwrap().due_at;
    assert_eq!(due_at, Some(datetime!(2026-04-17 12:05 UTC)));
}

/// Gives a token after nine seconds.
struct SlowTokens;

impl TokenSource for SlowTokens {
    async fn token(&self, _: SubscriptionId) -> Result<Secret, Box<dyn Error + Send + Sync>> {
        tokio::time::sleep(Duration::from_secs(9)).await;
        Ok(Secret::from_random([8; 32]))
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_source_of_tokens_takes_no_time_from_the_endpoint() {
    let (store, id) = store_with_a_delivery().await;
    let mut subscription =
        store.subscriptions("org_1").await.unwrap().subscriptions.remove(0).subscription.unwrap();
    let bearer = Authentication::BearerFromSource;
    subscription.options = subscription.options.with_authentication(bearer).unwrap();
    store.put(&subscription).await.unwrap();
    let contract = Contract::allison().with_timeout(Duration::from_secs(10));
    let dispatcher = Dispatcher::new(Arc::clone(&store), slow(Duration::from_secs(9)), contract)
        .with_clock(TokioClock::new(NOON))
        .with_token_source(SlowTokens);
    dispatcher.run(tokio::time::sleep(Duration::from_secs(60))).await;
    let attempts = store.list_attempts(id).await.unwrap();
    assert_eq!(attempts.iter().map(Attempt::status).collect::<Vec<_>>(), [Some(StatusCode::OK)]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_dispatcher_wakes_for_its_looks_and_for_nothing_else() {
    let reads = Arc::new(AtomicUsize::new(0));
    let clock = {
        let (reads, clock) = (Arc::clone(&reads), TokioClock::new(NOON));
        move || {
            reads.fetch_add(1, Ordering::Relaxed);
            clock.now()
        }
    };
    // Short leases would be extended often, if there were any.
    let dispatcher = Dispatcher::new(MemoryStore::new(), busy(), Contract::allison())
        .with_clock(clock)
        .with_lease(Duration::from_secs(3))
        .with_poll_interval(Duration::from_secs(600));
    dispatcher.run(tokio::time::sleep(Duration::from_secs(86_400))).await;
    let reads = reads.load(Ordering::Relaxed);
    assert!(reads < 144 * 5, "{reads} times awake and asking for the time, in 144 looks");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_at_a_shutdown_keeps_its_lease_while_it_ends() {
    let (store, id) = store_with_a_delivery().await;
    let clock = TokioClock::new(NOON);
    let client = slow(Duration::from_secs(9));
    let dispatcher = || {
        Dispatcher::new(Arc::clone(&store), client.clone(), Contract::allison())
            .with_clock(clock.clone())
            .with_lease(Duration::from_secs(3))
    };
    let (first, second) = (dispatcher(), dispatcher());
    let seconds = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
    let other = async {
        seconds(1).await;
        second.run(seconds(20)).await;
    };
    tokio::join!(first.run(seconds(2)), other);
    assert_eq!(client.recorded().len(), 1, "nobody else was given it");
    assert_eq!(store.list_attempts(id).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dispatcher_with_a_lease_of_no_time_sends_what_it_claims() {
    let (store, id) = store_with_a_delivery().await;
    let client = slow(Duration::ZERO);
    let (clock, reads) = (TokioClock::new(NOON), AtomicUsize::new(0));
    let dispatcher = Dispatcher::new(Arc::clone(&store), client.clone(), Contract::allison())
        .with_lease(Duration::ZERO)
        .with_clock(move || {
            // A delivery that is handed back at once would be claimed again at once, for ever.
            assert!(reads.fetch_add(1, Ordering::Relaxed) < 1_000, "it turns in a circle");
            clock.now()
        });
    dispatcher.run(tokio::time::sleep(Duration::from_secs(1))).await;
    assert_eq!(client.recorded().len(), 1);
    assert_eq!(store.list_attempts(id).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_claim_brings_after_its_lease_has_ended_is_handed_back_and_not_sent() {
    let (store, id) = store_with_a_delivery().await;
    let store = Watched::new(store);
    let client = slow(Duration::ZERO);
    let dispatcher = Dispatcher::new(store.clone(), client.clone(), Contract::allison())
        .with_clock(TokioClock::new(NOON))
        .with_lease(Duration::from_secs(30))
        .with_drain_deadline(Duration::from_secs(60));
    store.claims_take(Duration::from_secs(31));
    dispatcher.run(tokio::time::sleep(Duration::from_secs(10))).await;
    assert_eq!(client.recorded().len(), 0);
    let delivery = store.plain().find_delivery("org_1", id).await.unwrap().unwrap();
    assert_eq!(
        (delivery.attempts, delivery.due_at),
        (0, Some(NOON + Duration::from_secs(32))),
        "due after a second, so that a slow store is not asked again and again"
    );

    store.claims_take(Duration::ZERO);
    dispatcher.run(tokio::time::sleep(Duration::from_secs(10))).await;
    assert_eq!(client.recorded().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_next_of_a_key_is_sent_when_the_first_is_done_and_not_at_the_next_look() {
    let keyed = (0..5).map(|number| event(number).with_ordering_key("call-1".to_owned()));
    let store = store_with_deliveries(keyed).await;
    let client = slow(Duration::from_millis(10));
    let dispatcher = Dispatcher::new(store, client.clone(), Contract::allison())
        .with_clock(TokioClock::new(NOON))
        .with_poll_interval(Duration::from_secs(3_600));
    dispatcher.run(tokio::time::sleep(Duration::from_millis(200))).await;
    assert_eq!(client.recorded().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn hardly_anything_is_sent_while_the_store_takes_no_settlements() {
    let store = Watched::new(store_with_deliveries((0..20).map(event)).await);
    let client = slow(Duration::from_millis(10));
    let dispatcher = Dispatcher::new(store.clone(), client.clone(), Contract::allison())
        .with_clock(TokioClock::new(NOON))
        .with_max_in_flight_per_subscription(1);
    store.settlements_fail(u32::MAX);
    dispatcher.run(tokio::time::sleep(Duration::from_secs(30))).await;
    let sent = || client.recorded().len();
    assert_eq!(sent(), 2, "the first, and what was claimed while its settlement was refused");
    store.settlements_fail(0);
    dispatcher.run(tokio::time::sleep(Duration::from_secs(120))).await;
    assert_eq!(sent(), 22, "those two twice");
}
