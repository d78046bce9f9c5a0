//! [`MacKey`]: HMAC with any of the hashes that senders use.
//!
//! HMAC-SHA256 over id, time and body has a faster way of its own, in `hmac.rs`.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq as _;

use super::algorithm::Algorithm;

/// An HMAC key that is ready for messages.
#[derive(Clone)]
pub(crate) enum MacKey {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha512(Box<Hmac<Sha512>>),
}

impl MacKey {
    /// `None` if the algorithm is not an HMAC.
    pub(crate) fn new(algorithm: Algorithm, key: &[u8]) -> Option<Self> {
        Some(match algorithm {
            Algorithm::HmacSha1 => Self::Sha1(Hmac::new_from_slice(key).expect(ANY)),
            Algorithm::HmacSha256 => Self::sha256(key),
            Algorithm::HmacSha512 => Self::Sha512(Box::new(Hmac::new_from_slice(key).expect(ANY))),
            Algorithm::Ed25519 | Algorithm::EcdsaP256 | Algorithm::RsaSha256 => return None,
        })
    }

    pub(crate) fn sha256(key: &[u8]) -> Self {
        Self::Sha256(Hmac::new_from_slice(key).expect(ANY))
    }

    pub(crate) fn tag(&self, content: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1(key) => key.clone().chain_update(content).finalize().into_bytes().to_vec(),
            Self::Sha256(key) => key.clone().chain_update(content).finalize().into_bytes().to_vec(),
            Self::Sha512(key) => Hmac::clone(key).chain_update(content).finalize().into_bytes().to_vec(),
        }
    }

    /// Compares in constant time.
    pub(crate) fn verifies(&self, content: &[u8], tag: &[u8]) -> bool {
        self.tag(content).ct_eq(tag).into()
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(..)")
    }
}

const ANY: &str = "invariant: HMAC takes any key";
