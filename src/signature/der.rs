//! Reads the few structures of ASN.1 DER (ITU-T X.690) that hold a public key.

use super::key_material::KeyMaterial;

/// The key in a `SubjectPublicKeyInfo` (RFC 5280 section 4.1.2.7).
pub(super) fn spki(der: &[u8]) -> Option<KeyMaterial> {
    let (SEQUENCE, outer, b"") = element(der)? else { return None };
    let (SEQUENCE, algorithm, rest) = element(outer)? else { return None };
    let (BIT_STRING, [0, key @ ..], b"") = element(rest)? else { return None };
    let (OBJECT_ID, id, parameters) = element(algorithm)? else { return None };
    match id {
        RSA => rsa(key),
        ED25519 => Some(KeyMaterial::ed25519(key.try_into().ok()?)),
        EC => match element(parameters)? {
            (OBJECT_ID, P256, _) => Some(KeyMaterial::P256(key.to_vec())),
            (OBJECT_ID, P384, _) => Some(KeyMaterial::P384(key.to_vec())),
            _ => None,
        },
        _ => None,
    }
}

/// The key in an `RSAPublicKey` (RFC 8017 appendix A.1.1).
pub(super) fn rsa(der: &[u8]) -> Option<KeyMaterial> {
    let (SEQUENCE, outer, b"") = element(der)? else { return None };
    let (INTEGER, n, rest) = element(outer)? else { return None };
    let (INTEGER, e, b"") = element(rest)? else { return None };
    Some(KeyMaterial::rsa(n, e))
}

/// The key in an X.509 certificate (RFC 5280 section 4.1). Nothing else of the certificate is judged.
pub(super) fn certificate(der: &[u8]) -> Option<KeyMaterial> {
    let (SEQUENCE, outer, _) = element(der)? else { return None };
    let (SEQUENCE, mut rest, _) = element(outer)? else { return None };
    if let (VERSION, _, after) = element(rest)? {
        rest = after;
    }
    // Serial number, signature, issuer, validity and subject stand before the key.
    for _ in 0..5 {
        (_, _, rest) = element(rest)?;
    }
    let (_, _, after) = element(rest)?;
    spki(&rest[..rest.len() - after.len()])
}

/// The tag and the content of the first element, and the bytes after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, first, rest @ ..] = der else { return None };
    let (len, rest) = match *first {
        short @ ..=0x7f => (usize::from(short), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => (usize::from(*rest.first()?) << 8 | usize::from(*rest.get(1)?), &rest[2..]),
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((*tag, content, rest))
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_ID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
/// 1.2.840.113549.1.1.1
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// 1.2.840.10045.2.1
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.2.840.10045.3.1.7
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// 1.3.132.0.34
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
/// 1.3.101.112
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
