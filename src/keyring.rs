//! [`KeyRing`]: secrets encrypted at rest.
//!
//! # Without a key ring
//!
//! A store keeps what it needs to sign: the secrets of a subscription and the credentials of its
//! [`Authentication`](crate::Authentication) are in the clear, in the columns `secrets` and `options` of the table
//! `subscriptions` (SQLite and PostgreSQL) or in the process's memory. Whoever reads the database, its log or a backup can sign as
//! you. The disk's encryption and the database's permissions are then all that guards them.
//!
//! # With one
//!
//! Both are sealed before they reach a store, with XChaCha20-Poly1305
//! ([RFC 8439](https://www.rfc-editor.org/rfc/rfc8439)'s construction with a nonce of 192 bits, which may be random however many
//! secrets there are), under a key that the store never sees. What is sealed is bound to its subscription and its use by
//! associated data: in another subscription's row, or as a password where it signed, it does not open. The preview of a signing
//! secret stands beside it in the clear, so that reading a subscription takes no key. Opened, a secret lives for one attempt.
//!
//! What was in the clear before stays where a database leaves what it wrote over: in free pages, in its log, in backups. Seal from
//! the start, or have customers rotate what was ever stored in the clear.
//!
//! Still in the clear, as without a key ring: URLs, filters, the user names of Basic authentication, the values of extra headers
//! ([`Options::with_header`](crate::Options::with_header); a credential belongs into the authentication), and events.
//! A key ring guards against those who read the database. Who can also write to it can point a subscription at an endpoint of
//! their own, and put a plain secret in a sealed one's place, since plain ones are read too.
//!
//! # Its calls
//!
//! - Whoever creates or rotates seals: `ring.seal_subscription(subscription)` before `put_subscription`.
//! - The dispatcher opens: `Dispatcher::with_key_ring`. One that cannot open a secret fails the attempt by this side's own
//!   fault: nothing is sent, nothing is held against the endpoint, the attempt's log says why, other subscriptions go on.
//! - To move to another key, or from plain secrets: give every process a ring that opens both, then one that seals with the new
//!   key, then `ring.reseal_all(&store, ..)`, and take the old key away when it says that nothing is left.
//!
//! ```
//! use hookwire::keyring::{Key, KeyRing};
//! use hookwire::{Secret, SecretUse, SubscriptionId};
//!
//! // From wherever the application keeps such things; `Key::generate()` makes one.
//! let old: Key = "h5xZ7mV1oIqk3jXc0tT9uW2yQ4eR6pL8sD1fG3hJ5kM=".parse()?;
//! let ring = KeyRing::new("2026-11", Key::generate())?.with_key("2025-01", old)?;
//!
//! let (id, secret) = (SubscriptionId::generate(), Secret::generate());
//! let sealed = ring.seal(&secret, id, SecretUse::Signing)?;
//! assert_eq!((sealed.key_id(), sealed.preview()), (Some("2026-11"), secret.preview()));
//! assert_eq!(ring.open(&sealed, id, SecretUse::Signing)?, secret);
//! assert!(ring.open(&sealed, SubscriptionId::generate(), SecretUse::Signing).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg(feature = "keyring")]

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT, URL_SAFE_NO_PAD};
use chacha20poly1305::{AeadInOut as _, KeyInit as _, XChaCha20Poly1305};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};
use crate::id::SubscriptionId;
use crate::signature::stored::{MAX_KEY_ID, VERSION, is_key_id};
use crate::signature::{SealedSecret, Secret, SecretUse};

/// The keys with which secrets are encrypted at rest: one seals, all open.
///
/// The [module](self) says what is encrypted and what is not. `Debug` shows the ids of the keys; the memory of the keys is wiped
/// on drop.
#[derive(Clone)]
pub struct KeyRing {
    /// The first one seals.
    keys: Vec<(String, Key)>,
}

impl KeyRing {
    /// A ring whose one key seals and opens.
    ///
    /// The id is stored beside what the key seals and says which key opens it: never give another key the same.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::KeyRing`] for an id that is not 1 to 64 letters, digits, hyphens and underscores.
    pub fn new(id: &str, key: Key) -> Result<Self, Error> {
        Self { keys: Vec::new() }.with_key(id, key)
    }

    /// The same ring, which opens with this key too.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new), and for an id that the ring has already.
    pub fn with_key(mut self, id: &str, key: Key) -> Result<Self, Error> {
        if !is_key_id(id) {
            return Err(refused(format!(
                "key id is not valid, expected 1 to {MAX_KEY_ID} letters, digits, hyphens and underscores"
            )));
        }
        if self.key(id).is_some() {
            return Err(refused(format!("key id {id} is there already, expected one id for each key")));
        }
        self.keys.push((id.to_owned(), key));
        Ok(self)
    }

    /// Seals a secret of this subscription for this use. [`seal_with_nonce`](Self::seal_with_nonce) is the pure twin.
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

