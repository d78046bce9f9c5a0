//! [`Relay`]: carries wakes between the processes that share a store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::dispatch::erased::ErasedNotifications;
use crate::dispatch::telemetry;
use crate::dispatch::wake::Wake;
use crate::lease::Backoff;
use crate::store::Notifications;

/// Carries wakes between the processes that share a store, so that one process sends at once what another
/// emits.
///
/// A wake goes out after the commit. However many events are emitted, other processes are notified at most
/// once in an interval. Without a relay, or when a notification is lost, no event is lost: dispatchers poll.
///
/// ```no_run
/// # async fn relay(notifications: impl hookwire::store::Notifications + 'static) {
/// use hookwire::dispatch::{Relay, Wake};
///
/// let wake = Wake::new(); // of this process's outbox and dispatcher, if it has them
/// let relay = Relay::new(notifications, &wake);
/// tokio::spawn(async move { relay.run(std::future::pending()).await });
/// # }
/// ```
#[derive(Clone)]
pub struct Relay {
    notifications: Arc<dyn ErasedNotifications>,
    wake: Wake,
    interval: Duration,
}

impl Relay {
    /// A relay between `wake`, of this process, and the others.
    pub fn new(notifications: impl Notifications + 'static, wake: &Wake) -> Self {
        Self { notifications: Arc::new(notifications), wake: wake.clone(), interval: DEFAULT_INTERVAL }
    }

    /// Sets the shortest time between two notifications of other processes. The default is 10 ms.
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Notifies other processes of wakes here, and wakes for their notifications, until `shutdown` is ready.
    ///
    /// If the database cannot be reached, it is tried again at growing intervals up to 5 s.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        tokio::select! {
            () = shutdown => {}
            () = self.tell() => {}
            () = self.listen() => {}
        }
    }

    async fn tell(&self) {
        let mut backoff = Backoff::default();
        loop {
            self.wake.woken_for_others().await;
            match self.notifications.notify_dyn().await {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    telemetry::store_failed("notify", &error);
                    backoff.lengthen();
                    // Try again, as the others were not notified.
                    backoff.over().await;
                    self.wake.wake_others();
                }
            }
            sleep(self.interval).await;
        }
    }

    async fn listen(&self) {
        let mut backoff = Backoff::default();
        loop {
            match self.notifications.notified_dyn().await {
                Ok(()) => {
                    backoff.reset();
                    self.wake.wake_here();
                }
                Err(error) => {
                    telemetry::store_failed("listen", &error);
                    backoff.lengthen();
                    backoff.over().await;
                }
            }
        }
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("interval", &self.interval).finish_non_exhaustive()
    }
}

const DEFAULT_INTERVAL: Duration = Duration::from_millis(10);
