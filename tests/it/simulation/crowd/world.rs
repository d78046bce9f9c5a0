//! One run of a crowd: half an hour of events, then time for every retry and wait to end.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use hookwire::dispatch::{Dispatcher, Outbox, Wake};
use hookwire::subscription::{Authentication, Options, TokenSource};
use hookwire::testing::TokioClock;
use hookwire::{
    AddressPolicy, Clock as _, ContractId, DisabledReason, EndpointUrl, Envelope, EventFilter, EventId,
    MemoryStore, RawEvent, Secret, Subscription, SubscriptionId, SubscriptionStatus, Subscriptions as _,
};
use serde_json::json;
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::breakage::Breakage;
use super::checks::{Judge, Report};
use super::endpoints::{Client, Emitted, Endpoint, Kind, Stage, Token};
use super::platforms::{SERVED, platforms};
use super::store::Connection;
use crate::simulation::dice::Dice;

const NOON: OffsetDateTime = datetime!(2026-04-17 12:00 UTC);
const MINUTE: Duration = Duration::from_secs(60);
/// How long events are emitted.
const HORIZON: Duration = Duration::from_secs(30 * 60);
/// How many events an organization emits at once.
const RUSH: u64 = 40;
/// The age at which a delivery that waits for somebody expires.
pub(super) const EXPIRY: Duration = Duration::from_secs(60 * 60);

#[derive(Clone, Copy, Debug)]
pub(super) enum Size {
    /// A few dozen endpoints.
    Small,
    /// Hundreds.
    Large,
}

/// Runs the crowd of a seed, and its healthy endpoints alone.
pub(super) fn run(size: Size, seed: u64, breakage: Option<Breakage>) -> Report {
    let run = |is_alone, breakage| {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        // Create the world inside the runtime, where time is paused.
        runtime.block_on(async { World::new(size, seed, is_alone, breakage).live().await })
    };
    let mut report = run(false, breakage);
    report.compare(&run(true, None));
    report
}

