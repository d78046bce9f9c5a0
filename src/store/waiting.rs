//! [`Waiting`]: parts of callers' writes that wait to be written together.
#![cfg(any(feature = "postgres", feature = "sqlite"))]

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::{StoreError, StoreErrorKind};

/// Parts that wait while others are written, and whether somebody serves them.
///
/// A commit waits for a disk or for a network, and while it does more callers come; the next is for all of them. Whoever comes
/// when nobody serves has to see to it: in a task, because a caller's future may be dropped, and others' parts are written along.
#[derive(Debug)]
pub(super) struct Waiting<P>(Mutex<State<P>>);

#[derive(Debug)]
struct State<P> {
    parts: VecDeque<(u64, P)>,
    is_served: bool,
    last_number: u64,
}

/// What one caller wants written.
pub(super) trait Part {
    /// How much it is.
    fn rows(&self) -> usize;

    /// Whether its caller still waits.
    fn is_wanted(&self) -> bool;
}

/// Where a caller waits for what became of its part.
pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

impl<P> Waiting<P> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(State { parts: VecDeque::new(), is_served: false, last_number: 0 }))
    }

    /// The part's number, and whether the caller has to serve.
    pub(super) fn join(&self, part: P) -> (u64, bool) {
        let mut state = self.state();
        state.last_number += 1;
        let number = state.last_number;
        state.parts.push_back((number, part));
        (number, !std::mem::replace(&mut state.is_served, true))
    }

    /// Whether the part was still waiting, and does no longer.
    #[cfg(feature = "sqlite")]
    pub(super) fn withdraw(&self, number: u64) -> bool {
        let mut state = self.state();
        let place = state.parts.iter().position(|(waits, _)| *waits == number);
        place.and_then(|place| state.parts.remove(place)).is_some()
    }

    /// What is written next: not too much at once, so that the first need not wait for long. Who no longer waits is left out.
    pub(super) fn take(&self) -> Vec<P>
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

/// Held by the task that writes what waits. Dropped before its end, as with its runtime, it tells those who wait by dropping their
/// answers; who comes next begins anew.
#[derive(Debug)]
pub(super) struct Serving<'a, P> {
    waiting: &'a Waiting<P>,
    is_over: bool,
}

impl<'a, P> Serving<'a, P> {
    pub(super) const fn new(waiting: &'a Waiting<P>) -> Self {
        Self { waiting, is_over: false }
    }

    /// Whether somebody waits. When nobody does, the next who comes has to serve.
    pub(super) fn goes_on(&mut self) -> bool {
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

/// What a caller is told whose part was dropped without an answer.
pub(super) fn gone() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the runtime that wrote has ended")
}

/// Of one transaction.
const MOST_ROWS: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    struct Rows(usize, Answer<()>);

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
        let (mut answers, mut told): (Vec<_>, Vec<_>) = (0..3).map(|_| oneshot::channel()).unzip();
        assert!(waiting.join(Rows(1, answers.remove(0))).1);
        assert!(!waiting.join(Rows(1, answers.remove(0))).1);
        let mut serving = Serving::new(&waiting);
        assert!(serving.goes_on());
        drop(told.remove(0));
        assert_eq!(waiting.take().len(), 1, "the first waits no longer");
        assert!(!serving.goes_on());
        assert!(waiting.join(Rows(1, answers.remove(0))).1);
    }

    #[test]
    fn no_more_than_a_few_thousand_rows_are_taken_at_once() {
        let waiting = Waiting::new();
        let (answers, _told): (Vec<_>, Vec<_>) = (0..10).map(|_| oneshot::channel()).unzip();
        answers.into_iter().for_each(|answer| _ = waiting.join(Rows(999, answer)));
        assert_eq!(waiting.take().len(), 3);
        assert_eq!(waiting.take().len(), 3);
    }

    #[test]
    fn service_that_ends_too_early_is_told_and_taken_up_by_the_next() {
        let waiting = Waiting::new();
        let (answer, mut told) = oneshot::channel();
        waiting.join(Rows(1, answer));
        drop(Serving::new(&waiting));
        assert_eq!(told.try_recv().unwrap_err(), oneshot::error::TryRecvError::Closed);
        assert!(waiting.join(Rows(1, oneshot::channel().0)).1);
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn a_part_that_was_taken_cannot_be_withdrawn() {
        let waiting = Waiting::new();
        let (answers, _told): (Vec<_>, Vec<_>) = (0..2).map(|_| oneshot::channel()).unzip();
        let numbers: Vec<_> = answers.into_iter().map(|answer| waiting.join(Rows(2_000, answer)).0).collect();
        assert_eq!(waiting.take().len(), 1);
        assert!(!waiting.withdraw(numbers[0]));
        assert!(waiting.withdraw(numbers[1]));
        assert!(waiting.take().is_empty());
    }
}
