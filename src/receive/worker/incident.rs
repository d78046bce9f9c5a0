//! [`Incident`]: something that went wrong in a worker.

use std::fmt;
use std::time::Duration;

use crate::store::{InboxKey, StoreError};

/// Something that went wrong in a [`Worker`](crate::receive::Worker), for its
/// [observer](crate::receive::Worker::with_observer). Its text is a line for a log.
///
/// The reasons are the texts of the handler's errors.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Incident<'a> {
    /// An attempt to handle a request failed. It is tried again.
    #[non_exhaustive]
    Failed {
        /// The request's key.
        key: &'a InboxKey,
        /// The attempt, from 1.
        attempt: u32,
        /// The text of the error.
        reason: &'a str,
        /// How long until it is tried again.
        retry_after: Duration,
    },
    /// A request was given up. It stays in the intake with the reason.
    #[non_exhaustive]
    GivenUp {
        /// The request's key.
        key: &'a InboxKey,
        /// The text of the error.
        reason: &'a str,
    },
    /// Nobody put back or closed a request that was given up for
    /// [so long](crate::receive::Worker::with_expiry). It is done now, and its body is deleted.
    #[non_exhaustive]
    Expired {
        /// The request's key.
        key: &'a InboxKey,
    },
    /// A lease ended before its attempt did, so the result could not be written. Another worker handles the
    /// request again.
    ///
    /// A result whose writing was repeated, because the intake's first answer was lost, counts as written.
    #[non_exhaustive]
    Stale {
        /// The request's key.
        key: &'a InboxKey,
    },
    /// A call of the intake failed.
    #[non_exhaustive]
    Intake {
        /// The name of the call.
        call: &'static str,
        /// The error.
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
            Self::Expired { key } => {
                write!(f, "event {} of {} was given up and is deleted now", key.id, key.source)
            }
            Self::Stale { key } => {
                write!(f, "lease of event {} of {} ended before its attempt did", key.id, key.source)
            }
            Self::Intake { call, error } => write!(f, "call `{call}` of the intake failed: {error}"),
        }
    }
}
