//! [`Revision`]: identifies one version of a subscription as it was written.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorKind};
use crate::subscription::{Subscription, SubscriptionStatus};

/// Identifies one version of a subscription, for an update that must not undo another. Each write has another
/// revision; the health of the endpoint is no part of it.
///
/// ```
/// use hookwire::manage::Revision;
///
/// let revision: Revision = "00112233445566778899aabbccddeeff".parse()?;
/// assert_eq!(revision.to_string(), "00112233445566778899aabbccddeeff");
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Revision(u128);

impl Revision {
    /// Hashes the parts that are not secret, and the number that each write sets, so that the revision
    /// reveals nothing about a password.
    pub(super) fn of(subscription: &Subscription) -> Self {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update(bytes.len().to_be_bytes());
            hash.update(bytes);
        };
        part(&subscription.id.as_u128().to_be_bytes());
        part(&subscription.options.edition().to_be_bytes());
        part(subscription.url.as_str().as_bytes());
        part(subscription.filter.to_storage().as_bytes());
        if let SubscriptionStatus::Disabled { reason, at } = &subscription.status {
            part(reason.as_str().as_bytes());
            part(&at.unix_timestamp_nanos().to_be_bytes());
        }
        for secret in &subscription.secrets {
            part(secret.preview().as_bytes());
        }
        let digest = hash.finalize();
        Self(u128::from_be_bytes(std::array::from_fn(|at| digest[at])))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for Revision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hex);
        number.map(Self).ok_or_else(|| {
            Error::new(ErrorKind::Subscription, "revision is not valid").with_expected("32 hex digits")
        })
    }
}

impl Serialize for Revision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
