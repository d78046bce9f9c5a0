//! [`Incident`]: what a worker tells whoever wants to know.

use std::fmt;
use std::time::Duration;

use crate::store::{InboxKey, StoreError};

/// What a [`Worker`](crate::receive::Worker) tells whoever wants to know; its text is a line for a log.
///
/// Reasons are the handler's own words.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Incident<'a> {
    /// An attempt to handle a request failed. It is tried again.
    #[non_exhaustive]
    Failed {
        /// Which request.
        key: &'a InboxKey,
        /// Which attempt it was, from 1.
        attempt: u32,
        /// What went wrong.
        reason: &'a str,
        /// When it is tried again.
        retry_after: Duration,
    },
    /// A request was given up. It stays in the intake with the reason.
    #[non_exhaustive]
    GivenUp {
        /// Which request.
        key: &'a InboxKey,
        /// What went wrong.
        reason: &'a str,
    },
    /// A lease ended before its attempt did, so that nothing could be written of it. Whoever took the request then handles it
    /// again.
    #[non_exhaustive]
    Stale {
        /// Which request.
        key: &'a InboxKey,
    },
    /// A call of the intake failed.
    #[non_exhaustive]
    Intake {
        /// Which call.
        call: &'static str,
        /// Why.
        error: &'a StoreError,
    },
}

impl fmt::Display for Incident<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { key, attempt, reason, retry_after } => write!(
                f,
                "attempt {attempt} at event {} of {} failed, next in {retry_after:?}: {reason}",
                key.id, key.source
            ),
            Self::GivenUp { key, reason } => {
                write!(f, "event {} of {} is given up: {reason}", key.id, key.source)
            }
            Self::Stale { key } => {
                write!(f, "lease of event {} of {} ended before its attempt did", key.id, key.source)
            }
            Self::Intake { call, error } => write!(f, "call `{call}` of the intake failed: {error}"),
        }
    }
}
