//! Verifies signatures by public keys.
//!
//! P-256, P-384 and RSA need the feature `asymmetric`, Ed25519 needs `ed25519`.

pub(crate) use super::signature_form::Form;

use super::key_material::KeyMaterial;
use super::ring;

/// Whether `signature` is the key's signature of this form over `content`.
pub(crate) fn verifies(key: &KeyMaterial, form: Form, content: &[u8], signature: &[u8]) -> bool {
    match (key, form) {
        (KeyMaterial::Ed25519(key), Form::Ed25519) => key.verifies(content, signature),
        (KeyMaterial::Ed25519(_), _) => false,
        _ => ring::verifies(key, form, content, signature),
    }
}
