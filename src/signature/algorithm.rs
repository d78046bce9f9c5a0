//! [`Algorithm`]: how a signature is computed; [`TimeForm`]: how a request writes the time of signing.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The algorithm of a scheme's signatures. The scheme fixes it; no request chooses its own.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC with SHA-256 (RFC 2104), the default.
    HmacSha256,
    /// HMAC with SHA-1, as Twilio, Trello, Intercom and Vercel use it. SHA-1's collisions do not break HMAC.
    HmacSha1,
    /// HMAC with SHA-512, as Paystack uses it.
    HmacSha512,
    /// Ed25519 (RFC 8032), verified strictly. Needs the feature `ed25519`.
    Ed25519,
    /// ECDSA on P-256 with SHA-256, the signature in DER (ASN.1). Needs the feature `asymmetric`.
    EcdsaP256,
    /// RSA with PKCS #1 v1.5 padding and SHA-256 (RFC 8017 section 8.2). Needs the feature `asymmetric`.
    RsaSha256,
}

impl Algorithm {
    /// The length of an HMAC tag in bytes; `None` for public keys.
    pub(super) const fn tag_len(self) -> Option<usize> {
        match self {
            Self::HmacSha1 => Some(20),
            Self::HmacSha256 => Some(32),
            Self::HmacSha512 => Some(64),
            Self::Ed25519 | Self::EcdsaP256 | Self::RsaSha256 => None,
        }
    }

    /// Whether the verifier needs the sender's public key instead of a shared secret.
    pub const fn is_asymmetric(self) -> bool {
        self.tag_len().is_none()
    }

    /// The name in documentation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HmacSha256 => "HMAC-SHA256",
            Self::HmacSha1 => "HMAC-SHA1",
            Self::HmacSha512 => "HMAC-SHA512",
            Self::Ed25519 => "Ed25519",
            Self::EcdsaP256 => "ECDSA P-256",
            Self::RsaSha256 => "RSA-SHA256",
        }
    }
}

/// The form in which a request writes a time.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum TimeForm {
    /// Seconds since 1970 in decimal digits, the default.
    Seconds,
    /// Milliseconds since 1970 in decimal digits.
    Milliseconds,
    /// RFC 3339 text such as `2026-04-17T19:12:03.482Z`.
    Rfc3339,
}

impl TimeForm {
    /// Reads a time that a signature covers, in Unix seconds. Each time has a form whose end, or beginning,
    /// can be told: 10 digits for seconds, 13 for milliseconds, and RFC 3339 with an upper-case `T` and `Z`.
    /// So a neighbour without a separator cannot be taken for a part of it.
    ///
    /// The error says what is wrong, to follow the header's name in a sentence.
    pub(super) fn read_exact(self, text: &[u8]) -> Result<i64, &'static str> {
        match self {
            Self::Seconds => digits::<10>(text).ok_or("is not Unix seconds, expected 10 digits"),
            Self::Milliseconds => digits::<13>(text)
                .map(|milliseconds| milliseconds / 1000)
                .ok_or("is not Unix milliseconds, expected 13 digits"),
            Self::Rfc3339 => rfc3339(text).map(OffsetDateTime::unix_timestamp).ok_or(NOT_RFC3339),
        }
    }

    /// Reads a time from an event's data, where nothing depends on the exact form.
    pub(crate) fn read(self, text: &str) -> Option<OffsetDateTime> {
        match self {
            Self::Rfc3339 => OffsetDateTime::parse(text, &Rfc3339)
                .or_else(|_| OffsetDateTime::parse(&as_rfc3339(text), &Rfc3339))
                .ok(),
            Self::Seconds => {
                // Some senders write a fraction.
                let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
                let at = OffsetDateTime::from_unix_timestamp(whole.parse().ok()?).ok()?;
                match fraction {
                    "" => Some(at),
                    _ => at.checked_add(time::Duration::seconds_f64(format!("0.{fraction}").parse().ok()?)),
                }
            }
            Self::Milliseconds => {
                let milliseconds: i64 = text.split('.').next()?.parse().ok()?;
                OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).ok()
            }
        }
    }

    /// Writes the time as a sender does.
    pub(crate) fn write(self, at: OffsetDateTime) -> Option<String> {
        let seconds = at.unix_timestamp();
        let text = match self {
            Self::Seconds => seconds.to_string(),
            Self::Milliseconds => (at.unix_timestamp_nanos() / 1_000_000).to_string(),
            Self::Rfc3339 => at.to_offset(time::UtcOffset::UTC).format(&Rfc3339).ok()?,
        };
        self.read_exact(text.as_bytes()).is_ok().then_some(text)
    }
}

/// A time of ISO 8601 as RFC 3339 has it: with a `T`, and with an offset, `Z` if it has none.
fn as_rfc3339(text: &str) -> String {
    let mut text = text.trim().replacen(' ', "T", 1);
    let Some(at) = text.find('T').filter(|at| text.len() > at + 1) else { return text };
    let offset = text[at..].find(['+', '-', 'Z', 'z']).map(|sign| at + sign);
    match offset {
        None => text.push('Z'),
        // `+0000` and `+00`
        Some(sign) if text.len() == sign + 5 && text.is_char_boundary(sign + 3) => text.insert(sign + 3, ':'),
        Some(sign) if text.len() == sign + 3 => text.push_str(":00"),
        Some(_) => {}
    }
    text
}

fn digits<const LEN: usize>(text: &[u8]) -> Option<i64> {
    if text.len() != LEN || text[0] == b'0' || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

/// Reads RFC 3339 with upper-case letters, in which `T` stands at one place only.
fn rfc3339(text: &[u8]) -> Option<OffsetDateTime> {
    let is_plain =
        text.get(10) == Some(&b'T') && text.iter().all(|byte| !byte.is_ascii_lowercase() && *byte != b' ');
    if !is_plain || text.len() > MAX_RFC3339 {
        return None;
    }
    OffsetDateTime::parse(str::from_utf8(text).ok()?, &Rfc3339).ok()
}

const MAX_RFC3339: usize = 40;
const NOT_RFC3339: &str = "is not RFC 3339, expected a time such as 2026-04-17T19:12:03Z";

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::TimeForm;

    #[test]
    fn an_events_time_is_read_in_the_forms_that_senders_write() {
        let at = datetime!(2024-10-18 14:42:53.5 UTC);
        for text in [
            "2024-10-18T14:42:53.5Z",
            "2024-10-18T14:42:53.500",
            "2024-10-18 14:42:53.5",
            "2024-10-18T16:42:53.5+0200",
            "2024-10-18T09:42:53.5-05",
            "2024-10-18 14:42:53.5 +00:00",
        ] {
            let read = TimeForm::Rfc3339.read(text);
            assert_eq!(read.is_some(), !text.contains(" +"), "{text}");
            assert!(read.is_none_or(|read| read == at), "{text}");
        }
        assert_eq!(TimeForm::Rfc3339.read("soon"), None);
        assert_eq!(TimeForm::Rfc3339.read("T"), None);
    }
}
