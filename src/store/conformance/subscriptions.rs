//! Subscriptions: what is stored, and what their status, health and pauses do.

use super::*;
use crate::delivery::DeadReason;
use crate::signature::SealedSecret;
use crate::subscription::{Authentication, Health, Options};

/// Every part of a subscription comes back: its secrets of either kind, filter, status, options, times.
pub async fn a_subscription_is_read_back_as_it_was_written(store: &impl Store) {
    let filter = EventFilter::new(["call.*", "contact.created", "*"]).expect("patterns are right");
    let mut written = Subscription::from_parts(subscription_id(1), START, "org \"1\"", url("a"), filter)
        .with_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().expect("secret is right"))
        .with_secret(Secret::from_bytes([0xff; 32]))
        .with_secret("It's a \"secret\" to \u{1F98A}".parse().expect("secret is right"));
    written.secrets.push(SealedSecret::from_text("v1.one.d2g.\"as it is\"").into());
    written.status = SubscriptionStatus::disabled(DisabledReason::Failing, at(5));
    written.options = some_options();
    written.health = Health::default().failed(at(3), None);
    store.put_subscription(&written).await.expect("subscription is written");
    let read = subscription(store, written.id).await;
    assert_same(&read, &written);
    assert_eq!(read.health, written.health, "a new subscription's health is written");
    assert!(store.subscription(subscription_id(9)).await.expect("store answers").is_none());
}

/// The same id again replaces every part.
pub async fn a_subscription_written_again_is_replaced(store: &impl Store) {
    subscribe(store, 1).await;
    let filter = EventFilter::new(["contact.*"]).expect("pattern is right");
    let other = Subscription::from_parts(subscription_id(1), at(1), "org_2", url("b"), filter);
    store.put_subscription(&other).await.expect("subscription is written");
    assert_same(&subscription(store, other.id).await, &other);
    assert!(store.subscriptions(ORGANIZATION).await.expect("store answers").is_empty());
}

/// Whatever somebody else changed in the meantime, nothing of it is lost; the health is not compared and stays.
pub async fn a_subscription_is_replaced_only_in_place_of_what_was_seen(store: &impl Store) {
    let seen = subscribe(store, 1).await;
    subscribe(store, 2).await;
    let failing = Health::default().failed(at(3), None);
    assert!(store.put_health(seen.id, &Health::default(), &failing).await.expect("store answers"));
    let replaces = async |seen: &Subscription, subscription: &Subscription| {
        store.replace_subscription(seen, subscription).await.expect("store answers")
    };
    let mut rotated = seen.clone().with_secret(Secret::from_random([8; 32]));
    rotated.organization = "org_2".to_owned();
    rotated.url = url("b");
    rotated.filter = EventFilter::new(["contact.*"]).expect("pattern is right");
    rotated.options = some_options();
    rotated.status = SubscriptionStatus::disabled(DisabledReason::Manual, at(7));
    rotated.created_at = at(1);
    let changes: [fn(&mut Subscription); 8] = [
        |other| other.organization.push('x'),
        |other| other.url = url("x"),
        |other| other.filter = EventFilter::all(),
        |other| drop(other.secrets.pop()),
        |other| other.options = Options::new(),
        |other| other.created_at = at(2),
        |other| other.status = SubscriptionStatus::Enabled,
        |other| other.status = SubscriptionStatus::disabled(DisabledReason::Manual, at(8)),
    ];
    assert!(replaces(&seen, &rotated).await);
    assert_same(&subscription(store, seen.id).await, &rotated);
    assert!(!replaces(&seen, &seen).await, "it is another by now");
    for (number, change) in changes.into_iter().enumerate() {
        let mut older = rotated.clone();
        change(&mut older);
        assert!(!replaces(&older, &seen).await, "part {number} is another");
        assert_same(&subscription(store, seen.id).await, &rotated);
    }
    assert!(!replaces(&a_subscription(2), &rotated).await, "another subscription was seen");
    assert_same(&subscription(store, subscription_id(2)).await, &a_subscription(2));
    assert_eq!(subscription(store, seen.id).await.health, failing);
    let mut healthy = rotated.clone();
    healthy.health = Health::default();
    let mut disabled = seen.clone();
    disabled.status = rotated.status.clone();
    assert!(replaces(&healthy, &disabled).await, "health is not compared");
    assert_same(&subscription(store, seen.id).await, &disabled);
    assert_eq!(subscription(store, seen.id).await.health, failing);
    assert!(!replaces(&a_subscription(9), &a_subscription(9)).await, "there is none");
    assert!(store.subscription(subscription_id(9)).await.expect("store answers").is_none());
}

