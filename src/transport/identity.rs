//! [`ClientIdentity`]: the certificate by which an endpoint knows a request's sender.

use std::fmt;
use std::hash::{Hash, Hasher};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// The certificate by which an endpoint knows a request's sender (mutual TLS), with its private key, in DER.
///
/// Two are equal when their certificates and keys are. `Debug` shows nothing of them, and the memory of the
/// key is wiped on drop.
#[derive(Clone)]
pub struct ClientIdentity {
    chain: Vec<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
    digest: [u8; 32],
}

impl ClientIdentity {
    /// Makes an identity of certificates, the own one first, and its key in PKCS #8, PKCS #1 or SEC 1.
    pub fn new(chain: Vec<Vec<u8>>, key: impl Into<Zeroizing<Vec<u8>>>) -> Self {
        let key = key.into();
        let mut digest = Sha256::new();
        for part in chain.iter().chain([&*key]) {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Self { chain, key, digest: digest.finalize().into() }
    }

    /// The certificates, the own one first.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// The private key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Tells identities apart: connections with one are never used for another.
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

impl PartialEq for ClientIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for ClientIdentity {}

impl Hash for ClientIdentity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientIdentity(..)")
    }
}
