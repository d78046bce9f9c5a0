//! An intake behind one pointer, so that a worker has no type parameters.

use std::time::Duration;

use futures_util::future::BoxFuture;
use time::OffsetDateTime;

use crate::store::{InboxKey, Intake, Lease, RequestSettlement, Settled, StoreError, Take, Taken};

/// What a worker needs of an [`Intake`].
pub(super) trait ErasedIntake: Send + Sync {
    fn next_due_dyn<'a>(
        &'a self,
        queue: &'a str,
        now: OffsetDateTime,
    ) -> BoxFuture<'a, Result<Option<Duration>, StoreError>>;
    fn take_dyn<'a>(&'a self, take: &'a Take) -> BoxFuture<'a, Result<Taken, StoreError>>;
    fn extend_taken_dyn<'a>(
        &'a self,
        leases: &'a [(InboxKey, Lease)],
        now: OffsetDateTime,
        lease: Duration,
    ) -> BoxFuture<'a, Result<Vec<Settled>, StoreError>>;
    fn settle_taken_dyn<'a>(
        &'a self,
        settlements: &'a [RequestSettlement],
    ) -> BoxFuture<'a, Result<Vec<Settled>, StoreError>>;
    fn prune_kept_dyn(&self, now: OffsetDateTime, limit: u32) -> BoxFuture<'_, Result<u64, StoreError>>;
}

impl<I: Intake> ErasedIntake for I {
    fn next_due_dyn<'a>(
        &'a self,
        queue: &'a str,
        now: OffsetDateTime,
    ) -> BoxFuture<'a, Result<Option<Duration>, StoreError>> {
        Box::pin(self.next_due(queue, now))
    }

    fn take_dyn<'a>(&'a self, take: &'a Take) -> BoxFuture<'a, Result<Taken, StoreError>> {
        Box::pin(self.take(take))
    }

    fn extend_taken_dyn<'a>(
        &'a self,
        leases: &'a [(InboxKey, Lease)],
        now: OffsetDateTime,
        lease: Duration,
    ) -> BoxFuture<'a, Result<Vec<Settled>, StoreError>> {
        Box::pin(self.extend_taken(leases, now, lease))
    }

    fn settle_taken_dyn<'a>(
        &'a self,
        settlements: &'a [RequestSettlement],
    ) -> BoxFuture<'a, Result<Vec<Settled>, StoreError>> {
        Box::pin(self.settle_taken(settlements))
    }

    fn prune_kept_dyn(&self, now: OffsetDateTime, limit: u32) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.prune_kept(now, limit))
    }
}
