//! [`Verifier`]: proves a body, and checks its age; [`VerifyError`]: why it did not.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use http::HeaderMap;
use subtle::{Choice, ConstantTimeEq as _};
use time::OffsetDateTime;

use super::MAX_SIGNATURES;
use super::ed25519;
use super::key::VerifyingKey;
use super::message::{Content, check_id, read_timestamp};
use super::scheme::{HeaderNames, Layout, Scheme};
use super::secret::Secret;
use super::verified::{Proof, Verified};
use crate::error::{Error, ErrorKind};

/// Proves that a body was signed with a secret under a [`Scheme`], not long ago.
///
/// The order is: the form of the headers, the signature, the age. So an age is only complained about in an authentic
/// message. Nothing of the body is parsed; it can be empty, not UTF-8, or megabytes.
///
/// ```
/// use hookwire::{Scheme, Secret, Signer, Verifier, VerifyError};
/// use time::{Duration, macros::datetime};
///
/// let secret: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse()?;
/// let verifier = Verifier::new(Scheme::STANDARD_WEBHOOKS, &secret)?;
///
/// let now = datetime!(2026-04-17 19:12:03 UTC);
/// let headers = Signer::new(Scheme::STANDARD_WEBHOOKS, &secret)?.sign("msg_1", now, b"{}")?;
///
/// let verified = verifier.verify_at(&headers, b"{}", now)?;
/// assert_eq!(verified.id(), Some("msg_1"));
/// assert_eq!(verified.body(), b"{}");
///
/// let forged = verifier.verify_at(&headers, b"{ }", now);
/// assert_eq!(forged.unwrap_err(), VerifyError::SignatureMismatch);
///
/// let late = verifier.verify_at(&headers, b"{}", now + Duration::seconds(412));
/// assert_eq!(late.unwrap_err().to_string(), "timestamp is 412 s old, tolerance is 300 s");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Verifier {
    scheme: Scheme,
    names: HeaderNames,
    keys: Vec<VerifyingKey>,
    /// `None` once the check was switched off.
    tolerance: Option<Duration>,
}

impl Verifier {
    /// A verifier under `scheme` with `secret` and a tolerance of 300 seconds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Secret`] when the secret has not the form that the scheme demands.
    pub fn new(scheme: Scheme, secret: &Secret) -> Result<Self, Error> {
        Ok(Self {
            scheme,
            names: scheme.header_names(),
            keys: vec![VerifyingKey::new(&scheme, secret)?],
            tolerance: Some(DEFAULT_TOLERANCE),
        })
    }

    /// Accepts another secret's signatures too, while secrets are rotated: any of them may match.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Secret`] when the secret has not the form that the scheme demands, or is the seventeenth.
    pub fn with_secret(mut self, other: &Secret) -> Result<Self, Error> {
        let key = VerifyingKey::new(&self.scheme, other)?;
        if self.keys.len() == MAX_SIGNATURES {
            return Err(Error::new(ErrorKind::Secret, "verifier has 16 secrets already, which is the most"));
        }
        self.keys.push(key);
        Ok(self)
    }

