//! (c) One event to 10,000 subscriptions: the time of the emit, the time until all have received it, disk and
//! memory.

use std::time::Instant;

use hookwire::dispatch::{Outbox, Wake};
use hookwire::{Contract, Store, Subscriptions};

use crate::Settings;
use crate::event::envelope;
use crate::ours::{Dispatching, dispatcher, subscription};
use crate::place::{Kind, Place};
use crate::postgres::Server;
use crate::process;
use crate::receiver::{Board, Receiver};
use crate::table::{self, Bound};
use crate::with_store;

pub(crate) async fn run(settings: &Settings, server: Option<&Server>) {
    for kind in settings.kinds() {
        let subscriptions = settings.scale(500, 10_000);
        let mut measured = Vec::new();
        let mut sizes = Vec::new();
        // A small and a large payload, so that the difference shows the payload's share.
        for payload in [SMALL, LARGE] {
            let place = Place::new(kind, server).await;
            let arguments =
                ["fan-out", kind.name(), &place.address(), &subscriptions.to_string(), &payload.to_string()];
            measured.push(process::child(&arguments));
            sizes.push(place.size().await);
            place.clean_up().await;
        }
        let (small, large) = (&measured[0], &measured[1]);
        table::heading(
            &format!("(c) one event to {subscriptions} subscriptions, {}", kind.name()),
            "256 KiB",
            "1 KiB",
        );
        table::row("ms to emit", large[0], small[0], Bound::None);
        table::row("ms until all have it", large[1], small[1], Bound::None);
        table::row("deliveries/s", large[2], small[2], Bound::None);
        table::row("peak memory in MiB", large[3], small[3], Bound::None);
        let added = f64::from(LARGE - SMALL) / f64::from(1 << 20);
        if kind != Kind::Memory {
            table::row("MiB on the disk", sizes[1], sizes[0], Bound::None);
            table::row("payloads on the disk", (sizes[1] - sizes[0]) / added, 1.0, Bound::AtMost(2.0));
        }
    }
}

/// Runs in a child process: emits one event, waits for all receipts, and prints the figures.
pub(crate) async fn child(place: Place, subscriptions: u64, payload: usize) {
    with_store!(place, store => measure(store, subscriptions, payload).await);
}

async fn measure<S: Store + Subscriptions + Clone + 'static>(store: S, subscriptions: u64, payload: usize) {
    let board = Board::new(subscriptions as usize);
    let receiver = Receiver::start(&board).await;
    for number in 0..subscriptions {
        let subscription = subscription("org", receiver.address, number);
        store.put(&subscription).await.expect("the store takes it");
    }
    let wake = Wake::new();
    let outbox = Outbox::new(store.clone(), Contract::allison()).with_wake(&wake);
    let dispatching = Dispatching::start(dispatcher(store, Contract::allison()).with_wake(&wake));
    let mut event = envelope(0);
    event.data.summary = Some(noise(payload));
    let began = Instant::now();
    let emitted = outbox.emit("org", &event).await.expect("the store takes it");
    let emit = began.elapsed().as_secs_f64();
    assert_eq!(emitted.deliveries as u64, subscriptions, "each subscription wants it");
    board.arrived(subscriptions as usize).await;
    let all = began.elapsed().as_secs_f64();
    dispatching.stop().await;
    println!(
        "{} {} {} {}",
        emit * 1e3,
        all * 1e3,
        subscriptions as f64 / (all - emit),
        process::peak_memory()
    );
}

/// Returns text that a database cannot compress.
fn noise(len: usize) -> String {
    let mut state = 1_u64;
    let letters = (0..len).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + (state >> 58) as u8)
    });
    letters.map(|letter| if letter == '\\' { '~' } else { letter }).collect()
}

const SMALL: u32 = 1 << 10;
const LARGE: u32 = 256 << 10;
