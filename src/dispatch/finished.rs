//! [`Finished`]: a delivery whose attempt has ended.

use std::time::Duration;

use crate::delivery::{Attempt, Next};
use crate::dispatch::fault::{Fault, FaultEvent, FaultScope};
use crate::dispatch::scheduling::{End, Scheduler};
use crate::id::SubscriptionId;
use crate::lease::Asked;
use crate::outcome::Outcome;
use crate::store::{Leased, Settlement};

/// A delivery whose attempt has ended, or that is handed back untried.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) settlement: Settlement,
    /// `None` where its row could not be read, and where it is handed back.
    pub(super) claimed: Option<Leased>,
    /// Whether the attempt before it in this process failed.
    pub(super) was_failing: bool,
    pub(super) asked: Asked,
    /// The fault on this side that it met.
    pub(super) report: Option<Report>,
}

/// A fault on this side, as observer and metrics are told of it.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) fault: Fault,
    subscription: Option<SubscriptionId>,
    /// How soon the delivery is due again, where it is handed back.
    pub(super) due_in: Option<Duration>,
}

impl Report {
    #[expect(clippy::unnecessary_wraps, reason = "callers set it in a place that is seldom used")]
    pub(super) const fn new(
        fault: Fault,
        subscription: Option<SubscriptionId>,
        due_in: Option<Duration>,
    ) -> Option<Self> {
        Some(Self { fault, subscription, due_in })
    }
}

impl Finished {
    pub(super) fn new(settlement: Settlement, claimed: Option<Leased>) -> Self {
        Self { settlement, claimed, was_failing: false, asked: Asked::default(), report: None }
    }

    /// Reports its end to the scheduler. That frees its slot before it is settled, so that a claim beside its
    /// settlement may use it.
    pub(super) fn leave(&mut self, scheduler: &mut Scheduler) {
        let Some(claimed) = &self.claimed else { return };
        self.was_failing = scheduler.is_failing(claimed.subscription.id);
        let now = self.settlement.now;
        scheduler.ended(claimed.subscription.id, now, self.end());
        if let Some((subscription, wait)) = self.kept_back() {
            scheduler.keep_back(subscription, now + wait, now);
        }
    }

    /// The subscription of which nothing more is to be claimed for a while, and how long.
    pub(super) fn kept_back(&self) -> Option<(SubscriptionId, Duration)> {
        let report = self.report.as_ref()?;
        let is_its_own = report.fault.scope == FaultScope::Subscription;
        report.subscription.zip(report.due_in).filter(|_| is_its_own)
    }

    /// The fault on this side, as the observer hears of it.
    pub(super) fn fault_event(&self) -> Option<FaultEvent<'_>> {
        let Report { fault, subscription, due_in } = self.report.as_ref()?;
        Some(FaultEvent {
            delivery: self.settlement.key,
            subscription: *subscription,
            scope: fault.scope,
            kind: fault.kind,
            reason: &fault.reason,
            due_in: *due_in,
        })
    }

    /// The subscription, if its next delivery of the same ordering key may be due now.
    pub(super) fn lets_another_go(&self) -> Option<SubscriptionId> {
        let is_over = !matches!(self.settlement.next, Next::Retry { .. });
        let claimed = self.claimed.as_ref().filter(|claimed| claimed.is_ordered && is_over);
        claimed.map(|claimed| claimed.subscription.id)
    }

    /// The subscription, and how long until the delivery is attempted again, if it is.
    pub(super) fn retries_after(&self) -> Option<(SubscriptionId, Duration)> {
        let Next::Retry { after, .. } = self.settlement.next else { return None };
        self.claimed.as_ref().map(|claimed| (claimed.subscription.id, after))
    }

    fn end(&self) -> End {
        match self.settlement.log() {
            Some(Attempt { outcome: Outcome::Answered { .. }, duration, .. }) => End::Answered {
                held: *duration,
                is_delivered: self.settlement.next == Next::Done,
                pause: self.settlement.pause(),
            },
            Some(attempt) if !is_ours(&attempt.outcome) => End::Silent,
            _ => End::Ours,
        }
    }
}

/// Whether the fault is on this side.
pub(super) fn is_ours(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(class) if class.is_ours())
}
