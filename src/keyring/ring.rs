//! [`KeyRing`]: seals and opens single secrets.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::AeadInOut as _;
use zeroize::Zeroizing;

use super::key::{Key, fill, refused};
use crate::error::{Error, ErrorKind};
use crate::id::SubscriptionId;
use crate::signature::stored::{MAX_KEY_ID, VERSION, is_key_id};
use crate::signature::{SealedSecret, Secret, SecretUse};

/// The keys with which secrets are encrypted at rest: one seals, all open.
///
/// The [module](crate::keyring) lists what is encrypted and what is not. `Debug` shows the ids of the keys;
/// the memory of the keys is wiped on drop.
#[derive(Clone)]
pub struct KeyRing {
    /// The first key seals.
    keys: Vec<(String, Key)>,
}

impl KeyRing {
    /// Makes a ring of one key, which seals and opens.
    ///
    /// The id is stored with every secret that the key seals and tells which key opens it. Never give two
    /// keys the same id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::KeyRing`] for an id that is not 1 to 64 letters, digits, hyphens and underscores.
    pub fn new(id: &str, key: Key) -> Result<Self, Error> {
        Self { keys: Vec::new() }.with_key(id, key)
    }

    /// Adds a key that opens and does not seal.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::KeyRing`] for an id that [`new`](Self::new) refuses or that the ring has already.
    pub fn with_key(mut self, id: &str, key: Key) -> Result<Self, Error> {
        if !is_key_id(id) {
            return Err(refused("key id is not valid")
                .with_expected(format!("1 to {MAX_KEY_ID} letters, digits, hyphens and underscores")));
        }
        if self.key(id).is_some() {
            return Err(refused(format!("key id {id} is there already")).with_expected("one id for each key"));
        }
        self.keys.push((id.to_owned(), key));
        Ok(self)
    }

    /// Seals a secret of this subscription for this use, with the first key.
    ///
    /// [`seal_with_nonce`](Self::seal_with_nonce) is the pure twin.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Randomness`] when the operating system has none to give.
    pub fn seal(
        &self,
        secret: &Secret,
        subscription: SubscriptionId,
        used: SecretUse,
    ) -> Result<SealedSecret, Error> {
        let mut nonce = [0; NONCE];
        fill(&mut nonce)?;
        Ok(self.seal_with_nonce(secret, subscription, used, nonce))
    }

    /// Seals with these random bytes, which no other call may get.
    pub fn seal_with_nonce(
        &self,
        secret: &Secret,
        subscription: SubscriptionId,
        used: SecretUse,
        nonce: [u8; NONCE],
    ) -> SealedSecret {
        let (id, key) = self.keys.first().expect("invariant: a ring is made with a key");
        // No read shows a part of a credential.
        let preview = match used {
            SecretUse::Signing => URL_SAFE_NO_PAD.encode(secret.preview()),
            SecretUse::Credential | SecretUse::ClientKey => String::new(),
        };
        let header = header(id, &preview);
        let plain = secret.to_storage();
        let mut sealed = [nonce.as_slice(), plain.as_bytes()].concat();
        let tag = key
            .cipher()
            .encrypt_inout_detached(
                &nonce.into(),
                associated(&header, subscription, used).as_bytes(),
                sealed[NONCE..].as_mut().into(),
            )
            .expect("invariant: a secret is shorter than 256 GiB (RFC 8439 section 2.8)");
        sealed.extend_from_slice(&tag);
        SealedSecret::from_text(format!("{header}.{}", URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// Opens a secret that was sealed for this subscription and this use.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the text is damaged, its key is not in the ring, or it was sealed for another
    /// subscription or use.
    pub fn open(
        &self,
        sealed: &SealedSecret,
        subscription: SubscriptionId,
        used: SecretUse,
    ) -> Result<Secret, OpenError> {
        let [id, preview, sealed] = sealed.parts().ok_or(OpenError::Malformed)?;
        let bytes = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| OpenError::Malformed)?;
        let (nonce, rest) = bytes.split_first_chunk::<NONCE>().ok_or(OpenError::Malformed)?;
        let (text, tag) = rest.split_last_chunk::<TAG>().ok_or(OpenError::Malformed)?;
        let key = self.key(id).ok_or_else(|| OpenError::UnknownKey { id: id.to_owned() })?;
        let mut text = Zeroizing::new(text.to_vec());
        key.cipher()
            .decrypt_inout_detached(
                nonce.into(),
                associated(&header(id, preview), subscription, used).as_bytes(),
                text.as_mut_slice().into(),
                tag.into(),
            )
            .map_err(|_| OpenError::Altered)?;
        let text = str::from_utf8(&text).map_err(|_| OpenError::Malformed)?;
        Secret::from_storage(text).map_err(|_| OpenError::Malformed)
    }

    /// Whether a sealed secret names the key that seals now.
    pub fn is_current(&self, sealed: &SealedSecret) -> bool {
        sealed.key_id() == self.ids().next()
    }

    /// The ids of the keys; the first one seals.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|(id, _)| id.as_str())
    }

    fn key(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|(known, _)| known == id).map(|(_, key)| key)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ids = self.ids();
        f.debug_struct("KeyRing")
            .field("seals", &ids.next())
            .field("opens", &ids.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// The reason why a sealed secret cannot be opened.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum OpenError {
    /// The text is damaged, or a newer version of this crate wrote it.
    Malformed,
    /// The key that the secret names is not in the ring.
    #[non_exhaustive]
    UnknownKey {
        /// The key's id.
        id: String,
    },
    /// The secret was altered, or sealed for another subscription or use, or with another key of the same id.
    Altered,
}

impl OpenError {
    /// Returns what was wrong, and what would be right.
    fn parts(&self) -> (Cow<'static, str>, Cow<'static, str>) {
        match self {
            Self::Malformed => (
                "sealed secret is damaged or of a newer version".into(),
                format!("a complete {VERSION} text").into(),
            ),
            Self::UnknownKey { id } => (
                format!("secret is sealed with key {id}, which is not in the key ring").into(),
                "a ring with that key".into(),
            ),
            Self::Altered => (
                "sealed secret does not open".into(),
                "it unaltered and in the subscription that it was sealed for".into(),
            ),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (reason, expected) = self.parts();
        write!(f, "{reason}, expected {expected}")
    }
}

impl std::error::Error for OpenError {}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        let (reason, expected) = error.parts();
        Self::new(ErrorKind::KeyRing, reason).with_expected(expected).with_source(error)
    }
}

/// The text before the ciphertext.
fn header(id: &str, preview: &str) -> String {
    format!("{VERSION}.{id}.{preview}")
}

/// The associated data: covered by the tag, not encrypted. No part of it can hold a dot, so that no two read
/// the same.
fn associated(header: &str, subscription: SubscriptionId, used: SecretUse) -> String {
    let used = match used {
        SecretUse::Signing => "signing",
        SecretUse::Credential => "credential",
        SecretUse::ClientKey => "client-key",
    };
    format!("{header}.{used}.{subscription}")
}

const NONCE: usize = 24;
const TAG: usize = 16;
