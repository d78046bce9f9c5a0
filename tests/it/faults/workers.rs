//! Dispatchers that die, stop or outlive their leases.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use hookwire::dispatch::{Dispatcher, Step};
use hookwire::{HyperClient, StoreError, Subscriptions};
use time::OffsetDateTime;
use tokio::task::JoinHandle;

use super::{Database, Opens, Site, accounted_for, copies, on_both_databases};
use crate::endpoint::{Answer, Endpoint, loopback};
use crate::engine::{DAY, HOUR, NOON};
use crate::watched_store::{Call, Trouble};

on_both_databases! {
    a_dispatcher_that_dies_after_a_claim_costs_its_lease_and_no_event
    a_dispatcher_that_dies_before_it_settles_has_the_same_bytes_sent_again
    a_dispatcher_that_dies_after_it_settled_has_nothing_sent_again
    of_two_attempts_under_two_leases_the_later_lease_is_written
    a_worker_that_was_stopped_for_longer_than_its_lease_writes_nothing
    a_dispatcher_that_is_dropped_in_flight_has_its_room_when_it_is_used_again
    a_dispatcher_that_handed_back_has_its_room_when_it_is_used_again
}

async fn a_dispatcher_that_dies_after_a_claim_costs_its_lease_and_no_event<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let event = site.emit().await;
    dies_at(&site, Call::Claim, Trouble::StopsAfter).await;
    assert_eq!(site.drain(&site.dispatcher(), NOON).await.delivered, 0, "it is leased");
    assert_eq!(site.drain(&site.dispatcher(), NOON + HOUR).await.delivered, 1);
    assert_eq!(endpoint.requests().len(), 1);
    accounted_for(&site, &subscription, &endpoint, &[event]).await;
}

async fn a_dispatcher_that_dies_before_it_settles_has_the_same_bytes_sent_again<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let event = site.emit().await;
    dies_at(&site, Call::Settle, Trouble::StopsBefore).await;
    assert_eq!(site.drain(&site.dispatcher(), NOON).await.delivered, 0, "it is leased");
    assert_eq!(site.drain(&site.dispatcher(), NOON + HOUR).await.delivered, 1);
    assert_eq!(copies(&endpoint)[event.as_str()], 2);
    accounted_for(&site, &subscription, &endpoint, &[event]).await;
}

async fn a_dispatcher_that_dies_after_it_settled_has_nothing_sent_again<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let event = site.emit().await;
    dies_at(&site, Call::Settle, Trouble::StopsAfter).await;
    assert_eq!(site.drain(&site.dispatcher(), NOON + DAY).await, Step::default());
    assert_eq!(endpoint.requests().len(), 1);
    accounted_for(&site, &subscription, &endpoint, &[event]).await;
}

/// Aborts a dispatcher in the middle of this call.
async fn dies_at<S: Opens>(site: &Site<S>, call: Call, trouble: Trouble) {
    site.store.meets(call, trouble);
    let step = spawn_step(site.dispatcher(), NOON);
    site.store.struck().await;
    step.abort();
    assert!(step.await.unwrap_err().is_cancelled());
}

async fn of_two_attempts_under_two_leases_the_later_lease_is_written<S: Opens>(site: Site<S>) {
    for late_is_first in [false, true] {
        let endpoint = Endpoint::start([Answer::Hang]).await;
        let subscription = site.subscribe(&endpoint).await;
        let event = site.emit().await;
        let old = spawn_step(site.dispatcher(), NOON);
        endpoint.arrived(1).await;
        if late_is_first {
            // The later attempt is not settled yet, but it already holds the lease.
            site.store.meets(Call::Settle, Trouble::StopsBefore);
            let new = spawn_step(site.dispatcher(), NOON + HOUR);
            site.store.struck().await;
            endpoint.let_go(500);
            assert_eq!(old.await.unwrap().unwrap().stale, 1);
            new.abort();
            assert_eq!(site.drain(&site.dispatcher(), NOON + 2 * HOUR).await.delivered, 1);
        } else {
            assert_eq!(site.drain(&site.dispatcher(), NOON + HOUR).await.delivered, 1);
            endpoint.let_go(500);
            assert_eq!(old.await.unwrap().unwrap().stale, 1);
        }
        assert_eq!(
            site.read(&subscription).await.health.failures(),
            0,
            "what is stale is held against nobody"
        );
        accounted_for(&site, &subscription, &endpoint, &[event]).await;
        assert!(site.plain().delete(subscription.id, NOON).await.unwrap());
    }
}

