//! [`Away`]: an intake with calls that fail on demand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookwire::store::implement::Settled;
use hookwire::store::implement::{RequestAttempt, Settlement};
use hookwire::store::{
    GivenUpRequest, InboxKey, Lease, LeaseRequests, LeasedRequests, StoreErrorKind, Stored, StoredRequest,
    WaitingRequests,
};
use hookwire::{Intake, StoreError};
use time::OffsetDateTime;

/// An intake with calls that fail on demand, before or after they take effect.
#[derive(Clone)]
pub(super) struct Away<I> {
    pub(super) intake: I,
    told: Arc<Mutex<Told>>,
}

#[derive(Default)]
struct Told {
    failing: Option<(&'static str, StoreErrorKind)>,
    /// The number of items from which a call is refused.
    most: Option<usize>,
    /// Whether the answer to the next settlement is lost.
    loses_answer: bool,
    /// The delay of the next lease call's answer.
    delay: Duration,
    calls: Vec<&'static str>,
}

impl<I> Away<I> {
    pub(super) fn new(intake: I) -> Self {
        Self { intake, told: Arc::default() }
    }

    /// Lets this call fail from now on; `all` means every call.
    pub(super) fn fail(&self, call: &'static str, kind: StoreErrorKind) {
        self.told.lock().unwrap().failing = Some((call, kind));
    }

    /// Refuses settlements from now on if a call has more of them than this.
    pub(super) fn refuse_more_than(&self, most: usize) {
        self.told.lock().unwrap().most = Some(most);
    }

    /// Delays the answer to the next lease call.
    pub(super) fn delay_next_taking(&self, delay: Duration) {
        self.told.lock().unwrap().delay = delay;
    }

    /// Lets the next settlement be written and return an error.
    pub(super) fn lose_next_answer(&self) {
        self.told.lock().unwrap().loses_answer = true;
    }

    pub(super) fn come_back(&self) {
        self.told.lock().unwrap().failing = None;
    }

    /// The number of calls of this kind.
    pub(super) fn count(&self, call: &str) -> usize {
        self.told.lock().unwrap().calls.iter().filter(|made| **made == call).count()
    }

    fn call(&self, call: &'static str, size: usize) -> Result<(), StoreError> {
        let mut told = self.told.lock().unwrap();
        told.calls.push(call);
        if told.most.is_some_and(|most| call == "settle_requests" && size > most) {
            return Err(StoreError::new(StoreErrorKind::Backend, "too many at once"));
        }
        match told.failing {
            Some((failing, kind)) if [call, "all"].contains(&failing) => Err(StoreError::new(kind, "away")),
            _ => Ok(()),
        }
    }
}

impl<I: Intake> Intake for Away<I> {
    async fn store_requests(&self, requests: &[StoredRequest]) -> Result<Vec<Stored>, StoreError> {
        self.call("store_requests", requests.len())?;
        self.intake.store_requests(requests).await
    }

    async fn next_due(&self, queue: &str, now: OffsetDateTime) -> Result<Option<Duration>, StoreError> {
        self.call("next_due", 0)?;
        self.intake.next_due(queue, now).await
    }

    async fn waiting(
        &self,
        queue: &str,
        limit: u32,
        now: OffsetDateTime,
    ) -> Result<WaitingRequests, StoreError> {
        self.intake.waiting(queue, limit, now).await
    }

    async fn lease_requests(&self, take: &LeaseRequests) -> Result<LeasedRequests, StoreError> {
        self.call("lease_requests", 0)?;
        let taken = self.intake.lease_requests(take).await;
        let delay = std::mem::take(&mut self.told.lock().unwrap().delay);
        tokio::time::sleep(delay).await;
        taken
    }

    async fn extend_requests(
        &self,
        leases: &[(InboxKey, Lease)],
        lease: Duration,
        now: OffsetDateTime,
    ) -> Result<Vec<Settled>, StoreError> {
        self.call("extend_requests", leases.len())?;
        self.intake.extend_requests(leases, lease, now).await
    }

    async fn settle_requests(
        &self,
        settlements: &[Settlement<InboxKey, RequestAttempt>],
        keep: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        self.call("settle_requests", settlements.len())?;
        let settled = self.intake.settle_requests(settlements, keep).await;
        if std::mem::take(&mut self.told.lock().unwrap().loses_answer) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "away"));
        }
        settled
    }

    async fn given_up(
        &self,
        queue: &str,
        after: Option<&InboxKey>,
        limit: u32,
    ) -> Result<Vec<GivenUpRequest>, StoreError> {
        self.call("given_up", 0)?;
        self.intake.given_up(queue, after, limit).await
    }

    async fn put_back(&self, key: &InboxKey, now: OffsetDateTime) -> Result<bool, StoreError> {
        self.call("put_back", 0)?;
        self.intake.put_back(key, now).await
    }

    async fn close_given_up(
        &self,
        key: &InboxKey,
        keep: Duration,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        self.call("close_given_up", 0)?;
        self.intake.close_given_up(key, keep, now).await
    }

    async fn expire_given_up(
        &self,
        queue: &str,
        age: Duration,
        keep: Duration,
        limit: u32,
        now: OffsetDateTime,
    ) -> Result<Vec<InboxKey>, StoreError> {
        self.call("expire_given_up", 0)?;
        self.intake.expire_given_up(queue, age, keep, limit, now).await
    }

    async fn prune_done(&self, limit: u32, now: OffsetDateTime) -> Result<u64, StoreError> {
        self.call("prune_done", 0)?;
        self.intake.prune_done(limit, now).await
    }
}
