//! One run: subscriptions, dispatchers on one store, an operator, and faults, all from one seed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookwire::dispatch::{Dispatcher, EmitError, Outbox, Routing, Wake};
use hookwire::event::RawEvent;
use hookwire::store::Replay;
use hookwire::subscription::Options;
use hookwire::testing::TokioClock;
use hookwire::{
    AddressPolicy, Clock as _, DeliveryId, DisabledReason, EndpointUrl, Envelope, EventFilter, EventId,
    Records, Secret, Store as _, StoreError, Subscription, SubscriptionId, SubscriptionStatus,
};
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::defects::Defect;
use super::dice::Dice;
use super::model::{Counts, Model};
use super::network::{Act, Client, Network, Spell};
use super::store::{Connection, Plan, Shared};
use super::terms::Terms;

const NOON: OffsetDateTime = datetime!(2026-04-17 12:00 UTC);
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The result of a run.
#[derive(Debug, PartialEq)]
pub(crate) struct Report {
    pub(crate) contract: String,
    pub(crate) counts: Counts,
    pub(crate) simulated: Duration,
    pub(crate) violations: Vec<String>,
    pub(crate) trace: Vec<String>,
}

pub(crate) fn run(seed: u64, is_traced: bool, defect: Option<Defect>) -> Report {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    // Create the world inside the runtime, where time is paused.
    runtime.block_on(async { World::new(seed, is_traced, defect).live().await })
}

struct World {
    dice: Dice,
    shared: Arc<Shared>,
    network: Arc<Network>,
    store: Connection,
    outbox: Outbox<Connection>,
    wake: Wake,
    slots: Vec<Slot>,
    subscriptions: Vec<SubscriptionId>,
    /// The accepted events.
    accepted: Vec<(String, Envelope<RawEvent>)>,
    emitted: u64,
    is_calm: bool,
    jumps: bool,
    jumped: Duration,
    horizon: Duration,
    start: Instant,
}

/// A machine with its clock, where a dispatcher may run.
struct Slot {
    clock: TokioClock,
    running: Option<Running>,
}

