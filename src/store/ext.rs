//! [`StoreExt`]: what every store can do by its own few calls.

use std::future::Future;
use std::num::NonZeroU32;

use time::OffsetDateTime;

use super::{Replay, Retention, Store, StoreError};

/// What every [`Store`] can do by its own few calls. Nobody implements it.
pub trait StoreExt: Store {
    /// Replays everything that `replay` names, `batch` deliveries at a time, and tells `progress` after each batch how many were
    /// made so far; returns how many in all.
    ///
    /// What is delivered meanwhile is not held up, and what ends after `now` is not replayed again. Dropping the future stops
    /// between two batches or gives up the one under way; what was made stays. Wake the dispatcher when it is done, or in
    /// `progress`.
    ///
    /// ```
    /// # #[cfg(feature = "memory")]
    /// # async fn replay(store: hookwire::MemoryStore, id: hookwire::SubscriptionId) -> Result<(), hookwire::StoreError> {
    /// use std::num::NonZeroU32;
    /// use hookwire::store::{Replay, StoreExt};
    /// use time::OffsetDateTime;
    ///
    /// let batch = NonZeroU32::new(500).expect("not zero");
    /// let dead = Replay::DeadLetters(id);
    /// let made = store.replay_all(&dead, OffsetDateTime::now_utc(), batch, |made| println!("{made} so far")).await?;
    /// # let _ = made;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// The store's. What was made until then stays, and the same call again goes on behind it.
    fn replay_all(
        &self,
        replay: &Replay,
        now: OffsetDateTime,
        batch: NonZeroU32,
        mut progress: impl FnMut(u64) + Send,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send {
        async move {
            let mut made = 0;
            loop {
                let replayed = self.replay(replay, now, batch.get()).await?;
                made += u64::from(replayed.made);
                progress(made);
                if !replayed.more {
                    return Ok(made);
                }
            }
        }
    }

    /// Prunes everything that `retention` does not want at `now`, at most `batch` rows of a kind at a time; returns how many rows.
    ///
    /// # Errors
    ///
    /// The store's. What was deleted until then stays deleted.
    fn prune_all(
        &self,
        retention: &Retention,
        now: OffsetDateTime,
        batch: NonZeroU32,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send {
        async move {
            let mut pruned = 0;
            loop {
                match self.prune(retention, now, batch.get()).await? {
                    0 => return Ok(pruned),
                    rows => pruned += rows,
                }
            }
        }
    }
}

impl<S: Store + ?Sized> StoreExt for S {}
