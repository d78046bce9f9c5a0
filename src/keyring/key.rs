//! [`Key`]: seals and opens secrets.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};

/// A key of a [`KeyRing`](crate::keyring::KeyRing): 32 bytes, as text in base64.
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
// Boxed, so that moving a key leaves no copy behind.
#[derive(Clone)]
pub struct Key(Box<Zeroizing<[u8; KEY]>>);

impl Key {
    /// Makes a key from the operating system's randomness. [`from_bytes`](Self::from_bytes) is the pure twin.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Randomness`] when the operating system has none to give.
    pub fn try_generate() -> Result<Self, Error> {
        let mut key = Self(Box::default());
        fill(key.0.as_mut_slice())?;
        Ok(key)
    }

    /// Makes a key from the operating system's randomness.
    ///
    /// # Panics
    ///
    /// When the operating system has none to give; [`try_generate`](Self::try_generate) returns that as an
    /// error.
    pub fn generate() -> Self {
        match Self::try_generate() {
            Ok(key) => key,
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes a key of these bytes, which must be random and never a password.
    pub fn from_bytes(bytes: [u8; KEY]) -> Self {
        Self(Box::new(Zeroizing::new(bytes)))
    }

    /// The key's text. Store it outside of the database whose secrets it seals.
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0.as_slice()))
    }

    pub(super) fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&**self.0).into())
    }
}

impl FromStr for Key {
    type Err = Error;

    /// Takes 32 bytes in base64 (RFC 4648 section 4), with or without padding.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || refused("key is not valid").with_expected("32 bytes in base64");
        let mut bytes = Zeroizing::new(Vec::with_capacity(text.len().div_ceil(4) * 3));
        STANDARD_PAD_INDIFFERENT.decode_vec(text, &mut bytes).map_err(|_| wrong())?;
        let mut key = Self(Box::default());
        if bytes.len() != KEY {
            return Err(wrong());
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

pub(super) fn fill(random: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(random).map_err(|error| {
        Error::new(ErrorKind::Randomness, "the operating system gave no random bytes for a key ring")
            .with_source(error)
    })
}

pub(super) fn refused(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::KeyRing, message)
}

const KEY: usize = 32;
