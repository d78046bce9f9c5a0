//! [`StoreId`]: which store, of those in this process.

use std::sync::atomic::{AtomicU64, Ordering};

/// Which store, of those in this process.
///
/// An outbox hands over to a dispatcher in whose store it inserts. It knows them by this id.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct StoreId(u64);

impl StoreId {
    /// Makes an id that no other store of this process has.
    pub fn unique() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}