async fn a_worker_that_was_stopped_for_longer_than_its_lease_writes_nothing<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([Answer::Hang]).await;
    let subscription = site.subscribe(&endpoint).await;
    let event = site.emit().await;
    let clock = StopClock::at(NOON);
    let worker = std::thread::spawn({
        let (database, contract) = (site.database.clone(), site.contract.clone());
        let clock = clock.clone();
        move || work::<S>(&database, contract, clock)
    });
    endpoint.arrived(1).await;
    clock.stop();
    // Another dispatcher takes over and delivers.
    assert_eq!(site.drain(&site.dispatcher(), NOON + HOUR).await.delivered, 1);
    endpoint.let_go(500);
    clock.go_on(NOON + HOUR);
    tokio::task::spawn_blocking(|| worker.join().unwrap()).await.unwrap();
    assert_eq!(copies(&endpoint)[event.as_str()], 2);
    assert_eq!(site.read(&subscription).await.health.failures(), 0);
    accounted_for(&site, &subscription, &endpoint, &[event]).await;
}

/// Runs a dispatcher with its own runtime and its own store, as a process of its own would. It ends after it
/// was stopped and continued.
fn work<S: Opens>(database: &Database, contract: hookwire::Contract, clock: StopClock) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let dispatcher = Dispatcher::new(S::on_database(database).await, HyperClient::new(), contract)
            .with_address_policy(loopback())
            .with_poll_interval(Duration::from_millis(10))
            .with_clock({
                let clock = clock.clone();
                move || clock.now()
            });
        let was_stopped = async {
            while !clock.has_gone_on() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        dispatcher.run(was_stopped).await;
    });
}

/// A clock that blocks its readers, as SIGSTOP would.
#[derive(Clone)]
struct StopClock(Arc<Stop>);

struct Stop {
    now: Mutex<(OffsetDateTime, bool)>,
    changed: Condvar,
    has_stopped: AtomicBool,
    has_gone_on: AtomicBool,
}

impl StopClock {
    fn at(now: OffsetDateTime) -> Self {
        Self(Arc::new(Stop {
            now: Mutex::new((now, false)),
            changed: Condvar::new(),
            has_stopped: AtomicBool::new(false),
            has_gone_on: AtomicBool::new(false),
        }))
    }

    fn now(&self) -> OffsetDateTime {
        let mut now = self.0.now.lock().unwrap();
        while now.1 {
            self.0.has_stopped.store(true, Ordering::SeqCst);
            self.0.changed.notify_all();
            now = self.0.changed.wait(now).unwrap();
        }
        now.0
    }

    /// Returns when a reader is blocked.
    fn stop(&self) {
        let mut now = self.0.now.lock().unwrap();
        now.1 = true;
        while !self.0.has_stopped.load(Ordering::SeqCst) {
            now = self.0.changed.wait(now).unwrap();
        }
    }

    fn go_on(&self, at: OffsetDateTime) {
        *self.0.now.lock().unwrap() = (at, false);
        self.0.has_gone_on.store(true, Ordering::SeqCst);
        self.0.changed.notify_all();
    }

    fn has_gone_on(&self) -> bool {
        self.0.has_gone_on.load(Ordering::SeqCst)
    }
}

async fn a_dispatcher_that_is_dropped_in_flight_has_its_room_when_it_is_used_again<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([Answer::Hang, Answer::Hang]).await;
    let mut subscription = site.subscribe(&endpoint).await;
    subscription.options = subscription.options.with_max_in_flight(1).unwrap();
    site.plain().put(&subscription).await.unwrap();
    let event = site.emit().await;
    let dispatcher = Arc::new(site.dispatcher().with_clock(|| NOON));
    let run = tokio::spawn({
        let dispatcher = Arc::clone(&dispatcher);
        async move { dispatcher.run(std::future::pending()).await }
    });
    endpoint.arrived(1).await;
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
    let step = tokio::spawn({
        let dispatcher = Arc::clone(&dispatcher);
        async move { dispatcher.step(NOON + HOUR).await }
    });
    endpoint.arrived(2).await;
    step.abort();
    assert!(step.await.unwrap_err().is_cancelled());
    // Now an attempt that could not be settled.
    site.store.meets(Call::Settle, Trouble::Fails);
    assert!(dispatcher.step(NOON + 2 * HOUR).await.unwrap_err().is_retryable());
    assert_eq!(dispatcher.step(NOON + 3 * HOUR).await.unwrap().delivered, 1);
    accounted_for(&site, &subscription, &endpoint, &[event]).await;
}

async fn a_dispatcher_that_handed_back_has_its_room_when_it_is_used_again<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([Answer::Hang]).await;
    let mut subscription = site.subscribe(&endpoint).await;
    subscription.options = subscription.options.with_max_in_flight(1).unwrap();
    site.plain().put(&subscription).await.unwrap();
    let event = site.emit().await;
    let dispatcher = site.dispatcher().with_clock(|| NOON).with_drain_deadline(Duration::ZERO);
    dispatcher.run(endpoint.arrived(1)).await;
    assert_eq!(dispatcher.step(NOON).await.unwrap().delivered, 1);
    accounted_for(&site, &subscription, &endpoint, &[event]).await;
}

fn spawn_step(dispatcher: Dispatcher, now: OffsetDateTime) -> JoinHandle<Result<Step, StoreError>> {
    tokio::spawn(async move { dispatcher.step(now).await })
}
