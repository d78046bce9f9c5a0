//! [`Recovery`]: hands back leases of inserts whose outcome is not known.

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::dispatch::clock::SharedClock;
use crate::dispatch::erased::ErasedStore;
use crate::dispatch::telemetry;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::{Lease, Settled, Settlement};

/// Hands back leases of inserts whose outcome is not known: the insert may have written them, and may write
/// them yet. It repeats that until a lease is handed back, or until it would have ended by itself.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    state: Mutex<State>,
    added: Notify,
}

#[derive(Debug, Default)]
struct State {
    lost: Vec<Lost>,
    /// How many were not tried yet.
    untried: usize,
}

/// A delivery that an insert may have leased, and that nobody sends.
#[derive(Debug)]
pub(super) struct Lost {
    delivery: DeliveryId,
    subscription: SubscriptionId,
    /// Whether the insert is over, so that one answer of the store is enough.
    is_inserted: bool,
    is_tried: bool,
    pause: Duration,
    at: Instant,
    until: Instant,
}

impl Lost {
    /// A delivery to be handed back, within the time of a lease.
    pub(super) fn new(
        delivery: DeliveryId,
        subscription: SubscriptionId,
        is_inserted: bool,
        lease: Duration,
    ) -> Self {
        let at = Instant::now();
        let until = at.checked_add(lease).unwrap_or(at);
        Self { delivery, subscription, is_inserted, is_tried: false, pause: FIRST, at, until }
    }

    /// The next try, if the lease has not ended by then.
    fn again(mut self) -> Option<Self> {
        self.at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST);
        self.is_tried = true;
        (self.at < self.until).then_some(self)
    }
}

impl Recovery {
    pub(super) fn add(&self, lost: Vec<Lost>) {
        if lost.is_empty() {
            return;
        }
        {
            let mut state = self.state();
            state.untried += lost.len();
            state.lost.extend(lost);
        }
        self.added.notify_one();
    }

    /// Whether some were not tried yet.
    pub(super) fn has_untried(&self) -> bool {
        self.state().untried > 0
    }

    /// Forgets all. Their leases end by themselves.
    pub(super) fn clear(&self) {
        *self.state() = State::default();
    }

    /// Hands back in `store` what is added, and calls `answered` with the subscriptions that have deliveries
    /// due again.
    pub(super) async fn run(
        &self,
        store: &dyn ErasedStore,
        clock: &SharedClock,
        answered: impl Fn(Vec<SubscriptionId>) + Send,
    ) -> Infallible {
        loop {
            let batch = self.batch();
            if batch.is_empty() {
                self.wait().await;
                continue;
            }
            let now = clock.now();
            let hand_back = |lost: &Lost| Settlement::hand_back(lost.delivery, OF_INSERTS, now);
            let settlements: Vec<_> = batch.iter().map(hand_back).collect();
            let settled = store.settle_dyn(&settlements).await;
            let first = batch.iter().filter(|lost| !lost.is_tried).count();
            let (mut freed, mut again) = (Vec::new(), Vec::new());
            match settled {
                Ok(settled) => {
                    for (lost, settled) in batch.into_iter().zip(settled) {
                        match settled {
                            Settled::Done => freed.push(lost.subscription),
                            Settled::Stale if lost.is_inserted => {}
                            Settled::Stale => again.extend(lost.again()),
                        }
                    }
                }
                Err(error) => {
                    telemetry::store_failed("hand back", &error);
                    again.extend(batch.into_iter().filter_map(Lost::again));
                }
            }
            {
                let mut state = self.state();
                state.untried = state.untried.saturating_sub(first);
                state.lost.extend(again);
            }
            answered(freed);
        }
    }

    /// Takes those whose next try is due.
    fn batch(&self) -> Vec<Lost> {
        let now = Instant::now();
        let mut state = self.state();
        let (mut batch, mut later) = (Vec::new(), Vec::new());
        for lost in state.lost.drain(..) {
            let is_next = lost.at <= now && batch.len() < MOST_AT_ONCE;
            if is_next { batch.push(lost) } else { later.push(lost) }
        }
        state.lost = later;
        batch
    }

    /// Waits until one is due, or one is added.
    async fn wait(&self) {
        let next = self.state().lost.iter().map(|lost| lost.at).min();
        match next {
            Some(next) => tokio::select! {
                () = sleep_until(next) => {}
                () = self.added.notified() => {}
            },
            None => self.added.notified().await,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lease that an insert gives.
const OF_INSERTS: Lease = Lease::new(1);
/// The pauses between two tries.
const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(5);
const MOST_AT_ONCE: usize = 1_000;
