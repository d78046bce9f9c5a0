//! [`Verifier`]: proves a body and checks its age.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use subtle::{Choice, ConstantTimeEq as _};
use time::OffsetDateTime;

use super::age::check_age;
use super::ed25519;
use super::general::{self, GeneralKey};
use super::key::{MAX_SIGNATURES, VerifyingKey};
use super::layout::Layout;
use super::message::{Content, check_id, read_timestamp};
use super::public_key::PublicKey;
use super::request::Request;
use super::scheme::{HeaderNames, Scheme};
use super::secret::Secret;
use super::verified::{By, Verified};
use super::verify_error::VerifyError;
use crate::error::{Error, ErrorKind};

/// Proves that a body was signed with a secret under a [`Scheme`], and not long ago.
///
/// It checks the form of the headers, then the signature, then the age. So an error about the age means that
/// the message is authentic. The body is not parsed; it may be empty, not UTF-8, or megabytes long.
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
    /// Shared with the messages that it proves, which would be large otherwise.
    scheme: Arc<Scheme>,
    names: HeaderNames,
    other_names: Option<Box<HeaderNames>>,
    keys: Vec<VerifyingKey>,
    /// The keys of a scheme that the fast way does not know; empty otherwise.
    general: Vec<GeneralKey>,
    /// `None` if the check of the age is switched off.
    tolerance: Option<Duration>,
}

impl Verifier {
    /// Makes a verifier under `scheme` with `secret` and a tolerance of 300 seconds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Secret`] when the secret does not have the form that the scheme demands.
    pub fn new(scheme: Scheme, secret: &Secret) -> Result<Self, Error> {
        let mut verifier = Self::without_keys(scheme);
        match scheme.is_plain {
            true => verifier.keys.push(VerifyingKey::new(&scheme, secret)?),
            false => verifier.general.push(GeneralKey::new(&scheme, secret)?),
        }
        Ok(verifier)
    }

    /// Makes a verifier under `scheme` with the sender's public key and a tolerance of 300 seconds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Secret`] when the scheme signs with a shared secret or with another kind of key, or the
    /// crate lacks the feature for it.
    pub fn with_public_key(scheme: Scheme, key: &PublicKey) -> Result<Self, Error> {
        let mut verifier = Self::without_keys(scheme);
        verifier.general.push(GeneralKey::public(&scheme, key)?);
        Ok(verifier)
    }

    fn without_keys(scheme: Scheme) -> Self {
        let tolerance = Some(DEFAULT_TOLERANCE);
        Self {
            scheme: Arc::new(scheme),
            names: scheme.header_names(),
            other_names: scheme.other_header_names().map(Box::new),
            keys: Vec::new(),
            general: Vec::new(),
            tolerance,
        }
    }

    /// Adds a secret, for a rotation: the signature of any of the secrets is accepted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Secret`] when the secret does not have the form that the scheme demands, or is the
    /// seventeenth.
    pub fn with_secret(mut self, other: &Secret) -> Result<Self, Error> {
        if self.keys.len() + self.general.len() == MAX_SIGNATURES {
            return Err(Error::new(ErrorKind::Secret, "verifier has 16 secrets already, which is the most"));
        }
        match self.scheme.is_plain {
            true => self.keys.push(VerifyingKey::new(&self.scheme, other)?),
            false => self.general.push(GeneralKey::new(&self.scheme, other)?),
        }
        Ok(self)
    }

    /// Adds a public key, for a rotation: the signature of any of the keys is accepted.
    ///
    /// # Errors
    ///
    /// As for [`with_public_key`](Self::with_public_key), or if it is the seventeenth.
    pub fn and_public_key(mut self, other: &PublicKey) -> Result<Self, Error> {
        if self.general.len() == MAX_SIGNATURES {
            return Err(Error::new(ErrorKind::Secret, "verifier has 16 keys already, which is the most"));
        }
        self.general.push(GeneralKey::public(&self.scheme, other)?);
        Ok(self)
    }

