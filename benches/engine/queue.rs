//! (b) Claim and settle through the store's trait, in batches of 100, at three depths in turns, then for a
//! minute beside inserts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookwire::delivery::Next;
use hookwire::store::implement::{Claim, NewEvent, Settled, Settlement, Share};
use hookwire::store::postgres::PostgresStore;
use hookwire::store::sqlite::SqliteStore;
use hookwire::{Attempt, DeliveryId, EventType, MemoryStore, Outcome, Store, SubscriptionId, Subscriptions};
use http::StatusCode;
use time::OffsetDateTime;

use crate::Settings;
use crate::event::{body, event_id};
use crate::ours::{Opens, subscription};
use crate::place::{Kind, Place};
use crate::postgres::Server;
use crate::table::{self, Bound};

pub(crate) async fn run(settings: &Settings, server: Option<&Server>) {
    for kind in settings.kinds() {
        table::heading(&format!("(b) claim and settle, {}, rows/s", kind.name()), "deep, late", "shallow");
        for subscriptions in [1, 10] {
            match kind {
                Kind::Memory => measure::<Arc<MemoryStore>>(settings, subscriptions, server).await,
                Kind::Sqlite => measure::<SqliteStore>(settings, subscriptions, server).await,
                Kind::Postgres => measure::<PostgresStore>(settings, subscriptions, server).await,
            }
        }
    }
}

async fn measure<S: Opens>(settings: &Settings, subscriptions: usize, server: Option<&Server>) {
    depths::<S>(settings, subscriptions, server).await;
    steady::<S>(settings, subscriptions, server).await;
}

async fn depths<S: Opens>(settings: &Settings, subscriptions: usize, server: Option<&Server>) {
    let depths = [1_000, settings.scale(2_000, 100_000), settings.scale(5_000, 1_000_000)];
    let mut places = Vec::new();
    let mut queues = Vec::new();
    for depth in depths {
        let place = Place::new(S::KIND, server).await;
        let mut queue = Queue::new(S::open(&place).await, subscriptions).await;
        queue.insert(depth).await;
        queues.push(queue);
        places.push(place);
    }
    let mut speeds = [const { Vec::new() }; 3];
    for round in 0..settings.scale(3, 45) as usize {
        for offset in 0..queues.len() {
            let which = (round + offset) % queues.len();
            speeds[which].push(queues[which].drain(settings.scale(2, 8)).await);
        }
    }
    let [shallow, middle, deep] = &speeds;
    let to = of(subscriptions);
    table::rounds(&format!("100 thousand against 1 thousand, {to}"), middle, shallow, Bound::AtLeast(0.8));
    table::rounds(&format!("1 million against 1 thousand, {to}"), deep, shallow, Bound::AtLeast(0.8));
    drop(queues);
    for place in places {
        place.clean_up().await;
    }
}

/// Inserts, claims and settles at once, with a few batches pending.
async fn steady<S: Opens>(settings: &Settings, subscriptions: usize, server: Option<&Server>) {
    let place = Place::new(S::KIND, server).await;
    let queue = Queue::new(S::open(&place).await, subscriptions).await;
    let seconds = settings.scale(1, 60);
    let (first, last) = at_once(queue, seconds).await;
    let to = of(subscriptions);
    table::row(&format!("last against first of {seconds} s, {to}"), last, first, Bound::AtLeast(0.9));
    place.clean_up().await;
}

fn of(subscriptions: usize) -> String {
    format!("{subscriptions} subscription{}", if subscriptions == 1 { "" } else { "s" })
}

/// A store with pending deliveries that is claimed from as a dispatcher's lanes do it.
struct Queue<S> {
    store: S,
    subscriptions: Vec<SubscriptionId>,
    inserted: u64,
    began: OffsetDateTime,
    hints: Hints,
}

/// The start of each subscription's scan: after the last claimed delivery, and at the beginning again about
/// once a second.
struct Hints {
    since: Vec<Option<OffsetDateTime>>,
    began: Instant,
}

impl Hints {
    fn new(subscriptions: usize) -> Self {
        Self { since: vec![None; subscriptions], began: Instant::now() }
    }

    fn since(&mut self, subscription: usize) -> Option<OffsetDateTime> {
        if self.began.elapsed() > Duration::from_secs(1) {
            *self = Self::new(self.since.len());
        }
        self.since[subscription]
    }
}

impl<S: Store + Subscriptions> Queue<S> {
    async fn new(store: S, subscriptions: usize) -> Self {
        let address = "127.0.0.1:9".parse().expect("the address is one");
        let mut ids = Vec::new();
        for _ in 0..subscriptions {
            let subscription = subscription("org", address, 0);
            store.put(&subscription).await.expect("the store takes it");
            ids.push(subscription.id);
        }
        let began = OffsetDateTime::now_utc() - Duration::from_secs(86_400);
        Self { store, subscriptions: ids, inserted: 0, began, hints: Hints::new(subscriptions) }
    }

