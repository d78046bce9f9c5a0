//! [`ErasedIntake`]: an intake behind one pointer, so that a worker has no type parameters.

use std::time::Duration;

use futures_util::future::BoxFuture;
use time::OffsetDateTime;

use crate::store::{
    InboxKey, Intake, Lease, LeaseRequests, LeasedRequests, RequestAttempt, Settled, Settlement, StoreError,
    WaitingRequests,
};

/// An [`Intake`] behind a pointer: the calls of a worker.
pub(super) trait ErasedIntake: Send + Sync {
    fn next_due_dyn<'a>(
        &'a self,
        queue: &'a str,
        now: OffsetDateTime,
    ) -> BoxFuture<'a, Result<Option<Duration>, StoreError>>;
    fn waiting_dyn<'a>(
        &'a self,
        queue: &'a str,
        limit: u32,
        now: OffsetDateTime,
    ) -> BoxFuture<'a, Result<WaitingRequests, StoreError>>;
    fn lease_requests_dyn<'a>(
        &'a self,
        take: &'a LeaseRequests,
    ) -> BoxFuture<'a, Result<LeasedRequests, StoreError>>;
    fn extend_requests_dyn<'a>(
        &'a self,
        leases: &'a [(InboxKey, Lease)],
        lease: Duration,
        now: OffsetDateTime,
    ) -> BoxFuture<'a, Result<Vec<Settled>, StoreError>>;
    fn settle_requests_dyn<'a>(
        &'a self,
        settlements: &'a [Settlement<InboxKey, RequestAttempt>],
        keep: Duration,
    ) -> BoxFuture<'a, Result<Vec<Settled>, StoreError>>;
    fn expire_given_up_dyn<'a>(
        &'a self,
        queue: &'a str,
        age: Duration,
        keep: Duration,
        limit: u32,
        now: OffsetDateTime,
    ) -> BoxFuture<'a, Result<Vec<InboxKey>, StoreError>>;
    fn prune_done_dyn(&self, limit: u32, now: OffsetDateTime) -> BoxFuture<'_, Result<u64, StoreError>>;
}

impl<I: Intake> ErasedIntake for I {
    fn next_due_dyn<'a>(
        &'a self,
        queue: &'a str,
        now: OffsetDateTime,
    ) -> BoxFuture<'a, Result<Option<Duration>, StoreError>> {
        Box::pin(self.next_due(queue, now))
    }

    fn waiting_dyn<'a>(
        &'a self,
        queue: &'a str,
        limit: u32,
        now: OffsetDateTime,
    ) -> BoxFuture<'a, Result<WaitingRequests, StoreError>> {
        Box::pin(self.waiting(queue, limit, now))
    }

    fn lease_requests_dyn<'a>(
        &'a self,
        take: &'a LeaseRequests,
    ) -> BoxFuture<'a, Result<LeasedRequests, StoreError>> {
        Box::pin(self.lease_requests(take))
    }

    fn extend_requests_dyn<'a>(
        &'a self,
        leases: &'a [(InboxKey, Lease)],
        lease: Duration,
        now: OffsetDateTime,
    ) -> BoxFuture<'a, Result<Vec<Settled>, StoreError>> {
        Box::pin(self.extend_requests(leases, lease, now))
    }

    fn settle_requests_dyn<'a>(
        &'a self,
        settlements: &'a [Settlement<InboxKey, RequestAttempt>],
        keep: Duration,
    ) -> BoxFuture<'a, Result<Vec<Settled>, StoreError>> {
        Box::pin(self.settle_requests(settlements, keep))
    }

    fn expire_given_up_dyn<'a>(
        &'a self,
        queue: &'a str,
        age: Duration,
        keep: Duration,
        limit: u32,
        now: OffsetDateTime,
    ) -> BoxFuture<'a, Result<Vec<InboxKey>, StoreError>> {
        Box::pin(self.expire_given_up(queue, age, keep, limit, now))
    }

    fn prune_done_dyn(&self, limit: u32, now: OffsetDateTime) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.prune_done(limit, now))
    }
}
