//! [`Dispatcher::with_key_ring`].
#![cfg(feature = "keyring")]

use std::sync::Arc;

use super::dispatcher::Dispatcher;
use super::keys::{Keys, OpenSecret};
use crate::error::Error;
use crate::id::SubscriptionId;
use crate::keyring::KeyRing;
use crate::signature::{SealedSecret, Secret, SecretUse};

impl Dispatcher {
    /// Sets the key ring that opens sealed secrets. Secrets in the clear are used as they are.
    ///
    /// A secret that does not open is a fault of this side: nothing is sent, nothing is held against the
    /// endpoint, and no attempt is spent. The subscription's deliveries wait, and one of them is tried after
    /// 1 s, 2 s and so on up to every 5 minutes. The [observer](Self::with_observer) hears of each.
    /// [`KeyRing::check`](crate::keyring::KeyRing::check) tells at the start whether the ring is the right
    /// one.
    pub fn with_key_ring(mut self, ring: impl Into<Arc<KeyRing>>) -> Self {
        self.sender_mut().keys = ring.into().into();
        self
    }
}

impl OpenSecret for KeyRing {
    fn open_secret(
        &self,
        sealed: &SealedSecret,
        subscription: SubscriptionId,
        used: SecretUse,
    ) -> Result<Secret, Error> {
        Ok(self.open(sealed, subscription, used)?)
    }
}

impl From<Arc<KeyRing>> for Keys {
    fn from(ring: Arc<KeyRing>) -> Self {
        Self(Some(ring))
    }
}
