//! [`ManageError`]: why a call of management was not carried out; [`Refusal`]: which field was wrong, and what would be right.

use std::borrow::Cow;

use crate::store::StoreError;

/// Why a call of management was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManageError {
    /// A field holds what cannot be used.
    #[error("{0}")]
    Refused(Refusal),
    /// The organization has none of this id; another organization's is told so too.
    #[error("{what} was not found, expected one of this organization")]
    #[non_exhaustive]
    NotFound {
        /// What was asked for: `subscription`, `delivery`, `event`.
        what: &'static str,
    },
    /// Somebody else changed the subscription since it was read.
    #[error("subscription was changed since it was read, expected its last revision; read it again")]
    Changed,
    /// What was asked for does not go with how things stand.
    #[error("{what}, expected {expected}")]
    #[non_exhaustive]
    Conflict {
        /// How things stand.
        what: Cow<'static, str>,
        /// How they would have to be.
        expected: Cow<'static, str>,
    },
    /// Another request was made with this idempotency key.
    #[error("idempotency key belongs to another request, expected a key of its own for each")]
    KeyReused,
    /// The organization has as many subscriptions as it may have.
    #[error("organization has {limit} subscriptions, expected fewer; delete one first")]
    #[non_exhaustive]
    LimitReached {
        /// How many it may have.
        limit: u32,
    },
    /// The service was built without an HTTP client, which test events need.
    #[error("service has no HTTP client to send test events with, expected one")]
    NoClient,
    /// What is secret could not be sealed, so nothing was written.
    #[error("secrets could not be sealed")]
    Sealing(#[source] crate::Error),
    /// The store could not do it.
    #[error("store could not carry it out")]
    Store(#[from] StoreError),
}

impl ManageError {
    /// The field that is to blame, as a client sent it.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.field),
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

    /// What a part of this crate refused, whose text says what is wrong and what would be right.
    pub(super) fn told(field: impl Into<Cow<'static, str>>, error: &crate::Error) -> Self {
        let text = error.to_string();
        match text.split_once(", expected ") {
            Some((what, expected)) => Self::refused(field, what.to_owned(), expected.to_owned()),
            None => Self::refused(field, text, "another value"),
        }
    }
}

/// A field that holds what cannot be used. Its text never repeats a secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{field}: {what}, expected {expected}")]
#[non_exhaustive]
pub struct Refusal {
    /// The field, as a client sent it: `url`, `events[1]`, `headers`.
    pub field: Cow<'static, str>,
    /// What was wrong.
    pub what: Cow<'static, str>,
    /// What would be right.
    pub expected: Cow<'static, str>,
    /// The rule of the address policy that refused a URL.
    pub rule: Option<&'static str>,
}
