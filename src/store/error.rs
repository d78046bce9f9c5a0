//! [`StoreError`]: why a store could not do what it was asked.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// Why a store could not do what it was asked.
#[derive(Clone, Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    // Shared, for a commit that fails may be told to many.
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl StoreError {
    /// An error of this kind, with what caused it.
    pub fn new(kind: StoreErrorKind, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { kind, source: Some(Arc::from(source.into())) }
    }

    /// Which kind it is.
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later. Every call of a store may be repeated safely.
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
        })
    }
}

/// What kind of fault a [`StoreError`] is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store cannot be reached, is busy or is full; later it may work.
    Unavailable,
    /// A row holds something that this version cannot read.
    Corrupt,
    /// The tables are of a version that this code is too old for.
    Schema,
    /// The store refused, and would again.
    Backend,
}
