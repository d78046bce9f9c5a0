//! Stores and clients behind one pointer, so that a dispatcher has no type parameters.

use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use time::OffsetDateTime;

use crate::id::{DeliveryId, SubscriptionId};
use crate::signature::Secret;
use crate::store::{
    Claim, Claims, HealthWritten, Lease, Notifications, Poll, Polled, Pruning, Retention, Settled,
    Settlement, Store, StoreError, StoreId,
};
use crate::subscription::{DisabledReason, Health, Subscription, TokenSource};
use crate::transport::{Exchange, HttpClient, Limits, TransportError};

/// A [`Store`] behind a pointer: the calls of a dispatcher.
pub(super) trait ErasedStore: Send + Sync {
    fn id_dyn(&self) -> Option<StoreId>;
    fn look_dyn<'a>(&'a self, poll: &'a Poll) -> BoxFuture<'a, Result<Polled, StoreError>>;
    fn claim_dyn<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Claims, StoreError>>;
    fn extend_dyn<'a>(
        &'a self,
        leases: &'a [(DeliveryId, Lease)],
        lease: Duration,
        now: OffsetDateTime,
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
        disable: Option<DisabledReason>,
        now: OffsetDateTime,
    ) -> BoxFuture<'a, Result<HealthWritten, StoreError>>;
    fn expire_dyn(
        &self,
        age: Duration,
        limit: u32,
        now: OffsetDateTime,
    ) -> BoxFuture<'_, Result<u64, StoreError>>;
}

impl<S: Store> ErasedStore for S {
    fn id_dyn(&self) -> Option<StoreId> {
        self.id()
    }

    fn look_dyn<'a>(&'a self, poll: &'a Poll) -> BoxFuture<'a, Result<Polled, StoreError>> {
        Box::pin(self.look(poll))
    }

    fn claim_dyn<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Claims, StoreError>> {
        Box::pin(self.claim(claim))
    }

    fn extend_dyn<'a>(
        &'a self,
        leases: &'a [(DeliveryId, Lease)],
        lease: Duration,
        now: OffsetDateTime,
    ) -> BoxFuture<'a, Result<Vec<Settled>, StoreError>> {
        Box::pin(self.extend(leases, lease, now))
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
        disable: Option<DisabledReason>,
        now: OffsetDateTime,
    ) -> BoxFuture<'a, Result<HealthWritten, StoreError>> {
        Box::pin(self.put_health(id, seen, health, disable, now))
    }

    fn expire_dyn(
        &self,
        age: Duration,
        limit: u32,
        now: OffsetDateTime,
    ) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.expire(age, limit, now))
    }
}

/// A [`Pruning`] behind a pointer.
pub(super) trait ErasedPruning: Send + Sync {
    fn prune_dyn<'a>(
        &'a self,
        retention: &'a Retention,
        limit: u32,
        now: OffsetDateTime,
    ) -> BoxFuture<'a, Result<u64, StoreError>>;
}

impl<P: Pruning> ErasedPruning for P {
    fn prune_dyn<'a>(
        &'a self,
        retention: &'a Retention,
        limit: u32,
        now: OffsetDateTime,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(self.prune(retention, limit, now))
    }
}

/// A [`Notifications`] behind a pointer.
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

/// An [`HttpClient`] behind a pointer.
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

/// A [`TokenSource`] behind a pointer.
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
