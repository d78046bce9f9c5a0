//! Deliveries that an emit hands over to the dispatcher of its process, and emits that end in every way.
//!
//! Leases last an hour unless a test says otherwise, and a dispatcher looks once an hour. So a delivery that
//! arrives was sent under its own lease, or that lease was handed back and the delivery claimed at once.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hookwire::dispatch::{Dispatcher, EmitError, Outbox, Wake};
use hookwire::{DeliveryState, DisabledReason, Secret, Subscription, SubscriptionStatus, Subscriptions as _};
use time::OffsetDateTime;

use super::{Opens, Site, copies, on_both_databases};
use crate::endpoint::Endpoint;
use crate::engine::running::Running;
use crate::engine::{HOUR, Stage, call};
use crate::watched_store::{Call, Trouble, Watched};

on_both_databases! {
    a_handed_over_delivery_is_sent_without_a_claim
    an_emit_that_is_dropped_at_any_await_loses_and_doubles_nothing_and_frees_its_slot
    an_emit_whose_answer_is_lost_after_the_commit_is_sent_without_waiting_for_its_lease
    an_event_that_two_processes_emit_at_once_is_sent_once
    what_changes_between_the_reading_of_routes_and_the_insert_decides
    a_shutdown_waits_for_an_insert_that_is_on_its_way
    an_insert_that_ends_after_its_dispatcher_is_handed_back
    deliveries_are_settled_in_the_store_that_inserted_them
    an_insert_that_takes_longer_than_a_lease_is_handed_back
    inserts_that_hang_leave_slots_to_claims
}

pub(super) type Of<S> = Arc<Watched<S>>;

/// An outbox and a running dispatcher of one process.
pub(super) struct Process<S: Opens> {
    pub(super) outbox: Outbox<Of<S>>,
    pub(super) wake: Wake,
    pub(super) running: Running,
}

impl<S: Opens> Process<S> {
    pub(super) fn start(stage: &Stage<Watched<S>>) -> Self {
        Self::with(stage, &Wake::new(), |dispatcher| dispatcher)
    }

    fn with(stage: &Stage<Watched<S>>, wake: &Wake, set: impl FnOnce(Dispatcher) -> Dispatcher) -> Self {
        let dispatcher = stage.dispatcher().with_wake(wake).with_lease(HOUR).with_poll_interval(HOUR);
        Self { outbox: outbox(stage, wake), wake: wake.clone(), running: Running::start(set(dispatcher)) }
    }

