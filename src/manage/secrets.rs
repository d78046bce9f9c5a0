//! The secrets of a subscription: the first one, and rotation.

use std::time::Duration;

use time::OffsetDateTime;

use super::error::ManageError;
use super::revision::Revision;
use super::service::Service;
use super::view::Shown;
use crate::contract::{Contract, Rotation};
use crate::id::SubscriptionId;
use crate::signature::Secret;
use crate::store::{Records, SecretDigest, Store, Subscriptions};
use crate::subscription::Subscription;

/// A rotation: the replacement of a secret.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Rotate {
    /// The new secret; `None` for a fresh one.
    pub secret: Option<Secret>,
    /// The longest time for which the old secrets sign beside the new one; zero replaces them at once. `None`
    /// for the contract's rule.
    pub overlap: Option<Duration>,
    /// The revision that the caller saw; the rotation fails if somebody else changed the subscription since.
    /// `None` to rotate in any case.
    pub seen: Option<Revision>,
}

impl Rotate {
    /// Makes a rotation to a fresh secret under the contract's rule.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the new secret.
    pub fn with_secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Sets the revision that the caller saw.
    pub const fn with_seen(mut self, seen: Revision) -> Self {
        self.seen = Some(seen);
        self
    }

    /// Sets the time for which the old secrets still sign.
    pub const fn with_overlap(mut self, overlap: Duration) -> Self {
        self.overlap = Some(overlap);
        self
    }
}

impl<S: Store + Subscriptions + Records> Service<S> {
    /// Replaces a subscription's secret, and shows the new one this once. It is one change, whatever is
    /// delivered or changed meanwhile.
    ///
    /// # Errors
    ///
    /// - [`ManageError::Refused`] for a secret that cannot be used, for an overlap of more than 30 days, and
    ///   for any overlap under a scheme with one signature per header
    ///   ([`Scheme::carries_several`](crate::Scheme::carries_several)).
    /// - [`ManageError::Changed`] if the subscription was changed since the revision that is given.
    /// - [`ManageError::Conflict`] if 10 old secrets still sign, and if the contract does not sign.
    /// - [`ManageError::NotFound`] and [`ManageError::Store`].
    pub async fn rotate(
        &self,
        organization: &str,
        id: SubscriptionId,
        rotate: Rotate,
    ) -> Result<Shown, ManageError> {
        let now = self.now();
        // Find the subscription first, so that a call for a missing one says nothing about the secret.
        let found = self.find(organization, id).await?;
        let contract = self.terms_of(&found)?;
        let overlap = overlap(contract, rotate.overlap)?;
        let until = (!overlap.is_zero()).then(|| now + overlap);
        let Some(secret) = first_secret(contract, rotate.secret)? else {
            return Err(ManageError::conflict(
                format!("contract `{}` does not sign", contract.name()),
                "one that does",
            ));
        };
        if !self.store.hold_secret(id, &SecretDigest::of(&secret)).await? {
            return Err(ManageError::secret_in_use());
        }
        let change = |subscription: &mut Subscription| self.put_secret(subscription, secret.clone(), until);
        let changed = self.change(organization, id, rotate.seen, change).await?;
        Ok(Shown { subscription: self.view(&changed, now), secret: Some(secret), is_repeat: false })
    }

    /// Puts a secret before the others of a subscription; the others sign until `until`, or no more. This is
    /// the only place where a secret gets into a subscription.
    pub(super) fn put_secret(
        &self,
        subscription: &mut Subscription,
        secret: Secret,
        until: Option<OffsetDateTime>,
    ) -> Result<(), ManageError> {
        let now = self.now();
        let Some(until) = until else {
            subscription.secrets = vec![secret.into()];
            subscription.secrets_until.clear();
            return Ok(());
        };
        // An old secret keeps its end, unless this rotation ends it earlier.
        let times = subscription.secrets_until.iter().copied().map(|old| old.min(until));
        let times: Vec<_> = [until]
            .into_iter()
            .chain(times)
            .chain(std::iter::repeat(until))
            .take(subscription.secrets.len())
            .collect();
        let signing: Vec<_> =
            subscription.secrets.drain(..).zip(times).filter(|(_, until)| *until > now).collect();
        if signing.len() > MOST_OLD {
            return Err(ManageError::conflict(
                format!("{} old secrets would sign", signing.len()),
                format!("{MOST_OLD} or fewer; wait for one to end, or rotate at once"),
            ));
        }
        let (old, times): (Vec<_>, Vec<_>) = signing.into_iter().unzip();
        subscription.secrets = [secret.into()].into_iter().chain(old).collect();
        subscription.secrets_until = times;
        Ok(())
    }
}

/// The time for which old secrets sign, by the caller's wish or else by the contract's rule.
fn overlap(contract: &Contract, wanted: Option<Duration>) -> Result<Duration, ManageError> {
    let overlap = match (wanted, contract.rotation()) {
        (Some(overlap), _) if overlap > MAX_OVERLAP => {
            return Err(ManageError::refused(
                "overlap",
                "old secrets would sign for long",
                "30 days or less",
            ));
        }
        (Some(overlap), _) | (None, Rotation::Overlap(overlap)) => overlap,
        (None, Rotation::Immediate) => Duration::ZERO,
    };
    if !overlap.is_zero() && contract.scheme().is_some_and(|scheme| !scheme.carries_several()) {
        let what = format!(
            "the scheme of contract `{}` carries one signature, so secrets cannot overlap",
            contract.name()
        );
        return Err(ManageError::refused("overlap", what, "0: the new secret replaces the old one at once"));
    }
    Ok(overlap)
}

/// The given secret if it can be used, or a fresh one; `None` if the contract does not sign.
pub(super) fn first_secret(
    contract: &Contract,
    given: Option<Secret>,
) -> Result<Option<Secret>, ManageError> {
    if contract.scheme().is_none() {
        return match given {
            None => Ok(None),
            Some(_) => Err(ManageError::refused(
                "secret",
                format!("contract `{}` does not sign", contract.name()),
                "no secret",
            )),
        };
    }
    let secret = match given {
        Some(given) => given,
        None => Secret::try_generate().map_err(|error| ManageError::unusable("secret", &error))?,
    };
    let len = secret.decoded_len();
    if !len.is_some_and(|len| (24..=64).contains(&len)) {
        let what =
            len.map_or_else(|| "secret is not base64".to_owned(), |len| format!("secret has {len} bytes"));
        return Err(ManageError::refused("secret", what, "whsec_ and the base64 of 24 to 64 random bytes"));
    }
    contract.signer(&secret).map_err(|error| ManageError::unusable("secret", &error))?;
    Ok(Some(secret))
}

const MOST_OLD: usize = 10;
const MAX_OVERLAP: Duration = Duration::from_secs(30 * 24 * 3600);