struct World {
    dice: Dice,
    stage: Stage,
    store: Connection,
    clock: TokioClock,
    start: Instant,
    wakes: [Wake; 2],
    outboxes: Vec<Outbox<Connection>>,
    processes: [Option<Running>; 2],
    slots: [usize; 2],
    clients: [Client; 2],
    /// When each process is stopped and started again.
    restarts: Vec<(Duration, usize)>,
    organizations: u64,
    events: u64,
    /// The organization that emits many events at once: one with an endpoint that hangs.
    rush: Option<u64>,
    /// Whether the healthy endpoints are alone.
    is_alone: bool,
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl World {
    fn new(size: Size, seed: u64, is_alone: bool, breakage: Option<Breakage>) -> Self {
        let dice = Dice::new(seed ^ 0x0c20_3d00);
        let (endpoints, organizations, events, slots): (u64, _, _, &[usize]) = match size {
            Size::Small => (dice.within(12..=40), dice.within(3..=8), 60, &[64, 256]),
            Size::Large => (dice.within(300..=500), dice.within(40..=80), 500, &[64, 256]),
        };
        let (clock, start, stage) = (TokioClock::new(NOON), Instant::now(), Stage::new(platforms()));
        let within = |from: u64, until: u64| Duration::from_secs(dice.within(from..=until));
        let window = |chance, longest| {
            let from = within(60, 25 * 60);
            let window = (from, from + within(5, longest));
            dice.percent(chance).then_some(window)
        };
        let (away, unreadable, panics) = (window(50, 40), dice.pick(&[0, 20]), dice.pick(&[0, 10]));
        let outages = [window(50, 90), window(25, 90)];
        let restarts = (0..dice.within(0..=2)).map(|_| (within(60, 1_700), dice.within(0..=1) as usize));
        let mut restarts: Vec<_> = restarts.collect();
        restarts.sort_unstable();
        let slots = [dice.pick(slots), dice.pick(slots)];
        let at = |window: &(Duration, Duration)| {
            // Deliveries that were handed back wait for as long again.
            (NOON + window.0, NOON + window.1 + (window.1 - window.0) + Duration::from_secs(30))
        };
        stage.scene().outages.extend(outages.iter().chain([&away]).flatten().map(at));
        let client = |process: usize| Client {
            stage: stage.clone(),
            process,
            clock: clock.clone(),
            start,
            dice: dice.fork(),
            outage: outages[process],
            panics,
        };
        let clients = [client(0), client(1)];
        let setting = dice.fork();
        let store = Connection {
            inner: Arc::new(MemoryStore::new()),
            stage: stage.clone(),
            start,
            dice: dice.fork(),
            breakage,
            away,
            unreadable,
            unread: Arc::default(),
            leases: setting.percent(50),
            handed_over: Arc::default(),
        };
        let wakes = [Wake::new(), Wake::new()];
        let outbox = |place: usize| {
            let versions = stage.scene().platforms[place].versions.clone();
            let server = SERVED.iter().position(|served| served.contains(&place)).unwrap_or(0);
            Outbox::of(store.clone(), versions).with_wake(&wakes[server]).with_clock(clock.clone())
        };
        let outboxes = (0..4).map(outbox).collect();
        let mut world = Self {
            dice,
            stage,
            store,
            clock,
            start,
            wakes,
            outboxes,
            processes: [None, None],
            slots,
            clients,
            restarts,
            organizations,
            events,
            rush: None,
            is_alone,
        };
        for number in 0..endpoints {
            let hanging = world.draw_endpoint(&setting, number);
            world.rush = world.rush.or(hanging);
        }
        world
    }

    /// Draws an endpoint, and adds it unless it is a bad one and the healthy ones are alone. Returns the
    /// organization of one that hangs and speaks the first contract.
    fn draw_endpoint(&self, dice: &Dice, number: u64) -> Option<u64> {
        let kind = match dice.within(1..=100) {
            1..=30 => Kind::Good,
            31..=38 => Kind::Slow,
            39..=58 => Kind::Hanging,
            59..=70 => Kind::Refusing,
            71..=80 => Kind::Failing,
            81..=86 => Kind::Flapping(dice.within(20..=200)),
            87..=91 => Kind::Fainting(dice.within(20..=200)),
            92..=95 => Kind::Gone(dice.within(0..=5) as usize),
            _ => Kind::Busy(dice.within(1..=40)),
        };
        let platform = dice.pick(&[0, 0, 0, 1, 1, 2, 2, 3]);
        let token = match dice.within(1..=100) {
            1..=5 => Token::FailsAtTimes,
            6..=7 => Token::FailsAlways,
            _ => Token::None,
        };
        let disabled_at = dice.percent(6).then(|| Duration::from_secs(dice.within(0..=1_700)));
        let own = dice.within(1..=self.organizations);
        let organization = format!("org_{own}");
        let (is_old, secret, id) = (dice.percent(50), dice.bytes(), dice.bytes());
        let mut scene = self.stage.scene();
        let versions = &scene.platforms[platform].versions;
        let contract = versions.newest();
        let version = if is_old && platform == 0 { "v1" } else { contract.version() };
        let url = format!("https://hooks.example.com/{number}");
        let mut options = Options::new();
        if token != Token::None {
            options = options.with_authentication(Authentication::BearerFromSource).unwrap();
        }
        let mut subscription = Subscription::from_parts(
            SubscriptionId::from_parts(NOON, id),
            NOON,
            organization,
            ContractId::new(contract.name(), version).unwrap(),
            EndpointUrl::parse(&url, &AddressPolicy::new()).unwrap(),
            EventFilter::all(),
        )
        .with_options(options);
        let mut verifier = None;
        if contract.scheme().is_some() {
            let secret = Secret::from_random(secret);
            verifier = Some(contract.verifier(&secret).unwrap());
            subscription = subscription.with_secret(secret);
        }
        let endpoint = Endpoint {
            subscription,
            platform,
            kind,
            token,
            disabled_at,
            verifier,
            requests: BTreeMap::new(),
            seen: 0,
        };
        if !self.is_alone || endpoint.is_healthy() {
            scene.endpoints.insert(url, endpoint);
        }
        let hangs = kind == Kind::Hanging && platform == 0 && token == Token::None && disabled_at.is_none();
        hangs.then_some(own)
    }

    async fn live(mut self) -> Report {
        let subscriptions: Vec<_> =
            self.stage.scene().endpoints.values().map(|endpoint| endpoint.subscription.clone()).collect();
        for subscription in &subscriptions {
            self.store.inner.put(subscription).await.unwrap();
        }
        self.start_process(0);
        self.start_process(1);
        for (at, what) in self.schedule() {
            sleep_until(self.start + at).await;
            match what {
                Act::Emit { platform, organization, number } => self.emit(platform, organization, number),
                Act::Disable(id) => {
                    let status = SubscriptionStatus::disabled(DisabledReason::Manual, self.clock.now());
                    self.store.inner.set_status(id, &status).await.unwrap();
                }
                Act::Restart(process) => self.restart(process).await,
            }
        }
        let mut judge = Judge::new(self.stage.clone(), self.store.clone(), self.slots);
        // Nothing that was disabled has expired by then.
        sleep_until(self.start + EXPIRY - 5 * MINUTE).await;
        judge.nothing_has_expired().await;
        if !self.is_alone {
            // Time for the schedules, the waits of kept-back deliveries, and the expiry of both.
            sleep_until(self.start + HORIZON + 2 * EXPIRY + 60 * MINUTE).await;
        }
        for process in [0, 1] {
            self.stop(process).await;
        }
        judge.judge().await
    }

    fn schedule(&self) -> Vec<(Duration, Act)> {
        let mut acts: Vec<_> = (0..self.events)
            .map(|number| {
                let at = self.dice.within(1_000..=HORIZON.as_millis() as u64);
                let platform = self.dice.pick(&[0, 0, 0, 1, 1, 2, 2, 3]);
                let organization = self.dice.within(1..=self.organizations);
                (Duration::from_millis(at), Act::Emit { platform, organization, number })
            })
            .collect();
        let rush = self.rush.into_iter().flat_map(|organization| {
            (self.events..self.events + RUSH).map(move |number| {
                let at = HORIZON / 2 + Duration::from_millis(number);
                (at, Act::Emit { platform: 0, organization, number })
            })
        });
        acts.extend(rush);
        let scene = self.stage.scene();
        let disabled = scene
            .endpoints
            .values()
            .filter_map(|endpoint| Some((endpoint.disabled_at?, Act::Disable(endpoint.subscription.id))));
        acts.extend(disabled);
        acts.extend(self.restarts.iter().map(|(at, process)| (*at, Act::Restart(*process))));
        acts.sort_by_key(|(at, _)| *at);
        acts
    }

    /// Emits an event beside everything else, as a server's request would.
    fn emit(&self, platform: usize, organization: u64, number: u64) {
        let at = self.clock.now();
        let id: EventId = format!("evt_{number:024x}").parse().unwrap();
        let organization = format!("org_{organization}");
        let envelope = {
            let mut scene = self.stage.scene();
            let (event_type, contract) =
                (scene.platforms[platform].event_type, scene.platforms[platform].versions.newest());
            let data = crate::contracts::promised(contract, event_type, json!({ "number": number }));
            let event = RawEvent::new(event_type, data);
            let envelope =
                Envelope::from_parts(id.clone(), at.replace_nanosecond(0).unwrap(), event.unwrap());
            for (version, body) in scene.platforms[platform].bodies(&envelope, number) {
                scene.bodies.insert(body, (id.clone(), platform, version));
            }
            scene.events.insert(id, Emitted { platform, organization: organization.clone(), at });
            envelope
        };
        let outbox = self.outboxes[platform].clone();
        tokio::spawn(async move {
            // The store may be away.
            while outbox.emit(&organization, &envelope).await.is_err() {
                sleep(Duration::from_secs(1)).await;
            }
        });
    }

    fn start_process(&mut self, process: usize) {
        let contract = |place: usize| self.stage.scene().platforms[place].versions.newest().clone();
        let [first, second] = SERVED[process];
        let tokens = Tokens { stage: self.stage.clone(), start: self.start };
        let dispatcher = Dispatcher::new(self.store.clone(), self.clients[process].clone(), contract(first))
            .with_contract(contract(second))
            .unwrap()
            .with_clock(self.clock.clone())
            .with_wake(&self.wakes[process])
            .with_token_source(tokens)
            .with_max_in_flight(self.slots[process])
            .with_poll_interval(Duration::from_secs(20))
            .with_expiry(EXPIRY);
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move { dispatcher.run(async { drop(stopped.await) }).await });
        self.processes[process] = Some(Running { stop, task });
    }

