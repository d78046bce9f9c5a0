//! [`Sealing`]: seals what the service stores.

use crate::error::Error;
use crate::subscription::Subscription;

/// Seals the secrets of a subscription that are in the clear.
pub(super) trait Sealing: Send + Sync {
    fn seal_plain(&self, subscription: Subscription) -> Result<Subscription, Error>;
}
