//! [`Keys`]: opens sealed secrets before an attempt is signed.

use std::borrow::Cow;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::id::SubscriptionId;
use crate::signature::{SealedSecret, Secret, SecretUse, StoredSecret};
use crate::subscription::{ClientCertificate, Options, Subscription};
use crate::transport::ClientIdentity;

/// Opens one sealed secret of a subscription.
pub(super) trait OpenSecret: Send + Sync {
    fn open_secret(
        &self,
        sealed: &SealedSecret,
        subscription: SubscriptionId,
        used: SecretUse,
    ) -> Result<Secret, Error>;
}

/// Opens sealed secrets before an attempt is signed, if the dispatcher has a key ring.
#[derive(Clone, Default)]
pub(crate) struct Keys(pub(super) Option<Arc<dyn OpenSecret>>);

impl Keys {
    /// Returns a signing secret in the clear.
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

    /// Returns a subscription's options with their credential in the clear.
    pub(super) fn options<'a>(&self, subscription: &'a Subscription) -> Result<Cow<'a, Options>, Error> {
        let options = &subscription.options;
        let Some(StoredSecret::Sealed(sealed)) = options.authentication().secret() else {
            return Ok(Cow::Borrowed(options));
        };
        let credential = self.open(sealed, subscription.id, SecretUse::Credential)?;
        options.clone().with_credential(credential.into()).map(Cow::Owned)
    }

    /// Returns the identity that a subscription's requests present, if they do.
    pub(super) fn identity(&self, subscription: &Subscription) -> Result<Option<ClientIdentity>, Error> {
        let Some(certificate) = subscription.options.client_certificate() else { return Ok(None) };
        let opened = match certificate.key() {
            StoredSecret::Plain(_) => certificate.to_der(),
            StoredSecret::Sealed(sealed) => {
                let key = self.open(sealed, subscription.id, SecretUse::ClientKey)?;
                let options = subscription.options.clone().with_client_key(key.into())?;
                options.client_certificate().and_then(ClientCertificate::to_der)
            }
        };
        let unread = || Error::new(ErrorKind::Secret, "key of the client certificate is not readable");
        opened.map(|(chain, key)| Some(ClientIdentity::new(chain, key))).ok_or_else(unread)
    }

    fn open(
        &self,
        sealed: &SealedSecret,
        subscription: SubscriptionId,
        used: SecretUse,
    ) -> Result<Secret, Error> {
        let Some(ring) = &self.0 else {
            let id = sealed.key_id().unwrap_or("of unknown id");
            let what = format!("secret is sealed with key {id} and the dispatcher has no key ring");
            return Err(Error::new(ErrorKind::Secret, what)
                .with_expected("a ring with that key; see `Dispatcher::with_key_ring`"));
        };
        ring.open_secret(sealed, subscription, used)
    }
}
