//! Writing and listing subscriptions.

use super::fixture::Managed;
use super::steps::*;
use crate::delivery::{DeadReason, DeliveryState, Next};
use crate::id::SubscriptionId;
use crate::signature::Secret;
use crate::store::{Added, HealthWritten, SecretDigest, Settled};
use crate::subscription::{DisabledReason, EventFilter, Health, Options, Subscription, SubscriptionStatus};

/// Writing the same id again replaces every part.
pub async fn a_subscription_written_again_is_replaced(store: &impl Managed) {
    subscribe(store, 1).await;
    let filter = EventFilter::new(["contact.*"]).expect("pattern is right");
    let other =
        Subscription::from_parts(subscription_id(1), at(1), ORGANIZATION, contract(), url("b"), filter);
    store.put(&other).await.expect("subscription is written");
    assert_same(&subscription(store, other.id).await, &other);
}

/// A replacement loses no change that another caller made; it neither compares nor changes the health.
pub async fn a_subscription_is_replaced_only_in_place_of_what_was_seen(store: &impl Managed) {
    let seen = subscribe(store, 1).await;
    subscribe(store, 2).await;
    let failing = Health::default().failed(at(3), None);
    put_health(store, &Health::default(), &failing).await;
    let replaces = async |seen: &Subscription, subscription: &Subscription| {
        store.replace(seen, subscription).await.expect("store answers")
    };
    let mut rotated = seen.clone().with_secret(Secret::from_random([8; 32]));
    rotated.url = url("b");
    rotated.filter = EventFilter::new(["contact.*"]).expect("pattern is right");
    rotated.options = Options::new().with_max_in_flight(3).expect("cap is right");
    rotated.status = SubscriptionStatus::disabled(DisabledReason::Manual, at(7));
    rotated.created_at = at(1);
    rotated.secrets_until = vec![at(60)];
    rotated.contract = rotated.contract.with_version("v3").expect("version is right");
    let changes: [fn(&mut Subscription); 9] = [
        |other| other.url = url("x"),
        |other| other.filter = EventFilter::all(),
        |other| drop(other.secrets.pop()),
        |other| other.secrets_until[0] = at(61),
        |other| other.contract = other.contract.with_version("v1").expect("version is right"),
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

/// A replacement that enables clears the health; another one leaves it.
pub async fn a_replacement_that_enables_starts_healthy(store: &impl Managed) {
    let seen = subscribe(store, 1).await;
    let failing = Health::default().failed(at(1), None);
    put_health(store, &Health::default(), &failing).await;
    let mut moved = seen.clone();
    moved.url = url("b");
    let mut disabled = moved.clone();
    disabled.status = SubscriptionStatus::disabled(DisabledReason::Failing, at(2));
    for (seen, written) in [(&seen, &moved), (&moved, &disabled)] {
        assert!(store.replace(seen, written).await.expect("store answers"));
        assert_eq!(subscription(store, seen.id).await.health, failing);
    }
    assert!(store.replace(&disabled, &moved).await.expect("store answers"));
    assert_eq!(subscription(store, seen.id).await.health, Health::default());
}

/// A scan reads the subscriptions of every organization once, also when others are written and deleted
/// between two pages.
pub async fn a_scan_reads_all_subscriptions_in_the_order_of_their_ids(store: &impl Managed) {
    let page = async |after, limit| {
        let found = store.scan(after, limit).await.expect("store answers");
        found.iter().map(|scanned| scanned.id).collect::<Vec<_>>()
    };
    assert!(page(None, 10).await.is_empty());
    for number in [3, 1, 5, 2, 4] {
        let mut subscription = a_subscription(number);
        subscription.organization = format!("org_{}", number % 2);
        store.put(&subscription).await.expect("subscription is written");
    }
    disable(store, 3).await;
    assert_eq!(page(None, 10).await, [1, 2, 3, 4, 5].map(subscription_id));
    for scanned in store.scan(None, 10).await.expect("store answers") {
        assert_same(&scanned.subscription.expect("row is right"), &subscription(store, scanned.id).await);
    }
    assert_eq!(page(None, 2).await, [1, 2].map(subscription_id));
    store.delete(subscription_id(2), at(9)).await.expect("store answers");
    subscribe(store, 6).await;
    assert_eq!(page(Some(subscription_id(2)), 2).await, [3, 4].map(subscription_id));
    assert_eq!(page(Some(subscription_id(4)), 2).await, [5, 6].map(subscription_id));
    assert!(page(Some(subscription_id(6)), 2).await.is_empty());
    assert!(page(Some(SubscriptionId::from_u128(u128::MAX)), 2).await.is_empty());
}

/// Setting the status of a subscription that does not exist returns `false`.
pub async fn a_status_is_written_and_a_missing_subscription_is_reported(store: &impl Managed) {
    subscribe(store, 1).await;
    let disabled = SubscriptionStatus::disabled(DisabledReason::Manual, at(7));
    for status in [disabled, SubscriptionStatus::Enabled] {
        assert!(store.set_status(subscription_id(1), &status).await.expect("store answers"));
        assert_eq!(subscription(store, subscription_id(1)).await.status, status);
        assert!(!store.set_status(subscription_id(2), &status).await.expect("store answers"));
    }
}

/// Writing a subscription again leaves its health.
pub async fn a_subscription_written_again_keeps_its_health(store: &impl Managed) {
    let subscribed = subscribe(store, 1).await;
    let failing = Health::default().failed(at(3), None);
    put_health(store, &subscribed.health, &failing).await;
    subscribe(store, 1).await;
    assert_eq!(subscription(store, subscribed.id).await.health, failing);
}

/// Enabling a disabled subscription clears its health, or the next failure would disable it at once. One that
/// is enabled already keeps it.
pub async fn a_subscription_that_is_enabled_again_starts_healthy(store: &impl Managed) {
    let id = subscribe(store, 1).await.id;
    let failing = Health::default().failed(at(3), None);
    put_health(store, &Health::default(), &failing).await;
    enable(store, 1).await;
    assert_eq!(subscription(store, id).await.health, failing);
    disable(store, 1).await;
    assert_eq!(subscription(store, id).await.health, failing);
    enable(store, 1).await;
    assert_eq!(subscription(store, id).await.health, Health::default());
}

/// Deleting a subscription ends leases too: their settlements are stale.
pub async fn a_deleted_subscription_cancels_what_is_pending_and_leaves_what_was_delivered(
    store: &impl Managed,
) {
    let subscribed = subscribe(store, 1).await;
    subscribe(store, 2).await;
    for number in 1..=3 {
        emit(store, number, 0, 1).await;
    }
    emit(store, 4, 0, 2).await;
    let claimed = claim_up_to(store, at(0), 2).await;
    assert_eq!(settle(store, ended(&claimed[0], at(1), Next::Done)).await, Settled::Done);
    assert!(store.delete(subscribed.id, at(2)).await.expect("store answers"));
    assert!(!store.delete(subscribed.id, at(2)).await.expect("store answers"));
    assert!(store.subscription(subscribed.id).await.expect("store answers").is_none());
    let left = subscriptions(store, ORGANIZATION).await;
    assert_eq!(left.iter().map(|left| left.id).collect::<Vec<_>>(), [subscription_id(2)]);
    assert_eq!(settle(store, ended(&claimed[1], at(3), Next::Done)).await, Settled::Stale);
    let cancelled = DeliveryState::Dead(DeadReason::Cancelled);
    let mut states: Vec<_> = [DeliveryState::Delivered, cancelled, cancelled, DeliveryState::Pending].into();
    for number in (1..=4).rev() {
        assert_eq!(state(store, number).await, states.remove(states.len() - 1), "delivery {number}");
    }
    assert_eq!(attempts(store, number(claimed[0].delivery)).await.len(), 1);
    assert_eq!(deliveries(store, 1).await.len(), 3);
    // One that was made by somebody who had not heard of it is never sent.
    emit(store, 5, 0, 1).await;
    assert_eq!(look(store, at(5)).await.ready, [subscription_id(2)]);
    assert_eq!(numbers(&claim(store, at(5)).await), [4]);
}

async fn put_health(store: &impl Managed, seen: &Health, health: &Health) {
    let written = store.put_health(subscription_id(1), seen, health, None, at(5)).await;
    assert_eq!(written.expect("store answers"), HealthWritten::Done);
}

/// A secret belongs to one subscription until that is deleted, also across organizations.
pub async fn a_secret_of_another_subscription_is_refused(store: &impl Managed) {
    let [first, rotated, last] = [90, 91, 93].map(digest);
    let holder = a_subscription(1);
    assert_eq!(add(store, &holder, Some(&first)).await, Added::Done);
    let holds = async |number, digest| {
        store.hold_secret(subscription_id(number), digest).await.expect("store answers")
    };
    assert!(holds(1, &rotated).await && holds(1, &rotated).await && holds(1, &first).await);
    let mut other = a_subscription(2);
    other.organization = OTHER_ORGANIZATION.to_owned();
    for held in [&first, &rotated] {
        assert_eq!(add(store, &other, Some(held)).await, Added::SecretInUse);
        assert!(store.subscription(other.id).await.expect("store answers").is_none(), "nothing was written");
    }
    assert_eq!(add(store, &other, Some(&digest(92))).await, Added::Done);
    assert_eq!(add(store, &a_subscription(3), None).await, Added::Done);
    assert!(!holds(2, &first).await && !holds(3, &rotated).await);
    assert!(!holds(9, &last).await, "there is no such subscription");
    assert!(holds(3, &last).await, "what is not there holds nothing");
    assert!(store.delete(holder.id, at(1)).await.expect("store answers"));
    assert!(holds(2, &first).await && holds(3, &rotated).await);
}

/// A subscription holds the secrets that it got last, as many as it has. Those before them are free, so that
/// rotations leave nothing behind.
pub async fn a_secret_is_free_once_its_subscription_has_others(store: &impl Managed) {
    let digests: Vec<_> = (100..180).map(digest).collect();
    let holds = async |number, secret: usize| {
        store.hold_secret(subscription_id(number), &digests[secret]).await.expect("store answers")
    };
    assert_eq!(add(store, &a_subscription(1), Some(&digests[0])).await, Added::Done);
    assert_eq!(add(store, &a_subscription(2), None).await, Added::Done);
    let rotate = async |secret: usize, overlap: usize| {
        assert!(holds(1, secret).await);
        let seen = subscription(store, subscription_id(1)).await;
        let mut rotated = seen.clone().with_secret(Secret::from_random([secret as u8; 32]));
        rotated.secrets.truncate(1 + overlap);
        assert!(store.replace(&seen, &rotated).await.expect("store answers"));
    };
    rotate(1, 0).await;
    assert!(holds(2, 0).await && !holds(2, 1).await, "the old secret is gone, the new one is not");
    rotate(2, 1).await;
    assert!(!holds(2, 1).await && !holds(2, 2).await, "both sign");
    // A secret that it holds already becomes the last.
    rotate(1, 0).await;
    assert!(holds(2, 2).await && !holds(2, 1).await);
    // Another change frees none of those that it has.
    let mut moved = subscription(store, subscription_id(1)).await;
    moved.url = url("moved");
    store.put(&moved).await.expect("subscription is written");
    assert!(!holds(2, 1).await);
    // Reservations that no rotation follows are bounded.
    for secret in 10..70 {
        assert!(holds(1, secret).await);
    }
    assert!(holds(2, 10).await && !holds(2, 69).await);
    moved.secrets.clear();
    store.put(&moved).await.expect("subscription is written");
    assert!(holds(2, 69).await, "without a secret it holds none");
}

/// Additions at the same time keep the limit, and share no secret.
pub async fn additions_at_once_keep_the_limit_and_share_no_secret(store: &impl Managed) {
    let (one, two, secret) = (a_subscription(1), a_subscription(2), digest(1));
    let told = both(store.add(&one, Some(&secret), 9), store.add(&two, Some(&secret), 9)).await;
    let told = [told.0.expect("store answers"), told.1.expect("store answers")];
    assert!(told.contains(&Added::SecretInUse) && told.contains(&Added::Done), "{told:?}");
    let (three, four) = (a_subscription(3), a_subscription(4));
    let told = both(store.add(&three, None, 2), store.add(&four, None, 2)).await;
    let told = [told.0.expect("store answers"), told.1.expect("store answers")];
    assert!(told.contains(&Added::Full) && told.contains(&Added::Done), "{told:?}");
    let there = subscriptions(store, ORGANIZATION).await;
    assert_eq!(there.len(), 2);
    assert_eq!(add(store, &there[0], None).await, Added::Exists);
}

/// Pages are stable under inserts, also where subscriptions were made at one time.
pub async fn subscriptions_are_listed_oldest_first_in_pages(store: &impl Managed) {
    let made = |number: u32, second: i64| {
        let mut subscription = a_subscription(number);
        subscription.created_at = at(second);
        subscription
    };
    for (number, second) in [(1, 3), (2, -1_000_000_000), (3, 3), (4, 1), (5, 9)] {
        assert_eq!(add(store, &made(number, second), None).await, Added::Done);
    }
    let mut foreign = made(6, 2);
    foreign.organization = OTHER_ORGANIZATION.to_owned();
    assert_eq!(add(store, &foreign, None).await, Added::Done);
    for limit in 1..=6 {
        let mut listed = Vec::new();
        let mut after = None;
        loop {
            let page = store.list(ORGANIZATION, after, limit).await.expect("store answers");
            assert!(page.items.len() <= limit as usize);
            listed.extend(page.items.iter().map(|subscription| subscription.id));
            after = page.next.map(through_text);
            if after.is_none() {
                break;
            }
        }
        assert_eq!(listed, [2, 4, 1, 3, 5].map(subscription_id), "pages of {limit}");
    }
    let first = store.list(ORGANIZATION, None, 3).await.expect("store answers");
    assert_eq!(add(store, &made(7, 0), None).await, Added::Done);
    assert_eq!(add(store, &made(8, 5), None).await, Added::Done);
    let second = store.list(ORGANIZATION, first.next, 9).await.expect("store answers");
    let ids: Vec<_> = second.items.iter().map(|subscription| subscription.id).collect();
    assert_eq!(ids, [3, 8, 5].map(subscription_id));
}

fn digest(number: u8) -> SecretDigest {
    SecretDigest::of(&Secret::from_random([number; 32]))
}

async fn add(store: &impl Managed, subscription: &Subscription, secret: Option<&SecretDigest>) -> Added {
    store.add(subscription, secret, 50).await.expect("store answers")
}
