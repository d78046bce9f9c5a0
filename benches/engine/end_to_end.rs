//! (a) From emit to receipt: our pipeline and the handwritten one on the same store, in turns.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::Settings;
use crate::pipeline::{Endpoints, Pipeline, Side, produce};
use crate::place::{Kind, Place};
use crate::postgres::Server;
use crate::process;
use crate::receiver::{Board, Receiver};
use crate::table::{self, Bound};

pub(crate) async fn run(settings: &Settings, server: Option<&Server>) {
    for kind in settings.kinds() {
        let counted = match kind {
            Kind::Postgres => "CPU of this process, receiver included, and of the server's processes",
            Kind::Memory | Kind::Sqlite => "CPU of this process, receiver included",
        };
        let title = format!("(a) emit to receipt, {}, 600 B, {counted}", kind.name());
        table::heading(&title, "ours", "by hand");
        let goals = Goals::of(kind);
        for load in [
            Load { endpoints: 1, producers: 16, fast: goals.few, cheap: goals.cheap_one },
            Load { endpoints: 1, producers: 128, fast: goals.many, cheap: Bound::None },
            Load { endpoints: 10, producers: 16, fast: goals.ten, cheap: goals.cheap_ten },
        ] {
            throughput(settings, kind, load, server).await;
        }
        for (rate, drops) in [(20, false), (500, false), (20, true), (500, true)] {
            latency(settings, kind, rate, drops, goals.quick, server).await;
        }
        memory(settings, kind, server).await;
    }
}

/// The ratios to reach.
struct Goals {
    /// Deliveries a second at one endpoint with 16 producers, and with 128.
    few: Bound,
    many: Bound,
    /// Deliveries a second at ten endpoints.
    ten: Bound,
    /// Processor time at one endpoint, and at ten.
    cheap_one: Bound,
    cheap_ten: Bound,
    /// Median time to receipt.
    quick: Bound,
}

impl Goals {
    const fn of(kind: Kind) -> Self {
        let (few, many, ten, cheap_one, cheap_ten, quick) = match kind {
            Kind::Memory => (0.9, 0.9, 0.85, 1.2, 1.2, 1.3),
            Kind::Sqlite => (0.7, 0.7, 0.7, 1.6, 1.5, 1.0),
            Kind::Postgres => (1.0, 1.8, 0.9, 1.0, 1.2, 1.0),
        };
        Self {
            few: Bound::AtLeast(few),
            many: Bound::AtLeast(many),
            ten: Bound::AtLeast(ten),
            cheap_one: Bound::AtMost(cheap_one),
            cheap_ten: Bound::AtMost(cheap_ten),
            quick: Bound::AtMost(quick),
        }
    }
}

#[derive(Clone, Copy)]
struct Load {
    endpoints: usize,
    producers: u32,
    fast: Bound,
    cheap: Bound,
}

async fn throughput(settings: &Settings, kind: Kind, load: Load, server: Option<&Server>) {
    let events = match kind {
        Kind::Memory => settings.scale(1_000, 40_000),
        Kind::Sqlite | Kind::Postgres => settings.scale(500, 15_000),
    };
    let events = events / load.endpoints as u64;
    let mut samples = [const { Vec::new() }; SIDES.len()];
    for round in 0..settings.scale(1, 9) as usize {
        for offset in 0..SIDES.len() {
            // Each round begins with another side, so that no side always follows the same one.
            let which = (round + offset) % SIDES.len();
            samples[which].push(burst(SIDES[which], kind, load, events, server).await);
        }
    }
    let deliveries = (events * load.endpoints as u64) as f64;
    let figures = |samples: &[Sample], figure: fn(&Sample, f64) -> f64| {
        samples.iter().map(|sample| figure(sample, deliveries)).collect::<Vec<_>>()
    };
    let [ours, bare] = &samples;
    let endpoints = if load.endpoints == 1 { "1 endpoint" } else { &format!("{} endpoints", load.endpoints) };
    let row = |what: &str, figure: fn(&Sample, f64) -> f64, bound| {
        let name = format!("{what}, {endpoints}, {} producers", load.producers);
        table::rounds(&name, &figures(ours, figure), &figures(bare, figure), bound);
    };
    row("deliveries/s", |sample, deliveries| deliveries / sample.seconds, load.fast);
    row("CPU s per 1,000", |sample, deliveries| sample.cpu / deliveries * 1_000.0, load.cheap);
    row("ms to emit, p50", |sample, _| sample.emit_p50, Bound::None);
    row("ms to emit, p99", |sample, _| sample.emit_p99, Bound::None);
}

struct Sample {
    seconds: f64,
    cpu: f64,
    emit_p50: f64,
    emit_p99: f64,
}

/// Measures full speed in a new store, after a warm-up that does not count.
async fn burst(side: Side, kind: Kind, load: Load, events: u64, server: Option<&Server>) -> Sample {
    let place = Place::new(kind, server).await;
    let warm_up = events / 20;
    let deliveries = |events| events as usize * load.endpoints;
    let board = Board::new(deliveries(warm_up + events));
    let (receivers, endpoints) = receivers(load.endpoints, warm_up + events, &board).await;
    let pipeline = Arc::new(side.start(&place, &endpoints, load.producers).await);
    produce(load.producers, &pipeline, &board, 0..warm_up).await;
    board.arrived(deliveries(warm_up)).await;
    let (cpu, began) = (cpu(server), Instant::now());
    let emits = produce(load.producers, &pipeline, &board, warm_up..warm_up + events).await;
    board.arrived(deliveries(warm_up + events)).await;
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), self::cpu(server) - cpu);
    let (emit_p50, emit_p99) = (table::median(emits.clone()), table::quantile(emits, 0.99));
    stop(pipeline).await;
    drop(receivers);
    place.clean_up().await;
    Sample { seconds, cpu, emit_p50, emit_p99 }
}

