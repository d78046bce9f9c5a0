//! Every vector verifies, and nothing like it does.

use hookwire::provider::{Authentication, Keys, Provider, TokenPlace};
use hookwire::{Secret, VerifyError};
use http::HeaderValue;
use time::Duration;

use super::vectors::{Vector, vectors};

fn proven() -> Vec<Vector> {
    let all: Vec<_> = vectors().into_iter().filter(|vector| vector.kind != "challenge").collect();
    let built_in: Vec<_> = all.iter().filter(|vector| vector.is_built_in()).cloned().collect();
    for vector in &all {
        if cfg!(feature = "full") {
            vector.verifier();
        }
    }
    assert!(built_in.len() >= 55, "only {} vectors", built_in.len());
    built_in
}

#[test]
fn every_vector_verifies() {
    let refused: Vec<_> = proven()
        .iter()
        .filter_map(|vector| {
            let error = vector.verify_at(vector.now()).err()?;
            Some(format!("{}: {error}", vector.provider))
        })
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn one_changed_byte_of_a_body_is_refused_where_the_proof_covers_it() {
    let mut judged = 0;
    for vector in proven() {
        if !(vector.provider().signs_body() || vector.headers.contains_key("content-digest")) {
            continue;
        }
        let len = vector.body.len();
        for at in [0, len / 2, len.saturating_sub(1)].into_iter().filter(|at| *at < len) {
            let mut changed = vector.clone();
            changed.body[at] ^= 1;
            let judgement = changed.verify_at(vector.now());
            assert!(judgement.is_err(), "{}: byte {at} of the body may change", vector.provider);
        }
        judged += 1;
    }
    assert!(judged >= 50, "only {judged} providers sign their body");
}

#[test]
fn another_key_is_refused() {
    for vector in proven() {
        let key = vector.key.as_deref().unwrap();
        let keys = match vector.keys() {
            // The other public key of the same kind is Ed25519's, or no key of the kind is known.
            _ if key.contains("-----BEGIN")
                || vector.provider().scheme().is_some_and(|scheme| scheme.algorithm().is_asymmetric()) =>
            {
                continue;
            }
            _ => Keys::from(
                key.replacen(|letter: char| letter.is_ascii_alphanumeric(), "Z", 1)
                    .parse::<Secret>()
                    .unwrap(),
            ),
        };
        if let Ok(verifier) = hookwire::provider::RequestVerifier::new(vector.provider(), keys) {
            let judgement = verifier.verify_at(&vector.request(), vector.now());
            assert!(judgement.is_err(), "{}: any key proves it", vector.provider);
        }
    }
}

/// A header that carries the proof, and one of which a digit or letter changed.
#[test]
fn a_changed_signature_is_refused() {
    let mut judged = 0;
    for vector in proven() {
        let carrier = match vector.provider().authentication() {
            Authentication::Scheme(scheme) => {
                let other = scheme.other_headers().map(|family| family.signature_header());
                let mut all = [Some(scheme.signature_header()), other].into_iter().flatten();
                all.find(|name| vector.headers.contains_key(*name)).unwrap_or_default().to_owned()
            }
            Authentication::HttpSignature(_) => "signature".to_owned(),
            Authentication::Token(_) | Authentication::Jwt(_) => {
                ["authorization", "plaid-verification", "x-webhook-signature", "x-gitlab-token"]
                    .into_iter()
                    .find(|name| vector.headers.contains_key(*name))
                    .unwrap_or_default()
                    .to_owned()
            }
            _ => continue,
        };
        if carrier.is_empty() {
            continue;
        }
        let value = vector.headers[carrier.as_str()].to_str().unwrap();
        // The character stands in the middle of the last signature of the header.
        let at = value.len() - 9.min(value.len());
        let other = if value.as_bytes()[at] == b'a' { 'b' } else { 'a' };
        let mut changed = vector.clone();
        let text = format!("{}{other}{}", &value[..at], &value[at + 1..]);
        changed
            .headers
            .insert(http::HeaderName::try_from(&carrier).unwrap(), HeaderValue::from_str(&text).unwrap());
        if vector.provider == "box" {
            changed.headers.remove("box-signature-secondary");
        }
        if vector.provider == "docusign" {
            changed.headers.remove("x-docusign-signature-2");
        }
        let judgement = changed.verify_at(vector.now());
        assert!(judgement.is_err(), "{}: its {carrier} may change", vector.provider);
        judged += 1;
    }
    assert!(judged >= 50, "only {judged} were judged");
}

#[test]
fn another_url_is_refused_where_the_proof_covers_it() {
    let mut judged = Vec::new();
    for vector in proven().into_iter().filter(|vector| vector.provider().needs_url()) {
        let mut changed = vector.clone();
        changed.url = vector.url.replacen("//", "//other.", 1);
        changed.url = changed.url.replace("/in", "/out");
        if changed.verify_at(vector.now()).is_err() {
            judged.push(vector.provider.clone());
        }
        let unknown = hookwire::signature::Request::new(&vector.method, &vector.headers, &vector.body);
        let verifier = hookwire::provider::RequestVerifier::new(vector.provider(), vector.keys()).unwrap();
        let judgement = verifier.verify_at(&unknown, vector.now());
        if vector.provider != "rfc9421_hmac" {
            assert_eq!(judgement.unwrap_err(), VerifyError::UnknownUrl, "{}", vector.provider);
        }
    }
    judged.sort();
    judged.dedup();
    let expected = [
        "google_pubsub",
        "hubspot_v3",
        "plivo_v2",
        "plivo_v3",
        "rfc9421_ed25519",
        "rfc9421_hmac",
        "sinch_voice",
        "square",
        "trello",
        "twilio_form",
        "twilio_json",
    ];
    assert_eq!(judged, expected);
}

#[test]
fn a_stale_request_is_refused_where_the_proof_covers_a_time() {
    let mut judged = 0;
    for vector in proven().into_iter().filter(|vector| vector.timestamp.is_some()) {
        let tolerance = match vector.provider() {
            provider if provider.name().starts_with("aws_sns") => Duration::hours(1),
            provider => provider.tolerance().try_into().unwrap(),
        };
        assert!(vector.verify_at(vector.now() + tolerance).is_ok(), "{}", vector.provider);
        let late = vector.verify_at(vector.now() + tolerance + Duration::seconds(2));
        assert!(matches!(late, Err(VerifyError::TimestampTooOld { .. })), "{}: {late:?}", vector.provider);
        judged += 1;
    }
    assert!(judged >= 25, "only {judged} have a time");
}

#[test]
fn a_request_without_its_proof_is_refused() {
    for vector in proven() {
        let mut bare = vector.clone();
        bare.headers.clear();
        bare.url.truncate(vector.url.find('?').unwrap_or(vector.url.len()));
        let is_in_body = match vector.provider().authentication() {
            Authentication::Scheme(scheme) => scheme.signature_header().is_empty(),
            Authentication::Token(places) => {
                matches!(places[0], TokenPlace::Json(_) | TokenPlace::EachJson(..))
            }
            Authentication::Sns(_) => true,
            _ => vector.provider == "dialpad",
        };
        if is_in_body {
            bare.body = b"{}".to_vec();
        }
        assert!(bare.verify_at(vector.now()).is_err(), "{}", vector.provider);
    }
}

#[test]
fn every_preset_has_a_name_of_its_own_and_says_where_its_rule_stands() {
    let mut names: Vec<_> = Provider::all().map(Provider::name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for provider in Provider::all() {
        assert!(provider.documentation().starts_with("https://"), "{}", provider.name());
        assert!(!provider.title().is_empty());
        assert_eq!(Provider::by_name(provider.name()).unwrap().name(), provider.name());
        assert_eq!(provider.contract().name(), provider.name());
    }
}

/// Every name in the vectors is a preset's, so that all of them are tried.
#[test]
fn every_vector_has_its_preset() {
    for vector in vectors() {
        assert_eq!(vector.provider().name(), vector.provider);
    }
}
