//! The lives of the dispatchers.

use hookwire::DeliveryId;
use tokio::time::Instant;

use super::{Model, Worker};

impl Model {
    /// A dispatcher with these limits starts on the machine with this clock.
    pub(crate) fn starts(&mut self, cap: u32, in_flight: usize, clock: usize) -> usize {
        let worker = self.workers.len();
        self.workers.push(Worker { cap, in_flight, clock, ..Worker::default() });
        self.note(|| format!("worker {worker} starts in slot {clock}, cap {cap}, {in_flight} in flight"));
        worker
    }

    pub(crate) fn stopping(&mut self, worker: usize) {
        self.note(|| format!("worker {worker} is told to stop"));
        self.workers[worker].is_stopping = true;
    }

    /// A call of this worker failed, was slow, or lost its answer.
    pub(crate) fn faulted(&mut self, worker: Option<usize>, what: impl FnOnce() -> String) {
        self.counts.store_faults += 1;
        self.note(|| format!("worker {worker:?}: {}", what()));
        if let Some(worker) = worker {
            self.workers[worker].last_fault = Some(Instant::now());
        }
    }

    /// A slow call of this worker begins, or ends.
    pub(crate) fn slow(&mut self, worker: Option<usize>, is_slow: bool) {
        if let Some(worker) = worker {
            self.workers[worker].is_slow = is_slow;
        }
    }

    pub(crate) fn refused(&mut self, id: DeliveryId) {
        self.note(|| format!("the store refuses to settle {id}"));
        if let Some(hold) = self.rows.get(&id).and_then(|row| row.hold) {
            self.holds[hold].was_refused = true;
        }
    }

    pub(crate) fn jumped(&mut self, what: impl FnOnce() -> String) {
        self.counts.jumps += 1;
        self.note(what);
        self.last_jump = Some(Instant::now());
    }

    pub(crate) fn over(&mut self, worker: usize, how: &str) {
        self.note(|| format!("worker {worker} {how}"));
        self.workers[worker].is_over = true;
    }

    /// A worker has stopped. If its store worked, it must leave no lease that others would have to wait for.
    pub(crate) fn stopped(&mut self, worker: usize, since: Instant) {
        self.over(worker, "has stopped");
        if self.workers[worker].last_fault.is_some_and(|fault| fault >= since) {
            return;
        }
        let kept: Vec<_> = self
            .pending()
            .filter(|id| {
                self.rows[*id].hold.map(|hold| &self.holds[hold]).is_some_and(|hold| {
                    hold.worker == worker && !hold.is_settled && hold.answered.is_some() && !hold.was_refused
                })
            })
            .filter(|id| {
                // A delivery whose settlement was given up because of a fault is fine.
                let hold = &self.holds[self.rows[*id].hold.expect("filtered above")];
                self.workers[worker].last_fault.is_none_or(|fault| fault < hold.renewed)
            })
            .copied()
            .collect();
        self.expect(kept.is_empty(), || format!("worker {worker} has stopped and keeps {kept:?}"));
    }
}
