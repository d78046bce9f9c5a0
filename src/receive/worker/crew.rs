//! [`Crew`]: the tasks of a worker, what they hold and what came of it.

use std::collections::HashMap;

use tokio::task::{Id, JoinError, JoinSet};

use crate::store::{InboxKey, Lease, RequestSettlement};

/// An attempt that ended, and what is to be written of it.
pub(super) struct Ended {
    pub(super) settlement: RequestSettlement,
    pub(super) attempt: u32,
}

/// The tasks of a worker, and what of theirs is to be written.
#[derive(Default)]
pub(super) struct Crew {
    pub(super) tasks: JoinSet<Vec<Ended>>,
    /// What each task holds.
    leases: HashMap<Id, Vec<(InboxKey, Lease)>>,
    pub(super) ended: Vec<Ended>,
}

impl Crew {
    pub(super) fn begin(
        &mut self,
        held: Vec<(InboxKey, Lease)>,
        task: impl Future<Output = Vec<Ended>> + Send + 'static,
    ) {
        self.leases.insert(self.tasks.spawn(task).id(), held);
    }

    /// How many more tasks there may be. What is not written down yet takes the room of its tasks, so that a store that is away is
    /// not asked for ever more.
    pub(super) fn room(&self, most: usize, batch: usize) -> usize {
        most.saturating_sub(self.tasks.len() + self.ended.len().div_ceil(batch))
    }

    /// One that was aborted keeps its leases here, to be handed back. One whose task panicked, by a clock of the application's own,
    /// has them no longer: they end by themselves.
    pub(super) fn end(&mut self, ended: Option<Result<(Id, Vec<Ended>), JoinError>>) {
        match ended {
            Some(Ok((id, ended))) => {
                self.leases.remove(&id);
                self.ended.extend(ended);
            }
            Some(Err(error)) if error.is_panic() => _ = self.leases.remove(&error.id()),
            _ => {}
        }
    }

    /// Gathers what has ended by now, so that it is settled together.
    pub(super) fn gather(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.end(Some(ended));
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.leases.is_empty()
    }

    /// What is held, in an order that does not change from run to run.
    pub(super) fn held(&self) -> Vec<(InboxKey, Lease)> {
        let mut held: Vec<_> = self.leases.values().flatten().cloned().collect();
        held.sort_unstable();
        held
    }

    pub(super) fn forget_leases(&mut self) {
        self.leases.clear();
    }
}
