//! (d) A healthy endpoint beside many bad ones: the time from emit to receipt, of the first event after a
//! cold start and then, against a bound of twice the time alone and 50 ms.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use bytes::Bytes;
use hookwire::dispatch::{Outbox, Wake};
use hookwire::store::implement::NewEvent;
use hookwire::subscription::Health;
use hookwire::{Contract, DeliveryId, EventFilter, Store, Subscription, Subscriptions};
use time::OffsetDateTime;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::Settings;
use crate::event::{body, envelope, event_id};
use crate::ours::{Dispatching, Opens, dispatcher, subscription};
use crate::place::Place;
use crate::postgres::Server;
use crate::receiver::{Board, Receiver};
use crate::table::{self, Bound};
use crate::with_store;

pub(crate) async fn run(settings: &Settings, server: Option<&Server>) {
    let slow = Receiver::slow(Duration::from_secs(8)).await;
    let hanging = Receiver::hanging().await;
    let bad = |name, port, count, backlog| Bad { name, port, count, backlog };
    let worlds = [
        bad("hang", hanging.address.port(), settings.scale(100, 1_000), 3),
        bad("refuse", closed_port(), settings.scale(200, 5_000), 40),
        bad("answer 200 after 8 s", slow.address.port(), 20, 100),
    ];
    for kind in settings.kinds() {
        for bad in &worlds {
            for is_apart in [true, false] {
                let which = if is_apart {
                    "each of its own organization"
                } else {
                    "of the healthy one's organization"
                };
                table::heading(
                    &format!("(d) beside {} that {}, {which}, {}", bad.count, bad.name, kind.name()),
                    "beside",
                    "2 x + 50 ms",
                );
                let (crowded, empty) = (Place::new(kind, server).await, Place::new(kind, server).await);
                with_store!(empty, alone => {
                    let alone = one_healthy(settings, alone).await;
                    with_store!(crowded, store => {
                        bad.fill(&store, is_apart).await;
                        compare(&one_healthy(settings, store).await, &alone);
                    });
                });
                crowded.clean_up().await;
                empty.clean_up().await;
            }
        }
        let (healthy, dead) = (settings.scale(50, 1_000), settings.scale(450, 9_000));
        table::heading(
            &format!(
                "(d) one organization, {healthy} healthy endpoints and {dead} dead ones, {}",
                kind.name()
            ),
            "beside",
            "2 x + 50 ms",
        );
        let (crowded, empty) = (Place::new(kind, server).await, Place::new(kind, server).await);
        with_store!(empty, alone => {
            let alone = fan_out(settings, alone, healthy, 0).await;
            with_store!(crowded, store => {
                compare(&fan_out(settings, store, healthy, dead).await, &alone);
            });
        });
        crowded.clean_up().await;
        empty.clean_up().await;
    }
}

/// Milliseconds from emit to receipt.
struct Delays {
    first: Vec<f64>,
    then: Vec<f64>,
}

fn compare(beside: &Delays, alone: &Delays) {
    for (name, beside, alone) in [
        ("ms to receipt, p99, first event after a start", &beside.first, &alone.first),
        ("ms to receipt, p99, then", &beside.then, &alone.then),
    ] {
        let bound = 2.0 * table::quantile(alone.clone(), 0.99) + 50.0;
        table::row(name, table::quantile(beside.clone(), 0.99), bound, Bound::AtMost(1.0));
    }
}

/// Bad endpoints, each with an address of its own.
struct Bad {
    name: &'static str,
    port: u16,
    count: u64,
    /// The due deliveries of each.
    backlog: u64,
}

impl Bad {
    async fn fill<S: Store + Subscriptions>(&self, store: &S, is_apart: bool) {
        for number in 0..self.count {
            let organization = if is_apart { format!("bad_{number}") } else { GOOD.to_owned() };
            let mut bad = subscription(&organization, address(number, self.port), 0);
            if !is_apart {
                // It wants other events than the healthy endpoint.
                bad.filter = EventFilter::new(["call.message_taken"]).expect("the type is one");
            }
            store.put(&bad).await.expect("the store takes it");
            let events: Vec<_> =
                (0..self.backlog).map(|event| due(&bad, number * self.backlog + event)).collect();
            store.insert(&events).await.expect("the store takes them");
        }
    }
}

