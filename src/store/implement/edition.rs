//! [`Edition`]: which subscriptions an organization has; [`Subscribed`]: these subscriptions with it.

use crate::store::Scanned;

/// Identifies the subscriptions that an organization has, as far as they decide where its events go.
///
/// A store gives an organization another edition whenever one of its subscriptions is added or deleted, or
/// gets another version or filter. No edition returns once there was another: a counter that a rollback or a
/// backup can set back will not do, a random number will. Status, health, pauses, URL, secrets and options
/// have no part in it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Edition(u64);

impl Edition {
    /// Makes an edition of a store's number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the store's number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// Every subscription of an organization, and their edition.
#[derive(Debug)]
#[non_exhaustive]
pub struct Subscribed {
    /// The subscriptions, oldest first.
    pub subscriptions: Vec<Scanned>,
    /// Their edition, as it was when they were read or before. An outbox caches what it knows the edition of;
    /// with `None` it reads the subscriptions for each event.
    pub edition: Option<Edition>,
}

impl Subscribed {
    /// Makes the subscriptions of an organization, without an edition.
    pub const fn new(subscriptions: Vec<Scanned>) -> Self {
        Self { subscriptions, edition: None }
    }

    /// Sets the edition.
    pub const fn with_edition(mut self, edition: Edition) -> Self {
        self.edition = Some(edition);
        self
    }
}

impl From<Vec<Scanned>> for Subscribed {
    fn from(subscriptions: Vec<Scanned>) -> Self {
        Self::new(subscriptions)
    }
}
