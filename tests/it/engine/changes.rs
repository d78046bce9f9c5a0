//! Changes while deliveries are in progress: secrets, subscriptions, replays, retention.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use hookwire::dispatch::{Dispatcher, EmitError, Outbox, WhileDisabled};
use hookwire::store::{Replay, Retention, StoreExt as _};
use hookwire::subscription::Health;
use hookwire::{
    Contract, DeadReason, DeliveryState, DisabledReason, EndpointUrl, EventFilter, Records, Secret,
    Store as _, Subscription, SubscriptionStatus, Subscriptions,
};
use time::OffsetDateTime;
use tokio::task::JoinHandle;

use super::{DAY, MINUTE, NOON, Stage, call, on_every_store, received};
use crate::endpoint::{Answer, Endpoint, loopback};
use crate::stores::Tested;
use crate::watched_store::Watched;

on_every_store! {
    a_retry_is_signed_with_the_secret_that_is_valid_by_then
    a_subscription_deleted_during_an_attempt_is_sent_nothing_more
    an_endpoint_that_moved_is_retried_at_its_new_url
    a_delivery_cancelled_during_its_attempt_is_sent_nothing_more
    a_replay_that_races_a_retry_doubles_nothing
    two_replays_at_once_double_nothing
    everything_dead_is_replayed_in_batches_that_are_told
    retention_empties_the_store_in_batches
    an_oversized_event_is_refused_before_it_is_stored
    an_outbox_reads_subscriptions_once_and_sees_each_change_of_them
}

async fn a_retry_is_signed_with_the_secret_that_is_valid_by_then<S: Tested>(stage: Stage<S>) {
    let endpoint = Endpoint::start([Answer::Status(500)]).await;
    let mut subscription = stage.subscribe(&endpoint).await;
    stage.emit().await;
    let dispatcher = stage.dispatcher();
    stage.drain(&dispatcher, NOON).await;
    let old = subscription.secrets[0].plain().unwrap().clone();
    let new = Secret::from_random([8; 32]);
    subscription.secrets = vec![new.clone().into()];
    stage.plain().put(&subscription).await.unwrap();
    stage.drain(&dispatcher, NOON + MINUTE).await;

    let requests = endpoint.requests().clone();
    let verifies = |request: usize, secret: &Secret, at: OffsetDateTime| {
        let (headers, body) = &requests[request];
        stage.contract.verifier(secret).unwrap().verify_at(headers, body, at).is_ok()
    };
    assert!(verifies(0, &old, NOON) && verifies(1, &new, NOON + MINUTE));
    assert!(!verifies(0, &new, NOON) && !verifies(1, &old, NOON + MINUTE));
}

async fn a_subscription_deleted_during_an_attempt_is_sent_nothing_more<S: Tested>(stage: Stage<S>) {
    let endpoint = Endpoint::start([Answer::Hang]).await;
    let subscription = stage.subscribe(&endpoint).await;
    stage.emit().await;
    let (dispatcher, step) = step_until_arrived(&stage, &endpoint).await;
    assert!(stage.plain().delete(subscription.id, NOON).await.unwrap());
    endpoint.let_go(500);
    let step = step.await.unwrap();
    assert_eq!((step.stale, step.retried), (1, 0));
    assert_eq!(stage.drain(&dispatcher, NOON + DAY).await.next_due, None);
    assert_eq!(endpoint.requests().len(), 1);
    assert_eq!(stage.states(&subscription).await, [DeliveryState::Dead(DeadReason::Cancelled)]);
}

async fn an_endpoint_that_moved_is_retried_at_its_new_url<S: Tested>(stage: Stage<S>) {
    let old = Endpoint::start([Answer::Status(500)]).await;
    let new = Endpoint::start([]).await;
    let mut subscription = stage.subscribe(&old).await;
    stage.emit().await;
    stage.drain(&stage.dispatcher(), NOON).await;
    subscription.url = new.url();
    stage.plain().put(&subscription).await.unwrap();
    assert_eq!(stage.read(&subscription).await.health.failures(), 1, "what was written stays");
    assert_eq!(stage.drain(&stage.dispatcher(), NOON + MINUTE).await.delivered, 1);
    assert_eq!((old.requests().len(), new.requests().len()), (1, 1));
    assert_eq!(stage.read(&subscription).await.health, Health::default());
}

