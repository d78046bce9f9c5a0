//! [`ProviderSamples`]: makes a provider's requests without the provider.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::private_key::PrivateKey;
use super::sample_body::{Sample, put, refused, sample};
use crate::error::Error;
use crate::provider::http_signature::Signatures;
use crate::provider::paypal::crc32;
use crate::provider::{
    Authentication, HttpSignatureRule, JwtAlgorithm, JwtPlace, JwtRule, Keys, Provider, TokenPlace,
    query_hash,
};
use crate::signature::layout::SignaturePlace;
use crate::signature::{Algorithm, MacKey, Request, Scheme, Secret, Signer, form, secret_bytes};

/// Makes the requests that a provider sends, signed as the provider signs them: with a shared secret, or with
/// a private key for tests.
///
/// ```
/// use hookwire::provider::{Provider, RequestVerifier};
/// use hookwire::signature::Request;
/// use hookwire::testing::Samples;
/// use time::macros::datetime;
///
/// let now = datetime!(2026-04-17 19:12:03 UTC);
/// let samples = Samples::of(Provider::by_name("mailgun").unwrap());
/// let request = samples.request(now)?;
/// let verifier = RequestVerifier::new(samples.provider(), samples.keys())?;
/// let seen = Request::new(request.method(), request.headers(), request.body()).with_url(samples.url());
/// assert!(verifier.verify_at(&seen, now).is_ok());
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone)]
pub struct ProviderSamples {
    provider: &'static Provider,
    secret: Secret,
    url: String,
}

impl super::Samples {
    /// Makes samples of a provider's requests, with a secret and keys for tests.
    pub fn of(provider: &'static Provider) -> ProviderSamples {
        // It is hex, base64 and text at once, as long as any provider's.
        let secret = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
        ProviderSamples {
            provider,
            secret: secret.parse().expect("invariant: the secret is visible ASCII"),
            url: "https://hooks.example.com/in".to_owned(),
        }
    }
}

impl ProviderSamples {
    /// Sets the shared secret, for a provider that signs with one or shows one.
    #[must_use]
    pub fn with_secret(mut self, secret: Secret) -> Self {
        self.secret = secret;
        self
    }

    /// Sets the URL that the provider was given, without a query. The default is
    /// `https://hooks.example.com/in`.
    #[must_use]
    pub fn with_url(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self
    }

