//! Opening what a key ring sealed, before it signs; sealing a whole subscription, and those of a whole store anew.
//!
//! The one module of the dispatcher that knows the feature `keyring`: without it nothing that is sealed opens.

use std::borrow::Cow;

pub(crate) use imp::Keys;

use crate::error::{Error, ErrorKind};
use crate::id::SubscriptionId;
use crate::signature::{SealedSecret, Secret, SecretUse, StoredSecret};
use crate::subscription::{Options, Subscription};

impl Keys {
    /// A secret that signs.
    pub(super) fn secret<'a>(
        &self,
        subscription: SubscriptionId,
        secret: &'a StoredSecret,
    ) -> Result<Cow<'a, Secret>, Error> {
        match secret {
            StoredSecret::Plain(secret) => Ok(Cow::Borrowed(secret)),
            StoredSecret::Sealed(sealed) => {
                self.open(sealed, subscription, SecretUse::Signing).map(Cow::Owned)
            }
        }
    }

    /// A subscription's options with a credential that can be sent.
    pub(super) fn options<'a>(&self, subscription: &'a Subscription) -> Result<Cow<'a, Options>, Error> {
        let options = &subscription.options;
        let Some(StoredSecret::Sealed(sealed)) = options.authentication().secret() else {
            return Ok(Cow::Borrowed(options));
        };
        let credential = self.open(sealed, subscription.id, SecretUse::Credential)?;
        options.clone().with_credential(credential.into()).map(Cow::Owned)
    }
}

/// What an attempt is told whose secret nobody here can open.
fn no_ring(sealed: &SealedSecret) -> Error {
    let id = sealed.key_id().unwrap_or("of unknown id");
    Error::new(
        ErrorKind::Secret,
        format!(
            "secret is sealed with key {id} and the dispatcher has no key ring, expected one with that key"
        ),
    )
}

#[cfg(feature = "keyring")]
mod imp {
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use super::no_ring;
    use crate::dispatch::Dispatcher;
    use crate::error::{Error, ErrorKind};
    use crate::id::SubscriptionId;
    use crate::keyring::{KeyRing, Resealed};
    use crate::signature::{SealedSecret, Secret, SecretUse, StoredSecret};
    use crate::store::{Store, StoreError, StoreErrorKind};
    use crate::subscription::Subscription;

    /// What opens sealed secrets, if the dispatcher was given it.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Keys(Option<Arc<KeyRing>>);

    impl Keys {
        pub(super) fn open(
            &self,
            sealed: &SealedSecret,
            subscription: SubscriptionId,
            used: SecretUse,
        ) -> Result<Secret, Error> {
            let ring = self.0.as_ref().ok_or_else(|| no_ring(sealed))?;
            Ok(ring.open(sealed, subscription, used)?)
        }
    }

    #[cfg(feature = "manage")]
    impl Keys {
        pub(crate) const fn new(ring: Arc<KeyRing>) -> Self {
            Self(Some(ring))
        }

        /// The subscription with what is in the clear sealed, where there is a ring. What is sealed stays as it is, so that a secret
        /// that does not open keeps nobody from changing the rest.
        pub(crate) fn seal(&self, subscription: Subscription) -> Result<Subscription, Error> {
            let Some(ring) = &self.0 else { return Ok(subscription) };
            let id = subscription.id;
            subscription.try_map_secrets(|used, secret| match secret {
                StoredSecret::Plain(plain) => Ok(ring.seal(plain, id, used)?.into()),
                StoredSecret::Sealed(_) => Ok(secret.clone()),
            })
        }
    }

    impl Dispatcher {
        /// The same dispatcher, opening what `ring` sealed. Secrets in the clear are used as they are.
        ///
        /// A secret that does not open fails its attempt by this side's own fault, told in the attempt's log: nothing is sent,
        /// nothing is held against the endpoint, and the delivery is tried again by the contract's schedule.
        #[cfg_attr(docsrs, doc(cfg(feature = "keyring")))]
        pub fn with_key_ring(mut self, ring: impl Into<Arc<KeyRing>>) -> Self {
            self.sender_mut().keys = Keys(Some(ring.into()));
            self
        }
    }

