//! [`Error`]: the error of every function that refuses its input, where callers seldom branch.
//!
//! Where callers do branch, there are types of their own: [`VerifyError`](crate::VerifyError),
//! [`DecodeError`](crate::event::DecodeError), and those of the store and the transport.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// An input that was refused. The text says what was wrong and what would be right.
///
/// Only its [`kind`](Error::kind) can be matched on. The text never contains a secret or a payload.
///
/// ```
/// use hookwire::{Error, ErrorKind, Secret};
///
/// let error: Error = "".parse::<Secret>().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Secret);
/// assert_eq!(error.to_string(), "secret is empty, expected at least one character");
/// assert_eq!(error.expected(), Some("at least one character"));
/// ```
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    reason: Cow<'static, str>,
    expected: Option<Cow<'static, str>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// The kind of input that was refused.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The fault, such as `secret is empty`.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// An input that would have been right, such as `at least one character`, if the error names one.
    pub fn expected(&self) -> Option<&str> {
        self.expected.as_deref()
    }

    pub(crate) fn new(kind: ErrorKind, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, reason: reason.into(), expected: None, source: None }
    }

    /// Sets the words that follow "expected" in the text.
    pub(crate) fn with_expected(mut self, expected: impl Into<Cow<'static, str>>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Sets the kind, for an error of a part.
    pub(crate) const fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        match &self.expected {
            Some(expected) => write!(f, ", expected {expected}"),
            None => Ok(()),
        }
    }
}

/// The part of an input that an [`Error`] is about.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A network or a name of an address policy, or a proxy.
    Address,
    /// The settings of an HTTP client: a certificate, a header value.
    Client,
    /// A contract: an unknown name, or parts that contradict each other.
    Contract,
    /// A delivery's id or state.
    Delivery,
    /// Event data that could not be written as JSON.
    Encode,
    /// An event id or type that breaks the rules of its kind.
    Event,
    /// A guard that admits requests without a signature: a network, a token in a path.
    Guard,
    /// A key ring's key or its id, or a sealed secret that does not open.
    KeyRing,
    /// The text of an outcome or of an error class.
    Outcome,
    /// A rate that is not a number or too low.
    Rate,
    /// A retry policy that cannot be followed.
    RetryPolicy,
    /// Key material that has the wrong form for its scheme.
    Secret,
    /// An id or a time that no verifier would accept.
    Sign,
    /// A subscription's filter, headers or limits.
    Subscription,
    /// A signer or a verifier for a contract without a signature scheme.
    Unsigned,
    /// The operating system gave no random bytes.
    Randomness,
}
