//! [`Claim`]: a wish for due deliveries; [`Claims`]: the deliveries that it leased.

use std::time::Duration;

use time::OffsetDateTime;

use super::leased::{Leased, Unreadable};
use crate::id::SubscriptionId;

/// A wish for due deliveries: the input of [`Store::claim`](crate::Store::claim).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Claim {
    /// The names of the contracts whose deliveries may be claimed. A subscription that speaks another one
    /// gives nothing.
    pub contracts: Vec<String>,
    /// How long no other claim gets them: longer than an attempt can take.
    pub lease: Duration,
    /// How many deliveries of which subscriptions; each subscription is named once.
    pub shares: Vec<Share>,
    /// The caller's time.
    pub now: OffsetDateTime,
}

impl Claim {
    /// Claims the shares of subscriptions that speak one of these contracts, for `lease` from `now` on.
    pub const fn new(
        contracts: Vec<String>,
        lease: Duration,
        shares: Vec<Share>,
        now: OffsetDateTime,
    ) -> Self {
        Self { contracts, lease, shares, now }
    }
}

/// How much a claim takes of one subscription.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Share {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// How many of its deliveries at most.
    pub limit: u32,
    /// Where in its queue to begin, among new deliveries as among retries: nothing that was due before this
    /// is expected. A hint, so that a store need not walk over what was taken before; `None` begins at the
    /// start.
    pub since: Option<OffsetDateTime>,
}

impl Share {
    /// Takes up to `limit` deliveries of `subscription`, from the start of its queue.
    pub const fn new(subscription: SubscriptionId, limit: u32) -> Self {
        Self { subscription, limit, since: None }
    }

    /// Sets the due time with which to begin.
    pub const fn with_since(mut self, since: Option<OffsetDateTime>) -> Self {
        self.since = since;
        self
    }
}

/// The deliveries that a claim leased.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Claims {
    /// The deliveries to send.
    pub deliveries: Vec<Leased>,
    /// Deliveries that were leased and whose rows could not be read, so that one bad row stops no others.
    pub unreadable: Vec<Unreadable>,
}
