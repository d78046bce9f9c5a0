//! [`Poll`]: a question for what can be claimed; [`Polled`] and [`ReadyDetails`]: its answer.

use std::time::Duration;

use time::OffsetDateTime;

use crate::id::SubscriptionId;

/// The question of a [`Store::look`](crate::Store::look).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Poll {
    /// The names of the contracts whose deliveries are asked for.
    pub contracts: Vec<String>,
    /// How many subscriptions are listed at most.
    pub limit: u32,
    /// The caller's time.
    pub now: OffsetDateTime,
    /// For how long the caller's claims lease. A store whose times come from its callers may end leases
    /// sooner that end later than such a claim's: a clock that was ahead has written them.
    pub lease: Option<Duration>,
}

impl Poll {
    /// Asks for at most `limit` subscriptions that speak one of these contracts.
    pub const fn new(contracts: Vec<String>, limit: u32, now: OffsetDateTime) -> Self {
        Self { contracts, limit, now, lease: None }
    }

    /// Sets for how long the caller's claims lease.
    pub const fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }
}

/// The answer of a [`Store::look`](crate::Store::look).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Polled {
    /// Subscriptions that have something to claim, each once.
    pub ready: Vec<SubscriptionId>,
    /// How long until a subscription that is not in `ready` has something to claim: a delivery of it is due,
    /// a lease or its pause ends. Zero when the limit left one out; `None` when no other enabled subscription
    /// of these contracts has anything pending.
    pub wait: Option<Duration>,
    /// For each contract that was asked for and has a delivery to claim: its name, and for how long the
    /// delivery that waits longest could have been claimed. Where the limit left subscriptions out, it may
    /// leave out theirs.
    pub oldest_due: Vec<(String, Duration)>,
    /// The organizations of subscriptions in `ready`, and whether their endpoints fail. A dispatcher that has
    /// just started knows nothing else of them: without it, endpoints that have failed for days get their
    /// first attempts before a healthy one does. Optional.
    pub details: Vec<ReadyDetails>,
}

/// The organization of a subscription that has something to claim, and whether its endpoint fails.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ReadyDetails {
    /// The subscription, one of [`Polled::ready`].
    pub subscription: SubscriptionId,
    /// Its organization.
    pub organization: String,
    /// Whether its health says that the endpoint fails ([`Health::failing_since`]).
    ///
    /// [`Health::failing_since`]: crate::subscription::Health::failing_since
    pub is_failing: bool,
}

impl ReadyDetails {
    /// Reports a subscription's organization, and whether its endpoint fails.
    pub const fn new(subscription: SubscriptionId, organization: String, is_failing: bool) -> Self {
        Self { subscription, organization, is_failing }
    }
}

impl Polled {
    /// Reports the subscriptions that are ready, and how long until another one is.
    pub const fn new(ready: Vec<SubscriptionId>, wait: Option<Duration>) -> Self {
        Self { ready, wait, oldest_due: Vec::new(), details: Vec::new() }
    }

    /// Adds how long the oldest delivery of each contract could have been claimed.
    pub fn with_oldest_due(mut self, oldest_due: Vec<(String, Duration)>) -> Self {
        self.oldest_due = oldest_due;
        self
    }

    /// Adds what is known of subscriptions that are ready.
    pub fn with_details(mut self, details: Vec<ReadyDetails>) -> Self {
        self.details = details;
        self
    }
}
