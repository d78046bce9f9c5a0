//! (d) One of ten endpoints hangs and has 100,000 due deliveries: latency of a healthy endpoint and memory of
//! the dispatcher.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use hookwire::dispatch::{Outbox, Wake};
use hookwire::store::implement::NewEvent;
use hookwire::{Contract, DeliveryId, EventType, Store, Subscriptions};
use time::OffsetDateTime;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::Settings;
use crate::event::{body, envelope, event_id};
use crate::ours::{Dispatching, Opens, dispatcher, subscription};
use crate::place::{Kind, Place};
use crate::postgres::Server;
use crate::process;
use crate::receiver::{Board, Receiver};
use crate::table::{self, Bound};
use crate::with_store;

pub(crate) async fn run(settings: &Settings, server: Option<&Server>) {
    for kind in settings.kinds() {
        table::heading(
            &format!(
                "(d) one of ten endpoints hangs with {} due, {}",
                settings.scale(2_000, 100_000),
                kind.name()
            ),
            "hanging",
            "healthy",
        );
        let bad = Place::new(kind, server).await;
        let good = Place::new(kind, server).await;
        with_store!(bad, with => latency(settings, with, &good).await);
        bad.clean_up().await;
        good.clean_up().await;
        memory(settings, kind, server).await;
    }
}

async fn latency<S: Opens>(settings: &Settings, with: S, without: &Place) {
    let without = S::open(without).await;
    let hanging = Receiver::hanging().await;
    backlog(&with, hanging.address, settings.scale(2_000, 100_000)).await;
    let (mut bad, mut good) = (Vec::new(), Vec::new());
    let (mut bad_p50, mut good_p50) = (Vec::new(), Vec::new());
    let events = settings.scale(200, 1_000);
    for round in 0..settings.scale(1, 6) {
        // Each round emits new events.
        let first = round * 10_000;
        let measured = if round % 2 == 0 {
            let bad = healthy(&with, first, events).await;
            (bad, healthy(&without, first, events).await)
        } else {
            let good = healthy(&without, first, events).await;
            (healthy(&with, first, events).await, good)
        };
        bad_p50.push(table::median(measured.0.clone()));
        good_p50.push(table::median(measured.1.clone()));
        bad.extend(measured.0);
        good.extend(measured.1);
    }
    table::rounds("ms to receipt at a healthy endpoint, p50", &bad_p50, &good_p50, Bound::None);
    let (bad, good) = (table::quantile(bad, 0.99), table::quantile(good, 0.99));
    table::row("ms to receipt at a healthy endpoint, p99", bad, good, Bound::AtMost(2.0));
}

/// Sends 100 events a second to nine healthy endpoints, while the dispatcher also attempts the other due
/// deliveries.
async fn healthy<S: Store + Subscriptions + Clone + 'static>(store: &S, first: u64, events: u64) -> Vec<f64> {
    let board = Board::new((first + events) as usize);
    let mut receivers = Vec::new();
    for number in 0..HEALTHY {
        let receiver = Receiver::start(&board).await;
        let organization = organization(number);
        // Remove the subscriptions of the previous round, because their endpoints are gone.
        for old in store.subscriptions(organization).await.expect("the store answers").subscriptions {
            store.delete(old.id, OffsetDateTime::now_utc()).await.expect("the store answers");
        }
        let subscription = subscription(organization, receiver.address, 0);
        store.put(&subscription).await.expect("the store takes it");
        receivers.push(receiver);
    }
    let wake = Wake::new();
    let outbox = Outbox::new(store.clone(), Contract::allison()).with_wake(&wake);
    // The time-out ends several times in a round, so that the round includes the work at its end.
    let contract = Contract::allison().with_timeout(Duration::from_secs(2));
    let dispatcher = dispatcher(store.clone(), contract).with_drain_deadline(Duration::from_millis(100));
    let dispatching = Dispatching::start(dispatcher.with_wake(&wake));
    sleep(Duration::from_millis(300)).await;
    let mut clock = interval(Duration::from_millis(10));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in first..first + events {
        clock.tick().await;
        board.emitting(number);
        let organization = organization(number % HEALTHY);
        outbox.emit(organization, &envelope(number)).await.expect("the store takes it");
    }
    board.arrived(events as usize).await;
    dispatching.stop().await;
    board.latencies(first..first + events)
}

async fn memory(settings: &Settings, kind: Kind, server: Option<&Server>) {
    // The memory store holds pending deliveries in this process, so its memory says nothing about the
    // dispatcher.
    if kind == Kind::Memory {
        return;
    }
    let mut peaks = Vec::new();
    let depths = [1_000, settings.scale(2_000, 100_000), settings.scale(5_000, 1_000_000)];
    for depth in depths {
        let place = Place::new(kind, server).await;
        let (address, depth) = (place.address(), depth.to_string());
        // Another process fills the store, so that only the dispatcher's own peak counts.
        process::child(&["fill", kind.name(), &address, &depth]);
        peaks.push(process::child(&["dispatch", kind.name(), &address])[0]);
        place.clean_up().await;
    }
    for (depth, peak) in depths.into_iter().zip(&peaks).skip(1) {
        let name = format!("peak MiB of a dispatcher, {depth} pending against 1000");
        table::row(&name, *peak, peaks[0], Bound::AtMost(1.2));
    }
}

/// Runs in a child process: leaves deliveries pending for an endpoint that will hang.
pub(crate) async fn fill(place: Place, depth: u64) {
    let address = "127.0.0.1:9".parse().expect("the address is one");
    with_store!(place, store => backlog(&store, address, depth).await);
}

/// Runs in a child process: dispatches to a hanging endpoint for a while and prints the peak memory.
pub(crate) async fn dispatch(place: Place) {
    let hanging = Receiver::hanging().await;
    with_store!(place, store => {
        for old in store.subscriptions("bad").await.expect("the store answers").subscriptions {
            let mut old = old.subscription.expect("it can be read");
            old.url = subscription("bad", hanging.address, 0).url;
            store.put(&old).await.expect("the store takes it");
        }
        let contract = Contract::allison().with_timeout(Duration::from_secs(1));
        let dispatcher = dispatcher(store, contract).with_drain_deadline(Duration::from_millis(100));
        let dispatching = Dispatching::start(dispatcher);
        sleep(Duration::from_secs(5)).await;
        dispatching.stop().await;
    });
    println!("{}", process::peak_memory());
}

async fn backlog<S: Store + Subscriptions>(store: &S, endpoint: SocketAddr, depth: u64) {
    let subscription = subscription("bad", endpoint, 0);
    store.put(&subscription).await.expect("the store takes it");
    let event_type: EventType = "call.ended".parse().expect("the type is one");
    let at = OffsetDateTime::now_utc() - Duration::from_secs(3_600);
    let mut number = 0;
    while number < depth {
        let batch = number..depth.min(number + 1_000);
        number = batch.end;
        let events: Vec<_> = batch
            .map(|number| {
                let at = at + Duration::from_micros(number);
                NewEvent::new(
                    "bad",
                    &Contract::allison(),
                    event_id(number),
                    event_type.clone(),
                    Bytes::from(body(number)),
                    at,
                )
                .with_delivery(DeliveryId::generate(), subscription.id)
            })
            .collect();
        store.insert(&events).await.expect("the store takes them");
    }
}

/// The organization that emits events for the healthy endpoint of this number.
fn organization(endpoint: u64) -> &'static str {
    ["org_0", "org_1", "org_2", "org_3", "org_4", "org_5", "org_6", "org_7", "org_8", "org_9"]
        [endpoint as usize]
}

const HEALTHY: u64 = 9;
