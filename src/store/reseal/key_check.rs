//! [`KeyRing::check`]: whether a key ring opens the secrets of a store.

use std::collections::BTreeMap;

use crate::id::SubscriptionId;
use crate::keyring::KeyRing;
use crate::signature::{SecretUse, StoredSecret};
use crate::store::{StoreError, Subscriptions};
use crate::subscription::{ClientCertificate, Subscription};

/// The result of [`KeyRing::check`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// How many sealed values open with this ring.
    pub opened: u64,
    /// How many sealed values do not, by the id of their key; values too damaged to name one have the id "".
    pub unopened: BTreeMap<String, u64>,
    /// How many values are in the clear.
    pub plain: u64,
    /// How many subscriptions cannot be read.
    pub unreadable: u64,
}

impl Report {
    /// Whether there are sealed values and none of them opens: the ring is another store's, or has the wrong
    /// keys.
    pub fn is_wrong_ring(&self) -> bool {
        self.opened == 0 && !self.unopened.is_empty()
    }

    fn add(&mut self, ring: &KeyRing, subscription: &Subscription) {
        let signing = subscription.secrets.iter().map(|secret| (SecretUse::Signing, secret));
        let credential = subscription.options.authentication().secret();
        let client_key = subscription.options.client_certificate().map(ClientCertificate::key);
        let others = credential.map(|secret| (SecretUse::Credential, secret)).into_iter();
        let others = others.chain(client_key.map(|secret| (SecretUse::ClientKey, secret)));
        for (used, secret) in signing.chain(others) {
            let StoredSecret::Sealed(sealed) = secret else {
                self.plain += 1;
                continue;
            };
            match ring.open(sealed, subscription.id, used) {
                Ok(_) => self.opened += 1,
                Err(_) => {
                    let id = sealed.key_id().unwrap_or_default();
                    *self.unopened.entry(id.to_owned()).or_default() += 1;
                }
            }
        }
    }
}

impl KeyRing {
    /// Reads every subscription of a store, in batches, and counts the sealed secrets and credentials that
    /// this ring opens and those that it does not.
    ///
    /// Call it before a program starts to send, and refuse to start when nothing opens
    /// ([`Report::is_wrong_ring`]): with a wrong ring every signed delivery would wait.
    ///
    /// ```
    /// # async fn start(
    /// #     store: impl hookwire::Subscriptions,
    /// #     ring: hookwire::keyring::KeyRing,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// let report = ring.check(&store).await?;
    /// if report.is_wrong_ring() {
    ///     return Err("no stored secret opens with this key ring, expected the ring of this store".into());
    /// }
    /// for (key, secrets) in &report.unopened {
    ///     eprintln!("{secrets} secrets are sealed with key {key} and do not open");
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store.
    pub async fn check(&self, store: &impl Subscriptions) -> Result<Report, StoreError> {
        let (mut report, mut after): (_, Option<SubscriptionId>) = (Report::default(), None);
        loop {
            let found = store.scan(after, BATCH).await?;
            let Some(last) = found.last() else { return Ok(report) };
            after = Some(last.id);
            for scanned in &found {
                match &scanned.subscription {
                    Ok(subscription) => report.add(self, subscription),
                    Err(_) => report.unreadable += 1,
                }
            }
        }
    }
}

const BATCH: u32 = 500;
