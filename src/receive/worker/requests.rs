//! [`Requests`]: the stored requests of one queue; [`Run`]: those requests, as the lease engine works on
//! them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use time::OffsetDateTime;

use super::call::{Calls, Finished, key_of};
use super::erased::ErasedIntake;
use super::incident::Incident;
use super::telemetry;
use crate::delivery::{DeadReason, Next};
use crate::lease::{self, Call, Claimed, Settings, Source};
use crate::receive::signal::Signal;
use crate::store::{
    InboxKey, Lease, LeaseRequests, Leased, LeasedRequests, NO_ATTEMPT_LEFT, Settled, Settlement, StoreError,
    StoredRequest, WaitingRequests,
};

/// The stored requests of one queue, and the settings and calls to handle them.
pub(super) struct Requests {
    pub(super) intake: Arc<dyn ErasedIntake>,
    pub(super) calls: Calls,
    /// For how long copies of a handled request are duplicates.
    pub(super) remember: Duration,
    /// How long after it was given up a request is done; never, where there is none.
    pub(super) expiry: Option<Duration>,
    /// The most requests of one call of the handler.
    pub(super) size: usize,
    /// The signal that a receiver of this process has stored a request.
    pub(super) signal: Arc<Signal>,
    pub(super) observer: Option<Arc<Observer>>,
    pub(super) settings: Settings,
}

pub(super) type Observer = dyn Fn(&Incident<'_>) + Send + Sync;

/// The requests of a running worker, and what the run knows of them.
pub(super) struct Run<'a> {
    requests: &'a Requests,
    /// The number of signals that the run has seen.
    heard: AtomicU64,
    /// Whether something is believed to be due.
    is_due: AtomicBool,
}

impl<'a> Run<'a> {
    pub(super) fn of(requests: &'a Requests) -> Self {
        Self { requests, heard: AtomicU64::new(0), is_due: AtomicBool::new(false) }
    }
}

impl Source for Run<'_> {
    type Runner = Calls;
    type Finished = Finished;
    type Held = Vec<(InboxKey, Lease)>;
    type Claim = LeaseRequests;

    /// A worker that keeps the order leases a request after the one before it is settled.
    const SETTLES_WHILE_CLAIMING: bool = false;

    fn settings(&self) -> &Settings {
        &self.requests.settings
    }

    fn runner(&self) -> Calls {
        self.requests.calls.clone()
    }

    async fn woken(&self) -> bool {
        let times = self.requests.signal.given_since(self.heard.load(Ordering::Relaxed)).await;
        self.heard.store(times, Ordering::Relaxed);
        self.is_due.store(true, Ordering::Relaxed);
        false
    }

    fn claims_in(&self) -> Option<Duration> {
        self.is_due.load(Ordering::Relaxed).then_some(Duration::ZERO)
    }

    fn plan(&self, room: usize) -> Option<LeaseRequests> {
        let has_work = self.is_due.load(Ordering::Relaxed) && room > 0;
        has_work.then(|| self.requests.lease_request(self.requests.calls.clock.now(), room))
    }

    async fn claim(&self, take: &LeaseRequests) -> Result<Claimed<Self>, StoreError> {
        let leased = self.requests.intake.lease_requests_dyn(take).await?;
        let count = leased.requests.len() + leased.given_up.len() + leased.unreadable.len();
        let is_last = count < take.limit as usize;
        self.is_due.store(!is_last, Ordering::Relaxed);
        let (work, finished) = self.requests.calls_for(leased, take.now);
        Ok(Claimed { work, finished, is_last })
    }

    async fn look(&self) -> Result<Option<Duration>, StoreError> {
        let now = self.requests.calls.clock.now();
        let wait = self.requests.intake.next_due_dyn(&self.requests.calls.queue, now).await?;
        let later = wait.filter(|wait| !wait.is_zero());
        if later != wait {
            self.is_due.store(true, Ordering::Relaxed);
        }
        Ok(later)
    }

    async fn extend(&self, held: Vec<&Self::Held>) -> Result<(), StoreError> {
        let leases: Vec<_> = held.into_iter().flatten().cloned().collect();
        let (now, lease) = (self.requests.calls.clock.now(), self.requests.settings.lease);
        self.requests.intake.extend_requests_dyn(&leases, lease, now).await.map(drop)
    }

    async fn settle(&self, finished: &[Finished]) -> Result<Vec<Settled>, StoreError> {
        self.requests.settle(finished).await
    }

    fn failed(&self, call: Call, error: &StoreError) {
        let call = match call {
            Call::Look => "next_due",
            Call::Claim => "lease_requests",
            Call::Extend => "extend_requests",
            Call::Settle => "settle_requests",
        };
        self.requests.observe(&Incident::Intake { call, error });
    }

    fn held(leased: &Vec<Leased<StoredRequest>>) -> Self::Held {
        leased.iter().map(key_of).collect()
    }

    fn retry_in(finished: &Finished) -> Option<Duration> {
        match finished.settlement.next {
            Next::Retry { after } => Some(after),
            _ => None,
        }
    }

    fn collected(&self, _: &mut [Finished], _: usize) {}

    fn lost(&self, _: &Self::Held) {}

    fn hand_back(&self, held: Self::Held, after: Duration) -> impl IntoIterator<Item = Finished> {
        let now = self.requests.calls.clock.now();
        let hand_back = move |(key, lease)| Settlement::hand_back(key, lease, now).with_delay(after);
        held.into_iter().map(hand_back).map(Finished::untried)
    }
}

