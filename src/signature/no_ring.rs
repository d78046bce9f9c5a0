//! Without the feature `asymmetric`, no signature by ECDSA or RSA is right.

use super::key_material::KeyMaterial;
use super::signature_form::Form;

pub(super) fn verifies(_: &KeyMaterial, _: Form, _: &[u8], _: &[u8]) -> bool {
    false
}
