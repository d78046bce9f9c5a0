//! [`Call`]: one call of a worker's handler, and what comes of it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::timeout;

use super::crew::Ended;
use super::job::{Handle, Told};
use crate::retry::RetryPolicy;
use crate::store::{Conclusion, InboxKey, Lease, RequestSettlement, Taken, TakenRequest};

/// One call of the handler.
pub(super) struct Call {
    pub(super) taken: Vec<TakenRequest>,
    pub(super) handle: Handle,
    pub(super) retry: RetryPolicy,
    pub(super) deadline: Duration,
    pub(super) remember: Duration,
}

impl Call {
    pub(super) async fn handle(self, now: impl Fn() -> OffsetDateTime) -> Vec<Ended> {
        let attempts: Vec<_> =
            self.taken.iter().map(|taken| (key_of(taken), taken.attempt, taken.first_attempt_at)).collect();
        let told = timeout(self.deadline, (self.handle)(self.taken)).await.unwrap_or_else(|_elapsed| {
            vec![Err(format!("handler did not end within {:?}", self.deadline)); attempts.len()]
        });
        let now = now();
        let end = |(((key, lease), attempt, first_attempt_at), told): ((_, u32, _), Told)| {
            let conclusion = match told {
                Ok(()) => Conclusion::done(self.remember),
                Err(reason) => {
                    let elapsed = Duration::try_from(now - first_attempt_at).unwrap_or(Duration::ZERO);
                    match self.retry.next(attempt, elapsed, seed(&key, attempt), None) {
                        Some(wait) => Conclusion::retry(wait, reason),
                        None => Conclusion::give_up(reason),
                    }
                }
            };
            Ended { settlement: RequestSettlement::new(key, lease, now, conclusion), attempt }
        };
        attempts.into_iter().zip(told).map(end).collect()
    }
}

/// Batches of what was taken, in its order.
pub(super) fn chunks(taken: Vec<TakenRequest>, size: usize) -> impl Iterator<Item = Vec<TakenRequest>> {
    let mut taken = taken.into_iter();
    std::iter::from_fn(move || {
        let chunk: Vec<_> = taken.by_ref().take(size).collect();
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// What cannot be read is never handled, however often it is tried.
pub(super) fn unreadable(taken: &Taken, now: OffsetDateTime) -> Vec<Ended> {
    let ended = taken.unreadable.iter().map(|unreadable| {
        let reason = match std::error::Error::source(&unreadable.error) {
            Some(cause) => format!("{}: {cause}", unreadable.error),
            None => unreadable.error.to_string(),
        };
        let (key, lease) = (unreadable.key.clone(), unreadable.lease);
        let settlement = RequestSettlement::new(key, lease, now, Conclusion::give_up(reason));
        Ended { settlement, attempt: 0 }
    });
    ended.collect()
}

pub(super) fn hand_back((key, lease): (InboxKey, Lease), now: OffsetDateTime) -> Ended {
    Ended { settlement: RequestSettlement::new(key, lease, now, Conclusion::HandBack), attempt: 0 }
}

pub(super) fn key_of(taken: &TakenRequest) -> (InboxKey, Lease) {
    (taken.request.key.clone(), taken.lease)
}

/// What spreads the retries of requests that failed together.
fn seed(key: &InboxKey, attempt: u32) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, attempt).hash(&mut hasher);
    hasher.finish()
}
