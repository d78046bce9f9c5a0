//! [`MemoryStore`]: a store, an inbox and an intake in the process's own memory.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::handled::Handled;
use super::requests::Requests;
use super::state::State;
use crate::store::StoreId;

/// A store, an inbox and an intake in the process's own memory: for tests, demonstrations, and events that
/// may be lost with the process.
///
/// It keeps the rules of [`Store`](crate::Store), [`Subscriptions`](crate::Subscriptions),
/// [`Records`](crate::Records), [`Pruning`](crate::Pruning), [`Inbox`](crate::Inbox) and
/// [`Intake`](crate::Intake), but everything is gone when the process ends, and it cannot join a transaction.
/// It needs no runtime, and no call waits for anything but other calls.
///
/// Secrets are in memory as they were given: in the clear unless a key ring sealed them (module `keyring`).
///
/// Rows stay until they are pruned ([`Pruning::prune`](crate::Pruning::prune),
/// [`Inbox::prune_handled`](crate::Inbox::prune_handled), [`Intake::prune_done`](crate::Intake::prune_done)),
/// and nothing else bounds the memory. An event takes its payload once; it, each delivery, each attempt and
/// each handled event take some hundred bytes more. Claims and settlements cost the logarithm of the number
/// of rows.
///
/// ```
/// use hookwire::{MemoryStore, Store, SubscriptionId};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), hookwire::StoreError> {
/// let store = MemoryStore::new();
/// assert!(store.subscription(SubscriptionId::generate()).await?.is_none());
/// # Ok(())
/// # }
/// ```
pub struct MemoryStore {
    pub(super) id: StoreId,
    state: Mutex<State>,
    handled: Mutex<Handled>,
    requests: Mutex<Requests>,
}

impl MemoryStore {
    /// Makes an empty store. To share it, wrap it in an [`Arc`](std::sync::Arc).
    pub fn new() -> Self {
        Self {
            id: StoreId::unique(),
            state: Mutex::default(),
            handled: Mutex::default(),
            requests: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two writes that belong together, so the state is whole after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn handled(&self) -> MutexGuard<'_, Handled> {
        self.handled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows the numbers of rows, and nothing of their content.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (subscriptions, events, deliveries) = self.state().counts();
        f.debug_struct("MemoryStore")
            .field("subscriptions", &subscriptions)
            .field("events", &events)
            .field("deliveries", &deliveries)
            .finish_non_exhaustive()
    }
}
