//! Proves a request by an HTTP message signature (RFC 9421), and its body by the digest that the request
//! carries (RFC 9530).

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq as _;
use time::OffsetDateTime;

use crate::error::Error;
use crate::provider::authentication::HttpSignatureRule;
use crate::provider::keys::{Keys, ReadyKeys};
use crate::provider::structured::{Dictionary, InnerList, Item, Member};
use crate::signature::asymmetric::{self, Form};
use crate::signature::{MacKey, Request, VerifyError, check_age, form, secret_bytes};

/// The name of what expects a key, for errors.
const NAME: &str = "this rule of RFC 9421";
const INPUT: &str = "signature-input";
const SIGNATURE: &str = "signature";
const DIGEST: &str = "content-digest";

/// The signatures of a request, not yet judged.
pub(crate) struct Signatures {
    all: Vec<(InnerList, Vec<u8>)>,
}

impl Signatures {
    pub(crate) fn read(request: &Request<'_>) -> Result<Self, VerifyError> {
        let (inputs, mut values) = (dictionary(request, INPUT)?, BTreeMap::new());
        for (label, member) in dictionary(request, SIGNATURE)?.members {
            if let Member::Item(Item::Bytes(bytes)) = member {
                values.insert(label, bytes);
            }
        }
        let mut all = Vec::new();
        for (label, member) in inputs.members {
            if let (Member::List(list), Some(bytes)) = (member, values.remove(&label)) {
                all.push((list, bytes));
            }
        }
        match all.len() {
            0 => {
                Err(VerifyError::MalformedHeader { name: INPUT, reason: "names no signature of the request" })
            }
            17.. => {
                Err(VerifyError::MalformedHeader { name: INPUT, reason: "holds more than 16 signatures" })
            }
            _ => Ok(Self { all }),
        }
    }

    /// The name of the key of the first signature.
    pub(super) fn key_id(&self) -> &str {
        self.all.first().and_then(|(list, _)| list.text("keyid")).unwrap_or_default()
    }

