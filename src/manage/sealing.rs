//! A service with a key ring: the one module of management that knows the feature `keyring`.
#![cfg(feature = "keyring")]

use std::sync::Arc;

use super::Service;
use crate::dispatch::sealing::Keys;
use crate::keyring::KeyRing;
use crate::store::Records;

impl<S: Records> Service<S> {
    /// The same service, sealing with `ring` what it stores: signing secrets and the credentials of authentications. Give the
    /// dispatcher the same ring.
    #[cfg_attr(docsrs, doc(cfg(feature = "keyring")))]
    pub fn with_key_ring(mut self, ring: impl Into<Arc<KeyRing>>) -> Self {
        *self.probe.keys_mut() = Keys::new(ring.into());
        self
    }
}
