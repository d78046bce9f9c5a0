//! Undoes the usual mistakes with a request of a provider, the fewest first, until it verifies.

use hookwire::provider::{Keys, Provider, RequestVerifier};
use hookwire::signature::{Algorithm, Request};
use hookwire::{Secret, VerifyError};
use time::OffsetDateTime;

use crate::bodies::{self, bodies};
use crate::keys::texts;
use crate::mistakes::{RAW_BODY, Try};

/// A request that does not verify, and everything that it is judged by.
#[derive(Clone, Copy)]
pub(crate) struct Broken<'a> {
    pub(crate) provider: &'static Provider,
    pub(crate) keys: &'a Keys,
    /// The secrets as they were given.
    pub(crate) secrets: &'a [String],
    pub(crate) request: &'a Request<'a>,
    pub(crate) now: OffsetDateTime,
}

/// Says in sentences what is wrong.
pub(crate) fn explain(broken: Broken<'_>) -> Vec<String> {
    let (provider, request) = (broken.provider, broken.request);
    if let Some(mut lines) = undone(broken) {
        if lines.iter().any(|line| bodies::is_reserialized(line)) {
            lines.push(RAW_BODY.to_owned());
        }
        return lines;
    }
    // The request may be right, and its provider another one.
    let others = Provider::recognize(request).into_iter().filter(|other| other.name() != provider.name());
    let right = others.into_iter().find(|other| is_right(other, broken.keys, request, broken.now));
    if let Some(other) = right {
        return vec![format!(
            "the request is right as one of {}: --provider {}",
            other.title(),
            other.name()
        )];
    }
    let mut lines = Vec::new();
    if request.body.trim_ascii().is_empty() && provider.signs_body() {
        lines.push(
            "the body is empty: a framework has read it before; capture it before anything else does"
                .to_owned(),
        );
        lines.push(RAW_BODY.to_owned());
    }
    let several = signatures(provider, request);
    if several > 1 {
        lines.push(format!(
            "the request has {several} signatures, because a secret is being replaced: none is by the key that was given"
        ));
    }
    if let Some(line) = other_form(provider, request) {
        lines.push(line);
    }
    lines.push(
        "no usual mistake explains it: it is another key, or a header or the body was changed".to_owned(),
    );
    if provider.needs_url() {
        lines.push("the URL has to be the one that the provider was given: --url".to_owned());
    }
    lines
}

/// The mistakes that were made, if undoing them makes the request right.
fn undone(broken: Broken<'_>) -> Option<Vec<String>> {
    let Broken { provider, keys, secrets, request, now } = broken;
    let mut all: Vec<Try<(&'static Provider, Keys)>> =
        vec![Try { value: (provider, keys.clone()), mistakes: vec![] }];
    for secret in secrets {
        for text in texts(secret) {
            let parsed = Keys::parse(&text.value).ok();
            all.extend(parsed.map(|keys| Try { value: (provider, keys), mistakes: text.mistakes.clone() }));
        }
        all.extend(other_schemes(provider, secret.trim()));
    }
    let (bodies, urls) = (bodies(request.body), urls(request));
    let mut tries = Vec::new();
    for key in &all {
        for body in &bodies {
            for url in &urls {
                let count = key.mistakes.len() + body.mistakes.len() + url.mistakes.len();
                tries.push((count, key, body, url));
            }
        }
    }
    tries.sort_by_key(|(count, ..)| *count);
    let found = tries.into_iter().take(MAX_TRIES).find(|(count, key, body, url)| {
        let tried = Request::new(request.method, request.headers, &body.value).with_url(&url.value);
        *count > 0 && is_right(key.value.0, &key.value.1, &tried, now)
    });
    let (_, key, body, url) = found?;
    let mistakes = key.mistakes.iter().chain(&body.mistakes).chain(&url.mistakes);
    Some(mistakes.map(|line| (*line).to_owned()).collect())
}

/// Whether the signature is right, whatever the time is.
fn is_right(provider: &'static Provider, keys: &Keys, request: &Request<'_>, now: OffsetDateTime) -> bool {
    let Ok(verifier) = RequestVerifier::new(provider, keys.clone()) else { return false };
    matches!(
        verifier.verify_at(request, now),
        Ok(_) | Err(VerifyError::TimestampTooOld { .. } | VerifyError::TimestampInFuture { .. })
    )
}

/// The provider's scheme with another form of the key or another hash.
fn other_schemes(provider: &'static Provider, secret: &str) -> Vec<Try<(&'static Provider, Keys)>> {
    let mut all = Vec::new();
    let Some(scheme) = provider.scheme().filter(|scheme| !scheme.algorithm().is_asymmetric()) else {
        return all;
    };
    let mut add = |scheme, keys: Option<Keys>, mistake| {
        let Some(keys) = keys else { return };
        // It lives as long as the program.
        let other = Box::leak(Box::new(Provider::signed(provider.name(), scheme)));
        all.push(Try { value: (&*other, keys), mistakes: vec![mistake] });
    };
    let parsed = || Keys::parse(secret).ok();
    add(scheme.with_base64_key(), parsed(), BASE64_KEY);
    add(scheme.with_hex_key(), parsed(), HEX_KEY);
    add(scheme, (!secret.is_empty()).then(|| Secret::from_bytes(secret).into()), TEXT_KEY);
    for (algorithm, mistake) in
        [(Algorithm::HmacSha1, SHA1), (Algorithm::HmacSha256, SHA256), (Algorithm::HmacSha512, SHA512)]
    {
        if algorithm != scheme.algorithm() {
            add(scheme.with_algorithm(algorithm), parsed(), mistake);
        }
    }
    all
}

/// The URL as it was given, and as other servers and proxies write it.
fn urls(request: &Request<'_>) -> Vec<Try<String>> {
    let url = request.url.unwrap_or_default();
    let mut urls = vec![Try { value: url.to_owned(), mistakes: vec![] }];
    let mut add = |value: String, mistakes: &[&'static str]| {
        if urls.iter().all(|known| known.value != value) {
            urls.push(Try { value, mistakes: mistakes.to_vec() });
        }
    };
    let (bare, query) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = bare.split_once("://").unwrap_or(("https", bare));
    let path = rest.find('/').map_or("/", |at| &rest[at..]);
    let with_query = |bare: String| if query.is_empty() { bare } else { format!("{bare}?{query}") };
    let header = |name: &str| {
        let value = request.headers.get(name)?.to_str().ok()?;
        Some(value.split(',').next()?.trim().to_owned())
    };
    let hosts = ["x-forwarded-host", "x-original-host", "host"].into_iter().filter_map(header);
    let mut hosts: Vec<_> = hosts.map(|host| (host, Some(OTHER_HOST))).collect();
    hosts.insert(0, (rest[..rest.len() - path.len().min(rest.len())].to_owned(), None));
    let other = if scheme == "https" { "http" } else { "https" };
    for (host, host_mistake) in hosts {
        let bare_host = host.split(':').next().unwrap_or_default();
        let slash = match path.strip_suffix('/') {
            Some(cut) => cut.to_owned(),
            None => format!("{path}/"),
        };
        for (scheme, scheme_mistake) in [(scheme, None), (other, Some(OTHER_SCHEME))] {
            let mistakes = |more: Option<&'static str>| {
                [host_mistake, scheme_mistake, more].into_iter().flatten().collect::<Vec<_>>()
            };
            add(with_query(format!("{scheme}://{host}{path}")), &mistakes(None));
            add(format!("{scheme}://{host}{path}"), &mistakes(Some(WITHOUT_QUERY)));
            add(with_query(format!("{scheme}://{host}{slash}")), &mistakes(Some(SLASH)));
            add(with_query(format!("{scheme}://{bare_host}{path}")), &mistakes(Some(PORT)));
        }
    }
    urls
}

