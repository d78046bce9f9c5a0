//! Signed requests of every preset: made by `Samples`, proven by its verifier, received by its receiver.

use hookwire::provider::{Authentication, Provider, RequestVerifier};
use hookwire::receive::{Arrival, Receiver, Rejection};
use hookwire::signature::Request;
use hookwire::testing::Samples;
use hookwire::{RawEvent, Secret, VerifyError};
use http::HeaderValue;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

#[test]
fn the_sample_of_every_preset_is_proven_and_changed_ones_are_refused() {
    let mut judged = 0;
    for provider in built_in() {
        let samples = Samples::of(provider);
        let name = provider.name();
        let request = samples.request(NOW).unwrap_or_else(|error| panic!("{name}: {error}"));
        let url = request.uri().to_string();
        let verifier = RequestVerifier::new(provider, samples.keys()).unwrap();
        let verify = |headers: &http::HeaderMap, body: &[u8], url: &str, at| {
            verifier.verify_at(&Request::new(request.method(), headers, body).with_url(url), at).map(drop)
        };
        let (headers, body) = (request.headers(), request.body());
        verify(headers, body, &url, NOW).unwrap_or_else(|error| panic!("{name}: {error}"));
        judged += 1;
        if provider.signs_body() {
            let mut changed = body.to_vec();
            let middle = changed.len() / 2;
            changed[middle] ^= 1;
            assert!(verify(headers, &changed, &url, NOW).is_err(), "{name}: its body may change");
        }
        if provider.scheme().is_some_and(|scheme| scheme.signs_time()) {
            let late = NOW + Duration::try_from(provider.tolerance()).unwrap() + Duration::seconds(2);
            let judgement = verify(headers, body, &url, late);
            assert!(matches!(judgement, Err(VerifyError::TimestampTooOld { .. })), "{name}: {judgement:?}");
        }
        if provider.needs_url() && name != "jira_connect" {
            assert!(
                verify(headers, body, "https://other.example.com/", NOW).is_err(),
                "{name}: its URL may change"
            );
        }
        if matches!(provider.authentication(), Authentication::Nothing) {
            continue;
        }
        for (header, value) in headers {
            let mut bare = headers.clone();
            bare.remove(header);
            let is_needed = verify(&bare, body, &url, NOW).is_err();
            let mut altered = headers.clone();
            let text = value.to_str().unwrap();
            if text.len() > 28 {
                // Not the last digit of base64, of which some bits mean nothing.
                let (before, after) = text.split_at(text.len() - 9);
                let other = if after.starts_with('a') { "b" } else { "a" };
                let changed = format!("{before}{other}{}", &after[1..]);
                altered.insert(header, HeaderValue::from_str(&changed).unwrap());
            }
            // A header without which there is no proof is a part of it.
            // PayPal signs the name of its certificate by that certificate alone.
            if is_needed && text.len() > 28 && header != "paypal-cert-url" {
                assert!(verify(&altered, body, &url, NOW).is_err(), "{name}: {header} may change");
            }
        }
        let other: Secret = "5578".repeat(16).parse().unwrap();
        if let Ok(verifier) = RequestVerifier::new(provider, other) {
            let seen = Request::new(request.method(), headers, body).with_url(&url);
            assert!(verifier.verify_at(&seen, NOW).is_err(), "{name}: any key proves it");
        }
    }
    assert_eq!(judged, Provider::all().count());
}

#[tokio::test]
async fn the_sample_of_every_preset_is_received_as_an_event_of_its_type_and_time() {
    for provider in built_in() {
        let samples = Samples::of(provider);
        let request = samples.request(NOW).unwrap();
        let receiver = Receiver::of(provider, samples.keys()).unwrap().with_url(samples.url());
        let admitted = receiver.admit(Arrival::from(&request), NOW);
        let name = provider.name();
        let proven = match admitted {
            Ok(admitted) => admitted.prove(request.body(), NOW).await,
            Err(rejection) => Err(rejection),
        };
        let all = match proven {
            Ok(proven) => proven.receive_all::<RawEvent>().await,
            Err(rejection) => Err(rejection),
        };
        let all = all.unwrap_or_else(|rejection: Rejection| panic!("{name}: {rejection}"));
        assert_eq!(all.len(), 1, "{name}");
    }
}

#[test]
fn a_secret_and_a_body_of_ones_own_are_signed() {
    let secret: Secret = "whsec_own".parse().unwrap();
    let samples = Samples::of(Provider::by_name("stripe").unwrap())
        .with_secret(secret.clone())
        .with_url("https://own.example.com/stripe");
    let request = samples.request_with(r#"{"id":"evt_1"}"#, NOW).unwrap();
    assert_eq!(request.uri(), "https://own.example.com/stripe");
    let verifier = RequestVerifier::new(samples.provider(), &secret).unwrap();
    assert!(verifier.verify_at(&Request::post(request.headers(), br#"{"id":"evt_1"}"#), NOW).is_ok());
    let adyen = Samples::of(Provider::by_name("adyen_standard").unwrap());
    assert!(adyen.request_with("[]", NOW).is_err());
}

fn built_in() -> impl Iterator<Item = &'static Provider> {
    let is_built_in = |provider: &&'static Provider| {
        let judged = RequestVerifier::new(provider, Samples::of(provider).keys());
        judged.is_ok() || !cfg!(feature = "full")
    };
    let all: Vec<_> = Provider::all().filter(is_built_in).collect();
    assert!(!cfg!(feature = "full") || all.len() == Provider::all().count(), "a preset takes no sample keys");
    all.into_iter()
}

const NOW: OffsetDateTime = datetime!(2026-11-30 10:20:00 UTC);
