//! Clocks that jump a day ahead and back under a running dispatcher.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hookwire::dispatch::Dispatcher;
use hookwire::store::postgres::PostgresStore;
use hookwire::store::sqlite::SqliteStore;
use hookwire::store::{InboxKey, LeaseRequests, StoredRequest};
use hookwire::{DeliveryState, Intake as _, RetryPolicy, Subscription};
use time::OffsetDateTime;

use super::{Database, Opens, Site, accounted_for, copies, on_both_databases};
use crate::endpoint::{Answer, Endpoint};
use crate::engine::running::Running;
use crate::engine::{DAY, MINUTE, NOON, Stage};
use crate::postgres_server::{self, prefix};
use crate::stores::Tested;
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