fn cpu(server: Option<&Server>) -> f64 {
    process::cpu() + server.map_or(0.0, |server| process::cpu_of_family(server.pid()))
}

/// Measures the time to receipt at this many events a second. With `drops`, every tenth event is accompanied
/// by one whose emit is given up after it has begun.
async fn latency(
    settings: &Settings,
    kind: Kind,
    rate: u64,
    drops: bool,
    quick: Bound,
    server: Option<&Server>,
) {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    let (mut ours_p50, mut bare_p50) = (Vec::new(), Vec::new());
    let events = settings.scale(20, (rate * 3).min(1_000));
    for round in 0..settings.scale(1, 8) {
        let mut sides = [(Side::Ours, &mut ours, &mut ours_p50), (Side::Bare, &mut bare, &mut bare_p50)];
        if round % 2 == 1 {
            sides.reverse();
        }
        for (side, all, medians) in sides {
            let latencies = trickle(side, kind, rate, drops, events, server).await;
            medians.push(table::median(latencies.clone()));
            all.extend(latencies);
        }
    }
    let how = if drops { ", 10 % of emits dropped" } else { "" };
    table::rounds(&format!("ms to receipt at {rate}/s{how}, p50"), &ours_p50, &bare_p50, quick);
    // One round has too few samples for p99, so it is taken over all rounds.
    let (ours, bare) = (table::quantile(ours, 0.99), table::quantile(bare, 0.99));
    table::row(&format!("ms to receipt at {rate}/s{how}, p99"), ours, bare, Bound::AtMost(1.5));
}

/// Emits events at a steady rate, each in a task of its own. The warm-up is long enough to prepare the
/// statements on every pooled connection.
async fn trickle(
    side: Side,
    kind: Kind,
    rate: u64,
    drops: bool,
    events: u64,
    server: Option<&Server>,
) -> Vec<f64> {
    let place = Place::new(kind, server).await;
    let warm_up = 500;
    let all = warm_up + events;
    let board = Board::new(all as usize);
    // The events of dropped emits have numbers that the board does not count, as some of them arrive.
    let (receivers, endpoints) = receivers(1, 2 * all, &board).await;
    let pipeline = Arc::new(side.start(&place, &endpoints, PRODUCERS).await);
    produce(PRODUCERS, &pipeline, &board, 0..warm_up).await;
    board.arrived(warm_up as usize).await;
    let mut clock = interval(Duration::from_secs(1) / rate as u32);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut emits = JoinSet::new();
    for number in warm_up..all {
        clock.tick().await;
        board.emitting(number);
        let emitting = Arc::clone(&pipeline);
        emits.spawn(async move { emitting.emit(number).await });
        if drops && number % 10 == 0 {
            drop(timeout(Duration::ZERO, pipeline.emit(all + number)).await);
        }
    }
    emits.join_all().await;
    board.arrived(all as usize).await;
    stop(pipeline).await;
    drop(receivers);
    place.clean_up().await;
    board.latencies(warm_up..all)
}

async fn memory(settings: &Settings, kind: Kind, server: Option<&Server>) {
    let events = settings.scale(500, 20_000);
    let mut peaks = Vec::new();
    for side in ["ours", "bare"] {
        let place = Place::new(kind, server).await;
        let arguments = ["burst", side, kind.name(), &place.address(), &events.to_string()];
        peaks.push(process::child(&arguments)[0]);
        place.clean_up().await;
    }
    let name = format!("peak memory in MiB, {events} events");
    table::row(&name, peaks[0], peaks[1], Bound::None);
}

/// Runs in a child process: sends a burst and prints the peak memory.
pub(crate) async fn child(side: Side, place: Place, events: u64) {
    let board = Board::new(events as usize);
    let (_receivers, endpoints) = receivers(1, events, &board).await;
    let pipeline = Arc::new(side.start(&place, &endpoints, PRODUCERS).await);
    produce(PRODUCERS, &pipeline, &board, 0..events).await;
    board.arrived(events as usize).await;
    stop(pipeline).await;
    println!("{}", process::peak_memory());
}

async fn receivers(count: usize, events: u64, board: &Arc<Board>) -> (Vec<Receiver>, Endpoints) {
    let mut receivers = Vec::new();
    for _ in 0..count {
        receivers.push(Receiver::start(board).await);
    }
    let addresses = receivers.iter().map(|receiver| receiver.address).collect();
    (receivers, Endpoints { addresses, events })
}

async fn stop(pipeline: Arc<Box<dyn Pipeline>>) {
    let pipeline = Arc::into_inner(pipeline).expect("the emitting tasks have ended");
    pipeline.stop().await;
}

const SIDES: [Side; 2] = [Side::Ours, Side::Bare];

/// How many tasks emit where the number is not what is measured.
const PRODUCERS: u32 = 16;