    /// Inserts `count` more due deliveries, one for each event, to the subscriptions in turn.
    async fn insert(&mut self, count: u64) {
        let end = self.inserted + count;
        while self.inserted < end {
            let batch = self.inserted..end.min(self.inserted + 1_000);
            let events: Vec<_> = batch
                .clone()
                .map(|number| {
                    let to = self.subscriptions[number as usize % self.subscriptions.len()];
                    new_event(number, to, self.began + Duration::from_micros(number))
                })
                .collect();
            self.store.insert(&events).await.expect("the store takes them");
            self.inserted = batch.end;
        }
    }

    /// Claims and settles this many batches and refills each. Returns rows per second without the time of the
    /// refills.
    async fn drain(&mut self, batches: u64) -> f64 {
        let mut took = Duration::ZERO;
        let mut rows = 0;
        for _ in 0..batches {
            let began = Instant::now();
            let batch = claim_and_settle(&self.store, &self.subscriptions, &mut self.hints).await;
            took += began.elapsed();
            assert_eq!(batch, BATCH, "there is enough to claim");
            rows += batch;
            self.insert(batch).await;
        }
        rows as f64 / took.as_secs_f64()
    }
}

async fn claim_and_settle<S: Store>(store: &S, subscriptions: &[SubscriptionId], hints: &mut Hints) -> u64 {
    let now = OffsetDateTime::now_utc();
    let share = (BATCH as usize / subscriptions.len()) as u32;
    let shares: Vec<_> = subscriptions
        .iter()
        .enumerate()
        .map(|(which, id)| Share::new(*id, share).with_since(hints.since(which)))
        .collect();
    let claims = store
        .claim(&Claim::new(vec!["allison".to_owned()], Duration::from_secs(60), shares, now))
        .await
        .expect("the store gives");
    for (which, id) in subscriptions.iter().enumerate() {
        let taken = claims.deliveries.iter().filter(|claimed| claimed.subscription.id == *id);
        // If a claim found nothing, the next scan starts at the beginning.
        hints.since[which] = taken.filter_map(|claimed| claimed.due_at).max();
    }
    let settlements: Vec<_> = claims
        .deliveries
        .iter()
        .map(|claimed| {
            let attempt = Attempt::new(1, now, Duration::from_millis(3), Outcome::answered(StatusCode::OK));
            Settlement::new(claimed.delivery, claimed.lease, attempt, Next::Done, now)
        })
        .collect();
    let settled = store.settle(&settlements).await.expect("the store takes them");
    assert!(settled.iter().all(|settled| *settled == Settled::Done), "nobody else claims");
    settlements.len() as u64
}

/// Rows per second in the first and in the last part.
async fn at_once<S: Opens>(queue: Queue<S>, seconds: u64) -> (f64, f64) {
    let Queue { store, subscriptions, mut hints, .. } = queue;
    let pending = Arc::new(AtomicI64::new(0));
    let settled = Arc::new(AtomicU64::new(0));
    let inserter = {
        let (store, pending, subscriptions) = (store.clone(), Arc::clone(&pending), subscriptions.clone());
        tokio::spawn(async move {
            let mut number = 0;
            loop {
                if pending.load(Ordering::Relaxed) > 20 * BATCH as i64 {
                    tokio::time::sleep(Duration::from_micros(200)).await;
                    continue;
                }
                let now = OffsetDateTime::now_utc();
                let to = |number: u64| subscriptions[number as usize % subscriptions.len()];
                let events: Vec<_> =
                    (number..number + BATCH).map(|number| new_event(number, to(number), now)).collect();
                store.insert(&events).await.expect("the store takes them");
                pending.fetch_add(BATCH as i64, Ordering::Relaxed);
                number += BATCH;
            }
        })
    };
    let worker = {
        let settled = Arc::clone(&settled);
        tokio::spawn(async move {
            loop {
                let rows = claim_and_settle(&store, &subscriptions, &mut hints).await;
                store.forget().await;
                pending.fetch_sub(rows as i64, Ordering::Relaxed);
                settled.fetch_add(rows, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        })
    };
    let mut marks = VecDeque::from([(Instant::now(), 0)]);
    for _ in 0..seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        marks.push_back((Instant::now(), settled.load(Ordering::Relaxed)));
    }
    inserter.abort();
    worker.abort();
    let part = (seconds as usize).min(PART);
    let speed = |from: usize| {
        let ((began, before), (ended, after)) = (marks[from], marks[from + part]);
        (after - before) as f64 / (ended - began).as_secs_f64()
    };
    let part_from_end = marks.len() - 1 - part;
    (speed(0), speed(part_from_end))
}

fn new_event(number: u64, to: SubscriptionId, at: OffsetDateTime) -> NewEvent {
    let event_type: EventType = "call.ended".parse().expect("the type is one");
    NewEvent::new(
        "org",
        &hookwire::Contract::allison(),
        event_id(number),
        event_type,
        Bytes::from(body(number)),
        at,
    )
    .with_delivery(DeliveryId::generate(), to)
}

const BATCH: u64 = 100;
/// Length in seconds of the part that is measured at the start and at the end.
const PART: usize = 5;