    /// Sets the tolerance: the greatest distance between the time of signing and now, in either direction,
    /// inclusive, in whole seconds.
    ///
    /// It has no effect under a scheme that signs no time, and after [`dangerous`](Self::dangerous) switched
    /// the check off.
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = self.tolerance.map(|_| tolerance);
        self
    }

    /// Opens the way to settings that make a verifier less safe.
    pub fn dangerous(self) -> DangerousVerifier {
        DangerousVerifier { verifier: self }
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        *self.scheme
    }

    /// Proves `body` by `headers`, now by the system's clock.
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
    /// A [`VerifyError`] with the fault. Answer the sender 401 in each case.
    pub fn verify_at<'a>(
        &self,
        headers: &'a HeaderMap,
        body: &'a [u8],
        now: OffsetDateTime,
    ) -> Result<Verified<'a>, VerifyError> {
        if !self.scheme.is_plain {
            return self.verify_request_at(&Request::post(headers, body), now);
        }
        self.verify_found(self.find_headers(headers)?, body, now)
    }

    /// Proves a request, at `now`. Schemes that sign a URL, a method or a form need it; the others judge as
    /// [`verify_at`](Self::verify_at) does.
    ///
    /// # Errors
    ///
    /// A [`VerifyError`] with the fault.
    pub fn verify_request_at<'a>(
        &self,
        request: &Request<'a>,
        now: OffsetDateTime,
    ) -> Result<Verified<'a>, VerifyError> {
        match self.scheme.is_plain {
            true => self.verify_found(self.find_headers(request.headers)?, request.body, now),
            false => general::verify(&self.scheme, &self.general, self.tolerance, request, now),
        }
    }

    /// Judges whether all headers of the scheme are there, before the body has arrived.
    pub(crate) fn check_head(&self, headers: &HeaderMap) -> Result<(), VerifyError> {
        match self.scheme.is_plain {
            true => self.find_headers(headers).map(drop),
            false => general::check_head(&self.scheme, headers),
        }
    }

    /// Proves `body` by the headers that [`find_headers`](Self::find_headers) found, at `now`.
    pub(crate) fn verify_found<'a>(
        &self,
        found: FoundHeaders<'a>,
        body: &'a [u8],
        now: OffsetDateTime,
    ) -> Result<Verified<'a>, VerifyError> {
        let mut signatures = Signatures::NONE;
        let request = self.read_headers(found, &mut signatures)?;
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
            by: By::Signature(Arc::clone(&self.scheme)),
            received_at: now,
            headers: None,
        })
    }

    /// Reads every header of the scheme, each once and in its form.
    fn read_headers<'h>(
        &self,
        found: FoundHeaders<'h>,
        signatures: &mut Signatures<'h>,
    ) -> Result<Carried<'h>, VerifyError> {
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
            check_id(value, self.scheme.id_separator)
                .map_err(|reason| VerifyError::MalformedHeader { name, reason })?;
            id = Some(std::str::from_utf8(value).expect("invariant: an id that passed is ASCII"));
        }
        Ok(Carried { id, timestamp, seconds })
    }

    /// Finds every header of the scheme, each of which must be there once. A receiver does this before the
    /// body arrives.
    pub(crate) fn find_headers<'h>(&self, headers: &'h HeaderMap) -> Result<FoundHeaders<'h>, VerifyError> {
        let found = find(&self.names, headers);
        let Some(others) = &self.other_names else { return found };
        // The other family counts if it is complete. The error is that of a family with a signature.
        let may_be_others =
            found.as_ref().is_err_and(|error| matches!(error, VerifyError::MissingHeader { .. }))
                && headers.contains_key(&others.signature);
        if !may_be_others {
            return found;
        }
        let other = find(others, headers);
        if other.is_err() && headers.contains_key(&self.names.signature) { found } else { other }
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
                // Mostly there is one entry, which needs no count and no search for its end.
                let spaces = || value.iter().filter(|byte| **byte == b' ').count();
                let entries = if value.contains(&b' ') { 1 + spaces() } else { 1 };
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
                    // RFC 9110 section 5.6.1: white space around the members of a list means nothing.
                    let field = field.trim_ascii();
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
            Layout::Named { .. } | Layout::Tags { .. } | Layout::Columns { .. } => {
                unreachable!("invariant: a scheme of this layout is judged by the general way")
            }
        }
        Ok(())
    }

    /// Compares every key with every signature and does not stop at a match, so that the time it takes
    /// reveals nothing.
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