/// As [`Store::set_subscription_status`] has it; another replacement leaves the health.
pub async fn a_replacement_that_enables_starts_healthy(store: &impl Store) {
    let seen = subscribe(store, 1).await;
    let failing = Health::default().failed(at(1), None);
    assert!(store.put_health(seen.id, &Health::default(), &failing).await.expect("store answers"));
    let mut moved = seen.clone();
    moved.url = url("b");
    let mut disabled = moved.clone();
    disabled.status = SubscriptionStatus::disabled(DisabledReason::Failing, at(2));
    for (seen, written) in [(&seen, &moved), (&moved, &disabled)] {
        assert!(store.replace_subscription(seen, written).await.expect("store answers"));
        assert_eq!(subscription(store, seen.id).await.health, failing);
    }
    assert!(store.replace_subscription(&disabled, &moved).await.expect("store answers"));
    assert_eq!(subscription(store, seen.id).await.health, Health::default());
}

/// Until when old secrets sign comes back with them, also with a claim, and tells one writing from another.
pub async fn the_times_of_old_secrets_are_read_back(store: &impl Store) {
    let mut rotated = a_subscription(1);
    rotated.secrets = [91, 92, 93, 94].map(|byte| Secret::from_random([byte; 32]).into()).into();
    rotated.secrets_until = vec![at(60), at(-60)];
    store.put_subscription(&rotated).await.expect("subscription is written");
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    for read in [&subscription(store, rotated.id).await, &claimed.subscription] {
        assert_eq!(read.secrets_until, rotated.secrets_until);
        assert_eq!(read.secrets, rotated.secrets);
    }
    let mut longer = rotated.clone();
    longer.secrets_until[0] = at(61);
    assert!(!store.replace_subscription(&longer, &rotated).await.expect("store answers"));
    assert!(store.replace_subscription(&rotated, &longer).await.expect("store answers"));
    assert_eq!(subscription(store, rotated.id).await.secrets_until, longer.secrets_until);
}

/// Of every organization, each once, also when others are written and deleted between two pages.
pub async fn ids_of_subscriptions_are_listed_in_order_and_in_pages(store: &impl Store) {
    let page = async |after, limit| store.subscription_ids(after, limit).await.expect("store answers");
    assert!(page(None, 10).await.is_empty());
    for number in [3, 1, 5, 2, 4] {
        let mut subscription = a_subscription(number);
        subscription.organization = format!("org_{}", number % 2);
        store.put_subscription(&subscription).await.expect("subscription is written");
    }
    disable(store, 3).await;
    assert_eq!(page(None, 10).await, [1, 2, 3, 4, 5].map(subscription_id));
    assert_eq!(page(None, 2).await, [1, 2].map(subscription_id));
    store.delete_subscription(subscription_id(2), at(9)).await.expect("store answers");
    subscribe(store, 6).await;
    assert_eq!(page(Some(subscription_id(2)), 2).await, [3, 4].map(subscription_id));
    assert_eq!(page(Some(subscription_id(4)), 2).await, [5, 6].map(subscription_id));
    assert!(page(Some(subscription_id(6)), 2).await.is_empty());
    assert!(page(Some(SubscriptionId::from_u128(u128::MAX)), 2).await.is_empty());
}

