//! [`Told`]: a store that prints each leased delivery and the result of each settlement.

use std::time::Duration;

use hookwire::delivery::Next;
use hookwire::store::Lease;
use hookwire::store::implement::{
    Claim, Claims, HealthWritten, Inserted, NewEvent, Poll, Polled, Settled, Settlement, StoreId, Subscribed,
};
use hookwire::subscription::Health;
use hookwire::{
    DeliveryId, DisabledReason, Store, StoreError, Subscription, SubscriptionId, TransactionalStore,
};
use time::OffsetDateTime;

use super::child::say;

#[derive(Clone)]
pub(super) struct Told<S>(pub(super) S);

impl<S: Store> Store for Told<S> {
    fn id(&self) -> Option<StoreId> {
        self.0.id()
    }

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
            say(&format!("settling {} {} {now}", settlement.key, settlement.lease.number()));
        }
        let told = self.0.settle(settlements).await;
        for (at, settlement) in settlements.iter().enumerate() {
            let Some(attempt) = settlement.log() else { continue };
            let settled = match &told {
                Ok(told) if told[at] == Settled::Done => "done",
                Ok(_) => "stale",
                Err(_) => "unknown",
            };
            let outcome = if settlement.next == Next::Done { "success" } else { "failure" };
            let (delivery, lease) = (settlement.key, settlement.lease.number());
            say(&format!("settled {delivery} {lease} {} {outcome} {settled}", attempt.number));
        }
        told
    }

    async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        self.0.subscription(id).await
    }

    async fn subscriptions(&self, organization: &str) -> Result<Subscribed, StoreError> {
        self.0.subscriptions(organization).await
    }

    async fn insert(&self, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        let inserted = self.0.insert(events).await?;
        let ended = micros(OffsetDateTime::now_utc());
        for (event, inserted) in events.iter().zip(&inserted) {
            let begun = micros(event.inserted_at);
            for leased in &inserted.leased {
                say(&format!("claimed {} {} {begun} {ended}", leased.delivery, leased.lease.number()));
            }
        }
        Ok(inserted)
    }

    async fn look(&self, poll: &Poll) -> Result<Polled, StoreError> {
        self.0.look(poll).await
    }

    async fn extend(
        &self,
        leases: &[(DeliveryId, Lease)],
        lease: Duration,
        now: OffsetDateTime,
    ) -> Result<Vec<Settled>, StoreError> {
        self.0.extend(leases, lease, now).await
    }

    async fn put_health(
        &self,
        id: SubscriptionId,
        seen: &Health,
        health: &Health,
        disable: Option<DisabledReason>,
        now: OffsetDateTime,
    ) -> Result<HealthWritten, StoreError> {
        self.0.put_health(id, seen, health, disable, now).await
    }

    async fn expire(&self, age: Duration, limit: u32, now: OffsetDateTime) -> Result<u64, StoreError> {
        self.0.expire(age, limit, now).await
    }
}

impl<S: TransactionalStore> TransactionalStore for Told<S> {
    type Connection = S::Connection;

    async fn subscriptions_in(
        &self,
        connection: &mut S::Connection,
        organization: &str,
    ) -> Result<Subscribed, StoreError> {
        self.0.subscriptions_in(connection, organization).await
    }

    async fn insert_in(
        &self,
        connection: &mut S::Connection,
        events: &[NewEvent],
    ) -> Result<Vec<Inserted>, StoreError> {
        self.0.insert_in(connection, events).await
    }
}

fn micros(at: OffsetDateTime) -> i128 {
    at.unix_timestamp_nanos() / 1_000
}
