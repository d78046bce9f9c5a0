//! Calls to observers, telemetry and token sources.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as StdError;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookwire::contract::AutoDisable;
use hookwire::dispatch::{AttemptEvent, FaultEvent, Observer, Routing};
use hookwire::event::TraceParent;
use hookwire::store::implement::HealthWritten;
use hookwire::subscription::{Authentication, Health, Options, TokenSource};
use hookwire::{
    Contract, DeadReason, DeliveryState, DisabledReason, RetryPolicy, Secret, Store, SubscriptionId,
    Subscriptions,
};
use time::OffsetDateTime;

use super::{HOUR, MINUTE, NOON, Stage, call, on_every_store};
use crate::endpoint::{Answer, Endpoint};
use crate::stores::Tested;

on_every_store! {
    an_observer_is_told_of_everything_once_and_in_order
    an_observer_that_panics_costs_nothing
    a_bearer_token_comes_from_the_callers_source
    a_token_source_that_errs_is_no_fault_of_the_endpoint
    each_attempt_is_a_child_of_the_trace_that_emitted_its_event
    a_header_of_the_subscription_goes_before_the_trace
}

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    fn note(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }
}

impl Observer for Recorder {
    fn delivered(&self, event: &AttemptEvent<'_>) {
        self.note(format!("delivered {} at attempt {}", event.event_type, event.attempt.number));
    }

    fn attempt_failed(&self, event: &AttemptEvent<'_>) {
        self.note(format!("attempt {} failed", event.attempt.number));
    }

    fn given_up(&self, _: &AttemptEvent<'_>, reason: DeadReason) {
        self.note(format!("given up: {reason:?}"));
    }

    fn failing(&self, _: SubscriptionId, since: OffsetDateTime, threshold: Duration) {
        assert_eq!(since, NOON);
        self.note(format!("failing for {} s", threshold.as_secs()));
    }

    fn recovered(&self, _: SubscriptionId, failing_since: OffsetDateTime) {
        assert_eq!(failing_since, NOON);
        self.note("recovered".to_owned());
    }

    fn disabled(&self, _: SubscriptionId, reason: DisabledReason) {
        self.note(format!("disabled: {reason:?}"));
    }
}

async fn an_observer_is_told_of_everything_once_and_in_order<S: Tested>(stage: Stage<S>) {
    let retry = RetryPolicy::delays([HOUR, HOUR]).unwrap();
    let rule = AutoDisable::failing_for(3 * HOUR);
    let stage = stage.under(Contract::allison().with_retry(retry).with_auto_disable(rule));
    let answers = [500, 500, 200, 500, 500, 500, 410].map(Answer::Status);
    let endpoint = Endpoint::start(answers).await;
    let subscription = stage.subscribe(&endpoint).await;
    let recorder = Recorder::default();
    let dispatcher = stage.dispatcher().with_observer(recorder.clone()).with_failing_thresholds([
        30 * MINUTE,
        HOUR,
        90 * MINUTE,
    ]);
    stage.emit().await;
    for hours in 0..3 {
        stage.drain(&dispatcher, NOON + hours * HOUR).await;
    }
    assert_eq!(
        *recorder.0.lock().unwrap(),
        [
            "attempt 1 failed",
            "attempt 2 failed",
            "failing for 1800 s",
            "failing for 3600 s",
            "delivered call.ended at attempt 3",
            "recovered",
        ]
    );
    recorder.0.lock().unwrap().clear();

    // Three failed attempts and the end of the delivery, then a delivery whose endpoint answers 410.
    let later = NOON + 24 * HOUR;
    let mut health = stage.read(&subscription).await.health;
    assert_eq!(health, Health::default());
    health = health.failed(NOON, None);
    let written = stage.store.put_health(subscription.id, &Health::default(), &health, None, NOON).await;
    assert_eq!(written.unwrap(), HealthWritten::Done);
    stage.emit_at(later).await;
    for hours in 0..3 {
        stage.drain(&dispatcher, later + hours * HOUR).await;
    }
    stage.emit_at(later).await;
    stage.drain(&dispatcher, later + 3 * HOUR).await;
    assert_eq!(
        *recorder.0.lock().unwrap(),
        [
            "attempt 1 failed",
            "failing for 1800 s",
            "failing for 3600 s",
            "failing for 5400 s",
            "attempt 2 failed",
            "attempt 3 failed",
            "given up: Exhausted",
            "attempt 1 failed",
            "given up: Gone",
            "disabled: Gone",
        ]
    );
}

struct Panics;

impl Observer for Panics {
    fn delivered(&self, _: &AttemptEvent<'_>) {
        panic!("an observer's own fault");
    }

    fn attempt_failed(&self, _: &AttemptEvent<'_>) {
        panic!("an observer's own fault");
    }
}

async fn an_observer_that_panics_costs_nothing<S: Tested>(stage: Stage<S>) {
    let endpoint = Endpoint::start([Answer::Status(500)]).await;
    stage.subscribe(&endpoint).await;
    stage.emit().await;
    let dispatcher = stage.dispatcher().with_observer(Panics);
    assert_eq!(dispatcher.step(NOON).await.unwrap().retried, 1);
    assert_eq!(dispatcher.step(NOON + MINUTE).await.unwrap().delivered, 1);
}