    /// Seals with these random bytes, which no other call may be given.
    pub fn seal_with_nonce(
        &self,
        secret: &Secret,
        subscription: SubscriptionId,
        used: SecretUse,
        nonce: [u8; NONCE],
    ) -> SealedSecret {
        let (id, key) = self.keys.first().expect("invariant: a ring is made with a key");
        // Of a credential no read shows a part.
        let preview = match used {
            SecretUse::Signing => URL_SAFE_NO_PAD.encode(secret.preview()),
            SecretUse::Credential => String::new(),
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

    /// Opens what was sealed for this subscription and this use.
    ///
    /// # Errors
    ///
    /// An [`OpenError`] that says why not.
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

    /// Whether it says of itself that it was sealed with the key that seals now.
    pub fn is_current(&self, sealed: &SealedSecret) -> bool {
        sealed.key_id() == self.ids().next()
    }

    /// The ids of the keys, that of the one that seals first.
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

/// A key of a [`KeyRing`]: 32 bytes, as text in base64.
///
/// `Debug` shows nothing of it, and its memory is wiped on drop.
///
/// ```
/// use hookwire::keyring::Key;
///
/// let key = Key::generate();
/// let same: Key = key.expose().parse()?;
/// assert_eq!(*same.expose(), *key.expose());
/// assert_eq!(format!("{key:?}"), "Key(..)");
/// # Ok::<(), hookwire::Error>(())
/// ```
// Boxed, so that moving one leaves no copy behind.
#[derive(Clone)]
pub struct Key(Box<Zeroizing<[u8; KEY]>>);

impl Key {
    /// A new key from the operating system's randomness. [`from_bytes`](Self::from_bytes) is the pure twin.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Randomness`] when the operating system has none to give.
    pub fn try_generate() -> Result<Self, Error> {
        let mut key = Self(Box::default());
        fill(key.0.as_mut_slice())?;
        Ok(key)
    }

    /// A new key from the operating system's randomness.
    ///
    /// # Panics
    ///
    /// When the operating system has none to give; [`try_generate`](Self::try_generate) returns that as an error.
    pub fn generate() -> Self {
        match Self::try_generate() {
            Ok(key) => key,
            Err(error) => panic!("{error}"),
        }
    }

    /// The key of these bytes: random ones, never a password.
    pub fn from_bytes(bytes: [u8; KEY]) -> Self {
        Self(Box::new(Zeroizing::new(bytes)))
    }

    /// The key's text, for whoever keeps it: not in the database whose secrets it seals.
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0.as_slice()))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&**self.0).into())
    }
}

impl FromStr for Key {
    type Err = Error;

    /// Takes 32 bytes in base64 (RFC 4648 section 4), with or without padding.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = "key is not valid, expected 32 bytes in base64";
        let mut bytes = Zeroizing::new(Vec::with_capacity(text.len().div_ceil(4) * 3));
        STANDARD_PAD_INDIFFERENT.decode_vec(text, &mut bytes).map_err(|_| refused(wrong))?;
        let mut key = Self(Box::default());
        if bytes.len() != KEY {
            return Err(refused(wrong));
        }
        key.0.copy_from_slice(&bytes);
        Ok(key)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Why a sealed secret does not open.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is not of a form that this version writes: it was cut short, or written by a later version.
    #[error("sealed secret cannot be read, expected the form {VERSION} and none of it missing")]
    Malformed,
    /// The key that it names is not in the ring.
    #[error("secret is sealed with key {id}, which is not in the key ring; expected a ring with that key")]
    #[non_exhaustive]
    UnknownKey {
        /// The key's id.
        id: String,
    },
    /// It was altered, or sealed for another subscription or use, or with another key of the same id.
    #[error(
        "sealed secret does not open, expected it unaltered and in the subscription that it was sealed for"
    )]
    Altered,
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        Self::new(ErrorKind::KeyRing, error.to_string()).with_source(error)
    }
}

/// What became of a store's subscriptions when they were sealed anew.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Resealed {
    /// How many had a secret in the clear or under an old key, and were written.
    pub sealed: u64,
    /// How many had everything under the key that seals now, or nothing to seal.
    pub unchanged: u64,
    /// How many are left as they were: they do not open, cannot be read, or somebody else kept writing them.
    pub failed: u64,
}

/// What stands before the ciphertext.
fn header(id: &str, preview: &str) -> String {
    format!("{VERSION}.{id}.{preview}")
}

/// What the tag covers besides the ciphertext. No part of it can hold a dot, so that two never read the same.
fn associated(header: &str, subscription: SubscriptionId, used: SecretUse) -> String {
    let used = match used {
        SecretUse::Signing => "signing",
        SecretUse::Credential => "credential",
    };
    format!("{header}.{used}.{subscription}")
}

fn fill(random: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(random).map_err(|error| {
        Error::new(ErrorKind::Randomness, "the operating system gave no random bytes for a key ring")
            .with_source(error)
    })
}

fn refused(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::KeyRing, message)
}

const KEY: usize = 32;
const NONCE: usize = 24;
const TAG: usize = 16;
