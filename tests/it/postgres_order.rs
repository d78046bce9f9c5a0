//! Ordering keys in PostgreSQL under concurrent calls: no delivery is stranded, and no two of a key are in
//! flight.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookwire::delivery::Next;
use hookwire::sqlx::postgres::{PgPool, PgPoolOptions};
use hookwire::sqlx::{self, AssertSqlSafe, Connection as _, Row as _};
use hookwire::store::implement::{InsertOutcome, Leased, NewDelivery, NewEvent, Settled, Settlement, Share};
use hookwire::store::postgres::PostgresStore;
use hookwire::{
    Attempt, DeadReason, DeliveryId, DisabledReason, ErrorClass, Outcome, Records, Store as _,
    SubscriptionId, SubscriptionStatus, Subscriptions, TransactionalStore as _,
};
use tokio::task::yield_now;

use crate::postgres_server::{self, prefix};
use crate::store_parts::{LEASE, NOW, delivery_id, event, subscription_of};
use crate::stores::{claim_of, poll};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_delivery_ends_and_those_of_a_key_one_after_the_other() {
    // The default fits into a test run; HOOKWIRE_TEST_ROUNDS sets another number.
    let rounds = std::env::var("HOOKWIRE_TEST_ROUNDS").map_or(4, |rounds| rounds.parse().unwrap());
    for seed in 1..=rounds {
        Round::new(seed).await.run().await;
    }
}

