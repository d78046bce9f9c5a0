//! (a) From emit to receipt, ours beside the pipeline by hand on the same store, in turns.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use crate::Settings;
use crate::pipeline::{Endpoints, Pipeline, Side, emit_all};
use crate::place::{Kind, Place};
use crate::postgres::Server;
use crate::process;
use crate::receiver::{Board, Receiver};
use crate::table::{self, Bound};

pub(crate) async fn run(settings: &Settings, server: Option<&Server>) {
    for kind in settings.kinds() {
        table::heading(
            &format!(
                "(a) emit to receipt, {}, 600 B, {}; kept: the outbox keeps subscriptions for 1 s",
                kind.name(),
                counted(kind)
            ),
            "ours",
            "by hand",
        );
        if kind == Kind::Postgres {
            println!("  by hand each event is a commit; groups: what 100 wait for is one");
        }
        for endpoints in [1, 10] {
            throughput(settings, kind, endpoints, server).await;
        }
        light_load(settings, kind, server).await;
        memory(settings, kind, server).await;
    }
}

fn counted(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => "CPU of this process, receiver included, and of the server's processes",
        Kind::Memory | Kind::Sqlite => "CPU of this process, receiver included",
    }
}

async fn throughput(settings: &Settings, kind: Kind, endpoints: usize, server: Option<&Server>) {
    let events = match kind {
        Kind::Memory => settings.scale(1_000, 40_000),
        Kind::Sqlite | Kind::Postgres => settings.scale(500, 15_000),
    };
    let events = events / endpoints as u64;
    // Where a commit of one's own costs nothing or everything, who writes by hand has no choice.
    let sides = if kind == Kind::Postgres { &SIDES[..] } else { &SIDES[..3] };
    let mut samples = vec![Vec::new(); sides.len()];
    for round in 0..settings.scale(1, 9) as usize {
        for offset in 0..sides.len() {
            // Another begins each round, so that none always follows the same one.
            let which = (round + offset) % sides.len();
            samples[which].push(burst(sides[which], kind, endpoints, events, server).await);
        }
    }
    let deliveries = (events * endpoints as u64) as f64;
    let speed =
        |samples: &[Sample]| samples.iter().map(|sample| deliveries / sample.seconds).collect::<Vec<_>>();
    let cpu = |samples: &[Sample]| {
        samples.iter().map(|sample| sample.cpu / deliveries * 1_000.0).collect::<Vec<_>>()
    };
    let [ours, keeping, bare, gathering @ ..] = &samples[..] else { unreachable!("there are these sides") };
    let (fast, cheap) = (Bound::AtLeast(0.6), Bound::AtMost(1.7));
    let rows = [("", ours, bare, fast, cheap), (", kept", keeping, bare, fast, cheap)].into_iter();
    let groups = gathering.iter().map(|groups| (", groups", ours, groups, Bound::None, Bound::None));
    for (how, ours, bare, fast, cheap) in rows.chain(groups) {
        let name =
            |what| format!("{what}, {endpoints} endpoint{}{how}", if endpoints == 1 { "" } else { "s" });
        table::rounds(&name("deliveries/s"), &speed(ours), &speed(bare), fast);
        table::rounds(&name("CPU s per 1,000"), &cpu(ours), &cpu(bare), cheap);
    }
}

#[derive(Clone)]
struct Sample {
    seconds: f64,
    cpu: f64,
}

/// As fast as it goes, in a store of its own, after a start that is not counted.
async fn burst(side: Side, kind: Kind, endpoints: usize, events: u64, server: Option<&Server>) -> Sample {
    let place = Place::new(kind, server).await;
    let warm_up = events / 20;
    let deliveries = |events| events as usize * endpoints;
    let board = Board::new(deliveries(warm_up + events));
    let (receivers, endpoints) = receivers(endpoints, warm_up + events, &board).await;
    let pipeline = Arc::new(side.start(&place, &endpoints).await);
    emit_all(&pipeline, &board, 0..warm_up).await;
    board.arrived(deliveries(warm_up)).await;
    let (cpu, began) = (cpu(server), Instant::now());
    emit_all(&pipeline, &board, warm_up..warm_up + events).await;
    board.arrived(deliveries(warm_up + events)).await;
    let sample = Sample { seconds: began.elapsed().as_secs_f64(), cpu: self::cpu(server) - cpu };
    stop(pipeline).await;
    drop(receivers);
    place.clean_up().await;
    sample
}

fn cpu(server: Option<&Server>) -> f64 {
    process::cpu() + server.map_or(0.0, |server| process::cpu_of_family(server.pid()))
}

async fn light_load(settings: &Settings, kind: Kind, server: Option<&Server>) {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    let (mut ours_p50, mut bare_p50) = (Vec::new(), Vec::new());
    for round in 0..settings.scale(1, 8) {
        let mut sides = [(Side::Ours, &mut ours, &mut ours_p50), (Side::Bare, &mut bare, &mut bare_p50)];
        if round % 2 == 1 {
            sides.reverse();
        }
        for (side, all, medians) in sides {
            let latencies = trickle(side, kind, settings.scale(20, 60), server).await;
            medians.push(table::median(latencies.clone()));
            all.extend(latencies);
        }
    }
    table::rounds("ms to receipt at 20 events/s, p50", &ours_p50, &bare_p50, Bound::AtMost(1.5));
    // Too few in one round for a quantile this far out.
    let (ours, bare) = (table::quantile(ours, 0.99), table::quantile(bare, 0.99));
    table::row("ms to receipt at 20 events/s, p99", ours, bare, Bound::AtMost(1.5));
}

/// 20 events a second, one at a time, after so many that every connection of a pool knows its statements.
async fn trickle(side: Side, kind: Kind, events: u64, server: Option<&Server>) -> Vec<f64> {
    let place = Place::new(kind, server).await;
    let warm_up = 500;
    let board = Board::new((warm_up + events) as usize);
    let (receivers, endpoints) = receivers(1, warm_up + events, &board).await;
    let pipeline = Arc::new(side.start(&place, &endpoints).await);
    emit_all(&pipeline, &board, 0..warm_up).await;
    board.arrived(warm_up as usize).await;
    let mut clock = interval(Duration::from_millis(50));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in warm_up..warm_up + events {
        clock.tick().await;
        board.emitting(number);
        pipeline.emit(number).await;
    }
    board.arrived((warm_up + events) as usize).await;
    stop(pipeline).await;
    drop(receivers);
    place.clean_up().await;
    board.latencies(warm_up..warm_up + events)
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

/// In a child process: a burst, of which the peak memory is printed.
pub(crate) async fn child(side: Side, place: Place, events: u64) {
    let board = Board::new(events as usize);
    let (_receivers, endpoints) = receivers(1, events, &board).await;
    let pipeline = Arc::new(side.start(&place, &endpoints).await);
    emit_all(&pipeline, &board, 0..events).await;
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

const SIDES: [Side; 4] = [Side::Ours, Side::Keeping, Side::Bare, Side::Gathering];