/// A list holds one organization's subscriptions, disabled ones too.
pub async fn an_organization_sees_its_own_subscriptions_oldest_first(store: &impl Store) {
    for (number, created_at) in [(1, 3), (2, 1), (3, 2)] {
        let mut subscription = a_subscription(number);
        subscription.created_at = at(created_at);
        store.put_subscription(&subscription).await.expect("subscription is written");
    }
    let mut foreign = a_subscription(4);
    foreign.organization = "org_2".to_owned();
    store.put_subscription(&foreign).await.expect("subscription is written");
    disable(store, 3).await;
    let listed = store.subscriptions(ORGANIZATION).await.expect("store answers");
    let ids: Vec<_> = listed.iter().map(|subscription| subscription.id).collect();
    assert_eq!(ids, [2, 3, 1].map(subscription_id));
}

/// `false` says that there is none of this id.
pub async fn a_status_is_written_and_a_missing_subscription_is_told(store: &impl Store) {
    subscribe(store, 1).await;
    let disabled = SubscriptionStatus::disabled(DisabledReason::Manual, at(7));
    for status in [disabled, SubscriptionStatus::Enabled] {
        assert!(store.set_subscription_status(subscription_id(1), &status).await.expect("store answers"));
        assert_eq!(subscription(store, subscription_id(1)).await.status, status);
        assert!(!store.set_subscription_status(subscription_id(2), &status).await.expect("store answers"));
    }
}

/// Waiting they are pending still, and others are not behind them.
pub async fn deliveries_of_a_disabled_subscription_wait_until_it_is_enabled(store: &impl Store) {
    subscribe(store, 1).await;
    subscribe(store, 2).await;
    emit(store, 1, 0, 1).await;
    emit(store, 2, 1, 2).await;
    disable(store, 1).await;
    assert_eq!(numbers(&claim(store, at(1)).await), [2]);
    assert_eq!(delivery(store, 1).await.state, DeliveryState::Pending);
    enable(store, 1).await;
    assert_eq!(ids(&claim(store, at(1)).await), [delivery_id(1)]);
    store
        .put_subscription(&{
            let mut disabled = a_subscription(2);
            disabled.status = SubscriptionStatus::disabled(DisabledReason::Manual, at(2));
            disabled
        })
        .await
        .expect("subscription is written");
    assert!(
        claim(store, at(1) + LEASE).await.iter().all(|claimed| claimed.subscription.id != subscription_id(2))
    );
    subscribe(store, 2).await;
    assert_eq!(ids(&claim(store, at(1) + LEASE).await), [delivery_id(2)]);
}

/// Those that come while it is disabled too.
pub async fn events_for_a_disabled_subscription_wait_until_it_is_enabled(store: &impl Store) {
    subscribe(store, 1).await;
    disable(store, 1).await;
    emit(store, 1, 0, 1).await;
    assert!(claim(store, at(0)).await.is_empty());
    assert_eq!(look(store, at(0)).await, Look::default());
    enable(store, 1).await;
    assert_eq!(look(store, at(0)).await.ready, [subscription_id(1)]);
    assert_eq!(ids(&claim(store, at(0)).await), [delivery_id(1)]);
}

/// In the settlement's own transaction, and only once.
pub async fn a_settlement_disables_and_keeps_an_earlier_reason(store: &impl Store) {
    subscribe(store, 1).await;
    for number in 1..=3 {
        emit(store, number, 0, 1).await;
    }
    let claimed = claim_up_to(store, at(0), 2).await;
    for (second, reason, claimed) in
        [(1, DisabledReason::Gone, &claimed[0]), (2, DisabledReason::Failing, &claimed[1])]
    {
        let dead = Next::dead(DeadReason::Gone);
        let last = Settlement::new(claimed.delivery, claimed.lease, at(second), attempt(1, 0), dead);
        assert_eq!(settle(store, last.with_disable(reason)).await, Settled::Done);
    }
    let status = subscription(store, subscription_id(1)).await.status;
    assert_eq!(status, SubscriptionStatus::disabled(DisabledReason::Gone, at(1)));
    assert!(claim(store, at(100)).await.is_empty());
    enable(store, 1).await;
    assert_eq!(ids(&claim(store, at(100)).await), [delivery_id(3)]);
}

