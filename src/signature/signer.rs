//! [`Signer`]: makes the headers that prove a body.

use std::fmt;

use http::{HeaderMap, HeaderValue};
use time::OffsetDateTime;

use super::ed25519;
use super::general::{self, GeneralKey};
use super::key::{MAX_SIGNATURES, SigningKey};
use super::layout::Layout;
use super::message::{Content, Digits, check_id};
use super::request::Request;
use super::scheme::{HeaderNames, Scheme};
use super::secret::Secret;
use crate::error::{Error, ErrorKind};

/// Signs bodies under one [`Scheme`], with one secret or, during a rotation, with several.
///
/// The key is prepared once, so that a message costs little more than the hash of its body.
///
/// ```
/// use hookwire::{Scheme, Secret, Signer};
/// use time::macros::datetime;
///
/// let secret: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse()?;
/// let signer = Signer::new(Scheme::STANDARD_WEBHOOKS, &secret)?;
/// let headers = signer.sign("msg_1", datetime!(2026-04-17 19:12:03 UTC), b"{}")?;
/// assert_eq!(headers["webhook-id"], "msg_1");
/// assert_eq!(headers["webhook-timestamp"], "1776453123");
/// assert!(headers["webhook-signature"].to_str().unwrap().starts_with("v1,"));
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone)]
pub struct Signer {
    scheme: Scheme,
    names: HeaderNames,
    keys: Vec<SigningKey>,
    /// The keys of a scheme that the fast way does not know; empty otherwise.
    general: Vec<GeneralKey>,
}

impl Signer {
    /// Makes a signer under `scheme` with `secret`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Secret`] when the secret does not have the form that the scheme demands, or the scheme
    /// signs with private keys, of which only Ed25519 in a list is known.
    pub fn new(scheme: Scheme, secret: &Secret) -> Result<Self, Error> {
        let mut signer = Self { scheme, names: scheme.header_names(), keys: Vec::new(), general: Vec::new() };
        signer.add(secret)?;
        Ok(signer)
    }

    fn add(&mut self, secret: &Secret) -> Result<(), Error> {
        if self.scheme.is_plain {
            self.keys.push(SigningKey::new(&self.scheme, secret)?);
        } else {
            self.general.push(GeneralKey::signing(&self.scheme, secret)?);
        }
        Ok(())
    }

    /// Adds an older secret, which signs too, so that receivers that know only that one still accept.
    ///
    /// Only a scheme with a list in its header can carry several signatures (Standard Webhooks, Svix,
    /// Stripe). Under any other scheme, the first secret, which is the newest, signs alone.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Secret`] when the secret does not have the form that the scheme demands, or is the
    /// seventeenth.
    pub fn with_secret(mut self, older: &Secret) -> Result<Self, Error> {
        if self.keys.len() + self.general.len() == MAX_SIGNATURES {
            return Err(Error::new(ErrorKind::Secret, "signer has 16 secrets already, which is the most"));
        }
        self.add(older)?;
        Ok(self)
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Makes the scheme's headers for `body`, sent as message `id` and signed at `now`.
    ///
    /// A scheme without a place for the id or the time ignores it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Sign`] for an id or a time that no verifier accepts. An id has 1 to 256 visible ASCII
    /// characters and, if it is signed, no full stop. A time is not before 1970, and has at most 12 digits in
    /// seconds.
    pub fn sign(&self, id: &str, now: OffsetDateTime, body: &[u8]) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::with_capacity(3);
        self.sign_into(&mut headers, id, now, body)?;
        Ok(headers)
    }

    /// Puts the headers that [`sign`](Self::sign) makes into `headers`, in place of any headers with the same
    /// names.
    ///
    /// # Errors
    ///
    /// As for [`sign`](Self::sign); `headers` are unchanged then.
    pub fn sign_into(
        &self,
        headers: &mut HeaderMap,
        id: &str,
        now: OffsetDateTime,
        body: &[u8],
    ) -> Result<(), Error> {
        if !self.scheme.is_plain {
            let made = general::sign(&self.scheme, &self.general, id, now, &Request::post(headers, body))?;
            headers.extend(made);
            return Ok(());
        }
        let timestamp = self.check(id, now)?;
        let signature = self.write_signatures(id, &timestamp, body);
        if let Some(name) = &self.names.id {
            headers.insert(name.clone(), visible(id.as_bytes().to_vec()));
        }
        if let Some(name) = &self.names.timestamp {
            headers.insert(name.clone(), visible(timestamp.as_bytes().to_vec()));
        }
        headers.insert(self.names.signature.clone(), visible(signature.into_bytes()));
        Ok(())
    }

    /// Makes the scheme's headers for a request, as message `id` and signed at `now`. Schemes that sign the
    /// method, the URL or other headers need it; put those headers into the request before.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Sign`] as for [`sign`](Self::sign), if the scheme carries its signature in the body, and
    /// if the request lacks a part that is signed.
    pub fn sign_request(
        &self,
        request: &Request<'_>,
        id: &str,
        now: OffsetDateTime,
    ) -> Result<HeaderMap, Error> {
        match self.scheme.is_plain {
            true => self.sign(id, now, request.body),
            false => general::sign(&self.scheme, &self.general, id, now, request),
        }
    }

