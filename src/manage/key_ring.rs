//! The key ring of a [`Service`], behind the feature `keyring`.
#![cfg(feature = "keyring")]

use std::sync::Arc;

use super::sealing::Sealing;
use super::service::Service;
use crate::error::Error;
use crate::keyring::KeyRing;
use crate::signature::StoredSecret;
use crate::store::{Records, Store, Subscriptions};
use crate::subscription::Subscription;

impl<S: Store + Subscriptions + Records> Service<S> {
    /// Sets the key ring that seals what the service stores: signing secrets and the credentials of
    /// authentications.
    ///
    /// Give the dispatcher the same ring.
    pub fn with_key_ring(mut self, ring: impl Into<Arc<KeyRing>>) -> Self {
        let ring = ring.into();
        self.test_sender.keys = Arc::clone(&ring).into();
        self.sealing = Some(ring);
        self
    }
}

impl Sealing for KeyRing {
    /// Leaves sealed secrets as they are, so that one that does not open prevents no other change.
    fn seal_plain(&self, subscription: Subscription) -> Result<Subscription, Error> {
        let id = subscription.id;
        subscription.try_map_secrets(|used, secret| match secret {
            StoredSecret::Plain(plain) => Ok(self.seal(plain, id, used)?.into()),
            StoredSecret::Sealed(_) => Ok(secret.clone()),
        })
    }
}
