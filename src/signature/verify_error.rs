//! [`VerifyError`]: the reason why a message was not proved.

use std::time::Duration;

/// The reason why a message was not proved.
///
/// The answer to the sender is 401 in each case; the difference is for logs and tests.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A header of the scheme is missing.
    #[error("header {name} is missing")]
    #[non_exhaustive]
    MissingHeader {
        /// The header's lower-case name.
        name: &'static str,
    },
    /// A header of the scheme stands there more than once, so that two readers could choose differently.
    #[error("header {name} is there more than once, expected it once")]
    #[non_exhaustive]
    DuplicateHeader {
        /// The header's lower-case name.
        name: &'static str,
    },
    /// A header of the scheme is malformed.
    #[error("header {name} {reason}")]
    #[non_exhaustive]
    MalformedHeader {
        /// The header's lower-case name.
        name: &'static str,
        /// The fault, to follow the header's name in a sentence.
        reason: &'static str,
    },
    /// The message is authentic but was signed longer ago than the tolerance allows.
    #[error("timestamp is {} s old, tolerance is {} s", age.as_secs(), tolerance.as_secs())]
    #[non_exhaustive]
    TimestampTooOld {
        /// The time since it was signed, in whole seconds.
        age: Duration,
        /// The verifier's tolerance.
        tolerance: Duration,
    },
    /// The message is authentic but was signed further in the future than the tolerance allows.
    #[error("timestamp is {} s in the future, tolerance is {} s", ahead.as_secs(), tolerance.as_secs())]
    #[non_exhaustive]
    TimestampInFuture {
        /// The time until it will be signed, in whole seconds.
        ahead: Duration,
        /// The verifier's tolerance.
        tolerance: Duration,
    },
    /// The sender signs the request's URL, which is not known here.
    #[error("request's URL is not known, expected it from `with_url`")]
    UnknownUrl,
    /// The body lacks what the sender signs, or the signature, or says it in another form.
    #[error("body {reason}")]
    #[non_exhaustive]
    MalformedBody {
        /// The fault, to follow "body" in a sentence.
        reason: &'static str,
    },
    /// The body is not the one of which the request carries the digest.
    #[error("body is another one than the digest in the request is of")]
    DigestMismatch,
    /// The token or one of its claims is not what the sender promises.
    #[error("claim `{claim}` of the token {reason}")]
    #[non_exhaustive]
    Claim {
        /// The name of the claim.
        claim: &'static str,
        /// The fault, to follow the claim's name in a sentence.
        reason: &'static str,
    },
    /// The request was signed with a key that is not known here.
    #[error("key that signed is not known, expected one of those given or known to the key source")]
    UnknownKey,
    /// No signature in the header was made over this message with one of the verifier's secrets.
    #[error("no signature matches, expected one over these bytes by a known secret")]
    SignatureMismatch,
}
