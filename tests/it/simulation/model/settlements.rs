//! Checks settlements and their effect on deliveries.

use std::time::Duration;

use hookwire::delivery::Next;
use hookwire::store::implement::{Settled, Settlement};
use hookwire::{Attempt, DeadReason, DeliveryState, DisabledReason, SubscriptionStatus};
use tokio::time::Instant;

use super::{Hold, Model, Request};
use crate::simulation::terms::{End, Verdict};

impl Model {
    pub(crate) fn settled(&mut self, worker: usize, settlements: &[Settlement], answers: &[Settled]) {
        self.expect(settlements.len() == answers.len(), || "a settlement answered for others".to_owned());
        for (settlement, answer) in settlements.iter().zip(answers) {
            let id = settlement.key;
            let held = self.holding(id, settlement.lease);
            self.note(|| {
                format!(
                    "worker {worker} settles {id} {:?} {:?} -> {answer:?}",
                    settlement.lease, settlement.next
                )
            });
            self.expect((*answer == Settled::Done) == held.is_some(), || {
                format!("{id} was settled under {:?} -> {answer:?}", settlement.lease)
            });
            match held {
                Some(hold) => self.settled_one(worker, settlement, hold),
                None => self.counts.stale += 1,
            }
        }
    }

    fn settled_one(&mut self, worker: usize, settlement: &Settlement, hold: usize) {
        let id = settlement.key;
        self.holds[hold].is_settled = true;
        // It may not be sent under this lease any more.
        self.workers[worker].open.remove(&hold);
        let now = settlement.now;
        let subscription = self.rows[&id].subscription;
        match settlement.log() {
            Some(attempt) => {
                self.judge(settlement, attempt, hold);
                let row = self.rows.get_mut(&id).expect("it is held");
                row.log.push(attempt.clone());
                let (at, after) =
                    match (self.holds[hold].request.and_then(|request| request.ended), settlement.next) {
                        (Some((_, at, _)), Next::Retry { after, .. }) => (at, after),
                        _ => (Instant::now(), Duration::ZERO),
                    };
                row.last_end = Some((at, after));
            }
            None => {
                self.counts.handed_back += 1;
                self.rows.get_mut(&id).expect("it is held").spared += 1;
                let Hold { is_late, is_kept_back, is_given, answered, .. } = self.holds[hold];
                let Next::Retry { after, .. } = settlement.next else {
                    return self.violated(format!("{id} was handed back and becomes {:?}", settlement.next));
                };
                let (second, five_minutes) = (Duration::from_secs(1), Duration::from_secs(300));
                let fits = match (is_kept_back, is_late) {
                    (true, _) => (second..=five_minutes).contains(&after),
                    (false, true) => after == second,
                    // It stops, or the answer of an insert was lost.
                    (false, false) => {
                        let is_lost = answered.is_none();
                        // A call of the store may keep one that was given until its lease has ended.
                        let is_overdue = is_given && after == second;
                        is_overdue || (is_lost || self.workers[worker].is_stopping) && after.is_zero()
                    }
                };
                self.expect(fits, || {
                    format!("{id} was handed back for {after:?} by worker {worker}, which runs on")
                });
            }
        }
        let row = self.rows.get_mut(&id).expect("it is held");
        row.late = if row.log.is_empty() { Duration::ZERO } else { row.late + settlement.late };
        match settlement.next {
            Next::Done => {
                self.subscriptions.get_mut(&subscription).expect("it was made").last_success =
                    Some(Instant::now());
                self.ended(id, DeliveryState::Delivered, now);
            }
            Next::Dead { reason, .. } => self.ended(id, DeliveryState::Dead(reason), now),
            Next::Retry { after, .. } => self.rows.get_mut(&id).expect("it is held").due = now + after,
            _ => self.violated(format!("{id} becomes something new: {:?}", settlement.next)),
        }
        let sub = self.subscriptions.get_mut(&subscription).expect("it was made");
        if let Some(pause) = settlement.pause() {
            sub.paused_until = sub.paused_until.max(Some(now + pause));
        }
        if let Some(reason) = settlement.disable().filter(|_| sub.status == SubscriptionStatus::Enabled) {
            sub.status = SubscriptionStatus::disabled(reason, now);
            self.counts.disabled += 1;
        }
    }

    /// Checks that the attempt reports the endpoint's behaviour, and that the next state follows from the
    /// terms.
    fn judge(&mut self, settlement: &Settlement, attempt: &Attempt, hold: usize) {
        let id = settlement.key;
        let Hold { is_unreadable, request, attempt: number, .. } = self.holds[hold];
        let end = match (is_unreadable, request) {
            (true, None) => End::Failed,
            (false, Some(Request { began_at, ended: Some((ended_at, _, end)), .. })) => {
                if (attempt.started_at, settlement.now) != (began_at, ended_at) {
                    let what = format!(
                        "{id} was attempted from {began_at} to {ended_at}, logged are {} and {}",
                        attempt.started_at, settlement.now
                    );
                    self.violated(what);
                }
                end
            }
            _ => return self.violated(format!("{id} has an attempt settled that was not made")),
        };
        let status = match end {
            End::Answered { status, .. } => Some(status),
            End::Failed => None,
        };
        let logged = attempt.outcome.status().map(|status| status.as_u16());
        self.expect(logged == status && attempt.number == number, || {
            format!(
                "{id} logged attempt {} with {logged:?}, expected {number} with {status:?}",
                attempt.number
            )
        });
        let verdict = self.terms.verdict(number, end);
        let fits = match (&verdict, settlement.next) {
            (Verdict::Delivered, Next::Done)
            | (Verdict::Gone, Next::Dead { reason: DeadReason::Gone, .. })
            | (Verdict::Refused, Next::Dead { reason: DeadReason::Refused, .. })
            | (Verdict::Exhausted, Next::Dead { reason: DeadReason::Exhausted, .. }) => {
                settlement.pause().is_none()
            }
            (Verdict::Retry { low, high, pause }, Next::Retry { after, .. }) => {
                (*low..=*high).contains(&after) && settlement.pause() == *pause
            }
            _ => false,
        };
        let disables = (verdict == Verdict::Gone).then_some(DisabledReason::Gone);
        self.expect(fits && settlement.disable() == disables, || {
            format!(
                "{id}, attempt {number} ended {end:?}, settled {:?} with pause {:?} and {:?}, expected {verdict:?}",
                settlement.next, settlement.pause(), settlement.disable()
            )
        });
    }
}
