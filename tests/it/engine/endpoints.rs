//! What an endpoint's answers do to its subscription.

use std::time::Duration;

use hookwire::{
    Contract, DeliveryState, DisabledReason, ErrorClass, Health, Outcome, Store, SubscriptionStatus,
};

use super::{DAY, HOUR, MINUTE, NOON, Stage, on_every_store};
use crate::endpoint::{Answer, Endpoint};

on_every_store! {
    an_endpoint_that_fails_for_as_long_as_the_contract_allows_is_disabled_across_restarts
    one_success_clears_what_is_held_against_an_endpoint
    a_success_that_was_claimed_before_a_failure_clears_it_too
    retry_after_slows_the_subscription_and_not_only_its_delivery
    a_fault_of_our_own_is_not_held_against_the_endpoint
    events_wait_while_their_subscription_is_disabled
}

async fn an_endpoint_that_fails_for_as_long_as_the_contract_allows_is_disabled_across_restarts<
    S: Store + 'static,
>(
    stage: Stage<S>,
) {
    let stage = stage.under(Contract::allo());
    let endpoint = Endpoint::start((0..1_000).map(|_| Answer::Status(500))).await;
    let subscription = stage.subscribe(&endpoint).await;
    // An event every six hours; a dispatcher for each, as if the process were restarted in between.
    let mut now = NOON;
    let disabled_at = loop {
        stage.emit_at(now).await;
        let until = now + 6 * HOUR;
        while now < until {
            stage.drain(&stage.dispatcher(), now).await;
            now += 10 * MINUTE;
        }
        match stage.read(&subscription).await.status {
            SubscriptionStatus::Disabled { reason, at, .. } => {
                assert_eq!(reason, DisabledReason::Failing);
                break at;
            }
            _ => assert!(now < NOON + 7 * DAY, "never disabled"),
        }
    };
    // The timer starts when failures span 12 h, and runs for 5 days.
    assert!(disabled_at >= NOON + 5 * DAY + 12 * HOUR, "{disabled_at}");
    assert!(disabled_at <= NOON + 5 * DAY + 24 * HOUR, "{disabled_at}");
    let sent = endpoint.requests().len();
    stage.emit_at(now).await;
    stage.drain(&stage.dispatcher(), now + DAY).await;
    assert_eq!(endpoint.requests().len(), sent, "nothing is sent to a disabled endpoint");
}

async fn one_success_clears_what_is_held_against_an_endpoint<S: Store + 'static>(stage: Stage<S>) {
    let stage = stage.under(Contract::allo());
    let endpoint = Endpoint::start([500, 500, 500].map(Answer::Status)).await;
    let subscription = stage.subscribe(&endpoint).await;
    stage.emit().await;
    let mut now = NOON;
    for failures in 1..=3 {
        let step = stage.drain(&stage.dispatcher(), now).await;
        assert_eq!(step.retried, 1);
        let health = stage.read(&subscription).await.health;
        assert_eq!((health.failures(), health.failing_since()), (failures, Some(NOON)));
        now += step.next_due.unwrap();
    }
    assert_eq!(stage.drain(&stage.dispatcher(), now).await.delivered, 1);
    assert_eq!(stage.read(&subscription).await.health, Health::default());
}

async fn a_success_that_was_claimed_before_a_failure_clears_it_too<S: Store + 'static>(stage: Stage<S>) {
    // Both are claimed from a healthy endpoint; the one that succeeds is settled last.
    let endpoint = Endpoint::start([Answer::Hang, Answer::Status(500)]).await;
    let subscription = stage.subscribe(&endpoint).await;
    stage.emit().await;
    let dispatcher = std::sync::Arc::new(stage.dispatcher());
    // Learned, so that both may be in flight.
    let first = tokio::spawn({
        let dispatcher = std::sync::Arc::clone(&dispatcher);
        async move { dispatcher.step(NOON).await.unwrap() }
    });
    endpoint.arrived(1).await;
    stage.emit().await;
    assert_eq!(dispatcher.step(NOON).await.unwrap().retried, 1);
    assert_eq!(stage.read(&subscription).await.health.failures(), 1);
    endpoint.let_go(200);
    assert_eq!(first.await.unwrap().delivered, 1);
    assert_eq!(stage.read(&subscription).await.health, Health::default());
}

async fn retry_after_slows_the_subscription_and_not_only_its_delivery<S: Store + 'static>(stage: Stage<S>) {
    let endpoint = Endpoint::start([Answer::With(503, "retry-after", "120")]).await;
    let other = Endpoint::start([]).await;
    stage.subscribe(&endpoint).await;
    let first = stage.emit().await;
    stage.drain(&stage.dispatcher(), NOON).await;
    stage.subscribe(&other).await;
    stage.emit().await;
    // A dispatcher that knows nothing of the answer: the pause is in the store.
    let step = stage.drain(&stage.dispatcher(), NOON + 119 * Duration::from_secs(1)).await;
    assert_eq!(step.delivered, 1, "the other endpoint's");
    assert_eq!(endpoint.requests().len(), 1, "of {first}");
    assert_eq!(step.next_due, Some(Duration::from_secs(1)));
    assert_eq!(stage.drain(&stage.dispatcher(), NOON + 2 * MINUTE).await.delivered, 2);
}

async fn a_fault_of_our_own_is_not_held_against_the_endpoint<S: Store + 'static>(stage: Stage<S>) {
    let endpoint = Endpoint::start([]).await;
    let mut subscription = stage.subscribe(&endpoint).await;
    subscription.secrets.clear();
    stage.store.put_subscription(&subscription).await.unwrap();
    stage.emit().await;
    assert_eq!(stage.drain(&stage.dispatcher(), NOON).await.retried, 1);
    let [delivery] = stage.deliveries(&subscription).await.try_into().unwrap();
    let attempts = stage.store.attempts(delivery.id).await.unwrap();
    assert_eq!(attempts[0].outcome, Outcome::Failed(ErrorClass::Internal));
    assert_eq!(stage.read(&subscription).await.health, Health::default());
}

async fn events_wait_while_their_subscription_is_disabled<S: Store + 'static>(stage: Stage<S>) {
    let endpoint = Endpoint::start([Answer::Status(500)]).await;
    let subscription = stage.subscribe(&endpoint).await;
    stage.emit().await;
    let dispatcher = stage.dispatcher();
    stage.drain(&dispatcher, NOON).await;
    let status = SubscriptionStatus::disabled(DisabledReason::Manual, NOON);
    stage.store.set_subscription_status(subscription.id, &status).await.unwrap();
    stage.emit().await;
    let step = stage.drain(&dispatcher, NOON + 2 * DAY).await;
    assert_eq!((step.delivered, step.next_due), (0, None));
    assert_eq!(stage.states(&subscription).await, [DeliveryState::Pending; 2]);
    stage.store.set_subscription_status(subscription.id, &SubscriptionStatus::Enabled).await.unwrap();
    assert_eq!(stage.drain(&dispatcher, NOON + 2 * DAY).await.delivered, 2);
}
