//! A running dispatcher in real time. The tests wait for events and never measure durations.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookwire::dispatch::{Dispatcher, Outbox, Wake};
use hookwire::store::Retention;
use hookwire::{DeliveryState, Pruning, Subscription, Subscriptions};
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Stage, call, on_every_store};
use crate::endpoint::{Answer, Endpoint};
use crate::stores::Tested;

on_every_store! {
    an_endpoint_that_hangs_holds_up_nobody_else
    an_endpoint_has_no_more_in_flight_than_its_cap
    what_retention_no_longer_wants_is_deleted_while_it_runs
    a_clock_that_panics_costs_an_attempt_and_not_its_room
    two_dispatchers_share_the_work_and_double_nothing
}

async fn an_endpoint_that_hangs_holds_up_nobody_else<S: Tested>(stage: Stage<S>) {
    let hangs = Endpoint::start((0..2_000).map(|_| Answer::Hang)).await;
    let bad = stage.subscribe(&hangs).await;
    let wake = Wake::new();
    let outbox = Outbox::new(Arc::clone(&stage.store), stage.contract.clone()).with_wake(&wake);
    for _ in 0..500 {
        outbox.emit("org_1", &call()).await.unwrap();
    }
    let running = Running::start(stage.dispatcher().with_wake(&wake));
    hangs.arrived(1).await;
    let healthy = Endpoint::start([]).await;
    stage.subscribe(&healthy).await;
    for count in 1..=50 {
        outbox.emit("org_1", &call()).await.unwrap();
        healthy.arrived(count).await;
    }
    // All of them arrived before the first bad one was answered.
    assert!(stage.deliveries(&bad).await.iter().all(|delivery| delivery.attempts == 0));
    hangs.let_go(200);
    running.stop().await;
}

async fn an_endpoint_has_no_more_in_flight_than_its_cap<S: Tested>(stage: Stage<S>) {
    let endpoint = Endpoint::start((0..50).map(|_| Answer::Hang)).await;
    let mut capped = stage.subscribe(&endpoint).await;
    capped.options = capped.options.with_max_in_flight(3).unwrap();
    stage.plain().put(&capped).await.unwrap();
    for _ in 0..20 {
        stage.emit().await;
    }
    let other = Endpoint::start([]).await;
    let free = stage.subscribe(&other).await;
    let running = Running::start(stage.dispatcher().with_poll_interval(Duration::from_millis(10)));
    endpoint.arrived(3).await;
    // Other deliveries are claimed and sent meanwhile, so the dispatcher had the chance to send more.
    for count in 1..=20 {
        stage.emit().await;
        other.arrived(count).await;
    }
    assert_eq!(endpoint.requests().len(), 3);
    endpoint.let_go(200);
    endpoint.arrived(40).await;
    running.stop().await;
    assert_eq!(stage.states(&free).await, [DeliveryState::Delivered; 20]);
}

async fn what_retention_no_longer_wants_is_deleted_while_it_runs<S: Tested + Pruning>(stage: Stage<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = stage.subscribe(&endpoint).await;
    for _ in 0..10 {
        stage.emit().await;
    }
    let retention = Retention::new().with_deliveries(Duration::ZERO);
    let dispatcher =
        stage.dispatcher().with_retention_every(Arc::clone(&stage.store), retention, Duration::from_secs(1));
    let running = Running::start(dispatcher);
    endpoint.arrived(10).await;
    while !stage.deliveries(&subscription).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    running.stop().await;
}

async fn a_clock_that_panics_costs_an_attempt_and_not_its_room<S: Tested>(stage: Stage<S>) {
    let endpoint = Endpoint::start([Answer::Hang]).await;
    let mut subscription = stage.subscribe(&endpoint).await;
    subscription.options = subscription.options.with_max_in_flight(1).unwrap();
    stage.plain().put(&subscription).await.unwrap();
    stage.emit().await;
    // Panics twice in the task of the first attempt: at the answer, where the panic is caught, and at the
    // judgement. The dispatcher's own readings of the clock do not panic.
    let panics = Arc::new(AtomicU32::new(0));
    let main = Arc::new(Mutex::new(None));
    let clock = {
        let (panics, main) = (Arc::clone(&panics), Arc::clone(&main));
        move || {
            let is_main = tokio::task::try_id() == *main.lock().unwrap();
            let left = |left: u32| left.checked_sub(1);
            if !is_main && panics.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok() {
                panic!("the clock fell off the wall");
            }
            OffsetDateTime::now_utc()
        }
    };
    let dispatcher = stage
        .dispatcher()
        .with_clock(clock)
        .with_lease(Duration::from_millis(50))
        .with_poll_interval(Duration::from_millis(10));
    let running = Running::start(dispatcher);
    *main.lock().unwrap() = Some(running.task.id());
    endpoint.arrived(1).await;
    panics.store(2, Ordering::SeqCst);
    endpoint.let_go(200);
    // Its lease ends, because no task extends it, and its lane has room for the next attempt.
    endpoint.arrived(2).await;
    while stage.states(&subscription).await != [DeliveryState::Delivered] {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    running.stop().await;
}

async fn two_dispatchers_share_the_work_and_double_nothing<S: Tested>(stage: Stage<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription: Subscription = stage.subscribe(&endpoint).await;
    for _ in 0..300 {
        stage.emit().await;
    }
    let quick =
        |stage: &Stage<S>| stage.dispatcher().with_poll_interval(Duration::from_millis(10)).with_batch(7);
    let running = [Running::start(quick(&stage)), Running::start(quick(&stage))];
    endpoint.arrived(300).await;
    for running in running {
        running.stop().await;
    }
    assert_eq!(endpoint.requests().len(), 300);
    assert_eq!(stage.states(&subscription).await, [DeliveryState::Delivered; 300]);
}

/// A dispatcher in a task of its own.
pub(crate) struct Running {
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Running {
    pub(crate) fn start(dispatcher: Dispatcher) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            dispatcher
                .run(async move {
                    let _ = stopped.await;
                })
                .await;
        });
        Self { task, stop }
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).expect("the dispatcher runs until it is told to stop");
        self.task.await.unwrap();
    }
}