impl Requests {
    /// Returns the claim to make at `now` for this many calls of the handler.
    pub(super) fn lease_request(&self, now: OffsetDateTime, calls: usize) -> LeaseRequests {
        let room = u32::try_from(calls.saturating_mul(self.size)).unwrap_or(u32::MAX);
        let limit = self.settings.batch.min(room);
        LeaseRequests::new(&*self.calls.queue, self.settings.lease, limit, now)
            .with_max_attempts(self.calls.retry.max_attempts())
    }

    /// Divides leased requests into calls of the handler, and gives up those that cannot be read, because no
    /// attempt could handle them.
    pub(super) fn calls_for(
        &self,
        leased: LeasedRequests,
        now: OffsetDateTime,
    ) -> (Vec<Vec<Leased<StoredRequest>>>, Vec<Finished>) {
        for key in &leased.given_up {
            telemetry::gave_up(&self.calls.queue, key, NO_ATTEMPT_LEFT);
            self.observe(&Incident::GivenUp { key, reason: NO_ATTEMPT_LEFT });
        }
        let unreadable = leased.unreadable.into_iter().map(|unreadable| {
            let reason = match std::error::Error::source(&unreadable.error) {
                Some(cause) => format!("{}: {cause}", unreadable.error),
                None => unreadable.error.to_string(),
            };
            let (key, lease, next) = (unreadable.key, unreadable.lease, Next::dead(DeadReason::Refused));
            Finished::untried(Settlement::failed(key, lease, reason, next, now))
        });
        let unreadable = unreadable.collect();
        let mut requests = leased.requests.into_iter();
        let calls = std::iter::from_fn(|| {
            let call: Vec<_> = requests.by_ref().take(self.size).collect();
            (!call.is_empty()).then_some(call)
        });
        (calls.collect(), unreadable)
    }

    /// Settles requests, then calls the observer.
    pub(super) async fn settle(&self, finished: &[Finished]) -> Result<Vec<Settled>, StoreError> {
        if finished.is_empty() {
            return Ok(Vec::new());
        }
        let settlements: Vec<_> = finished.iter().map(|finished| finished.settlement.clone()).collect();
        let asked = finished.iter().map(|finished| &finished.asked);
        let settle = self.intake.settle_requests_dyn(&settlements, self.remember);
        let settled = lease::settle(asked, settle).await?;
        for (Finished { settlement, attempt, .. }, settled) in finished.iter().zip(&settled) {
            let key = &settlement.key;
            let Some(reason) = settlement.failure().filter(|_| *settled == Settled::Done) else {
                if *settled == Settled::Stale {
                    self.observe(&Incident::Stale { key });
                }
                continue;
            };
            match settlement.next {
                Next::Retry { after: retry_after } => {
                    telemetry::failed(&self.calls.queue);
                    self.observe(&Incident::Failed { key, attempt: *attempt, reason, retry_after });
                }
                _ => {
                    telemetry::gave_up(&self.calls.queue, key, reason);
                    self.observe(&Incident::GivenUp { key, reason });
                }
            }
        }
        Ok(settled)
    }

    /// How many requests wait, if the intake answers.
    pub(super) async fn waiting(&self) -> Option<WaitingRequests> {
        let waiting = self.intake.waiting_dyn(&self.calls.queue, MOST_COUNTED, self.calls.clock.now()).await;
        let report = |error: &StoreError| self.observe(&Incident::Intake { call: "waiting", error });
        waiting.inspect_err(report).ok()
    }

    /// Calls the observer. A panic ends the call and nothing else.
    pub(super) fn observe(&self, incident: &Incident<'_>) {
        if let Some(observer) = &self.observer {
            drop(catch_unwind(AssertUnwindSafe(|| observer(incident))));
        }
    }
}

/// The most requests that are counted: the count reads as many rows of an index.
const MOST_COUNTED: u32 = 100_000;