/// Whatever ends deliveries locks their order group first, and waits for no row then: a settlement, which has
/// locked rows and waits for the group or for the next head, can go on.
#[tokio::test]
async fn ending_a_blocked_delivery_never_deadlocks_with_a_settlement() {
    for holds_row in [false, true] {
        for ending in [Ending::Cancel, Ending::Expunge, Ending::Delete, Ending::Expire] {
            let prefix = prefix();
            let store = PostgresStore::builder()
                .with_prefix(&prefix)
                .with_caller_time()
                .connect(postgres_server::url());
            let store = store.await.unwrap();
            let mut subscription = subscription_of(1);
            if let Ending::Expire = ending {
                subscription.status = SubscriptionStatus::disabled(DisabledReason::Manual, NOW);
            }
            store.put(&subscription).await.unwrap();
            for number in 1..=2 {
                let mut event = event(number).with_ordering_key("a".to_owned());
                event.deliveries = vec![NewDelivery::new(delivery_id(number), subscription.id)];
                store.insert(&[event]).await.unwrap();
            }
            let mut settlement = sqlx::PgConnection::connect(postgres_server::url()).await.unwrap();
            let group = format!("SELECT order_group FROM {prefix}deliveries WHERE seq = 2");
            let group: i64 =
                sqlx::query(AssertSqlSafe(group)).fetch_one(&mut settlement).await.unwrap().get(0);
            let lock_group = format!("SELECT {prefix}lock_order_groups_1(ARRAY[{group}]::bigint[])");
            let touch = |seq| format!("UPDATE {prefix}deliveries SET attempts = attempts WHERE seq = {seq}");
            // A settlement has locked its own row and then its group, or has not come to the group yet.
            let (first, then) =
                if holds_row { (touch(1), lock_group.clone()) } else { (lock_group.clone(), touch(2)) };
            for sql in ["BEGIN".to_owned(), "SET LOCAL lock_timeout = '20s'".to_owned(), first] {
                sqlx::query(AssertSqlSafe(sql)).execute(&mut settlement).await.unwrap();
            }
            let ended = tokio::spawn(async move { ending.call(&store, subscription.id).await });
            if !holds_row {
                let waits = format!(
                    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                     AND classid::bigint = hashtext('{prefix}')::bigint & 4294967295"
                );
                while sqlx::query(AssertSqlSafe(waits.clone()))
                    .fetch_one(&mut settlement)
                    .await
                    .unwrap()
                    .get::<i64, _>(0)
                    == 0
                {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            for sql in [then, "COMMIT".to_owned()] {
                let done = sqlx::query(AssertSqlSafe(sql)).execute(&mut settlement).await;
                done.unwrap_or_else(|error| panic!("{ending:?} against a settlement: {error}"));
            }
            assert!(ended.await.unwrap(), "{ending:?}");
            let left = format!("SELECT count(*) FROM {prefix}deliveries WHERE seq = 2 AND state = 'pending'");
            let left: i64 = sqlx::query(AssertSqlSafe(left)).fetch_one(&mut settlement).await.unwrap().get(0);
            assert_eq!(left, 0, "{ending:?}");
        }
    }
}

/// The calls that end a blocked delivery.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Cancel,
    Expunge,
    Delete,
    Expire,
}

impl Ending {
    async fn call(self, store: &PostgresStore, subscription: SubscriptionId) -> bool {
        match self {
            Self::Cancel => store.cancel(delivery_id(2), NOW).await.unwrap(),
            Self::Expunge => {
                let (id, contract) = ("evt_2".parse().unwrap(), hookwire::Contract::allison());
                store.expunge("org_1", contract.name(), &id, NOW).await.unwrap()
            }
            Self::Delete => store.delete(subscription, NOW).await.unwrap(),
            Self::Expire => {
                let mut expired = 0;
                while expired < 2 {
                    expired += store.expire(LEASE, 100, NOW + LEASE).await.unwrap();
                }
                true
            }
        }
    }
}

struct Round {
    seed: u64,
    prefix: String,
    pool: PgPool,
    store: PostgresStore,
    // A logical clock that orders the events of a run.
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
    /// The time at which the first attempt began.
    begun: BTreeMap<DeliveryId, u64>,
}

/// The start of the call that inserted a delivery, and the time at which the commit was known.
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
            store.put(&subscription_of(number)).await.unwrap();
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
                    assert!(told.iter().all(|told| *told == InsertOutcome::New));
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
                let delivery = event.deliveries[0].id;
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
            let look = self.store.look(&poll(10, NOW)).await.unwrap();
            if look.ready.is_empty() {
                // No lease outlives its worker's turn, and no delivery waits for its time.
                if is_last && look.wait.is_none() {
                    return;
                }
                yield_now().await;
                continue;
            }
            let limit = 1 + u32::try_from(chance.below(6)).unwrap();
            let shares = look.ready.iter().map(|id| Share::new(*id, limit)).collect();
            let claims = self.store.claim(&claim_of(LEASE, shares, NOW)).await.unwrap();
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
                let is_cancelled = self.seen.lock().unwrap().cancelled.contains(&settlement.key);
                assert!(told == Settled::Done || is_cancelled, "seed {}", self.seed);
            }
        }
    }

    fn begin(&self, claimed: &Leased) {
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

    /// Ends a delivery. From now on, another one of its key may begin.
    fn end(&self, claimed: &Leased, chance: &mut Chance) -> Settlement {
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
            1 => Settlement::new(delivery, lease, attempt, Next::retry(Duration::from_micros(300)), NOW),
            2 => Settlement::new(delivery, lease, attempt, Next::dead(DeadReason::Refused), NOW),
            _ => Settlement::new(delivery, lease, attempt, Next::Done, NOW),
        }
    }

    async fn judge(&self) {
        let sql = format!("SELECT count(*) FROM {}deliveries WHERE state = 'pending'", self.prefix);
        let stranded: i64 = sqlx::query(AssertSqlSafe(sql)).fetch_one(&self.pool).await.unwrap().get(0);
        assert_eq!(stranded, 0, "seed {}", self.seed);
        let seen = self.seen.lock().unwrap();
        // If a delivery was committed before another one of the same key was inserted, it has to begin first.
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
        event.deliveries = vec![NewDelivery::new(delivery_id(number), subscription)];
        (event, (subscription, key))
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }
}

/// The payload contains the key.
fn lane_of(claimed: &Leased) -> Option<(SubscriptionId, u64)> {
    let key = std::str::from_utf8(&claimed.payload).unwrap().parse().unwrap();
    (key != NO_KEY).then_some((claimed.subscription.id, key))
}

/// Random numbers that follow from a seed (SplitMix64).
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
/// The key of deliveries without an ordering key, which are mixed in.
const NO_KEY: u64 = 0;
