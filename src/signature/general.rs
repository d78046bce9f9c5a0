//! [`GeneralVerifier`]: proves requests under schemes of any kind: other algorithms and times, signed URLs
//! and forms, signatures in the body.
//!
//! The schemes that most senders use (HMAC-SHA256 over id, time and body) have a faster way in `verifier.rs`.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use time::OffsetDateTime;

use super::age::check_age;
use super::algorithm::Algorithm;
use super::asymmetric::{self, Form};
use super::form;
use super::json;
use super::key::{MAX_SIGNATURES, check_kind, hmac_key_bytes};
use super::layout::{ContentForm, SignaturePlace, UrlForm};
use super::mac::MacKey;
use super::md5::md5;
use super::message::{Part, check_id};
use super::public_key::PublicKey;
use super::request::Request;
use super::scheme::Scheme;
use super::secret::Secret;
use super::signature_text::{Found, read_texts, write_texts};
use super::verified::{By, Verified};
use super::verify_error::VerifyError;
use crate::error::{Error, ErrorKind};

/// A key under a scheme of any kind.
#[derive(Clone)]
pub(super) enum GeneralKey {
    Mac(MacKey),
    Public(Box<PublicKey>, Form),
}

impl GeneralKey {
    pub(super) fn new(scheme: &Scheme, secret: &Secret) -> Result<Self, Error> {
        if scheme.algorithm.is_asymmetric() {
            return Self::public(scheme, &secret.expose().parse()?);
        }
        check_kind(scheme, secret)?;
        let key = MacKey::new(scheme.algorithm, &hmac_key_bytes(scheme, secret)?);
        Ok(Self::Mac(key.expect("invariant: the algorithm is an HMAC")))
    }

    /// The key of a signer, which has to be a shared secret.
    pub(super) fn signing(scheme: &Scheme, secret: &Secret) -> Result<Self, Error> {
        match scheme.algorithm.is_asymmetric() {
            true => Err(Error::new(
                ErrorKind::Secret,
                format!("{} signs with {}, which only its sender can", scheme.name, scheme.algorithm.name()),
            )
            .with_expected("a scheme with a shared secret")),
            false => Self::new(scheme, secret),
        }
    }

    pub(super) fn public(scheme: &Scheme, key: &PublicKey) -> Result<Self, Error> {
        let form = match scheme.algorithm {
            Algorithm::Ed25519 => Form::Ed25519,
            Algorithm::EcdsaP256 => Form::EcdsaDer,
            Algorithm::RsaSha256 => Form::RsaSha256,
            Algorithm::HmacSha1 | Algorithm::HmacSha256 | Algorithm::HmacSha512 => {
                return Err(Error::new(
                    ErrorKind::Secret,
                    format!("{} signs with a shared secret, not with a public key", scheme.name),
                ));
            }
        };
        if !form.fits(&key.material) {
            return Err(Error::new(ErrorKind::Secret, "public key is of another kind")
                .with_expected(scheme.algorithm.name()));
        }
        if !form.is_available() {
            return Err(Error::new(
                ErrorKind::Secret,
                format!("{} signs with {}", scheme.name, scheme.algorithm.name()),
            )
            .with_expected(format!("hookwire with the feature `{}`", form.feature())));
        }
        Ok(Self::Public(Box::new(key.clone()), form))
    }

    /// Whether any of the signatures is this key's.
    fn verifies(&self, content: &[u8], signatures: &[Vec<u8>]) -> bool {
        match self {
            Self::Mac(key) => {
                let tag = key.tag(content);
                signatures.iter().fold(false, |found, signature| found | bool::from(tag.ct_eq(signature)))
            }
            Self::Public(key, form) => signatures
                .iter()
                .any(|signature| asymmetric::verifies(&key.material, *form, content, signature)),
        }
    }
}

