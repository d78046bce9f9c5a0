//! [`Form`]: how a private key signs.

use super::key_material::KeyMaterial;

/// An algorithm by which a sender signs, as far as its kind of key leaves a choice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    /// Ed25519.
    Ed25519,
    /// ECDSA with the signature in DER.
    EcdsaDer,
    /// ECDSA with the signature as two numbers of fixed length.
    EcdsaFixed,
    /// RSA, PKCS #1 v1.5 with SHA-256.
    RsaSha256,
    /// RSA, PKCS #1 v1.5 with SHA-1: AWS SNS, version 1.
    RsaSha1,
    /// RSA-PSS with SHA-512 and a salt of 64 bytes.
    RsaPssSha512,
}

impl Form {
    /// The crate's feature that this form needs.
    pub(crate) const fn feature(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            _ => "asymmetric",
        }
    }

    /// Whether the crate's feature is on.
    pub(crate) const fn is_available(self) -> bool {
        let is_ed25519 = matches!(self, Self::Ed25519);
        is_ed25519 && cfg!(feature = "ed25519") || !is_ed25519 && cfg!(feature = "asymmetric")
    }

    /// Whether a key of this kind signs in this form.
    pub(crate) const fn fits(self, key: &KeyMaterial) -> bool {
        matches!(
            (self, key),
            (Self::Ed25519, KeyMaterial::Ed25519(_))
                | (Self::EcdsaDer | Self::EcdsaFixed, KeyMaterial::P256(_) | KeyMaterial::P384(_))
                | (Self::RsaSha256 | Self::RsaSha1 | Self::RsaPssSha512, KeyMaterial::Rsa { .. })
        )
    }
}