/// An event that was due a minute ago.
fn due(subscription: &Subscription, number: u64) -> NewEvent {
    let number = number + (1 << 40);
    let at = OffsetDateTime::now_utc() - Duration::from_secs(60);
    let event_type = "call.message_taken".parse().expect("the type is one");
    let (id, payload) = (event_id(number), Bytes::from(body(number)));
    NewEvent::new(&*subscription.organization, &Contract::allison(), id, event_type, payload, at)
        .with_delivery(DeliveryId::generate(), subscription.id)
}

/// One of the many addresses of loopback.
fn address(number: u64, port: u16) -> SocketAddr {
    let [.., high, low] = (number + 256).to_be_bytes();
    SocketAddr::from(([127, 1, high, low], port))
}

/// A port on which nobody listens.
fn closed_port() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").expect("the system gives sockets");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// Emits events for one healthy endpoint, a second after the start of a dispatcher.
async fn one_healthy<S: Opens>(settings: &Settings, store: S) -> Delays {
    let events = settings.scale(40, 1_000);
    let board = Board::new(events as usize);
    let receiver = Receiver::start(&board).await;
    let mut healthy = subscription(GOOD, receiver.address, 0);
    healthy.filter = EventFilter::new(["call.ended"]).expect("the type is one");
    store.put(&healthy).await.expect("the store takes it");
    let (outbox, dispatching) = start(store).await;
    let mut clock = interval(Duration::from_millis(20));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0..events {
        clock.tick().await;
        board.emitting(number);
        outbox.emit(GOOD, &envelope(number)).await.expect("the store takes it");
    }
    board.arrived(events as usize).await;
    dispatching.stop().await;
    Delays { first: board.latencies(0..1), then: board.latencies(1..events) }
}

/// Emits events that go to every endpoint of one organization.
async fn fan_out<S: Opens>(settings: &Settings, store: S, healthy: u64, dead: u64) -> Delays {
    let events = settings.scale(3, 10);
    let board = Board::new((healthy * events) as usize);
    let receiver = Receiver::start(&board).await;
    for number in 0..healthy {
        // The path says where the endpoint's marks begin.
        let endpoint = address(number, receiver.address.port());
        store.put(&subscription(GOOD, endpoint, number * events)).await.expect("the store takes it");
    }
    let port = closed_port();
    for number in healthy..healthy + dead {
        let mut failing = subscription(GOOD, address(number, port), 0);
        // A process before this one has recorded that it fails.
        failing.health =
            Health::default().failed(OffsetDateTime::now_utc() - Duration::from_secs(3_600), None);
        store.put(&failing).await.expect("the store takes it");
    }
    let (outbox, dispatching) = start(store).await;
    for event in 0..events {
        (0..healthy).for_each(|endpoint| board.emitting(endpoint * events + event));
        outbox.emit(GOOD, &envelope(event)).await.expect("the store takes it");
        board.arrived(((event + 1) * healthy) as usize).await;
        sleep(Duration::from_secs(1)).await;
    }
    dispatching.stop().await;
    let of = |events: std::ops::Range<u64>, per_endpoint: u64| -> Vec<f64> {
        let range =
            |endpoint: u64| endpoint * per_endpoint + events.start..endpoint * per_endpoint + events.end;
        (0..healthy).flat_map(|endpoint| board.latencies(range(endpoint))).collect()
    };
    Delays { first: of(0..1, events), then: of(1..events, events) }
}

async fn start<S: Opens>(store: S) -> (Outbox<S>, Dispatching) {
    let wake = Wake::new();
    let outbox = Outbox::new(store.clone(), Contract::allison()).with_wake(&wake);
    let dispatcher = dispatcher(store, Contract::allison()).with_drain_deadline(Duration::from_millis(100));
    let dispatching = Dispatching::start(dispatcher.with_wake(&wake));
    // The bad endpoints are found before the first event.
    sleep(Duration::from_secs(1)).await;
    (outbox, dispatching)
}

const GOOD: &str = "good";
