//! Clocks that jump a day ahead and back under a running dispatcher.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hookwire::delivery::Next;
use hookwire::dispatch::Dispatcher;
use hookwire::store::implement::{Leased, Poll, Settled, Settlement, Share};
use hookwire::store::postgres::PostgresStore;
use hookwire::store::sqlite::SqliteStore;
use hookwire::store::{InboxKey, LeaseRequests, StoredRequest};
use hookwire::{
    Attempt, DeliveryState, Intake as _, Outcome, RetryPolicy, Store as _, Subscription, SubscriptionId,
};
use time::OffsetDateTime;

use super::{Database, Opens, Site, accounted_for, copies, on_both_databases};
use crate::endpoint::{Answer, Endpoint};
use crate::engine::running::Running;
use crate::engine::{DAY, HOUR, MINUTE, NOON, Stage};
use crate::postgres_server::{self, prefix};
use crate::stores::{Tested, claim_of};
use crate::watched_store::Watched;

on_both_databases! {
    a_clock_that_jumps_a_day_ahead_doubles_an_attempt_at_the_most
    a_clock_that_jumps_a_day_back_holds_nothing_for_longer_than_the_day
}

/// A clock that is set by hand.
#[derive(Clone)]
struct Hands(Arc<AtomicI64>);

impl Hands {
    fn at(now: OffsetDateTime) -> Self {
        Self(Arc::new(AtomicI64::new(now.unix_timestamp())))
    }

    fn set(&self, now: OffsetDateTime) {
        self.0.store(now.unix_timestamp(), Ordering::SeqCst);
    }

    fn start(&self, dispatcher: Dispatcher) -> Running {
        let at = Arc::clone(&self.0);
        let clock = move || OffsetDateTime::from_unix_timestamp(at.load(Ordering::SeqCst)).unwrap();
        Running::start(dispatcher.with_clock(clock).with_poll_interval(Duration::from_millis(10)))
    }
}

async fn a_clock_that_jumps_a_day_ahead_doubles_an_attempt_at_the_most<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([Answer::Hang]).await;
    let subscription = site.subscribe(&endpoint).await;
    let mut accepted = vec![site.emit().await];
    let clock = Hands::at(NOON);
    let running = clock.start(site.dispatcher());
    endpoint.arrived(1).await;
    // Every lease has now expired.
    clock.set(NOON + DAY);
    endpoint.arrived(2).await;
    delivered(&site, &subscription, 1).await;
    endpoint.let_go(500);
    // The clock jumps back. Times written in the future do not delay new events.
    clock.set(NOON);
    accepted.push(site.emit().await);
    delivered(&site, &subscription, 2).await;
    running.stop().await;
    assert_eq!(copies(&endpoint)[accepted[0].as_str()], 2);
    assert_eq!(copies(&endpoint)[accepted[1].as_str()], 1);
    accounted_for(&site, &subscription, &endpoint, &accepted).await;
}

async fn a_clock_that_jumps_a_day_back_holds_nothing_for_longer_than_the_day<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([Answer::Status(500)]).await;
    let subscription = site.subscribe(&endpoint).await;
    let clock = Hands::at(NOON + DAY);
    let mut accepted = vec![site.emit_at(NOON + DAY).await];
    let running = clock.start(site.dispatcher());
    while site.deliveries(&subscription).await[0].attempts < 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The retry is now a day and a minute away. A new event does not wait for it.
    clock.set(NOON);
    accepted.push(site.emit().await);
    delivered(&site, &subscription, 1).await;
    assert_eq!(endpoint.requests().len(), 2);
    clock.set(NOON + DAY + 2 * MINUTE);
    delivered(&site, &subscription, 2).await;
    running.stop().await;
    assert_eq!(endpoint.requests().len(), 3);
    accounted_for(&site, &subscription, &endpoint, &accepted).await;
}

