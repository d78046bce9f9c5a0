//! Whole subscriptions: [`KeyRing::seal_subscription`], [`KeyRing::open_subscription`].

use super::ring::KeyRing;
use crate::error::Error;
use crate::signature::StoredSecret;
use crate::subscription::Subscription;

impl KeyRing {
    /// Seals every secret of a subscription with the ring's first key: its signing secrets, the credential of
    /// its authentication and the key of its client certificate, whether they are in the clear or sealed with
    /// another key of the ring.
    ///
    /// Call it on a subscription that was created or rotated, before you give it to a store.
    ///
    /// ```
    /// use hookwire::keyring::{Key, KeyRing};
    /// use hookwire::{Contract, EndpointUrl, EventFilter, Secret, Subscription};
    ///
    /// let ring = KeyRing::new("2026-11", Key::generate())?;
    ///
    /// // Created: show `secret.expose()` to the customer once, then store `created`.
    /// let secret = Secret::generate();
    /// let url = EndpointUrl::from_storage("https://hooks.example.com/calls")?;
    /// let created = Subscription::new("org_1", &Contract::allison(), url, EventFilter::all());
    /// let created = created.with_secret(secret.clone());
    /// let created = ring.seal_subscription(created)?;
    ///
    /// // Read: a preview takes no key.
    /// assert_eq!(created.secrets[0].preview(), secret.preview());
    ///
    /// // Rotated: both secrets sign until the older one is removed.
    /// let rotated = ring.seal_subscription(created.with_secret(Secret::generate()))?;
    /// assert_eq!(rotated.secrets.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::KeyRing`](crate::ErrorKind::KeyRing) for a secret under an old key that does not open,
    /// [`ErrorKind::Randomness`](crate::ErrorKind::Randomness) when the operating system has none to give.
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

    /// Opens every secret of a subscription, to compare secrets or to move them elsewhere.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::KeyRing`](crate::ErrorKind::KeyRing) for a secret that does not open; its source is the
    /// [`OpenError`](crate::keyring::OpenError).
    pub fn open_subscription(&self, subscription: Subscription) -> Result<Subscription, Error> {
        let id = subscription.id;
        subscription.try_map_secrets(|used, secret| match secret {
            StoredSecret::Plain(_) => Ok(secret.clone()),
            StoredSecret::Sealed(sealed) => Ok(self.open(sealed, id, used)?.into()),
        })
    }
}
