//! The child process: an application that receives, handles and dies.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use hookwire::receive::axum::store_first;
use hookwire::receive::{Answer, Arrival, Incident, Received, Receiver, Rejection};
use hookwire::{Contract, DataError, Envelope, Intake as _, RetryPolicy, allison};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use super::super::Dice;
use super::super::child::{Command, obey, say, secret};
use super::super::shop::Fault;
#[cfg(feature = "postgres")]
use super::book::PostgresBook;
use super::book::{Book, SqliteBook};

/// The parameters of a child process.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Assignment {
    pub(super) store: String,
    pub(super) name: String,
    pub(super) seed: u64,
    pub(super) mode: Mode,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(super) enum Mode {
    /// Handles before it answers, in one transaction with the inbox.
    Inbox,
    /// Stores, answers, then handles.
    Intake,
}

#[test]
#[ignore = "what the tests of this module start as a process of its own"]
fn desk() {
    let Ok(assignment) = std::env::var("HOOKWIRE_CHILD") else { return };
    let assignment = serde_json::from_str(&assignment).unwrap();
    let (tell, commands) = watch::channel(Command::Work);
    std::thread::spawn(move || obey(&tell));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(open(assignment, commands));
}

async fn open(assignment: Assignment, commands: watch::Receiver<Command>) {
    // The test harness has already printed the start of this line.
    say("\n~ opening");
    match assignment.store.split_once(':').unwrap().0 {
        "sqlite" => work(SqliteBook::open(&assignment.store).await.unwrap(), assignment, commands).await,
        #[cfg(feature = "postgres")]
        "postgres" => work(PostgresBook::open(&assignment.store).await.unwrap(), assignment, commands).await,
        other => panic!("no book on {other}"),
    }
}

async fn work<B: Book>(book: B, assignment: Assignment, mut commands: watch::Receiver<Command>) {
    let desk = Arc::new(Desk {
        book: book.clone(),
        name: assignment.name,
        dice: Mutex::new(Dice(assignment.seed)),
        receiver: Arc::new(
            Receiver::signed(Contract::allison(), &secret())
                .unwrap()
                .with_inbox(book.store().clone())
                .with_handling_lease(Duration::from_millis(500)),
        ),
    });
    let app = match assignment.mode {
        Mode::Inbox => Router::new().route("/", post(receive::<B>)).with_state(Arc::clone(&desk)),
        Mode::Intake => Router::new().route("/", store_first(Arc::clone(&desk.receiver))),
    };
    let handler = Arc::clone(&desk);
    let worker = desk
        .receiver
        .worker(move |event: Result<Envelope<allison::Event>, Box<DataError>>| {
            let desk = Arc::clone(&handler);
            async move { desk.handle(event?).await }
        })
        .with_max_concurrent(CONCURRENT)
        .with_lease(Duration::from_secs(3))
        .with_poll_interval(Duration::from_millis(50))
        .with_retry(RetryPolicy::exponential(RETRY, 1.0).with_max_delay(RETRY).build().unwrap())
        .with_observer(|incident| match incident {
            Incident::Stale { key, .. } => say(&format!("stale {}", key.id)),
            other => say(&format!("incident {other}")),
        });
    let (shut_down, is_shut_down) = oneshot::channel::<()>();
    let working = tokio::spawn(async move { worker.run(async move { drop(is_shut_down.await) }).await });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    say(&format!("listening {}", listener.local_addr().unwrap()));
    tokio::spawn(async move { axum::serve(listener, app).await });

    commands.wait_for(|command| *command != Command::Work).await.unwrap();
    while book.store().next_due("allison", OffsetDateTime::now_utc()).await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    shut_down.send(()).unwrap();
    working.await.unwrap();
}

struct Desk<B: Book> {
    book: B,
    name: String,
    dice: Mutex<Dice>,
    receiver: Arc<Receiver<B::Store>>,
}

async fn receive<B: Book>(
    State(desk): State<Arc<Desk<B>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Answer, Rejection> {
    let now = OffsetDateTime::now_utc();
    let proven = desk.receiver.admit_shared(Arrival::post(&headers), now)?.prove(&body, now).await?;
    let (envelope, receipt) = match proven.receive::<allison::Event>().await? {
        Received::Event { envelope, receipt, .. } => (envelope, receipt),
        Received::Duplicate { .. } => return Ok(Answer::OK),
        _ => panic!("nothing else is sent"),
    };
    if desk.one_in(10) {
        receipt.release().await?;
        return Err(Rejection::Handler("a bad day".into()));
    }
    desk.rest().await;
    let rest = desk.draw(5);
    let handled = desk.book.handle_and_commit(envelope.id.as_str(), &desk.name, receipt, rest).await;
    desk.rest().await;
    match handled.map_err(Rejection::Handler)? {
        true => Ok(Answer::OK),
        // Another process has the event and answers the sender's next attempt.
        false => Err(Rejection::InFlight),
    }
}

impl<B: Book> Desk<B> {
    async fn handle(&self, event: Envelope<allison::Event>) -> Result<(), Fault> {
        self.rest().await;
        if self.one_in(10) {
            return Err("a bad day".into());
        }
        self.book.handle(event.id.as_str(), &self.name).await?;
        self.rest().await;
        Ok(())
    }

    /// A pause, so that a kill at any moment finds unfinished work.
    async fn rest(&self) {
        tokio::time::sleep(self.draw(8)).await;
    }

    fn draw(&self, most: u64) -> Duration {
        Duration::from_millis(self.dice.lock().unwrap().below(most))
    }

    fn one_in(&self, many: u64) -> bool {
        self.dice.lock().unwrap().one_in(many)
    }
}

/// The worker's limit of events that are handled at once.
pub(super) const CONCURRENT: usize = 8;
const RETRY: Duration = Duration::from_millis(20);
