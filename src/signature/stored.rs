//! [`StoredSecret`]: a secret in a store, in the clear or as a key ring's [`SealedSecret`].

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::secret::Secret;
use crate::error::Error;

/// A secret of a subscription in a store: in the clear, or sealed by a key ring.
///
/// Only a [`Secret`] signs. The key ring (feature `keyring`) that sealed a secret has to open it first.
///
/// ```
/// use hookwire::signature::{SealedSecret, StoredSecret};
/// use hookwire::Secret;
///
/// let plain = StoredSecret::from(Secret::generate());
/// assert_eq!(plain.preview(), plain.plain().expect("not sealed").preview());
/// let sealed = StoredSecret::from(SealedSecret::from_text("v1.2026-11.d2hzZWNfTWZLUTlyOEcuLi4.c2VhbGVk"));
/// assert_eq!(sealed.preview(), "whsec_MfKQ9r8G...");
/// assert!(sealed.plain().is_none());
/// ```
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum StoredSecret {
    /// In the clear: anybody who reads the database has the secret.
    Plain(Secret),
    /// Encrypted by a key ring.
    Sealed(SealedSecret),
}

impl StoredSecret {
    /// The beginning of the secret, to tell it from others, as [`Secret::preview`] makes it. A sealed secret
    /// has it stored beside it.
    pub fn preview(&self) -> String {
        match self {
            Self::Plain(secret) => secret.preview(),
            Self::Sealed(sealed) => sealed.preview(),
        }
    }

    /// The secret, unless it is sealed.
    pub const fn plain(&self) -> Option<&Secret> {
        match self {
            Self::Plain(secret) => Some(secret),
            Self::Sealed(_) => None,
        }
    }

    /// The text for a store, which [`from_storage`](Self::from_storage) reads back. It is as secret as the
    /// secret itself, unless the secret is sealed.
    pub fn to_storage(&self) -> Zeroizing<String> {
        match self {
            Self::Plain(secret) => secret.to_storage(),
            Self::Sealed(sealed) => Zeroizing::new(format!("{SEALED}{}", sealed.text)),
        }
    }

    /// Reads the text that [`to_storage`](Self::to_storage) wrote.
    ///
    /// A sealed secret is not opened yet. If it was altered, the key ring finds that out when the secret is
    /// needed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Secret`](crate::ErrorKind::Secret) for a text in a form that this version does not write.
    /// The error does not repeat the text.
    pub fn from_storage(stored: &str) -> Result<Self, Error> {
        match stored.strip_prefix(SEALED) {
            Some(text) => Ok(Self::Sealed(SealedSecret::from_text(text))),
            None => Secret::from_storage(stored).map(Self::Plain),
        }
    }
}

impl From<Secret> for StoredSecret {
    fn from(secret: Secret) -> Self {
        Self::Plain(secret)
    }
}

impl From<SealedSecret> for StoredSecret {
    fn from(sealed: SealedSecret) -> Self {
        Self::Sealed(sealed)
    }
}

/// A sealed secret equals no secret, because its content is not known.
impl PartialEq<Secret> for StoredSecret {
    fn eq(&self, other: &Secret) -> bool {
        self.plain() == Some(other)
    }
}

impl fmt::Debug for StoredSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(secret) => secret.fmt(f),
            Self::Sealed(sealed) => sealed.fmt(f),
        }
    }
}

/// A secret that a key ring sealed: version, key id, preview, nonce, ciphertext and tag, as one text.
///
/// The text itself is not secret. Any text is accepted here; only the key ring can check whether it is whole
/// and belongs to its subscription.
#[derive(Clone, Eq, PartialEq)]
pub struct SealedSecret {
    text: String,
}

impl SealedSecret {
    /// Makes the sealed secret from the text that [`as_str`](Self::as_str) returned.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    /// The text: `v1.<key id>.<preview>.<nonce, ciphertext, tag>`, the last two parts in base64 for URLs
    /// without padding.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The id of the key that it was sealed with; `None` if the text has a form that this version does not
    /// know.
    pub fn key_id(&self) -> Option<&str> {
        self.parts().map(|[key, ..]| key)
    }

    /// The preview of the secret, which is stored beside it, so that reading it needs no key; `...` if there
    /// is none.
    ///
    /// Anybody who can write to the database could have changed it; opening the secret proves it.
    pub fn preview(&self) -> String {
        self.parts()
            .and_then(|[_, preview, _]| URL_SAFE_NO_PAD.decode(preview).ok())
            .and_then(|preview| String::from_utf8(preview).ok())
            .filter(|preview| preview.ends_with(HIDDEN) && preview.len() <= MAX_PREVIEW)
            .filter(|preview| !preview.contains(char::is_control))
            .unwrap_or_else(|| HIDDEN.to_owned())
    }

    /// Key id, preview and ciphertext of a text of this version.
    pub(crate) fn parts(&self) -> Option<[&str; 3]> {
        let parts = self.text.strip_prefix(VERSION)?.strip_prefix('.')?.split('.').collect::<Vec<_>>();
        <[&str; 3]>::try_from(parts).ok().filter(|[key, ..]| is_key_id(key))
    }
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedSecret(key {}, ..)", self.key_id().unwrap_or("unknown"))
    }
}

/// The use of a sealed secret; the secret opens for no other use.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum SecretUse {
    /// The secret signs.
    Signing,
    /// The secret is sent to the endpoint: a key, a password, a token.
    Credential,
    /// The secret is the private key of a client certificate.
    ClientKey,
}

/// Whether a text is a key id: letters, digits, hyphens and underscores. A dot would separate parts of the
/// sealed text.
pub(crate) fn is_key_id(text: &str) -> bool {
    (1..=MAX_KEY_ID).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// The version of the form above, sealed with XChaCha20-Poly1305. Stores hold it, so never change it.
pub(crate) const VERSION: &str = "v1";
pub(crate) const MAX_KEY_ID: usize = 64;

/// The tag of a sealed secret in stores, beside those of [`Secret::to_storage`]. Never change it.
const SEALED: &str = "sealed:";
const HIDDEN: &str = "...";
/// The most bytes of a preview: a prefix of 6, 8 characters of at most 4 bytes each, and three dots.
const MAX_PREVIEW: usize = 41;
