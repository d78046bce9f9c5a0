//! Judges whether a request verifies.

use hookwire::{Scheme, Secret, Verified, Verifier, VerifyError};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::capture::Captured;
use crate::mistakes;
use crate::schemes::{candidates, has_ed25519, scheme_for, title};
use crate::text::printable;

/// The result of a judgement.
pub(crate) struct Verdict<'a> {
    /// The scheme that the headers name.
    pub(crate) scheme: Option<Scheme>,
    pub(crate) verified: Option<Verified<'a>>,
    pub(crate) report: String,
}

pub(crate) fn judge<'a>(captured: &'a Captured<'_>, secrets: &[String], now: OffsetDateTime) -> Verdict<'a> {
    let schemes = candidates(&captured.headers);
    let Some(&likely) = schemes.first() else {
        let report =
            "scheme      none: no header of a known scheme\nverdict     not verified: nothing is signed\n";
        return Verdict { scheme: None, verified: None, report: report.to_owned() };
    };
    let mut worst = None;
    // A sender may sign under two schemes, as Svix does while it moves to the names of Standard Webhooks.
    for &scheme in &schemes {
        for (number, secret) in (1..).zip(secrets) {
            match verify(scheme, captured, secret, now) {
                Ok(verified) => {
                    let mut report = header_report(scheme, &schemes, captured);
                    report += &format!("verdict     verified{}\n", age(&verified, now));
                    report += &which(number, secrets.len());
                    return Verdict { scheme: Some(scheme), verified: Some(verified), report };
                }
                Err(refusal) => match &worst {
                    // Keep the refusal of the likeliest scheme's first secret, unless another one got
                    // further.
                    Some((_, _, known)) if !refusal.is_nearer_than(known) => {}
                    _ => worst = Some((scheme, number, refusal)),
                },
            }
        }
    }
    let scheme = worst.as_ref().map_or(likely, |(scheme, ..)| *scheme);
    let mut report = header_report(scheme, &schemes, captured);
    match worst {
        Some((_, number, refusal)) => {
            report += &format!("verdict     not verified: {}\n", refusal.reason());
            if refusal.is_age() {
                report += &which(number, secrets.len());
            }
            for line in mistakes::explain(scheme, captured, secrets, &refusal, now) {
                report += &format!("why         {line}\n");
            }
        }
        None => report += "verdict     not verified: no secret was given, use --secret\n",
    }
    Verdict { scheme: Some(scheme), verified: None, report }
}

/// Says which secret signed, if there are several.
fn which(number: usize, of: usize) -> String {
    match (number, of) {
        (_, 1) => String::new(),
        (1, _) => format!("secret      1 of {of} has signed, the first one given\n"),
        _ => format!(
            "secret      {number} of {of} has signed; if that is the previous one, the sender has not changed to the new one \
             yet: accept both until it has\n"
        ),
    }
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

    /// Whether the signature is right and only the time is wrong.
    fn is_age(&self) -> bool {
        matches!(
            self,
            Self::Request(VerifyError::TimestampTooOld { .. } | VerifyError::TimestampInFuture { .. })
        )
    }

    fn is_nearer_than(&self, other: &Self) -> bool {
        self.is_age() && !other.is_age()
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

fn header_report(scheme: Scheme, schemes: &[Scheme], captured: &Captured<'_>) -> String {
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
