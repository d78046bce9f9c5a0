//! Ed25519 signatures (`v1a`) of Standard Webhooks, behind the feature `ed25519`.
//!
//! The one module of its kind that knows the feature: without it the types below have no values, and the
//! compiler removes what handles them.

pub(super) use imp::{Asymmetric, SigningKey, VerifyingKey};

/// What a private key's text begins with.
pub(super) const PRIVATE: &str = "whsk_";
/// What a public key's text begins with.
pub(super) const PUBLIC: &str = "whpk_";
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
    use super::super::scheme::Scheme;
    use super::super::secret::Secret;
    use super::{PRIVATE, PUBLIC, SIGNATURE_TEXT_LEN};
    use crate::error::{Error, ErrorKind};

    impl Scheme {
        /// Standard Webhooks `v1a`: `webhook-signature: v1a,<base64> ...` over `id.timestamp.body`, by Ed25519.
        ///
        /// Covers the id, the time and the body. A `whsk_` secret signs and verifies (base64 of the 32-byte seed, or of
        /// seed and public key), a `whpk_` one only verifies. A `whsec_` secret is taken as an HMAC key whose
        /// signatures are `v1`, for the time of moving from one to the other. The key's kind picks the algorithm,
        /// never the header. Verification is strict ([RFC 8032](https://www.rfc-editor.org/rfc/rfc8032), and no
        /// weak keys).
        #[cfg_attr(docsrs, doc(cfg(feature = "ed25519")))]
        pub const STANDARD_WEBHOOKS_ED25519: Self = Self {
            name: "standard_webhooks_ed25519",
            asymmetric: Some(Asymmetric),
            ..Self::STANDARD_WEBHOOKS
        };
    }

    /// Marks a scheme whose keys may be Ed25519 ones.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub(in super::super) struct Asymmetric;

    impl Asymmetric {
        pub(in super::super) fn signing_key(self, secret: &Secret) -> Result<SigningKey, Error> {
            let Some(text) = secret.expose().strip_prefix(PRIVATE) else {
                return Err(refused(
                    "secret is a public key (whpk_), which cannot sign, expected whsk_ or whsec_",
                ));
            };
            let key = decoded(text)?;
            if let Ok(pair) = <&[u8; 64]>::try_from(key.as_slice()) {
                ed25519_dalek::SigningKey::from_keypair_bytes(pair)
                    .map(SigningKey)
                    .map_err(|_| refused("secret's public half does not belong to its private half"))
            } else if let Ok(seed) = <&[u8; 32]>::try_from(key.as_slice()) {
                Ok(SigningKey(ed25519_dalek::SigningKey::from_bytes(seed)))
            } else {
                Err(wrong_len(key.len(), "32 (the seed) or 64 (seed and public key)"))
            }
        }

        pub(in super::super) fn verifying_key(self, secret: &Secret) -> Result<VerifyingKey, Error> {
            let Some(text) = secret.expose().strip_prefix(PUBLIC) else {
                return self.signing_key(secret).map(|key| VerifyingKey(key.0.verifying_key()));
            };
            let key = decoded(text)?;
            let Ok(point) = <&[u8; 32]>::try_from(key.as_slice()) else {
                return Err(wrong_len(key.len(), "32"));
            };
            ed25519_dalek::VerifyingKey::from_bytes(point)
                .ok()
                .filter(|key| !key.is_weak())
                .map(VerifyingKey)
                .ok_or_else(|| refused("secret is no usable Ed25519 public key (whpk_)"))
        }
    }

    #[derive(Clone)]
    pub(in super::super) struct SigningKey(ed25519_dalek::SigningKey);

    impl SigningKey {
        /// Appends the text of the signature over `content` to `out`.
        pub(in super::super) fn write_signature(&self, content: &[u8], out: &mut String) {
            STANDARD.encode_string(self.0.sign(content).to_bytes(), out);
        }
    }

    #[derive(Clone)]
    pub(in super::super) struct VerifyingKey(ed25519_dalek::VerifyingKey);

    impl VerifyingKey {
        /// Whether `text` is this key's signature over `content`.
        pub(in super::super) fn verifies(&self, content: &[u8], text: &[u8]) -> bool {
            let mut signature = [0; 64];
            text.len() == SIGNATURE_TEXT_LEN
                && STANDARD.decode_slice(text, &mut signature) == Ok(signature.len())
                && self.0.verify_strict(content, &Signature::from_bytes(&signature)).is_ok()
        }
    }

    fn decoded(text: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
        encoding::read_key(text).ok_or_else(|| refused("secret is not canonical base64 after its prefix"))
    }

    fn wrong_len(len: usize, expected: &str) -> Error {
        Error::new(ErrorKind::Secret, format!("secret is an Ed25519 key of {len} bytes, expected {expected}"))
    }

    fn refused(message: &'static str) -> Error {
        Error::new(ErrorKind::Secret, message)
    }
}

#[cfg(not(feature = "ed25519"))]
mod imp {
    use super::super::secret::Secret;
    use crate::error::Error;

    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub(in super::super) enum Asymmetric {}

    impl Asymmetric {
        pub(in super::super) fn signing_key(self, _: &Secret) -> Result<SigningKey, Error> {
            match self {}
        }

        pub(in super::super) fn verifying_key(self, _: &Secret) -> Result<VerifyingKey, Error> {
            match self {}
        }
    }

    #[derive(Clone)]
    pub(in super::super) enum SigningKey {}

    impl SigningKey {
        pub(in super::super) fn write_signature(&self, _: &[u8], _: &mut String) {
            match *self {}
        }
    }

    #[derive(Clone)]
    pub(in super::super) enum VerifyingKey {}

    impl VerifyingKey {
        pub(in super::super) fn verifies(&self, _: &[u8], _: &[u8]) -> bool {
            match *self {}
        }
    }
}