    async fn restart(&mut self, process: usize) {
        let from = self.clock.now();
        self.stop(process).await;
        self.start_process(process);
        self.stage.scene().outages.push((from, self.clock.now() + Duration::from_secs(5)));
    }

    async fn stop(&mut self, process: usize) {
        if let Some(Running { stop, task }) = self.processes[process].take() {
            drop(stop);
            task.await.unwrap();
        }
    }
}

enum Act {
    Emit { platform: usize, organization: u64, number: u64 },
    Disable(SubscriptionId),
    Restart(usize),
}

/// A token source that has no tokens for some subscriptions, always or every other minute.
struct Tokens {
    stage: Stage,
    start: Instant,
}

impl TokenSource for Tokens {
    async fn token(&self, id: SubscriptionId) -> Result<Secret, Box<dyn StdError + Send + Sync>> {
        let scene = self.stage.scene();
        let of = scene.endpoints.values().find(|endpoint| endpoint.subscription.id == id);
        let is_silent = match of.map(|endpoint| endpoint.token) {
            Some(Token::FailsAlways) => true,
            Some(Token::FailsAtTimes) => (self.start.elapsed().as_secs() / 60) % 2 == 1,
            Some(Token::None) | None => false,
        };
        if is_silent { Err("there is no token".into()) } else { Ok(Secret::from_random([7; 32])) }
    }
}
