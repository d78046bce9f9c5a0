//! Which scheme a request was signed under, and whether it verifies.

use hookwire::{Scheme, Secret, Verified, Verifier, VerifyError};
use http::HeaderMap;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::capture::Captured;
use crate::mistakes;
use crate::text::printable;

/// What came of it.
pub(crate) struct Verdict<'a> {
    /// The scheme that the headers speak of.
    pub(crate) scheme: Option<Scheme>,
    pub(crate) verified: Option<Verified<'a>>,
    pub(crate) report: String,
}

pub(crate) fn judge<'a>(
    captured: &'a Captured<'_>,
    secret: Option<&str>,
    now: OffsetDateTime,
) -> Verdict<'a> {
    let schemes = candidates(&captured.headers);
    let Some(&likely) = schemes.first() else {
        let report =
            "scheme      none: no header of a known scheme\nverdict     not verified: nothing is signed\n";
        return Verdict { scheme: None, verified: None, report: report.to_owned() };
    };
    let secret = secret.filter(|secret| !secret.trim().is_empty());
    let mut first_refusal = None;
    // A sender may sign under two schemes, as Svix does while it moves to the names of Standard Webhooks.
    for &scheme in &schemes {
        let Some(secret) = secret else { break };
        match verify(scheme, captured, secret, now) {
            Ok(verified) => {
                let mut report = told(scheme, &schemes, captured);
                report += &format!("verdict     verified{}\n", age(&verified, now));
                return Verdict { scheme: Some(scheme), verified: Some(verified), report };
            }
            Err(refusal) => _ = first_refusal.get_or_insert(refusal),
        }
    }
    let mut report = told(likely, &schemes, captured);
    match (first_refusal, secret) {
        (Some(refusal), Some(secret)) => {
            report += &format!("verdict     not verified: {}\n", refusal.reason());
            for line in mistakes::explain(likely, captured, secret, &refusal, now) {
                report += &format!("why         {line}\n");
            }
        }
        _ => report += "verdict     not verified: no secret was given, use --secret\n",
    }
    Verdict { scheme: Some(likely), verified: None, report }
}

/// Why a request did not verify.
pub(crate) enum Refusal {
    /// The secret cannot be one of this scheme.
    Secret(hookwire::Error),
    Request(VerifyError),
}

impl Refusal {
    fn reason(&self) -> String {
        match self {
            Self::Secret(error) => error.to_string(),
            Self::Request(error) => error.to_string(),
        }
    }
}

fn verify<'a>(
    scheme: Scheme,
    captured: &'a Captured<'_>,
    secret: &str,
    now: OffsetDateTime,
) -> Result<Verified<'a>, Refusal> {
    let secret: Secret = secret.parse().map_err(Refusal::Secret)?;
    let verifier = Verifier::new(scheme_for(scheme, &secret), &secret).map_err(Refusal::Secret)?;
    verifier.verify_at(&captured.headers, captured.body, now).map_err(Refusal::Request)
}

/// The schemes of which a header is there: first those with a signature, then by how many of their headers are there.
fn candidates(headers: &HeaderMap) -> Vec<Scheme> {
    let present = |scheme: &Scheme| scheme.headers().filter(|name| headers.contains_key(*name)).count();
    let mut schemes: Vec<_> = KNOWN.into_iter().filter(|scheme| present(scheme) > 0).collect();
    schemes.sort_by_key(|scheme| {
        std::cmp::Reverse((headers.contains_key(scheme.signature_header()), present(scheme)))
    });
    schemes
}

fn told(scheme: Scheme, schemes: &[Scheme], captured: &Captured<'_>) -> String {
    let mut report = format!("scheme      {}", title(scheme));
    for other in schemes.iter().filter(|other| **other != scheme) {
        report += &format!(" (there are headers of {} too)", title(*other));
    }
    report.push('\n');
    for name in scheme.headers() {
        for value in captured.headers.get_all(name) {
            report += &format!("            {name}: {}\n", printable(value.as_bytes()));
        }
    }
    let covered = match (scheme.signs_id(), scheme.signs_time()) {
        (true, _) => "the id, the time and the body",
        (false, true) => "the time and the body; an id outside the body proves nothing",
        (false, false) => "the body alone; an old request can be sent again at any time",
    };
    report += &format!("            signs {covered}\n");
    if scheme == Scheme::STANDARD_WEBHOOKS && has_ed25519(captured) {
        report += "            v1a is an Ed25519 signature, which a public key (whpk_) proves\n";
    }
    report
}

pub(crate) fn title(scheme: Scheme) -> &'static str {
    match scheme.name() {
        "allison" => "Allison",
        "standard_webhooks" => "Standard Webhooks",
        "svix" => "Svix",
        "stripe" => "Stripe",
        "github" => "GitHub",
        "slack" => "Slack",
        "shopify" => "Shopify",
        other => other,
    }
}

/// Whether there is a `v1a` signature.
pub(crate) fn has_ed25519(captured: &Captured<'_>) -> bool {
    let mut values = captured.headers.get_all(Scheme::STANDARD_WEBHOOKS.signature_header()).iter();
    values.any(|value| value.as_bytes().split(|byte| *byte == b' ').any(|entry| entry.starts_with(b"v1a,")))
}

/// An Ed25519 key has a scheme of its own, where the feature is there.
fn scheme_for(scheme: Scheme, secret: &Secret) -> Scheme {
    #[cfg(feature = "ed25519")]
    if scheme == Scheme::STANDARD_WEBHOOKS
        && ["whpk_", "whsk_"].iter().any(|prefix| secret.expose().starts_with(prefix))
    {
        return Scheme::STANDARD_WEBHOOKS_ED25519;
    }
    let _ = secret;
    scheme
}

fn age(verified: &Verified<'_>, now: OffsetDateTime) -> String {
    let Some(signed) = verified.timestamp() else {
        return "; its age cannot be checked, no time is signed".to_owned();
    };
    let signed_at = signed.format(&Rfc3339).unwrap_or_else(|_| signed.to_string());
    let seconds = now.unix_timestamp().saturating_sub(signed.unix_timestamp());
    match seconds {
        0.. => format!("; signed at {signed_at}, {seconds} s ago"),
        _ => format!("; signed at {signed_at}, {} s in the future", seconds.unsigned_abs()),
    }
}

const KNOWN: [Scheme; 7] = [
    Scheme::ALLISON,
    Scheme::STANDARD_WEBHOOKS,
    Scheme::SVIX,
    Scheme::STRIPE,
    Scheme::GITHUB,
    Scheme::SLACK,
    Scheme::SHOPIFY,
];
