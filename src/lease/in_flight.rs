//! [`InFlight`]: work that was started, and rows that wait to be settled.

use std::collections::HashMap;
use std::time::Duration;

use super::source::{Claimed, Given, Source};
use super::task_pool::{Runner, TaskPool};
use crate::id_hash::IdHash;

/// Work that was started, and rows that wait to be settled.
pub(super) struct InFlight<'a, S: Source> {
    source: &'a S,
    tasks: TaskPool<S::Runner>,
    /// The leases of the work in flight, by its number. One row may be in flight twice, if its lease ended
    /// too early.
    held: HashMap<u64, S::Held, IdHash>,
    started: u64,
    pub(super) finished: Vec<S::Finished>,
}

impl<'a, S: Source> InFlight<'a, S> {
    pub(super) fn new(source: &'a S) -> Self {
        let tasks = TaskPool::new(source.runner());
        Self { source, tasks, held: HashMap::default(), started: 0, finished: Vec::new() }
    }

    pub(super) fn lease(&self) -> Duration {
        self.source.settings().lease
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Returns the leases of the work in flight, in the order in which it was started.
    pub(super) fn held(&self) -> Vec<&S::Held> {
        let mut held: Vec<_> = self.held.iter().collect();
        held.sort_unstable_by_key(|(number, _)| **number);
        held.into_iter().map(|(_, held)| held).collect()
    }

    /// Starts claimed work. Work whose lease has ended is handed back, because another process may have
    /// claimed it.
    pub(super) fn start(&mut self, claimed: Claimed<S>, has_ended: bool) {
        self.finished.extend(claimed.finished);
        self.start_work(claimed.work, has_ended);
    }

    /// Starts work that was leased outside of a claim, or hands it back where its lease has ended.
    pub(super) fn start_given(&mut self, given: Vec<GivenTo<S>>) {
        let lease = self.lease();
        for Given { work, asked } in given {
            self.start_work(work, asked.elapsed() >= lease);
        }
    }

    /// Hands back work that was leased outside of a claim.
    pub(super) fn return_given(&mut self, given: Vec<GivenTo<S>>) {
        let work = given.iter().flat_map(|given| &given.work);
        let held = work.map(|work| S::held(work));
        self.finished.extend(held.flat_map(|held| self.source.hand_back(held, Duration::ZERO)));
    }

    fn start_work(&mut self, all: Vec<<S::Runner as Runner>::Work>, has_ended: bool) {
        for work in all {
            let held = S::held(&work);
            if has_ended {
                self.finished.extend(self.source.hand_back(held, STORE_IS_SLOW));
                continue;
            }
            self.started += 1;
            self.held.insert(self.started, held);
            self.tasks.give(self.started, work);
        }
    }

    /// Waits until work has ended that was not collected.
    pub(super) async fn reported(&self) {
        self.tasks.reported().await;
    }

    /// Collects all work that has ended, so that it is settled together. Rows of a task that panicked are not
    /// settled: they are due again when their leases end.
    pub(super) fn collect(&mut self) {
        let first = self.finished.len();
        for (number, output) in self.tasks.reports() {
            let held = self.held.remove(&number);
            match (output, held) {
                (Some(output), _) => self.finished.extend(output),
                (None, held) => held.iter().for_each(|held| self.source.lost(held)),
            }
        }
        self.source.collected(&mut self.finished[first..], self.held.len());
    }

    /// Aborts the work in flight, and waits until it has ended.
    pub(super) async fn stop(&mut self) {
        self.tasks.stop().await;
    }

    /// Hands back the work that is still in flight.
    pub(super) fn hand_back(&mut self) {
        let mut held: Vec<_> = self.held.drain().collect();
        held.sort_unstable_by_key(|(number, _)| *number);
        self.finished
            .extend(held.into_iter().flat_map(|(_, held)| self.source.hand_back(held, Duration::ZERO)));
    }
}

impl<S: Source> Drop for InFlight<'_, S> {
    fn drop(&mut self) {
        self.held.values().for_each(|held| self.source.lost(held));
    }
}

/// Work that was given to this source's runner.
pub(super) type GivenTo<S> = Given<<<S as Source>::Runner as Runner>::Work>;

/// How long rows wait that a store took longer to lease than the lease lasts, so that they are not leased
/// again and again.
const STORE_IS_SLOW: Duration = Duration::from_secs(1);
