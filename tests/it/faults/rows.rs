//! Stored rows that cannot be read: each visibly costs its own deliveries, and no others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookwire::dispatch::{FaultEvent, FaultKind, FaultScope, Observer};
use hookwire::store::StoreErrorKind;
use hookwire::subscription::Health;
use hookwire::{
    DeadReason, DeliveryId, DeliveryState, ErrorClass, EventId, FailureReason, Outcome, Records, Store as _,
    Subscription, SubscriptionId, Subscriptions,
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
    an_unreadable_subscription_stops_neither_its_organizations_events_nor_its_list
    an_event_for_a_subscription_whose_filter_cannot_be_read_is_told
    an_unreadable_row_is_told_to_the_observer
    unreadable_rows_do_not_make_what_is_behind_them_wait_for_a_look_each
}

/// Changes to the row of a subscription or its event, and a word that the error contains.
const UNREADABLE: [(&str, &str); 12] = [
    ("UPDATE {p}events SET payload = NULL WHERE id = {event}", "payload"),
    ("UPDATE {p}events SET type = '' WHERE id = {event}", "event"),
    ("UPDATE {pending} SET event = -1 WHERE subscription = {subscription}", "event"),
    ("UPDATE {pending} SET first_attempt_at = 9223372036854775807 WHERE subscription = {subscription}", ""),
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

/// A subscription with an organization of its own and one event.
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
        // Move the subscription to another organization, so that the next event is not for it.
        let id = site.database.id(subscription.id.as_u128());
        let moved = format!("UPDATE {{p}}subscriptions SET organization = 'org_2' WHERE id = {id}");
        site.database.tamper(&moved).await;
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
        site.plain().find_delivery("org_1", self.delivery).await.unwrap().unwrap().state
    }
}

async fn a_row_that_cannot_be_read_costs_its_own_deliveries_and_no_others<S: Opens>(site: Site<S>) {
    let (bad, healthy) = with_bad_rows(&site).await;
    let words = Words::default();
    let dispatcher = site.dispatcher().with_observer(words.clone());
    let first = site.drain(&dispatcher, NOON).await;
    let kept_back = UNREADABLE.iter().filter(|(sql, _)| is_of_subscription(sql)).count();
    let told = (first.delivered, first.retried, first.kept_back);
    assert_eq!(told, (1, bad.len() - kept_back, kept_back), "in the first turn");
    for day in 1..100 {
        site.drain(&dispatcher, NOON + day * DAY).await;
    }
    accounted_for(&site, &healthy.subscription, &healthy.endpoint, &[healthy.event]).await;
    for (bad, (sql, word)) in bad.iter().zip(UNREADABLE) {
        assert!(bad.endpoint.requests().is_empty(), "{sql}");
        let told = words.0.lock().unwrap().iter().find(|(id, _)| *id == bad.delivery).unwrap().1.clone();
        assert!(!told.contains("garbled"), "{sql} shows what was stored");
        assert!(told.contains(word) || is_of_subscription(sql), "{sql}: {told}");
        let attempts = site.plain().list_attempts(bad.delivery).await.unwrap();
        if is_of_subscription(sql) {
            assert_eq!(bad.state(&site).await, DeliveryState::Pending, "it waits: {sql}");
            assert!(attempts.is_empty(), "no attempt is spent: {sql}");
            continue;
        }
        match site.plain().find_delivery("org_1", bad.delivery).await {
            Ok(Some(delivery)) => {
                assert_eq!(delivery.state, DeliveryState::Dead(DeadReason::Exhausted), "{sql}")
            }
            // Without its event, the delivery cannot be read. Its attempts can.
            told => assert!(sql.contains("event = -1") || sql.contains("type = ''"), "{sql}: {told:?}"),
        }
        assert_eq!(u32::try_from(attempts.len()).ok(), site.contract.retry().max_attempts(), "{sql}");
        for attempt in attempts {
            assert_eq!(attempt.outcome, Outcome::Failed(ErrorClass::Internal), "{sql}");
            assert_eq!(attempt.reason, Some(FailureReason::Unreadable), "{sql}");
            assert_eq!(attempt.response_excerpt, "", "no endpoint sent anything: {sql}");
        }
    }
}

async fn a_row_that_is_mended_in_time_is_delivered<S: Opens>(site: Site<S>) {
    let (bad, _healthy) = with_bad_rows(&site).await;
    site.drain(&site.dispatcher(), NOON).await;
    let mut mended = 0;
    for (bad, (sql, _)) in bad.iter().zip(UNREADABLE) {
        if !is_of_subscription(sql) {
            continue;
        }
        bad.tamper(&site, "DELETE FROM {p}subscriptions WHERE id = {subscription}").await;
        site.plain().put(&bad.subscription).await.unwrap();
        mended += 1;
    }
    assert_eq!(site.drain(&site.dispatcher(), NOON + DAY).await.delivered, mended);
    for (bad, (sql, _)) in bad.iter().zip(UNREADABLE) {
        if is_of_subscription(sql) {
            accounted_for(&site, &bad.subscription, &bad.endpoint, std::slice::from_ref(&bad.event)).await;
            assert_eq!(site.read(&bad.subscription).await.health, Health::default(), "our own fault: {sql}");
        }
    }
}

/// Whether a change spoils the subscription, which can be mended, and not its delivery.
fn is_of_subscription(sql: &str) -> bool {
    sql.contains("{p}subscriptions")
}

/// A subscription for each way to spoil a row, and a healthy one.
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
        let sql = format!("UPDATE {{pending}} SET {set} WHERE subscription = {{subscription}}");
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

