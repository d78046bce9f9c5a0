//! Signs by ECDSA on P-256 with `ring`.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

/// The signature of a key in PKCS #8, in DER or as two numbers.
pub(super) fn sign(key: &[u8], content: &[u8], is_der: bool) -> Option<Vec<u8>> {
    let random = SystemRandom::new();
    let form = if is_der { &ECDSA_P256_SHA256_ASN1_SIGNING } else { &ECDSA_P256_SHA256_FIXED_SIGNING };
    let key = EcdsaKeyPair::from_pkcs8(form, key, &random).ok()?;
    Some(key.sign(&random, content).ok()?.as_ref().to_vec())
}
