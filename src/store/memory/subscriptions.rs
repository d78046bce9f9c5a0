//! Writing and listing the subscriptions of a [`MemoryStore`].

use std::ops::Bound;

use time::OffsetDateTime;

use super::memory_store::MemoryStore;
use super::records::one_more;
use crate::id::SubscriptionId;
use crate::store::built_in::check_subscription;
use crate::store::{Added, Cursor, Page, Scanned, SecretDigest, StoreError, Subscriptions};
use crate::subscription::{Health, Subscription, SubscriptionStatus};

impl Subscriptions for MemoryStore {
    async fn put(&self, subscription: &Subscription) -> Result<(), StoreError> {
        self.state().put_subscription(subscription.clone())
    }

    async fn replace(&self, seen: &Subscription, subscription: &Subscription) -> Result<bool, StoreError> {
        self.state().replace_subscription(seen, subscription)
    }

    async fn add(
        &self,
        subscription: &Subscription,
        secret: Option<&SecretDigest>,
        limit: u32,
    ) -> Result<Added, StoreError> {
        check_subscription(subscription)?;
        let mut state = self.state();
        if state.subscriptions.contains_key(&subscription.id) {
            return Ok(Added::Exists);
        }
        let own = state.organizations.get(&subscription.organization);
        if own.map_or(0, |own| own.subscriptions.len()) >= limit as usize {
            return Ok(Added::Full);
        }
        if secret.is_some_and(|secret| state.secrets.contains_key(secret)) {
            return Ok(Added::SecretInUse);
        }
        state.put_subscription(subscription.clone())?;
        secret.map(|secret| state.hold_secret(subscription.id, *secret));
        Ok(Added::Done)
    }

    async fn hold_secret(&self, id: SubscriptionId, secret: &SecretDigest) -> Result<bool, StoreError> {
        let mut state = self.state();
        Ok(state.subscriptions.contains_key(&id) && state.hold_secret(id, *secret))
    }

    async fn set_status(&self, id: SubscriptionId, status: &SubscriptionStatus) -> Result<bool, StoreError> {
        Ok(self.state().change_subscription(id, |subscription| {
            if *status == SubscriptionStatus::Enabled && subscription.status != *status {
                subscription.health = Health::default();
            }
            subscription.status = status.clone();
        }))
    }

    async fn delete(&self, id: SubscriptionId, now: OffsetDateTime) -> Result<bool, StoreError> {
        Ok(self.state().delete_subscription(id, now))
    }

    async fn list(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Scanned>, StoreError> {
        let state = self.state();
        let Some(own) = state.organizations.get(organization) else { return Ok(Page::last(Vec::new())) };
        let places = &own.subscriptions;
        let after = after.map_or(Bound::Unbounded, |after| {
            Bound::Excluded((after.time(), SubscriptionId::from_u128(after.minor())))
        });
        let found = places.range((after, Bound::Unbounded)).take(one_more(limit));
        let found = found.map(|(_, id)| Subscription::clone(&state.subscriptions[id])).collect();
        let place = |last: &Subscription| Cursor::at(last.created_at, last.id.as_u128());
        Ok(Page::cut(found, limit, place).map(Scanned::from))
    }

    async fn scan(&self, after: Option<SubscriptionId>, limit: u32) -> Result<Vec<Scanned>, StoreError> {
        let state = self.state();
        let ids = state.subscription_ids(after, limit).into_iter();
        Ok(ids.map(|id| Subscription::clone(&state.subscriptions[&id]).into()).collect())
    }
}

impl Cursor {
    /// Makes the cursor of the place after the item of this time and id.
    const fn at(at: OffsetDateTime, id: u128) -> Self {
        // Shifted, so that no time before 1970 is negative.
        Self::new(at.unix_timestamp_nanos().wrapping_add(1 << 100) as u128, id)
    }

    /// Returns the time that [`at`](Self::at) was given.
    fn time(self) -> OffsetDateTime {
        let nanos = i128::try_from(self.major()).unwrap_or(i128::MAX).saturating_sub(1 << 100);
        OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}