/// A worker that lost its lease decides nothing.
pub async fn a_stale_settlement_disables_nothing(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let slow = claim_one(store, at(0)).await;
    claim_one(store, at(0) + LEASE).await;
    let dead = Next::dead(DeadReason::Gone);
    let late = Settlement::new(slow.delivery, slow.lease, at(61), attempt(1, 0), dead);
    assert_eq!(settle(store, late.with_disable(DisabledReason::Gone)).await, Settled::Stale);
    assert_eq!(subscription(store, subscription_id(1)).await.status, SubscriptionStatus::Enabled);
}

/// How its endpoint fares is the store's to keep.
pub async fn a_subscription_written_again_keeps_its_health(store: &impl Store) {
    let subscribed = subscribe(store, 1).await;
    let failing = Health::default().failed(at(3), None);
    let seen = &subscribed.health;
    assert!(store.put_health(subscribed.id, seen, &failing).await.expect("store answers"));
    subscribe(store, 1).await;
    assert_eq!(subscription(store, subscribed.id).await.health, failing);
}

/// Of two that saw the same one wins.
pub async fn health_is_written_only_in_place_of_what_was_seen(store: &impl Store) {
    let subscribed = subscribe(store, 1).await;
    let healthy = Health::default();
    let once = healthy.failed(at(3), None);
    let twice = once.failed(at(4), None);
    let put = async |seen: &Health, health: &Health| {
        store.put_health(subscribed.id, seen, health).await.expect("store answers")
    };
    assert!(!put(&once, &twice).await);
    assert_eq!(subscription(store, subscribed.id).await.health, healthy);
    assert!(put(&healthy, &once).await);
    assert!(!put(&healthy, &twice).await);
    assert_eq!(subscription(store, subscribed.id).await.health, once);
    assert!(put(&once, &twice).await);
    assert!(put(&twice, &healthy).await);
    assert_eq!(subscription(store, subscribed.id).await.health, healthy);
    assert!(!store.put_health(subscription_id(9), &healthy, &once).await.expect("store answers"));
    // A claim tells it too.
    assert!(put(&healthy, &once).await);
    emit(store, 1, 0, 1).await;
    assert_eq!(claim_one(store, at(0)).await.subscription.health, once);
}

/// Or the next failure would disable it at once. One that is enabled already keeps what is held against it.
pub async fn a_subscription_that_is_enabled_again_starts_healthy(store: &impl Store) {
    let id = subscribe(store, 1).await.id;
    let failing = Health::default().failed(at(3), None);
    assert!(store.put_health(id, &Health::default(), &failing).await.expect("store answers"));
    enable(store, 1).await;
    assert_eq!(subscription(store, id).await.health, failing);
    disable(store, 1).await;
    assert_eq!(subscription(store, id).await.health, failing);
    enable(store, 1).await;
    assert_eq!(subscription(store, id).await.health, Health::default());
}

/// And tells when that is; others go on.
pub async fn a_pause_stops_claims_and_looks_until_it_ends(store: &impl Store) {
    subscribe(store, 1).await;
    subscribe(store, 2).await;
    for (number, subscription) in [(1, 1), (2, 1), (3, 2)] {
        emit(store, number, 0, subscription).await;
    }
    let claimed = claim_one(store, at(0)).await;
    let again = ended(&claimed, at(10), Next::retry(Duration::ZERO)).with_pause(Duration::from_secs(30));
    assert_eq!(settle(store, again).await, Settled::Done);
    let ready = vec![subscription_id(2)];
    assert_eq!(look(store, at(10)).await, Look::new(ready, Some(Duration::from_secs(30))));
    assert_eq!(numbers(&claim(store, at(40) - Duration::from_micros(1)).await), [3]);
    assert_eq!(look(store, at(40)).await.ready, [subscription_id(1)]);
    let mut claimed = numbers(&claim(store, at(40)).await);
    claimed.sort_unstable();
    assert_eq!(claimed, [1, 2]);
}

