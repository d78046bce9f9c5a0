//! [`Waiting`]: parts of callers' writes that wait to be written together.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::store::{StoreError, StoreErrorKind};

/// Parts that wait while others are written, and whether a task is writing.
///
/// A commit waits for a disk or for a network. The parts that arrive meanwhile share the next commit.
///
/// If no task is writing, the next caller spawns one. A task, because a caller's future may be dropped while
/// other callers' writes are in the batch.
#[derive(Debug)]
pub(in crate::store) struct Waiting<P>(Mutex<State<P>>);

#[derive(Debug)]
struct State<P> {
    parts: VecDeque<(u64, P)>,
    is_served: bool,
    last_number: u64,
}

/// The write of one caller.
pub(in crate::store) trait Part {
    /// Returns the number of rows that it writes.
    fn rows(&self) -> usize;

    /// Returns whether its caller is still waiting.
    fn is_wanted(&self) -> bool;
}

/// Sends the result of a part to the caller that waits for it.
pub(in crate::store) type ReplySender<T> = oneshot::Sender<Result<T, StoreError>>;

impl<P> Waiting<P> {
    pub(in crate::store) const fn new() -> Self {
        Self(Mutex::new(State { parts: VecDeque::new(), is_served: false, last_number: 0 }))
    }

    /// Adds a part. Returns its number, and whether the caller has to start the writing task.
    pub(in crate::store) fn join(&self, part: P) -> (u64, bool) {
        let mut state = self.state();
        state.last_number += 1;
        let number = state.last_number;
        state.parts.push_back((number, part));
        (number, !std::mem::replace(&mut state.is_served, true))
    }

    /// Removes a waiting part; returns false if it was taken already.
    #[cfg(feature = "sqlite")]
    pub(in crate::store) fn withdraw(&self, number: u64) -> bool {
        let mut state = self.state();
        let place = state.parts.iter().position(|(waits, _)| *waits == number);
        place.and_then(|place| state.parts.remove(place)).is_some()
    }

    /// Takes the parts of the next transaction. It stops after `MOST_ROWS` rows, so that the first caller
    /// does not wait long, and drops the parts of callers that stopped waiting.
    pub(in crate::store) fn take(&self) -> Vec<P>
    where
        P: Part,
    {
        let mut state = self.state();
        let mut parts = Vec::new();
        let mut rows = 0;
        while rows < MOST_ROWS
            && let Some((_, part)) = state.parts.pop_front()
        {
            if part.is_wanted() {
                rows += part.rows();
                parts.push(part);
            }
        }
        parts
    }

    fn state(&self) -> MutexGuard<'_, State<P>> {
        // Nothing panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks the writing task. If it is dropped early, waiting callers get an error, and the next caller starts a
/// new task.
#[derive(Debug)]
pub(in crate::store) struct Serving<'a, P> {
    waiting: &'a Waiting<P>,
    is_over: bool,
}

impl<'a, P> Serving<'a, P> {
    pub(in crate::store) const fn new(waiting: &'a Waiting<P>) -> Self {
        Self { waiting, is_over: false }
    }

    /// Returns whether a part is waiting. If not, the next caller starts a task.
    pub(in crate::store) fn goes_on(&mut self) -> bool {
        let mut state = self.waiting.state();
        if state.parts.is_empty() {
            state.is_served = false;
            self.is_over = true;
        }
        !self.is_over
    }
}

impl<P> Drop for Serving<'_, P> {
    fn drop(&mut self) {
        if !self.is_over {
            let mut state = self.waiting.state();
            state.is_served = false;
            state.parts.clear();
        }
    }
}

/// Returns the error of a caller whose part was dropped without a result.
pub(in crate::store) fn runtime_ended() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the tokio runtime shut down before the write was committed")
}

/// The number of rows after which a transaction takes no more parts.
const MOST_ROWS: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    struct Rows(usize, ReplySender<()>);

    impl Part for Rows {
        fn rows(&self) -> usize {
            self.0
        }

        fn is_wanted(&self) -> bool {
            !self.1.is_closed()
        }
    }

    #[test]
    fn whoever_comes_first_serves_until_nobody_waits() {
        let waiting = Waiting::new();
        let (mut replies, mut told): (Vec<_>, Vec<_>) = (0..3).map(|_| oneshot::channel()).unzip();
        assert!(waiting.join(Rows(1, replies.remove(0))).1);
        assert!(!waiting.join(Rows(1, replies.remove(0))).1);
        let mut serving = Serving::new(&waiting);
        assert!(serving.goes_on());
        drop(told.remove(0));
        assert_eq!(waiting.take().len(), 1, "the first waits no longer");
        assert!(!serving.goes_on());
        assert!(waiting.join(Rows(1, replies.remove(0))).1);
    }

    #[test]
    fn no_more_than_a_few_thousand_rows_are_taken_at_once() {
        let waiting = Waiting::new();
        let (replies, _told): (Vec<_>, Vec<_>) = (0..10).map(|_| oneshot::channel()).unzip();
        replies.into_iter().for_each(|reply| _ = waiting.join(Rows(999, reply)));
        assert_eq!(waiting.take().len(), 3);
        assert_eq!(waiting.take().len(), 3);
    }

    #[test]
    fn service_that_ends_too_early_is_told_and_taken_up_by_the_next() {
        let waiting = Waiting::new();
        let (reply, mut told) = oneshot::channel();
        waiting.join(Rows(1, reply));
        drop(Serving::new(&waiting));
        assert_eq!(told.try_recv().unwrap_err(), oneshot::error::TryRecvError::Closed);
        assert!(waiting.join(Rows(1, oneshot::channel().0)).1);
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn a_part_that_was_taken_cannot_be_withdrawn() {
        let waiting = Waiting::new();
        let (replies, _told): (Vec<_>, Vec<_>) = (0..2).map(|_| oneshot::channel()).unzip();
        let numbers: Vec<_> = replies.into_iter().map(|reply| waiting.join(Rows(2_000, reply)).0).collect();
        assert_eq!(waiting.take().len(), 1);
        assert!(!waiting.withdraw(numbers[0]));
        assert!(waiting.withdraw(numbers[1]));
        assert!(waiting.take().is_empty());
    }
}
