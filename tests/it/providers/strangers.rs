//! Requests of strangers: nothing that they send is proven, and nothing makes a parser panic.

use std::sync::LazyLock;

use hookwire::Verified;
use hookwire::provider::{Authentication, Provider, RequestVerifier};
use hookwire::signature::Request;
use hookwire::testing::Samples;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use proptest::sample::select;
use time::OffsetDateTime;
use time::macros::datetime;

static VERIFIERS: LazyLock<Vec<RequestVerifier>> = LazyLock::new(|| {
    let verifier = |provider| RequestVerifier::new(provider, Samples::of(provider).keys()).ok();
    Provider::all().filter_map(verifier).collect()
});

/// Pieces of what the parsers read: lists, fields, columns, tokens, structured fields, forms and JSON.
const PIECES: [&str; 32] = [
    "v1=",
    "v1,",
    "t=",
    "t=1700000000",
    ",",
    ";",
    "|",
    "&",
    " ",
    "\t",
    "hmac;1;",
    "1700000000",
    "sha256=",
    "AAAA",
    "=",
    "sig=(",
    "\"@method\"",
    ")",
    ";created=1700000000",
    ";keyid=\"a\"",
    ":AAAA:",
    "eyJhbGciOiJIUzI1NiJ9",
    ".",
    "e30",
    "%",
    "%2",
    "%zz",
    "+",
    "{\"a\":",
    "[",
    "\"\\ud83d\"",
    "}",
];

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => select(PIECES.to_vec()).prop_map(str::to_owned),
        1 => "[ -~]{0,6}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// The headers that the provider reads.
fn names(provider: &Provider) -> Vec<&'static str> {
    let mut names = vec!["authorization", "content-type", "content-digest", "signature", "signature-input"];
    match provider.authentication() {
        Authentication::Scheme(scheme) => names.extend(scheme.headers()),
        Authentication::Jwt(_) => names.extend(["plaid-verification", "x-webhook-signature"]),
        Authentication::PayPal => {
            names.extend([
                "paypal-transmission-id",
                "paypal-transmission-time",
                "paypal-transmission-sig",
                "paypal-cert-url",
            ]);
        }
        _ => {}
    }
    names
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn no_stranger_is_proven_and_no_parser_panics(
        at in any::<prop::sample::Index>(),
        texts in prop::collection::vec(text(), 12),
        body in text(),
        query in text(),
    ) {
        let verifier = at.get(&VERIFIERS);
        let provider = verifier.provider();
        let mut headers = HeaderMap::new();
        for (name, text) in names(provider).into_iter().zip(&texts) {
            if let Ok(value) = HeaderValue::from_str(text.trim()) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        let url = format!("https://hooks.example.com/in?{}", query.replace(' ', "%20"));
        for method in [Method::POST, Method::GET] {
            let request = Request::new(&method, &headers, body.as_bytes()).with_url(&url);
            let judged = verifier.verify_at(&request, NOW);
            let proves = !matches!(provider.authentication(), Authentication::Nothing);
            prop_assert!(judged.is_err() || !proves, "{}", provider.name());
            let _ = verifier.key_name(&request);
            let _ = provider.challenge(&request, verifier.keys());
            let unproven = Verified::dangerous_unsigned_at(&headers, body.as_bytes(), NOW);
            let _ = provider.events(&request, &unproven);
            let _ = Provider::recognize(&request);
        }
    }
}

const NOW: OffsetDateTime = datetime!(2023-11-14 22:13:20 UTC);