    /// Emits until a delivery is sent without a claim: then the endpoint is known to answer, and nothing of
    /// it is due.
    pub(super) async fn warm_up(&self, stage: &Stage<Watched<S>>, endpoint: &Endpoint) {
        for _ in 0..100 {
            let (claims, before) = (stage.store.claims(), endpoint.requests().len());
            self.outbox.emit("org_1", &call()).await.unwrap();
            endpoint.arrived(before + 1).await;
            settled(stage).await;
            if stage.store.claims() == claims {
                return;
            }
            // After a claim of as many as it asked for, the dispatcher asks once more.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("nothing was handed over");
    }
}

fn outbox<S: Opens>(stage: &Stage<Watched<S>>, wake: &Wake) -> Outbox<Of<S>> {
    Outbox::new(Arc::clone(&stage.store), stage.contract.clone()).with_wake(wake)
}

/// Waits until nothing is pending.
pub(super) async fn settled<S: Opens>(stage: &Stage<Watched<S>>) {
    let poll = crate::stores::poll(10, OffsetDateTime::now_utc() + 1_000 * HOUR);
    loop {
        let look = hookwire::Store::look(stage.plain(), &poll).await.unwrap();
        if look.ready.is_empty() && look.wait.is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn all_delivered<S: Opens>(
    stage: &Stage<Watched<S>>,
    subscription: &Subscription,
    endpoint: &Endpoint,
) {
    settled(stage).await;
    let deliveries = stage.deliveries(subscription).await;
    for delivery in &deliveries {
        assert_eq!((delivery.state, delivery.attempts), (DeliveryState::Delivered, 1), "{delivery:?}");
    }
    let copies = copies(endpoint);
    assert!(copies.values().all(|times| *times == 1), "{copies:?}");
    assert_eq!(copies.len(), deliveries.len());
}

async fn a_handed_over_delivery_is_sent_without_a_claim<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let process = Process::start(&site);
    process.warm_up(&site, &endpoint).await;
    let (claims, before) = (site.store.claims(), endpoint.requests().len());
    for count in 1..=20 {
        let emitted = process.outbox.emit("org_1", &call()).await.unwrap();
        assert_eq!((emitted.deliveries, emitted.duplicate), (1, false));
        endpoint.arrived(before + count).await;
    }
    all_delivered(&site, &subscription, &endpoint).await;
    assert_eq!(site.store.claims(), claims, "each was sent as its insert leased it");
    process.running.stop().await;
}

/// Polls an emit at most `polls` times and drops it. Returns whether it was over.
async fn polled<T>(emit: impl Future<Output = T>, polls: usize) -> bool {
    let mut emit = pin!(emit);
    let mut left = polls;
    std::future::poll_fn(|context| match left {
        0 => Poll::Ready(false),
        _ => {
            left -= 1;
            emit.as_mut().poll(context).map(|_| true)
        }
    })
    .await
}

async fn an_emit_that_is_dropped_at_any_await_loses_and_doubles_nothing_and_frees_its_slot<S: Opens>(
    site: Site<S>,
) {
    let endpoint = Endpoint::start([]).await;
    let mut subscription = site.subscribe(&endpoint).await;
    subscription.options = subscription.options.with_max_in_flight(2).unwrap();
    site.plain().put(&subscription).await.unwrap();
    let process = Process::start(&site);
    process.warm_up(&site, &endpoint).await;
    let mut is_over = false;
    for polls in 0..40 {
        // The last call of the store may also be written, or have no answer, when the emit is dropped.
        for trouble in [None, Some(Trouble::StopsBefore), Some(Trouble::StopsAfter)] {
            if let Some(trouble) = trouble {
                site.store.meets(Call::Insert, trouble);
                let envelope = call();
                tokio::select! {
                    _ = process.outbox.emit("org_1", &envelope) => panic!("its insert does not end"),
                    () = site.store.struck() => {}
                }
            } else {
                is_over |= polled(process.outbox.emit("org_1", &call()), polls).await;
            }
        }
        if is_over {
            break;
        }
    }
    assert!(is_over, "the emit was dropped at each of its awaits");
    all_delivered(&site, &subscription, &endpoint).await;
    // Both slots are free again.
    process.warm_up(&site, &endpoint).await;
    process.running.stop().await;
}

async fn an_emit_whose_answer_is_lost_after_the_commit_is_sent_without_waiting_for_its_lease<S: Opens>(
    site: Site<S>,
) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let process = Process::start(&site);
    process.warm_up(&site, &endpoint).await;
    let before = endpoint.requests().len();
    for (trouble, count) in [(Trouble::AnswerLost, 1), (Trouble::Fails, 2)] {
        let envelope = call();
        site.store.meets(Call::Insert, trouble);
        let told = process.outbox.emit("org_1", &envelope).await.unwrap_err();
        assert!(matches!(&told, EmitError::Store(error) if error.is_retryable()), "{told:?}");
        let again = process.outbox.emit("org_1", &envelope).await.unwrap();
        assert_eq!(again.duplicate, count == 1);
        endpoint.arrived(before + count).await;
    }
    all_delivered(&site, &subscription, &endpoint).await;
    process.running.stop().await;
}

async fn an_event_that_two_processes_emit_at_once_is_sent_once<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let other = Stage::on(Watched::new(Arc::new(S::on_database(&site.database).await)), ());
    let processes = [Process::start(&site), Process::start(&other)];
    processes[0].warm_up(&site, &endpoint).await;
    processes[1].warm_up(&other, &endpoint).await;
    let before = endpoint.requests().len();
    for count in 1..=30 {
        let envelope = call();
        let [one, two] = &processes;
        let (one, two) =
            tokio::join!(one.outbox.emit("org_1", &envelope), two.outbox.emit("org_1", &envelope));
        let duplicates = [one.unwrap().duplicate, two.unwrap().duplicate];
        assert_eq!(duplicates.iter().filter(|is_duplicate| **is_duplicate).count(), 1);
        endpoint.arrived(before + count).await;
    }
    all_delivered(&site, &subscription, &endpoint).await;
    for process in processes {
        process.running.stop().await;
    }
}