    /// Judges the signatures, of which one has to be right, and returns its time.
    pub(super) fn prove(
        &self,
        rule: &HttpSignatureRule,
        keys: ReadyKeys<'_>,
        request: &Request<'_>,
        now: OffsetDateTime,
    ) -> Result<Option<i64>, VerifyError> {
        check_digest(request)?;
        let mut refused = VerifyError::SignatureMismatch;
        for (at, (list, signature)) in self.all.iter().enumerate() {
            let judged =
                self.base(at, request).and_then(|base| prove_one(rule, keys, &base, list, signature, now));
            match judged {
                Ok(created) => return Ok(created),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// The base of the signature at this place in the header: what is signed.
    pub(crate) fn base(&self, at: usize, request: &Request<'_>) -> Result<String, VerifyError> {
        let (list, _) = self.all.get(at).ok_or(VerifyError::MissingHeader { name: INPUT })?;
        base(request, list)
    }
}

fn prove_one(
    rule: &HttpSignatureRule,
    keys: ReadyKeys<'_>,
    base: &str,
    list: &InnerList,
    signature: &[u8],
    now: OffsetDateTime,
) -> Result<Option<i64>, VerifyError> {
    let malformed = |reason| VerifyError::MalformedHeader { name: INPUT, reason };
    for required in rule.required {
        if !list.items.iter().any(|component| component.name == *required) {
            return Err(malformed("does not cover what the receiver demands"));
        }
    }
    let algorithm = list.text("alg");
    let is_right = match rule.is_hmac {
        true => {
            algorithm.is_none_or(|name| name == "hmac-sha256")
                && keys.macs.iter().fold(false, |found, key| found | key.verifies(base.as_bytes(), signature))
        }
        false => keys.public().any(|key| {
            let named = match (key.id(), list.text("keyid")) {
                (Some(id), Some(key_id)) => id == key_id,
                _ => true,
            };
            let forms = forms(algorithm);
            let verifies = |form: &Form| {
                form.fits(&key.material)
                    && asymmetric::verifies(&key.material, *form, base.as_bytes(), signature)
            };
            named && forms.iter().any(verifies)
        }),
    };
    if !is_right {
        return Err(VerifyError::SignatureMismatch);
    }
    let (created, expires) = (list.integer("created"), list.integer("expires"));
    if expires.is_some_and(|expires| now.unix_timestamp() > expires) {
        return Err(VerifyError::Claim { claim: "expires", reason: "is past" });
    }
    let created = created.ok_or_else(|| malformed("has no time of signing (created)"))?;
    check_age(created, now.unix_timestamp(), rule.max_age)?;
    Ok(Some(created))
}

/// The forms in which a key may have signed; a request may narrow them, never widen them.
fn forms(algorithm: Option<&str>) -> &'static [Form] {
    match algorithm {
        None => &[Form::Ed25519, Form::EcdsaFixed, Form::RsaPssSha512],
        Some("ed25519") => &[Form::Ed25519],
        Some("ecdsa-p256-sha256" | "ecdsa-p384-sha384") => &[Form::EcdsaFixed],
        Some("rsa-pss-sha512") => &[Form::RsaPssSha512],
        Some("rsa-v1_5-sha256") => &[Form::RsaSha256],
        Some(_) => &[],
    }
}

/// The rule's HMAC keys. Refuses secrets that do not have their form.
pub(super) fn mac_keys(rule: &HttpSignatureRule, keys: &Keys) -> Result<Vec<MacKey>, Error> {
    if !rule.is_hmac {
        return Ok(Vec::new());
    }
    let key = |secret| Ok(MacKey::sha256(&secret_bytes(NAME, rule.key_form, secret)?));
    keys.secrets.iter().map(key).collect()
}

/// The signature base (RFC 9421 section 2.5).
fn base(request: &Request<'_>, list: &InnerList) -> Result<String, VerifyError> {
    let mut base = String::new();
    for component in &list.items {
        if list.items.iter().filter(|other| other.text == component.text).count() > 1 {
            return Err(VerifyError::MalformedHeader { name: INPUT, reason: "names a component twice" });
        }
        let value = value(request, component)?;
        base.extend([component.text.as_str(), ": ", &value, "\n"]);
    }
    base.extend(["\"@signature-params\": ", &list.text]);
    Ok(base)
}

fn value(request: &Request<'_>, component: &super::structured::Component) -> Result<String, VerifyError> {
    let unknown =
        VerifyError::MalformedHeader { name: INPUT, reason: "covers a component that is not known" };
    let url = || request.url.ok_or(VerifyError::UnknownUrl);
    let name = component.name.as_str();
    if name == "@query-param" {
        let wanted = component.query_name.as_deref().ok_or(unknown)?;
        let query = request.query().unwrap_or_default();
        let value = raw_parameter(query, wanted).ok_or(unknown)?;
        return Ok(value);
    }
    if component.has_parameters {
        return Err(unknown);
    }
    Ok(match name {
        "@method" => request.method.as_str().to_owned(),
        "@target-uri" => url()?.to_owned(),
        "@authority" => match request.authority() {
            Some(authority) => authority_of(request.url.unwrap_or_default(), authority),
            None => request.header_text("host").ok_or(VerifyError::UnknownUrl)?.to_ascii_lowercase(),
        },
        "@scheme" => url()?.split("://").next().unwrap_or_default().to_ascii_lowercase(),
        "@path" => request.path().ok_or(VerifyError::UnknownUrl)?.to_owned(),
        "@query" => {
            url()?;
            format!("?{}", request.query().unwrap_or_default())
        }
        "@request-target" => {
            let path = request.path().ok_or(VerifyError::UnknownUrl)?;
            request.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
        }
        derived if derived.starts_with('@') => return Err(unknown),
        header => field(request, header)
            .ok_or(VerifyError::MalformedHeader { name: INPUT, reason: "covers a header that is missing" })?,
    })
}

/// The value of a query parameter, encoded again as RFC 9421 section 2.2.8 has it.
fn raw_parameter(query: &str, wanted: &str) -> Option<String> {
    let value = form::field(query.as_bytes(), wanted)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b'-' | b'.' | b'_');
    Some(value.bytes().fold(String::new(), |mut encoded, byte| {
        match is_plain(byte) {
            true => encoded.push(char::from(byte)),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    }))
}

/// The host in lower case, without the standard port (RFC 9421 section 2.2.3).
fn authority_of(url: &str, authority: &str) -> String {
    let port = if url.starts_with("http://") { ":80" } else { ":443" };
    authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase()
}

/// All values of a header, joined (RFC 9421 section 2.1).
fn field(request: &Request<'_>, name: &str) -> Option<String> {
    let values: Vec<_> = request
        .headers
        .get_all(name)
        .iter()
        .map(|value| str::from_utf8(value.as_bytes()).map(|value| value.trim().to_owned()))
        .collect::<Result<_, _>>()
        .ok()?;
    if values.is_empty() { None } else { Some(values.join(", ")) }
}

fn dictionary(request: &Request<'_>, name: &'static str) -> Result<Dictionary, VerifyError> {
    let text = field(request, name).ok_or(VerifyError::MissingHeader { name })?;
    Dictionary::parse(&text).ok_or(VerifyError::MalformedHeader {
        name,
        reason: "is not a dictionary of structured fields (RFC 9651)",
    })
}

/// Judges the digests of the body that the request carries, whether they are signed or not.
fn check_digest(request: &Request<'_>) -> Result<(), VerifyError> {
    if !request.headers.contains_key(DIGEST) {
        return Ok(());
    }
    let mut known = 0;
    for (name, member) in dictionary(request, DIGEST)?.members {
        let Member::Item(Item::Bytes(claimed)) = member else { continue };
        let digest = match name.as_str() {
            "sha-256" => Sha256::digest(request.body).to_vec(),
            "sha-512" => Sha512::digest(request.body).to_vec(),
            _ => continue,
        };
        if !bool::from(digest.ct_eq(&claimed)) {
            return Err(VerifyError::DigestMismatch);
        }
        known += 1;
    }
    if known == 0 {
        return Err(VerifyError::MalformedHeader {
            name: DIGEST,
            reason: "has no digest by SHA-256 or SHA-512",
        });
    }
    Ok(())
}
