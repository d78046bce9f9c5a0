//! [`Calls`]: calls a worker's handler, and decides what becomes of each request.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::timeout;

use super::job::{Handle, HandlerFailure};
use super::telemetry;
use crate::clock::Clock;
use crate::delivery::{DeadReason, Next};
use crate::lease::{Asked, Runner};
use crate::receive::telemetry::Stopwatch;
use crate::retry::RetryPolicy;
use crate::store::{InboxKey, Lease, Leased, RequestAttempt, Settlement, StoredRequest};

/// Calls a handler, and decides what becomes of each request.
#[derive(Clone)]
pub(super) struct Calls {
    pub(super) queue: Arc<str>,
    pub(super) handle: Handle,
    pub(super) retry: RetryPolicy,
    pub(super) deadline: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

/// A request to settle.
pub(super) struct Finished {
    pub(super) settlement: Settlement<InboxKey, RequestAttempt>,
    /// The attempt, from 1; 0 where none was made.
    pub(super) attempt: u32,
    pub(super) asked: Asked,
}

impl Finished {
    /// A request to settle without an attempt.
    pub(super) fn untried(settlement: Settlement<InboxKey, RequestAttempt>) -> Self {
        Self { settlement, attempt: 0, asked: Asked::default() }
    }
}

impl Runner for Calls {
    type Work = Vec<Leased<StoredRequest>>;
    type Output = Vec<Finished>;
    type Scratch = ();

    async fn run(&self, leased: Vec<Leased<StoredRequest>>, _: &mut ()) -> Vec<Finished> {
        self.call(leased, || self.clock.now()).await
    }
}

impl Calls {
    /// Calls the handler once for all of these requests. `now` is asked when the handler has ended.
    pub(super) async fn call(
        &self,
        leased: Vec<Leased<StoredRequest>>,
        now: impl Fn() -> OffsetDateTime,
    ) -> Vec<Finished> {
        let attempts: Vec<_> =
            leased.iter().map(|leased| (key_of(leased), leased.attempt, leased.first_attempt_at)).collect();
        let first = attempts.first().map(|((key, _), ..)| key);
        let number = attempts.first().map_or(0, |(_, attempt, _)| *attempt);
        let stopwatch = Stopwatch::start();
        let call = telemetry::in_span(&self.queue, first, number, (self.handle)(leased));
        let results = timeout(self.deadline, call).await.unwrap_or_else(|_elapsed| {
            let reason = format!("handler did not end within {:?}", self.deadline);
            vec![Err(HandlerFailure::new(reason)); attempts.len()]
        });
        stopwatch.stop("queue", &self.queue);
        let now = now();
        let finish = |(((key, lease), attempt, first_attempt_at), result): ((_, u32, Option<_>), _)| {
            let settlement = match result {
                Ok(()) => Settlement::handled(key, lease, now),
                Err(HandlerFailure { reason, is_final: true }) => {
                    Settlement::failed(key, lease, reason, Next::dead(DeadReason::Refused), now)
                }
                Err(HandlerFailure { reason, is_final: false }) => {
                    let elapsed = Duration::try_from(now - first_attempt_at.unwrap_or(now));
                    let elapsed = elapsed.unwrap_or(Duration::ZERO);
                    let wait = self.retry.next(attempt, elapsed, seed(&key, attempt), None);
                    let next = wait.map_or(Next::dead(DeadReason::Exhausted), Next::retry);
                    Settlement::failed(key, lease, reason, next, now)
                }
            };
            Finished { settlement, attempt, asked: Asked::default() }
        };
        attempts.into_iter().zip(results).map(finish).collect()
    }
}

pub(super) fn key_of(leased: &Leased<StoredRequest>) -> (InboxKey, Lease) {
    (leased.key.clone(), leased.lease)
}

/// Spreads the retries of requests that failed together.
fn seed(key: &InboxKey, attempt: u32) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, attempt).hash(&mut hasher);
    hasher.finish()
}
