//! [`Poll`]: a question for what can be claimed; [`Polled`]: its answer.

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
}

impl Poll {
    /// Asks for at most `limit` subscriptions that speak one of these contracts.
    pub const fn new(contracts: Vec<String>, limit: u32, now: OffsetDateTime) -> Self {
        Self { contracts, limit, now }
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
}

impl Polled {
    /// Reports the subscriptions that are ready, and how long until another one is.
    pub const fn new(ready: Vec<SubscriptionId>, wait: Option<Duration>) -> Self {
        Self { ready, wait, oldest_due: Vec::new() }
    }

    /// Adds how long the oldest delivery of each contract could have been claimed.
    pub fn with_oldest_due(mut self, oldest_due: Vec<(String, Duration)>) -> Self {
        self.oldest_due = oldest_due;
        self
    }
}