/// Proves `request` with any of `keys`, at `now`.
pub(super) fn verify<'a>(
    scheme: &Arc<Scheme>,
    keys: &[GeneralKey],
    tolerance: Option<Duration>,
    request: &Request<'a>,
    now: OffsetDateTime,
) -> Result<Verified<'a>, VerifyError> {
    let id = read_id(scheme, request)?;
    let json = read_json(scheme, request)?;
    check_query_digest(scheme, request)?;
    let mut signed_at = None;
    for root in items(scheme, json.as_ref())? {
        let message = Message { scheme, request, id: id.unwrap_or_default(), root };
        signed_at = message.prove(keys)?;
    }
    if let (Some(signed_at), Some(tolerance)) = (signed_at, tolerance) {
        check_age(signed_at, now.unix_timestamp(), tolerance)?;
    }
    Ok(Verified {
        id: id.map(Cow::Borrowed),
        timestamp: signed_at,
        body: Cow::Borrowed(request.body),
        by: By::Signature(Arc::clone(scheme)),
        received_at: now,
        headers: None,
    })
}

/// Makes the scheme's headers for a request.
pub(super) fn sign(
    scheme: &Scheme,
    keys: &[GeneralKey],
    id: &str,
    now: OffsetDateTime,
    request: &Request<'_>,
) -> Result<HeaderMap, Error> {
    if scheme.signature_header.is_empty() {
        return Err(refused(format!("{} carries its signature in the body", scheme.name)));
    }
    scheme.headers_with(&tags(scheme, keys, id, now, request)?, id, now)
}

/// Makes the text of the signature alone.
pub(super) fn signature_text(
    scheme: &Scheme,
    keys: &[GeneralKey],
    id: &str,
    now: OffsetDateTime,
    request: &Request<'_>,
) -> Result<String, Error> {
    Ok(scheme.text_of(&tags(scheme, keys, id, now, request)?, &scheme.time_text(now)?))
}

fn tags(
    scheme: &Scheme,
    keys: &[GeneralKey],
    id: &str,
    now: OffsetDateTime,
    request: &Request<'_>,
) -> Result<Vec<Vec<u8>>, Error> {
    let content = scheme.signed_bytes(request, id, now)?;
    let tag = |key: &GeneralKey| match key {
        GeneralKey::Mac(key) => Some(key.tag(&content)),
        GeneralKey::Public(..) => None,
    };
    Ok(keys.iter().filter_map(tag).collect())
}

impl Scheme {
    /// The bytes of a request that the signature covers, as message `id` at `at`: for keys that
    /// [`Signer`](crate::Signer) does not know, such as a private key in a hardware module. If each item of a
    /// list is signed by itself, the body is one item.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Sign`] for an id or a time that no verifier accepts, and if the request lacks a part that
    /// is signed.
    pub fn signed_bytes(
        &self,
        request: &Request<'_>,
        id: &str,
        at: OffsetDateTime,
    ) -> Result<Vec<u8>, Error> {
        if self.id_header.is_some() {
            check_id(id.as_bytes(), self.id_separator)
                .map_err(|reason| refused(format!("event id {reason}")))?;
        }
        let json = read_json(self, request).map_err(|error| refused(error.to_string()))?;
        let message = Message { scheme: self, request, id, root: json.as_ref() };
        let url = if self.signs_url() { request.url.unwrap_or_default() } else { "" };
        message.content(url, request.body, &self.time_text(at)?).map_err(|error| refused(error.to_string()))
    }

    /// The headers that carry these signatures of [`signed_bytes`](Self::signed_bytes), made with the same id
    /// and time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Sign`] for an id or a time that no header can hold.
    ///
    /// ```
    /// use hookwire::provider::Provider;
    /// use hookwire::signature::Request;
    /// use time::macros::datetime;
    ///
    /// let scheme = Provider::by_name("telnyx").unwrap().scheme().unwrap();
    /// let (now, headers) = (datetime!(2026-04-17 19:12:03 UTC), http::HeaderMap::new());
    /// let content = scheme.signed_bytes(&Request::post(&headers, b"{}"), "", now)?;
    /// assert_eq!(content, b"1776453123|{}");
    /// let signature = [0; 64]; // by a private key that is elsewhere
    /// let headers = scheme.headers_with(&[signature.to_vec()], "", now)?;
    /// assert_eq!(headers["telnyx-timestamp"], "1776453123");
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn headers_with(
        &self,
        signatures: &[Vec<u8>],
        id: &str,
        at: OffsetDateTime,
    ) -> Result<HeaderMap, Error> {
        let time = self.time_text(at)?;
        let value = |text: &str| {
            HeaderValue::from_str(text).map_err(|_| refused("header cannot hold its value".to_owned()))
        };
        let mut headers = HeaderMap::new();
        headers.insert(self.signature_header, value(&self.text_of(signatures, &time))?);
        if let Some(name) = self.id_header {
            headers.insert(name, value(id)?);
        }
        if let Some(name) = self.timestamp_header {
            headers.insert(name, value(&time)?);
        }
        Ok(headers)
    }

