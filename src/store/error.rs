//! [`StoreError`]: why a call of a store failed.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// Why a call of a store failed.
#[derive(Clone, Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    // Shared, because many callers may wait for one commit that fails.
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl StoreError {
    /// Makes an error of this kind, with its cause.
    pub fn new(kind: StoreErrorKind, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { kind, source: Some(Arc::from(source.into())) }
    }

    /// The kind of the error.
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later.
    ///
    /// Every call of a store can be repeated without doing its work twice, except
    /// [`replay`](crate::Records::replay) of one delivery and
    /// [`lease_requests`](crate::Intake::lease_requests): a delivery that ended meanwhile is made again, and
    /// requests that were leased wait for the end of their leases. If the answer to the first call was lost,
    /// the second finds its work done: [`insert`](crate::Store::insert) reports a duplicate,
    /// [`settle`](crate::Store::settle) and [`put_health`](crate::Store::put_health) report stale,
    /// [`add`](crate::Subscriptions::add) reports that the subscription exists, and calls such as
    /// [`cancel`](crate::Records::cancel) and [`put_back`](crate::Intake::put_back) return `false`.
    pub const fn is_retryable(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Unavailable)
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            StoreErrorKind::Unavailable => "store is unavailable, try again later",
            StoreErrorKind::Corrupt => "stored row cannot be read",
            StoreErrorKind::Schema => "store's schema is not one that this version can use",
            StoreErrorKind::Backend => "store refused the statement",
            StoreErrorKind::MissingPayload => {
                "event is not stored in the version that its subscription speaks"
            }
        })
    }
}

/// The kind of a [`StoreError`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store cannot be reached, is busy or is full; later it may work.
    Unavailable,
    /// A row holds a value that this version cannot read.
    Corrupt,
    /// The tables need newer code than this.
    Schema,
    /// The store refused the call, and would refuse it again.
    Backend,
    /// A replay would send an event in a version in which it is not stored;
    /// [`Records::add_payloads`](super::Records::add_payloads) stores it.
    MissingPayload,
}
