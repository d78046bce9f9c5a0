//! ECDSA and RSA by `ring`, with the feature `asymmetric`.

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED,
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA512,
    RsaPublicKeyComponents, UnparsedPublicKey,
};

use super::key_material::KeyMaterial;
use super::signature_form::Form;

pub(super) fn verifies(key: &KeyMaterial, form: Form, content: &[u8], signature: &[u8]) -> bool {
    let judged = match (key, form) {
        (KeyMaterial::P256(point), Form::EcdsaDer) => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(content, signature)
        }
        (KeyMaterial::P256(point), Form::EcdsaFixed) => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(content, signature)
        }
        (KeyMaterial::P384(point), Form::EcdsaDer) => {
            UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, point).verify(content, signature)
        }
        (KeyMaterial::P384(point), Form::EcdsaFixed) => {
            UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(content, signature)
        }
        (KeyMaterial::Rsa { n, e }, form) => {
            let parameters = match form {
                Form::RsaSha256 => &RSA_PKCS1_2048_8192_SHA256,
                Form::RsaSha1 => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
                Form::RsaPssSha512 => &RSA_PSS_2048_8192_SHA512,
                _ => return false,
            };
            RsaPublicKeyComponents { n, e }.verify(parameters, content, signature)
        }
        _ => return false,
    };
    judged.is_ok()
}
