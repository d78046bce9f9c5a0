//! [`Wake`]: tells a dispatcher in the same process that there is work.

use std::collections::BTreeSet;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::id::SubscriptionId;

/// Tells a dispatcher in the same process that there is work, so that it need not wait for its next look at the store.
///
/// Cloned handles are the same wake. A wake that nobody waits for yet is kept for the next wait.
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    notify: Notify,
    /// For a [`Relay`](super::Relay), which tells other processes.
    outward: Notify,
    news: Mutex<News>,
}

/// What a dispatcher was woken for.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Subscriptions with new deliveries.
    pub(super) subscriptions: BTreeSet<SubscriptionId>,
    /// Whether there may be others, so that the store has to be asked.
    pub(super) look: bool,
}

impl Wake {
    /// A wake that no dispatcher listens to yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has a dispatcher look at the store, now or when it next waits: something may be due that it does not know of.
    pub fn wake(&self) {
        self.wake_here();
        self.0.outward.notify_one();
    }

    /// [`wake`](Self::wake) without telling other processes.
    pub(super) fn wake_here(&self) {
        self.news().look = true;
        self.0.notify.notify_one();
    }

    pub(crate) fn wake_for(&self, subscriptions: impl ExactSizeIterator<Item = SubscriptionId>) {
        {
            let mut news = self.news();
            if news.subscriptions.len() + subscriptions.len() > MOST_NAMED {
                news.look = true;
            } else {
                news.subscriptions.extend(subscriptions);
            }
        }
        self.0.notify.notify_one();
        self.0.outward.notify_one();
    }

    /// Has other processes told, and this one not.
    pub(super) fn wake_others(&self) {
        self.0.outward.notify_one();
    }

    /// Ready when something was woken for since the last call.
    pub(super) async fn woken_for_others(&self) {
        self.0.outward.notified().await;
    }

    pub(super) async fn woken(&self) -> News {
        self.0.notify.notified().await;
        mem::take(&mut *self.news())
    }

    fn news(&self) -> MutexGuard<'_, News> {
        // Whoever panicked left a set of ids behind, which is whole at any time.
        self.0.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Beyond this many names a look at the store is cheaper.
const MOST_NAMED: usize = 10_000;