async fn a_delivery_cancelled_during_its_attempt_is_sent_nothing_more<S: Tested>(stage: Stage<S>) {
    let endpoint = Endpoint::start([Answer::Hang]).await;
    let subscription = stage.subscribe(&endpoint).await;
    stage.emit().await;
    let (dispatcher, step) = step_until_arrived(&stage, &endpoint).await;
    let [delivery] = stage.deliveries(&subscription).await.try_into().unwrap();
    assert!(stage.plain().cancel(delivery.id, NOON).await.unwrap());
    endpoint.let_go(500);
    assert_eq!(step.await.unwrap().stale, 1);
    assert_eq!(stage.drain(&dispatcher, NOON + DAY).await.next_due, None);
    assert_eq!(endpoint.requests().len(), 1);
}

async fn a_replay_that_races_a_retry_doubles_nothing<S: Tested>(stage: Stage<S>) {
    let endpoint = Endpoint::start([Answer::Status(500), Answer::Hang]).await;
    let subscription = stage.subscribe(&endpoint).await;
    let event = stage.emit().await;
    stage.drain(&stage.dispatcher(), NOON).await;
    let [delivery] = stage.deliveries(&subscription).await.try_into().unwrap();
    let again = [Replay::Delivery(delivery.id), Replay::Since(subscription.id, NOON)];
    let later = NOON + MINUTE;
    // Replay while the delivery waits for its retry, and again during the retry.
    for replay in &again {
        assert_eq!(stage.plain().replay(replay, 10, later).await.unwrap().made, 0);
    }
    let dispatcher = Arc::new(stage.dispatcher());
    let step = spawn_step(&dispatcher, later);
    endpoint.arrived(2).await;
    for replay in &again {
        assert_eq!(stage.plain().replay(replay, 10, later).await.unwrap().made, 0);
    }
    endpoint.let_go(200);
    assert_eq!(step.await.unwrap().delivered, 1);
    // A delivered event is replayed only by its own id, and keeps its event id.
    assert_eq!(stage.plain().replay(&again[1], 10, later).await.unwrap().made, 0);
    assert_eq!(stage.plain().replay(&again[0], 10, later).await.unwrap().made, 1);
    assert_eq!(stage.drain(&dispatcher, later).await.delivered, 1);
    assert_eq!(received(&endpoint), [event.as_str(); 3]);
    let requests = endpoint.requests();
    assert!(requests.iter().all(|(_, body)| *body == requests[0].1), "the same bytes");
}

async fn two_replays_at_once_double_nothing<S: Tested>(stage: Stage<S>) {
    let stage = stage.under(Contract::nectar_desk());
    let endpoint = Endpoint::start((0..20).map(|_| Answer::Status(400))).await;
    let subscription = stage.subscribe(&endpoint).await;
    for _ in 0..20 {
        stage.emit().await;
    }
    assert_eq!(stage.drain(&stage.dispatcher(), NOON).await.dead, 20);
    let dead = Replay::DeadLetters(subscription.id);
    let at_once = (0..4).map(|_| stage.plain().replay(&dead, 20, NOON));
    let made: u32 =
        futures_util::future::join_all(at_once).await.into_iter().map(|told| told.unwrap().made).sum();
    assert_eq!(made, 20);
    assert_eq!(stage.drain(&stage.dispatcher(), NOON).await.delivered, 20);
}

async fn everything_dead_is_replayed_in_batches_that_are_told<S: Tested>(stage: Stage<S>) {
    let stage = stage.under(Contract::nectar_desk());
    let endpoint = Endpoint::start((0..25).map(|_| Answer::Status(400))).await;
    let subscription = stage.subscribe(&endpoint).await;
    for _ in 0..25 {
        stage.emit().await;
    }
    assert_eq!(stage.drain(&stage.dispatcher(), NOON).await.dead, 25);
    let mut told = Vec::new();
    let dead = Replay::DeadLetters(subscription.id);
    let ten = NonZeroU32::new(10).unwrap();
    let made = stage.plain().replay_all(&dead, ten, NOON, |made| told.push(made)).await.unwrap();
    assert_eq!((made, told), (25, vec![10, 20, 25]));
    assert_eq!(stage.drain(&stage.dispatcher(), NOON).await.delivered, 25);
}

async fn retention_empties_the_store_in_batches<S: Tested>(stage: Stage<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = stage.subscribe(&endpoint).await;
    for _ in 0..25 {
        stage.emit().await;
    }
    stage.drain(&stage.dispatcher(), NOON).await;
    let retention = Retention::new().with_deliveries(DAY);
    let ten = NonZeroU32::new(10).unwrap();
    let early = NOON + DAY - Duration::from_secs(1);
    assert_eq!(stage.plain().prune_all(&retention, ten, early).await.unwrap(), 0);
    // Each delivery is deleted with its attempt and its event.
    assert_eq!(stage.plain().prune_all(&retention, ten, NOON + DAY).await.unwrap(), 75);
    assert!(stage.deliveries(&subscription).await.is_empty());
}

