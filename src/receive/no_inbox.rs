//! [`NoInbox`]: the inbox of a receiver that has none.

use std::time::Duration;

use time::OffsetDateTime;

use crate::store::{Inbox, InboxKey, Lease, Reservation, StoreError};

/// An inbox that remembers nothing, for handlers that can be repeated safely. Every copy of an event is
/// handled.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "it has no parts and will have none")]
pub struct NoInbox;

impl Inbox for NoInbox {
    async fn reserve(&self, _: &InboxKey, _: Duration, _: OffsetDateTime) -> Result<Reservation, StoreError> {
        Ok(Reservation::New(Lease::new(1)))
    }

    async fn commit(
        &self,
        _: &InboxKey,
        _: Lease,
        _: Duration,
        _: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn release(&self, _: &InboxKey, _: Lease) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn prune_handled(&self, _: u32, _: OffsetDateTime) -> Result<u64, StoreError> {
        Ok(0)
    }
}
