//! Reading subscriptions, and the effects of their status, health and pauses.

use std::time::Duration;

use super::fixture::{Fixture, Managed};
use super::steps::*;
use crate::delivery::{DeadReason, DeliveryState, Next};
use crate::signature::{SealedSecret, Secret};
use crate::store::{HealthWritten, Polled, Settled, Settlement};
use crate::subscription::{
    Authentication, DisabledReason, EventFilter, Health, Options, Subscription, SubscriptionStatus,
};

/// Every part of a subscription is read back: its secrets of either kind, filter, status, options, times.
pub async fn a_subscription_is_read_back_as_it_was_written(store: &impl Fixture) {
    let filter = EventFilter::new(["call.*", "contact.created", "*"]).expect("patterns are right");
    let mut written =
        Subscription::from_parts(subscription_id(1), START, "org \"1\"", contract(), url("a"), filter)
            .with_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().expect("secret is right"))
            .with_secret(Secret::from_bytes([0xff; 32]))
            .with_secret("It's a \"secret\" to \u{1F98A}".parse().expect("secret is right"));
    written.secrets.push(SealedSecret::from_text("v1.one.d2g.\"as it is\"").into());
    written.status = SubscriptionStatus::disabled(DisabledReason::Failing, at(5));
    written.options = some_options();
    written.health = Health::default().failed(at(3), None);
    store.put_subscription(&written).await;
    let read = subscription(store, written.id).await;
    assert_same(&read, &written);
    assert_eq!(read.health, written.health, "a new subscription's health is written");
    assert!(store.subscription(subscription_id(9)).await.expect("store answers").is_none());
}

/// The times until which old secrets sign are read back, also by a claim.
pub async fn the_times_of_old_secrets_are_read_back(store: &impl Fixture) {
    let mut rotated = a_subscription(1);
    rotated.secrets = [91, 92, 93, 94].map(|byte| Secret::from_random([byte; 32]).into()).into();
    rotated.secrets_until = vec![at(60), at(-60)];
    store.put_subscription(&rotated).await;
    emit(store, 1, 0, 1).await;
    let claimed = claim_one(store, at(0)).await;
    for read in [&subscription(store, rotated.id).await, &claimed.subscription] {
        assert_eq!(read.secrets_until, rotated.secrets_until);
        assert_eq!(read.secrets, rotated.secrets);
    }
}

/// The subscriptions of an organization are read oldest first, disabled ones too, and no others.
pub async fn an_organization_sees_its_own_subscriptions_oldest_first(store: &impl Fixture) {
    for (number, created_at) in [(1, 3), (2, 1), (3, 2)] {
        let mut subscription = a_subscription(number);
        subscription.created_at = at(created_at);
        store.put_subscription(&subscription).await;
    }
    let mut foreign = a_subscription(4);
    foreign.organization = OTHER_ORGANIZATION.to_owned();
    store.put_subscription(&foreign).await;
    disable(store, 3).await;
    let listed = subscriptions(store, ORGANIZATION).await;
    let ids: Vec<_> = listed.iter().map(|subscription| subscription.id).collect();
    assert_eq!(ids, [2, 3, 1].map(subscription_id));
}

/// Deliveries of a disabled subscription stay pending, and hold up no others.
pub async fn deliveries_of_a_disabled_subscription_wait_until_it_is_enabled(store: &impl Fixture) {
    subscribe(store, 1).await;
    subscribe(store, 2).await;
    emit(store, 1, 0, 1).await;
    emit(store, 2, 1, 2).await;
    disable(store, 1).await;
    assert_eq!(numbers(&claim(store, at(1)).await), [2]);
    assert_eq!(state(store, 1).await, DeliveryState::Pending);
    subscribe(store, 1).await;
    assert_eq!(ids(&claim(store, at(1)).await), [delivery_id(1)]);
}

/// A delivery that is inserted while its subscription is disabled waits until that is enabled.
pub async fn events_for_a_disabled_subscription_wait_until_it_is_enabled(store: &impl Fixture) {
    subscribe(store, 1).await;
    disable(store, 1).await;
    emit(store, 1, 0, 1).await;
    assert!(claim(store, at(0)).await.is_empty());
    assert_eq!(look(store, at(0)).await, Polled::default());
    subscribe(store, 1).await;
    assert_eq!(look(store, at(0)).await.ready, [subscription_id(1)]);
    assert_eq!(ids(&claim(store, at(0)).await), [delivery_id(1)]);
}

