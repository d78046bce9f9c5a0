//! Requests of strangers to every provider: no panic, nothing proven, and nothing answered that is not
//! bounded.

#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use hookwire::provider::{Authentication, Keys, Provider, RequestVerifier};
use hookwire::signature::Request;
use hookwire::{Secret, Verified};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use time::OffsetDateTime;

#[derive(Arbitrary, Debug)]
struct Sent<'a> {
    provider: usize,
    is_get: bool,
    /// The index of a header that the provider reads, and its value.
    headers: Vec<(usize, &'a [u8])>,
    query: &'a str,
    body: &'a [u8],
}

/// The verifiers whose features are built in.
static VERIFIERS: LazyLock<Vec<RequestVerifier>> = LazyLock::new(|| {
    let secrets = ["44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056", ED25519, P256];
    let verifier = |provider: &'static Provider| {
        secrets.iter().find_map(|text| {
            let keys = Keys::from(text.parse::<Secret>().ok()?).with_key_id("sample");
            RequestVerifier::new(provider, keys).ok()
        })
    };
    Provider::all().filter_map(verifier).collect()
});

fuzz_target!(|sent: Sent<'_>| {
    let verifier = &VERIFIERS[sent.provider % VERIFIERS.len()];
    let provider = verifier.provider();
    let mut names = OTHERS.to_vec();
    names.extend(provider.scheme().into_iter().flat_map(|scheme| scheme.headers()));
    let mut headers = HeaderMap::new();
    for (which, value) in sent.headers {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(HeaderName::from_static(names[which % names.len()]), value);
        }
    }
    let method = if sent.is_get { Method::GET } else { Method::POST };
    let url = format!("https://hooks.example.com/in?{}", sent.query);
    let request = Request::new(&method, &headers, sent.body).with_url(&url);

    let judged = verifier.verify_at(&request, OffsetDateTime::UNIX_EPOCH);
    // A shared secret that is shown may be found; a signature is not.
    let is_signed = !matches!(provider.authentication(), Authentication::Nothing | Authentication::Token(_));
    assert!(judged.is_err() || !is_signed, "{} is forged", provider.name());
    let _ = verifier.key_name(&request);
    if let Ok(Some(answer)) = provider.challenge(&request, verifier.keys()) {
        assert!(answer.body().len() < 16 << 10);
    }
    let unproven = Verified::dangerous_unsigned_at(&headers, sent.body, OffsetDateTime::UNIX_EPOCH);
    let _ = provider.events(&request, &unproven);
    let _ = Provider::recognize(&request);
});

const OTHERS: [&str; 12] = [
    "authorization",
    "content-type",
    "content-digest",
    "signature",
    "signature-input",
    "plaid-verification",
    "x-webhook-signature",
    "paypal-transmission-id",
    "paypal-transmission-time",
    "paypal-transmission-sig",
    "paypal-cert-url",
    "x-hook-secret",
];
const ED25519: &str = "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";
const P256: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAElgVGhaYxtkYmVt+4SKL6fNbBAhV5VnQD7t5gkRVfb7Anizox+Hby3ihCrcXH1Ku1FscK+EaaIJ5LFVyXagGL9A==";
