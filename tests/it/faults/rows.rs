//! Stored rows that cannot be read: each costs its own deliveries, visibly, and no others.

use std::time::Duration;

use hookwire::dispatch::EmitError;
use hookwire::store::StoreErrorKind;
use hookwire::{
    DeadReason, DeliveryId, DeliveryState, ErrorClass, EventId, Health, Outcome, Store as _, Subscription,
};

use super::{Opens, Site, accounted_for, on_both_databases};
use crate::endpoint::Endpoint;
use crate::engine::running::Running;
use crate::engine::{DAY, NOON};

on_both_databases! {
    a_row_that_cannot_be_read_costs_its_own_deliveries_and_no_others
    a_row_that_is_mended_in_time_is_delivered
    a_number_that_makes_no_sense_is_set_right_by_the_next_attempt
    a_subscription_of_unknown_status_keeps_its_deliveries_until_it_is_mended
    an_event_for_an_organization_with_an_unreadable_subscription_is_refused_and_not_lost
    unreadable_rows_do_not_make_what_is_behind_them_wait_for_a_look_each
}

/// What is done to a subscription's row, or to that of its event, and the word that tells of it.
const UNREADABLE: [(&str, &str); 12] = [
    ("UPDATE {p}events SET payload = NULL WHERE id = {event}", "payload"),
    ("UPDATE {p}events SET type = '' WHERE id = {event}", "event"),
    ("UPDATE {p}deliveries SET event = -1 WHERE subscription = {subscription}", "event"),
    (
        "UPDATE {p}deliveries SET first_attempt_at = 9223372036854775807 WHERE subscription = {subscription}",
        "",
    ),
    ("UPDATE {p}subscriptions SET url = 'not a url' WHERE id = {subscription}", "subscription"),
    ("UPDATE {p}subscriptions SET filter = '[\"call.' WHERE id = {subscription}", "filter"),
    ("UPDATE {p}subscriptions SET filter = '[\"*.*.\"]' WHERE id = {subscription}", "subscription"),
    ("UPDATE {p}subscriptions SET secrets = 'garbled' WHERE id = {subscription}", "secrets"),
    (
        "UPDATE {p}subscriptions SET secrets = '[\"enc:v9:garbled\"]' WHERE id = {subscription}",
        "subscription",
    ),
    ("UPDATE {p}subscriptions SET options = '{{{' WHERE id = {subscription}", "subscription"),
    ("UPDATE {p}subscriptions SET health = 'fine' WHERE id = {subscription}", "subscription"),
    (
        "UPDATE {p}subscriptions SET created_at = 9223372036854775807 WHERE id = {subscription}",
        "subscription",
    ),
];

/// A subscription of an organization of its own, with its one event.
struct Bad {
    endpoint: Endpoint,
    subscription: Subscription,
    event: EventId,
    delivery: DeliveryId,
}

impl Bad {
    async fn new<S: Opens>(site: &Site<S>) -> Self {
        let endpoint = Endpoint::start([]).await;
        let subscription = site.subscribe(&endpoint).await;
        let event = site.emit().await;
        // Nobody else is in the way of the next one's event.
        let mut moved = subscription.clone();
        moved.organization = "org_2".to_owned();
        site.store.put_subscription(&moved).await.unwrap();
        let [delivery] = site.deliveries(&subscription).await.try_into().unwrap();
        Self { endpoint, subscription, event, delivery: delivery.id }
    }

    async fn tamper<S: Opens>(&self, site: &Site<S>, sql: &str) {
        let subscription = site.database.id(self.subscription.id.as_u128());
        let sql =
            sql.replace("{subscription}", &subscription).replace("{event}", &format!("'{}'", self.event));
        site.database.tamper(&sql).await;
    }

    async fn state<S: Opens>(&self, site: &Site<S>) -> DeliveryState {
        site.store.delivery(self.delivery).await.unwrap().unwrap().state
    }
}

async fn a_row_that_cannot_be_read_costs_its_own_deliveries_and_no_others<S: Opens>(site: Site<S>) {
    let (bad, healthy) = with_bad_rows(&site).await;
    let dispatcher = site.dispatcher();
    let first = site.drain(&dispatcher, NOON).await;
    assert_eq!((first.delivered, first.retried), (1, bad.len()), "in the first turn");
    let mut now = NOON;
    while site.drain(&dispatcher, now).await.next_due.is_some() {
        now += DAY;
        assert!(now < NOON + 100 * DAY, "something is pending for ever");
    }
    accounted_for(&site, &healthy.subscription, &healthy.endpoint, &[healthy.event]).await;
    for (bad, (sql, word)) in bad.iter().zip(UNREADABLE) {
        assert!(bad.endpoint.requests().is_empty(), "{sql}");
        match site.store.delivery(bad.delivery).await {
            Ok(Some(delivery)) => {
                assert_eq!(delivery.state, DeliveryState::Dead(DeadReason::Exhausted), "{sql}")
            }
            // Without its event a delivery cannot be told; its attempts can.
            told => assert!(sql.contains("event = -1") || sql.contains("type = ''"), "{sql}: {told:?}"),
        }
        let attempts = site.store.attempts(bad.delivery).await.unwrap();
        assert_eq!(u32::try_from(attempts.len()).ok(), site.contract.retry().max_attempts(), "{sql}");
        for attempt in attempts {
            assert_eq!(attempt.outcome, Outcome::Failed(ErrorClass::Internal), "{sql}");
            assert!(!attempt.response_excerpt.contains("garbled"), "{sql} shows what was stored");
            assert!(attempt.response_excerpt.contains(word), "{sql}: {}", attempt.response_excerpt);
        }
    }
}