    /// The provider.
    pub fn provider(&self) -> &'static Provider {
        self.provider
    }

    /// The URL that a receiver has to know. A request's own URL may have a query behind it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The keys with which a receiver proves the requests.
    pub fn keys(&self) -> Keys {
        let keys = match self.private_key() {
            Some(key) => Keys::from(key.public()),
            None => Keys::from(&self.secret),
        };
        keys.with_key_id(KEY_ID)
    }

    /// Makes a request with an event of the provider's shape, sent and signed at `now`.
    ///
    /// # Errors
    ///
    /// As [`request_with`](Self::request_with).
    pub fn request(&self, now: OffsetDateTime) -> Result<http::Request<Bytes>, Error> {
        let Sample { body, headers } = sample(self.provider, now);
        self.build(body.into(), headers, now)
    }

    /// Makes a request with a body of your own, signed at `now`. Where the provider carries a signature, a
    /// time or a secret in the body, it is put there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Sign`](crate::ErrorKind::Sign) for a time that the provider cannot write, for a body
    /// without the places of what is signed, and without the feature that the provider's keys need.
    pub fn request_with(
        &self,
        body: impl Into<Bytes>,
        now: OffsetDateTime,
    ) -> Result<http::Request<Bytes>, Error> {
        let headers = sample(self.provider, now).headers;
        self.build(body.into(), headers, now)
    }

    fn build(
        &self,
        body: Bytes,
        headers: HeaderMap,
        now: OffsetDateTime,
    ) -> Result<http::Request<Bytes>, Error> {
        let mut draft = Draft { url: self.url.clone(), headers, body: body.to_vec() };
        match self.provider.authentication() {
            Authentication::Scheme(scheme) => self.sign(&scheme, &mut draft, now)?,
            Authentication::Token(places) => self.show(places[0], &mut draft)?,
            Authentication::Jwt(rule) => self.add_token(&rule, &mut draft, now)?,
            Authentication::HttpSignature(rule) => self.add_http_signature(&rule, &mut draft, now)?,
            Authentication::Sns(_) => sign_sns(self.private_key(), &mut draft, now)?,
            Authentication::PayPal => sign_paypal(&mut draft, now)?,
            Authentication::Nothing => {}
        }
        let mut request = http::Request::new(Bytes::from(draft.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = draft.url.parse().map_err(|_| refused("url is none"))?;
        *request.headers_mut() = draft.headers;
        Ok(request)
    }

    /// The private key for tests of the provider's kind, if it signs with one.
    fn private_key(&self) -> Option<PrivateKey> {
        Some(match self.provider.authentication() {
            Authentication::Scheme(scheme) => match scheme.algorithm() {
                Algorithm::Ed25519 => PrivateKey::Ed25519,
                Algorithm::EcdsaP256 => PrivateKey::EcdsaDer,
                Algorithm::RsaSha256 => PrivateKey::RsaSha256,
                _ => return None,
            },
            Authentication::Jwt(rule) => match rule.algorithm {
                JwtAlgorithm::Hs256 => return None,
                JwtAlgorithm::Rs256 => PrivateKey::RsaSha256,
                JwtAlgorithm::Es256 => PrivateKey::EcdsaFixed,
            },
            Authentication::HttpSignature(rule) if !rule.is_hmac => match self.provider.name() {
                name if name.contains("rsa") => PrivateKey::RsaPssSha512,
                name if name.contains("ecdsa") => PrivateKey::EcdsaFixed,
                _ => PrivateKey::Ed25519,
            },
            Authentication::Sns(version) if version.text() == "1" => PrivateKey::RsaSha1,
            Authentication::Sns(_) | Authentication::PayPal => PrivateKey::RsaSha256,
            _ => return None,
        })
    }

    fn sign(&self, scheme: &Scheme, draft: &mut Draft, now: OffsetDateTime) -> Result<(), Error> {
        if let Some(key) = scheme.query_digest {
            draft.add_query(key, &hex(&Sha256::digest(&draft.body)));
        }
        for name in scheme.headers().filter(|name| *name != scheme.signature_header()) {
            let name = HeaderName::from_static(name);
            draft.headers.entry(name).or_insert(HeaderValue::from_static("sample-1"));
        }
        if let Some(pointer) = scheme.json_time() {
            let time = scheme.time.write(now).ok_or_else(|| refused("time cannot be written"))?;
            let value = time.parse::<i64>().map_or_else(|_| Value::from(&*time), Value::from);
            // Mailgun writes the seconds as text.
            let value = if scheme.has_body() { value } else { Value::from(time) };
            draft.body = put(&draft.json()?, pointer, value)?;
        }
        match (scheme.place, scheme.each) {
            (SignaturePlace::Json(pointer), None) => {
                let text = self.signature(scheme, &draft.request(), now)?;
                draft.body = put(&draft.json()?, pointer, Value::from(text))?;
            }
            (SignaturePlace::Json(pointer), Some(list)) => {
                let body = draft.json()?;
                let items = body
                    .pointer(list)
                    .and_then(Value::as_array)
                    .ok_or_else(|| refused("body has no list"))?;
                let mut signed = Vec::<Value>::new();
                for item in items {
                    let text = item.to_string();
                    let request = Request { body: text.as_bytes(), ..draft.request() };
                    let signature = self.signature(scheme, &request, now)?;
                    let item = put(item, pointer, Value::from(signature))?;
                    signed.push(serde_json::from_slice(&item).map_err(|_| refused("item is no object"))?);
                }
                draft.body = put(&body, list, Value::Array(signed))?;
            }
            (SignaturePlace::Form(field), _) => {
                let text = self.signature(scheme, &draft.request(), now)?;
                let pair = format!("{field}={}&", form::encoded(&text));
                draft.body = [pair.as_bytes(), &draft.body].concat();
            }
            _ => {
                let made = match self.private_key() {
                    Some(key) => {
                        let signature = key.sign(&scheme.signed_bytes(&draft.request(), ID, now)?)?;
                        scheme.headers_with(&[signature], ID, now)?
                    }
                    None => Signer::new(*scheme, &self.secret)?.sign_request(&draft.request(), ID, now)?,
                };
                // `sign_request` makes the id and the time anew.
                for (name, value) in made {
                    if let Some(name) = name {
                        draft.headers.insert(name, value);
                    }
                }
            }
        }
        Ok(())
    }

    fn signature(
        &self,
        scheme: &Scheme,
        request: &Request<'_>,
        now: OffsetDateTime,
    ) -> Result<String, Error> {
        Signer::new(*scheme, &self.secret)?.request_signature(request, ID, now)
    }

    fn show(&self, place: TokenPlace, draft: &mut Draft) -> Result<(), Error> {
        let secret = self.secret.expose();
        match place {
            TokenPlace::Header(name) => draft.set(name, secret)?,
            TokenPlace::Bearer => draft.set("authorization", &format!("Bearer {secret}"))?,
            TokenPlace::Basic => draft.set("authorization", &format!("Basic {}", STANDARD.encode(secret)))?,
            TokenPlace::Query(key) => draft.add_query(key, secret),
            TokenPlace::AnyQuery => draft.add_query("code", secret),
            TokenPlace::Json(pointer) => draft.body = put(&draft.json()?, pointer, Value::from(secret))?,
            TokenPlace::EachJson(list, pointer) => {
                let body = draft.json()?;
                let items = body
                    .pointer(list)
                    .and_then(Value::as_array)
                    .ok_or_else(|| refused("body has no list"))?;
                let shown = items.iter().map(|item| {
                    let item = put(item, pointer, Value::from(secret))?;
                    serde_json::from_slice(&item).map_err(|_| refused("item is no object"))
                });
                let shown = shown.collect::<Result<Vec<Value>, Error>>()?;
                draft.body = put(&body, list, Value::Array(shown))?;
            }
        }
        Ok(())
    }

    fn add_token(&self, rule: &JwtRule, draft: &mut Draft, now: OffsetDateTime) -> Result<(), Error> {
        let at = now.unix_timestamp();
        let mut claims = match rule.place {
            JwtPlace::Body => draft.json()?.as_object().cloned().unwrap_or_default(),
            _ => Map::new(),
        };
        let mut claim = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
        claim("iat", json!(at));
        if rule.needs_expiry {
            claim("exp", json!(at + 300));
        }
        if rule.needs_audience {
            claim("aud", json!(self.url));
        }
        if let Some(issuer) = rule.issuers.first() {
            claim("iss", json!(issuer));
        }
        if let Some(hash) = rule.body_hash {
            let digest = Sha256::digest(&draft.body);
            claim(hash.claim, json!(if hash.is_base64 { STANDARD.encode(digest) } else { hex(&digest) }));
        }
        if let Some(name) = rule.query_hash {
            let path = draft.request().path().unwrap_or("/").to_owned();
            let mut hashes = query_hash::forms(Method::POST.as_str(), &path, "");
            claim(name, json!(hashes.next().map(|hash| hex(&hash))));
        }
        let head = json!({"alg": rule.algorithm.name(), "typ": "JWT"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&head), part(&Value::Object(claims)));
        let signature = match self.private_key() {
            Some(key) => key.sign(signed.as_bytes())?,
            None => self.tag(&self.secret.key_bytes(), signed.as_bytes()),
        };
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        match rule.place {
            JwtPlace::Header(name) => draft.set(name, &token)?,
            JwtPlace::Bearer => draft.set("authorization", &format!("Bearer {token}"))?,
            JwtPlace::Credentials(scheme) => draft.set("authorization", &format!("{scheme} {token}"))?,
            JwtPlace::Body => {
                draft.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/jwt"));
                draft.body = token.into_bytes();
            }
        }
        Ok(())
    }

    fn add_http_signature(
        &self,
        rule: &HttpSignatureRule,
        draft: &mut Draft,
        now: OffsetDateTime,
    ) -> Result<(), Error> {
        let digest = STANDARD.encode(Sha256::digest(&draft.body));
        draft.set("content-digest", &format!("sha-256=:{digest}:"))?;
        let created = now.unix_timestamp();
        let input = format!(r#"("@method" "@target-uri" "content-digest");created={created}"#);
        draft.set("signature-input", &format!("sig={input}"))?;
        // The signatures are read only together with their inputs.
        draft.set("signature", "sig=:AA==:")?;
        let base = Signatures::read(&draft.request()).and_then(|all| all.base(0, &draft.request()));
        let base = base.map_err(|error| refused(error.to_string()))?;
        let signature = match self.private_key() {
            Some(key) => key.sign(base.as_bytes())?,
            None => self.tag(&secret_bytes("sample", rule.key_form, &self.secret)?, base.as_bytes()),
        };
        draft.set("signature", &format!("sig=:{}:", STANDARD.encode(signature)))
    }

    fn tag(&self, key: &[u8], content: &[u8]) -> Vec<u8> {
        let key = MacKey::new(Algorithm::HmacSha256, key).expect("invariant: it is an HMAC");
        key.tag(content)
    }
}

/// A request that is not finished.
struct Draft {
    url: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Draft {
    fn request(&self) -> Request<'_> {
        Request::post(&self.headers, &self.body).with_url(&self.url)
    }

    fn json(&self) -> Result<Value, Error> {
        serde_json::from_slice(&self.body).map_err(|_| refused("body is not JSON"))
    }

    fn set(&mut self, name: &'static str, value: &str) -> Result<(), Error> {
        let value = HeaderValue::from_str(value).map_err(|_| refused("header cannot hold its value"))?;
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(())
    }

    fn add_query(&mut self, key: &str, value: &str) {
        let mark = if self.url.contains('?') { '&' } else { '?' };
        self.url += &format!("{mark}{key}={}", form::encoded(value));
    }
}

fn sign_sns(key: Option<PrivateKey>, draft: &mut Draft, now: OffsetDateTime) -> Result<(), Error> {
    let key = key.unwrap_or(PrivateKey::RsaSha256);
    let version = if key == PrivateKey::RsaSha1 { "1" } else { "2" };
    let time = now.format(&Rfc3339).map_err(|_| refused("time cannot be written"))?;
    let message = String::from_utf8_lossy(&draft.body).into_owned();
    let fields = [
        ("Message", &*message),
        ("MessageId", "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324"),
        ("Timestamp", &time),
        ("TopicArn", "arn:aws:sns:us-west-2:123456789012:MyTopic"),
        ("Type", "Notification"),
    ];
    let content: String = fields.iter().map(|(name, value)| format!("{name}\n{value}\n")).collect();
    let mut body: Map<String, Value> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
    let certificate = "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-0.pem";
    for (name, value) in [
        ("SignatureVersion", version.to_owned()),
        ("Signature", STANDARD.encode(key.sign(content.as_bytes())?)),
        ("SigningCertURL", certificate.to_owned()),
    ] {
        body.insert(name.to_owned(), Value::from(value));
    }
    draft.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    draft.set("x-amz-sns-message-type", "Notification")?;
    draft.body = Value::Object(body).to_string().into_bytes();
    Ok(())
}

fn sign_paypal(draft: &mut Draft, now: OffsetDateTime) -> Result<(), Error> {
    let time = now.format(&Rfc3339).map_err(|_| refused("time cannot be written"))?;
    let id = "69cd13f0-d67a-11e5-baa3-778b53f4ae55";
    let content = format!("{id}|{time}|{KEY_ID}|{}", crc32(&draft.body));
    let signature = PrivateKey::RsaSha256.sign(content.as_bytes())?;
    draft.set("paypal-transmission-id", id)?;
    draft.set("paypal-transmission-time", &time)?;
    draft.set("paypal-transmission-sig", &STANDARD.encode(signature))?;
    draft.set(
        "paypal-cert-url",
        "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270",
    )?;
    draft.set("paypal-auth-algo", "SHA256withRSA")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for ProviderSamples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderSamples").field("provider", &self.provider.name()).finish_non_exhaustive()
    }
}

/// The id of the message, where a header carries one.
const ID: &str = "msg_sample";
/// The name of the key or of the webhook, where a provider has one.
const KEY_ID: &str = "sample";