    /// For whole subscriptions; needs the feature `dispatch`.
    impl KeyRing {
        /// The subscription with everything in it sealed with the key that seals now: its signing secrets and the credential of
        /// its authentication, in the clear or under another key of the ring.
        ///
        /// Call it on what was created or rotated, before a store is given it.
        ///
        /// ```
        /// # #[cfg(feature = "memory")]
        /// # #[tokio::main(flavor = "current_thread")]
        /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
        /// use hookwire::keyring::{Key, KeyRing};
        /// use hookwire::{AddressPolicy, EndpointUrl, EventFilter, MemoryStore, Secret, Store, Subscription};
        ///
        /// let ring = KeyRing::new("2026-11", Key::generate())?;
        /// let store = MemoryStore::new();
        ///
        /// // Created; `secret.expose()` is shown once.
        /// let secret = Secret::generate();
        /// let url = EndpointUrl::parse("https://hooks.example.com/calls", &AddressPolicy::new())?;
        /// let subscription = Subscription::new("org_1", url, EventFilter::all()).with_secret(secret.clone());
        /// let subscription = ring.seal_subscription(subscription)?;
        /// store.put_subscription(&subscription).await?;
        ///
        /// // Read: no key is needed for what is shown.
        /// let seen = store.subscription(subscription.id).await?.expect("it was written");
        /// assert_eq!(seen.secrets[0].preview(), secret.preview());
        ///
        /// // Rotated: both sign until the older one is taken out. Nobody else's change in between is lost.
        /// let rotated = ring.seal_subscription(seen.clone().with_secret(Secret::generate()))?;
        /// assert!(store.replace_subscription(&seen, &rotated).await?);
        /// # Ok(())
        /// # }
        /// # #[cfg(not(feature = "memory"))]
        /// # fn main() {}
        /// ```
        ///
        /// # Errors
        ///
        /// [`ErrorKind::KeyRing`] for a secret under an old key that does not open,
        /// [`ErrorKind::Randomness`] when the operating system has none to give.
        #[cfg_attr(docsrs, doc(cfg(all(feature = "dispatch", feature = "keyring"))))]
        pub fn seal_subscription(&self, subscription: Subscription) -> Result<Subscription, Error> {
            let id = subscription.id;
            subscription.try_map_secrets(|used, secret| {
                let sealed = match secret {
                    StoredSecret::Plain(secret) => self.seal(secret, id, used)?,
                    StoredSecret::Sealed(sealed) if self.is_current(sealed) => sealed.clone(),
                    StoredSecret::Sealed(sealed) => self.seal(&self.open(sealed, id, used)?, id, used)?,
                };
                Ok(sealed.into())
            })
        }

        /// The subscription with everything in it in the clear, for whoever has to compare or move secrets.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::KeyRing`] for one that does not open; its source is the [`OpenError`](crate::keyring::OpenError).
        #[cfg_attr(docsrs, doc(cfg(all(feature = "dispatch", feature = "keyring"))))]
        pub fn open_subscription(&self, subscription: Subscription) -> Result<Subscription, Error> {
            let id = subscription.id;
            subscription.try_map_secrets(|used, secret| match secret {
                StoredSecret::Plain(_) => Ok(secret.clone()),
                StoredSecret::Sealed(sealed) => Ok(self.open(sealed, id, used)?.into()),
            })
        }