async fn each_attempt_is_a_child_of_the_trace_that_emitted_its_event<S: Tested>(stage: Stage<S>) {
    let endpoint = Endpoint::start([Answer::Status(500)]).await;
    stage.subscribe(&endpoint).await;
    let parent: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
    let outbox = stage.outbox().with_trace_source(move || Some(parent));
    outbox.emit("org_1", &call()).await.unwrap();
    let dispatcher = stage.dispatcher();
    assert_eq!(stage.drain(&dispatcher, NOON).await.retried, 1);
    assert_eq!(stage.drain(&dispatcher, NOON + MINUTE).await.delivered, 1);
    let own = Routing::new().with_trace(parent.child([1; 8]));
    outbox.emit_with("org_1", &call(), own).await.unwrap();
    assert_eq!(stage.drain(&dispatcher, NOON + MINUTE).await.delivered, 1);
    // Without a trace, and with the header switched off.
    stage.emit().await;
    assert_eq!(stage.drain(&dispatcher, NOON + MINUTE).await.delivered, 1);
    outbox.emit("org_1", &call()).await.unwrap();
    let off = stage.dispatcher().with_trace_context(false);
    assert_eq!(stage.drain(&off, NOON + MINUTE).await.delivered, 1);
    let requests = endpoint.requests();
    let sent: Vec<Option<TraceParent>> = requests
        .iter()
        .map(|(headers, _)| headers.get("traceparent").map(|value| value.to_str().unwrap().parse().unwrap()))
        .collect();
    assert_eq!(sent.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, true, false, false]);
    let spans: BTreeSet<_> = sent.iter().flatten().map(TraceParent::parent_id).collect();
    assert_eq!(spans.len(), 3, "each attempt is a span of its own");
    assert!(!spans.contains(&parent.parent_id()));
    let is_same = |trace: &TraceParent| trace.trace_id() == parent.trace_id() && trace.is_sampled();
    assert!(sent.iter().flatten().all(is_same));
}

async fn a_header_of_the_subscription_goes_before_the_trace<S: Tested>(stage: Stage<S>) {
    let endpoint = Endpoint::start([]).await;
    let mut subscription = stage.subscribe(&endpoint).await;
    subscription.options = Options::new().with_header("traceparent", "their own").unwrap();
    stage.plain().put(&subscription).await.unwrap();
    let parent: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
    let outbox = stage.outbox().with_trace_source(move || Some(parent));
    outbox.emit("org_1", &call()).await.unwrap();
    assert_eq!(stage.drain(&stage.dispatcher(), NOON).await.delivered, 1);
    assert_eq!(endpoint.requests()[0].0["traceparent"], "their own");
}

#[derive(Default)]
struct Tokens(Mutex<BTreeMap<SubscriptionId, u32>>);

impl TokenSource for Tokens {
    async fn token(&self, subscription: SubscriptionId) -> Result<Secret, Box<dyn StdError + Send + Sync>> {
        let mut asked = self.0.lock().unwrap();
        let times = asked.entry(subscription).or_default();
        *times += 1;
        if *times == 1 {
            return Err("the token service sleeps".into());
        }
        Ok(format!("token-{times}").parse()?)
    }
}

async fn a_bearer_token_comes_from_the_callers_source<S: Tested>(stage: Stage<S>) {
    let (endpoint, dispatcher) = with_tokens(&stage).await;
    assert_eq!(dispatcher.step(NOON).await.unwrap().kept_back, 1);
    assert_eq!(endpoint.requests().len(), 0);
    assert_eq!(dispatcher.step(NOON + MINUTE).await.unwrap().delivered, 1);
    assert_eq!(endpoint.requests()[0].0["authorization"], "Bearer token-2");
}

async fn a_token_source_that_errs_is_no_fault_of_the_endpoint<S: Tested>(stage: Stage<S>) {
    let (_endpoint, dispatcher) = with_tokens(&stage).await;
    let faults = Faults::default();
    dispatcher.with_observer(faults.clone()).step(NOON).await.unwrap();
    let [scanned] = stage.store.subscriptions("org_1").await.unwrap().subscriptions.try_into().unwrap();
    let subscription = scanned.subscription.unwrap();
    assert_eq!(subscription.health, Health::default());
    let [delivery] = stage.deliveries(&subscription).await.try_into().unwrap();
    assert_eq!((delivery.state, delivery.attempts), (DeliveryState::Pending, 0));
    // Without the source's own words, which may hold what is secret.
    let told = format!("{} subscription token: token source gave no token, in 1s", delivery.id);
    assert_eq!(*faults.0.lock().unwrap(), [told]);
}

/// Notes the faults on this side.
#[derive(Clone, Default)]
struct Faults(Arc<Mutex<Vec<String>>>);

impl Observer for Faults {
    fn own_fault(&self, fault: &FaultEvent<'_>) {
        let FaultEvent { delivery, scope, kind, reason, due_in, .. } = fault;
        let due_in = due_in.map(|due_in| format!(", in {due_in:?}")).unwrap_or_default();
        let told = format!("{delivery} {} {}: {reason}{due_in}", scope.as_str(), kind.as_str());
        self.0.lock().unwrap().push(told);
    }
}

async fn with_tokens<S: Tested>(stage: &Stage<S>) -> (Endpoint, hookwire::dispatch::Dispatcher) {
    let endpoint = Endpoint::start([]).await;
    let mut subscription = stage.subscribe(&endpoint).await;
    subscription.options =
        subscription.options.with_authentication(Authentication::BearerFromSource).unwrap();
    stage.plain().put(&subscription).await.unwrap();
    stage.emit().await;
    (endpoint, stage.dispatcher().with_token_source(Tokens::default()))
}
