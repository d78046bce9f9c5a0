//! An endpoint's answers change its subscription.

use std::time::Duration;

use hookwire::subscription::{Authentication, Health};
use hookwire::{
    Contract, DeliveryState, DisabledReason, Records, RetryPolicy, Subscription, SubscriptionStatus,
    Subscriptions,
};

use super::{DAY, HOUR, MINUTE, NOON, Stage, on_every_store};
use crate::endpoint::{Answer, Endpoint};
use crate::stores::Tested;

on_every_store! {
    an_endpoint_that_fails_for_as_long_as_the_contract_allows_is_disabled_across_restarts
    one_success_clears_what_is_held_against_an_endpoint
    a_success_that_was_claimed_before_a_failure_clears_it_too
    retry_after_slows_the_subscription_and_not_only_its_delivery
    a_fault_of_our_own_is_not_held_against_the_endpoint
    a_fault_of_our_own_uses_up_no_time_of_the_retries
    events_wait_while_their_subscription_is_disabled
}

async fn an_endpoint_that_fails_for_as_long_as_the_contract_allows_is_disabled_across_restarts<S: Tested>(
    stage: Stage<S>,
) {
    let stage = stage.under(Contract::allo());
    let endpoint = Endpoint::start((0..1_000).map(|_| Answer::Status(500))).await;
    let subscription = stage.subscribe(&endpoint).await;
    // Emit an event every six hours. Each has a new dispatcher, as after a restart.
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
    // The timer starts when failures span 12 h, and it runs for 5 days.
    assert!(disabled_at >= NOON + 5 * DAY + 12 * HOUR, "{disabled_at}");
    assert!(disabled_at <= NOON + 5 * DAY + 24 * HOUR, "{disabled_at}");
    let sent = endpoint.requests().len();
    stage.emit_at(now).await;
    stage.drain(&stage.dispatcher(), now + DAY).await;
    assert_eq!(endpoint.requests().len(), sent, "nothing is sent to a disabled endpoint");
}

async fn one_success_clears_what_is_held_against_an_endpoint<S: Tested>(stage: Stage<S>) {
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

async fn a_success_that_was_claimed_before_a_failure_clears_it_too<S: Tested>(stage: Stage<S>) {
    // Both attempts start at a healthy endpoint. The successful one is settled last.
    let endpoint = Endpoint::start([Answer::Hang, Answer::Status(500)]).await;
    let subscription = stage.subscribe(&endpoint).await;
    stage.emit().await;
    let dispatcher = std::sync::Arc::new(stage.dispatcher());
    // The dispatcher has seen the endpoint answer, so both attempts may be in flight.
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

async fn retry_after_slows_the_subscription_and_not_only_its_delivery<S: Tested>(stage: Stage<S>) {
    let endpoint = Endpoint::start([Answer::With(503, "retry-after", "120")]).await;
    let other = Endpoint::start([]).await;
    stage.subscribe(&endpoint).await;
    let first = stage.emit().await;
    stage.drain(&stage.dispatcher(), NOON).await;
    stage.subscribe(&other).await;
    stage.emit().await;
    // A new dispatcher reads the pause from the store.
    let step = stage.drain(&stage.dispatcher(), NOON + 119 * Duration::from_secs(1)).await;
    assert_eq!(step.delivered, 1, "the other endpoint's");
    assert_eq!(endpoint.requests().len(), 1, "of {first}");
    assert_eq!(step.next_due, Some(Duration::from_secs(1)));
    assert_eq!(stage.drain(&stage.dispatcher(), NOON + 2 * MINUTE).await.delivered, 2);
}

/// Has a subscription want a token from a source, which no dispatcher here has.
fn waiting_for_a_token(mut subscription: Subscription) -> Subscription {
    let authentication = Authentication::BearerFromSource;
    subscription.options = subscription.options.with_authentication(authentication).unwrap();
    subscription
}

async fn a_fault_of_our_own_is_not_held_against_the_endpoint<S: Tested>(stage: Stage<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = waiting_for_a_token(stage.subscribe(&endpoint).await);
    stage.plain().put(&subscription).await.unwrap();
    stage.emit().await;
    assert_eq!(stage.drain(&stage.dispatcher(), NOON).await.kept_back, 1);
    let [delivery] = stage.deliveries(&subscription).await.try_into().unwrap();
    assert_eq!((delivery.state, delivery.attempts), (DeliveryState::Pending, 0));
    assert!(stage.plain().list_attempts(delivery.id).await.unwrap().is_empty());
    assert_eq!(stage.read(&subscription).await.health, Health::default());
}

async fn a_fault_of_our_own_uses_up_no_time_of_the_retries<S: Tested>(stage: Stage<S>) {
    let retry = RetryPolicy::delays([MINUTE; 3]).unwrap().with_max_elapsed(3 * MINUTE).unwrap();
    let contract = stage.contract.clone().with_retry(retry);
    let stage = stage.under(contract);
    let endpoint = Endpoint::start((0..9).map(|_| Answer::Status(500))).await;
    let subscription = stage.subscribe(&endpoint).await;
    stage.emit().await;
    let dispatcher = stage.dispatcher();
    assert_eq!(stage.drain(&dispatcher, NOON).await.retried, 1);
    let spoilt = waiting_for_a_token(subscription.clone());
    stage.plain().put(&spoilt).await.unwrap();
    let mut now = NOON + MINUTE;
    while now < NOON + DAY {
        let step = stage.drain(&dispatcher, now).await;
        assert_eq!(step.kept_back, 1);
        now += step.next_due.unwrap();
    }
    stage.plain().put(&subscription).await.unwrap();
    // Two more retries are planned, and then there are none.
    assert_eq!(stage.drain(&dispatcher, now).await.retried, 1);
    // The dispatcher itself comes late, too.
    let step = stage.drain(&dispatcher, now + 2 * DAY).await;
    assert_eq!((step.retried, step.dead), (1, 0));
    assert_eq!(stage.drain(&dispatcher, now + 2 * DAY + MINUTE).await.dead, 1);
    assert_eq!(endpoint.requests().len(), 4);
}

async fn events_wait_while_their_subscription_is_disabled<S: Tested>(stage: Stage<S>) {
    let endpoint = Endpoint::start([Answer::Status(500)]).await;
    let subscription = stage.subscribe(&endpoint).await;
    stage.emit().await;
    let dispatcher = stage.dispatcher();
    stage.drain(&dispatcher, NOON).await;
    let status = SubscriptionStatus::disabled(DisabledReason::Manual, NOON);
    stage.plain().set_status(subscription.id, &status).await.unwrap();
    stage.emit().await;
    let step = stage.drain(&dispatcher, NOON + 2 * DAY).await;
    assert_eq!((step.delivered, step.next_due), (0, None));
    assert_eq!(stage.states(&subscription).await, [DeliveryState::Pending; 2]);
    stage.plain().set_status(subscription.id, &SubscriptionStatus::Enabled).await.unwrap();
    assert_eq!(stage.drain(&dispatcher, NOON + 2 * DAY).await.delivered, 2);
}