/// A settlement disables its subscription in the same step; one that is disabled already keeps its reason.
pub async fn a_settlement_disables_and_keeps_an_earlier_reason(store: &impl Fixture) {
    subscribe(store, 1).await;
    for number in 1..=3 {
        emit(store, number, 0, 1).await;
    }
    let claimed = claim_up_to(store, at(0), 2).await;
    for (second, reason, claimed) in
        [(1, DisabledReason::Gone, &claimed[0]), (2, DisabledReason::Failing, &claimed[1])]
    {
        let dead = Next::dead(DeadReason::Gone);
        let last = Settlement::new(claimed.delivery, claimed.lease, attempt(1, 0), dead, at(second));
        assert_eq!(settle(store, last.with_disable(reason)).await, Settled::Done);
    }
    let status = subscription(store, subscription_id(1)).await.status;
    assert_eq!(status, SubscriptionStatus::disabled(DisabledReason::Gone, at(1)));
    assert!(claim(store, at(100)).await.is_empty());
    subscribe(store, 1).await;
    assert_eq!(ids(&claim(store, at(100)).await), [delivery_id(3)]);
}

/// A settlement without the last lease does not disable the subscription.
pub async fn a_stale_settlement_disables_nothing(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    let slow = claim_one(store, at(0)).await;
    claim_one(store, at(0) + LEASE).await;
    let dead = Next::dead(DeadReason::Gone);
    let late = Settlement::new(slow.delivery, slow.lease, attempt(1, 0), dead, at(61));
    assert_eq!(settle(store, late.with_disable(DisabledReason::Gone)).await, Settled::Stale);
    assert_eq!(subscription(store, subscription_id(1)).await.status, SubscriptionStatus::Enabled);
}

/// If two calls read the same health, one of them writes.
pub async fn health_is_written_only_in_place_of_what_was_seen(store: &impl Fixture) {
    use HealthWritten::{Done, Stale};
    let id = subscribe(store, 1).await.id;
    let healthy = Health::default();
    let once = healthy.failed(at(3), None);
    let twice = once.failed(at(4), None);
    let put = async |seen: &Health, health: &Health| {
        store.put_health(id, seen, health, None, at(5)).await.expect("store answers")
    };
    for (seen, health, expected, left) in [
        (&once, &twice, Stale, &healthy),
        (&healthy, &once, Done, &once),
        (&healthy, &twice, Stale, &once),
        (&once, &twice, Done, &twice),
        (&twice, &healthy, Done, &healthy),
    ] {
        assert_eq!(put(seen, health).await, expected);
        assert_eq!(subscription(store, id).await.health, *left);
    }
    let none = store.put_health(subscription_id(9), &healthy, &once, None, at(5)).await;
    assert_eq!(none.expect("store answers"), Stale);
    // A claim reads it too.
    assert_eq!(put(&healthy, &once).await, Done);
    emit(store, 1, 0, 1).await;
    assert_eq!(claim_one(store, at(0)).await.subscription.health, once);
}

/// Writing health disables the subscription in the same step; a stale call disables nothing, and a
/// subscription that is disabled keeps its reason.
pub async fn health_disables_in_the_same_step_and_keeps_an_operators_change(store: &impl Fixture) {
    use HealthWritten::{Disabled, Done, Stale};
    let id = subscribe(store, 1).await.id;
    let healthy = Health::default();
    let once = healthy.failed(at(3), None);
    let twice = once.failed(at(4), None);
    let put = async |seen: &Health, health: &Health, second| {
        let failing = Some(DisabledReason::Failing);
        store.put_health(id, seen, health, failing, at(second)).await.expect("store answers")
    };
    let status = async || subscription(store, id).await.status;
    assert_eq!(put(&once, &twice, 5).await, Stale);
    assert_eq!(status().await, SubscriptionStatus::Enabled);
    disable(store, 1).await;
    assert_eq!(put(&healthy, &once, 6).await, Done);
    assert_eq!(status().await, SubscriptionStatus::disabled(DisabledReason::Manual, at(0)));
    subscribe(store, 1).await;
    assert_eq!(put(&once, &twice, 7).await, Disabled);
    assert_eq!(status().await, SubscriptionStatus::disabled(DisabledReason::Failing, at(7)));
    assert_eq!(put(&twice, &once, 8).await, Done);
    assert_eq!(status().await, SubscriptionStatus::disabled(DisabledReason::Failing, at(7)));
    emit(store, 1, 0, 1).await;
    assert!(claim(store, at(9)).await.is_empty());
}