async fn an_unreadable_subscription_stops_neither_its_organizations_events_nor_its_list<S: Opens>(
    site: Site<S>,
) {
    let endpoints = [Endpoint::start([]).await, Endpoint::start([]).await, Endpoint::start([]).await];
    let mut all = Vec::new();
    for endpoint in &endpoints {
        all.push(site.subscribe(endpoint).await);
    }
    let id = site.database.id(all[1].id.as_u128());
    for column in ["secrets", "options", "health", "url"] {
        let sql = format!("UPDATE {{p}}subscriptions SET {column} = 'garbled' WHERE id = {id}");
        site.database.tamper(&sql).await;
        let emitted = site.outbox().emit("org_1", &crate::engine::call()).await.unwrap();
        assert_eq!((emitted.deliveries, emitted.unreadable.len()), (3, 0), "{column}");
        let step = site.drain(&site.dispatcher(), NOON).await;
        assert_eq!((step.delivered, step.kept_back), (2, 1), "{column}");
        let listed = site.plain().list("org_1", None, 9).await.unwrap().items;
        let readable: Vec<_> = listed.iter().map(|scanned| scanned.subscription.is_ok()).collect();
        let ids: Vec<_> = listed.iter().map(|scanned| scanned.id).collect();
        let expected: Vec<_> = all.iter().map(|subscription| subscription.id).collect();
        assert_eq!((ids, readable), (expected, vec![true, false, true]), "{column}");
        // In pages of one, so that the unreadable one is the last of its page.
        let mut after = None;
        for subscription in &all {
            let page = site.plain().list("org_1", after, 1).await.unwrap();
            assert_eq!(page.items[0].id, subscription.id, "{column}");
            after = page.next;
        }
        assert_eq!(after, None);
        // Mend the row. Its event waited.
        site.database.tamper(&format!("DELETE FROM {{p}}subscriptions WHERE id = {id}")).await;
        site.plain().put(&all[1]).await.unwrap();
        assert_eq!(site.drain(&site.dispatcher(), NOON + DAY).await.delivered, 1, "{column}");
        let received = crate::engine::received(&endpoints[1]);
        assert_eq!(received.last().map(String::as_str), Some(emitted.id.as_str()), "{column}");
    }
}

async fn an_event_for_a_subscription_whose_filter_cannot_be_read_is_told<S: Opens>(site: Site<S>) {
    let endpoints = [Endpoint::start([]).await, Endpoint::start([]).await];
    let healthy = site.subscribe(&endpoints[0]).await;
    let spoilt = site.subscribe(&endpoints[1]).await;
    let id = site.database.id(spoilt.id.as_u128());
    site.database.tamper(&format!("UPDATE {{p}}subscriptions SET filter = 'x' WHERE id = {id}")).await;
    let emitted = site.outbox().emit("org_1", &crate::engine::call()).await.unwrap();
    assert_eq!((emitted.deliveries, emitted.unreadable), (1, vec![spoilt.id]));
    assert_eq!(site.drain(&site.dispatcher(), NOON).await.delivered, 1);
    accounted_for(&site, &healthy, &endpoints[0], &[emitted.id]).await;
    assert!(site.deliveries(&spoilt).await.is_empty());
}

async fn an_unreadable_row_is_told_to_the_observer<S: Opens>(site: Site<S>) {
    let (of_event, of_subscription) = (Bad::new(&site).await, Bad::new(&site).await);
    of_event.tamper(&site, UNREADABLE[0].0).await;
    of_subscription.tamper(&site, UNREADABLE[7].0).await;
    let faults = Faults::default();
    site.drain(&site.dispatcher().with_observer(faults.clone()), NOON).await;
    let mut told = faults.0.lock().unwrap().clone();
    told.sort_by_key(|(delivery, ..)| *delivery != of_event.delivery);
    let unreadable = FaultKind::Unreadable;
    let second = Some(Duration::from_secs(1));
    assert_eq!(
        told,
        [
            (of_event.delivery, None, FaultScope::Delivery, unreadable, None),
            (
                of_subscription.delivery,
                Some(of_subscription.subscription.id),
                FaultScope::Subscription,
                unreadable,
                second
            ),
        ]
    );
}

/// Notes the faults on this side in words.
#[derive(Clone, Default)]
struct Words(Arc<Mutex<Vec<(DeliveryId, String)>>>);

impl Observer for Words {
    fn own_fault(&self, fault: &FaultEvent<'_>) {
        self.0.lock().unwrap().push((fault.delivery, fault.reason.to_owned()));
    }
}

type Told = (DeliveryId, Option<SubscriptionId>, FaultScope, FaultKind, Option<Duration>);

/// Notes the faults on this side.
#[derive(Clone, Default)]
struct Faults(Arc<Mutex<Vec<Told>>>);

impl Observer for Faults {
    fn own_fault(&self, fault: &FaultEvent<'_>) {
        let told = (fault.delivery, fault.subscription, fault.scope, fault.kind, fault.due_in);
        self.0.lock().unwrap().push(told);
    }
}

async fn unreadable_rows_do_not_make_what_is_behind_them_wait_for_a_look_each<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    for _ in 0..20 {
        site.emit().await;
    }
    site.database.tamper("UPDATE {p}events SET payload = NULL").await;
    // This delivery is due later than the others.
    site.emit_at(NOON + Duration::from_secs(1)).await;
    let dispatcher = site.dispatcher().with_clock(|| NOON + DAY).with_poll_interval(DAY);
    let running = Running::start(dispatcher);
    tokio::time::timeout(DAY / 1_440, endpoint.arrived(1))
        .await
        .expect("it waits for a poll, which is a day away");
    running.stop().await;
    assert_eq!(site.deliveries(&subscription).await[20].state, DeliveryState::Delivered);
}
