//! [`Limits`]: the bounds of one request.

use std::sync::Arc;
use std::time::Duration;

use super::identity::ClientIdentity;
use crate::address::AddressPolicy;

/// The bounds of one request: how long it may take, how much is read, and which endpoints may be reached.
///
/// ```
/// use std::time::Duration;
/// use hookwire::{AddressPolicy, Limits};
///
/// let limits = Limits::new(Duration::from_secs(10))
///     .with_body_cap(4 * 1024)
///     .with_addresses(AddressPolicy::new().allow_loopback());
/// assert_eq!(limits.body_cap, 4096);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Everything from name resolution to the last byte of the body happens within this time.
    pub deadline: Duration,
    /// How much of the response's body is returned, in bytes; 16 KiB unless set.
    pub body_cap: usize,
    /// The policy for addresses; the strict one unless set.
    pub addresses: AddressPolicy,
    /// The certificate by which the endpoint knows the sender; none unless set.
    pub identity: Option<Arc<ClientIdentity>>,
}

impl Limits {
    /// Makes limits with a deadline and otherwise strict defaults.
    pub const fn new(deadline: Duration) -> Self {
        Self { deadline, body_cap: DEFAULT_BODY_CAP, addresses: AddressPolicy::new(), identity: None }
    }

    /// Sets how much of the response's body is returned, in bytes.
    #[must_use]
    pub const fn with_body_cap(mut self, bytes: usize) -> Self {
        self.body_cap = bytes;
        self
    }

    /// Sets the certificate by which the endpoint knows the sender (mutual TLS).
    #[must_use]
    pub fn with_identity(mut self, identity: impl Into<Arc<ClientIdentity>>) -> Self {
        self.identity = Some(identity.into());
        self
    }

    /// Sets the policy for addresses.
    #[must_use]
    pub fn with_addresses(mut self, addresses: AddressPolicy) -> Self {
        self.addresses = addresses;
        self
    }
}

// Enough to read an error page; an attempt's log stores less.
const DEFAULT_BODY_CAP: usize = 16 * 1024;
