//! Answers the challenges of a provider.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Map, Value as Json};
use sha1::{Digest as _, Sha1};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::provider::challenge::{Challenge, Echo, Mac, Reply, Value, When};
use crate::provider::definition::Provider;
use crate::provider::keys::Keys;
use crate::signature::{MacKey, Request, Secret, VerifyError, form, json};

/// A challenge that was found in a request, with the answer that its provider wants.
#[derive(Clone)]
pub struct ChallengeAnswer {
    is_proved: bool,
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: String,
    handed_over: Option<Secret>,
}

impl ChallengeAnswer {
    /// Whether the request has to be [proven](crate::provider::RequestVerifier) before it is answered.
    pub fn needs_proof(&self) -> bool {
        self.is_proved
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers of the answer.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// The body of the answer.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The secret of later requests, if the challenge hands one over (Asana, Notion).
    pub fn handed_over(&self) -> Option<&Secret> {
        self.handed_over.as_ref()
    }
}

/// The body repeats a text of the request, which may be a secret, and stays out.
impl fmt::Debug for ChallengeAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChallengeAnswer")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("needs_proof", &self.is_proved)
            .finish_non_exhaustive()
    }
}

impl Provider {
    /// Finds the challenge in a request, and makes its answer; `None` if the request is none.
    ///
    /// Nothing is proven here. If the answer [needs a proof](ChallengeAnswer::needs_proof), prove the request
    /// first, or any stranger can make the endpoint answer.
    ///
    /// # Errors
    ///
    /// A [`VerifyError`] for a challenge that is not answered: it lacks the verify token or shows another, or
    /// the text to repeat is empty, longer than 1,024 characters or not visible ASCII, or the text is to be
    /// signed and could be an event ([`Mac`]).
    ///
    /// ```
    /// use hookwire::provider::{Keys, Provider};
    /// use hookwire::signature::Request;
    ///
    /// let dropbox = Provider::by_name("dropbox").unwrap();
    /// let (method, headers) = (http::Method::GET, http::HeaderMap::new());
    /// let request = Request::new(&method, &headers, b"").with_url("https://example.com/in?challenge=abc");
    /// let answer = dropbox.challenge(&request, &Keys::none())?.expect("it is a challenge");
    /// assert_eq!(answer.body(), "abc");
    /// # Ok::<(), hookwire::VerifyError>(())
    /// ```
    pub fn challenge(
        &self,
        request: &Request<'_>,
        keys: &Keys,
    ) -> Result<Option<ChallengeAnswer>, VerifyError> {
        let mut json = None;
        for challenge in self.challenges {
            if challenge.method.is(request.method) && is_it(challenge, request, &mut json) {
                return answer(challenge, request, keys, &json).map(Some);
            }
        }
        Ok(None)
    }

    /// Whether the request is a challenge of the provider's, by more than its method.
    pub(crate) fn asks(&self, request: &Request<'_>) -> bool {
        let mut json = None;
        self.challenges.iter().any(|challenge| {
            challenge.method.is(request.method)
                && !matches!(challenge.when, When::Always)
                && is_it(challenge, request, &mut json)
        })
    }

    /// Whether a request of this method and these headers may be a challenge.
    pub(crate) fn may_challenge(&self, method: &Method, headers: &HeaderMap) -> bool {
        let may = |challenge: &Challenge| {
            challenge.method.is(method)
                && match challenge.when {
                    When::Header(name) => headers.contains_key(name),
                    When::HeaderIs(name, value) => has_value(headers, name, value),
                    _ => true,
                }
        };
        self.challenges.iter().any(may)
    }
}

