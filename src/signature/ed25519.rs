//! Ed25519 keys: `whsk_` signs and verifies, `whpk_` verifies (Standard Webhooks `v1a`).
//!
//! This is the one module of its kind that knows the feature `ed25519`. Without it the keys have no values,
//! and the compiler removes the code that handles them.

pub(super) use imp::{Point, SigningKey, VerifyingKey};

/// The version of an Ed25519 signature in a list.
pub(super) const VERSION: &str = "v1a";
/// The length of a signature's text: 64 bytes in base64.
pub(super) const SIGNATURE_TEXT_LEN: usize = 88;

#[cfg(feature = "ed25519")]
mod imp {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use ed25519_dalek::{Signature, Signer as _};
    use zeroize::Zeroizing;

    use super::super::encoding;
    use super::super::secret::{Secret, WHPK, WHSK};
    use super::SIGNATURE_TEXT_LEN;
    use crate::error::{Error, ErrorKind};

    #[derive(Clone)]
    pub(in super::super) struct SigningKey(ed25519_dalek::SigningKey);

    impl SigningKey {
        pub(in super::super) fn new(secret: &Secret) -> Result<Self, Error> {
            let Some(text) = secret.expose().strip_prefix(WHSK) else {
                return Err(refused("secret is a public key (whpk_), which cannot sign")
                    .with_expected("whsk_ or whsec_"));
            };
            let key = decoded(text)?;
            if let Ok(pair) = <&[u8; 64]>::try_from(key.as_slice()) {
                ed25519_dalek::SigningKey::from_keypair_bytes(pair)
                    .map(Self)
                    .map_err(|_| refused("secret's public half does not belong to its private half"))
            } else if let Ok(seed) = <&[u8; 32]>::try_from(key.as_slice()) {
                Ok(Self(ed25519_dalek::SigningKey::from_bytes(seed)))
            } else {
                Err(wrong_len(key.len(), "32 (the seed) or 64 (seed and public key)"))
            }
        }

        /// Appends the text of the signature over `content` to `out`.
        pub(in super::super) fn write_signature(&self, content: &[u8], out: &mut String) {
            STANDARD.encode_string(self.0.sign(content).to_bytes(), out);
        }
    }

    #[derive(Clone)]
    pub(in super::super) struct VerifyingKey(ed25519_dalek::VerifyingKey);

    impl VerifyingKey {
        pub(in super::super) fn new(secret: &Secret) -> Result<Self, Error> {
            let Some(text) = secret.expose().strip_prefix(WHPK) else {
                return SigningKey::new(secret).map(|key| Self(key.0.verifying_key()));
            };
            let key = decoded(text)?;
            let Ok(point) = <&[u8; 32]>::try_from(key.as_slice()) else {
                return Err(wrong_len(key.len(), "32"));
            };
            ed25519_dalek::VerifyingKey::from_bytes(point)
                .ok()
                .filter(|key| !key.is_weak())
                .map(Self)
                .ok_or_else(|| refused("secret is no usable Ed25519 public key (whpk_)"))
        }

        /// Whether `text` is this key's signature over `content`.
        pub(in super::super) fn verifies(&self, content: &[u8], text: &[u8]) -> bool {
            let mut signature = [0; 64];
            text.len() == SIGNATURE_TEXT_LEN
                && STANDARD.decode_slice(text, &mut signature) == Ok(signature.len())
                && self.0.verify_strict(content, &Signature::from_bytes(&signature)).is_ok()
        }
    }

    /// The point of a public key, decompressed once and not for each verification.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub(crate) struct Point {
        bytes: [u8; 32],
        /// `None` if the bytes are no usable key, which then verifies nothing.
        key: Option<Box<ed25519_dalek::VerifyingKey>>,
    }

    impl Point {
        pub(in super::super) fn new(bytes: [u8; 32]) -> Self {
            let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes).ok();
            Self { bytes, key: key.filter(|key| !key.is_weak()).map(Box::new) }
        }

        /// Whether `signature` is the key's signature over `content`, by strict rules.
        pub(in super::super) fn verifies(&self, content: &[u8], signature: &[u8]) -> bool {
            match (&self.key, Signature::from_slice(signature)) {
                (Some(key), Ok(signature)) => key.verify_strict(content, &signature).is_ok(),
                _ => false,
            }
        }
    }

    fn decoded(text: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
        encoding::read_key(text).ok_or_else(|| refused("secret is not canonical base64 after its prefix"))
    }

    fn wrong_len(len: usize, expected: &'static str) -> Error {
        Error::new(ErrorKind::Secret, format!("secret is an Ed25519 key of {len} bytes"))
            .with_expected(expected)
    }

    fn refused(message: &'static str) -> Error {
        Error::new(ErrorKind::Secret, message)
    }
}

#[cfg(not(feature = "ed25519"))]
mod imp {
    use super::super::secret::Secret;
    use crate::error::{Error, ErrorKind};

    #[derive(Clone)]
    pub(in super::super) enum SigningKey {}

    impl SigningKey {
        pub(in super::super) fn new(_: &Secret) -> Result<Self, Error> {
            Err(unavailable())
        }

        pub(in super::super) fn write_signature(&self, _: &[u8], _: &mut String) {
            match *self {}
        }
    }

    #[derive(Clone)]
    pub(in super::super) enum VerifyingKey {}

    impl VerifyingKey {
        pub(in super::super) fn new(_: &Secret) -> Result<Self, Error> {
            Err(unavailable())
        }

        pub(in super::super) fn verifies(&self, _: &[u8], _: &[u8]) -> bool {
            match *self {}
        }
    }

    #[derive(Clone, Debug, Eq, PartialEq)]
    pub(crate) struct Point([u8; 32]);

    impl Point {
        pub(in super::super) const fn new(bytes: [u8; 32]) -> Self {
            Self(bytes)
        }

        pub(in super::super) const fn verifies(&self, _: &[u8], _: &[u8]) -> bool {
            false
        }
    }

    fn unavailable() -> Error {
        Error::new(ErrorKind::Secret, "secret is an Ed25519 key (whsk_ or whpk_)")
            .with_expected("hookwire with the feature `ed25519`")
    }
}
