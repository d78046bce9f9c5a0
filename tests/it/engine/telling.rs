//! What observers and telemetry are told, and what token sources are asked.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookwire::dispatch::{Happening, Observer};
use hookwire::{
    Authentication, AutoDisable, Contract, DeadReason, DisabledReason, ErrorClass, Health, Outcome,
    RetryPolicy, Secret, Store, SubscriptionId, TokenSource,
};
use time::OffsetDateTime;

use super::{HOUR, MINUTE, NOON, Stage, on_every_store};
use crate::endpoint::{Answer, Endpoint};

on_every_store! {
    an_observer_is_told_of_everything_once_and_in_order
    an_observer_that_panics_costs_nothing
    a_bearer_token_comes_from_the_callers_source
    a_token_source_that_errs_is_no_fault_of_the_endpoint
}

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    fn note(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }
}

impl Observer for Recorder {
    fn delivered(&self, happening: &Happening<'_>) {
        self.note(format!("delivered {} at attempt {}", happening.event_type, happening.attempt.number));
    }

    fn attempt_failed(&self, happening: &Happening<'_>) {
        self.note(format!("attempt {} failed", happening.attempt.number));
    }

    fn given_up(&self, _: &Happening<'_>, reason: DeadReason) {
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

async fn an_observer_is_told_of_everything_once_and_in_order<S: Store + 'static>(stage: Stage<S>) {
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

    // Three attempts that fail, and the end of the delivery; then a delivery that finds the endpoint gone.
    let later = NOON + 24 * HOUR;
    let mut health = stage.read(&subscription).await.health;
    assert_eq!(health, Health::default());
    health = health.failed(NOON, None);
    assert!(stage.store.put_health(subscription.id, &Health::default(), &health).await.unwrap());
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
    fn delivered(&self, _: &Happening<'_>) {
        panic!("an observer's own fault");
    }

    fn attempt_failed(&self, _: &Happening<'_>) {
        panic!("an observer's own fault");
    }
}

async fn an_observer_that_panics_costs_nothing<S: Store + 'static>(stage: Stage<S>) {
    let endpoint = Endpoint::start([Answer::Status(500)]).await;
    stage.subscribe(&endpoint).await;
    stage.emit().await;
    let dispatcher = stage.dispatcher().with_observer(Panics);
    assert_eq!(dispatcher.step(NOON).await.unwrap().retried, 1);
    assert_eq!(dispatcher.step(NOON + MINUTE).await.unwrap().delivered, 1);
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

async fn a_bearer_token_comes_from_the_callers_source<S: Store + 'static>(stage: Stage<S>) {
    let (endpoint, dispatcher) = with_tokens(&stage).await;
    assert_eq!(dispatcher.step(NOON).await.unwrap().retried, 1);
    assert_eq!(endpoint.requests().len(), 0);
    assert_eq!(dispatcher.step(NOON + MINUTE).await.unwrap().delivered, 1);
    assert_eq!(endpoint.requests()[0].0["authorization"], "Bearer token-2");
}

async fn a_token_source_that_errs_is_no_fault_of_the_endpoint<S: Store + 'static>(stage: Stage<S>) {
    let (_endpoint, dispatcher) = with_tokens(&stage).await;
    dispatcher.step(NOON).await.unwrap();
    let [subscription] = stage.store.subscriptions("org_1").await.unwrap().try_into().unwrap();
    assert_eq!(subscription.health, Health::default());
    let [delivery] = stage.deliveries(&subscription).await.try_into().unwrap();
    let [attempt] = stage.store.attempts(delivery.id).await.unwrap().try_into().unwrap();
    assert_eq!(attempt.outcome, Outcome::Failed(ErrorClass::Internal));
    assert!(!attempt.response_excerpt.contains("sleeps"), "the source's own words may hold what is secret");
}

async fn with_tokens<S: Store + 'static>(stage: &Stage<S>) -> (Endpoint, hookwire::dispatch::Dispatcher) {
    let endpoint = Endpoint::start([]).await;
    let mut subscription = stage.subscribe(&endpoint).await;
    subscription.options =
        subscription.options.with_authentication(Authentication::BearerFromSource).unwrap();
    stage.store.put_subscription(&subscription).await.unwrap();
    stage.emit().await;
    (endpoint, stage.dispatcher().with_token_source(Tokens::default()))
}
