//! The outbox's and the dispatcher's calls of a [`MemoryStore`].

use std::time::Duration;

use time::OffsetDateTime;

use super::memory_store::MemoryStore;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::implement::row::later;
use crate::store::{
    Claim, Claims, HealthWritten, Inserted, Lease, NewEvent, Poll, Polled, Settled, Settlement, Store,
    StoreError, StoreId, Subscribed,
};
use crate::subscription::{DisabledReason, Health, Subscription};

impl Store for MemoryStore {
    fn id(&self) -> Option<StoreId> {
        Some(self.id)
    }

    async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        Ok(self.state().subscription(id).map(|subscription| Subscription::clone(subscription)))
    }

    async fn subscriptions(&self, organization: &str) -> Result<Subscribed, StoreError> {
        Ok(self.state().subscriptions(organization))
    }

    async fn insert(&self, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        self.state().insert(events)
    }

    async fn look(&self, poll: &Poll) -> Result<Polled, StoreError> {
        Ok(self.state().look(poll))
    }

    async fn claim(&self, claim: &Claim) -> Result<Claims, StoreError> {
        let mut state = self.state();
        let mut claims = Claims::default();
        for share in &claim.shares {
            state.claim(share, claim, &mut claims.deliveries);
        }
        Ok(claims)
    }

    async fn extend(
        &self,
        leases: &[(DeliveryId, Lease)],
        lease: Duration,
        now: OffsetDateTime,
    ) -> Result<Vec<Settled>, StoreError> {
        let mut state = self.state();
        let until = later(now, lease);
        Ok(leases.iter().map(|(delivery, lease)| state.extend(*delivery, *lease, until)).collect())
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        let mut state = self.state();
        Ok(settlements.iter().map(|settlement| state.settle(settlement)).collect())
    }

    async fn put_health(
        &self,
        id: SubscriptionId,
        seen: &Health,
        health: &Health,
        disable: Option<DisabledReason>,
        now: OffsetDateTime,
    ) -> Result<HealthWritten, StoreError> {
        Ok(self.state().put_health(id, seen, health, disable, now))
    }

    async fn expire(&self, age: Duration, limit: u32, now: OffsetDateTime) -> Result<u64, StoreError> {
        let before = age.try_into().ok().and_then(|age: time::Duration| now.checked_sub(age));
        Ok(before.map_or(0, |before| self.state().expire(before, limit as usize, now)))
    }
}
