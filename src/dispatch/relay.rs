//! [`Relay`]: carries wakes between the processes that share a store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::dispatch::erased::ErasedNotifications;
use crate::dispatch::telemetry;
use crate::dispatch::wake::Wake;
use crate::pause::Pause;
use crate::store::Notifications;

/// Carries wakes between the processes that share a store, so that an event that one emits is sent by another at once.
///
/// What is told here goes out after the commit, and gathered: however many events are emitted, others are told once in an
/// interval. Nothing is lost without it, or when a notification is: dispatchers poll.
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

    /// The same relay, telling others at most once in `interval`. The default is 10 ms.
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Tells others what is woken for here, and wakes for what they tell, until `shutdown` is ready.
    ///
    /// A database that cannot be reached is tried again at growing intervals up to 5 s.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        tokio::select! {
            () = shutdown => {}
            () = self.tell() => {}
            () = self.listen() => {}
        }
    }

    async fn tell(&self) {
        let mut pause = Pause::default();
        loop {
            self.wake.woken_for_others().await;
            match self.notifications.notify_dyn().await {
                Ok(()) => pause.reset(),
                Err(error) => {
                    telemetry::store_failed("notify", &error);
                    pause.lengthen();
                    // Whoever was not told is told then.
                    pause.over().await;
                    self.wake.wake_others();
                }
            }
            sleep(self.interval).await;
        }
    }

    async fn listen(&self) {
        let mut pause = Pause::default();
        loop {
            match self.notifications.notified_dyn().await {
                Ok(()) => {
                    pause.reset();
                    self.wake.wake_here();
                }
                Err(error) => {
                    telemetry::store_failed("listen", &error);
                    pause.lengthen();
                    pause.over().await;
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
