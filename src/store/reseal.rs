//! [`KeyRing::reseal_all`]: moves the secrets of a whole store to another key; [`KeyRing::check`]: counts
//! those that a ring opens.
#![cfg(feature = "keyring")]

mod key_check;

use std::num::NonZeroU32;

pub use self::key_check::Report;

use super::{Scanned, StoreError, Subscriptions};
use crate::error::{Error, ErrorKind};
use crate::id::SubscriptionId;
use crate::keyring::KeyRing;

/// The result of [`KeyRing::reseal_all`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Resealed {
    /// How many subscriptions had a secret in the clear or under an old key, and were written.
    pub sealed: u64,
    /// How many subscriptions had every secret under the key that seals now, or had none.
    pub unchanged: u64,
    /// How many subscriptions are left as they were: they do not open, cannot be read, or others kept
    /// changing them.
    pub failed: u64,
}

impl KeyRing {
    /// Reads every subscription of a store, `batch` at a time, and seals with the ring's first key every
    /// secret that is in the clear or under an old key. It may run in the background while the store is in
    /// use.
    ///
    /// A subscription is replaced only if it is still as it was read, so that no rotation in between is lost;
    /// otherwise it is read again. `failed` is called for each subscription that cannot be sealed, which is
    /// left as it is; the others are sealed. You may drop the future and call again later, and several
    /// processes may run it at once.
    ///
    /// First give every process that reads the store a ring with this key: a dispatcher that lacks the key
    /// fails the attempts of the subscriptions that are sealed with it.
    ///
    /// ```
    /// # async fn reseal(
    /// #     store: impl hookwire::Subscriptions,
    /// #     ring: hookwire::keyring::KeyRing,
    /// # ) -> Result<(), hookwire::StoreError> {
    /// use std::num::NonZeroU32;
    ///
    /// let batch = NonZeroU32::new(100).expect("not zero");
    /// let resealed = ring.reseal_all(&store, batch, |id, error| eprintln!("{id}: {error}")).await?;
    /// if resealed.failed == 0 {
    ///     println!("the old key can be removed");
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store. The subscriptions that were written before it stay written.
    pub async fn reseal_all(
        &self,
        store: &impl Subscriptions,
        batch: NonZeroU32,
        mut failed: impl FnMut(SubscriptionId, &Error) + Send,
    ) -> Result<Resealed, StoreError> {
        let mut resealed = Resealed::default();
        let mut after = None;
        loop {
            let found = store.scan(after, batch.get()).await?;
            let Some(last) = found.last() else { return Ok(resealed) };
            after = Some(last.id);
            for scanned in found {
                let id = scanned.id;
                match self.reseal(store, scanned).await? {
                    Ok(Some(true)) => resealed.sealed += 1,
                    Ok(Some(false)) => resealed.unchanged += 1,
                    // Deleted in the meantime.
                    Ok(None) => {}
                    Err(error) => {
                        resealed.failed += 1;
                        failed(id, &error);
                    }
                }
            }
        }
    }

    /// Returns whether the subscription had to be written; `None` when it is gone.
    async fn reseal(
        &self,
        store: &impl Subscriptions,
        scanned: Scanned,
    ) -> Result<Result<Option<bool>, Error>, StoreError> {
        let id = scanned.id;
        let mut found = Some(scanned);
        for _ in 0..MAX_TRIES {
            let Some(scanned) = found else { return Ok(Ok(None)) };
            let seen = match scanned.subscription {
                Ok(seen) => seen,
                Err(error) => return Ok(Err(unsealed("subscription cannot be read").with_source(error))),
            };
            let sealed = match self.seal_subscription(seen.clone()) {
                Ok(sealed) => sealed,
                Err(error) => return Ok(Err(error)),
            };
            if sealed.is_as(&seen) {
                return Ok(Ok(Some(false)));
            }
            if store.replace(&seen, &sealed).await? {
                return Ok(Ok(Some(true)));
            }
            let before = id.as_u128().checked_sub(1).map(SubscriptionId::from_u128);
            found = store.scan(before, 1).await?.pop().filter(|scanned| scanned.id == id);
        }
        Ok(Err(unsealed("subscription was changed by others at every try")
            .with_expected("one try without a change in between")))
    }
}

fn unsealed(message: &'static str) -> Error {
    Error::new(ErrorKind::KeyRing, message)
}

const MAX_TRIES: usize = 16;
