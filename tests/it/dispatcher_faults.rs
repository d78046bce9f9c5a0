//! A running dispatcher under faults: unreasonable settings, a store that fails, hangs or refuses, a clock
//! that jumps, leases that end early.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hookwire::allison::CallEnded;
use hookwire::dispatch::{Dispatcher, Outbox, Wake};
use hookwire::store::implement::NewEvent;
use hookwire::store::sqlite::SqliteStore;
use hookwire::{
    AddressPolicy, Contract, DeliveryId, DeliveryState, EndpointUrl, Envelope, EventFilter, Exchange,
    HttpClient, Limits, Records, Secret, Store as _, Subscription, Subscriptions, TransportError,
};
use tempfile::TempDir;
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::stores::{Tested as _, deliveries, poll};
use crate::watched_store::Watched;

const NOON: OffsetDateTime = datetime!(2026-04-17 12:00 UTC);
const DAY: Duration = Duration::from_secs(86_400);

/// A store with one subscription, and a client that answers 200 when it is allowed to.
struct Setup {
    store: Watched<SqliteStore>,
    subscription: Subscription,
    client: Gate,
    wake: Wake,
    _folder: TempDir,
}

impl Setup {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Watched::new(Arc::new(SqliteStore::open(folder.path().join("hooks.db")).await.unwrap()));
        let url = EndpointUrl::parse("https://hooks.example.com/in", &AddressPolicy::new()).unwrap();
        let subscription = Subscription::new("org_1", &Contract::allison(), url, EventFilter::all())
            .with_secret(Secret::from_random([7; 32]));
        store.plain().put(&subscription).await.unwrap();
        Self { store, subscription, client: Gate::open(), wake: Wake::new(), _folder: folder }
    }

    fn dispatcher(&self) -> Dispatcher {
        Dispatcher::new(self.store.clone(), self.client.clone(), Contract::allison()).with_wake(&self.wake)
    }

    async fn emit(&self, count: u32) -> Vec<DeliveryId> {
        let events: Vec<_> = (0..count)
            .map(|number| {
                let id = format!("evt_{number:032x}").parse().unwrap();
                let payload = Bytes::from(format!(r#"{{"id":"evt_{number:032x}"}}"#));
                let at = OffsetDateTime::now_utc() - time::Duration::seconds(1);
                let contract = Contract::allison();
                let event_type = "call.ended".parse().unwrap();
                NewEvent::new("org_1", &contract, id, event_type, payload, at)
                    .with_delivery(DeliveryId::generate(), self.subscription.id)
            })
            .collect();
        self.store.insert(&events).await.unwrap();
        self.wake.wake();
        events.iter().map(|event| event.deliveries[0].id).collect()
    }

    async fn delivered(&self) -> usize {
        let all = deliveries(self.store.plain(), "org_1", self.subscription.id).await;
        all.iter().filter(|delivery| delivery.state == DeliveryState::Delivered).count()
    }
}

/// A client that counts requests, and answers 200 to as many as it is allowed to.
#[derive(Clone)]
struct Gate {
    let_in: Arc<Semaphore>,
    sent: Arc<AtomicUsize>,
    arrived: Arc<Notify>,
    most: Arc<Mutex<(usize, usize)>>,
}

impl Gate {
    fn open() -> Self {
        Self::closed().let_in(1_000_000)
    }

    fn closed() -> Self {
        Self {
            let_in: Arc::new(Semaphore::new(0)),
            sent: Arc::default(),
            arrived: Arc::default(),
            most: Arc::default(),
        }
    }

    fn let_in(self, count: usize) -> Self {
        self.let_in.add_permits(count);
        self
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }

    async fn arrived(&self, count: usize) {
        while self.sent() < count {
            self.arrived.notified().await;
        }
    }
}

impl HttpClient for Gate {
    async fn send(&self, _: http::Request<Bytes>, _: &Limits) -> Result<Exchange, TransportError> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        {
            let mut most = self.most.lock().unwrap();
            most.0 += 1;
            most.1 = most.1.max(most.0);
        }
        self.arrived.notify_one();
        self.let_in.acquire().await.unwrap().forget();
        self.most.lock().unwrap().0 -= 1;
        Ok(Exchange::new(http::Response::new(Bytes::new())))
    }
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(dispatcher: Dispatcher) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        Self { stop, task: tokio::spawn(async move { dispatcher.run(async { drop(stopped.await) }).await }) }
    }

    async fn stop(self) {
        self.stop.send(()).expect("the dispatcher runs until it is told to stop");
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn settings_beyond_all_time_are_no_panic() {
    let setup = Setup::new().await;
    let contract = Contract::allison().with_timeout(Duration::MAX);
    let dispatcher = Dispatcher::new(setup.store.clone(), setup.client.clone(), contract)
        .with_wake(&setup.wake)
        .with_poll_interval(Duration::MAX)
        .with_drain_deadline(Duration::MAX);
    let running = Running::start(dispatcher);
    setup.emit(1).await;
    setup.client.arrived(1).await;
    running.stop().await;
    assert_eq!(setup.delivered().await, 1);
}

#[tokio::test]
async fn a_poll_interval_of_zero_does_not_spin() {
    let setup = Setup::new().await;
    setup.store.is_empty();
    tokio::time::pause();
    let running = Running::start(setup.dispatcher().with_poll_interval(Duration::ZERO));
    for _ in 0..1_000 {
        // Paused time does not advance while a task is ready.
        tokio::task::yield_now().await;
    }
    running.stop().await;
    assert!(setup.store.looks() <= 2, "{} looks within an instant", setup.store.looks());
}

#[tokio::test]
async fn ten_thousand_due_deliveries_take_less_than_a_store_call_for_ten() {
    let setup = Setup::new().await;
    setup.emit(10_000).await;
    let running = Running::start(setup.dispatcher());
    setup.client.arrived(10_000).await;
    running.stop().await;
    assert_eq!(setup.delivered().await, 10_000);
    let calls = setup.store.claims() + setup.store.settles() + setup.store.looks();
    println!(
        "{} claims, {} settles, {} looks",
        setup.store.claims(),
        setup.store.settles(),
        setup.store.looks()
    );
    assert!(calls < 1_000, "{calls} calls");
    assert_eq!(setup.client.sent(), 10_000);
}

#[tokio::test]
async fn one_in_flight_at_a_time_delivers_all() {
    let setup = Setup::new().await;
    setup.emit(50).await;
    let running = Running::start(setup.dispatcher().with_max_in_flight(1));
    setup.client.arrived(50).await;
    running.stop().await;
    assert_eq!((setup.delivered().await, setup.client.most.lock().unwrap().1), (50, 1));
}

#[tokio::test]
async fn one_settlement_that_the_store_refuses_does_not_keep_the_others() {
    let setup = Setup::new().await;
    let deliveries = setup.emit(20).await;
    setup.store.refuses(deliveries[7]);
    let running = Running::start(setup.dispatcher().with_max_in_flight(5));
    setup.client.arrived(20).await;
    running.stop().await;
    assert_eq!(setup.delivered().await, 19);
}

#[tokio::test]
async fn what_a_store_tells_nothing_of_is_settled_all_the_same() {
    let setup = Setup::new().await;
    setup.store.settlements_are_mute();
    setup.emit(3).await;
    // With room for one, the next delivery is claimed only after the previous one gave up its place.
    let dispatcher = setup.dispatcher().with_max_in_flight(1).with_poll_interval(DAY);
    let running = Running::start(dispatcher);
    let arrived = timeout(Duration::from_secs(30), setup.client.arrived(3)).await;
    running.stop().await;
    assert!(arrived.is_ok(), "{} of 3 were sent", setup.client.sent());
    assert_eq!((setup.delivered().await, setup.store.settles()), (3, 3));
}

#[tokio::test]
async fn a_settlement_that_was_given_up_takes_no_room_of_its_lane() {
    let setup = Setup::new().await;
    let deliveries = setup.emit(20).await;
    setup.store.refuses(deliveries[7]);
    setup.store.refuses(deliveries[13]);
    let running = Running::start(setup.dispatcher().with_max_in_flight_per_subscription(2));
    // If one lost its place, the other would be refused alone, and nothing would be sent after it.
    setup.client.arrived(20).await;
    running.stop().await;
    assert_eq!(setup.delivered().await, 18);
}

#[tokio::test]
async fn a_store_that_hangs_does_not_keep_a_shutdown() {
    let mut setup = Setup::new().await;
    setup.client = Gate::closed();
    let dispatcher = setup.dispatcher().with_drain_deadline(Duration::from_millis(10));
    let running = Running::start(dispatcher);
    setup.emit(1).await;
    setup.client.arrived(1).await;
    setup.store.hangs();
    setup.wake.wake();
    let calls = setup.store.looks() + setup.store.claims();
    while setup.store.looks() + setup.store.claims() == calls {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    running.stop().await;
}

#[tokio::test]
async fn what_ended_by_the_drains_deadline_is_settled_and_not_handed_back() {
    let mut setup = Setup::new().await;
    setup.client = Gate::closed();
    let running = Running::start(setup.dispatcher().with_drain_deadline(Duration::ZERO));
    setup.emit(50).await;
    setup.client.arrived(50).await;
    // On one thread, the dispatcher sees the shutdown first. The attempts end before it runs again.
    setup.client.clone().let_in(50);
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    running.stop().await;
    assert_eq!(setup.delivered().await, 50);
}

#[tokio::test]
async fn a_store_that_errs_on_every_look_is_left_alone_ever_longer_and_used_when_it_is_back() {
    let setup = Setup::new().await;
    setup.store.looks_fail(true);
    setup.emit(1).await;
    tokio::time::pause();
    let running = Running::start(setup.dispatcher());
    tokio::time::sleep(Duration::from_secs(60)).await;
    // About 18. There may be fewer: while SQLite's own thread works, the paused clock runs ahead.
    assert!((1..=25).contains(&setup.store.looks()), "{} looks in a minute", setup.store.looks());
    tokio::time::resume();
    setup.store.looks_fail(false);
    setup.client.arrived(1).await;
    running.stop().await;
    assert_eq!(setup.delivered().await, 1);
}

#[tokio::test]
async fn an_idle_dispatcher_looks_once_a_poll() {
    let setup = Setup::new().await;
    tokio::time::pause();
    let running = Running::start(setup.dispatcher());
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    running.stop().await;
    let (claims, looks) = (setup.store.claims(), setup.store.looks());
    assert!(claims <= 721 && looks <= 721, "{claims} claims and {looks} looks in an hour");
}

#[tokio::test]
async fn a_lease_shorter_than_its_attempt_doubles_the_attempt_and_settles_once() {
    let mut setup = Setup::new().await;
    setup.client = Gate::closed();
    let at = Arc::new(AtomicI64::new(OffsetDateTime::now_utc().unix_timestamp()));
    let clock = {
        let at = Arc::clone(&at);
        move || OffsetDateTime::from_unix_timestamp(at.load(Ordering::SeqCst)).unwrap()
    };
    let dispatcher = setup.dispatcher().with_clock(clock).with_lease(Duration::from_secs(1));
    let running = Running::start(dispatcher);
    let delivery = setup.emit(1).await[0];
    setup.client.arrived(1).await;
    // The clock jumps by a day during the attempt.
    at.fetch_add(86_400, Ordering::SeqCst);
    setup.wake.wake();
    setup.client.arrived(2).await;
    setup.client.clone().let_in(2);
    running.stop().await;
    let attempts = setup.store.plain().list_attempts(delivery).await.unwrap();
    assert_eq!(attempts.len(), 1, "the stale one wrote nothing");
    assert_eq!(setup.delivered().await, 1);
}

#[tokio::test]
async fn a_stale_attempt_that_ends_first_leaves_the_later_lease_to_be_handed_back() {
    let mut setup = Setup::new().await;
    setup.client = Gate::closed();
    let at = Arc::new(AtomicI64::new(OffsetDateTime::now_utc().unix_timestamp()));
    let clock = {
        let at = Arc::clone(&at);
        move || OffsetDateTime::from_unix_timestamp(at.load(Ordering::SeqCst)).unwrap()
    };
    let dispatcher = setup.dispatcher().with_clock(clock).with_lease(DAY).with_drain_deadline(Duration::ZERO);
    let running = Running::start(dispatcher);
    setup.emit(1).await;
    setup.client.arrived(1).await;
    at.fetch_add(2 * 86_400, Ordering::SeqCst);
    setup.wake.wake();
    setup.client.arrived(2).await;
    // The first request in is the first out.
    setup.client.clone().let_in(1);
    while setup.store.settles() < 1 {
        tokio::task::yield_now().await;
    }
    running.stop().await;
    let now = OffsetDateTime::from_unix_timestamp(at.load(Ordering::SeqCst)).unwrap();
    assert_eq!(setup.store.look(&poll(10, now)).await.unwrap().ready, [setup.subscription.id], "handed back");
}

#[tokio::test]
async fn a_clock_that_jumps_back_by_a_day_keeps_an_attempt_and_its_retry_in_order() {
    let setup = Setup::new().await;
    let at = Arc::new(AtomicI64::new(NOON.unix_timestamp()));
    let clock = {
        let at = Arc::clone(&at);
        // Every reading is a day earlier than the previous one.
        move || OffsetDateTime::from_unix_timestamp(at.fetch_sub(86_400, Ordering::SeqCst)).unwrap()
    };
    let outbox = Outbox::new(setup.store.clone(), Contract::allison())
        .with_clock(|| NOON - 2 * DAY)
        .with_wake(&setup.wake);
    outbox.emit("org_1", &Envelope::new(CallEnded::new("c1"))).await.unwrap();
    let running = Running::start(setup.dispatcher().with_clock(clock));
    setup.client.arrived(1).await;
    running.stop().await;
    assert_eq!(setup.delivered().await, 1);
}