struct Running {
    worker: usize,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl World {
    fn new(seed: u64, is_traced: bool, defect: Option<Defect>) -> Self {
        let dice = Dice::new(seed);
        let terms = Terms::drawn(&dice.fork());
        let contract = terms.contract.clone();
        let is_short = terms.delays.last().is_none_or(|last| *last < 60);
        let horizon = match dice.within(1..=100) {
            _ if is_short => dice.pick(&[MINUTE, 10 * MINUTE, HOUR]),
            1..=30 => 10 * MINUTE,
            31..=60 => 4 * HOUR,
            61..=95 => 40 * HOUR,
            _ => 7 * DAY,
        };
        let shared = Shared::new(Model::new(terms, is_traced), dice.fork(), defect);
        let clocks: Vec<_> = (0..dice.within(2..=3)).map(|_| TokioClock::new(NOON)).collect();
        let is_calm = dice.percent(15);
        let network = Network::new(&shared, dice.fork(), clocks[0].clone(), is_calm);
        let store = Connection::new(&shared, None);
        let wake = Wake::new();
        let outbox = Outbox::new(store.clone(), contract).with_wake(&wake).with_clock(clocks[0].clone());
        let jumps = !is_calm && dice.percent(25);
        Self {
            dice,
            shared,
            network,
            store,
            outbox,
            wake,
            slots: clocks.into_iter().map(|clock| Slot { clock, running: None }).collect(),
            subscriptions: Vec::new(),
            accepted: Vec::new(),
            emitted: 0,
            is_calm,
            jumps,
            jumped: Duration::ZERO,
            horizon: Duration::from_secs(horizon),
            start: Instant::now(),
        }
    }

    async fn live(mut self) -> Report {
        for number in 0..self.dice.within(1..=4) {
            self.subscribe(number).await;
        }
        if self.is_calm {
            self.network.heal();
        } else {
            self.draw_faults();
        }
        for slot in 0..self.slots.len() {
            self.start(slot);
        }
        for at in self.schedule() {
            sleep_until(at).await;
            self.act().await;
        }
        sleep_until(self.start + self.horizon).await;
        self.settle_down().await;
        self.report().await
    }

    async fn subscribe(&mut self, number: u64) {
        let id = SubscriptionId::from_parts(NOON, self.dice.bytes());
        let url = format!("https://hooks.example.com/{number}");
        let url = EndpointUrl::parse(&url, &AddressPolicy::new()).unwrap();
        let only = self.dice.percent(25).then(|| self.dice.pick(self.shared.model().terms.types));
        let filter = only.map_or_else(EventFilter::all, |only| EventFilter::new([only]).unwrap());
        if let Some(only) = only {
            self.shared.model().filters.insert(id, only);
        }
        let mut options = Options::new();
        if self.dice.percent(40) {
            options = options.with_max_in_flight(self.dice.within(1..=4) as u32).unwrap();
        }
        if self.dice.percent(25) {
            let per_second = self.dice.pick(&[0.05, 0.5, 3.0]);
            options = options.with_rate(per_second, self.dice.within(1..=5) as u32).unwrap();
        }
        let organization = if number < 3 { "org_1" } else { "org_2" };
        let contract = self.shared.model().terms.contract.clone();
        let mut subscription =
            Subscription::from_parts(id, NOON, organization, &contract, url, filter).with_options(options);
        if self.shared.model().terms.is_signed {
            subscription = subscription.with_secret(Secret::from_random(self.dice.bytes()));
        }
        self.store.put(&subscription).await.unwrap();
        self.subscriptions.push(id);
    }

    fn draw_faults(&self) {
        let dice = &self.dice;
        let rough = dice.pick(&[0, 0, 1, 4]);
        *self.shared.plan() = Plan {
            fails: rough * dice.within(0..=25),
            loses: rough * dice.within(0..=15),
            slow: rough * dice.within(0..=20),
            slowest: dice.pick(&[10, 1_000, 20_000, 90_000]),
            unreadable: dice.pick(&[0, 0, 0, 20]),
            refuses: dice.pick(&[0, 0, 0, 30]),
            ..Plan::default()
        };
        let horizon = self.horizon.as_millis() as u64;
        for id in &self.subscriptions {
            if dice.percent(15) {
                let from = self.start;
                let act = dice.pick(&[Act::Refuse, Act::Answer(500), Act::Hang]);
                self.network.misbehave(*id, Spell { from, until: from + self.horizon, act });
            }
            for _ in 0..dice.within(0..=3) {
                let from = self.start + Duration::from_millis(dice.within(0..=horizon));
                let act = Act::bad(dice);
                self.network.misbehave(*id, Spell { from, until: from + dice.millis(100..=horizon), act });
            }
        }
    }

    /// The times at which the operator acts.
    fn schedule(&self) -> Vec<Instant> {
        let horizon = self.horizon.as_millis() as u64;
        let mut at: Vec<_> = (0..self.dice.within(10..=60))
            .map(|_| self.start + Duration::from_millis(self.dice.within(0..=horizon * 9 / 10)))
            .collect();
        at.sort_unstable();
        at
    }

    fn start(&mut self, slot: usize) {
        let dice = &self.dice;
        let cap = dice.within(1..=6) as u32;
        let in_flight = dice.pick(&[1, 4, 16, 64]);
        let worker = self.shared.model().starts(cap, in_flight, slot);
        let clock = self.slots[slot].clock.clone();
        let client = Client::new(&self.network, worker, clock.clone());
        let contract = self.shared.model().terms.contract.clone();
        let horizon = self.horizon.as_millis() as u64;
        let mut dispatcher = Dispatcher::new(Connection::new(&self.shared, Some(worker)), client, contract)
            .with_clock(watched(clock))
            .with_batch(dice.pick(&[1, 3, 100]))
            .with_max_in_flight(in_flight)
            .with_max_in_flight_per_subscription(cap)
            .with_poll_interval(dice.millis((horizon / 300).max(100)..=(horizon / 50).max(5_000)))
            .with_drain_deadline(dice.millis(1..=40_000));
        if slot == 0 {
            dispatcher = dispatcher.with_wake(&self.wake);
            *self.shared.recipient.lock().unwrap() = Some(worker);
        }
        if dice.percent(50) {
            // The lease may be shorter than an attempt, and is then extended.
            dispatcher = dispatcher.with_lease(dice.millis(3_000..=600_000));
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move { dispatcher.run(async { drop(stopped.await) }).await });
        self.slots[slot].running = Some(Running { worker, stop, task });
    }

    async fn kill(&mut self, slot: usize) {
        let Some(running) = self.slots[slot].running.take() else { return };
        running.task.abort();
        let ended = running.task.await;
        let mut model = self.shared.model();
        if let Err(error) = ended.map_err(|error| error.is_panic().then_some(error))
            && let Some(error) = error
        {
            model.violated(format!("worker {} has panicked: {error}", running.worker));
        }
        model.counts.kills += 1;
        model.over(running.worker, "is killed");
    }

    async fn stop(&mut self, slot: usize) {
        let Some(running) = self.slots[slot].running.take() else { return };
        self.shared.model().stopping(running.worker);
        let since = Instant::now();
        // A dispatcher that has panicked no longer listens. The join below reports it.
        _ = running.stop.send(());
        if let Err(error) = running.task.await {
            self.shared.model().violated(format!("worker {} has panicked: {error}", running.worker));
        }
        self.shared.model().stopped(running.worker, since);
    }

    async fn act(&mut self) {
        let slot = self.dice.within(0..=self.slots.len() as u64 - 1) as usize;
        match self.dice.within(1..=100) {
            1..=50 => {
                for _ in 0..self.dice.within(1..=6) {
                    self.emit().await;
                }
            }
            51..=56 => self.cancel().await,
            57..=63 => self.replay().await,
            64..=66 => self.expunge().await,
            67..=72 => self.rotate().await,
            73..=78 => self.switch().await,
            79 => self.delete().await,
            80..=82 => self.emit_again().await,
            83..=85 => self.stop(slot).await,
            _ if self.is_calm => {}
            86..=89 => self.kill(slot).await,
            90..=92 => {
                self.shared.plan().away_until = Some(Instant::now() + self.dice.millis(100..=1_800_000))
            }
            93..=96 if self.jumps => self.jump(slot),
            _ => {}
        }
        for slot in 0..self.slots.len() {
            if self.slots[slot].running.is_none() && self.dice.percent(50) {
                self.start(slot);
            }
        }
    }

    async fn emit(&mut self) {
        self.emitted += 1;
        let organization = self.dice.pick(&["org_1", "org_1", "org_1", "org_2"]);
        let (event_type, ordered_by) = {
            let model = self.shared.model();
            (self.dice.pick(model.terms.types), model.terms.ordered_by)
        };
        let key = self.dice.percent(45).then(|| format!("key_{}", self.dice.within(1..=3)));
        let mut data = serde_json::json!({ "number": self.emitted });
        let mut routing = Routing::new();
        match (key, ordered_by) {
            (Some(key), Some(field)) if event_type.starts_with("Call") => data[field] = key.into(),
            (Some(key), _) => routing = routing.with_ordering_key(key),
            _ => {}
        }
        let id: EventId = format!("evt_{:016x}{:08x}", self.dice.next(), self.emitted).parse().unwrap();
        let at = self.slots[0].clock.now();
        let event = RawEvent::new(event_type, self.promised(event_type, data)).unwrap();
        let envelope = Envelope::from_parts(id, at.replace_nanosecond(0).unwrap(), event);
        // If an emit is given up, the event may be there or not.
        let tries = if self.dice.percent(10) { 1 } else { MANY };
        for _ in 0..tries {
            *self.shared.emit_began.lock().unwrap() = Some(Instant::now());
            match self.outbox.emit_with(organization, &envelope, routing.clone()).await {
                Ok(_) => {
                    let mut model = self.shared.model();
                    if !model.events.contains_key(&envelope.id) {
                        model.violated(format!("{} was accepted and is not stored", envelope.id));
                    }
                    self.accepted.push((organization.to_owned(), envelope));
                    return;
                }
                Err(EmitError::Store(_)) => sleep(Duration::from_secs(1)).await,
                Err(error) => return self.shared.model().violated(format!("an emit failed: {error}")),
            }
        }
    }

    fn promised(&self, event_type: &str, data: serde_json::Value) -> serde_json::Value {
        crate::contracts::promised(&self.shared.model().terms.contract, event_type, data)
    }

    /// Emits the same event again, or another event under its id.
    async fn emit_again(&mut self) {
        *self.shared.emit_began.lock().unwrap() = Some(Instant::now());
        if self.accepted.is_empty() {
            return;
        }
        let (organization, mut envelope) =
            self.accepted[self.dice.within(0..=self.accepted.len() as u64 - 1) as usize].clone();
        let is_other = self.dice.percent(50);
        if is_other {
            let data = self.promised(envelope.event_type(), serde_json::json!({ "other": true }));
            envelope.data = RawEvent::new(envelope.event_type(), data).unwrap();
        }
        let told = match self.outbox.emit(&organization, &envelope).await {
            Ok(emitted) => emitted.duplicate && !is_other,
            Err(EmitError::Conflict { .. }) => is_other,
            Err(_) => true,
        };
        if !told {
            self.shared.model().violated(format!("{} was emitted again and not told", envelope.id));
        }
    }

    async fn cancel(&mut self) {
        let id = {
            let model = self.shared.model();
            let pending: Vec<_> = model.pending().copied().collect();
            (!pending.is_empty()).then(|| self.dice.pick(&pending))
        };
        let Some(id) = id.filter(|_| self.dice.percent(90)).or_else(|| self.any_delivery()) else { return };
        let now = self.now();
        retrying(|| self.store.cancel(id, now)).await;
    }

    fn any_delivery(&self) -> Option<DeliveryId> {
        let all: Vec<_> = self.shared.model().rows.keys().copied().collect();
        (!all.is_empty()).then(|| self.dice.pick(&all))
    }

    async fn replay(&mut self) {
        let subscription = self.dice.pick(&self.subscriptions);
        let replay = match (self.dice.within(1..=3), self.any_delivery()) {
            (1, Some(delivery)) => Replay::Delivery(delivery),
            (2, _) => {
                let ago = self.dice.millis(1_000..=self.horizon.as_millis() as u64);
                Replay::Since(subscription, self.now() - ago)
            }
            _ => Replay::DeadLetters(subscription),
        };
        let limit = self.dice.pick(&[2, 100]);
        loop {
            let now = self.now();
            let replayed = retrying(|| self.store.replay(&replay, limit, now)).await;
            if replayed.is_none_or(|replayed| !replayed.more) {
                break;
            }
        }
        if self.dice.percent(50) {
            self.wake.wake();
        }
    }

    async fn expunge(&mut self) {
        if self.accepted.is_empty() {
            return;
        }
        let (organization, envelope) =
            &self.accepted[self.dice.within(0..=self.accepted.len() as u64 - 1) as usize];
        let now = self.now();
        retrying(|| self.store.expunge(organization, &envelope.id, now)).await;
    }

    async fn rotate(&mut self) {
        let id = self.dice.pick(&self.subscriptions);
        let Some(Some(mut subscription)) = retrying(|| self.store.subscription(id)).await else { return };
        match subscription.secrets.len() {
            0 => {}
            2.. if self.dice.percent(70) => subscription.secrets.truncate(1),
            _ => {
                let overlaps = self.dice.percent(60);
                subscription.secrets.insert(0, Secret::from_random(self.dice.bytes()).into());
                subscription.secrets.truncate(if overlaps { 2 } else { 1 });
            }
        }
        retrying(|| self.store.put(&subscription)).await;
    }

    async fn switch(&mut self) {
        let id = self.dice.pick(&self.subscriptions);
        let is_enabled = self.shared.model().subscriptions[&id].status == SubscriptionStatus::Enabled;
        let status = match is_enabled {
            true => SubscriptionStatus::disabled(DisabledReason::Manual, self.now()),
            false => SubscriptionStatus::Enabled,
        };
        retrying(|| self.store.set_status(id, &status)).await;
        if self.dice.percent(50) {
            self.wake.wake();
        }
    }

    async fn delete(&mut self) {
        let id = self.dice.pick(&self.subscriptions);
        let now = self.now();
        retrying(|| self.store.delete(id, now)).await;
    }

    /// Lets the clocks of one machine or of all machines jump ahead or back, by up to a day.
    fn jump(&mut self, slot: usize) {
        let by = self.dice.millis(1_000..=DAY * 1_000);
        let (is_ahead, all) = (self.dice.percent(50), self.dice.percent(60));
        self.jumped += by;
        for (number, other) in self.slots.iter().enumerate().filter(|(number, _)| all || *number == slot) {
            match is_ahead {
                true => other.clock.advance(by),
                false => other.clock.set(other.clock.now() - by),
            }
            self.shared.model().jumped(|| {
                format!(
                    "the clock of slot {number} jumps {} by {by:?}",
                    if is_ahead { "ahead" } else { "back" }
                )
            });
        }
    }

    /// Stops all faults. From now on, every delivery has to end.
    async fn settle_down(&mut self) {
        self.shared.model().note(|| "nothing goes wrong any more".to_owned());
        self.network.heal();
        *self.shared.plan() = Plan::default();
        for slot in 0..self.slots.len() {
            if self.slots[slot].running.is_none() {
                self.start(slot);
            }
        }
        for id in self.subscriptions.clone() {
            if self.dice.percent(70) {
                self.store.set_status(id, &SubscriptionStatus::Enabled).await.unwrap();
            }
        }
        let largest = self.shared.model().terms.largest_delay();
        let until = Instant::now() + 3 * largest + self.jumped + Duration::from_secs(6 * HOUR);
        let mut step = Duration::from_secs(1);
        while !self.shared.model().undelivered().is_empty() && Instant::now() < until {
            sleep(step).await;
            step = (step * 2).min(Duration::from_secs(HOUR));
        }
        for slot in 0..self.slots.len() {
            self.stop(slot).await;
        }
    }

    async fn report(self) -> Report {
        let deliveries: Vec<_> = self.shared.model().rows.keys().copied().collect();
        for id in deliveries {
            let organization = self.shared.model().organization_of(id).to_owned();
            let stored = self.shared.inner.find_delivery(&organization, id).await.unwrap();
            let log = self.shared.inner.list_attempts(id).await.unwrap();
            self.shared.model().check_stored(id, stored, &log);
        }
        let mut model = self.shared.model();
        model.check_end();
        let counts = model.counts;
        if self.is_calm && (counts.doubled > counts.handed_back || counts.taken_over > 0) {
            model.violated(format!("doubled or taken over without a fault: {counts:?}"));
        }
        Report {
            contract: model.terms.contract.name().to_owned(),
            counts,
            simulated: self.start.elapsed(),
            violations: std::mem::take(&mut model.violations),
            trace: model.trace.take().unwrap_or_default(),
        }
    }

    fn now(&self) -> OffsetDateTime {
        self.slots[0].clock.now()
    }
}

/// A clock that stops a dispatcher which only reads the time: within an instant, no other task would run.
fn watched(clock: TokioClock) -> impl hookwire::Clock {
    let last = Mutex::new((Instant::now(), 0));
    move || {
        let mut last = last.lock().unwrap();
        *last = if last.0 == Instant::now() { (last.0, last.1 + 1) } else { (Instant::now(), 0) };
        assert!(last.1 < 20_000, "the dispatcher spins");
        clock.now()
    }
}

/// Repeats the call until it works, as a patient operator does. Every call may be repeated.
async fn retrying<T, F: Future<Output = Result<T, StoreError>>>(call: impl Fn() -> F) -> Option<T> {
    for _ in 0..MANY {
        if let Ok(done) = call().await {
            return Some(done);
        }
        sleep(Duration::from_secs(2)).await;
    }
    None
}

const MANY: usize = 2_000;
