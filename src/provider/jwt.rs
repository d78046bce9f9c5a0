//! Proves a request by a JSON Web Token (RFC 7519) in the compact form (RFC 7515 section 3.1).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_PAD_INDIFFERENT, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use time::OffsetDateTime;

use crate::provider::authentication::{BodyHash, JwtAlgorithm, JwtPlace, JwtRule};
use crate::provider::keys::{Keys, ReadyKeys};
use crate::provider::query_hash;
use crate::provider::token;
use crate::signature::asymmetric::{self, Form};
use crate::signature::{PublicKey, Request, VerifyError, check_age, read_hex};

/// A token whose signature is not yet judged.
pub(super) struct Token<'a> {
    signed: &'a [u8],
    signature: Vec<u8>,
    claims: Vec<u8>,
    key_id: Option<String>,
}

impl JwtAlgorithm {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

/// Finds and splits the token. Its header may name only the rule's algorithm.
pub(super) fn read<'a>(rule: &JwtRule, request: &Request<'a>) -> Result<Token<'a>, VerifyError> {
    let text = match rule.place {
        JwtPlace::Header("authorization") => match token::credentials(request, "Bearer") {
            Err(VerifyError::MalformedHeader { .. }) => token::one(request, "authorization")?,
            other => other?,
        },
        JwtPlace::Header(name) => token::one(request, name)?,
        JwtPlace::Bearer => token::credentials(request, "Bearer")?,
        JwtPlace::Credentials(scheme) => token::credentials(request, scheme)?,
        JwtPlace::Body => request.body.trim_ascii(),
    };
    let malformed = |claim, reason| VerifyError::Claim { claim, reason };
    const FORM: &str = "is not in the compact form, expected three parts of base64url";
    let mut parts = text.split(|byte| *byte == b'.');
    let (Some(header), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed("header", FORM));
    };
    let decode = |part: &[u8]| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed("header", FORM));
    let (head, claims_text, signature) = (decode(header)?, decode(claims)?, decode(signature)?);
    let head: Map<String, Value> =
        serde_json::from_slice(&head).map_err(|_| malformed("header", "is not a JSON object"))?;
    if head.get("alg").and_then(Value::as_str) != Some(rule.algorithm.name()) {
        return Err(malformed("alg", "is another algorithm than the provider's"));
    }
    // RFC 7515 section 4.1.11: extensions that are not understood must be refused.
    if head.contains_key("crit") {
        return Err(malformed("crit", "demands an extension"));
    }
    let key_id = head.get("kid").and_then(Value::as_str).map(str::to_owned);
    Ok(Token { signed: &text[..header.len() + 1 + claims.len()], signature, claims: claims_text, key_id })
}

impl Token<'_> {
    /// The name of the key that signed.
    pub(super) fn key_id(&self) -> &str {
        self.key_id.as_deref().unwrap_or_default()
    }

    /// The claims, of which nothing is proven.
    pub(super) fn claims(&self) -> Option<Map<String, Value>> {
        serde_json::from_slice(&self.claims).ok()
    }

    /// Judges signature and claims, and returns the time of issue.
    pub(super) fn prove(
        &self,
        rule: &JwtRule,
        keys: &Keys,
        ready: ReadyKeys<'_>,
        request: &Request<'_>,
        now: OffsetDateTime,
    ) -> Result<Option<i64>, VerifyError> {
        if !self.is_signed(rule.algorithm, ready) {
            return Err(VerifyError::SignatureMismatch);
        }
        let claims: Map<String, Value> = serde_json::from_slice(&self.claims)
            .map_err(|_| VerifyError::Claim { claim: "claims", reason: "are not a JSON object" })?;
        check_issuer(rule, &claims)?;
        check_times(rule, &claims, now.unix_timestamp())?;
        check_audience(rule, keys, request, &claims)?;
        check_email(keys, &claims)?;
        if let Some(claim) = rule.query_hash {
            check_query(claim, &claims, request)?;
        }
        if let Some(hash) = rule.body_hash {
            check_body(hash, &claims, request.body)?;
        }
        seconds(&claims, "iat")
    }

    fn is_signed(&self, algorithm: JwtAlgorithm, keys: ReadyKeys<'_>) -> bool {
        let form = match algorithm {
            // No early end, so that the time reveals no key.
            JwtAlgorithm::Hs256 => {
                return keys
                    .macs
                    .iter()
                    .fold(false, |found, key| found | key.verifies(self.signed, &self.signature));
            }
            JwtAlgorithm::Rs256 => Form::RsaSha256,
            JwtAlgorithm::Es256 => Form::EcdsaFixed,
        };
        let may_have_signed = |key: &&PublicKey| match (key.id(), self.key_id.as_deref()) {
            (Some(id), Some(key_id)) => id == key_id,
            _ => true,
        };
        keys.public().filter(may_have_signed).any(|key| {
            form.fits(&key.material)
                && asymmetric::verifies(&key.material, form, self.signed, &self.signature)
        })
    }
}

/// The claims of the token that is the whole body, which was proven before.
pub(super) fn claims_of_body(body: &[u8]) -> Option<Vec<u8>> {
    let claims = body.trim_ascii().split(|byte| *byte == b'.').nth(1)?;
    URL_SAFE_NO_PAD.decode(claims).ok()
}