/// A change of a subscription after the outbox has cached its routes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Moved,
    Disabled,
    Paused,
    Deleted,
}

async fn what_changes_between_the_reading_of_routes_and_the_insert_decides<S: Opens>(site: Site<S>) {
    for change in [Change::Moved, Change::Disabled, Change::Paused, Change::Deleted] {
        let endpoint = Endpoint::start([]).await;
        let mut subscription = site.subscribe(&endpoint).await;
        subscription.options = subscription.options.with_max_in_flight(1).unwrap();
        site.plain().put(&subscription).await.unwrap();
        let wake = Wake::new();
        let mut process = Process::with(&site, &wake, |dispatcher| dispatcher);
        process.warm_up(&site, &endpoint).await;
        let (before, claims) = (endpoint.requests().len(), site.store.claims());
        changed(&site, &mut process, &subscription, change).await;
        if change != Change::Moved {
            // Its slot is free, and what waited is sent.
            if change == Change::Deleted {
                assert_eq!(endpoint.requests().len(), before);
            } else {
                wake.wake();
                endpoint.arrived(before + 1).await;
                process.warm_up(&site, &endpoint).await;
            }
        } else {
            assert_eq!((endpoint.requests().len(), site.store.claims()), (before, claims));
        }
        process.running.stop().await;
        site.plain().delete(subscription.id, OffsetDateTime::now_utc()).await.unwrap();
    }
}

/// Changes the subscription, emits, checks the delivery, and undoes the change.
async fn changed<S: Opens>(
    site: &Site<S>,
    process: &mut Process<S>,
    subscription: &Subscription,
    change: Change,
) {
    let last = async || *site.states(subscription).await.last().unwrap();
    let now = OffsetDateTime::now_utc();
    match change {
        Change::Moved => {
            let moved = Endpoint::start([]).await;
            let secret = Secret::from_random([9; 32]);
            let mut changed = site.read(subscription).await;
            (changed.url, changed.secrets) = (moved.url(), Vec::new());
            site.plain().put(&changed.with_secret(secret.clone())).await.unwrap();
            process.outbox.emit("org_1", &call()).await.unwrap();
            moved.arrived(1).await;
            let (headers, body) = moved.requests()[0].clone();
            site.contract.verifier(&secret).unwrap().verify(&headers, &body).unwrap();
            settled(site).await;
        }
        Change::Disabled => {
            let disabled = SubscriptionStatus::disabled(DisabledReason::Manual, now);
            site.plain().set_status(subscription.id, &disabled).await.unwrap();
            process.outbox.emit("org_1", &call()).await.unwrap();
            assert_eq!(last().await, DeliveryState::Pending);
            site.plain().set_status(subscription.id, &SubscriptionStatus::Enabled).await.unwrap();
        }
        Change::Paused => {
            site.database.tamper("UPDATE {p}subscriptions SET paused_until = 253402300799000000").await;
            process.outbox.emit("org_1", &call()).await.unwrap();
            assert_eq!(last().await, DeliveryState::Pending);
            site.database.tamper("UPDATE {p}subscriptions SET paused_until = 0").await;
        }
        Change::Deleted => {
            site.plain().delete(subscription.id, now).await.unwrap();
            let emitted = process.outbox.emit("org_1", &call()).await.unwrap();
            assert_eq!(emitted.deliveries, 0, "the insert finds that the cached routes are old");
            settled(site).await;
        }
    }
}

/// Begins an emit whose insert waits until the store lets it go.
async fn held_up<S: Opens>(
    site: &Site<S>,
    process: &Process<S>,
) -> tokio::task::JoinHandle<Result<hookwire::dispatch::Emitted, EmitError>> {
    site.store.meets(Call::Insert, Trouble::Waits);
    let outbox = process.outbox.clone();
    let emit = tokio::spawn(async move { outbox.emit("org_1", &call()).await });
    site.store.struck().await;
    emit
}

