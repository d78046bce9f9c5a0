//! [`Wake`]: tells a dispatcher in the same process that there is work.

use std::sync::Arc;

use tokio::sync::Notify;

/// Tells a dispatcher in the same process that there is work, so that it need not wait for its next look at the store.
///
/// Cloned handles are the same wake. A wake that nobody waits for yet is kept for the next wait.
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// A wake that no dispatcher listens to yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes one dispatcher that listens, now or when it next waits.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    pub(super) async fn woken(&self) {
        self.0.notified().await;
    }
}