    fn text_of(&self, signatures: &[Vec<u8>], time: &str) -> String {
        let texts: Vec<_> = signatures.iter().map(|signature| self.encoding.write(signature)).collect();
        write_texts(&self.layout, &texts, time)
    }

    fn time_text(&self, at: OffsetDateTime) -> Result<String, Error> {
        self.time.write(at).ok_or_else(|| refused("time of signing cannot be written".to_owned()))
    }
}

fn refused(reason: String) -> Error {
    Error::new(ErrorKind::Sign, reason)
}

/// Judges whether the signature's header is there, before the body has arrived.
pub(super) fn check_head(scheme: &Scheme, headers: &HeaderMap) -> Result<(), VerifyError> {
    let name = scheme.signature_header;
    match scheme.place {
        SignaturePlace::Header if !headers.contains_key(name) => Err(VerifyError::MissingHeader { name }),
        _ => Ok(()),
    }
}

impl Scheme {
    /// Points for a request that carries a signature where this scheme does, and in its form; `None` if it
    /// carries none. Other names of the headers count less, because senders of their own have those names.
    pub(crate) fn resemblance(&self, request: &Request<'_>) -> Option<u32> {
        let other = self.other_headers.and_then(|family| self.in_family(*family).own_resemblance(request));
        self.own_resemblance(request).max(other.map(|points| points.saturating_sub(4)))
    }

    fn own_resemblance(&self, request: &Request<'_>) -> Option<u32> {
        let json = read_json(self, request).ok()?;
        let root = *items(self, json.as_ref()).ok()?.first()?;
        let texts = Message { scheme: self, request, id: "", root }.signature_texts().ok()?;
        let mut found = Found::default();
        for (_, text) in texts {
            read_texts(&self.layout, &text, &mut found).ok()?;
        }
        let is_tag = |bytes: &Vec<u8>| match self.algorithm.tag_len() {
            Some(len) => bytes.len() == len,
            None => bytes.len() >= 64,
        };
        let is_signed =
            found.signatures.iter().filter_map(|text| self.encoding.read(text)).any(|tag| is_tag(&tag));
        let others = [self.id_header, self.timestamp_header].into_iter().flatten();
        let is_there = |name: &str| request.headers.contains_key(name);
        if !others.clone().all(is_there) {
            return None;
        }
        let beside = u32::try_from(others.count()).unwrap_or_default();
        // The key of the query tells one kind of a provider's requests from another.
        let query = request.query().unwrap_or_default().as_bytes();
        let digest = self.query_digest.map(|key| if form::field(query, key).is_some() { 4 } else { 0 });
        Some(if is_signed { 10 } else { 4 } + 2 * beside + digest.unwrap_or_default())
    }
}

fn read_id<'a>(scheme: &Scheme, request: &Request<'a>) -> Result<Option<&'a str>, VerifyError> {
    let Some(name) = scheme.id_header else { return Ok(None) };
    let value = one_header(request, name)?;
    check_id(value, scheme.id_separator).map_err(|reason| VerifyError::MalformedHeader { name, reason })?;
    Ok(Some(str::from_utf8(value).expect("invariant: an id that passed is ASCII")))
}

/// The JSON of the body, if the scheme needs it.
fn read_json(scheme: &Scheme, request: &Request<'_>) -> Result<Option<Value>, VerifyError> {
    let reads_json = |part: &Part| matches!(part, Part::Json(_) | Part::AnyJson(_));
    let needs_json = matches!(scheme.place, SignaturePlace::Json(_))
        || scheme.json_time.is_some()
        || scheme.each.is_some()
        || scheme.content.iter().any(reads_json);
    needs_json
        .then(|| json::parse(request.body))
        .transpose()
        .map_err(|_| VerifyError::MalformedBody { reason: "is not JSON, which has the signed fields" })
}

