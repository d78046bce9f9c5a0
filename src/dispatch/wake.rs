//! [`Wake`]: wakes a dispatcher in the same process when there is work.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::hand_over::Recipient;
use super::scheduling::Known;
use crate::id::SubscriptionId;
use crate::store::StoreId;

/// Wakes a dispatcher in the same process when there is work, so that it need not wait for its next look at
/// the store.
///
/// Clones are handles to the same wake. If no dispatcher waits, the wake is kept for the next wait.
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    notify: Notify,
    /// Wakes a [`Relay`](super::Relay), which tells other processes.
    outward: Notify,
    news: Mutex<News>,
    /// The dispatchers that run.
    recipients: Mutex<Vec<Arc<Recipient>>>,
}

/// Why a dispatcher was woken.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Subscriptions with new deliveries.
    pub(super) subscriptions: BTreeMap<SubscriptionId, Known>,
    /// Whether other subscriptions may have new deliveries too, so that the dispatcher has to look at the
    /// store.
    pub(super) look: bool,
}

impl Wake {
    /// A wake that no dispatcher holds yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has the dispatcher look at the store, now or when it next waits, because something may be due that it
    /// does not know of.
    pub fn wake(&self) {
        self.wake_here();
        self.0.outward.notify_one();
    }

    /// [`wake`](Self::wake) without telling other processes.
    pub(super) fn wake_here(&self) {
        self.news().look = true;
        self.0.notify.notify_one();
    }

    /// Wakes for a subscription of which the caller knows nothing.
    #[allow(dead_code, reason = "management calls it")]
    pub(crate) fn wake_for(&self, subscription: SubscriptionId) {
        self.wake_for_known([(subscription, Known::default())].into_iter());
    }

    pub(super) fn wake_for_known(
        &self,
        subscriptions: impl ExactSizeIterator<Item = (SubscriptionId, Known)>,
    ) {
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

    /// Has other processes woken, but not this one.
    pub(super) fn wake_others(&self) {
        self.0.outward.notify_one();
    }

    /// Ready when there was a wake since the last call.
    pub(super) async fn woken_for_others(&self) {
        self.0.outward.notified().await;
    }

    pub(super) async fn woken(&self) -> News {
        self.0.notify.notified().await;
        mem::take(&mut *self.news())
    }

    /// Makes a dispatcher known to outboxes, until the answer is dropped.
    pub(super) fn serve(&self, recipient: Recipient) -> Serving {
        let recipient = Arc::new(recipient);
        recipient.hand_over.begin();
        self.recipients().push(Arc::clone(&recipient));
        Serving { wake: self.clone(), recipient }
    }

    /// A running dispatcher that delivers from this store under this contract and takes deliveries.
    pub(super) fn recipient(&self, store: StoreId, contract: &str) -> Option<Arc<Recipient>> {
        let recipients = self.recipients();
        let found = recipients.iter().find(|recipient| {
            let is_of = recipient.store == store && recipient.contracts.iter().any(|name| name == contract);
            is_of && recipient.hand_over.is_open()
        });
        found.cloned()
    }

    fn recipients(&self) -> MutexGuard<'_, Vec<Arc<Recipient>>> {
        // The list is whole at any time.
        self.0.recipients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn news(&self) -> MutexGuard<'_, News> {
        // A panic leaves a set of ids behind, which is whole at any time.
        self.0.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a running dispatcher known to outboxes.
pub(super) struct Serving {
    wake: Wake,
    recipient: Arc<Recipient>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.wake.recipients().retain(|recipient| !Arc::ptr_eq(recipient, &self.recipient));
        self.recipient.hand_over.end();
    }
}

/// For more subscriptions than this, a look at the store is cheaper.
const MOST_NAMED: usize = 10_000;