    /// How far the time of signing may lie from now, in both directions and inclusive, in whole seconds.
    ///
    /// Without effect under a scheme that signs no time, and after [`dangerous`](Self::dangerous) took the check away.
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = self.tolerance.map(|_| tolerance);
        self
    }

    /// The way to what makes a verifier less safe.
    pub fn dangerous(self) -> DangerousVerifier {
        DangerousVerifier { verifier: self }
    }

    /// The scheme this verifies.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Proves `body` by `headers`, at the time of the system's clock.
    ///
    /// # Errors
    ///
    /// As for [`verify_at`](Self::verify_at).
    pub fn verify<'a>(&self, headers: &'a HeaderMap, body: &'a [u8]) -> Result<Verified<'a>, VerifyError> {
        self.verify_at(headers, body, OffsetDateTime::now_utc())
    }

    /// Proves `body` by `headers`, at `now`.
    ///
    /// # Errors
    ///
    /// A [`VerifyError`] that says what was wrong. Answer the sender 401, whatever it is.
    pub fn verify_at<'a>(
        &self,
        headers: &'a HeaderMap,
        body: &'a [u8],
        now: OffsetDateTime,
    ) -> Result<Verified<'a>, VerifyError> {
        let mut signatures = Signatures::NONE;
        let request = self.read_headers(headers, &mut signatures)?;
        let content = Content {
            parts: self.scheme.content,
            id: request.id.unwrap_or_default().as_bytes(),
            timestamp: request.timestamp.unwrap_or_default(),
            body,
        };
        if !self.matches(&signatures, &content) {
            return Err(VerifyError::SignatureMismatch);
        }
        let timestamp = if self.scheme.signs_time { request.seconds } else { None };
        if let (Some(signed_at), Some(tolerance)) = (timestamp, self.tolerance) {
            check_age(signed_at, now.unix_timestamp(), tolerance)?;
        }
        Ok(Verified {
            id: request.id.map(Cow::Borrowed),
            timestamp,
            body: Cow::Borrowed(body),
            by: Proof::Signature(self.scheme),
            received_at: now,
            headers: None,
        })
    }

    /// Whether every header of the scheme is there, once: what can be said before the body has come.
    pub(crate) fn check_presence(&self, headers: &HeaderMap) -> Result<(), VerifyError> {
        self.find_headers(headers).map(drop)
    }

    /// Every header of the scheme, once and in its form.
    fn read_headers<'h>(
        &self,
        headers: &'h HeaderMap,
        signatures: &mut Signatures<'h>,
    ) -> Result<Request<'h>, VerifyError> {
        let found = self.find_headers(headers)?;
        self.read_signatures(found.signature, signatures)?;

        let (timestamp, timestamp_name) = match self.scheme.timestamp_header {
            Some(name) => (found.timestamp, name),
            None => (signatures.timestamp, self.scheme.signature_header),
        };
        let seconds = timestamp
            .map(read_timestamp)
            .transpose()
            .map_err(|reason| VerifyError::MalformedHeader { name: timestamp_name, reason })?;

        let mut id = None;
        if let (Some(value), Some(name)) = (found.id, self.scheme.id_header) {
            check_id(value, &self.scheme).map_err(|reason| VerifyError::MalformedHeader { name, reason })?;
            id = Some(std::str::from_utf8(value).expect("invariant: an id that passed is ASCII"));
        }
        Ok(Request { id, timestamp, seconds })
    }

    /// Every header of the scheme, once.
    ///
    /// One walk over a request's few headers costs less than looking up three names, each hashed.
    fn find_headers<'h>(&self, headers: &'h HeaderMap) -> Result<Found<'h>, VerifyError> {
        let (mut signature, mut id, mut timestamp) = (None, None, None);
        for (name, value) in headers {
            let (slot, text) = if *name == self.names.signature {
                (&mut signature, Some(self.scheme.signature_header))
            } else if self.names.id.as_ref() == Some(name) {
                (&mut id, self.scheme.id_header)
            } else if self.names.timestamp.as_ref() == Some(name) {
                (&mut timestamp, self.scheme.timestamp_header)
            } else {
                continue;
            };
            if slot.replace(value.as_bytes()).is_some() {
                return Err(VerifyError::DuplicateHeader { name: text.unwrap_or_default() });
            }
        }
        let missing = |found: Option<&[u8]>, name: Option<&'static str>| match name {
            Some(name) if found.is_none() => Err(VerifyError::MissingHeader { name }),
            _ => Ok(()),
        };
        missing(timestamp, self.scheme.timestamp_header)?;
        missing(id, self.scheme.id_header)?;
        match signature {
            Some(signature) => Ok(Found { signature, id, timestamp }),
            None => Err(VerifyError::MissingHeader { name: self.scheme.signature_header }),
        }
    }

    fn read_signatures<'h>(
        &self,
        value: &'h [u8],
        signatures: &mut Signatures<'h>,
    ) -> Result<(), VerifyError> {
        signatures.value = value;
        let malformed = |reason| VerifyError::MalformedHeader { name: self.scheme.signature_header, reason };
        match self.scheme.layout {
            Layout::Single { prefix } => {
                let text = value
                    .strip_prefix(prefix.as_bytes())
                    .ok_or_else(|| malformed("does not begin with its scheme's prefix"))?;
                signatures.push(
                    self.scheme.encoding.read_tag(text).ok_or_else(|| {
                        malformed("is not a signature of 32 bytes in its scheme's encoding")
                    })?,
                );
            }
            Layout::List { version } => {
                // Counted before: that is quick, and the last entry, mostly the only one, is not searched for an end.
                let entries = 1 + value.iter().filter(|byte| **byte == b' ').count();
                if entries > MAX_SIGNATURES {
                    return Err(malformed(TOO_MANY));
                }
                for entry in value.splitn(entries, |byte| *byte == b' ') {
                    if let Some(text) = versioned(entry, version)
                        && let Some(tag) = self.scheme.encoding.read_tag(text)
                    {
                        signatures.push(tag);
                    }
                }
            }
            Layout::Fields { timestamp, signature } => {
                let mut others = 0;
                for field in value.split(|byte| *byte == b',') {
                    if let Some(digits) = named(field, timestamp) {
                        if signatures.timestamp.replace(digits).is_some() {
                            return Err(malformed("has more than one time"));
                        }
                        continue;
                    }
                    if others == MAX_SIGNATURES {
                        return Err(malformed(TOO_MANY));
                    }
                    others += 1;
                    if let Some(text) = named(field, signature)
                        && let Some(tag) = self.scheme.encoding.read_tag(text)
                    {
                        signatures.push(tag);
                    }
                }
                if signatures.timestamp.is_none() {
                    return Err(malformed("has no time"));
                }
            }
        }
        Ok(())
    }

    /// Compares every key with every signature, without stopping at the one that matches: how long it takes says nothing.
    fn matches(&self, signatures: &Signatures<'_>, content: &Content<'_>) -> bool {
        let mut found = Choice::from(0);
        let mut whole = None;
        for key in &self.keys {
            match key {
                VerifyingKey::Hmac(key) => {
                    let expected = key.tag(content);
                    for tag in signatures.tags() {
                        found |= same(&expected, tag);
                    }
                }
                VerifyingKey::Ed25519(key) => {
                    let whole = whole.get_or_insert_with(|| content.to_vec());
                    for entry in signatures.value.split(|byte| *byte == b' ') {
                        if let Some(text) = versioned(entry, ed25519::VERSION) {
                            found |= Choice::from(u8::from(key.verifies(whole, text)));
                        }
                    }
                }
            }
        }
        found.into()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("scheme", &self.scheme.name)
            .field("secrets", &self.keys.len())
            .field("tolerance", &self.tolerance)
            .finish_non_exhaustive()
    }
}