fn has_value(headers: &HeaderMap, name: &str, value: &str) -> bool {
    headers.get(name).is_some_and(|shown| shown.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
}

fn is_it(challenge: &Challenge, request: &Request<'_>, json: &mut Option<Json>) -> bool {
    let query = request.query().unwrap_or_default().as_bytes();
    match challenge.when {
        When::Always => true,
        When::Query(key) => form::fields(query).any(|(name, _)| name == key),
        When::Header(name) => request.headers.contains_key(name),
        When::HeaderIs(name, value) => has_value(request.headers, name, value),
        When::Json(pointer) => pointed(request, json, pointer).is_some_and(Json::is_string),
        When::JsonIs(pointer, value) => pointed(request, json, pointer).is_some_and(|text| text == value),
        When::JsonNumber(pointer, number) => {
            pointed(request, json, pointer).is_some_and(|value| value.as_u64() == Some(number))
        }
        When::OnlyFormField(name) => {
            let mut fields = form::fields(request.body);
            fields.next().is_some_and(|(field, _)| field == name) && fields.next().is_none()
        }
    }
}

/// The value at a pointer of the JSON body, which is read once.
fn pointed<'j>(request: &Request<'_>, json: &'j mut Option<Json>, pointer: &str) -> Option<&'j Json> {
    // Challenges are short. A long body is an event, and is not read twice.
    if request.body.len() > MAX_BODY {
        return None;
    }
    json.get_or_insert_with(|| json::parse(request.body).unwrap_or(Json::Null)).pointer(pointer)
}

fn answer(
    challenge: &Challenge,
    request: &Request<'_>,
    keys: &Keys,
    json: &Option<Json>,
) -> Result<ChallengeAnswer, VerifyError> {
    check_token(challenge, request, keys)?;
    let echo = echo(challenge.echo, request, json)?;
    if challenge.mac.is_some_and(|mac| !mac.may_sign(&echo)) {
        return Err(UNSIGNABLE);
    }
    let mac = challenge.mac.map(|mac| compute(mac, &echo, keys)).transpose()?;
    let filled = |value: Value| match value {
        Value::Echo => Json::String(echo.clone()),
        Value::Mac => Json::String(mac.clone().unwrap_or_default()),
        Value::Text(text) => Json::String(text.to_owned()),
        Value::Number(number) => Json::from(number),
    };
    let mut headers = Vec::new();
    let body = match challenge.reply {
        Reply::Empty => String::new(),
        Reply::Text => {
            headers.push((CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")));
            headers.push((X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")));
            mac.clone().unwrap_or_else(|| echo.clone())
        }
        Reply::Json(members) => {
            headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
            headers.push((X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")));
            let object: Map<_, _> =
                members.iter().map(|(name, value)| ((*name).to_owned(), filled(*value))).collect();
            Json::Object(object).to_string()
        }
        Reply::Headers(members) => {
            for (name, value) in members {
                let text = match filled(*value) {
                    Json::String(text) => text,
                    other => other.to_string(),
                };
                let mut value = HeaderValue::from_str(&text).map_err(|_| UNREPEATABLE)?;
                // The text may be a secret: it stays out of logs and of HTTP/2's header tables.
                value.set_sensitive(challenge.hands_secret_over);
                let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| UNREPEATABLE)?;
                headers.push((name, value));
            }
            String::new()
        }
    };
    Ok(ChallengeAnswer {
        is_proved: challenge.is_proved,
        status: StatusCode::from_u16(challenge.status).expect("invariant: the status is a success"),
        headers,
        body,
        handed_over: if challenge.hands_secret_over { echo.parse().ok() } else { None },
    })
}

/// Compares the token in the query with the verify token, or else with the secrets.
fn check_token(challenge: &Challenge, request: &Request<'_>, keys: &Keys) -> Result<(), VerifyError> {
    let Some(key) = challenge.token else { return Ok(()) };
    let shown = form::field(request.query().unwrap_or_default().as_bytes(), key).unwrap_or_default();
    let is_right = |secret: &Secret| bool::from(shown.as_bytes().ct_eq(secret.expose().as_bytes()));
    let is_known = match &keys.verify_token {
        Some(token) => is_right(token),
        None => keys.secrets.iter().fold(false, |found, secret| found | is_right(secret)),
    };
    if is_known { Ok(()) } else { Err(VerifyError::UnknownKey) }
}

/// The text to repeat: bounded and visible, so that an endpoint repeats no page and no header of a
/// stranger's.
fn echo(echo: Echo, request: &Request<'_>, json: &Option<Json>) -> Result<String, VerifyError> {
    let text = match echo {
        Echo::Nothing => return Ok(String::new()),
        Echo::Query(key) => form::field(request.query().unwrap_or_default().as_bytes(), key),
        Echo::Header(name) => request.header_text(name).map(str::to_owned),
        Echo::Json(pointer) => {
            let text = |json: &Json| json.pointer(pointer)?.as_str().map(str::to_owned);
            json.as_ref().and_then(text).or_else(|| json::parse(request.body).ok().as_ref().and_then(text))
        }
    };
    let is_visible = |text: &String| {
        !text.is_empty()
            && text.len() <= MAX_ECHO
            && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
            && !text.contains(['<', '>'])
    };
    text.filter(is_visible).ok_or(UNREPEATABLE)
}

fn compute(mac: Mac, echo: &str, keys: &Keys) -> Result<String, VerifyError> {
    let secret = keys.secrets.first().ok_or(VerifyError::UnknownKey)?.key_bytes();
    let key = match mac {
        Mac::Hex | Mac::Base64(_) => secret,
        Mac::NamedSha1 => Zeroizing::new(Sha1::digest(&*secret).to_vec()),
    };
    let key = MacKey::new(mac.algorithm(), &key).ok_or(VerifyError::UnknownKey)?;
    let tag = key.tag(echo.as_bytes());
    let hex = || tag.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok(match mac {
        Mac::Hex => hex(),
        Mac::Base64(prefix) => format!("{prefix}{}", STANDARD.encode(&tag)),
        Mac::NamedSha1 => {
            let id = keys.key_id.as_deref().ok_or(VerifyError::UnknownKey)?;
            format!("{id}|{}", hex())
        }
    })
}

const UNREPEATABLE: VerifyError = VerifyError::MalformedBody {
    reason: "or query or headers have no text that a challenge may repeat, expected 1 to 1024 visible ASCII characters",
};
const UNSIGNABLE: VerifyError = VerifyError::MalformedBody {
    reason: "or query has a text to sign that could be an event, expected the random text of a challenge",
};
const MAX_ECHO: usize = 1024;
const MAX_BODY: usize = 16 << 10;