/// If two calls at once saw the same health, one writes, and the other is stale.
pub async fn health_written_by_several_at_once_is_written_by_one(store: &impl Fixture) {
    use HealthWritten::{Disabled, Stale};
    for number in 1..=5 {
        let id = subscribe(store, number).await.id;
        let seen = Health::default();
        let (one, two) = (seen.failed(at(3), None), seen.failed(at(4), None));
        let put = async |health: &Health| {
            store.put_health(id, &seen, health, Some(DisabledReason::Failing), at(5)).await
        };
        let (first, second) = both(put(&one), put(&two)).await;
        let written = [first, second].map(|written| written.expect("store answers"));
        let health = subscription(store, id).await.health;
        match written {
            [Disabled, Stale] => assert_eq!(health, one),
            [Stale, Disabled] => assert_eq!(health, two),
            other => panic!("one of two writes: {other:?}"),
        }
    }
}

/// A status that is set while health is written is kept, and so is the health.
pub async fn a_status_set_while_health_is_written_is_kept_with_it(store: &impl Managed) {
    let disabled = SubscriptionStatus::disabled(DisabledReason::Manual, at(5));
    for number in 1..=5 {
        let id = subscribe(store, number).await.id;
        let (healthy, once) = (Health::default(), Health::default().failed(at(3), None));
        let failing = Some(DisabledReason::Failing);
        let (written, set) =
            both(store.put_health(id, &healthy, &once, failing, at(4)), store.set_status(id, &disabled))
                .await;
        assert!(set.expect("store answers"));
        assert_ne!(written.expect("store answers"), HealthWritten::Stale);
        let read = subscription(store, id).await;
        assert_eq!((read.status, read.health), (disabled.clone(), once));
    }
}

/// While a subscription is paused, nothing of it is claimed; a look says when the pause ends.
pub async fn a_pause_stops_claims_and_looks_until_it_ends(store: &impl Fixture) {
    subscribe(store, 1).await;
    subscribe(store, 2).await;
    for (number, subscription) in [(1, 1), (2, 1), (3, 2)] {
        emit(store, number, 0, subscription).await;
    }
    let claimed = claim_one(store, at(0)).await;
    let again = ended(&claimed, at(10), Next::retry(Duration::ZERO)).with_pause(Duration::from_secs(30));
    assert_eq!(settle(store, again).await, Settled::Done);
    let ready = vec![subscription_id(2)];
    assert_eq!(look(store, at(10)).await, Polled::new(ready, Some(Duration::from_secs(30))));
    assert_eq!(numbers(&claim(store, at(40) - Duration::from_micros(1)).await), [3]);
    assert_eq!(look(store, at(40)).await.ready, [subscription_id(1)]);
    let mut claimed = numbers(&claim(store, at(40)).await);
    claimed.sort_unstable();
    assert_eq!(claimed, [1, 2]);
}

/// The pause that ends last counts, also within one batch and when the subscription is written again.
pub async fn a_pause_that_ends_later_stays(store: &impl Fixture) {
    subscribe(store, 1).await;
    for number in 1..=4 {
        emit(store, number, 0, 1).await;
    }
    let claimed = claim_up_to(store, at(0), 3).await;
    let pause = |index: usize, now: i64, seconds: u64| {
        ended(&claimed[index], at(now), Next::Done).with_pause(Duration::from_secs(seconds))
    };
    let told = store.settle(&[pause(0, 0, 100), pause(1, 0, 10)]).await.expect("store answers");
    assert_eq!(told, [Settled::Done, Settled::Done]);
    assert_eq!(settle(store, pause(2, 50, 20)).await, Settled::Done);
    subscribe(store, 1).await;
    assert!(claim(store, at(99)).await.is_empty());
    assert_eq!(numbers(&claim(store, at(100)).await), [4]);
}

/// A settlement without the last lease does not pause the subscription.
pub async fn a_stale_settlement_pauses_nothing(store: &impl Fixture) {
    subscribe(store, 1).await;
    emit(store, 1, 0, 1).await;
    emit(store, 2, 0, 1).await;
    let slow = claim_one(store, at(0)).await;
    settle(store, Settlement::hand_back(slow.delivery, slow.lease, at(0))).await;
    let late = ended(&slow, at(1), Next::Done).with_pause(Duration::from_secs(1_000));
    assert_eq!(settle(store, late).await, Settled::Stale);
    assert_eq!(claim(store, at(1)).await.len(), 2);
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