/// A [`Verifier`] about to lose one of its checks.
#[derive(Clone, Debug)]
pub struct DangerousVerifier {
    verifier: Verifier,
}

impl DangerousVerifier {
    /// Accepts a message of any age, so that whoever recorded one **can send it again at any time**.
    ///
    /// For replaying stored requests. The time is still demanded in its form and covered by the signature.
    #[must_use]
    pub fn without_timestamp_check(mut self) -> Verifier {
        self.verifier.tolerance = None;
        self.verifier
    }
}

/// Why a message was not proved.
///
/// Whatever it is, the answer to the sender is 401; the difference is for logs and tests.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A header of the scheme is not there.
    #[error("header {name} is missing")]
    #[non_exhaustive]
    MissingHeader {
        /// The header's lower-case name.
        name: &'static str,
    },
    /// A header of the scheme is there more than once, so that two readers could choose differently.
    #[error("header {name} is there more than once, expected it once")]
    #[non_exhaustive]
    DuplicateHeader {
        /// The header's lower-case name.
        name: &'static str,
    },
    /// A header of the scheme does not have the form it must have.
    #[error("header {name} {reason}")]
    #[non_exhaustive]
    MalformedHeader {
        /// The header's lower-case name.
        name: &'static str,
        /// What is wrong with it, to follow its name in a sentence.
        reason: &'static str,
    },
    /// The message is authentic but was signed longer ago than the tolerance allows.
    #[error("timestamp is {} s old, tolerance is {} s", age.as_secs(), tolerance.as_secs())]
    #[non_exhaustive]
    TimestampTooOld {
        /// How long ago it was signed, in whole seconds.
        age: Duration,
        /// The verifier's tolerance.
        tolerance: Duration,
    },
    /// The message is authentic but was signed further in the future than the tolerance allows.
    #[error("timestamp is {} s in the future, tolerance is {} s", ahead.as_secs(), tolerance.as_secs())]
    #[non_exhaustive]
    TimestampInFuture {
        /// How far in the future it was signed, in whole seconds.
        ahead: Duration,
        /// The verifier's tolerance.
        tolerance: Duration,
    },
    /// No signature in the header was made over this message with any of the verifier's secrets.
    #[error("no signature matches, expected one over these bytes by a known secret")]
    SignatureMismatch,
}