fn check_issuer(rule: &JwtRule, claims: &Map<String, Value>) -> Result<(), VerifyError> {
    let wrong = VerifyError::Claim { claim: "iss", reason: "is not an issuer of the provider" };
    match claims.get("iss") {
        Some(issuer) if !rule.issuers.is_empty() => {
            let is_known = issuer.as_str().is_some_and(|issuer| rule.issuers.contains(&issuer));
            if is_known { Ok(()) } else { Err(wrong) }
        }
        _ => Ok(()),
    }
}

fn check_times(rule: &JwtRule, claims: &Map<String, Value>, now: i64) -> Result<(), VerifyError> {
    match seconds(claims, "exp")? {
        Some(expiry) if now > expiry.saturating_add(LEEWAY) => {
            return Err(VerifyError::Claim { claim: "exp", reason: "is past" });
        }
        None if rule.needs_expiry => {
            return Err(VerifyError::Claim { claim: "exp", reason: "is missing" });
        }
        _ => {}
    }
    if seconds(claims, "nbf")?.is_some_and(|begin| now < begin.saturating_sub(LEEWAY)) {
        return Err(VerifyError::Claim { claim: "nbf", reason: "is in the future" });
    }
    if let Some(age) = rule.max_age {
        let issued =
            seconds(claims, "iat")?.ok_or(VerifyError::Claim { claim: "iat", reason: "is missing" })?;
        check_age(issued, now, age)?;
    }
    Ok(())
}

/// A `NumericDate` (RFC 7519 section 2), which may have a fraction.
fn seconds(claims: &Map<String, Value>, claim: &'static str) -> Result<Option<i64>, VerifyError> {
    let wrong = VerifyError::Claim { claim, reason: "is not Unix seconds" };
    match claims.get(claim) {
        None => Ok(None),
        Some(value) => {
            let seconds = value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64));
            seconds.map(Some).ok_or(wrong)
        }
    }
}

fn check_audience(
    rule: &JwtRule,
    keys: &Keys,
    request: &Request<'_>,
    claims: &Map<String, Value>,
) -> Result<(), VerifyError> {
    if !rule.needs_audience {
        return Ok(());
    }
    let wanted = match (&keys.audience, request.url) {
        (Some(audience), _) => vec![audience.as_str()],
        // The provider's default is the URL as it was configured, with or without its query.
        (None, Some(url)) => vec![url, request.url_without_query().unwrap_or(url)],
        (None, None) => return Err(VerifyError::UnknownUrl),
    };
    let is_wanted = |audience: &Value| audience.as_str().is_some_and(|audience| wanted.contains(&audience));
    match claims.get("aud") {
        Some(Value::Array(audiences)) if audiences.iter().any(is_wanted) => Ok(()),
        Some(audience) if is_wanted(audience) => Ok(()),
        _ => Err(VerifyError::Claim { claim: "aud", reason: "does not name this endpoint" }),
    }
}

fn check_email(keys: &Keys, claims: &Map<String, Value>) -> Result<(), VerifyError> {
    let Some(wanted) = &keys.email else { return Ok(()) };
    let is_verified = claims.get("email_verified").and_then(Value::as_bool) == Some(true);
    match claims.get("email").and_then(Value::as_str) {
        Some(email) if email == wanted && is_verified => Ok(()),
        _ => Err(VerifyError::Claim { claim: "email", reason: "is not the account that may send" }),
    }
}

fn check_query(
    claim: &'static str,
    claims: &Map<String, Value>,
    request: &Request<'_>,
) -> Result<(), VerifyError> {
    let path = request.path().ok_or(VerifyError::UnknownUrl)?;
    let claimed = claims.get(claim).and_then(Value::as_str).and_then(|text| read_hex(text.as_bytes()));
    let claimed = claimed.ok_or(VerifyError::Claim { claim, reason: "is missing or no SHA-256 in hex" })?;
    let method = request.method.as_str();
    let is_right = query_hash::forms(method, path, request.query().unwrap_or_default())
        .any(|hash| bool::from(hash.ct_eq(claimed.as_slice())));
    let wrong = VerifyError::Claim { claim, reason: "is of another method, path or query" };
    if is_right { Ok(()) } else { Err(wrong) }
}

fn check_body(hash: BodyHash, claims: &Map<String, Value>, body: &[u8]) -> Result<(), VerifyError> {
    let claimed = match claims.get(hash.claim) {
        None if !hash.is_needed => return Ok(()),
        None => return Err(VerifyError::Claim { claim: hash.claim, reason: "is missing" }),
        Some(claimed) => claimed.as_str().unwrap_or_default(),
    };
    let claimed = match hash.is_base64 {
        true => STANDARD_PAD_INDIFFERENT.decode(claimed).ok(),
        false => read_hex(claimed.as_bytes()),
    };
    match claimed {
        Some(claimed) if bool::from(claimed.ct_eq(Sha256::digest(body).as_slice())) => Ok(()),
        _ => Err(VerifyError::DigestMismatch),
    }
}

/// The seconds by which clocks may differ where a token says its own end.
const LEEWAY: i64 = 60;
