//! Stores and clients behind one pointer, so that a dispatcher has no type parameters.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use time::OffsetDateTime;

use crate::store::{Claim, Claims, Settled, Settlement, Store, StoreError};
use crate::transport::{Exchange, HttpClient, Limits, TransportError};

/// What a dispatcher needs of a [`Store`].
pub(super) trait ErasedStore: Send + Sync {
    fn claim_dyn<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Claims, StoreError>>;
    fn settle_dyn<'a>(
        &'a self,
        settlements: &'a [Settlement],
    ) -> BoxFuture<'a, Result<Vec<Settled>, StoreError>>;
    fn next_due_dyn(&self, now: OffsetDateTime) -> BoxFuture<'_, Result<Option<Duration>, StoreError>>;
}

impl<S: Store> ErasedStore for S {
    fn claim_dyn<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Claims, StoreError>> {
        Box::pin(self.claim(claim))
    }

    fn settle_dyn<'a>(
        &'a self,
        settlements: &'a [Settlement],
    ) -> BoxFuture<'a, Result<Vec<Settled>, StoreError>> {
        Box::pin(self.settle(settlements))
    }

    fn next_due_dyn(&self, now: OffsetDateTime) -> BoxFuture<'_, Result<Option<Duration>, StoreError>> {
        Box::pin(self.next_due(now))
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
