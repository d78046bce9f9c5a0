//! Proves a request of PayPal's by the certificate that it names.
//!
//! The rule is that of "Integrate webhooks" in PayPal's documentation, self verification: RSA-SHA256 over
//! `transmission id|transmission time|webhook id|CRC-32 of the body in decimal`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use time::OffsetDateTime;

use crate::provider::certificate::is_name;
use crate::provider::keys::Keys;
use crate::provider::token;
use crate::signature::asymmetric::{self, Form};
use crate::signature::{PublicKey, Request, TimeForm, VerifyError, check_age};

/// The URL of the certificate, if it is on a host of PayPal's.
pub(super) fn certificate_url<'a>(request: &Request<'a>) -> Result<&'a str, VerifyError> {
    let url = text(request, CERTIFICATE)?;
    let is_allowed =
        url.strip_prefix("https://").and_then(|rest| rest.split_once('/')).is_some_and(|(host, path)| {
            is_host(host) && path.strip_prefix("v1/notifications/certs/").is_some_and(is_name)
        });
    match is_allowed {
        true => Ok(url),
        false => Err(VerifyError::MalformedHeader { name: CERTIFICATE, reason: "is not a URL of PayPal's" }),
    }
}

/// Judges signature and age, and returns the time.
pub(super) fn prove(
    keys: &Keys,
    looked_up: &[PublicKey],
    request: &Request<'_>,
    tolerance: Duration,
    now: OffsetDateTime,
) -> Result<Option<i64>, VerifyError> {
    certificate_url(request)?;
    let (id, time) = (text(request, ID)?, text(request, TIME)?);
    let signed_at = TimeForm::Rfc3339
        .read(time)
        .ok_or(VerifyError::MalformedHeader { name: TIME, reason: "is not RFC 3339" })?
        .unix_timestamp();
    if id.contains('|') || time.contains('|') {
        return Err(VerifyError::MalformedHeader { name: ID, reason: "holds the bar that ends it" });
    }
    let webhook = keys.key_id.as_deref().unwrap_or_default();
    let content = format!("{id}|{time}|{webhook}|{}", crc32(request.body));
    let signature = STANDARD
        .decode(text(request, SIGNATURE)?)
        .map_err(|_| VerifyError::MalformedHeader { name: SIGNATURE, reason: "is not base64" })?;
    let verifies = |key: &PublicKey| {
        asymmetric::verifies(&key.material, Form::RsaSha256, content.as_bytes(), &signature)
    };
    if !keys.public.iter().chain(looked_up).any(verifies) {
        return Err(VerifyError::SignatureMismatch);
    }
    check_age(signed_at, now.unix_timestamp(), tolerance)?;
    Ok(Some(signed_at))
}

fn text<'a>(request: &Request<'a>, name: &'static str) -> Result<&'a str, VerifyError> {
    str::from_utf8(token::one(request, name)?)
        .map_err(|_| VerifyError::MalformedHeader { name, reason: "is not ASCII" })
}

/// Whether the host is `paypal.com` or below it.
fn is_host(host: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    (host == "paypal.com" || host.ends_with(".paypal.com")) && host.bytes().all(is_letter)
}

/// The CRC-32 of IEEE 802.3, as zlib computes it.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

const ID: &str = "paypal-transmission-id";
const TIME: &str = "paypal-transmission-time";
const SIGNATURE: &str = "paypal-transmission-sig";
const CERTIFICATE: &str = "paypal-cert-url";

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::{CERTIFICATE, certificate_url, crc32, is_host};
    use crate::signature::Request;

    #[test]
    fn the_check_value_of_the_crc_is_the_standards() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn certificates_are_on_hosts_of_paypals() {
        assert!(is_host("api.paypal.com") && is_host("api.sandbox.paypal.com"));
        assert!(
            !is_host("paypal.com.example.com") && !is_host("evilpaypal.com") && !is_host("a@b.paypal.com")
        );
    }
    #[test]
    fn a_certificate_lies_in_the_folder_of_certificates_and_nowhere_else() {
        let is_taken = |url: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CERTIFICATE, HeaderValue::from_str(url).unwrap());
            certificate_url(&Request::post(&headers, b"{}")).is_ok()
        };
        assert!(is_taken("https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-df8cd2d5"));
        for path in [
            "v1/notifications/certs/",
            "v1/notifications/certs/../../../uploads/mine",
            "v1/notifications/certs/..",
            "v1/notifications/certs/CERT-1/../mine",
            "v1/notifications/certs/%2e%2e/mine",
            "v1/notifications/certs/CERT-1?x",
            "v1/notifications/certs/CERT\\1",
            "uploads/mine",
        ] {
            assert!(!is_taken(&format!("https://api.paypal.com/{path}")), "{path}");
        }
        assert!(!is_taken("http://api.paypal.com/v1/notifications/certs/CERT-1"));
    }
}
