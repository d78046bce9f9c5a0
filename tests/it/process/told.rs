//! [`Told`]: a store that says what it handed out and what it told of each settlement.

use std::time::Duration;

use hookwire::store::{
    Claim, Claims, Inserted, Lease, Look, NewEvent, Replay, Replayed, Retention, Settled, Settlement,
};
use hookwire::{
    Attempt, Delivery, DeliveryId, EventId, Health, Next, Store, StoreError, Subscription, SubscriptionId,
    SubscriptionStatus,
};
use time::OffsetDateTime;

use super::child::say;

pub(super) struct Told<S>(pub(super) S);

impl<S: Store> Store for Told<S> {
    async fn claim(&self, claim: &Claim) -> Result<Claims, StoreError> {
        let claims = self.0.claim(claim).await?;
        let (begun, ended) = (micros(claim.now), micros(OffsetDateTime::now_utc()));
        for claimed in &claims.deliveries {
            say(&format!("claimed {} {} {begun} {ended}", claimed.delivery, claimed.lease.number()));
        }
        Ok(claims)
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        let now = micros(OffsetDateTime::now_utc());
        for settlement in settlements {
            say(&format!("settling {} {} {now}", settlement.delivery, settlement.lease.number()));
        }
        let told = self.0.settle(settlements).await;
        for (at, settlement) in settlements.iter().enumerate() {
            let Some(attempt) = &settlement.attempt else { continue };
            let settled = match &told {
                Ok(told) if told[at] == Settled::Done => "done",
                Ok(_) => "stale",
                Err(_) => "unknown",
            };
            let outcome = if settlement.next == Next::Delivered { "success" } else { "failure" };
            let (delivery, lease) = (settlement.delivery, settlement.lease.number());
            say(&format!("settled {delivery} {lease} {} {outcome} {settled}", attempt.number));
        }
        told
    }

    async fn put_subscription(&self, subscription: &Subscription) -> Result<(), StoreError> {
        self.0.put_subscription(subscription).await
    }

    async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        self.0.subscription(id).await
    }

    async fn subscriptions(&self, organization: &str) -> Result<Vec<Subscription>, StoreError> {
        self.0.subscriptions(organization).await
    }

    async fn subscription_ids(
        &self,
        after: Option<SubscriptionId>,
        limit: u32,
    ) -> Result<Vec<SubscriptionId>, StoreError> {
        self.0.subscription_ids(after, limit).await
    }

    async fn replace_subscription(
        &self,
        seen: &Subscription,
        subscription: &Subscription,
    ) -> Result<bool, StoreError> {
        self.0.replace_subscription(seen, subscription).await
    }

    async fn set_subscription_status(
        &self,
        id: SubscriptionId,
        status: &SubscriptionStatus,
    ) -> Result<bool, StoreError> {
        self.0.set_subscription_status(id, status).await
    }

    async fn delete_subscription(&self, id: SubscriptionId, now: OffsetDateTime) -> Result<bool, StoreError> {
        self.0.delete_subscription(id, now).await
    }

    async fn insert(&self, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        self.0.insert(events).await
    }

    async fn look(&self, now: OffsetDateTime, limit: u32) -> Result<Look, StoreError> {
        self.0.look(now, limit).await
    }

    async fn extend(
        &self,
        leases: &[(DeliveryId, Lease)],
        now: OffsetDateTime,
        lease: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        self.0.extend(leases, now, lease).await
    }

    async fn put_health(
        &self,
        id: SubscriptionId,
        seen: &Health,
        health: &Health,
    ) -> Result<bool, StoreError> {
        self.0.put_health(id, seen, health).await
    }

    async fn cancel(&self, id: DeliveryId, now: OffsetDateTime) -> Result<bool, StoreError> {
        self.0.cancel(id, now).await
    }

    async fn replay(&self, replay: &Replay, now: OffsetDateTime, limit: u32) -> Result<Replayed, StoreError> {
        self.0.replay(replay, now, limit).await
    }

    async fn expunge(
        &self,
        organization: &str,
        event: &EventId,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        self.0.expunge(organization, event, now).await
    }

    async fn prune(&self, retention: &Retention, now: OffsetDateTime, limit: u32) -> Result<u64, StoreError> {
        self.0.prune(retention, now, limit).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        self.0.delivery(id).await
    }

    async fn deliveries(
        &self,
        subscription: SubscriptionId,
        after: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.0.deliveries(subscription, after, limit).await
    }

    async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        self.0.attempts(delivery).await
    }
}

fn micros(at: OffsetDateTime) -> i128 {
    at.unix_timestamp_nanos() / 1_000
}
