//! [`Finish`]: a future that finishes in a task of its own if it is dropped while it handles an event.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;

thread_local! {
    /// Whether the future that is being polled on this thread has to finish. A flag in an `Arc` would cost
    /// every request an allocation.
    static HAS_TO_FINISH: Cell<bool> = const { Cell::new(false) };
}

/// Marks the [`Finish`] that is being polled: from here on, it finishes even if it is dropped.
pub(in crate::receive) fn has_to_finish() {
    HAS_TO_FINISH.set(true);
}

/// A future that finishes in a task of its own if it is dropped after it called [`has_to_finish`], as a
/// server drops it when the sender hangs up.
///
/// A handler that is dropped half-way leaves its event reserved until the lease ends. A sender that retries
/// for a shorter time (Nectar Desk, 7 s) would be refused each time.
pub(in crate::receive) struct Finish<F: Future<Output: Send> + Send + 'static> {
    future: Option<Pin<Box<F>>>,
    has_to_finish: bool,
    lease: Duration,
}

impl<F: Future<Output: Send> + Send + 'static> Finish<F> {
    pub(in crate::receive) fn new(lease: Duration, future: F) -> Self {
        Self { future: Some(Box::pin(future)), has_to_finish: false, lease }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for Finish<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // Taken out while it is polled: a future that panics is not polled again.
        let mut future = self.future.take().expect("invariant: a future is not polled after its end");
        let outer = HAS_TO_FINISH.replace(self.has_to_finish);
        let polled = future.as_mut().poll(context);
        self.has_to_finish = HAS_TO_FINISH.replace(outer);
        if polled.is_pending() {
            self.future = Some(future);
        }
        polled
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Finish<F> {
    fn drop(&mut self) {
        let Some(future) = self.future.take().filter(|_| self.has_to_finish) else { return };
        if let Ok(runtime) = Handle::try_current() {
            // When the lease has ended, another copy may be handled, so there is no use in going on.
            let lease = self.lease;
            runtime.spawn(async move { drop(timeout(lease, future).await) });
        }
    }
}