async fn an_oversized_event_is_refused_before_it_is_stored<S: Tested>(stage: Stage<S>) {
    let endpoint = Endpoint::start([]).await;
    stage.subscribe(&endpoint).await;
    let mut large = call();
    large.data.summary = Some("x".repeat(1024 * 1024));
    let error = stage.outbox().emit("org_1", &large).await.unwrap_err();
    assert!(matches!(error, EmitError::TooLarge { len, limit, .. } if len > limit && limit == 1024 * 1024));
    let roomy = stage.outbox().with_max_payload(2 * 1024 * 1024);
    assert!(!roomy.emit("org_1", &large).await.unwrap().duplicate, "the refused one left nothing");
    assert_eq!(stage.drain(&stage.dispatcher(), NOON).await.delivered, 1);
    assert!(endpoint.requests()[0].1.len() > 1024 * 1024);
}

async fn an_outbox_reads_subscriptions_once_and_sees_each_change_of_them<S: Tested>(stage: Stage<S>) {
    let url = EndpointUrl::parse("http://127.0.0.1:9/", &loopback()).unwrap();
    let subscribe = || {
        Subscription::new("org_1", &Contract::allison(), url.clone(), EventFilter::all())
            .with_secret(Secret::generate())
    };
    let (store, watched) = (stage.plain(), Watched::new(Arc::clone(&stage.store)));
    let outbox = Outbox::new(watched.clone(), Contract::allison());
    let emit = async |expected: usize, reads: bool| {
        let before = watched.readings();
        assert_eq!(outbox.emit("org_1", &call()).await.unwrap().deliveries, expected);
        assert_eq!(watched.readings() > before, reads, "to {expected}");
    };
    emit(0, true).await;
    emit(0, false).await;
    let mut one = subscribe();
    store.put(&one).await.unwrap();
    emit(1, true).await;
    emit(1, false).await;
    assert_eq!(outbox.emit("org_2", &call()).await.unwrap().deliveries, 0, "another's are another's");
    // Neither has a part in where events go.
    store.set_status(one.id, &SubscriptionStatus::disabled(DisabledReason::Manual, NOON)).await.unwrap();
    one.health = Health::default().failed(NOON, None);
    store.put_health(one.id, &Health::default(), &one.health, None, NOON).await.unwrap();
    emit(1, false).await;
    one.filter = EventFilter::new(["call.message_taken"]).unwrap();
    store.put(&one).await.unwrap();
    emit(0, true).await;
    one.filter = EventFilter::all();
    store.put(&one).await.unwrap();
    let two = subscribe();
    store.put(&two).await.unwrap();
    let both = outbox.emit_all("org_1", [&call(), &call(), &call()]).await.unwrap();
    assert!(both.events.iter().all(|emitted| emitted.as_ref().unwrap().deliveries == 2), "{both:?}");
    store.delete(one.id, NOON).await.unwrap();
    emit(1, true).await;
    emit(1, false).await;
    let dropping = stage.outbox().with_disabled(WhileDisabled::Drop);
    assert_eq!(dropping.emit("org_1", &call()).await.unwrap().deliveries, 1);
    store.set_status(two.id, &SubscriptionStatus::disabled(DisabledReason::Manual, NOON)).await.unwrap();
    assert_eq!(dropping.emit("org_1", &call()).await.unwrap().deliveries, 0);
}

/// Starts a step, and waits until its first attempt has arrived. The attempt is not answered yet.
async fn step_until_arrived<S: Tested>(
    stage: &Stage<S>,
    endpoint: &Endpoint,
) -> (Arc<Dispatcher>, JoinHandle<hookwire::dispatch::Step>) {
    let dispatcher = Arc::new(stage.dispatcher());
    let step = spawn_step(&dispatcher, NOON);
    endpoint.arrived(1).await;
    (dispatcher, step)
}

fn spawn_step(dispatcher: &Arc<Dispatcher>, now: OffsetDateTime) -> JoinHandle<hookwire::dispatch::Step> {
    let dispatcher = Arc::clone(dispatcher);
    tokio::spawn(async move { dispatcher.step(now).await.unwrap() })
}
