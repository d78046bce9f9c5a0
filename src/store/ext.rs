//! [`StoreExt`]: calls in batches, for callers.

use std::future::Future;
use std::num::NonZeroU32;

use time::OffsetDateTime;

use super::pruning::{Pruning, Retention};
use super::records::{MissingPayload, Records, Replay};
use super::{StoreError, StoreErrorKind};

/// Repeats calls that work in batches until they are done. Every store has it, and nobody implements it.
pub trait StoreExt {
    /// Replays everything that `replay` names, `batch` deliveries at a time. After each batch it calls
    /// `progress` with the number of deliveries made so far; it returns how many in all.
    ///
    /// Other deliveries go on between the batches, and what ends after `now` is not replayed again. Dropping
    /// the future stops between two batches or gives up the one under way; what was made stays. Wake the
    /// dispatcher at the end, or in `progress`.
    ///
    /// ```
    /// # #[cfg(feature = "memory")]
    /// # async fn replay(
    /// #     store: hookwire::MemoryStore,
    /// #     id: hookwire::SubscriptionId,
    /// # ) -> Result<(), hookwire::StoreError> {
    /// use std::num::NonZeroU32;
    /// use hookwire::store::{Replay, StoreExt};
    /// use time::OffsetDateTime;
    ///
    /// let batch = NonZeroU32::new(500).expect("not zero");
    /// let dead = Replay::DeadLetters(id);
    /// let now = OffsetDateTime::now_utc();
    /// store.replay_all(&dead, batch, now, |made| println!("{made} so far")).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::MissingPayload`] where an event is not stored in the version that the subscription
    /// speaks ([`Records::missing_payloads`]): then nothing is sent. [`StoreError`] of a batch. The
    /// deliveries made before it stay, and the same call again goes on behind them.
    fn replay_all(
        &self,
        replay: &Replay,
        batch: NonZeroU32,
        now: OffsetDateTime,
        mut progress: impl FnMut(u64) + Send,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send
    where
        Self: Records,
    {
        async move {
            let mut made = 0;
            refuse(&self.missing_payloads(replay, 1, now).await?)?;
            loop {
                let replayed = self.replay(replay, batch.get(), now).await?;
                // The subscription may have got another version since.
                refuse(&replayed.missing)?;
                made += u64::from(replayed.made);
                progress(made);
                if !replayed.more {
                    return Ok(made);
                }
            }
        }
    }

    /// Prunes everything that is older at `now` than `retention` allows, at most `batch` rows of a kind at a
    /// time. Returns how many rows in all.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of a batch. The rows deleted before it stay deleted.
    fn prune_all(
        &self,
        retention: &Retention,
        batch: NonZeroU32,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send
    where
        Self: Pruning,
    {
        async move {
            let mut pruned = 0;
            loop {
                match self.prune(retention, batch.get(), now).await? {
                    0 => return Ok(pruned),
                    rows => pruned += rows,
                }
            }
        }
    }
}

impl<S: ?Sized> StoreExt for S {}

fn refuse(missing: &[MissingPayload]) -> Result<(), StoreError> {
    let Some(MissingPayload { contract, event }) = missing.first() else { return Ok(()) };
    let error = format!("event {event} is not stored in {contract}; Records::add_payloads stores it");
    Err(StoreError::new(StoreErrorKind::MissingPayload, error))
}
