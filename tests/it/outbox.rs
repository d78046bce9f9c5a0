//! How an outbox reads subscriptions, in paused time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hookwire::allison::{CallEnded, Direction};
use hookwire::dispatch::{EmitError, Outbox};
use hookwire::{
    AddressPolicy, Contract, EndpointUrl, Envelope, EventFilter, MemoryStore, RawEvent, Secret, Subscription,
    Subscriptions,
};
use tokio::time::{Instant, sleep, timeout};

use crate::stores::Tested as _;
use crate::watched_store::Watched;

const SECOND: Duration = Duration::from_secs(1);

/// A store that takes a second to read subscriptions.
fn slow() -> (Watched<MemoryStore>, Outbox<Watched<MemoryStore>>) {
    let store = Watched::new(Arc::new(MemoryStore::new()));
    store.readings_take(SECOND);
    (store.clone(), Outbox::new(store, Contract::allison()))
}

async fn subscribe(store: &Watched<MemoryStore>) {
    let url = EndpointUrl::parse("https://hooks.example.com/in", &AddressPolicy::new()).unwrap();
    let subscription = Subscription::new("org_1", &Contract::allison(), url, EventFilter::all());
    store.plain().put(&subscription.with_secret(Secret::generate())).await.unwrap();
}

async fn emit(outbox: &Outbox<Watched<MemoryStore>>, organization: &str) -> usize {
    outbox.emit(organization, &Envelope::new(CallEnded::new("c1"))).await.unwrap().deliveries
}

#[tokio::test]
async fn data_that_breaks_the_senders_schema_is_refused_when_it_is_emitted() {
    let (store, outbox) = slow();
    subscribe(&store).await;
    let mut call = CallEnded::new("c1");
    call.direction = Some(Direction::from("sideways"));
    let error = outbox.emit("org_1", &Envelope::new(call)).await.unwrap_err();
    let EmitError::Data(misfit) = &error else { panic!("expected the data, got {error:?}") };
    assert_eq!((misfit.field(), misfit.expected()), ("direction", Some("one of inbound, outbound, or null")));
    let untyped = RawEvent::new("call.ended", serde_json::json!({"call_id": 7})).unwrap();
    assert!(matches!(outbox.emit("org_1", &Envelope::new(untyped)).await, Err(EmitError::Data(_))));
    assert_eq!(store.readings(), 0, "nothing was asked of the store");
}

#[tokio::test(start_paused = true)]
async fn many_events_of_one_moment_share_a_reading_of_the_subscriptions() {
    let (store, outbox) = slow();
    subscribe(&store).await;
    let began = Instant::now();
    let emitted = join_all((0..100).map(|_| emit(&outbox, "org_1"))).await;
    assert_eq!(emitted, [1; 100]);
    assert_eq!(store.readings(), 2, "one for the first, one for all who came while it was under way");
    assert_eq!(began.elapsed(), 2 * SECOND);
    // Emits of different organizations do not wait for each other.
    let began = Instant::now();
    let others = ["org_1", "org_2", "org_3"].map(|organization| emit(&outbox, organization));
    assert_eq!(join_all(others).await, [1, 0, 0]);
    assert_eq!(began.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn an_event_goes_to_every_subscription_that_was_there_before_it() {
    let (store, outbox) = slow();
    let before = emit(&outbox, "org_1");
    let after = async {
        sleep(SECOND / 2).await;
        subscribe(&store).await;
        emit(&outbox, "org_1").await
    };
    // The insert of the first finds that the subscriptions have changed, and its outbox reads them again.
    assert_eq!(tokio::join!(before, after), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn one_who_gives_up_has_another_ask_for_those_who_wait() {
    let (store, outbox) = slow();
    subscribe(&store).await;
    // The first emit is cancelled while it reads, the second while it waits. The third reads for itself and
    // the last two.
    let (first, second) =
        (timeout(SECOND / 2, emit(&outbox, "org_1")), timeout(SECOND / 4, emit(&outbox, "org_1")));
    let others = join_all((0..3).map(|_| emit(&outbox, "org_1")));
    let (first, second, others) = tokio::join!(first, second, others);
    assert!(first.is_err() && second.is_err());
    assert_eq!(others, [1; 3]);
    assert_eq!(store.readings(), 2);
    // No cancelled reading blocks the next emit.
    assert_eq!(emit(&outbox, "org_1").await, 1);
}

#[tokio::test(start_paused = true)]
async fn one_who_is_passed_the_asking_and_gives_up_passes_it_on() {
    let (store, outbox) = slow();
    subscribe(&store).await;
    let first = emit(&outbox, "org_1");
    let second = timeout(3 * SECOND / 2, emit(&outbox, "org_1"));
    let third = emit(&outbox, "org_1");
    let (first, second, third) = tokio::join!(first, second, third);
    assert!(second.is_err());
    assert_eq!((first, third), (1, 1));
    assert_eq!(store.readings(), 3);
}

#[tokio::test(start_paused = true)]
async fn cached_subscriptions_are_read_again_after_a_minute() {
    let (store, outbox) = slow();
    subscribe(&store).await;
    for (after, readings) in [(0, 1), (0, 1), (58, 1), (3, 2), (0, 2)] {
        sleep(after * SECOND).await;
        assert_eq!(emit(&outbox, "org_1").await, 1);
        assert_eq!(store.readings(), readings, "{after} s later");
    }
}

#[tokio::test(start_paused = true)]
async fn an_organization_whose_subscriptions_change_all_the_time_gets_its_events() {
    let (store, outbox) = slow();
    subscribe(&store).await;
    let changing = async {
        loop {
            sleep(SECOND / 2).await;
            subscribe(&store).await;
        }
    };
    let deliveries = tokio::select! {
        deliveries = emit(&outbox, "org_1") => deliveries,
        () = changing => unreachable!(),
    };
    // Four inserts were stale. The fifth goes by what was read just before.
    assert_eq!((store.inserts(), store.readings()), (5, 5));
    assert!((8..=10).contains(&deliveries), "{deliveries}");
}
