//! [`Away`]: an intake whose calls fail as told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookwire::store::{
    GivenUpRequest, InboxKey, Kept, KeptRequest, Lease, RequestSettlement, Settled, StoreErrorKind, Take,
    Taken,
};
use hookwire::{Intake, StoreError};
use time::OffsetDateTime;

/// An intake whose calls fail as told, before or after they were carried out.
#[derive(Clone)]
pub(super) struct Away<I> {
    pub(super) intake: I,
    told: Arc<Mutex<Told>>,
}

#[derive(Default)]
struct Told {
    failing: Option<(&'static str, StoreErrorKind)>,
    /// How many requests and settlements of one call are too many, if any are.
    most: Option<usize>,
    /// How long the next taking takes, after it was carried out.
    delay: Duration,
    calls: Vec<&'static str>,
}

impl<I> Away<I> {
    pub(super) fn new(intake: I) -> Self {
        Self { intake, told: Arc::default() }
    }

    /// From now on this call fails so; `all` is every one.
    pub(super) fn fail(&self, call: &'static str, kind: StoreErrorKind) {
        self.told.lock().unwrap().failing = Some((call, kind));
    }

    /// From now on settlements are refused where there are more than these in a call.
    pub(super) fn refuse_more_than(&self, most: usize) {
        self.told.lock().unwrap().most = Some(most);
    }

    /// The next taking is told of so much later.
    pub(super) fn delay_next_taking(&self, delay: Duration) {
        self.told.lock().unwrap().delay = delay;
    }

    pub(super) fn come_back(&self) {
        self.told.lock().unwrap().failing = None;
    }

    /// How often this call was made.
    pub(super) fn count(&self, call: &str) -> usize {
        self.told.lock().unwrap().calls.iter().filter(|made| **made == call).count()
    }

    fn call(&self, call: &'static str, size: usize) -> Result<(), StoreError> {
        let mut told = self.told.lock().unwrap();
        told.calls.push(call);
        if told.most.is_some_and(|most| call == "settle_taken" && size > most) {
            return Err(StoreError::new(StoreErrorKind::Backend, "too many at once"));
        }
        match told.failing {
            Some((failing, kind)) if [call, "all"].contains(&failing) => Err(StoreError::new(kind, "away")),
            _ => Ok(()),
        }
    }
}

impl<I: Intake> Intake for Away<I> {
    async fn keep(&self, requests: &[KeptRequest]) -> Result<Vec<Kept>, StoreError> {
        self.call("keep", requests.len())?;
        self.intake.keep(requests).await
    }

    async fn next_due(&self, queue: &str, now: OffsetDateTime) -> Result<Option<Duration>, StoreError> {
        self.call("next_due", 0)?;
        self.intake.next_due(queue, now).await
    }

    async fn take(&self, take: &Take) -> Result<Taken, StoreError> {
        self.call("take", 0)?;
        let taken = self.intake.take(take).await;
        let delay = std::mem::take(&mut self.told.lock().unwrap().delay);
        tokio::time::sleep(delay).await;
        taken
    }

    async fn extend_taken(
        &self,
        leases: &[(InboxKey, Lease)],
        now: OffsetDateTime,
        lease: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        self.call("extend_taken", leases.len())?;
        self.intake.extend_taken(leases, now, lease).await
    }

    async fn settle_taken(&self, settlements: &[RequestSettlement]) -> Result<Vec<Settled>, StoreError> {
        self.call("settle_taken", settlements.len())?;
        self.intake.settle_taken(settlements).await
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
        now: OffsetDateTime,
        keep: Duration,
    ) -> Result<bool, StoreError> {
        self.call("close_given_up", 0)?;
        self.intake.close_given_up(key, now, keep).await
    }

    async fn prune_kept(&self, now: OffsetDateTime, limit: u32) -> Result<u64, StoreError> {
        self.call("prune_kept", 0)?;
        self.intake.prune_kept(now, limit).await
    }
}