/// Of several pauses, in one batch or not, the longest counts; a subscription written again stays paused.
pub async fn a_pause_that_ends_later_stays(store: &impl Store) {
    subscribe(store, 1).await;
    for number in 1..=4 {
        emit(store, number, 0, 1).await;
    }
    let claimed = claim_up_to(store, at(0), 3).await;
    let pause = |index: usize, now: i64, seconds: u64| {
        ended(&claimed[index], at(now), Next::Delivered).with_pause(Duration::from_secs(seconds))
    };
    let told = store.settle(&[pause(0, 0, 100), pause(1, 0, 10)]).await.expect("store answers");
    assert_eq!(told, [Settled::Done, Settled::Done]);
    assert_eq!(settle(store, pause(2, 50, 20)).await, Settled::Done);
    subscribe(store, 1).await;
    assert!(claim(store, at(99)).await.is_empty());
    assert_eq!(numbers(&claim(store, at(100)).await), [4]);
}

/// A worker that lost its lease decides nothing.
pub async fn a_stale_settlement_pauses_nothing(store: &impl Store) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    emit(store, 2, 0, 1).await;
    let slow = claim_one(store, at(0)).await;
    settle(store, Settlement::hand_back(slow.delivery, slow.lease, at(0))).await;
    let late = ended(&slow, at(1), Next::Delivered).with_pause(Duration::from_secs(1_000));
    assert_eq!(settle(store, late).await, Settled::Stale);
    assert_eq!(claim(store, at(1)).await.len(), 2);
}

/// Also what is being attempted, whose settlement is stale then.
pub async fn a_deleted_subscription_cancels_what_is_pending_and_leaves_what_was_delivered(
    store: &impl Store,
) {
    let subscribed = subscribe(store, 1).await;
    subscribe(store, 2).await;
    for number in 1..=3 {
        emit(store, number, 0, 1).await;
    }
    emit(store, 4, 0, 2).await;
    let claimed = claim_up_to(store, at(0), 2).await;
    assert_eq!(settle(store, ended(&claimed[0], at(1), Next::Delivered)).await, Settled::Done);
    assert!(store.delete_subscription(subscribed.id, at(2)).await.expect("store answers"));
    assert!(!store.delete_subscription(subscribed.id, at(2)).await.expect("store answers"));
    assert!(store.subscription(subscribed.id).await.expect("store answers").is_none());
    let left = store.subscriptions(ORGANIZATION).await.expect("store answers");
    assert_eq!(left.iter().map(|left| left.id).collect::<Vec<_>>(), [subscription_id(2)]);
    assert_eq!(settle(store, ended(&claimed[1], at(3), Next::Delivered)).await, Settled::Stale);
    let cancelled = DeliveryState::Dead(DeadReason::Cancelled);
    let mut states: Vec<_> = [DeliveryState::Delivered, cancelled, cancelled, DeliveryState::Pending].into();
    for number in (1..=4).rev() {
        assert_eq!(state(store, number).await, states.remove(states.len() - 1), "delivery {number}");
    }
    assert_eq!(store.attempts(claimed[0].delivery).await.expect("store answers").len(), 1);
    assert_eq!(store.deliveries(subscribed.id, None, 10).await.expect("store answers").len(), 3);
    // One that was made by somebody who had not heard of it is never sent.
    emit(store, 5, 0, 1).await;
    assert_eq!(look(store, at(5)).await.ready, [subscription_id(2)]);
    assert_eq!(numbers(&claim(store, at(5)).await), [4]);
}

fn some_options() -> Options {
    let password = Secret::from_bytes([0xfe; 12]);
    let authentication = Authentication::basic("user \"1\"", password).expect("user name is right");
    Options::new()
        .with_max_in_flight(3)
        .and_then(|options| options.with_rate(0.25, 7))
        .and_then(|options| options.with_authentication(authentication))
        .and_then(|options| options.with_header("x-tenant", "\"one\" two"))
        .expect("options are right")
}
