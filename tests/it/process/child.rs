//! The child process: an application that emits, delivers, cancels and replays. It prints each action after
//! it is done.

use std::io::Write as _;
use std::num::NonZeroU32;
use std::time::Duration;

use hookwire::allison::{CallEnded, ContactCreated};
use hookwire::dispatch::{Dispatcher, Outbox, Routing, Wake};
use hookwire::store::StoreExt;
use hookwire::store::{DeliveryQuery, Replay};
use hookwire::{
    Contract, DeliveryState, EndpointUrl, Envelope, EventData, EventFilter, HyperClient, Records,
    RetryPolicy, Secret, Store, Subscription, SubscriptionId, Subscriptions,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::Dice;
use super::shop::{End, Fault, Shop, SqliteShop};
use super::told::Told;
use crate::endpoint::loopback;
use crate::stores::poll;

/// The parameters of a child process.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Assignment {
    pub(super) store: String,
    /// The URL of the endpoints' server.
    pub(super) endpoint: String,
    /// A name that distinguishes its events and ordering keys from those of other children.
    pub(super) name: String,
    pub(super) seed: u64,
    pub(super) lease: Duration,
    pub(super) emits: bool,
}

#[test]
#[ignore = "what the tests of this module start as a process of its own"]
fn child() {
    let Ok(assignment) = std::env::var("HOOKWIRE_CHILD") else { return };
    let assignment = serde_json::from_str(&assignment).unwrap();
    let (tell, commands) = watch::channel(Command::Work);
    std::thread::spawn(move || obey(&tell));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(open(assignment, commands));
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Command {
    Work,
    /// Emit nothing more, and end when everything was delivered.
    Drain,
    /// End at once, with a graceful shutdown.
    Stop,
}

pub(super) fn obey(tell: &watch::Sender<Command>) {
    for line in std::io::stdin().lines().map_while(Result::ok) {
        tell.send_replace(match line.as_str() {
            "drain" => Command::Drain,
            "stop" => Command::Stop,
            other => panic!("unknown command {other}"),
        });
    }
    // The parent is gone, so nobody else would end this process.
    std::process::exit(1);
}

async fn open(assignment: Assignment, commands: watch::Receiver<Command>) {
    // The test harness has already printed the start of this line.
    say("\n~ opening");
    match assignment.store.split_once(':').unwrap().0 {
        "sqlite" => work(SqliteShop::open(&assignment.store).await.unwrap(), assignment, commands).await,
        #[cfg(feature = "postgres")]
        "postgres" => {
            let shop = super::shop::PostgresShop::open(&assignment.store).await.unwrap();
            work(shop, assignment, commands).await;
        }
        other => panic!("no shop on {other}"),
    }
}

async fn work<S: Shop>(shop: S, assignment: Assignment, mut commands: watch::Receiver<Command>) {
    for (id, path) in ENDPOINTS {
        let url = EndpointUrl::parse(&format!("{}{path}", assignment.endpoint), &loopback()).unwrap();
        let made_at = OffsetDateTime::UNIX_EPOCH;
        let subscription = Subscription::from_parts(
            id,
            made_at,
            ORGANIZATION,
            &Contract::allison(),
            url,
            EventFilter::all(),
        )
        .with_secret(secret());
        shop.store().put(&subscription).await.unwrap();
    }
    say("opened");

    let wake = Wake::new();
    let client = HyperClient::builder().with_user_agent(&assignment.name).build().unwrap();
    let dispatcher = || {
        Dispatcher::new(Told(shop.store().clone()), client.clone(), contract())
            .with_address_policy(loopback())
            .with_wake(&wake)
            .with_lease(assignment.lease)
            .with_poll_interval(Duration::from_millis(50))
            .with_batch(BATCH)
            .with_max_in_flight(IN_FLIGHT)
    };
    let mut tasks = JoinSet::new();
    if assignment.emits {
        let mut dice = Dice(assignment.seed);
        let outbox = Outbox::new(Told(shop.store().clone()), contract()).with_wake(&wake);
        let mut hand = |number: u32| Hand {
            shop: shop.clone(),
            outbox: outbox.clone(),
            name: format!("{}-{number}", assignment.name),
            dice: Dice(dice.next()),
            commands: commands.clone(),
        };
        for number in 0..3 {
            tasks.spawn(hand(number).emit());
            tasks.spawn(hand(number + 3).order());
        }
        tasks.spawn(hand(6).operate());
        tasks.spawn(hand(7).step(dispatcher()));
    }
    let (shut_down, is_shut_down) = oneshot::channel::<()>();
    let mut running = tokio::spawn({
        let dispatcher = dispatcher();
        async move { dispatcher.run(async move { drop(is_shut_down.await) }).await }
    });
    let command = tokio::select! {
        command = commands.wait_for(|command| *command != Command::Work) => *command.unwrap(),
        ended = &mut running => panic!("the dispatcher ended by itself: {ended:?}"),
        // A task ends before the command only by a panic.
        Some(Err(panic)) = tasks.join_next() => panic!("a task ended by itself: {panic:?}"),
    };
    if command == Command::Drain {
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        let is_left = async || {
            let look = shop.store().look(&poll(10, OffsetDateTime::now_utc())).await;
            look.is_ok_and(|look| !look.ready.is_empty() || look.wait.is_some())
        };
        while is_left().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    shut_down.send(()).unwrap();
    running.await.unwrap();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// The tools of one task of the application.
struct Hand<S: Shop> {
    shop: S,
    outbox: Outbox<Told<S::Store>>,
    name: String,
    dice: Dice,
    commands: watch::Receiver<Command>,
}

impl<S: Shop> Hand<S> {
    /// Emits events.
    async fn emit(mut self) {
        while self.goes_on(10).await {
            let mut call = CallEnded::new(self.name.clone());
            call.summary = Some(self.text());
            let envelope = Envelope::new(call);
            let routing = self.trying("emit", &envelope);
            let emitted = self.outbox.emit_with(ORGANIZATION, &envelope, routing.clone()).await;
            let is_in = emitted.is_ok();
            self.ended("accepted", &envelope, emitted.map_err(Fault::from));
            if self.dice.one_in(8) {
                // Emit again, as after a call whose answer was lost.
                let again = self.outbox.emit_with(ORGANIZATION, &envelope, routing).await;
                assert!(!is_in || again.as_ref().map_or(true, |again| again.duplicate), "{again:?}");
                self.ended("accepted", &envelope, again.map_err(Fault::from));
            }
        }
    }

    /// Writes orders. Some of them are rolled back.
    async fn order(mut self) {
        while self.goes_on(10).await {
            let mut contact = ContactCreated::new(self.name.clone());
            contact.name = Some(self.text());
            let envelope = Envelope::new(contact);
            let (end, what, done) = match self.dice.below(10) {
                0 => (End::Drop, "give_up", "given_up"),
                1 | 2 => (End::RollBack, "give_up", "given_up"),
                _ => (End::Commit, "order", "committed"),
            };
            let routing = self.trying(what, &envelope);
            let emitted = self.shop.order(&self.outbox, &envelope, routing, end).await;
            // Some callers forget to wake the dispatcher, and some wake it for an event that was rolled back.
            if let (Ok(emitted), false) = (&emitted, self.dice.one_in(4)) {
                emitted.wake();
            }
            self.ended(done, &envelope, emitted.map(drop));
        }
    }

    /// Cancels and replays deliveries.
    async fn operate(mut self) {
        while self.goes_on(60).await {
            if let Err(fault) = self.operate_once().await {
                say(&format!("failed operation {fault:?}"));
            }
        }
    }

    async fn operate_once(&mut self) -> Result<(), Fault> {
        let store = self.shop.store();
        let (subscription, _) = ENDPOINTS[usize::from(self.dice.one_in(2))];
        let now = OffsetDateTime::now_utc();
        let query = DeliveryQuery::new(subscription);
        let found = store.list_deliveries(ORGANIZATION, &query, None, 40).await?.items;
        let pick = usize::try_from(self.dice.next() >> 1).unwrap();
        match self.dice.below(5) {
            0 | 1 => {
                let pending: Vec<_> =
                    found.iter().filter(|found| found.state == DeliveryState::Pending).collect();
                if pending.is_empty() {
                    return Ok(());
                }
                let id = pending[pick % pending.len()].id;
                say(&format!("trying_to cancel {id}"));
                if store.cancel(id, now).await? {
                    say(&format!("cancelled {id}"));
                }
            }
            2 | 3 if !found.is_empty() => {
                let id = found[pick % found.len()].id;
                say(&format!("trying_to replay {id}"));
                store.replay(&Replay::Delivery(id), 1, now).await?;
            }
            _ => {
                let batch = NonZeroU32::new(3).unwrap();
                store.replay_all(&Replay::DeadLetters(subscription), batch, now, |_| {}).await?;
            }
        }
        Ok(())
    }

    /// Steps a second dispatcher from time to time, beside the running one.
    async fn step(mut self, dispatcher: Dispatcher) {
        while self.goes_on(100).await {
            if let Err(error) = dispatcher.step(OffsetDateTime::now_utc()).await {
                say(&format!("failed step {error:?}"));
            }
        }
    }

    /// Waits a little. Returns whether the work goes on.
    async fn goes_on(&mut self, rest: u64) -> bool {
        tokio::time::sleep(Duration::from_millis(self.dice.below(rest))).await;
        *self.commands.borrow() == Command::Work
    }

    /// A few bytes, or more than a socket's buffer takes at once.
    fn text(&mut self) -> String {
        let length = if self.dice.one_in(20) { 300_000 } else { self.dice.below(300) };
        "lorem ".chars().cycle().take(usize::try_from(length).unwrap()).collect()
    }

    fn trying<T: EventData>(&mut self, what: &str, envelope: &Envelope<T>) -> Routing {
        let digest = hex::encode(Sha256::digest(contract().encode(envelope).unwrap()));
        let (routing, key) = if self.dice.one_in(3) {
            let key = format!("{}-{}", self.name, self.dice.below(2));
            (Routing::new().with_ordering_key(&key), key)
        } else {
            (Routing::new(), "-".to_owned())
        };
        say(&format!("trying_to {what} {} {digest} {key}", envelope.id));
        routing
    }

    fn ended<T, E>(&self, done: &str, envelope: &Envelope<T>, emitted: Result<E, Fault>) {
        match emitted {
            Ok(_) => say(&format!("{done} {}", envelope.id)),
            Err(fault) => say(&format!("failed {} {fault:?}", envelope.id)),
        }
    }
}

/// Writes a line in a single call, so that a kill never cuts it in two.
pub(super) fn say(text: &str) {
    let line = if text.starts_with('\n') { format!("{text}\n") } else { format!("~ {text}\n") };
    let mut output = std::io::stdout().lock();
    output.write_all(line.as_bytes()).unwrap();
    output.flush().unwrap();
}

/// Allison's contract with short retry delays.
fn contract() -> Contract {
    let delays = [20, 40, 80].map(Duration::from_millis);
    Contract::allison().with_retry(RetryPolicy::delays(delays).unwrap())
}

pub(super) fn secret() -> Secret {
    Secret::from_random([7; 32])
}

pub(super) const ORGANIZATION: &str = "org_1";
pub(super) const ENDPOINTS: [(SubscriptionId, &str); 2] =
    [(SubscriptionId::from_u128(1), "/first"), (SubscriptionId::from_u128(2), "/second")];
/// Attempts per delivery: one more than there are delays.
pub(super) const ATTEMPTS: usize = 4;
/// The running dispatcher's limit of attempts in flight.
pub(super) const IN_FLIGHT: usize = 16;
/// The limit of attempts in one step.
pub(super) const BATCH: u32 = 8;
