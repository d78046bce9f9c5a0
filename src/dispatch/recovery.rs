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
    /// How many are being handed back now.
    tried: usize,
}

/// A delivery that an insert may have leased, and that nobody sends.
#[derive(Debug)]
pub(super) struct Lost {
    delivery: DeliveryId,
    subscription: SubscriptionId,
    /// Whether the insert is over, so that one answer of the store is enough.
    is_inserted: bool,
    tries: u32,
    pause: Duration,
    since: Instant,
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
        let since = Instant::now();
        let until = since.checked_add(lease).unwrap_or(since);
        Self { delivery, subscription, is_inserted, tries: 0, pause: FIRST, since, at: since, until }
    }

    /// The next try, if the lease has not ended by then.
    fn again(mut self) -> Option<Self> {
        self.at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST);
        self.tries += 1;
        (self.at < self.until).then_some(self)
    }
}

impl Recovery {
    pub(super) fn add(&self, lost: Vec<Lost>) {
        if lost.is_empty() {
            return;
        }
        self.state().lost.extend(lost);
        self.added.notify_one();
    }

    /// Whether some were not tried yet, or may still be committed: the insert of a caller that has gone is
    /// under way for a moment, and the end of a failed one is not known.
    pub(super) fn is_unsure(&self) -> bool {
        let state = self.state();
        let is_unsure = |lost: &Lost| lost.tries == 0 || (!lost.is_inserted && lost.since.elapsed() < UNSURE);
        state.tried > 0 || state.lost.iter().any(is_unsure)
    }

    /// Whether there are so many that no more inserts should lease.
    pub(super) fn is_full(&self) -> bool {
        let state = self.state();
        state.lost.len() + state.tried >= MOST
    }

    /// Forgets all. Their leases end by themselves.
    pub(super) fn clear(&self) {
        *self.state() = State::default();
    }

    /// Hands back in `store` what is added, and calls `answered` with the subscriptions that have deliveries
    /// due again, and with whether others may have: a store itself hands back what it leased for a caller
    /// that has gone.
    pub(super) async fn run(
        &self,
        store: &dyn ErasedStore,
        clock: &SharedClock,
        answered: impl Fn(Vec<SubscriptionId>, bool) + Send,
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
            let (mut freed, mut again, mut is_unsure) = (Vec::new(), Vec::new(), false);
            match settled {
                Ok(settled) => {
                    for (lost, settled) in batch.into_iter().zip(settled) {
                        match settled {
                            Settled::Done => freed.push(lost.subscription),
                            Settled::Stale if lost.is_inserted => {}
                            Settled::Stale => {
                                is_unsure |= lost.tries > 0;
                                again.extend(lost.again());
                            }
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
                state.tried = 0;
                state.lost.extend(again);
            }
            answered(freed, is_unsure);
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
        state.tried = batch.len();
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
/// Inserts that fail one after another give more and more leases back in vain. Above this number, they are
/// asked for none.
const MOST: usize = 10_000;
/// How long an insert may still be under way whose caller has gone.
const UNSURE: Duration = Duration::from_secs(1);

#[cfg(all(test, feature = "memory"))]
mod tests {
    use tokio::time::sleep;

    use super::*;
    use crate::clock::SystemClock;
    use crate::store::memory::MemoryStore;

    fn lost(is_inserted: bool) -> Lost {
        let (delivery, subscription) = (DeliveryId::from_u128(1), SubscriptionId::from_u128(2));
        Lost::new(delivery, subscription, is_inserted, Duration::from_secs(60))
    }

    /// Runs beside `watch`, on a store that has none of the deliveries.
    async fn run_beside(recovery: &Recovery, watch: impl Future<Output = ()>) {
        let (store, clock) = (MemoryStore::new(), SharedClock::new(SystemClock));
        tokio::select! {
            never = recovery.run(&store, &clock, |_, _| {}) => match never {},
            () = watch => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_insert_whose_caller_has_gone_is_unsure_for_a_second_and_one_that_was_answered_until_the_store_is()
     {
        for (is_inserted, is_unsure_soon) in [(false, true), (true, false)] {
            let recovery = Recovery::default();
            recovery.add(vec![lost(is_inserted)]);
            assert!(recovery.is_unsure());
            let watch = async {
                sleep(Duration::from_millis(900)).await;
                assert_eq!(recovery.is_unsure(), is_unsure_soon);
                sleep(Duration::from_millis(200)).await;
                assert!(!recovery.is_unsure());
            };
            run_beside(&recovery, watch).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_full_until_leases_have_ended() {
        let recovery = Recovery::default();
        recovery.add((1..MOST).map(|_| lost(false)).collect());
        assert!(!recovery.is_full());
        recovery.add(vec![lost(false)]);
        assert!(recovery.is_full());
        run_beside(&recovery, sleep(Duration::from_secs(70))).await;
        assert!(!recovery.is_full());
    }
}
