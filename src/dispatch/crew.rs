//! [`Crew`]: tasks that carry out attempts, one after another.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use http::HeaderMap;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::dispatch::attempt::{Ended, Sender};
use crate::dispatch::clock::{AttemptTime, SharedClock};
use crate::dispatch::flight::Leased;
use crate::store::Claimed;

/// Tasks that carry out attempts, each one at a time and then the next that it is given. A task takes more memory than all else that
/// an attempt needs, and is made once for many of them. Dropped, a crew ends its tasks.
pub(super) struct Crew {
    tasks: JoinSet<()>,
    office: Arc<Office>,
    /// Room for reports, while those that were gathered last are read.
    gathered: Vec<Report>,
}

/// What the tasks share.
struct Office {
    sender: Arc<Sender>,
    time: AttemptTime,
    desk: Mutex<Desk>,
    reported: Notify,
}

#[derive(Default)]
struct Desk {
    reports: Vec<Report>,
    /// Who has nothing to do. Who reported last is given the next attempt, while its memory is still in the cache.
    idle: Vec<Arc<Courier>>,
}

/// What was attempted, and how it ended; nothing when its task panicked.
type Report = (Leased, Option<Ended>);

/// Where one task is given its next attempt.
#[derive(Default)]
struct Courier {
    next: Mutex<Option<Claimed>>,
    given: Notify,
}

impl Crew {
    pub(super) fn new(sender: &Arc<Sender>, clock: &SharedClock) -> Self {
        let office = Office {
            sender: Arc::clone(sender),
            time: AttemptTime::Running(clock.clone()),
            desk: Mutex::default(),
            reported: Notify::new(),
        };
        Self { tasks: JoinSet::new(), office: Arc::new(office), gathered: Vec::new() }
    }

    /// Has a delivery attempted.
    pub(super) fn give(&mut self, claimed: Claimed) {
        let idle = self.office.desk().idle.pop();
        if let Some(courier) = idle {
            return courier.give(claimed);
        }
        // Those that were sent home.
        while self.tasks.try_join_next().is_some() {}
        let courier = Arc::new(Courier::default());
        courier.give(claimed);
        self.tasks.spawn(Arc::clone(&self.office).employ(courier));
    }

    /// Ready when an attempt has ended that was not gathered.
    pub(super) async fn reported(&self) {
        while self.office.desk().reports.is_empty() {
            self.office.reported.notified().await;
        }
    }

    /// What has ended by now.
    pub(super) fn gather(&mut self) -> impl Iterator<Item = Report> {
        std::mem::swap(&mut self.gathered, &mut self.office.desk().reports);
        self.gathered.drain(..)
    }

    /// Gives up what is under way. Ready when nothing of it is any longer.
    pub(super) async fn stop(&mut self) {
        self.tasks.shutdown().await;
    }
}

impl Office {
    async fn employ(self: Arc<Self>, courier: Arc<Courier>) {
        let mut headers = HeaderMap::new();
        loop {
            let claimed = courier.next().await;
            let leased = Leased::of(&claimed);
            // What is not caught within the attempt: a clock of the application's own may panic.
            let attempt =
                AssertUnwindSafe(self.sender.attempt(claimed, &self.time, &mut headers)).catch_unwind();
            let report = (leased, attempt.await.ok());
            let mut desk = self.desk();
            desk.reports.push(report);
            let is_kept = desk.idle.len() < MOST_IDLE;
            if is_kept {
                desk.idle.push(Arc::clone(&courier));
            }
            drop(desk);
            self.reported.notify_one();
            if !is_kept {
                return;
            }
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // Nothing panics between two writes that belong together.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Courier {
    fn give(&self, claimed: Claimed) {
        *self.mailbox() = Some(claimed);
        self.given.notify_one();
    }

    async fn next(&self) -> Claimed {
        loop {
            let next = self.mailbox().take();
            match next {
                Some(claimed) => return claimed,
                None => self.given.notified().await,
            }
        }
    }

    fn mailbox(&self) -> MutexGuard<'_, Option<Claimed>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As many as a dispatcher has in flight unless told otherwise; what a burst needed beyond it is given back.
const MOST_IDLE: usize = 256;