/// The parts of the body that are signed by themselves.
fn items<'j>(scheme: &Scheme, json: Option<&'j Value>) -> Result<Vec<Option<&'j Value>>, VerifyError> {
    let (Some(list), Some(json)) = (scheme.each, json) else { return Ok(vec![json]) };
    match json.pointer(list).and_then(Value::as_array) {
        Some(items) if items.len() > MAX_SIGNATURES => {
            Err(VerifyError::MalformedBody { reason: "has more than 16 items, each with a signature" })
        }
        Some(items) if !items.is_empty() => Ok(items.iter().map(Some).collect()),
        _ => Err(VerifyError::MalformedBody { reason: "has no list of signed items" }),
    }
}

fn check_query_digest(scheme: &Scheme, request: &Request<'_>) -> Result<(), VerifyError> {
    let Some(key) = scheme.query_digest else { return Ok(()) };
    let query = request.query().ok_or(VerifyError::UnknownUrl)?;
    let expected =
        form::field(query.as_bytes(), key).and_then(|hex| super::encoding::read_hex(hex.as_bytes()));
    let digest = Sha256::digest(request.body);
    match expected {
        Some(expected) if bool::from(expected.ct_eq(digest.as_slice())) => Ok(()),
        _ => Err(VerifyError::DigestMismatch),
    }
}

/// One signed message: a request, or one item of it.
struct Message<'m, 'a> {
    scheme: &'m Scheme,
    request: &'m Request<'a>,
    id: &'m str,
    root: Option<&'m Value>,
}

impl Message<'_, '_> {
    /// Proves the message, and returns the time of signing if the content has it.
    fn prove(&self, keys: &[GeneralKey]) -> Result<Option<i64>, VerifyError> {
        let mut found = Found::default();
        for (name, text) in self.signature_texts()? {
            read_texts(&self.scheme.layout, &text, &mut found)
                .map_err(|reason| self.malformed(name, reason))?;
        }
        let (time_name, time) = self.time(&found)?;
        let seconds = match &time {
            Some(time) if self.scheme.signs_time => Some(
                self.scheme
                    .time
                    .read_exact(time.as_bytes())
                    .map_err(|reason| self.malformed(time_name, reason))?,
            ),
            _ => None,
        };
        let signatures: Vec<_> =
            found.signatures.iter().filter_map(|text| self.scheme.encoding.read(text)).collect();
        if signatures.is_empty() {
            return Err(
                self.malformed(self.scheme.signature_header, "holds no signature in its scheme's form")
            );
        }
        let mut is_right = false;
        for content in self.contents(time.as_deref().unwrap_or_default())? {
            // No early end, so that the time reveals no key.
            for key in keys {
                is_right |= key.verifies(&content, &signatures);
            }
        }
        if is_right { Ok(seconds) } else { Err(VerifyError::SignatureMismatch) }
    }

    fn malformed(&self, name: &'static str, reason: &'static str) -> VerifyError {
        match name {
            "" => VerifyError::MalformedBody { reason },
            name => VerifyError::MalformedHeader { name, reason },
        }
    }

