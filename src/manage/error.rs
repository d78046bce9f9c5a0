//! [`ManageError`]: the reason why a call of management failed; [`Refusal`]: the field that was wrong, and
//! the value that would be right.

use std::borrow::Cow;
use std::time::Duration;

use crate::contract::{ContractId, VersionError};
use crate::event::EventId;
use crate::store::StoreError;

/// The reason why a call of management failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManageError {
    /// A field holds a value that cannot be used.
    #[error("{0}")]
    Refused(Refusal),
    /// A field holds a value that something else of its kind has, so that it has to be another one.
    #[error("{0}")]
    Taken(Refusal),
    /// An event is longer than an outbox takes.
    #[error("event takes {len} bytes, expected at most {limit}")]
    #[non_exhaustive]
    TooLarge {
        /// The length of the envelope in bytes.
        len: usize,
        /// The greatest length that is allowed.
        limit: usize,
    },
    /// The organization has nothing with this id. The answer is the same if another organization has.
    #[error("{what} was not found, expected one of this organization")]
    #[non_exhaustive]
    NotFound {
        /// The kind of item: `subscription`, `delivery`, `event`.
        what: &'static str,
    },
    /// Somebody else changed the subscription since it was read.
    #[error("subscription was changed since it was read, expected its last revision; read it again")]
    Changed,
    /// The present state does not allow the call.
    #[error("{what}, expected {expected}")]
    #[non_exhaustive]
    Conflict {
        /// The present state.
        what: Cow<'static, str>,
        /// The state that would allow the call.
        expected: Cow<'static, str>,
    },
    /// A replay would send an event in a version in which it is not stored, and the service cannot make it in
    /// that version. Nothing was sent.
    #[error(
        "event `{event}` is not stored in `{contract}`, which the subscription speaks, expected a chain of versions \
         that makes it; see Versions::with_older and Service::of"
    )]
    #[non_exhaustive]
    NotInVersion {
        /// The event.
        event: EventId,
        /// The contract, in the version that the subscription speaks.
        contract: ContractId,
        /// The error of the chain; `None` where the service has none that leads to that version.
        source: Option<VersionError>,
    },
    /// Another request was made with this idempotency key.
    #[error("idempotency key belongs to another request, expected a key of its own for each")]
    KeyReused,
    /// The organization has as many subscriptions as it may have.
    #[error("organization has {limit} subscriptions, expected fewer; delete one first")]
    #[non_exhaustive]
    LimitReached {
        /// The number that it may have.
        limit: u32,
    },
    /// The service was built without an HTTP client, which test events need.
    #[error("service has no HTTP client to send test events with, expected one")]
    NoClient,
    /// Too many test events were sent, by the organization, to the subscription or in all.
    #[error("too many test events were sent, expected the next one in {} s", .retry_after.as_secs_f64().ceil())]
    #[non_exhaustive]
    TooManyTests {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The secrets could not be sealed, so nothing was written.
    #[error("secrets could not be sealed")]
    Sealing(#[source] crate::Error),
    /// The store failed.
    #[error("store could not carry it out")]
    Store(#[from] StoreError),
}

impl ManageError {
    /// The field that is wrong, by the name that the client used.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) | Self::Taken(refusal) => Some(&refusal.field),
            _ => None,
        }
    }

    pub(super) fn refused(
        field: impl Into<Cow<'static, str>>,
        what: impl Into<Cow<'static, str>>,
        expected: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Refused(Refusal {
            field: field.into(),
            what: what.into(),
            expected: expected.into(),
            rule: None,
        })
    }

    /// A field whose value `error` refuses.
    pub(super) fn unusable(field: impl Into<Cow<'static, str>>, error: &crate::Error) -> Self {
        let expected = error.expected().unwrap_or("another value").to_owned();
        Self::refused(field, error.reason().to_owned(), expected)
    }

    pub(super) const fn not_found(what: &'static str) -> Self {
        Self::NotFound { what }
    }

    pub(super) fn conflict(
        what: impl Into<Cow<'static, str>>,
        expected: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Conflict { what: what.into(), expected: expected.into() }
    }

    pub(super) fn secret_in_use() -> Self {
        Self::taken("secret", "secret is another subscription's", "one of its own")
    }

    pub(super) fn taken(
        field: impl Into<Cow<'static, str>>,
        what: &'static str,
        expected: &'static str,
    ) -> Self {
        Self::Taken(Refusal { field: field.into(), what: what.into(), expected: expected.into(), rule: None })
    }

    /// The same error, with the field named as `place` names it.
    pub(super) fn within(mut self, place: impl FnOnce(&str) -> String) -> Self {
        if let Self::Refused(refusal) | Self::Taken(refusal) = &mut self {
            refusal.field = place(&refusal.field).into();
        }
        self
    }
}

/// A field that holds a value that cannot be used. The text never repeats a secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{field}: {what}, expected {expected}")]
#[non_exhaustive]
pub struct Refusal {
    /// The field, by the name that the client used: `url`, `events[1]`, `headers`.
    pub field: Cow<'static, str>,
    /// The fault.
    pub what: Cow<'static, str>,
    /// A value that would be right.
    pub expected: Cow<'static, str>,
    /// The rule of the address policy that refused a URL.
    pub rule: Option<&'static str>,
}