/// Finds the headers of these names, each of which must be there once.
///
/// A walk over the few headers of a request costs less than three look-ups, each with a hash.
fn find<'h>(names: &HeaderNames, headers: &'h HeaderMap) -> Result<FoundHeaders<'h>, VerifyError> {
    let family = &names.family;
    let (mut signature, mut id, mut timestamp) = (None, None, None);
    for (name, value) in headers {
        let (slot, text) = if *name == names.signature {
            (&mut signature, Some(family.signature))
        } else if names.id.as_ref() == Some(name) {
            (&mut id, family.id)
        } else if names.timestamp.as_ref() == Some(name) {
            (&mut timestamp, family.timestamp)
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
    missing(timestamp, family.timestamp)?;
    missing(id, family.id)?;
    match signature {
        Some(signature) => Ok(FoundHeaders { signature, id, timestamp }),
        None => Err(VerifyError::MissingHeader { name: family.signature }),
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("scheme", &self.scheme.name)
            .field("secrets", &(self.keys.len() + self.general.len()))
            .field("tolerance", &self.tolerance)
            .finish_non_exhaustive()
    }
}

/// The settings that make a [`Verifier`] less safe.
#[derive(Clone, Debug)]
pub struct DangerousVerifier {
    verifier: Verifier,
}

impl DangerousVerifier {
    /// Accepts a message of any age, so that anybody who recorded one **can send it again at any time**.
    ///
    /// It is for replaying stored requests. The time must still be well formed, and the signature must still
    /// cover it.
    #[must_use]
    pub fn without_timestamp_check(mut self) -> Verifier {
        self.verifier.tolerance = None;
        self.verifier
    }
}

/// The values of a scheme's headers.
#[derive(Clone, Copy)]
pub(crate) struct FoundHeaders<'h> {
    signature: &'h [u8],
    id: Option<&'h [u8]>,
    timestamp: Option<&'h [u8]>,
}

/// The content of one request's headers.
struct Carried<'h> {
    id: Option<&'h str>,
    timestamp: Option<&'h [u8]>,
    seconds: Option<i64>,
}

/// The content of the signature header. The HMAC tags are decoded once, whatever the number of keys.
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

/// Compares in constant time, and by words, because a comparison by bytes takes a quarter of a short
/// message's time.
fn same(left: &[u8; 32], right: &[u8; 32]) -> Choice {
    let halves = |tag: &[u8; 32]| {
        let (low, high) = tag.split_at(16);
        [low, high].map(|half| u128::from_ne_bytes(half.try_into().expect("invariant: half of 32 is 16")))
    };
    let ([left_low, left_high], [right_low, right_high]) = (halves(left), halves(right));
    left_low.ct_eq(&right_low) & left_high.ct_eq(&right_high)
}

/// The signature of a `version,signature` entry, if it has this version.
fn versioned<'h>(entry: &'h [u8], version: &str) -> Option<&'h [u8]> {
    entry.strip_prefix(version.as_bytes())?.strip_prefix(b",")
}

/// The value of a `name=value` field, if it has this name.
fn named<'h>(field: &'h [u8], name: &str) -> Option<&'h [u8]> {
    field.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

const DEFAULT_TOLERANCE: Duration = Duration::from_secs(300);
const TOO_MANY: &str = "holds more than 16 signatures";
