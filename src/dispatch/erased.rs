//! Stores and clients behind one pointer, so that a dispatcher has no type parameters.

use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use time::OffsetDateTime;

use crate::id::{DeliveryId, SubscriptionId};
use crate::signature::Secret;
use crate::store::{
    Claim, Claims, Lease, Look, Notifications, Retention, Settled, Settlement, Store, StoreError,
};
use crate::subscription::{Health, Subscription, SubscriptionStatus, TokenSource};
use crate::transport::{Exchange, HttpClient, Limits, TransportError};

/// What a dispatcher needs of a [`Store`].
pub(super) trait ErasedStore: Send + Sync {
    fn look_dyn(&self, now: OffsetDateTime, limit: u32) -> BoxFuture<'_, Result<Look, StoreError>>;
    fn claim_dyn<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Claims, StoreError>>;
    fn extend_dyn<'a>(
        &'a self,
        leases: &'a [(DeliveryId, Lease)],
        now: OffsetDateTime,
        lease: Duration,
    ) -> BoxFuture<'a, Result<Vec<Settled>, StoreError>>;
    fn settle_dyn<'a>(
        &'a self,
        settlements: &'a [Settlement],
    ) -> BoxFuture<'a, Result<Vec<Settled>, StoreError>>;
    fn subscription_dyn(&self, id: SubscriptionId)
    -> BoxFuture<'_, Result<Option<Subscription>, StoreError>>;
    fn put_health_dyn<'a>(
        &'a self,
        id: SubscriptionId,
        seen: &'a Health,
        health: &'a Health,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;
    fn set_status_dyn<'a>(
        &'a self,
        id: SubscriptionId,
        status: &'a SubscriptionStatus,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;
    fn prune_dyn<'a>(
        &'a self,
        retention: &'a Retention,
        now: OffsetDateTime,
        limit: u32,
    ) -> BoxFuture<'a, Result<u64, StoreError>>;
}

impl<S: Store> ErasedStore for S {
    fn look_dyn(&self, now: OffsetDateTime, limit: u32) -> BoxFuture<'_, Result<Look, StoreError>> {
        Box::pin(self.look(now, limit))
    }

    fn claim_dyn<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Claims, StoreError>> {
        Box::pin(self.claim(claim))
    }

    fn extend_dyn<'a>(
        &'a self,
        leases: &'a [(DeliveryId, Lease)],
        now: OffsetDateTime,
        lease: Duration,
    ) -> BoxFuture<'a, Result<Vec<Settled>, StoreError>> {
        Box::pin(self.extend(leases, now, lease))
    }

    fn settle_dyn<'a>(
        &'a self,
        settlements: &'a [Settlement],
    ) -> BoxFuture<'a, Result<Vec<Settled>, StoreError>> {
        Box::pin(self.settle(settlements))
    }

    fn subscription_dyn(
        &self,
        id: SubscriptionId,
    ) -> BoxFuture<'_, Result<Option<Subscription>, StoreError>> {
        Box::pin(self.subscription(id))
    }

    fn put_health_dyn<'a>(
        &'a self,
        id: SubscriptionId,
        seen: &'a Health,
        health: &'a Health,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(self.put_health(id, seen, health))
    }

    fn set_status_dyn<'a>(
        &'a self,
        id: SubscriptionId,
        status: &'a SubscriptionStatus,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(self.set_subscription_status(id, status))
    }

    fn prune_dyn<'a>(
        &'a self,
        retention: &'a Retention,
        now: OffsetDateTime,
        limit: u32,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(self.prune(retention, now, limit))
    }
}

/// [`Notifications`] behind a pointer.
pub(super) trait ErasedNotifications: Send + Sync {
    fn notify_dyn(&self) -> BoxFuture<'_, Result<(), StoreError>>;
    fn notified_dyn(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

impl<N: Notifications> ErasedNotifications for N {
    fn notify_dyn(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.notify())
    }

    fn notified_dyn(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.notified())
    }
}

/// An [`HttpClient`].
pub(super) trait ErasedClient: Send + Sync {
    fn send_dyn<'a>(
        &'a self,
        request: http::Request<Bytes>,
        limits: &'a Limits,
    ) -> BoxFuture<'a, Result<Exchange, TransportError>>;
}

impl<C: HttpClient> ErasedClient for C {
    fn send_dyn<'a>(
        &'a self,
        request: http::Request<Bytes>,
        limits: &'a Limits,
    ) -> BoxFuture<'a, Result<Exchange, TransportError>> {
        Box::pin(self.send(request, limits))
    }
}

/// A [`TokenSource`].
pub(super) trait ErasedTokens: Send + Sync {
    fn token_dyn(
        &self,
        subscription: SubscriptionId,
    ) -> BoxFuture<'_, Result<Secret, Box<dyn StdError + Send + Sync>>>;
}

impl<T: TokenSource> ErasedTokens for T {
    fn token_dyn(
        &self,
        subscription: SubscriptionId,
    ) -> BoxFuture<'_, Result<Secret, Box<dyn StdError + Send + Sync>>> {
        Box::pin(self.token(subscription))
    }
}
