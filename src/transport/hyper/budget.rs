//! [`Budget`]: bounds the open connections of a client, over all origins.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Bounds the open connections of a client. The connection that has been idle longest makes room for a new
/// one; a connection that is in use is never closed for another.
pub(super) struct Budget<T> {
    max: usize,
    open: Arc<AtomicUsize>,
    idle: Mutex<Queue<T>>,
}

impl<T> Budget<T> {
    pub(super) fn new(max: usize) -> Self {
        let idle = Mutex::new(Queue { slots: VecDeque::new(), sweep_at: SWEEP_LEAST });
        Self { max, open: Arc::default(), idle }
    }

    /// Counts a connection that is about to be opened.
    pub(super) fn open(&self) -> Opened {
        self.open.fetch_add(1, Ordering::Relaxed);
        Opened(Arc::new(Counted { open: Arc::clone(&self.open), is_released: AtomicBool::new(false) }))
    }

    /// Puts an idle connection where it can be found by both its origin and this budget.
    pub(super) fn keep(&self, connection: T) -> Arc<Slot<T>> {
        let slot = Arc::new(Slot(Mutex::new(Some(connection))));
        let mut idle = self.lock();
        idle.slots.push_back(Arc::downgrade(&slot));
        if idle.slots.len() > idle.sweep_at {
            idle.slots.retain(|slot| slot.upgrade().is_some_and(|slot| slot.lock().is_some()));
            // Another walk is worth it once the number has doubled.
            idle.sweep_at = SWEEP_LEAST.max(2 * idle.slots.len());
        }
        slot
    }

    /// Takes the connection that has been idle longest, if more are open than the budget allows.
    pub(super) fn surplus(&self) -> Option<T> {
        if self.open.load(Ordering::Relaxed) <= self.max { None } else { self.oldest() }
    }

    /// Takes the connection that has been idle longest.
    pub(super) fn oldest(&self) -> Option<T> {
        let mut idle = self.lock();
        while let Some(slot) = idle.slots.pop_front() {
            if let Some(connection) = slot.upgrade().and_then(|slot| slot.take()) {
                return Some(connection);
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Queue<T> {
    /// Those that became idle first stand first. A slot that was emptied stays until it is swept.
    slots: VecDeque<Weak<Slot<T>>>,
    sweep_at: usize,
}

/// Holds an idle connection until somebody takes it: a request to its origin, or the budget.
pub(super) struct Slot<T>(Mutex<Option<T>>);

impl<T> Slot<T> {
    pub(super) fn take(&self) -> Option<T> {
        self.lock().take()
    }

    /// Asks the connection, unless it was taken.
    pub(super) fn ask<A>(&self, ask: impl FnOnce(&T) -> Option<A>) -> Option<A> {
        self.lock().as_ref().and_then(ask)
    }

    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one connection until its last clone is dropped or it is released.
#[derive(Clone)]
pub(super) struct Opened(Arc<Counted>);

impl Opened {
    /// Stops counting a connection that is being closed, so that no other one is closed in its place.
    pub(super) fn release(&self) {
        self.0.release();
    }
}

struct Counted {
    open: Arc<AtomicUsize>,
    is_released: AtomicBool,
}

impl Counted {
    fn release(&self) {
        if !self.is_released.swap(true, Ordering::Relaxed) {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.release();
    }
}

const SWEEP_LEAST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_that_has_been_idle_longest_is_surplus() {
        let budget = Budget::new(2);
        let opened: Vec<_> = (0..4).map(|_| budget.open()).collect();
        let slots: Vec<_> = (0..4).map(|number| budget.keep(number)).collect();
        assert_eq!(slots[1].take(), Some(1), "a request uses it");
        assert_eq!(budget.surplus(), Some(0));
        opened[0].release();
        assert_eq!(budget.surplus(), Some(2), "the other one is in use");
        opened[2].release();
        drop(opened[2].clone());
        assert_eq!(budget.surplus(), None);
        assert_eq!(slots[3].take(), Some(3));
    }

    #[test]
    fn a_connection_that_becomes_idle_often_leaves_nothing_behind() {
        let budget = Budget::new(2);
        let oldest = budget.keep(0);
        for number in 1..10_000 {
            assert_eq!(budget.keep(number).take(), Some(number));
        }
        assert!(budget.lock().slots.len() <= SWEEP_LEAST);
        assert_eq!(oldest.take(), Some(0));
        assert_eq!(budget.oldest(), None);
    }
}
