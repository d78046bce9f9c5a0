//! Explains why a request does not verify: undoes the usual mistakes one after the other, until the signature
//! is right.

use std::time::Duration;

use hookwire::{Scheme, Secret, Verifier, VerifyError};
use http::HeaderName;
use time::OffsetDateTime;

use crate::bodies::{self, bodies};
use crate::capture::Captured;
use crate::keys::keys;
use crate::schemes::has_ed25519;
use crate::verdict::Refusal;

/// Explains a refusal in sentences for the user. They never hold the secret.
pub(crate) fn explain(
    scheme: Scheme,
    captured: &Captured<'_>,
    secrets: &[String],
    refusal: &Refusal,
    now: OffsetDateTime,
) -> Vec<String> {
    match refusal {
        Refusal::Request(VerifyError::TimestampTooOld { age, tolerance, .. }) => {
            off(*age, *tolerance, now, "behind")
        }
        Refusal::Request(VerifyError::TimestampInFuture { ahead, tolerance, .. }) => {
            off(*ahead, *tolerance, now, "ahead of")
        }
        Refusal::Request(VerifyError::MissingHeader { .. }) => {
            let (there, missing): (Vec<_>, Vec<_>) =
                scheme.headers().partition(|name| captured.headers.contains_key(*name));
            vec![
                format!("headers that are there: {}; missing: {}", there.join(", "), missing.join(", ")),
                "a proxy may have dropped it, or the capture; without it nothing can be verified".to_owned(),
            ]
        }
        Refusal::Request(VerifyError::DuplicateHeader { name, .. }) => {
            doubled(scheme, captured, name, secrets, now)
        }
        Refusal::Request(VerifyError::MalformedHeader { name, .. }) => {
            let mut lines = vec![format!("compare header {name} above with the scheme's documentation")];
            let value = captured.headers.get(*name).map(|value| value.as_bytes()).unwrap_or_default();
            if value.len() == 13 && value.iter().all(u8::is_ascii_digit) {
                lines.push("it looks like milliseconds; the scheme wants seconds".to_owned());
            }
            lines
        }
        Refusal::Request(_) | Refusal::Secret(_) => mismatch(scheme, captured, secrets, now),
    }
}

pub(crate) fn off(
    distance: Duration,
    tolerance: Duration,
    now: OffsetDateTime,
    direction: &str,
) -> Vec<String> {
    let signed_at = match direction {
        "behind" => now.unix_timestamp().saturating_sub_unsigned(distance.as_secs()),
        _ => now.unix_timestamp().saturating_add_unsigned(distance.as_secs()),
    };
    vec![
        format!(
            "the signature is right, but its time is {} s {direction} the clock, and {} s are allowed",
            distance.as_secs(),
            tolerance.as_secs()
        ),
        "either a clock is wrong, or the request is an old one, sent again or captured a while ago"
            .to_owned(),
        format!("to look at a captured request as if it had just come in: --now {signed_at}"),
    ]
}

fn doubled(
    scheme: Scheme,
    captured: &Captured<'_>,
    name: &'static str,
    secrets: &[String],
    now: OffsetDateTime,
) -> Vec<String> {
    let copies: Vec<_> = captured.headers.get_all(name).iter().cloned().collect();
    let differ = if copies.iter().all(|copy| *copy == copies[0]) { "the same" } else { "not the same" };
    let mut lines = vec![format!("header {name} is there {} times, the copies are {differ}", copies.len())];
    let verifiers = secrets.iter().filter_map(|secret| {
        let secret = secret.trim().parse::<Secret>().ok()?;
        Some(Verifier::new(scheme, &secret).ok()?.dangerous().without_timestamp_check())
    });
    for verifier in verifiers {
        // Each copy costs an HMAC over the body, and a stranger may have chosen how many there are.
        for (at, copy) in copies.iter().take(MAX_COPIES).enumerate() {
            let mut headers = captured.headers.clone();
            headers.insert(HeaderName::from_static(name), copy.clone());
            if verifier.verify_at(&headers, captured.body, now).is_ok() {
                lines.push(format!(
                    "with copy {} alone the signature is right; see who adds the other",
                    at + 1
                ));
            }
        }
    }
    lines
}