/// The values of a scheme's headers.
struct Found<'h> {
    signature: &'h [u8],
    id: Option<&'h [u8]>,
    timestamp: Option<&'h [u8]>,
}

/// What the headers of one request say.
struct Request<'h> {
    id: Option<&'h str>,
    timestamp: Option<&'h [u8]>,
    seconds: Option<i64>,
}

/// What the signature header says; the HMAC tags are decoded once, whatever the number of keys.
struct Signatures<'h> {
    tags: [[u8; 32]; MAX_SIGNATURES],
    len: usize,
    timestamp: Option<&'h [u8]>,
    value: &'h [u8],
}

impl Signatures<'_> {
    const NONE: Self = Self { tags: [[0; 32]; MAX_SIGNATURES], len: 0, timestamp: None, value: &[] };

    fn push(&mut self, tag: [u8; 32]) {
        self.tags[self.len] = tag;
        self.len += 1;
    }

    fn tags(&self) -> &[[u8; 32]] {
        &self.tags[..self.len]
    }
}

/// In constant time; by words, because a comparison by bytes takes a quarter of a short message's time.
fn same(left: &[u8; 32], right: &[u8; 32]) -> Choice {
    let halves = |tag: &[u8; 32]| {
        let (low, high) = tag.split_at(16);
        [low, high].map(|half| u128::from_ne_bytes(half.try_into().expect("invariant: half of 32 is 16")))
    };
    let ([left_low, left_high], [right_low, right_high]) = (halves(left), halves(right));
    left_low.ct_eq(&right_low) & left_high.ct_eq(&right_high)
}

/// The signature of a `version,signature` entry, if the version is this one.
fn versioned<'h>(entry: &'h [u8], version: &str) -> Option<&'h [u8]> {
    entry.strip_prefix(version.as_bytes())?.strip_prefix(b",")
}

/// The value of a `name=value` field, if the name is this one.
fn named<'h>(field: &'h [u8], name: &str) -> Option<&'h [u8]> {
    field.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

/// In whole seconds, as timestamps are; the bound is inclusive.
fn check_age(signed_at: i64, now: i64, tolerance: Duration) -> Result<(), VerifyError> {
    let distance = now.abs_diff(signed_at);
    if distance <= tolerance.as_secs() {
        return Ok(());
    }
    let distance = Duration::from_secs(distance);
    Err(if signed_at < now {
        VerifyError::TimestampTooOld { age: distance, tolerance }
    } else {
        VerifyError::TimestampInFuture { ahead: distance, tolerance }
    })
}

const DEFAULT_TOLERANCE: Duration = Duration::from_secs(300);
const TOO_MANY: &str = "holds more than 16 signatures";
