//! [`Error`]: what every part answers to input it cannot use, where a caller seldom branches.
//!
//! Where callers do branch there is a type of its own: [`VerifyError`](crate::VerifyError),
//! [`DecodeError`](crate::DecodeError), and those of the store and the transport.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// An input that could not be used, with the reason and what would be right.
///
/// Opaque but for its [`kind`](Error::kind). Its text never holds a secret or a payload.
///
/// ```
/// use hookwire::{Error, ErrorKind, Secret};
///
/// let error: Error = "".parse::<Secret>().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Secret);
/// assert_eq!(error.to_string(), "secret is empty, expected at least one character");
/// ```
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: Cow<'static, str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// What the input was meant to be.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), source: None }
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
        f.write_str(&self.message)
    }
}

/// The part of an input that an [`Error`] is about.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The settings of an HTTP client: a certificate, a header value.
    Client,
    /// A contract: an unknown name, or a part that contradicts another.
    Contract,
    /// A delivery's id.
    Delivery,
    /// Event data that could not be written as JSON.
    Encode,
    /// An event id or type that breaks the rules of its kind.
    Event,
    /// What admits a request without a signature: a network, a path's token.
    Guard,
    /// A key ring's key or its id, or a sealed secret that does not open.
    KeyRing,
    /// A rate that could never be kept.
    Rate,
    /// A retry policy that could never be followed.
    RetryPolicy,
    /// Key material of the wrong form for its scheme.
    Secret,
    /// An id or a time that no verifier would accept.
    Sign,
    /// A subscription's filter, headers or limits.
    Subscription,
    /// A contract without a signature scheme was asked for a signer or a verifier.
    Unsigned,
    /// Random bytes could not be had from the operating system.
    Randomness,
}
