//! Checks the state at the end of a run.

use hookwire::{Attempt, DeadReason, Delivery, DeliveryId, DeliveryState};

use super::Model;

impl Model {
    /// Pending deliveries that could be sent.
    pub(crate) fn undelivered(&self) -> Vec<DeliveryId> {
        self.pending().filter(|id| self.is_open(self.rows[*id].subscription).is_some()).copied().collect()
    }

    /// Checks that every accepted event went to all its subscriptions, and that each delivery's end has a
    /// reason.
    pub(crate) fn check_end(&mut self) {
        let left = self.undelivered();
        self.expect(left.is_empty(), || format!("still pending at the end: {left:?}"));
        let attempts = self.terms.attempts() as usize;
        let mut wrong = Vec::new();
        for (id, row) in &self.rows {
            let last = row.log.last();
            let answered = |wanted: fn(u16) -> bool| {
                last.and_then(|attempt| attempt.outcome.status())
                    .is_some_and(|status| wanted(status.as_u16()))
            };
            let has_reason = match row.state {
                DeliveryState::Pending => self.is_open(row.subscription).is_none(),
                DeliveryState::Delivered => row.taken > 0 && answered(|status| (200..300).contains(&status)),
                DeliveryState::Dead(DeadReason::Exhausted) => row.log.len() == attempts,
                DeliveryState::Dead(DeadReason::Refused) => {
                    !self.terms.retries_all && answered(|status| status < 500)
                }
                DeliveryState::Dead(DeadReason::Gone) => self.terms.gone && answered(|status| status == 410),
                DeliveryState::Dead(DeadReason::Cancelled) => row.was_cancelled,
                DeliveryState::Dead(DeadReason::Replayed) => row.was_replayed,
                _ => false,
            };
            if !has_reason {
                wrong.push(format!("{id} is {} without a reason", row.state.as_str()));
            }
            if row.log.len() > attempts {
                wrong.push(format!("{id} has {} attempts, the policy {attempts}", row.log.len()));
            }
            let requests = self.holds.iter().filter(|hold| hold.delivery == *id && hold.request.is_some());
            let unsettled = self.holds.iter().filter(|hold| hold.delivery == *id && !hold.is_settled).count();
            let requests = requests.count();
            if requests > row.log.len() + unsettled + row.spared as usize {
                wrong.push(format!("{id} was sent {requests} times, logged {}", row.log.len()));
            }
            if row.arrivals as usize > requests {
                wrong.push(format!("{id} arrived {} times and was sent {requests} times", row.arrivals));
            }
        }
        for what in wrong {
            self.violated(what);
        }
        let of = |wanted: fn(&DeliveryState) -> bool| {
            self.rows.values().filter(|row| wanted(&row.state)).count() as u64
        };
        self.counts.delivered = of(|state| *state == DeliveryState::Delivered);
        self.counts.dead = of(|state| matches!(state, DeliveryState::Dead(_)));
        self.counts.left = of(|state| *state == DeliveryState::Pending);
    }

    /// Checks that the store's delivery equals the model's.
    pub(crate) fn check_stored(&mut self, id: DeliveryId, stored: Option<Delivery>, log: &[Attempt]) {
        let row = &self.rows[&id];
        let same = stored.is_some_and(|stored| {
            stored.state == row.state
                && stored.event == row.event
                && stored.subscription == row.subscription
                && stored.attempts as usize == row.log.len()
        });
        let same = same && log == row.log;
        self.expect(same, || format!("the store's account of {id} is another"));
    }
}