    /// Makes the text of the signature alone, for a request: for schemes that carry it in the body. The
    /// request's body has everything but the signature. If each item of a list is signed by itself, it is one
    /// item.
    ///
    /// # Errors
    ///
    /// As for [`sign_request`](Self::sign_request), except that the signature may belong into the body.
    pub fn request_signature(
        &self,
        request: &Request<'_>,
        id: &str,
        now: OffsetDateTime,
    ) -> Result<String, Error> {
        match self.scheme.is_plain {
            true => self.signature(id, now, request.body),
            false => general::signature_text(&self.scheme, &self.general, id, now, request),
        }
    }

    /// Makes the value of the signature header alone.
    ///
    /// # Errors
    ///
    /// As for [`sign`](Self::sign).
    ///
    /// ```
    /// use hookwire::{Scheme, Secret, Signer};
    /// use time::OffsetDateTime;
    ///
    /// let signer = Signer::new(Scheme::GITHUB, &"It's a Secret to Everybody".parse::<Secret>()?)?;
    /// assert_eq!(
    ///     signer.signature("", OffsetDateTime::UNIX_EPOCH, b"Hello, World!")?,
    ///     "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    /// );
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn signature(&self, id: &str, now: OffsetDateTime, body: &[u8]) -> Result<String, Error> {
        if !self.scheme.is_plain {
            let headers = self.sign(id, now, body)?;
            let value = headers.get(self.scheme.signature_header).and_then(|value| value.to_str().ok());
            return Ok(value.unwrap_or_default().to_owned());
        }
        let timestamp = self.check(id, now)?;
        Ok(self.write_signatures(id, &timestamp, body))
    }

    // This and the functions below are always inlined. Through memory, digits and tag would be read in other
    // widths than they were written, and the processor waits for each such read as long as for a quarter of a
    // block.
    #[inline(always)]
    fn check(&self, id: &str, now: OffsetDateTime) -> Result<Digits, Error> {
        // The digits come first: they are a long chain of dependent steps, and the processor checks the id
        // meanwhile.
        let timestamp =
            if self.scheme.sends_time() { Digits::new(now.unix_timestamp()) } else { Some(Digits::NONE) };
        if self.scheme.id_header.is_some() {
            check_id(id.as_bytes(), self.scheme.id_separator).map_err(unfit_id)?;
        }
        timestamp.ok_or_else(unfit_time)
    }

    #[inline(always)]
    fn write_signatures(&self, id: &str, timestamp: &Digits, body: &[u8]) -> String {
        let content =
            &Content { parts: self.scheme.content, id: id.as_bytes(), timestamp: timestamp.as_bytes(), body };
        match self.scheme.layout {
            Layout::Single { prefix } => {
                let mut value = String::with_capacity(prefix.len() + self.scheme.encoding.tag_len());
                value.push_str(prefix);
                self.write_signature(&self.keys[0], content, &mut value);
                value
            }
            Layout::List { version } => self.write_list(version, content),
            Layout::Fields { timestamp: name, signature } => {
                let timestamp = timestamp.as_str();
                let field_len = 2 + signature.len() + self.scheme.encoding.tag_len();
                let mut value =
                    String::with_capacity(name.len() + 1 + timestamp.len() + field_len * self.keys.len());
                value.push_str(name);
                value.push('=');
                value.push_str(timestamp);
                for key in &self.keys {
                    value.push(',');
                    value.push_str(signature);
                    value.push('=');
                    self.write_signature(key, content, &mut value);
                }
                value
            }
            Layout::Named { .. } | Layout::Tags { .. } | Layout::Columns { .. } => {
                unreachable!("invariant: a scheme of this layout is signed by the general way")
            }
        }
    }

    #[inline(always)]
    fn write_list(&self, version: &str, content: &Content<'_>) -> String {
        let entries = self.keys.iter().map(|key| match key {
            SigningKey::Hmac(_) => version.len() + 1 + self.scheme.encoding.tag_len(),
            SigningKey::Ed25519(_) => ed25519::VERSION.len() + 1 + ed25519::SIGNATURE_TEXT_LEN,
        });
        let mut value = String::with_capacity(entries.sum::<usize>() + self.keys.len() - 1);
        for key in &self.keys {
            if !value.is_empty() {
                value.push(' ');
            }
            value.push_str(match key {
                SigningKey::Hmac(_) => version,
                SigningKey::Ed25519(_) => ed25519::VERSION,
            });
            value.push(',');
            self.write_signature(key, content, &mut value);
        }
        value
    }

    #[inline(always)]
    fn write_signature(&self, key: &SigningKey, content: &Content<'_>, value: &mut String) {
        match key {
            SigningKey::Hmac(key) => self.scheme.encoding.write_tag(&key.tag(content), value),
            SigningKey::Ed25519(key) => key.write_signature(&content.to_vec(), value),
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("scheme", &self.scheme.name)
            .field("secrets", &(self.keys.len() + self.general.len()))
            .finish_non_exhaustive()
    }
}

/// A value that is not marked as sensitive: a signature proves only its own body, and is needed for
/// debugging.
fn visible(value: Vec<u8>) -> HeaderValue {
    HeaderValue::from_maybe_shared(bytes::Bytes::from(value)).expect("invariant: the value is visible ASCII")
}

#[cold]
fn unfit_id(reason: &str) -> Error {
    Error::new(ErrorKind::Sign, format!("event id {reason}"))
}

#[cold]
fn unfit_time() -> Error {
    Error::new(ErrorKind::Sign, "time of signing is before 1970 or beyond 12 digits of Unix seconds")
}