/// Tries every secret with every body, the pairs with the fewest mistakes first.
fn mismatch(scheme: Scheme, captured: &Captured<'_>, secrets: &[String], now: OffsetDateTime) -> Vec<String> {
    let numbered = |(number, secret): (usize, &String)| {
        keys(scheme, secret).into_iter().map(move |key| (number, key)).collect::<Vec<_>>()
    };
    let keys: Vec<_> = (1..).zip(secrets).flat_map(numbered).collect();
    let bodies = bodies(captured.body);
    let mut pairs: Vec<_> = keys.iter().flat_map(|key| bodies.iter().map(move |body| (key, body))).collect();
    pairs.sort_by_key(|((_, key), body)| key.mistakes.len() + body.mistakes.len());
    for ((number, key), body) in pairs {
        let timeless = key.value.clone().dangerous().without_timestamp_check();
        if timeless.verify_at(&captured.headers, &body.value, now).is_err() {
            continue;
        }
        let mut lines = Vec::new();
        if secrets.len() > 1 {
            lines.push(format!("secret {number} of {} has signed", secrets.len()));
        }
        lines.extend(key.mistakes.iter().chain(&body.mistakes).map(|line| line.to_string()));
        if body.mistakes.iter().any(|line| bodies::is_reserialized(line)) {
            lines.push(RAW_BODY.to_owned());
        }
        let aged = key.value.verify_at(&captured.headers, &body.value, now);
        lines.extend(aged.err().map(|error| format!("and besides: {error}")));
        return lines;
    }
    unexplained(captured, secrets)
}

fn unexplained(captured: &Captured<'_>, secrets: &[String]) -> Vec<String> {
    let begins = |prefixes: &[&str]| {
        let mut pairs = secrets.iter().flat_map(|secret| prefixes.iter().map(move |prefix| (secret, prefix)));
        pairs.any(|(secret, prefix)| secret.starts_with(*prefix))
    };
    let mut lines = Vec::new();
    match captured.body.trim_ascii() {
        b"" => lines.extend([
            "the body is empty: a framework has read it before; capture it before anything else does".to_owned(),
            RAW_BODY.to_owned(),
        ]),
        b"[object Object]" => lines.push(
            "the body is what JavaScript prints of a parsed object: capture the raw body, before a parser of the \
             framework takes it"
                .to_owned(),
        ),
        _ => {}
    }
    if has_ed25519(captured) && begins(&["whsec_"]) {
        lines.push("there is a v1a signature: that one takes the sender's public key (whpk_)".to_owned());
    }
    if begins(&["whpk_", "whsk_"]) && !cfg!(feature = "ed25519") {
        lines
            .push("Ed25519 keys need the feature: cargo run --features ed25519 --example inspect".to_owned());
    } else {
        lines.push(
            "no usual mistake explains it (tried: newlines, JSON written again, forms of the secret): it is another \
             secret, or a header or the body was changed"
                .to_owned(),
        );
    }
    lines
}

/// The ways to the raw body in the common frameworks.
pub(crate) const RAW_BODY: &str = "raw bytes: Express express.raw({type: '*/*'}) before express.json(), Next.js await request.text(), \
    FastAPI await request.body(), Flask request.get_data(), Django request.body, Rails request.raw_post, Laravel $request->getContent(), \
    Spring @RequestBody byte[], ASP.NET Request.Body, Go io.ReadAll(r.Body), axum Bytes; in Lambda decode body if isBase64Encoded";

/// A value to try, and the mistakes that were made if it is right.
pub(crate) struct Try<T> {
    pub(crate) value: T,
    pub(crate) mistakes: Vec<&'static str>,
}

/// No honest request has as many copies of a header.
const MAX_COPIES: usize = 8;
