//! [`Pruning`]: deleting old rows.

use std::future::Future;
use std::time::Duration;

use time::OffsetDateTime;

use super::StoreError;

/// Deletes payloads, attempts, deliveries and events that are old enough.
///
/// `Arc<S>` and `&S` have this trait where `S` has it.
///
/// To ensure correctness:
///
/// - Nothing that is pending is deleted, nor the payload of an event that has a pending delivery.
/// - An event whose payload was deleted keeps its id and its digest: the same payload again is a duplicate,
///   another is a conflict.
/// - A call is short, so that it holds up no delivery: it deletes at most `limit` rows of each kind. Calls
///   that are repeated until one deletes nothing delete everything that is old enough.
///
/// `pruning_conformance!` (feature `testing`) has a test for each rule.
pub trait Pruning: Send + Sync {
    /// Deletes rows that are older than `retention` allows, at most `limit` of each kind (payloads, attempts,
    /// deliveries, events). Returns how many rows in all; zero when nothing is left to delete.
    fn prune(
        &self,
        retention: &Retention,
        limit: u32,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// How long rows are kept after their delivery ended; `None` keeps them for ever.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Retention {
    /// The age of payloads, counted from the end of the last delivery of their event. The event's id stays
    /// taken. An event without deliveries counts as ended when it was inserted.
    pub payloads: Option<Duration>,
    /// The age of attempts.
    pub attempts: Option<Duration>,
    /// The age of deliveries with their attempts; and of events that have no delivery left, whose ids are
    /// free then.
    pub deliveries: Option<Duration>,
}

impl Retention {
    /// Keeps everything for ever.
    pub const fn new() -> Self {
        Self { payloads: None, attempts: None, deliveries: None }
    }

    /// Sets how long payloads are kept after the last delivery of their event ended.
    pub const fn with_payloads(mut self, age: Duration) -> Self {
        self.payloads = Some(age);
        self
    }

    /// Sets how long attempts are kept after their delivery ended.
    pub const fn with_attempts(mut self, age: Duration) -> Self {
        self.attempts = Some(age);
        self
    }

    /// Sets how long deliveries are kept after they ended.
    pub const fn with_deliveries(mut self, age: Duration) -> Self {
        self.deliveries = Some(age);
        self
    }
}
