//! [`Secret`]: key material that is not shown by accident.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use serde::de::{Deserialize, Deserializer, Error as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::encoding;
use super::hmac::HmacKey;
use crate::error::{Error, ErrorKind};

/// The key that signs and proves messages: the text that a platform shows once, or raw bytes.
///
/// `Debug` prints no key material, there is no `Display` and no `Serialize`, two secrets are compared in
/// constant time, and the memory is wiped on drop. Only [`expose`](Self::expose) returns the text.
///
/// The [`Scheme`](crate::Scheme) decides whether a secret has the right form, in
/// [`Signer::new`](crate::Signer::new) and [`Verifier::new`](crate::Verifier::new).
///
/// ```
/// use hookwire::Secret;
///
/// let secret: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse()?;
/// assert_eq!(secret.preview(), "whsec_MfKQ9r8G...");
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone)]
pub struct Secret {
    /// The text. Raw bytes are kept as `whsec_` and their base64, so that there is a text to show.
    text: Zeroizing<String>,
    kind: Kind,
    /// The HMAC key for one form. The deliveries to one endpoint share it, and it is wiped with the last
    /// secret and signer that share it.
    keyed: OnceLock<(KeyForm, HmacKey)>,
}

impl Secret {
    /// Makes a secret of 32 random bytes from the operating system, with the text `whsec_<base64>`.
    ///
    /// # Panics
    ///
    /// When the operating system has no random bytes; [`try_generate`](Self::try_generate) returns that as an
    /// error.
    ///
    /// ```
    /// let fresh = hookwire::Secret::generate();
    /// assert!(fresh.expose().starts_with("whsec_"));
    /// assert_eq!(fresh.decoded_len(), Some(32));
    /// ```
    pub fn generate() -> Self {
        match Self::try_generate() {
            Ok(secret) => secret,
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes a secret of 32 random bytes from the operating system, with the text `whsec_<base64>`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Randomness`] when the operating system has no random bytes.
    pub fn try_generate() -> Result<Self, Error> {
        let mut random = Zeroizing::new([0; 32]);
        getrandom::fill(random.as_mut_slice()).map_err(|error| {
            Error::new(ErrorKind::Randomness, "the operating system gave no random bytes for a secret")
                .with_source(error)
        })?;
        Ok(Self::from_random(*random))
    }

    /// Makes the secret of these random bytes: the pure twin of [`generate`](Self::generate).
    ///
    /// ```
    /// let secret = hookwire::Secret::from_random([7; 32]);
    /// assert_eq!(secret.expose(), "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
    /// ```
    pub fn from_random(random: [u8; 32]) -> Self {
        let random = Zeroizing::new(random);
        Self::of(encoding::write_key(WHSEC, random.as_slice()), Kind::Text)
    }

    /// Makes a secret of raw bytes, which are the key under every scheme, whichever form the scheme demands
    /// of a text.
    ///
    /// [`expose`](Self::expose) returns `whsec_` and their base64. That text, parsed, is the same key only
    /// under schemes that decode it.
    ///
    /// ```
    /// use hookwire::Secret;
    ///
    /// assert_eq!(Secret::from_bytes(b"sixteen bytes ok").expose(), "whsec_c2l4dGVlbiBieXRlcyBvaw==");
    /// ```
    pub fn from_bytes(bytes: impl AsRef<[u8]>) -> Self {
        Self::of(encoding::write_key(WHSEC, bytes.as_ref()), Kind::Raw)
    }

    /// The text of the secret, to show once to its owner.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The beginning of the secret, to tell it from others: the prefix, at most 8 characters and at most a
    /// quarter of the rest, and `...`.
    ///
    /// ```
    /// use hookwire::Secret;
    ///
    /// assert_eq!("hush-hush".parse::<Secret>()?.preview(), "hu...");
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn preview(&self) -> String {
        let prefix = PREFIXES.into_iter().find(|prefix| self.text.starts_with(prefix)).unwrap_or_default();
        let rest = &self.text[prefix.len()..];
        let shown = MAX_PREVIEW.min(rest.chars().count() / 4);
        prefix.chars().chain(rest.chars().take(shown)).chain("...".chars()).collect()
    }

    /// The number of bytes that the secret holds, read as base64 after `whsec_`; `None` if it is not base64.
    ///
    /// Standard Webhooks [asks for][spec] secrets of 24 to 64 random bytes.
    ///
    /// [spec]: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    ///
    /// ```
    /// use hookwire::Secret;
    ///
    /// assert_eq!("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse::<Secret>()?.decoded_len(), Some(24));
    /// assert_eq!("It's a Secret to Everybody".parse::<Secret>()?.decoded_len(), None);
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn decoded_len(&self) -> Option<usize> {
        let text = self.text.strip_prefix(WHSEC).unwrap_or(&self.text);
        encoding::read_key(text).map(|key| key.len())
    }

    /// A hash of the bytes that the secret holds, by which a store recognizes a secret that is in use. Two
    /// secrets have the same digest if one could be taken for the other. For 24 random bytes or more, it
    /// reveals nothing about them.
    #[doc(hidden)]
    pub fn digest(&self) -> [u8; 32] {
        let text = self.text.strip_prefix(WHSEC).unwrap_or(&self.text);
        let hash = Sha256::new().chain_update(b"hookwire secret ");
        match encoding::read_key(text) {
            Some(key) => hash.chain_update(&*key).finalize().into(),
            None => hash.chain_update(text).finalize().into(),
        }
    }

    /// The text for a store, which says whether the secret is text or raw bytes. It is as secret as the
    /// secret itself.
    #[doc(hidden)]
    pub fn to_storage(&self) -> Zeroizing<String> {
        let tag = self.kind.tag();
        let mut stored = Zeroizing::new(String::with_capacity(tag.len() + self.text.len()));
        stored.push_str(tag);
        stored.push_str(&self.text);
        stored
    }

    /// Reads the text that [`to_storage`](Self::to_storage) wrote.
    #[doc(hidden)]
    pub fn from_storage(stored: &str) -> Result<Self, Error> {
        let unreadable =
            || Error::new(ErrorKind::Secret, "stored secret is not in a form this version wrote");
        if let Some(text) = stored.strip_prefix(Kind::Text.tag()) {
            check(text)?;
            return Ok(Self::of(owned(text), Kind::Text));
        }
        let text = stored.strip_prefix(Kind::Raw.tag()).ok_or_else(unreadable)?;
        let raw = text.strip_prefix(WHSEC).and_then(encoding::read_key).ok_or_else(unreadable)?;
        Ok(Self::from_bytes(&*raw))
    }

    const fn of(text: Zeroizing<String>, kind: Kind) -> Self {
        Self { text, kind, keyed: OnceLock::new() }
    }

    /// The HMAC key for this form, if [`remember_key`](Self::remember_key) was called for it.
    pub(super) fn remembered_key(&self, form: KeyForm) -> Option<&HmacKey> {
        self.keyed.get().filter(|(kept, _)| *kept == form).map(|(_, key)| key)
    }

    /// Remembers the HMAC key for this form, unless there is one already.
    pub(super) fn remember_key(&self, form: KeyForm, key: &HmacKey) {
        self.keyed.get_or_init(|| (form, key.clone()));
    }

    /// The text, of which a scheme judges the form; `None` for raw bytes.
    pub(super) fn text(&self) -> Option<&str> {
        match self.kind {
            Kind::Raw => None,
            Kind::Text => Some(&self.text),
        }
    }

    /// The bytes of the text, or those that the secret was made of.
    pub(crate) fn key_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.text().map_or_else(|| self.raw(), |text| Zeroizing::new(text.as_bytes().to_vec()))
    }

    /// The bytes of a secret that was made of raw bytes.
    pub(super) fn raw(&self) -> Zeroizing<Vec<u8>> {
        encoding::read_key(&self.text[WHSEC.len()..])
            .expect("invariant: raw bytes are kept as whsec_ and base64")
    }
}

impl FromStr for Secret {
    type Err = Error;

