//! Ordering keys in PostgreSQL while everything happens at once: nothing is stranded, and no two of a key are in flight.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookwire::sqlx::postgres::{PgPool, PgPoolOptions};
use hookwire::sqlx::{self, AssertSqlSafe, Connection as _, Row as _};
use hookwire::store::postgres::PostgresStore;
use hookwire::store::{Claim, Claimed, Inserted, NewEvent, Settled, Settlement, Share};
use hookwire::{
    Attempt, DeadReason, DeliveryId, ErrorClass, Next, Outcome, Store as _, SubscriptionId,
    TransactionalStore as _,
};
use tokio::task::yield_now;

use crate::postgres_server::{self, prefix};
use crate::store_parts::{LEASE, NOW, delivery_id, event, subscription_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_delivery_ends_and_those_of_a_key_one_after_the_other() {
    // As many as fit into a test; HOOKWIRE_TEST_ROUNDS asks for more.
    let rounds = std::env::var("HOOKWIRE_TEST_ROUNDS").map_or(4, |rounds| rounds.parse().unwrap());
    for seed in 1..=rounds {
        Round::new(seed).await.run().await;
    }
}

struct Round {
    seed: u64,
    prefix: String,
    pool: PgPool,
    store: PostgresStore,
    // What happened before what, by the tests' own count.
    clock: AtomicU64,
    next: AtomicU32,
    producing: AtomicU32,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    made: BTreeMap<DeliveryId, Made>,
    in_flight: BTreeMap<(SubscriptionId, u64), DeliveryId>,
    cancelled: BTreeSet<DeliveryId>,
    /// When the first attempt began.
    begun: BTreeMap<DeliveryId, u64>,
}

/// When the call that inserted a delivery began, and when it was known to be committed.
#[derive(Clone, Copy)]
struct Made {
    lane: (SubscriptionId, u64),
    from: u64,
    to: u64,
}

impl Round {
    async fn new(seed: u64) -> Arc<Self> {
        let pool = PgPoolOptions::new().max_connections(16).connect(postgres_server::url()).await.unwrap();
        let prefix = prefix();
        let store = PostgresStore::builder().with_prefix(&prefix).open_pool(pool.clone()).await.unwrap();
        for number in 1..=SUBSCRIPTIONS {
            store.put_subscription(&subscription_of(number)).await.unwrap();
        }
        Arc::new(Self {
            seed,
            prefix,
            pool,
            store,
            clock: AtomicU64::new(0),
            next: AtomicU32::new(1),
            producing: AtomicU32::new(PRODUCERS),
            seen: Mutex::default(),
        })
    }

    async fn run(self: Arc<Self>) {
        let mut tasks = Vec::new();
        for number in 0..PRODUCERS {
            let round = Arc::clone(&self);
            tasks.push(tokio::spawn(async move {
                round.produce(Chance(round.seed * 100 + u64::from(number))).await
            }));
        }
        for number in 0..WORKERS {
            let round = Arc::clone(&self);
            tasks.push(tokio::spawn(async move { round.work(Chance(round.seed * 1_000 + number)).await }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        self.judge().await;
        self.pool.close().await;
    }

    async fn produce(&self, mut chance: Chance) {
        for _ in 0..BATCHES {
            let from = self.tick();
            let batch: Vec<_> = (0..1 + chance.below(3)).map(|_| self.event(&mut chance)).collect();
            let events: Vec<_> = batch.iter().map(|(event, _)| event.clone()).collect();
            let is_kept = match chance.below(10) {
                0..6 => {
                    let told = self.store.insert(&events).await.unwrap();
                    assert!(told.iter().all(|told| *told == Inserted::New));
                    true
                }
                chosen => {
                    let mut connection = self.pool.acquire().await.unwrap();
                    let mut transaction = connection.begin().await.unwrap();
                    self.store.insert_in(&mut transaction, &events).await.unwrap();
                    for _ in 0..chance.below(20) {
                        yield_now().await;
                    }
                    if chosen == 9 {
                        transaction.rollback().await.unwrap();
                    } else {
                        transaction.commit().await.unwrap();
                    }
                    chosen != 9
                }
            };
            let to = self.tick();
            if !is_kept {
                continue;
            }
            for (event, lane) in &batch {
                let (delivery, _) = event.deliveries[0];
                self.seen.lock().unwrap().made.insert(delivery, Made { lane: *lane, from, to });
                if chance.below(12) == 0 {
                    self.seen.lock().unwrap().cancelled.insert(delivery);
                    self.store.cancel(delivery, NOW).await.unwrap();
                }
            }
        }
        self.producing.fetch_sub(1, Ordering::SeqCst);
    }

    async fn work(&self, mut chance: Chance) {
        loop {
            let is_last = self.producing.load(Ordering::SeqCst) == 0;
            let look = self.store.look(NOW, 10).await.unwrap();
            if look.ready.is_empty() {
                // Nothing is leased for longer than a worker holds it, and nobody waits for time.
                if is_last && look.wait.is_none() {
                    return;
                }
                yield_now().await;
                continue;
            }
            let limit = 1 + u32::try_from(chance.below(6)).unwrap();
            let shares = look.ready.iter().map(|id| Share::new(*id, limit)).collect();
            let claims = self.store.claim(&Claim::new(NOW, LEASE, shares)).await.unwrap();
            assert!(claims.unreadable.is_empty());
            for claimed in &claims.deliveries {
                self.begin(claimed);
            }
            for _ in 0..chance.below(10) {
                yield_now().await;
            }
            let settlements: Vec<_> =
                claims.deliveries.iter().map(|claimed| self.end(claimed, &mut chance)).collect();
            let told = self.store.settle(&settlements).await.unwrap();
            for (settlement, told) in settlements.iter().zip(told) {
                let is_cancelled = self.seen.lock().unwrap().cancelled.contains(&settlement.delivery);
                assert!(told == Settled::Done || is_cancelled, "seed {}", self.seed);
            }
        }
    }

    fn begin(&self, claimed: &Claimed) {
        let lane = lane_of(claimed);
        let now = self.tick();
        let mut seen = self.seen.lock().unwrap();
        if let Some(lane) = lane
            && let Some(other) = seen.in_flight.insert(lane, claimed.delivery)
        {
            assert!(seen.cancelled.contains(&other), "two of one key in flight, seed {}", self.seed);
        }
        seen.begun.entry(claimed.delivery).or_insert(now);
    }

    /// What becomes of a delivery; from here on another of its key may begin.
    fn end(&self, claimed: &Claimed, chance: &mut Chance) -> Settlement {
        if let Some(lane) = lane_of(claimed) {
            let mut seen = self.seen.lock().unwrap();
            if seen.in_flight.get(&lane) == Some(&claimed.delivery) {
                seen.in_flight.remove(&lane);
            }
        }
        let (delivery, lease) = (claimed.delivery, claimed.lease);
        let attempt = Attempt::new(1, NOW, Duration::ZERO, Outcome::Failed(ErrorClass::Reset));
        match chance.below(10) {
            0 => Settlement::hand_back(delivery, lease, NOW),
            1 => Settlement::new(delivery, lease, NOW, attempt, Next::retry(Duration::from_micros(300))),
            2 => Settlement::new(delivery, lease, NOW, attempt, Next::dead(DeadReason::Refused)),
            _ => Settlement::new(delivery, lease, NOW, attempt, Next::Delivered),
        }
    }

    async fn judge(&self) {
        let sql = format!("SELECT count(*) FROM {}deliveries WHERE state = 'pending'", self.prefix);
        let stranded: i64 = sqlx::query(AssertSqlSafe(sql)).fetch_one(&self.pool).await.unwrap().get(0);
        assert_eq!(stranded, 0, "seed {}", self.seed);
        let seen = self.seen.lock().unwrap();
        // Of two of a key, the one that was there when the other's insertion began, begins first.
        for (one, first) in seen.made.iter().filter(|(_, made)| made.lane.1 != NO_KEY) {
            for (other, second) in &seen.made {
                let (Some(a), Some(b)) = (seen.begun.get(one), seen.begun.get(other)) else { continue };
                let is_ordered = first.lane == second.lane && first.to < second.from;
                assert!(!is_ordered || a < b, "{one} and {other} out of order, seed {}", self.seed);
            }
        }
        assert!(seen.begun.len() > 100, "seed {}", self.seed);
    }

    fn event(&self, chance: &mut Chance) -> (NewEvent, (SubscriptionId, u64)) {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let subscription =
            subscription_of(1 + u32::try_from(chance.below(u64::from(SUBSCRIPTIONS))).unwrap()).id;
        let key = chance.below(4);
        let mut event = event(number).with_ordering_key((key != NO_KEY).then(|| key.to_string()));
        event.payload = key.to_string().into();
        event.deliveries = vec![(delivery_id(number), subscription)];
        (event, (subscription, key))
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }
}

/// The payload tells the key.
fn lane_of(claimed: &Claimed) -> Option<(SubscriptionId, u64)> {
    let key = std::str::from_utf8(&claimed.payload).unwrap().parse().unwrap();
    (key != NO_KEY).then_some((claimed.subscription.id, key))
}

/// Numbers that a seed repeats (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)) % end
    }
}

const SUBSCRIPTIONS: u32 = 2;
const PRODUCERS: u32 = 6;
const BATCHES: u32 = 20;
const WORKERS: u64 = 4;
/// Deliveries without an ordering key are among the others.
const NO_KEY: u64 = 0;
