//! [`NoInbox`]: the inbox of a receiver that was given none.

use std::time::Duration;

use time::OffsetDateTime;

use crate::store::{Inbox, InboxKey, Lease, Reservation, StoreError};

/// Remembers nothing: every copy of an event is handled. For handlers that can be repeated safely.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "it has no parts and will have none")]
pub struct NoInbox;

impl Inbox for NoInbox {
    async fn reserve(&self, _: &InboxKey, _: OffsetDateTime, _: Duration) -> Result<Reservation, StoreError> {
        Ok(Reservation::New(Lease::new(1)))
    }

    async fn commit(
        &self,
        _: &InboxKey,
        _: Lease,
        _: OffsetDateTime,
        _: Duration,
    ) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn release(&self, _: &InboxKey, _: Lease) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn prune(&self, _: OffsetDateTime, _: u32) -> Result<u64, StoreError> {
        Ok(0)
    }
}