    /// Reads the text as a platform shows it. A version that was copied with it (`v1,whsec_...`) is cut off.
    fn from_str(text: &str) -> Result<Self, Error> {
        check(text)?;
        let text = VERSIONED
            .into_iter()
            .find(|(version, prefix)| text.strip_prefix(version).is_some_and(|rest| rest.starts_with(prefix)))
            .map_or(text, |(version, _)| &text[version.len()..]);
        Ok(Self::of(owned(text), Kind::Text))
    }
}

/// Compares in constant time for secrets of one length. Raw bytes never equal a text, because their keys
/// differ under some schemes.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && bool::from(self.text.as_bytes().ct_eq(other.text.as_bytes()))
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The error of a format may repeat a value of the wrong type, which may be the secret.
        let text = String::deserialize(deserializer)
            .map_err(|_| D::Error::custom("secret is not text, expected a string"))?;
        Zeroizing::new(text).parse().map_err(D::Error::custom)
    }
}

/// How a scheme reads an HMAC key from a secret's text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum KeyForm {
    /// Base64 after an optional `whsec_`.
    Base64,
    /// Hex digits in either case.
    Hex,
    /// The SHA-1 of the text's bytes.
    Sha1,
    /// The bytes of the whole text.
    Text,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    Raw,
    Text,
}

impl Kind {
    /// The tag in stores. Never change it.
    const fn tag(self) -> &'static str {
        match self {
            Self::Raw => "raw:",
            Self::Text => "text:",
        }
    }
}

fn check(text: &str) -> Result<(), Error> {
    let (reason, expected) = if text.is_empty() {
        ("secret is empty", "at least one character")
    } else if text.contains(char::is_control) {
        ("secret holds a control character, such as a line break", "text without")
    } else if text.trim() != text {
        ("secret begins or ends with white space", "text without")
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::Secret, reason).with_expected(expected))
}

fn owned(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

/// The prefix of an HMAC key's text.
pub(super) const WHSEC: &str = "whsec_";
/// The prefix of a private Ed25519 key's text.
pub(super) const WHSK: &str = "whsk_";
/// The prefix of a public Ed25519 key's text.
pub(super) const WHPK: &str = "whpk_";

const MAX_PREVIEW: usize = 8;
const PREFIXES: [&str; 3] = [WHSEC, WHSK, WHPK];
/// An Ed25519 key is recognized behind either version. Otherwise a public key could become the text of an
/// HMAC key.
const VERSIONED: [(&str, &str); 5] =
    [("v1,", WHSEC), ("v1a,", WHSK), ("v1a,", WHPK), ("v1,", WHSK), ("v1,", WHPK)];
