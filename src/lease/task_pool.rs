//! [`TaskPool`]: tasks that each do one piece of work after another.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// How a task does its work.
pub(crate) trait Runner: Send + Sync + 'static {
    type Work: Send + 'static;
    type Output: Send + 'static;
    /// State that a task keeps from one piece of work to the next, for example buffers.
    type Scratch: Default + Send;

    fn run(&self, work: Self::Work, scratch: &mut Self::Scratch)
    -> impl Future<Output = Self::Output> + Send;
}

/// Tasks that each do one piece of work after another. A task takes more memory than everything else that a
/// piece of work needs, so it is used for many. A pool that is dropped aborts its tasks.
pub(super) struct TaskPool<R: Runner> {
    tasks: JoinSet<()>,
    shared: Arc<Shared<R>>,
    /// The reports that are being read. It trades places with the queue's list, so that both keep their
    /// memory.
    reports: Vec<Report<R>>,
}

/// The part of a pool that its tasks share.
struct Shared<R: Runner> {
    runner: R,
    queue: Mutex<Queue<R>>,
    reported: Notify,
}

struct Queue<R: Runner> {
    reports: Vec<Report<R>>,
    /// Idle tasks, last in, first out, so that the cache is warm.
    idle: Vec<Arc<Slot<R>>>,
}

/// The number of a piece of work and its output, or `None` if its task panicked.
type Report<R> = (u64, Option<<R as Runner>::Output>);

/// The place where one task gets its next piece of work.
struct Slot<R: Runner> {
    next: Mutex<Option<(u64, R::Work)>>,
    given: Notify,
}

impl<R: Runner> TaskPool<R> {
    pub(super) fn new(runner: R) -> Self {
        let queue = Mutex::new(Queue { reports: Vec::new(), idle: Vec::new() });
        let shared = Arc::new(Shared { runner, queue, reported: Notify::new() });
        Self { tasks: JoinSet::new(), shared, reports: Vec::new() }
    }

    /// Gives a piece of work to an idle task, or to a new one.
    pub(super) fn give(&mut self, number: u64, work: R::Work) {
        let idle = self.shared.queue().idle.pop();
        if let Some(slot) = idle {
            return slot.give(number, work);
        }
        let slot = Arc::new(Slot { next: Mutex::new(Some((number, work))), given: Notify::new() });
        self.tasks.spawn(Arc::clone(&self.shared).serve(slot));
    }

    /// Waits until there are reports.
    pub(super) async fn reported(&self) {
        while self.shared.queue().reports.is_empty() {
            self.shared.reported.notified().await;
        }
    }

    /// Removes and returns the reports.
    pub(super) fn reports(&mut self) -> impl Iterator<Item = Report<R>> {
        // The set keeps the memory of a task that has ended until the task is joined.
        while self.tasks.try_join_next().is_some() {}
        std::mem::swap(&mut self.reports, &mut self.shared.queue().reports);
        self.reports.drain(..)
    }

    /// Aborts the tasks, and waits until they have ended.
    pub(super) async fn stop(&mut self) {
        self.tasks.shutdown().await;
    }
}

impl<R: Runner> Shared<R> {
    async fn serve(self: Arc<Self>, slot: Arc<Slot<R>>) {
        let mut scratch = R::Scratch::default();
        loop {
            let (number, work) = slot.next().await;
            let output = AssertUnwindSafe(self.runner.run(work, &mut scratch)).catch_unwind().await.ok();
            let is_kept = {
                let mut queue = self.queue();
                queue.reports.push((number, output));
                let is_kept = queue.idle.len() < MOST_IDLE;
                if is_kept {
                    queue.idle.push(Arc::clone(&slot));
                }
                is_kept
            };
            self.reported.notify_one();
            if !is_kept {
                return;
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<R>> {
        // Nothing panics between two writes that belong together.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Runner> Slot<R> {
    fn give(&self, number: u64, work: R::Work) {
        *self.lock() = Some((number, work));
        self.given.notify_one();
    }

    async fn next(&self) -> (u64, R::Work) {
        loop {
            let next = self.lock().take();
            match next {
                Some(next) => return next,
                None => self.given.notified().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(u64, R::Work)>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As many tasks as a dispatcher has in flight by default. Those that a burst needed beyond it end.
const MOST_IDLE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds up the work of its task; a work of zero panics.
    struct Sum;

    impl Runner for Sum {
        type Work = u64;
        type Output = u64;
        type Scratch = u64;

        async fn run(&self, work: u64, sum: &mut u64) -> u64 {
            tokio::task::yield_now().await;
            assert_ne!(work, 0, "a fault of the runner's own");
            *sum += work;
            *sum
        }
    }

    async fn next(pool: &mut TaskPool<Sum>) -> Vec<Report<Sum>> {
        pool.reported().await;
        pool.reports().collect()
    }

    #[tokio::test]
    async fn an_idle_task_gets_the_next_work_and_keeps_its_scratch_and_several_run_at_once() {
        let mut pool = TaskPool::new(Sum);
        for number in 1..=3 {
            pool.give(number, 10);
            assert_eq!(next(&mut pool).await, [(number, Some(10 * number))]);
        }
        assert_eq!(pool.tasks.len(), 1);
        (4..7).for_each(|number| pool.give(number, 1));
        assert_eq!(pool.tasks.len(), 3);
        let mut reports = 0;
        while reports < 3 {
            reports += next(&mut pool).await.len();
        }
        pool.stop().await;
        assert_eq!(pool.tasks.len(), 0);
    }

    #[tokio::test]
    async fn work_that_panics_is_reported_and_its_task_goes_on() {
        let mut pool = TaskPool::new(Sum);
        pool.give(1, 0);
        assert_eq!(next(&mut pool).await, [(1, None)]);
        pool.give(2, 5);
        assert_eq!(next(&mut pool).await, [(2, Some(5))]);
        assert_eq!(pool.tasks.len(), 1);
    }

    #[tokio::test]
    async fn tasks_beyond_those_that_may_be_idle_end_with_their_work() {
        let mut pool = TaskPool::new(Sum);
        let all = MOST_IDLE as u64 + 10;
        (0..all).for_each(|number| pool.give(number, 1));
        let mut reports = 0;
        while reports < all {
            reports += next(&mut pool).await.len() as u64;
        }
        (0..MOST_IDLE as u64).for_each(|number| pool.give(number, 1));
        // One more is new, and those that ended are joined.
        pool.give(all, 1);
        assert_eq!(pool.tasks.len(), MOST_IDLE + 1);
    }
}
