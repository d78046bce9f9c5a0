//! Verifies arbitrary headers and bodies under every scheme: no panic, and only the signer's own output
//! passes.

#![no_main]

use arbitrary::Arbitrary;
use hookwire::{Scheme, Secret, Signer, Verifier};
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use time::OffsetDateTime;

#[derive(Arbitrary, Debug)]
struct Request<'a> {
    scheme: usize,
    key: [u8; 32],
    /// The index of the scheme's header, and its value.
    headers: Vec<(usize, &'a [u8])>,
    /// Headers of a valid signature over the values below. They stay unless `headers` replaces them.
    signed: Option<(&'a str, u32)>,
    body: &'a [u8],
    now: i64,
}

fuzz_target!(|request: Request<'_>| {
    let scheme = SCHEMES[request.scheme % SCHEMES.len()];
    let secret = Secret::from_bytes(request.key);
    let signer = Signer::new(scheme, &secret).expect("32 bytes are a key under every scheme");
    let verifier = Verifier::new(scheme, &secret).expect("32 bytes are a key under every scheme");

    let mut headers = HeaderMap::new();
    if let Some((id, seconds)) = request.signed {
        let _ = signer.sign_into(&mut headers, id, at(seconds.into()), request.body);
    }
    let names: Vec<_> = scheme.headers().collect();
    for (which, value) in request.headers {
        let Ok(value) = HeaderValue::from_bytes(value) else { continue };
        let name = HeaderName::from_static(names[which % names.len()]);
        // One in two adds a second copy.
        if which & (1 << 20) == 0 {
            headers.insert(name, value);
        } else {
            headers.append(name, value);
        }
    }

    let now = at(request.now);
    let _ = verifier.verify_at(&headers, request.body, now);
    let careless = verifier.dangerous().without_timestamp_check();
    let Ok(verified) = careless.verify_at(&headers, request.body, now) else { return };

    assert_eq!(verified.body(), request.body);
    let signed_at = verified.timestamp().unwrap_or(now.max(OffsetDateTime::UNIX_EPOCH));
    let again = signer
        .signature(verified.id().unwrap_or_default(), signed_at, verified.body())
        .expect("what was verified can be signed");
    let value = headers[scheme.signature_header()].to_str().expect("a proved value is text");
    let value = value.to_ascii_lowercase();
    let again = again.to_ascii_lowercase();
    // The last field is the signature, alone or after the time. A list may have other fields before and after
    // it.
    let signature = again.rsplit(',').next().expect("there is always a last field");
    assert!(value.contains(signature), "{value} does not hold {again}");
});

/// A time within the range of `OffsetDateTime`.
fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds % 253_402_300_800).expect("the remainder is in range")
}

const SCHEMES: [Scheme; 8] = [
    Scheme::ALLISON,
    Scheme::STANDARD_WEBHOOKS,
    Scheme::STANDARD_WEBHOOKS_ED25519,
    Scheme::SVIX,
    Scheme::STRIPE,
    Scheme::GITHUB,
    Scheme::SLACK,
    Scheme::SHOPIFY,
];
