//! [`Signal`]: tells tasks of the same process that something happened, such as that a request was stored.

use std::future::poll_fn;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Tells waiting tasks that something happened, on any runtime.
///
/// Signals are counted, so a task also learns of those that were given while it did not wait.
#[derive(Debug, Default)]
pub(super) struct Signal(Mutex<Given>);

#[derive(Debug, Default)]
struct Given {
    times: u64,
    waiting: Vec<Waker>,
}

impl Signal {
    pub(super) fn give(&self) {
        let waiting = {
            let mut given = self.lock();
            given.times += 1;
            mem::take(&mut given.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Ready when the signal was given more often than `times`, with how often.
    pub(super) async fn given_since(&self, times: u64) -> u64 {
        poll_fn(|context| {
            let mut given = self.lock();
            if given.times > times {
                return Poll::Ready(given.times);
            }
            if !given.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                given.waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Given> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
