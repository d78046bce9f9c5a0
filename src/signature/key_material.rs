//! [`KeyMaterial`]: the numbers of a public key.

use super::ed25519::Point;

/// The numbers of a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum KeyMaterial {
    Ed25519(Point),
    /// An uncompressed point (SEC 1 section 2.3.3).
    P256(Vec<u8>),
    P384(Vec<u8>),
    /// Modulus and exponent without leading zeros.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
}

impl KeyMaterial {
    pub(super) fn ed25519(point: [u8; 32]) -> Self {
        Self::Ed25519(Point::new(point))
    }

    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Self {
        let bare = |number: &[u8]| {
            let zeros = number.iter().take_while(|byte| **byte == 0).count();
            number[zeros..].to_vec()
        };
        Self::Rsa { n: bare(n), e: bare(e) }
    }
}