        /// Goes through every subscription of a store, `batch` at a time, and seals what is in the clear or under an old key with
        /// the key that seals now: for the background, beside everything else.
        ///
        /// A subscription is written only in place of what was read, so that a rotation at the same time is not lost; then it is
        /// read again. One that cannot be sealed is left as it is and told to `failed`; the others are sealed. Dropping the
        /// future stops between two; the same call again goes on where something is left. Several at once do no harm.
        ///
        /// Give every process that reads the store a ring with this key first: what is sealed with a key that a dispatcher has
        /// not is an attempt that fails.
        ///
        /// ```
        /// # #[cfg(feature = "memory")]
        /// # async fn reseal(
        /// #     store: hookwire::MemoryStore,
        /// #     ring: hookwire::keyring::KeyRing,
        /// # ) -> Result<(), hookwire::StoreError> {
        /// use std::num::NonZeroU32;
        ///
        /// let batch = NonZeroU32::new(100).expect("not zero");
        /// let told = ring.reseal_all(&store, batch, |id, error| eprintln!("{id}: {error}")).await?;
        /// if told.failed == 0 {
        ///     println!("the old key can go");
        /// }
        /// # Ok(()) }
        /// ```
        ///
        /// # Errors
        ///
        /// The store's. What was written until then stays.
        #[cfg_attr(docsrs, doc(cfg(all(feature = "dispatch", feature = "keyring"))))]
        pub async fn reseal_all(
            &self,
            store: &impl Store,
            batch: NonZeroU32,
            mut failed: impl FnMut(SubscriptionId, &Error) + Send,
        ) -> Result<Resealed, StoreError> {
            let mut told = Resealed::default();
            let mut after = None;
            loop {
                let ids = store.subscription_ids(after, batch.get()).await?;
                let Some(last) = ids.last() else { return Ok(told) };
                after = Some(*last);
                for id in ids {
                    match self.reseal(store, id).await? {
                        Ok(Some(true)) => told.sealed += 1,
                        Ok(Some(false)) => told.unchanged += 1,
                        // Deleted in the meantime.
                        Ok(None) => {}
                        Err(error) => {
                            told.failed += 1;
                            failed(id, &error);
                        }
                    }
                }
            }
        }

        /// Whether one had to be written; nothing when it is gone.
        async fn reseal(
            &self,
            store: &impl Store,
            id: SubscriptionId,
        ) -> Result<Result<Option<bool>, Error>, StoreError> {
            for _ in 0..TRIES {
                let seen = match store.subscription(id).await {
                    Ok(Some(seen)) => seen,
                    Ok(None) => return Ok(Ok(None)),
                    Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                        return Ok(Err(unsealed("subscription cannot be read").with_source(error)));
                    }
                    Err(error) => return Err(error),
                };
                let sealed = match self.seal_subscription(seen.clone()) {
                    Ok(sealed) => sealed,
                    Err(error) => return Ok(Err(error)),
                };
                if sealed.is_as(&seen) {
                    return Ok(Ok(Some(false)));
                }
                if store.replace_subscription(&seen, &sealed).await? {
                    return Ok(Ok(Some(true)));
                }
            }
            Ok(Err(unsealed(
                "subscription was written by others each time, expected it to be left alone once",
            )))
        }
    }

    fn unsealed(message: &'static str) -> Error {
        Error::new(ErrorKind::KeyRing, message)
    }

    const TRIES: usize = 16;
}

#[cfg(not(feature = "keyring"))]
mod imp {
    use super::no_ring;
    use crate::error::Error;
    use crate::id::SubscriptionId;
    use crate::signature::{SealedSecret, Secret, SecretUse};
    #[cfg(feature = "manage")]
    use crate::subscription::Subscription;

    /// Opens nothing.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Keys(());

    #[cfg(feature = "manage")]
    impl Keys {
        /// As it is: there is no ring.
        pub(crate) fn seal(&self, subscription: Subscription) -> Result<Subscription, Error> {
            Ok(subscription)
        }
    }

    impl Keys {
        pub(super) fn open(
            &self,
            sealed: &SealedSecret,
            _: SubscriptionId,
            _: SecretUse,
        ) -> Result<Secret, Error> {
            Err(no_ring(sealed))
        }
    }
}
