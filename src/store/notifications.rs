//! [`Notifications`]: how processes that share a store tell each other that there is work.

use std::future::Future;

use super::StoreError;

/// How processes that share a store tell each other that there is work, as `LISTEN` and `NOTIFY` of PostgreSQL do.
///
/// They save waiting for the next look at the store and are never needed for a delivery: one that is lost costs the poll's
/// interval.
pub trait Notifications: Send + Sync {
    /// Tells every other process that listens. Called after the commit, and not more often than is useful: the caller gathers.
    fn notify(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Ready when another process has told since the last call, or may have while nobody listened (the first call, a
    /// connection that was lost and made again). Several that were told meanwhile are one. May be dropped and called again
    /// without losing any.
    fn notified(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}