async fn a_row_that_is_mended_in_time_is_delivered<S: Opens>(site: Site<S>) {
    let (bad, _healthy) = with_bad_rows(&site).await;
    site.drain(&site.dispatcher(), NOON).await;
    let mut mended = 0;
    for (bad, (sql, _)) in bad.iter().zip(UNREADABLE) {
        if !sql.contains("{p}subscriptions") {
            continue;
        }
        bad.tamper(&site, "DELETE FROM {p}subscriptions WHERE id = {subscription}").await;
        site.store.put_subscription(&bad.subscription).await.unwrap();
        mended += 1;
    }
    assert_eq!(site.drain(&site.dispatcher(), NOON + DAY).await.delivered, mended);
    for (bad, (sql, _)) in bad.iter().zip(UNREADABLE) {
        if sql.contains("{p}subscriptions") {
            accounted_for(&site, &bad.subscription, &bad.endpoint, std::slice::from_ref(&bad.event)).await;
            assert_eq!(site.read(&bad.subscription).await.health, Health::default(), "our own fault: {sql}");
        }
    }
}

/// A subscription for each way to spoil a row, and one that is left alone.
async fn with_bad_rows<S: Opens>(site: &Site<S>) -> (Vec<Bad>, Bad) {
    let mut all = Vec::new();
    for _ in 0..=UNREADABLE.len() {
        all.push(Bad::new(site).await);
    }
    let healthy = all.pop().unwrap();
    for (bad, (sql, _)) in all.iter().zip(UNREADABLE) {
        bad.tamper(site, sql).await;
    }
    (all, healthy)
}

async fn a_number_that_makes_no_sense_is_set_right_by_the_next_attempt<S: Opens>(site: Site<S>) {
    let spoilt = [
        "attempts = -5",
        "attempts = -9223372036854775807",
        "attempts = 9223372036854775807",
        "lease = -7",
        "lease = 9223372036854775806",
        "lease = 9223372036854775807",
        "due_at = -9223372036854775807",
    ];
    let mut all = Vec::new();
    for set in spoilt {
        let bad = Bad::new(&site).await;
        let sql = format!("UPDATE {{p}}deliveries SET {set} WHERE subscription = {{subscription}}");
        bad.tamper(&site, &sql).await;
        all.push(bad);
    }
    let healthy = Bad::new(&site).await;
    let dispatcher = site.dispatcher();
    let mut now = NOON;
    while site.drain(&dispatcher, now).await.next_due.is_some() {
        now += DAY;
        assert!(now < NOON + 100 * DAY, "something is pending for ever");
    }
    accounted_for(&site, &healthy.subscription, &healthy.endpoint, &[healthy.event]).await;
    for (bad, set) in all.iter().zip(spoilt) {
        assert_eq!(bad.state(&site).await, DeliveryState::Delivered, "{set}");
        assert_eq!(bad.endpoint.requests().len(), 1, "{set}");
    }
}

async fn a_subscription_of_unknown_status_keeps_its_deliveries_until_it_is_mended<S: Opens>(site: Site<S>) {
    let bad = Bad::new(&site).await;
    let healthy = Bad::new(&site).await;
    bad.tamper(&site, "UPDATE {p}subscriptions SET status = 'sleepy' WHERE id = {subscription}").await;
    let dispatcher = site.dispatcher();
    assert_eq!(site.drain(&dispatcher, NOON + DAY).await.delivered, 1);
    accounted_for(&site, &healthy.subscription, &healthy.endpoint, &[healthy.event]).await;
    let told = site.store.subscription(bad.subscription.id).await.unwrap_err();
    assert_eq!(told.kind(), StoreErrorKind::Corrupt);
    assert_eq!(bad.state(&site).await, DeliveryState::Pending);
    bad.tamper(&site, "UPDATE {p}subscriptions SET status = 'enabled' WHERE id = {subscription}").await;
    assert_eq!(site.drain(&dispatcher, NOON + DAY).await.delivered, 1);
    accounted_for(&site, &bad.subscription, &bad.endpoint, &[bad.event]).await;
}

async fn an_event_for_an_organization_with_an_unreadable_subscription_is_refused_and_not_lost<S: Opens>(
    site: Site<S>,
) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let id = site.database.id(subscription.id.as_u128());
    site.database.tamper(&format!("UPDATE {{p}}subscriptions SET secrets = 'x' WHERE id = {id}")).await;
    let envelope = crate::engine::call();
    let refused = site.outbox().emit("org_1", &envelope).await.unwrap_err();
    assert!(
        matches!(&refused, EmitError::Store(error) if error.kind() == StoreErrorKind::Corrupt),
        "{refused:?}"
    );
    site.store.put_subscription(&subscription).await.unwrap();
    let emitted = site.outbox().emit("org_1", &envelope).await.unwrap();
    assert!(!emitted.duplicate, "the refused one left nothing");
    assert_eq!(site.drain(&site.dispatcher(), NOON).await.delivered, 1);
    accounted_for(&site, &subscription, &endpoint, &[emitted.id]).await;
}

async fn unreadable_rows_do_not_make_what_is_behind_them_wait_for_a_look_each<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    for _ in 0..20 {
        site.emit().await;
    }
    site.database.tamper("UPDATE {p}events SET payload = NULL").await;
    // Due later than the others.
    site.emit_at(NOON + Duration::from_secs(1)).await;
    let dispatcher = site.dispatcher().with_clock(|| NOON + DAY).with_poll_interval(DAY);
    let running = Running::start(dispatcher);
    tokio::time::timeout(DAY / 1_440, endpoint.arrived(1))
        .await
        .expect("it waits for a poll, which is a day away");
    running.stop().await;
    assert_eq!(site.deliveries(&subscription).await[20].state, DeliveryState::Delivered);
}
