//! A primary that dies under load, and the standby that takes its place.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookwire::dispatch::Outbox;
use hookwire::sqlx::postgres::PgPoolOptions;
use hookwire::store::postgres::PostgresStore;
use hookwire::{DeliveryState, EventId};

use super::accounted_for;
use crate::door::Door;
use crate::endpoint::Endpoint;
use crate::engine::running::Running;
use crate::engine::{Stage, call};
use crate::postgres_server::Server;

mod a_standby_that_is_promoted_under_load_goes_on_and_nothing_is_lost {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn when_the_primary_is_killed() {
        let site = Pair::start().await;
        let stage = site.open().await;
        site.fail_over(stage, Death::Loud, "the server is a standby").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn when_the_primary_falls_silent() {
        let site = Pair::start().await;
        let stage = site.open().await;
        site.fail_over(stage, Death::Silent, "the server is a standby").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn on_a_pool_of_the_application() {
        let site = Pair::start().await;
        let pool = PgPoolOptions::new().max_connections(6).acquire_timeout(Duration::from_secs(2));
        let pool = pool.connect(&site.url()).await.unwrap();
        let store = PostgresStore::builder().open_pool(pool).await.unwrap();
        site.fail_over(Stage::on(store, ()), Death::Loud, "read-only").await;
    }
}

#[derive(Eq, PartialEq)]
enum Death {
    Loud,
    Silent,
}

/// Two servers with streaming replication, and the address that leads to one of them.
struct Pair {
    primary: Server,
    standby: Server,
    door: Door,
}

impl Pair {
    async fn start() -> Self {
        let primary = Server::start_durable();
        let standby = primary.start_standby();
        let door = Door::to(primary.port()).await;
        Self { primary, standby, door }
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.door.port())
    }

    /// A store that would wait for an answer for ten minutes.
    async fn open(&self) -> Stage<PostgresStore> {
        let builder = PostgresStore::builder()
            .with_connections(6)
            .with_acquire_timeout(Duration::from_secs(2))
            .with_call_timeout(Duration::from_secs(600));
        Stage::on(builder.connect(&self.url()).await.unwrap(), ())
    }

    /// `wrong` is how the errors read while the address leads to the standby and nobody has promoted it.
    async fn fail_over(&self, stage: Stage<PostgresStore>, death: Death, wrong: &str) {
        let endpoint = Endpoint::start([]).await;
        let subscription = stage.subscribe(&endpoint).await;
        let running = Running::start(stage.dispatcher().with_poll_interval(Duration::from_millis(50)));
        let load = Load::start(&stage);
        load.reaches(50).await;
        match death {
            Death::Loud => {
                self.primary.kill_all();
                self.door.cut();
            }
            Death::Silent => self.door.silence(),
        }
        self.door.lead_to(self.standby.port());
        load.meets(wrong).await;
        self.standby.promote();
        let accepted = load.accepted.lock().unwrap().len();
        load.reaches(accepted + 50).await;
        let accepted = load.stop().await;
        while stage.deliveries(&subscription).await.iter().any(|d| d.state != DeliveryState::Delivered) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        running.stop().await;
        accounted_for(&stage, &subscription, &endpoint, &accepted).await;
    }
}

/// Eight tasks that emit. Each repeats an event until it is accepted.
struct Load {
    tasks: Vec<tokio::task::JoinHandle<()>>,
    accepted: Arc<Mutex<Vec<EventId>>>,
    errors: Arc<Mutex<BTreeSet<String>>>,
    is_over: Arc<AtomicBool>,
}

impl Load {
    fn start(stage: &Stage<PostgresStore>) -> Self {
        let (accepted, errors, is_over) =
            <(Arc<Mutex<Vec<_>>>, Arc<Mutex<BTreeSet<_>>>, Arc<AtomicBool>)>::default();
        let task = |_| {
            let outbox = Outbox::new(Arc::clone(&stage.store), stage.contract.clone());
            let (accepted, errors, is_over) =
                (Arc::clone(&accepted), Arc::clone(&errors), Arc::clone(&is_over));
            tokio::spawn(async move {
                while !is_over.load(Ordering::SeqCst) {
                    let envelope = call();
                    loop {
                        match outbox.emit("org_1", &envelope).await {
                            Ok(emitted) => break accepted.lock().unwrap().push(emitted.id),
                            Err(error) => {
                                let mut cause = error.source();
                                let mut said = error.to_string();
                                while let Some(error) = cause {
                                    said = format!("{said}: {error}");
                                    cause = error.source();
                                }
                                errors.lock().unwrap().insert(said);
                                tokio::time::sleep(Duration::from_millis(10)).await;
                            }
                        }
                    }
                }
            })
        };
        let tasks = (0..8).map(task).collect();
        Self { tasks, accepted, errors, is_over }
    }

    /// Waits until so many events are accepted.
    async fn reaches(&self, count: usize) {
        let reached = async {
            while self.accepted.lock().unwrap().len() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let reached = tokio::time::timeout(PATIENCE, reached).await;
        assert!(reached.is_ok(), "{:#?}", self.errors.lock().unwrap());
    }

    /// Waits for an error with these words.
    async fn meets(&self, words: &str) {
        let met = async {
            while !self.errors.lock().unwrap().iter().any(|error| error.contains(words)) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let met = tokio::time::timeout(PATIENCE, met).await;
        assert!(met.is_ok(), "{:#?}", self.errors.lock().unwrap());
    }

    async fn stop(self) -> Vec<EventId> {
        self.is_over.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.unwrap();
        }
        std::mem::take(&mut *self.accepted.lock().unwrap())
    }
}

/// Only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(60);
