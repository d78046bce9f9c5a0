//! Proves a message of Amazon SNS by the signature that it carries.
//!
//! The rule is that of "Verifying the signatures of Amazon SNS messages" in its developer guide: the names
//! and values of some fields, each followed by a line feed, signed by the key of a certificate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::provider::authentication::SnsVersion;
use crate::provider::certificate::is_name;
use crate::signature::asymmetric::{self, Form};
use crate::signature::{PublicKey, Request, TimeForm, VerifyError, check_age, json};

/// A message whose signature is not yet judged.
pub(super) struct Message {
    fields: Map<String, Value>,
    version: SnsVersion,
}

impl Message {
    pub(super) fn read(version: SnsVersion, request: &Request<'_>) -> Result<Self, VerifyError> {
        let Ok(Value::Object(fields)) = json::parse(request.body) else {
            return Err(VerifyError::MalformedBody { reason: "is not a JSON object" });
        };
        let message = Self { fields, version };
        if message.text("SignatureVersion")? != version.text() {
            return Err(VerifyError::MalformedBody {
                reason: "has another SignatureVersion than the preset's",
            });
        }
        Ok(message)
    }

    /// The URL of the certificate, if it is on a host of Amazon's.
    pub(super) fn certificate_url(&self) -> Result<&str, VerifyError> {
        let url = self.text("SigningCertURL")?;
        let is_allowed = url
            .strip_prefix("https://")
            .and_then(|rest| rest.split_once('/'))
            .is_some_and(|(host, path)| is_host(host) && path.strip_suffix(".pem").is_some_and(is_name));
        match is_allowed {
            true => Ok(url),
            false => Err(VerifyError::MalformedBody { reason: "has a SigningCertURL that is not Amazon's" }),
        }
    }

    /// Judges signature and age, and returns the time.
    pub(super) fn prove<'k>(
        &self,
        mut keys: impl Iterator<Item = &'k PublicKey>,
        now: OffsetDateTime,
    ) -> Result<Option<i64>, VerifyError> {
        self.certificate_url()?;
        let content = self.content()?;
        let signature = STANDARD
            .decode(self.text("Signature")?)
            .map_err(|_| VerifyError::MalformedBody { reason: "has a Signature that is not base64" })?;
        let form = match self.version {
            SnsVersion::V1 => Form::RsaSha1,
            SnsVersion::V2 => Form::RsaSha256,
        };
        if !keys.any(|key| asymmetric::verifies(&key.material, form, content.as_bytes(), &signature)) {
            return Err(VerifyError::SignatureMismatch);
        }
        let signed_at = TimeForm::Rfc3339
            .read(self.text("Timestamp")?)
            .ok_or(VerifyError::MalformedBody { reason: "has a Timestamp that is not RFC 3339" })?
            .unix_timestamp();
        check_age(signed_at, now.unix_timestamp(), MAX_AGE)?;
        Ok(Some(signed_at))
    }

    fn content(&self) -> Result<String, VerifyError> {
        let names: &[&str] = match self.text("Type")? {
            "Notification" => &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
            "SubscriptionConfirmation" | "UnsubscribeConfirmation" => {
                &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
            }
            _ => return Err(VerifyError::MalformedBody { reason: "has a Type that SNS does not send" }),
        };
        let mut content = String::new();
        for name in names {
            if *name == "Subject" && self.fields.get(*name).is_none_or(Value::is_null) {
                continue;
            }
            let value = self.text(name)?;
            // Only the first field may hold lines, so that the content is read from its end in one way.
            if *name != "Message" && value.contains('\n') {
                return Err(VerifyError::MalformedBody { reason: "has a line break in a signed field" });
            }
            content.extend([*name, "\n", value, "\n"]);
        }
        Ok(content)
    }

    fn text(&self, name: &str) -> Result<&str, VerifyError> {
        let text = self.fields.get(name).and_then(Value::as_str);
        text.ok_or(VerifyError::MalformedBody { reason: "lacks a field of a message of SNS" })
    }
}

/// Whether the host is `sns.<region>.amazonaws.com`, or the same in China.
fn is_host(host: &str) -> bool {
    let region = host.strip_prefix("sns.").and_then(|rest| {
        rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".amazonaws.com.cn"))
    });
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    region.is_some_and(|region| region.len() >= 3 && region.bytes().all(is_letter))
}

const MAX_AGE: std::time::Duration = std::time::Duration::from_secs(3600);