async fn a_shutdown_waits_for_an_insert_that_is_on_its_way<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let process = Process::start(&site);
    process.warm_up(&site, &endpoint).await;
    let (claims, before) = (site.store.claims(), endpoint.requests().len());
    let emit = held_up(&site, &process).await;
    let Process { outbox, running, .. } = process;
    let mut stopped = tokio::spawn(running.stop());
    // A dispatcher that does not wait would end within this time.
    tokio::time::timeout(Duration::from_millis(50), &mut stopped).await.unwrap_err();
    site.store.let_go();
    assert_eq!(emit.await.unwrap().unwrap().deliveries, 1);
    endpoint.arrived(before + 1).await;
    stopped.await.unwrap();
    all_delivered(&site, &subscription, &endpoint).await;
    assert_eq!(site.store.claims(), claims, "it was sent during the drain");
    outbox.emit("org_1", &call()).await.unwrap();
    let again = Process::start(&site);
    endpoint.arrived(before + 2).await;
    all_delivered(&site, &subscription, &endpoint).await;
    again.running.stop().await;
}

async fn an_insert_that_ends_after_its_dispatcher_is_handed_back<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let set = |dispatcher: Dispatcher| dispatcher.with_drain_deadline(Duration::ZERO);
    let process = Process::with(&site, &Wake::new(), set);
    process.warm_up(&site, &endpoint).await;
    let before = endpoint.requests().len();
    let emit = held_up(&site, &process).await;
    process.running.stop().await;
    site.store.let_go();
    emit.await.unwrap().unwrap();
    let next = Process::start(&site);
    endpoint.arrived(before + 1).await;
    all_delivered(&site, &subscription, &endpoint).await;
    next.running.stop().await;
}

async fn deliveries_are_settled_in_the_store_that_inserted_them<S: Opens>(site: Site<S>) {
    let beside = S::beside(&site.database).await;
    let other = Stage::on(Watched::new(Arc::new(beside)), ());
    let wake = Wake::new();
    // Each wake reaches one of the two dispatchers. The other one looks soon.
    let set = |dispatcher: Dispatcher| dispatcher.with_poll_interval(Duration::from_millis(20));
    let processes = [Process::with(&site, &wake, set), Process::with(&other, &wake, set)];
    let stages: [&Stage<Watched<S>>; 2] = [&site, &other];
    let mut endpoints = Vec::new();
    for (stage, process) in stages.into_iter().zip(&processes) {
        let endpoint = Endpoint::start([]).await;
        let subscription = stage.subscribe(&endpoint).await;
        process.warm_up(stage, &endpoint).await;
        endpoints.push((endpoint, subscription));
    }
    for _ in 0..30 {
        for process in &processes {
            process.outbox.emit("org_1", &call()).await.unwrap();
        }
    }
    for (stage, (endpoint, subscription)) in stages.into_iter().zip(&endpoints) {
        all_delivered(stage, subscription, endpoint).await;
        assert!(stage.store.inserted_leased() > 0, "some were handed over");
    }
    for process in processes {
        process.running.stop().await;
    }
}

async fn an_insert_that_takes_longer_than_a_lease_is_handed_back<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let set = |dispatcher: Dispatcher| dispatcher.with_lease(Duration::from_millis(200));
    let process = Process::with(&site, &Wake::new(), set);
    process.warm_up(&site, &endpoint).await;
    let before = endpoint.requests().len();
    let emit = held_up(&site, &process).await;
    tokio::time::sleep(Duration::from_millis(250)).await;
    let handed_back = site.store.handed_back();
    site.store.let_go();
    emit.await.unwrap().unwrap();
    endpoint.arrived(before + 1).await;
    all_delivered(&site, &subscription, &endpoint).await;
    assert!(site.store.handed_back() > handed_back, "it was claimed, and not sent as it was inserted");
    process.running.stop().await;
}

async fn inserts_that_hang_leave_slots_to_claims<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    site.subscribe(&endpoint).await;
    let process = Process::with(&site, &Wake::new(), |dispatcher| dispatcher.with_max_in_flight(2));
    process.warm_up(&site, &endpoint).await;
    let before = endpoint.requests().len();
    let mut hanging = Vec::new();
    for _ in 0..2 {
        site.store.meets(Call::Insert, Trouble::StopsBefore);
        let outbox = process.outbox.clone();
        hanging.push(tokio::spawn(async move { outbox.emit("org_1", &call()).await }));
        site.store.struck().await;
    }
    for count in 1..=10 {
        process.outbox.emit("org_1", &call()).await.unwrap();
        endpoint.arrived(before + count).await;
    }
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
    process.running.stop().await;
}
