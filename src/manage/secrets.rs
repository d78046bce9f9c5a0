//! Secrets: the first one, and rotation.

use std::time::Duration;

use time::OffsetDateTime;

use super::subscriptions::secret_in_use;
use super::{ManageError, Revision, Service, Shown, SubscriptionView};
use crate::contract::Rotation;
use crate::id::SubscriptionId;
use crate::signature::Secret;
use crate::store::{Records, SecretDigest};
use crate::subscription::Subscription;

/// How a secret is replaced.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Rotate {
    /// The new secret; one is made where none is given.
    pub secret: Option<Secret>,
    /// For how long the old ones sign beside it, at most: zero replaces them at once. The contract's rule unless given.
    pub overlap: Option<Duration>,
    /// Only where nobody else changed the subscription since that revision.
    pub seen: Option<Revision>,
}

impl Rotate {
    /// A fresh secret under the contract's rule.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same rotation to this secret.
    pub fn with_secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// The same rotation, unless somebody else changed the subscription since `seen`.
    pub const fn with_seen(mut self, seen: Revision) -> Self {
        self.seen = Some(seen);
        self
    }

    /// The same rotation, with the old secrets signing for so long.
    pub const fn with_overlap(mut self, overlap: Duration) -> Self {
        self.overlap = Some(overlap);
        self
    }
}

impl<S: Records> Service<S> {
    /// Replaces a subscription's secret, and shows the new one: the only time. One change, whatever is delivered or changed meanwhile.
    ///
    /// # Errors
    ///
    /// [`ManageError::Refused`] for a secret that cannot be used, for an overlap of more than 30 days, and for one under a scheme whose
    /// header carries one signature alone ([`Scheme::carries_several`](crate::Scheme::carries_several));
    /// [`ManageError::Changed`] where it was changed since the revision that is named;
    /// [`ManageError::Conflict`] where 10 old secrets sign still and where the contract does not sign; [`ManageError::NotFound`] and
    /// [`ManageError::Store`].
    pub async fn rotate(
        &self,
        organization: &str,
        id: SubscriptionId,
        rotate: Rotate,
    ) -> Result<Shown, ManageError> {
        let now = self.now();
        let overlap = match (rotate.overlap, self.contract.rotation()) {
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
        if !overlap.is_zero() && self.contract.scheme().is_some_and(|scheme| !scheme.carries_several()) {
            let what = format!("signatures of contract `{}` come alone", self.contract.name());
            return Err(ManageError::refused(
                "overlap",
                what,
                "0: the new secret replaces the old one at once",
            ));
        }
        let until = (!overlap.is_zero()).then(|| now + overlap);
        // Before any secret is judged, so that nothing is told of what is not there.
        self.find(organization, id).await?;
        let Some(secret) = self.first_secret(rotate.secret)? else {
            return Err(ManageError::Conflict {
                what: format!("contract `{}` does not sign", self.contract.name()).into(),
                expected: "one that does".into(),
            });
        };
        if !self.store.hold_secret(id, &SecretDigest::of(&secret)).await? {
            return Err(secret_in_use());
        }
        let change = |subscription: &mut Subscription| self.put_secret(subscription, secret.clone(), until);
        let changed = self.change(organization, id, rotate.seen, change).await?;
        Ok(Shown {
            subscription: SubscriptionView::of(&changed, now),
            secret: Some(secret),
            is_repeat: false,
        })
    }

    /// The secret that was given, if it can be used, or a fresh one; `None` where the contract does not sign.
    pub(super) fn first_secret(&self, given: Option<Secret>) -> Result<Option<Secret>, ManageError> {
        if self.contract.scheme().is_none() {
            return match given {
                None => Ok(None),
                Some(_) => Err(ManageError::refused(
                    "secret",
                    format!("contract `{}` does not sign", self.contract.name()),
                    "no secret",
                )),
            };
        }
        let secret = match given {
            Some(given) => given,
            None => Secret::try_generate().map_err(|error| ManageError::told("secret", &error))?,
        };
        let len = secret.decoded_len();
        if !len.is_some_and(|len| (24..=64).contains(&len)) {
            let what = len
                .map_or_else(|| "secret is not base64".to_owned(), |len| format!("secret has {len} bytes"));
            return Err(ManageError::refused(
                "secret",
                what,
                "whsec_ and the base64 of 24 to 64 random bytes",
            ));
        }
        self.contract.signer(&secret).map_err(|error| ManageError::told("secret", &error))?;
        Ok(Some(secret))
    }

    /// The one place where a secret gets into a subscription: before the others, which sign until then or no more.
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
        // An old one keeps its time, unless that is later than this rotation allows.
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
            return Err(ManageError::Conflict {
                what: format!("{} old secrets would sign", signing.len()).into(),
                expected: format!("{MOST_OLD} or fewer; wait for one to end, or rotate at once").into(),
            });
        }
        let (old, times): (Vec<_>, Vec<_>) = signing.into_iter().unzip();
        subscription.secrets = [secret.into()].into_iter().chain(old).collect();
        subscription.secrets_until = times;
        Ok(())
    }
}

const MOST_OLD: usize = 10;
const MAX_OVERLAP: Duration = Duration::from_secs(30 * 24 * 3600);