/// How many signatures the request has.
fn signatures(provider: &Provider, request: &Request<'_>) -> usize {
    let Some(scheme) = provider.scheme().filter(|scheme| scheme.carries_several()) else { return 0 };
    let values = request.headers.get_all(scheme.signature_header()).iter();
    let long =
        |value: &[u8]| value.split(|byte| b", ;".contains(byte)).filter(|part| part.len() >= LEAST).count();
    values.map(|value| long(value.as_bytes())).sum()
}

/// Says that the body has another form than the provider's.
fn other_form(provider: &Provider, request: &Request<'_>) -> Option<String> {
    use hookwire::provider::BodyForm;
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(request.body).is_ok();
    let takes_form = provider.bodies().contains(&BodyForm::Form);
    let takes_json = provider.bodies().iter().any(|form| *form != BodyForm::Form);
    match (is_json, takes_form, takes_json) {
        (true, true, false) => Some(
            "the body is JSON, and this provider signs the fields of a form: a framework has turned the form into JSON, \
             or another preset is meant"
                .to_owned(),
        ),
        (false, false, true) if request.body.contains(&b'=') && !request.body.contains(&b'{') => {
            Some("the body is a form, and this provider sends JSON: set the content type where the webhook is made".to_owned())
        }
        _ => None,
    }
}

const OTHER_SCHEME: &str = "the signature is right with http for https, or the other way round: behind a proxy, use the URL that \
                            the provider was given";
const OTHER_HOST: &str = "the signature is right with the host of another header: behind a proxy, use the URL that the provider was given";
const WITHOUT_QUERY: &str = "the signature is right without the query of the URL";
const SLASH: &str = "the signature is right with, or without, a slash at the end of the URL";
const PORT: &str = "the signature is right without the port of the URL";
const BASE64_KEY: &str =
    "the signature is right when the key is what the secret decodes to as base64, not its text";
const HEX_KEY: &str =
    "the signature is right when the key is what the secret's hex digits stand for, not its text";
const TEXT_KEY: &str = "the signature is right when the key is the secret's text, not decoded";
const SHA1: &str =
    "the signature is right with SHA-1: the sender has the old algorithm, or another preset is meant";
const SHA256: &str = "the signature is right with SHA-256: another preset is meant";
const SHA512: &str = "the signature is right with SHA-512: another preset is meant";
/// The shortest signature: SHA-1 in base64.
const LEAST: usize = 28;
/// Each costs an HMAC over the body.
const MAX_TRIES: usize = 16384;