#[tokio::test]
async fn a_callers_clock_does_not_matter_where_the_database_has_one() {
    let (url, prefix) = (postgres_server::url().to_owned(), prefix());
    let store = PostgresStore::builder().with_prefix(prefix.as_str()).connect(&url).await.unwrap();
    let retry = RetryPolicy::delays([Duration::from_millis(1); 10]).unwrap();
    let stage = Stage::on(Watched::new(Arc::new(store)), ());
    let contract = stage.contract.clone().with_retry(retry);
    let site = Site { stage: stage.under(contract), database: Database::Postgres { url, prefix } };
    let endpoint = Endpoint::start([Answer::Hang]).await;
    let subscription = site.subscribe(&endpoint).await;
    // The outbox's clock is a day ahead too.
    let now = OffsetDateTime::now_utc();
    let mut accepted = vec![site.emit_at(now + DAY).await];
    let clock = Hands::at(now);
    let running = clock.start(site.dispatcher());
    endpoint.arrived(1).await;
    for (jump, count) in [(now + DAY, 1), (now - DAY, 2), (now + 365 * DAY, 3), (now, 4)] {
        clock.set(jump);
        accepted.push(site.emit_at(now).await);
        delivered(&site, &subscription, count).await;
    }
    assert_eq!(endpoint.requests().len(), 5, "no lease ended");
    endpoint.let_go(500);
    delivered(&site, &subscription, 5).await;
    clock.set(now - DAY);
    running.stop().await;
    assert_eq!(
        copies(&endpoint)[accepted[0].as_str()],
        2,
        "one attempt failed, and its retry did not wait for a day"
    );
    accounted_for(&site, &subscription, &endpoint, &accepted).await;
}

