//! Verifying under each algorithm, compared with its lower bound: the bare primitive of the crate that
//! computes it, with a key that was prepared once, over content and signature that lie ready.
//!
//! ```text
//! cargo bench --bench algorithms --features ed25519,jwt,testing
//! cargo bench --bench algorithms --features ed25519,jwt,testing -- --strict
//! ```
//!
//! With `--strict`, a missed bound is a failure.
//!
//! The verifier gets a request as it comes: it finds and decodes the signature, reads the time and judges
//! it, and puts the signed content together. Where a rule signs a digest of the body (RFC 9421, tokens), the
//! bound computes that digest too. `ring` has no prepared form of a public key, so both sides parse it each
//! time.

mod rounds;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use hookwire::allison::{CallEnded, Direction, Disposition};
use hookwire::provider::{Provider, RequestVerifier};
use hookwire::signature::{Algorithm, Part, Request};
use hookwire::testing::{ProviderSamples, Samples};
use hookwire::{Contract, Envelope, Scheme, Secret};
use http::HeaderMap;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::rounds::{heading, interleaved, row};

fn main() -> ExitCode {
    let has = |argument: &str| std::env::args().any(|had| had == argument);
    // `cargo test --benches` only checks that the program starts.
    if has("--test") || has("--list") {
        return ExitCode::SUCCESS;
    }
    heading();
    let mut is_kept = true;
    for subject in subjects() {
        let calls = subject.calls();
        let [limit, verify] =
            interleaved(calls, [&|| _ = black_box(subject.limit()), &|| _ = black_box(subject.verify())]);
        is_kept &= row(subject.name, subject.body.len(), &verify, &limit, Some(subject.bound));
    }
    if has("--strict") && !is_kept { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn subjects() -> Vec<Subject> {
    let text = SECRET.as_bytes();
    let decoded = STANDARD.decode(SECRET).expect("the secret is base64 as well");
    vec![
        Subject::of_scheme("HMAC-SHA256", "github", mac::<Hmac<Sha256>>(text), 1.2),
        Subject::of_scheme("HMAC-SHA1", "vercel", mac::<Hmac<Sha1>>(text), 2.0),
        Subject::of_scheme("HMAC-SHA512", "paystack", mac::<Hmac<Sha512>>(text), 1.6),
        Subject::of_scheme("Ed25519", "telnyx", ed25519(), 1.1),
        Subject::of_scheme("ECDSA P-256", "sendgrid", p256(&ECDSA_P256_SHA256_ASN1), 1.1),
        Subject::new("RSA", Samples::of(&RSA), rsa(), signed_by_scheme, 1.1),
        Subject::of_token("JWT HS256", "livekit", mac::<Hmac<Sha256>>(text), 4.0),
        Subject::of_token("JWT ES256", "plaid", p256(&ECDSA_P256_SHA256_FIXED), 1.2),
        Subject::of_token("JWT RS256", "google_pubsub", rsa(), 1.2),
        Subject::of_message("RFC 9421 HMAC", "rfc9421_hmac", mac::<Hmac<Sha256>>(&decoded), 5.0),
        Subject::of_message("RFC 9421 Ed25519", "rfc9421_ed25519", ed25519(), 1.2),
        Subject::new("AWS SNS", samples("aws_sns_v2"), rsa(), signed_by_sns, 1.2),
    ]
}

/// A request, and everything that the bound needs of it.
struct Subject {
    name: &'static str,
    url: String,
    headers: HeaderMap,
    body: Bytes,
    verifier: RequestVerifier,
    primitive: Primitive,
    signed: Signed,
    bound: f64,
}

/// The signed content of a request, and its signature.
struct Signed {
    content: Vec<u8>,
    signature: Vec<u8>,
    /// Whether the content has a digest of the body instead of the body.
    has_digest: bool,
}

impl Subject {
    fn new(
        name: &'static str,
        samples: ProviderSamples,
        primitive: Primitive,
        signed: fn(&Provider, &Request<'_>) -> Signed,
        bound: f64,
    ) -> Self {
        let (headers, body) = {
            let request = samples.request_with(call_ended(), NOW).expect("the provider can sign it");
            let (head, body) = request.into_parts();
            (head.headers, body)
        };
        let url = samples.url().to_owned();
        let verifier = RequestVerifier::new(samples.provider(), samples.keys()).expect("the keys are right");
        let signed = signed(samples.provider(), &Request::post(&headers, &body).with_url(&url));
        let subject = Self { name, url, headers, body, verifier, primitive, signed, bound };
        assert!(subject.verify() && subject.limit(), "{name}: both accept the signature");
        subject
    }

    fn of_scheme(name: &'static str, provider: &str, primitive: Primitive, bound: f64) -> Self {
        Self::new(name, samples(provider), primitive, signed_by_scheme, bound)
    }

    fn of_token(name: &'static str, provider: &str, primitive: Primitive, bound: f64) -> Self {
        Self::new(name, samples(provider), primitive, signed_by_token, bound)
    }

    fn of_message(name: &'static str, provider: &str, primitive: Primitive, bound: f64) -> Self {
        Self::new(name, samples(provider), primitive, signed_by_message, bound)
    }

    fn limit(&self) -> bool {
        let Signed { content, signature, has_digest } = &self.signed;
        if *has_digest {
            black_box(Sha256::digest(black_box(&self.body)));
        }
        (self.primitive)(black_box(content), black_box(signature))
    }

    fn verify(&self) -> bool {
        let request = Request::post(black_box(&self.headers), black_box(&self.body)).with_url(&self.url);
        self.verifier.verify_at(&request, black_box(NOW)).is_ok()
    }

    /// The number of calls that take about 50 microseconds.
    fn calls(&self) -> usize {
        let start = Instant::now();
        (0..20).for_each(|_| _ = black_box(self.limit()));
        (50_000 * 20 / start.elapsed().as_nanos().max(1) as usize).clamp(1, 100)
    }
}

fn samples(provider: &str) -> ProviderSamples {
    let samples = Samples::of(Provider::by_name(provider).expect("the preset is there"));
    samples.with_secret(SECRET.parse::<Secret>().expect("the secret is text"))
}

/// Verifies a signature over a content.
type Primitive = Box<dyn Fn(&[u8], &[u8]) -> bool>;

fn mac<M: Mac + KeyInit + Clone + 'static>(key: &[u8]) -> Primitive {
    let keyed = <M as KeyInit>::new_from_slice(key).expect("HMAC takes any key");
    Box::new(move |content, tag| keyed.clone().chain_update(content).verify_slice(tag).is_ok())
}

fn ed25519() -> Primitive {
    let key: VerifyingKey = SigningKey::from_bytes(&[7; 32]).verifying_key();
    Box::new(move |content, signature| {
        let signature = Signature::from_slice(signature);
        signature.is_ok_and(|signature| key.verify_strict(content, &signature).is_ok())
    })
}

/// The public halves of the private keys with which `Samples` sign.
fn p256(algorithm: &'static dyn VerificationAlgorithm) -> Primitive {
    // A point of 65 bytes ends the `SubjectPublicKeyInfo`.
    let spki = STANDARD.decode(P256_PUBLIC).expect("the key is base64");
    let key = UnparsedPublicKey::new(algorithm, spki[spki.len() - 65..].to_vec());
    Box::new(move |content, signature| key.verify(content, signature).is_ok())
}

fn rsa() -> Primitive {
    // The `RSAPublicKey` stands behind 24 bytes.
    let spki = STANDARD.decode(RSA_PUBLIC).expect("the key is base64");
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, spki[24..].to_vec());
    Box::new(move |content, signature| key.verify(content, signature).is_ok())
}

fn signed_by_scheme(provider: &Provider, request: &Request<'_>) -> Signed {
    let scheme = provider.scheme().expect("the provider has a scheme");
    let content = scheme.signed_bytes(request, "", NOW).expect("the request has every part");
    let text = request.headers[scheme.signature_header()].to_str().expect("the signature is text");
    let text = text.strip_prefix("sha256=").unwrap_or(text);
    let signature = match scheme.algorithm().is_asymmetric() {
        true => STANDARD.decode(text).expect("the signature is base64"),
        false => hex::decode(text).expect("the tag is hex"),
    };
    Signed { content, signature, has_digest: false }
}

fn signed_by_token(provider: &Provider, request: &Request<'_>) -> Signed {
    let mut headers = request.headers.values().filter_map(|value| value.to_str().ok());
    let token = headers.find(|value| value.matches('.').count() == 2).expect("a header has the token");
    let token = token.trim_start_matches("Bearer ");
    let (content, signature) = token.rsplit_once('.').expect("the token has three parts");
    Signed {
        content: content.as_bytes().to_vec(),
        signature: URL_SAFE_NO_PAD.decode(signature).expect("the signature is base64url"),
        // Google's tokens say nothing of the body.
        has_digest: provider.name() != "google_pubsub",
    }
}

fn signed_by_message(_: &Provider, request: &Request<'_>) -> Signed {
    let text = |name: &str| request.headers[name].to_str().expect("the header is text");
    let signature = text("signature").strip_prefix("sig=:").and_then(|text| text.strip_suffix(':'));
    let content = format!(
        "\"@method\": POST\n\"@target-uri\": {}\n\"content-digest\": {}\n\"@signature-params\": {}",
        request.url.expect("the request has a URL"),
        text("content-digest"),
        text("signature-input").trim_start_matches("sig="),
    );
    Signed {
        content: content.into_bytes(),
        signature: STANDARD.decode(signature.expect("it is a byte sequence")).expect("it is base64"),
        has_digest: true,
    }
}

fn signed_by_sns(_: &Provider, request: &Request<'_>) -> Signed {
    let body: Value = serde_json::from_slice(request.body).expect("the body is JSON");
    let text = |name: &str| body[name].as_str().expect("the field is text");
    let names = ["Message", "MessageId", "Timestamp", "TopicArn", "Type"];
    let content: String = names.iter().map(|name| format!("{name}\n{}\n", text(name))).collect();
    let signature = STANDARD.decode(text("Signature")).expect("the signature is base64");
    Signed { content: content.into_bytes(), signature, has_digest: false }
}

fn call_ended() -> Bytes {
    let mut call = CallEnded::new("5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11");
    call.location_id = Some("loc_12".into());
    call.started_at = Some(datetime!(2026-04-17 19:09:40 UTC));
    call.ended_at = Some(NOW);
    call.duration_seconds = Some(143);
    call.direction = Some(Direction::Inbound);
    call.from_number = Some("+15550100142".into());
    call.disposition = Some(Disposition::Completed);
    call.summary = Some("The caller moved the appointment to Friday and asked for a reminder.".into());
    call.outcome_tags = vec!["rescheduled".into(), "reminder".into()];
    call.contact_id = Some("con_7f3a".into());
    call.call_url = Some("https://app.allison.example/calls/5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11".into());
    let id = "evt_0198c2f4b7a97c1e8f00d1c2b3a49586".parse().expect("the id is valid");
    Contract::allison().encode(&Envelope::from_parts(id, NOW, call)).expect("the event can be written")
}

/// No preset signs a body with RSA; this is how one would.
static RSA: Provider = Provider::signed(
    "rsa",
    Scheme::new("rsa", "x-signature")
        .with_timestamp_header("x-timestamp")
        .with_algorithm(Algorithm::RsaSha256)
        .with_base64_signature()
        .with_content(&[Part::Timestamp, Part::Text("."), Part::Body]),
);
const P256_PUBLIC: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAElgVGhaYxtkYmVt+4SKL6fNbBAhV5VnQD7t5gkRVfb7Anizox+\
    Hby3ihCrcXH1Ku1FscK+EaaIJ5LFVyXagGL9A==";
const RSA_PUBLIC: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAzsVuiHw5qIzZ/C49hJsmkUOvApK9wsjRdb5GKn+V70\
    +azwmpMiNL4wGKomAqDKnCymqFKw7nYSn+hn0nRJt86DQ639WlxwhWNnYsUpYLRScs5VmQJAGQMv0pKR3Uyuiw9IQ4hxpsCngh8SMOi\
    xBXGKchAblGd/xKm0XK+yGNClmIFDZFJo83YQJszcRp5jSIxTkmzSCxdsp+0DoZqFfcvgfrgCQiUyJa/RabyYbyg+C3KPBIR8UuV2Mg\
    JrhBe8ZlzzhE+EvJXbPbizuEzwMrC4w7Wo3swUjvkkYwAzabOCed9V2dbrFFkGuFM6Q3I7fjxPJST6THpKcklkytgB5PBQIDAQAB";
const SECRET: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
const NOW: OffsetDateTime = datetime!(2026-04-17 19:12:03 UTC);
