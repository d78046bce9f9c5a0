//! [`StoredSecret`]: a secret as a store keeps it, in the clear or as a key ring's [`SealedSecret`].

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::Secret;
use crate::error::Error;

/// A secret as a subscription carries it through a store: in the clear, or sealed by a key ring.
///
/// Only a [`Secret`] signs; what is sealed has to be opened first, with the key ring (feature `keyring`) that sealed it.
///
/// ```
/// use hookwire::{SealedSecret, Secret, StoredSecret};
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
    /// In the clear: whoever reads the database has it.
    Plain(Secret),
    /// Encrypted by a key ring.
    Sealed(SealedSecret),
}

impl StoredSecret {
    /// Enough to tell secrets apart, as [`Secret::preview`] gives it; of a sealed one what was stored beside it.
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

    /// A text that [`from_storage`](Self::from_storage) reads back, for a store to keep: as secret as the secret itself unless it
    /// is sealed.
    pub fn to_storage(&self) -> Zeroizing<String> {
        match self {
            Self::Plain(secret) => secret.to_storage(),
            Self::Sealed(sealed) => Zeroizing::new(format!("{SEALED}{}", sealed.text)),
        }
    }

    /// The secret that [`to_storage`](Self::to_storage) wrote.
    ///
    /// Of a sealed one nothing is read yet: what was altered since is told by the key ring, when that one secret is needed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Secret`](crate::ErrorKind::Secret) for a text of no form that this version writes. The text is not repeated.
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

/// A sealed one equals none: what is in it is not known.
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

/// What a key ring made of a secret: version, key id, preview, nonce, ciphertext and tag, as one text.
///
/// No secret itself. Any text is taken as one; whether it is whole and in its place is for the key ring to say, which alone can.
#[derive(Clone, Eq, PartialEq)]
pub struct SealedSecret {
    text: String,
}

impl SealedSecret {
    /// The sealed secret that [`as_str`](Self::as_str) gave as `text`.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    /// The text: `v1.<key id>.<preview>.<nonce, ciphertext, tag>`, the last two parts in base64 for URLs without padding.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The id of the key that it was sealed with; nothing when it is not of the form that this version knows.
    pub fn key_id(&self) -> Option<&str> {
        self.parts().map(|[key, ..]| key)
    }

    /// The secret's preview, stored beside it, so that a read needs no key; `...` where there is none.
    ///
    /// Opening proves it: whoever can write to the database could have changed it.
    pub fn preview(&self) -> String {
        self.parts()
            .and_then(|[_, preview, _]| URL_SAFE_NO_PAD.decode(preview).ok())
            .and_then(|preview| String::from_utf8(preview).ok())
            .filter(|preview| preview.ends_with(HIDDEN) && preview.len() <= MAX_PREVIEW)
            .filter(|preview| !preview.contains(char::is_control))
            .unwrap_or_else(|| HIDDEN.to_owned())
    }

    /// Key id, preview and ciphertext, as they stand in a text of this version.
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

/// What a sealed secret is for; it opens for nothing else.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum SecretUse {
    /// It signs.
    Signing,
    /// It is shown to the endpoint: a key, a password, a token.
    Credential,
}

/// Letters, digits, hyphens and underscores: with a dot the text would have other parts.
pub(crate) fn is_key_id(text: &str) -> bool {
    (1..=MAX_KEY_ID).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// The form above, sealed with XChaCha20-Poly1305. Written into stores: never change it.
pub(crate) const VERSION: &str = "v1";
pub(crate) const MAX_KEY_ID: usize = 64;

/// Beside the tags of [`Secret::to_storage`]: never change it.
const SEALED: &str = "sealed:";
const HIDDEN: &str = "...";
/// A prefix of 6, 8 characters of at most 4 bytes, three dots.
const MAX_PREVIEW: usize = 41;
