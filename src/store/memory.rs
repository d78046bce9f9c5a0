//! [`MemoryStore`]: a store, an inbox and an intake in the process's own memory.
#![cfg(feature = "memory")]

mod inbox;
mod intake;
mod moment;
mod prune;
mod records;
mod state;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

use self::inbox::Handled;
use self::intake::Requests;
use self::state::State;
use super::{
    Claim, Claims, Inserted, Lease, Look, NewEvent, Replay, Replayed, Retention, Settled, Settlement, Store,
    StoreError,
};
use crate::delivery::{Attempt, Delivery};
use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};
use crate::subscription::{Health, Subscription, SubscriptionStatus};

/// A store, an inbox and an intake in the process's own memory: for tests, demonstrations, and events that may be lost with the
/// process.
///
/// It keeps every rule of [`Store`], [`Inbox`](crate::Inbox) and [`Intake`](crate::Intake) but the one that a process can die: then
/// everything is gone.
/// Nor can it join the caller's transaction. It needs no runtime, and no call waits for anything but other calls.
///
/// Secrets are in the process's memory as they were given: in the clear unless a key ring sealed them (module `keyring`).
///
/// What is written stays until it is pruned ([`Store::prune`], [`Inbox::prune`](crate::Inbox::prune),
/// [`Intake::prune_kept`](crate::Intake::prune_kept)), and nothing else bounds it: an event costs its payload once, and it, each delivery, each attempt and each handled event some hundred bytes
/// more. Claims and settlements cost the logarithm of what is stored.
///
/// ```
/// use hookwire::{MemoryStore, Store, SubscriptionId};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), hookwire::StoreError> {
/// let store = MemoryStore::new();
/// assert!(store.subscription(SubscriptionId::generate()).await?.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    handled: Mutex<Handled>,
    kept: Mutex<Requests>,
}

impl MemoryStore {
    /// An empty store. To share it, wrap it in an [`Arc`](std::sync::Arc).
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two writes that belong together, so what a panic left behind is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handled(&self) -> MutexGuard<'_, Handled> {
        self.handled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, Requests> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    async fn put_subscription(&self, subscription: &Subscription) -> Result<(), StoreError> {
        self.state().put_subscription(subscription.clone());
        Ok(())
    }

    async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        Ok(self.state().subscription(id).map(|subscription| Subscription::clone(subscription)))
    }

    async fn subscriptions(&self, organization: &str) -> Result<Vec<Subscription>, StoreError> {
        Ok(self.state().subscriptions(organization))
    }

    async fn subscription_ids(
        &self,
        after: Option<SubscriptionId>,
        limit: u32,
    ) -> Result<Vec<SubscriptionId>, StoreError> {
        Ok(self.state().subscription_ids(after, limit))
    }

    async fn replace_subscription(
        &self,
        seen: &Subscription,
        subscription: &Subscription,
    ) -> Result<bool, StoreError> {
        Ok(self.state().replace_subscription(seen, subscription))
    }

    async fn set_subscription_status(
        &self,
        id: SubscriptionId,
        status: &SubscriptionStatus,
    ) -> Result<bool, StoreError> {
        Ok(self.state().change_subscription(id, |subscription| {
            if *status == SubscriptionStatus::Enabled && subscription.status != *status {
                subscription.health = Health::default();
            }
            subscription.status = status.clone();
        }))
    }

    async fn delete_subscription(&self, id: SubscriptionId, now: OffsetDateTime) -> Result<bool, StoreError> {
        Ok(self.state().delete_subscription(id, now))
    }

    async fn insert(&self, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        self.state().insert(events)
    }

    async fn look(&self, now: OffsetDateTime, limit: u32) -> Result<Look, StoreError> {
        Ok(self.state().look(now, limit))
    }

    async fn claim(&self, claim: &Claim) -> Result<Claims, StoreError> {
        let mut state = self.state();
        let mut claims = Claims::default();
        for share in &claim.shares {
            state.claim(share, claim.now, claim.lease, &mut claims.deliveries);
        }
        Ok(claims)
    }

    async fn extend(
        &self,
        leases: &[(DeliveryId, Lease)],
        now: OffsetDateTime,
        lease: Duration,
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
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let unchanged = state.subscription(id).is_some_and(|subscription| subscription.health == *seen);
        Ok(unchanged && state.change_subscription(id, |subscription| subscription.health = health.clone()))
    }

    async fn cancel(&self, id: DeliveryId, now: OffsetDateTime) -> Result<bool, StoreError> {
        Ok(self.state().cancel(id, now))
    }

    async fn replay(&self, replay: &Replay, now: OffsetDateTime, limit: u32) -> Result<Replayed, StoreError> {
        self.state().replay(replay, now, limit)
    }

    async fn expunge(
        &self,
        organization: &str,
        event: &EventId,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        Ok(self.state().expunge(organization, event, now))
    }

    async fn prune(&self, retention: &Retention, now: OffsetDateTime, limit: u32) -> Result<u64, StoreError> {
        Ok(self.state().prune(retention, now, limit))
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        Ok(self.state().delivery(id))
    }

    async fn deliveries(
        &self,
        subscription: SubscriptionId,
        after: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        Ok(self.state().deliveries(subscription, after, limit))
    }

    async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        Ok(self.state().attempts(delivery))
    }
}

/// Shows how many there are of each, and nothing of them.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (subscriptions, events, deliveries) = self.state().counts();
        f.debug_struct("MemoryStore")
            .field("subscriptions", &subscriptions)
            .field("events", &events)
            .field("deliveries", &deliveries)
            .finish_non_exhaustive()
    }
}

/// `wait` after `now`, or the end of what can be written.
fn later(now: OffsetDateTime, wait: Duration) -> OffsetDateTime {
    time::Duration::try_from(wait).ok().and_then(|wait| now.checked_add(wait)).unwrap_or(FAR)
}

const FAR: OffsetDateTime = time::macros::datetime!(9999-12-31 23:59:59 UTC);