/// Waits until this many deliveries are delivered.
async fn delivered<S: Tested>(stage: &Stage<S>, subscription: &Subscription, count: usize) {
    loop {
        let states = stage.states(subscription).await;
        if states.iter().filter(|state| **state == DeliveryState::Delivered).count() >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A clock that is set back delays no first attempt: neither of a delivery nor of a stored request. A retry
/// waits for its time.
#[tokio::test]
async fn nothing_that_was_not_tried_yet_waits_for_a_clock_that_was_set_back() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::on(SqliteStore::open(folder.path().join("hooks.db")).await.unwrap(), folder);
    let store = stage.plain();
    let endpoint = Endpoint::start([Answer::Status(500)]).await;
    let subscription = stage.subscribe(&endpoint).await;
    let dispatcher = stage.dispatcher();
    stage.emit_at(NOON + DAY).await;
    assert_eq!(dispatcher.step(NOON + DAY).await.unwrap().retried, 1);
    let request = |number: u32, at| {
        let key = InboxKey::new("acme", format!("evt_{number}").parse().unwrap());
        StoredRequest::new(key, at, bytes::Bytes::from_static(b"{}"))
    };
    let lease = |now| LeaseRequests::new("acme", MINUTE, 10, now);
    store.store_requests(&[request(1, NOON + DAY)]).await.unwrap();
    let leased = store.lease_requests(&lease(NOON + DAY)).await.unwrap().requests;
    assert_eq!(leased.len(), 1);
    // Both are written, and then the clock is set back.
    stage.emit_at(NOON + DAY + MINUTE).await;
    store.store_requests(&[request(2, NOON + DAY + MINUTE)]).await.unwrap();
    assert_eq!(dispatcher.step(NOON + 2 * MINUTE).await.unwrap().delivered, 1);
    assert_eq!(stage.states(&subscription).await, [DeliveryState::Pending, DeliveryState::Delivered]);
    let again = store.lease_requests(&lease(NOON + 2 * MINUTE)).await.unwrap().requests;
    assert_eq!(again.iter().map(|leased| leased.key.id.as_str()).collect::<Vec<_>>(), ["evt_2"]);
}

/// A SQLite file that is opened by one process after another.
struct File(tempfile::TempDir);

impl File {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn open(&self) -> Stage<SqliteStore> {
        Stage::on(SqliteStore::open(self.0.path().join("hooks.db")).await.unwrap(), ())
    }
}

/// A subscription with one delivery in a file, and its claim, both at this time.
async fn claimed_at(now: OffsetDateTime, file: &File) -> (Stage<SqliteStore>, SubscriptionId, Leased) {
    let (stage, endpoint) = (file.open().await, Endpoint::start([]).await);
    let subscription = stage.subscribe(&endpoint).await.id;
    stage.emit_at(now).await;
    let claimed = claim(&stage, subscription, now).await;
    (stage, subscription, claimed.into_iter().next().unwrap())
}

async fn claim(stage: &Stage<SqliteStore>, id: SubscriptionId, now: OffsetDateTime) -> Vec<Leased> {
    let claim = claim_of(MINUTE, vec![Share::new(id, 10)], now);
    stage.store.claim(&claim).await.unwrap().deliveries
}

/// The settlement of a failed attempt that began at `now`, with a retry this long after.
fn failed(claimed: &Leased, after: Duration, now: OffsetDateTime) -> Settlement {
    let outcome = Outcome::answered(http::StatusCode::INTERNAL_SERVER_ERROR);
    let attempt = Attempt::new(1, now, Duration::from_millis(5), outcome);
    Settlement::new(claimed.delivery, claimed.lease, attempt, Next::retry(after), now)
}

/// Opens the file in a new process, whose clock shows noon, and returns how long nothing can be claimed.
async fn wait_at_noon(file: &File) -> (Stage<SqliteStore>, Duration) {
    let stage = file.open().await;
    let poll = Poll::new(vec![stage.contract.name().to_owned()], 10, NOON).with_lease(MINUTE);
    let polled = stage.store.look(&poll).await.unwrap();
    let wait = if polled.ready.is_empty() { polled.wait.unwrap() } else { Duration::ZERO };
    (stage, wait)
}

#[tokio::test]
async fn a_first_attempt_does_not_wait_for_a_clock_that_was_set_back_before_a_restart() {
    let file = File::new();
    let (stage, endpoint) = (file.open().await, Endpoint::start([]).await);
    let subscription = stage.subscribe(&endpoint).await.id;
    stage.emit_at(NOON + DAY).await;
    drop(stage);
    let (stage, wait) = wait_at_noon(&file).await;
    assert_eq!(wait, Duration::ZERO);
    assert_eq!(claim(&stage, subscription, NOON).await.len(), 1);
}

#[tokio::test]
async fn a_retry_waits_as_long_as_planned_after_a_clock_was_set_back_before_a_restart() {
    for emitted_at in [NOON + DAY, NOON - DAY] {
        let file = File::new();
        let (stage, subscription, first) = claimed_at(emitted_at, &file).await;
        stage.store.settle(&[failed(&first, HOUR, emitted_at)]).await.unwrap();
        if emitted_at < NOON {
            // Its first attempt was made by a right clock, and its second one by a clock that was ahead.
            let again = claim(&stage, subscription, NOON + DAY).await;
            let second = failed(&again[0], HOUR, NOON + DAY);
            stage.store.settle(&[second]).await.unwrap();
        }
        drop(stage);
        let (stage, wait) = wait_at_noon(&file).await;
        assert_eq!(wait, HOUR);
        assert_eq!(claim(&stage, subscription, NOON + HOUR - MINUTE).await.len(), 0, "never early");
        assert_eq!(claim(&stage, subscription, NOON + HOUR).await.len(), 1);
    }
}

#[tokio::test]
async fn a_retry_of_a_right_clock_keeps_its_time_across_a_restart() {
    let file = File::new();
    let (stage, _, first) = claimed_at(NOON - MINUTE, &file).await;
    stage.store.settle(&[failed(&first, 2 * HOUR, NOON - MINUTE)]).await.unwrap();
    drop(stage);
    assert_eq!(wait_at_noon(&file).await.1, 2 * HOUR - MINUTE);
}

#[tokio::test]
async fn a_delivery_that_was_handed_back_waits_no_longer_after_a_clock_was_set_back_before_a_restart() {
    let file = File::new();
    let (stage, _, claimed) = claimed_at(NOON - MINUTE, &file).await;
    let hand_back = Settlement::hand_back(claimed.delivery, claimed.lease, NOON + DAY);
    stage.store.settle(&[hand_back.with_delay(MINUTE)]).await.unwrap();
    drop(stage);
    assert_eq!(wait_at_noon(&file).await.1, MINUTE);
}

#[tokio::test]
async fn a_lease_ends_in_time_after_a_clock_was_set_back_before_a_restart() {
    let file = File::new();
    let (stage, subscription, lost) = claimed_at(NOON + DAY, &file).await;
    drop(stage);
    let (stage, wait) = wait_at_noon(&file).await;
    assert_eq!(wait, MINUTE, "the length of a lease");
    assert_eq!(claim(&stage, subscription, NOON + MINUTE / 2).await.len(), 0);
    let again = claim(&stage, subscription, NOON + MINUTE).await;
    assert!(again[0].lease > lost.lease);
    let late = failed(&lost, HOUR, NOON + MINUTE);
    assert_eq!(stage.store.settle(&[late]).await.unwrap(), [Settled::Stale]);
}

#[tokio::test]
async fn a_lease_of_a_right_clock_is_not_cut_short_by_a_restart() {
    let file = File::new();
    let (stage, ..) = claimed_at(NOON - MINUTE / 2, &file).await;
    drop(stage);
    assert_eq!(wait_at_noon(&file).await.1, MINUTE / 2);
}

#[tokio::test]
async fn a_pause_ends_in_time_after_a_clock_was_set_back_before_a_restart() {
    for (paused_at, expected) in [(NOON + DAY, HOUR), (NOON - MINUTE, HOUR - MINUTE)] {
        let file = File::new();
        let (stage, subscription, claimed) = claimed_at(paused_at, &file).await;
        let busy = failed(&claimed, MINUTE, paused_at).with_pause(HOUR);
        stage.store.settle(&[busy]).await.unwrap();
        drop(stage);
        let (stage, wait) = wait_at_noon(&file).await;
        assert_eq!(wait, expected);
        assert_eq!(claim(&stage, subscription, NOON + expected - MINUTE).await.len(), 0);
        assert_eq!(claim(&stage, subscription, NOON + expected).await.len(), 1);
    }
}

#[tokio::test]
async fn a_clock_that_shows_1970_at_a_start_makes_no_retry_early() {
    let file = File::new();
    let (stage, _, first) = claimed_at(NOON - MINUTE, &file).await;
    stage.store.settle(&[failed(&first, 2 * HOUR, NOON - MINUTE)]).await.unwrap();
    drop(stage);
    let stage = file.open().await;
    let look = async |now| {
        let poll = Poll::new(vec![stage.contract.name().to_owned()], 10, now).with_lease(MINUTE);
        stage.store.look(&poll).await.unwrap()
    };
    look(OffsetDateTime::UNIX_EPOCH + MINUTE).await;
    assert_eq!(look(NOON).await.wait, Some(2 * HOUR - MINUTE));
}

/// A stored request that was not tried, one that is leased, and one that is tried again.
#[tokio::test]
async fn stored_requests_do_not_wait_for_a_clock_that_was_set_back_before_a_restart() {
    let then = NOON + DAY;
    for (is_leased, retry, expected) in
        [(false, None, Duration::ZERO), (true, None, MINUTE), (true, Some(HOUR), HOUR)]
    {
        let file = File::new();
        let stage = file.open().await;
        let key = InboxKey::new("acme", "evt_1".parse().unwrap());
        let request = StoredRequest::new(key, then, bytes::Bytes::from_static(b"{}"));
        stage.store.store_requests(&[request]).await.unwrap();
        if is_leased {
            let leased = stage.store.lease_requests(&LeaseRequests::new("acme", MINUTE, 10, then)).await;
            let leased = leased.unwrap().requests.remove(0);
            if let Some(after) = retry {
                let failed =
                    Settlement::failed(leased.key.clone(), leased.lease, "busy", Next::retry(after), then);
                stage.store.settle_requests(&[failed], DAY).await.unwrap();
            }
        }
        drop(stage);
        let stage = file.open().await;
        let wait = stage.store.next_due("acme", NOON).await.unwrap();
        assert_eq!(wait, Some(expected));
        let due = stage.store.lease_requests(&LeaseRequests::new("acme", MINUTE, 10, NOON + expected)).await;
        assert_eq!(due.unwrap().requests.len(), 1);
    }
}