    /// The texts of the signatures, with the header of each; an empty name for the body.
    fn signature_texts(&self) -> Result<Vec<(&'static str, Vec<u8>)>, VerifyError> {
        let (header, request) = (self.scheme.signature_header, self.request);
        match self.scheme.place {
            SignaturePlace::Header => Ok(vec![(header, one_header(request, header)?.to_vec())]),
            SignaturePlace::Headers(more) => {
                let mut texts = Vec::new();
                for name in std::iter::once(header).chain(more.iter().copied()) {
                    match one_header(request, name) {
                        Ok(value) => texts.push((name, value.to_vec())),
                        Err(VerifyError::MissingHeader { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                if texts.is_empty() { Err(VerifyError::MissingHeader { name: header }) } else { Ok(texts) }
            }
            SignaturePlace::Numbered => {
                let stem = header.trim_end_matches('1');
                let is_number =
                    |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
                let numbered = |name: &str| name.strip_prefix(stem).is_some_and(is_number);
                let texts: Vec<_> = request
                    .headers
                    .iter()
                    .filter(|(name, _)| numbered(name.as_str()))
                    .map(|(_, value)| (header, value.as_bytes().to_vec()))
                    .collect();
                if texts.is_empty() { Err(VerifyError::MissingHeader { name: header }) } else { Ok(texts) }
            }
            SignaturePlace::Json(pointer) => match self.root.and_then(|root| root.pointer(pointer)) {
                Some(Value::String(text)) => Ok(vec![("", text.clone().into_bytes())]),
                _ => Err(VerifyError::MalformedBody { reason: "has no signature where its scheme has one" }),
            },
            SignaturePlace::Form(name) => match form::field(request.body, name) {
                Some(text) => Ok(vec![("", text.into_bytes())]),
                None => Err(VerifyError::MalformedBody { reason: "has no form field with a signature" }),
            },
        }
    }

    /// The time of signing as text, with its header.
    fn time(&self, found: &Found) -> Result<(&'static str, Option<String>), VerifyError> {
        if let Some(name) = self.scheme.timestamp_header {
            let value = str::from_utf8(one_header(self.request, name)?)
                .map_err(|_| self.malformed(name, "is not ASCII"))?;
            return Ok((name, Some(value.to_owned())));
        }
        if let Some(pointer) = self.scheme.json_time {
            return match self.root.and_then(|root| root.pointer(pointer)) {
                Some(Value::String(text)) => Ok(("", Some(text.clone()))),
                Some(Value::Number(number)) => Ok(("", Some(number.to_string()))),
                _ => Err(VerifyError::MalformedBody { reason: "has no time where its scheme has one" }),
            };
        }
        let time = found.timestamp.as_ref().map(|time| String::from_utf8_lossy(time).into_owned());
        if time.is_none() && self.scheme.layout.carries_time() {
            return Err(self.malformed(self.scheme.signature_header, "has no time"));
        }
        Ok((self.scheme.signature_header, time))
    }

    /// The URLs that the sender may have signed: one, unless the scheme knows other forms of it.
    fn urls(&self) -> Result<Vec<String>, VerifyError> {
        if !self.scheme.signs_url() {
            return Ok(vec![String::new()]);
        }
        let url = self.request.url.ok_or(VerifyError::UnknownUrl)?;
        let mut urls = vec![url.to_owned()];
        match self.scheme.url_form {
            UrlForm::AsGiven => {}
            UrlForm::AnyPort => urls.extend(with_other_port(url)),
            UrlForm::Unescaped => urls.push(unescaped(url)),
        }
        urls.dedup();
        Ok(urls)
    }

    /// The contents that the sender may have signed: one, unless the scheme knows other forms of it.
    fn contents(&self, time: &str) -> Result<Vec<Vec<u8>>, VerifyError> {
        let mut contents = Vec::new();
        for url in self.urls()? {
            contents.push(self.content(&url, self.request.body, time)?);
            match self.scheme.content_form {
                ContentForm::AsSent => {}
                ContentForm::EscapedBody => {
                    if let Some(escaped) = json::escaped(self.request.body) {
                        contents.push(self.content(&url, &escaped, time)?);
                    }
                }
                ContentForm::FinalLineFeed => {
                    let mut content = self.content(&url, self.request.body, time)?;
                    content.push(b'\n');
                    contents.push(content);
                }
            }
        }
        Ok(contents)
    }

    /// The signed content with this URL and this body.
    fn content(&self, url: &str, body: &[u8], time: &str) -> Result<Vec<u8>, VerifyError> {
        let mut content = Vec::with_capacity(body.len() + 256);
        let request = Request { body, ..*self.request }.with_url(url);
        for (at, part) in self.scheme.content.iter().enumerate() {
            let begin = content.len();
            match part {
                Part::Id => content.extend_from_slice(self.id.as_bytes()),
                Part::Timestamp => content.extend_from_slice(time.as_bytes()),
                Part::Body => content.extend_from_slice(request.body),
                Part::Text(text) => content.extend_from_slice(text.as_bytes()),
                Part::Url => {
                    content.extend_from_slice(url.as_bytes());
                    self.check_neighbour_of_url(url, at)?;
                }
                Part::UrlWithoutQuery => {
                    content.extend_from_slice(request.url_without_query().unwrap_or_default().as_bytes());
                }
                Part::Path => content.extend_from_slice(request.path().unwrap_or("/").as_bytes()),
                Part::SortedQuery => {
                    let pairs = form::sorted(request.query().unwrap_or_default().as_bytes());
                    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
                    let has_form = form::fields(request.body).next().is_some();
                    if has_form || !pairs.is_empty() {
                        content.push(b'?');
                        content.extend_from_slice(pairs.join("&").as_bytes());
                    }
                    if has_form && !pairs.is_empty() {
                        content.push(b'.');
                    }
                }
                Part::Method => content.extend_from_slice(request.method.as_str().as_bytes()),
                Part::Header(name) => content.extend_from_slice(one_header(self.request, name)?),
                Part::BodyMd5 => content.extend_from_slice(STANDARD.encode(md5(request.body)).as_bytes()),
                Part::Json(pointer) | Part::AnyJson(pointer) => {
                    let value = self.root.and_then(|root| root.pointer(pointer));
                    content.extend_from_slice(json_text(value)?.as_bytes());
                }
                Part::Form(name) => {
                    let value = form::field(request.body, name)
                        .ok_or(VerifyError::MalformedBody { reason: "lacks a form field that is signed" })?;
                    content.extend_from_slice(value.as_bytes());
                }
                Part::SortedForm => {
                    for (name, value) in form::distinct(request.body) {
                        content.extend_from_slice(name.as_bytes());
                        content.extend_from_slice(value.as_bytes());
                    }
                }
            }
            if part.is_variable()
                && let Some(stop) = self.scheme.stop(at)
                && content[begin..].contains(&stop)
            {
                return Err(self.ambiguous(part));
            }
        }
        Ok(content)
    }

    /// A body right behind the URL has to begin with a character that no URL holds, or the two could be split
    /// in another way.
    fn check_neighbour_of_url(&self, url: &str, at: usize) -> Result<(), VerifyError> {
        let is_apart = !url.contains(['{', '[', '<', '"']) && !self.request.body.starts_with(b"/");
        match self.scheme.content.get(at + 1) {
            Some(Part::Body) if !is_apart => {
                Err(VerifyError::MalformedBody { reason: "cannot be told from the URL before it" })
            }
            _ => Ok(()),
        }
    }

    fn ambiguous(&self, part: &Part) -> VerifyError {
        const REASON: &str = "holds the text that ends it, so the content could be split in two ways";
        match part {
            Part::Header(name) => VerifyError::MalformedHeader { name, reason: REASON },
            _ => VerifyError::MalformedBody { reason: "has a signed field that holds the text that ends it" },
        }
    }
}

/// The one value of a header.
fn one_header<'a>(request: &Request<'a>, name: &'static str) -> Result<&'a [u8], VerifyError> {
    let mut values = request.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value.as_bytes().trim_ascii()),
        (Some(_), Some(_)) => Err(VerifyError::DuplicateHeader { name }),
        (None, _) => Err(VerifyError::MissingHeader { name }),
    }
}

/// A signed value as text.
fn json_text(value: Option<&Value>) -> Result<Cow<'_, str>, VerifyError> {
    match value {
        Some(Value::String(text)) => Ok(Cow::Borrowed(text)),
        Some(Value::Number(number)) => Ok(Cow::Owned(number.to_string())),
        Some(Value::Bool(truth)) => Ok(Cow::Borrowed(if *truth { "true" } else { "false" })),
        Some(Value::Null) | None => Ok(Cow::Borrowed("")),
        Some(Value::Array(_) | Value::Object(_)) => {
            Err(VerifyError::MalformedBody { reason: "has a list or an object where a signed text belongs" })
        }
    }
}

/// The URL with the standard port of its scheme if it has none, or without its port if it has one.
fn with_other_port(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let bare = authority.trim_end_matches(|digit: char| digit.is_ascii_digit());
    Some(match bare.strip_suffix(':') {
        Some(host) if bare.len() < authority.len() => format!("{scheme}://{host}{path}"),
        _ => {
            let port = if scheme == "https" { 443 } else { 80 };
            format!("{scheme}://{authority}:{port}{path}")
        }
    })
}

/// The URL with the escapes decoded that HubSpot decodes, see its page "Validating requests".
fn unescaped(url: &str) -> String {
    const DECODED: [(&str, &str); 12] = [
        ("%3A", ":"),
        ("%2F", "/"),
        ("%3F", "?"),
        ("%40", "@"),
        ("%21", "!"),
        ("%24", "$"),
        ("%27", "'"),
        ("%28", "("),
        ("%29", ")"),
        ("%2A", "*"),
        ("%2C", ","),
        ("%3B", ";"),
    ];
    DECODED.into_iter().fold(url.to_owned(), |url, (escape, letter)| {
        url.replace(escape, letter).replace(&escape.to_ascii_lowercase(), letter)
    })
}
