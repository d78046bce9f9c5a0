//! Processes that die: children that emit and deliver are killed at any moment and restarted, or stopped for
//! longer than their leases and continued. The requests at the endpoints are compared with the children's
//! reports.
//!
//! [`arrivals`] does the same to receiving processes.
//!
//! A child is this test binary with [`child::child`] as its only test. The short form runs with the other
//! tests. `HOOKWIRE_KILLS` sets the number of kills (and a fourth as many stops) of the long form. A failed
//! run prints its `HOOKWIRE_SEED`. The seed gives the same moments and the same mixture again, if
//! `HOOKWIRE_KILLS` is the same or 40 or more. The scheduler's choices still differ.

#[cfg(feature = "axum")]
mod arrivals;
mod child;
mod ledger;
mod receiver;
mod shop;
mod told;
mod worker;

use std::time::Duration;

use self::child::Assignment;
use self::ledger::{Ledger, Run};
use self::receiver::Receiver;
#[cfg(feature = "postgres")]
use self::shop::PostgresShop;
use self::shop::{Shop, SqliteShop};
use self::worker::Worker;
#[cfg(feature = "postgres")]
use crate::postgres_server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_on_sqlite_by_a_process_that_is_killed_at_any_moment() {
    for (seed, kills) in campaign(16) {
        let file = SqliteFile::new();
        killed::<SqliteShop>(&file.url(), None, seed, kills).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_doubled_on_sqlite_by_a_process_that_is_stopped_for_longer_than_its_leases() {
    for (seed, stops) in campaign(24) {
        let file = SqliteFile::new();
        stopped::<SqliteShop>(&file.url(), seed, stops.div_ceil(4)).await;
    }
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_on_postgres_by_a_process_or_a_server_that_is_killed_at_any_moment() {
    let server = tokio::task::block_in_place(Server::start_durable);
    let outage = || {
        server.kill_all();
        server.restart();
    };
    for (seed, kills) in campaign(16) {
        let url = new_database(&server.url(), seed).await;
        killed::<PostgresShop>(&url, Some(&outage), seed, kills).await;
    }
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_doubled_on_postgres_by_a_process_that_is_stopped_for_longer_than_its_leases() {
    let server = tokio::task::block_in_place(Server::start);
    for (seed, stops) in campaign(24) {
        let url = new_database(&server.url(), seed).await;
        stopped::<PostgresShop>(&url, seed, stops.div_ceil(4)).await;
    }
}

/// Runs one process after the other and kills each but the last. The last one delivers the rest.
async fn killed<S: Shop>(url: &str, outage: Option<Outage<'_>>, seed: u64, kills: u32) {
    let mut dice = Dice(seed);
    let receiver = Receiver::start(dice.next()).await;
    let lease = Duration::from_secs(2);
    let assignment = |name: String, seed, emits| Assignment {
        store: url.to_owned(),
        endpoint: receiver.url(),
        name,
        seed,
        lease,
        emits,
    };
    let mut runs: Vec<Run> = Vec::new();
    for round in 0..kills {
        let mut worker = Worker::start(&assignment(format!("r{round}"), dice.next(), true));
        // The first kills hit the creation of the tables.
        if round < 5 || dice.one_in(4) {
            worker.said("opening").await;
            // Opening takes a few milliseconds or many, depending on the machine.
            let most = 1_000 << dice.below(7);
            tokio::time::sleep(Duration::from_micros(dice.below(most))).await;
        } else {
            worker.said("opened").await;
            tokio::time::sleep(Duration::from_millis(dice.below(800))).await;
            if let Some(outage) = outage.filter(|_| dice.one_in(3)) {
                worker.suffer(outage);
                tokio::time::sleep(Duration::from_millis(dice.below(300))).await;
            }
            if dice.one_in(6) {
                worker.tell("stop");
                tokio::time::sleep(Duration::from_millis(dice.below(100))).await;
            }
        }
        runs.push(worker.kill());
    }
    let last = Worker::start(&assignment("last".to_owned(), dice.next(), false));
    runs.push(drained(last, &receiver).await);
    let ledger = Ledger::read(&runs, receiver.receptions());
    ledger.prove::<S>(url, seed, lease).await;
}

/// Runs two processes on one store. Again and again, one of them is stopped for longer than its leases while
/// the other goes on.
async fn stopped<S: Shop>(url: &str, seed: u64, stops: u32) {
    let mut dice = Dice(seed);
    let receiver = Receiver::start(dice.next()).await;
    let lease = Duration::from_millis(400);
    let mut workers = ["left", "right"].map(|name| {
        Worker::start(&Assignment {
            store: url.to_owned(),
            endpoint: receiver.url(),
            name: name.to_owned(),
            seed: dice.next(),
            lease,
            emits: true,
        })
    });
    for worker in &workers {
        worker.said("opened").await;
    }
    for _ in 0..stops {
        tokio::time::sleep(Duration::from_millis(dice.below(200))).await;
        let stopped = if dice.one_in(2) { &workers[0] } else { &workers[1] };
        // Slow answers, so that attempts are in flight when the process stops and their answers arrive
        // meanwhile.
        receiver.set_slow(true);
        tokio::time::sleep(Duration::from_millis(dice.below(100))).await;
        stopped.stop_for(lease + Duration::from_millis(100 + dice.below(500))).await;
        receiver.set_slow(false);
    }
    let mut runs = Vec::new();
    // Drain both at once: while one still emits, the other never runs out of work.
    for worker in &mut workers {
        worker.tell("drain");
    }
    for worker in workers {
        runs.push(drained(worker, &receiver).await);
    }
    let ledger = Ledger::read(&runs, receiver.receptions());
    ledger.prove::<S>(url, seed, lease).await;
}

/// Lets a process deliver the rest. It may take any time as long as it makes progress.
async fn drained(mut worker: Worker, receiver: &Receiver) -> Run {
    worker.tell("drain");
    let mut seen = (0, 0);
    let mut quiet = 0;
    while !worker.has_ended() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = (receiver.count(), worker.lines());
        quiet = if now == seen { quiet + 1 } else { 0 };
        seen = now;
        // A lease, a retry and a probe each take seconds. Without progress for a minute, the process waits
        // for ever.
        assert!(quiet < 3_000, "it does not deliver what is left, and nothing happens any more");
    }
    worker.end()
}

/// Seeds, and the number of kills under each. Each database gets only a few dozen kills, so that a seed can
/// be repeated quickly.
fn campaign(short: u32) -> Vec<(u64, u32)> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("expected a number"));
    let kills = number("HOOKWIRE_KILLS").map_or(short, |kills| u32::try_from(kills).unwrap());
    let seed = number("HOOKWIRE_SEED").unwrap_or_else(|| {
        let mut random = [0; 8];
        getrandom::fill(&mut random).unwrap();
        // A short seed, because somebody may have to type it.
        u64::from_le_bytes(random) >> 40
    });
    let parts = kills.div_ceil(KILLS_PER_SEED);
    (0..parts)
        .map(|part| (seed + u64::from(part), (kills - part * KILLS_PER_SEED).min(KILLS_PER_SEED)))
        .collect()
}

/// Kills the database's server and restarts it.
type Outage<'a> = &'a (dyn Fn() + Sync);

/// A database file that does not exist yet.
struct SqliteFile(tempfile::TempDir);

impl SqliteFile {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.0.path().join("shop.db").display())
    }
}

/// The URL of a new database for this seed, on the server of `url`.
#[cfg(feature = "postgres")]
async fn new_database(url: &str, seed: u64) -> String {
    use hookwire::sqlx::{AssertSqlSafe, Connection as _, PgConnection};

    let mut connection = PgConnection::connect(url).await.unwrap();
    let create = AssertSqlSafe(format!("CREATE DATABASE shop_{seed}"));
    hookwire::sqlx::raw_sql(create).execute(&mut connection).await.unwrap();
    let mut url: url::Url = url.parse().unwrap();
    url.set_path(&format!("shop_{seed}"));
    url.into()
}

const KILLS_PER_SEED: u32 = 40;

/// Random numbers that follow from a seed: SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
}
