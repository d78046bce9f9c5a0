//! Why a request does not verify: undoes the usual mistakes, one after the other, until its signature is right.

use std::time::Duration;

use hookwire::{Scheme, Secret, Verifier, VerifyError};
use http::HeaderName;
use time::OffsetDateTime;

use crate::capture::Captured;
use crate::text::{Style, ascii, restyle};
use crate::verdict::{Refusal, has_ed25519};

/// Sentences for the user. They never hold the secret.
pub(crate) fn explain(
    scheme: Scheme,
    captured: &Captured<'_>,
    secret: &str,
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
            doubled(scheme, captured, name, secret, now)
        }
        Refusal::Request(VerifyError::MalformedHeader { name, .. }) => {
            let mut lines = vec![format!("compare header {name} above with the scheme's documentation")];
            let value = captured.headers.get(*name).map(|value| value.as_bytes()).unwrap_or_default();
            if value.len() == 13 && value.iter().all(u8::is_ascii_digit) {
                lines.push("it looks like milliseconds; the scheme wants seconds".to_owned());
            }
            lines
        }
        Refusal::Request(_) | Refusal::Secret(_) => mismatch(scheme, captured, secret, now),
    }
}

fn off(distance: Duration, tolerance: Duration, now: OffsetDateTime, direction: &str) -> Vec<String> {
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
    secret: &str,
    now: OffsetDateTime,
) -> Vec<String> {
    let copies: Vec<_> = captured.headers.get_all(name).iter().cloned().collect();
    let differ = if copies.iter().all(|copy| *copy == copies[0]) { "the same" } else { "not the same" };
    let mut lines = vec![format!("header {name} is there {} times, the copies are {differ}", copies.len())];
    let verifier = secret.trim().parse::<Secret>().and_then(|secret| Verifier::new(scheme, &secret));
    if let Ok(verifier) = verifier.map(|verifier| verifier.dangerous().without_timestamp_check()) {
        // Each costs an HMAC over the body, and a stranger chose how many there are.
        for (at, copy) in copies.into_iter().take(MAX_COPIES).enumerate() {
            let mut headers = captured.headers.clone();
            headers.insert(HeaderName::from_static(name), copy);
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

/// Every secret against every body, the pairs with the fewest mistakes first.
fn mismatch(scheme: Scheme, captured: &Captured<'_>, secret: &str, now: OffsetDateTime) -> Vec<String> {
    let keys = keys(scheme, secret);
    let bodies = bodies(captured.body);
    let mut pairs: Vec<_> = keys.iter().flat_map(|key| bodies.iter().map(move |body| (key, body))).collect();
    pairs.sort_by_key(|(key, body)| key.mistakes.len() + body.mistakes.len());
    for (key, body) in pairs {
        let aged = key.value.verify_at(&captured.headers, &body.value, now);
        let timeless = key.value.clone().dangerous().without_timestamp_check();
        if timeless.verify_at(&captured.headers, &body.value, now).is_err() {
            continue;
        }
        let mut lines: Vec<_> =
            key.mistakes.iter().chain(&body.mistakes).map(|line| line.to_string()).collect();
        lines.extend(aged.err().map(|error| format!("and besides: {error}")));
        return lines;
    }
    let mut lines = Vec::new();
    if has_ed25519(captured) && secret.starts_with("whsec_") {
        lines.push("there is a v1a signature: that one takes the sender's public key (whpk_)".to_owned());
    }
    if ["whpk_", "whsk_"].iter().any(|prefix| secret.starts_with(prefix)) && !cfg!(feature = "ed25519") {
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

/// Something to try, and which mistakes were made if it is right.
struct Try<T> {
    value: T,
    mistakes: Vec<&'static str>,
}

fn keys(scheme: Scheme, given: &str) -> Vec<Try<Verifier>> {
    let trimmed = given.trim();
    let bare = trimmed.trim_matches(['"', '\'']);
    let mut texts = vec![(trimmed.to_owned(), vec![])];
    if trimmed != given {
        texts[0].1.push("the secret was given with white space around it; without, the signature is right");
    }
    if bare != trimmed {
        texts.push((
            bare.to_owned(),
            vec!["the secret was given with quotes around it; without, the signature is right"],
        ));
    }
    if let Some(rest) = bare.strip_prefix("whsec_") {
        texts.push((rest.to_owned(), vec!["the signature is right without the whsec_ before the secret"]));
    } else {
        texts.push((
            format!("whsec_{bare}"),
            vec!["the signature is right with whsec_ before the secret, which belongs to it"],
        ));
    }
    let mut keys = Vec::new();
    for (text, mistakes) in texts {
        // The same scheme as a value of one's own, with the other form of the key.
        let parsed = text.parse::<Secret>().ok();
        let other = if scheme == scheme.with_base64_key() {
            (scheme, Some(Secret::from_bytes(&text)), Some(TEXT_KEY))
        } else {
            (scheme.with_base64_key(), parsed.clone(), Some(BASE64_KEY))
        };
        for (scheme, secret, mistake) in [(scheme, parsed, None), other] {
            if let Some(verifier) = secret.and_then(|secret| Verifier::new(scheme, &secret).ok()) {
                let mistakes = mistakes.iter().copied().chain(mistake).collect();
                keys.push(Try { value: verifier, mistakes });
            }
        }
    }
    keys
}

fn bodies(body: &[u8]) -> Vec<Try<Vec<u8>>> {
    let mut bodies = vec![Try { value: body.to_vec(), mistakes: vec![] }];
    let mut add = |value: Vec<u8>, mistake| {
        if bodies.iter().all(|known| known.value != value) {
            bodies.push(Try { value, mistakes: vec![mistake] });
        }
    };
    add(body.trim_ascii_end().to_vec(), NEWLINE_ADDED);
    if let Some(rest) = body.strip_suffix(b"\n") {
        add(rest.to_vec(), NEWLINE_ADDED);
    }
    add([body, b"\n"].concat(), NEWLINE_CUT);
    if let Ok(text) = std::str::from_utf8(body) {
        let unix = text.replace("\r\n", "\n");
        add(unix.replace('\n', "\r\n").into_bytes(), LINE_ENDS);
        add(unix.into_bytes(), LINE_ENDS);
        if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
            for style in [Style::Compact, Style::Spaced, Style::Indented] {
                let json = restyle(text, style);
                for json in [ascii(&json), json] {
                    add(format!("{json}\n").into_bytes(), REWRITTEN);
                    add(json.into_bytes(), REWRITTEN);
                }
            }
        }
    }
    bodies
}

/// More than any header should have.
const MAX_COPIES: usize = 8;

const BASE64_KEY: &str = "the signature is right when the key is what the secret decodes to as base64 (after whsec_): \
                          the sender takes another form of key than this scheme has";
const TEXT_KEY: &str = "the signature is right when the key is the secret's text, not decoded as base64: the sender \
                        takes another form of key than this scheme has";
const NEWLINE_ADDED: &str = "the signature is right without the newline at the end of the body: an editor, `echo` or the \
                             capture added it";
const NEWLINE_CUT: &str =
    "the signature is right with a newline at the end of the body: something cut it off";
const LINE_ENDS: &str =
    "the signature is right with other line ends (CRLF or LF) in the body: something changed them";
const REWRITTEN: &str = "the signature is right over the same JSON with other white space or escapes: the body was \
                         parsed and re-serialized; verify the raw bytes, before anything parses them";
