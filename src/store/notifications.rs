//! [`Notifications`]: announces new work to other processes that share a store.

use std::future::Future;

use super::StoreError;

/// Announces new work to other processes that share a store, as `LISTEN` and `NOTIFY` of PostgreSQL do.
///
/// A notification saves the wait for the next poll of the store. No delivery depends on it: a lost
/// notification costs the poll interval.
///
/// To ensure correctness, a notification reaches each process that listens, also one that came while its
/// future was dropped, and after a lost connection [`notified`](Self::notified) returns once. No conformance
/// suite tests this trait.
pub trait Notifications: Send + Sync {
    /// Notifies every other process that listens. The caller calls it after the commit, and calls it once for
    /// several changes.
    fn notify(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Returns when another process has notified since the last call, or may have done so while nobody
    /// listened: at the first call, and after a lost connection. Several notifications may count as one. The
    /// future may be dropped and the method called again without losing a notification.
    fn notified(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}
