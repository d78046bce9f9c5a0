//! [`Vector`]: one request of a provider, and what there is to say about it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookwire::provider::{Keys, Provider, RequestVerifier};
use hookwire::signature::Request;
use hookwire::{Verified, VerifyError};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;
use time::OffsetDateTime;

/// A request, as a file holds it.
#[derive(Clone)]
pub(crate) struct Vector {
    pub(crate) provider: String,
    pub(crate) kind: String,
    pub(crate) key: Option<String>,
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) answer: Value,
    /// When the request came, if no signed time says it.
    pub(crate) now: Option<i64>,
    /// Whether the body is an event that a POST brings.
    pub(crate) has_event: bool,
}

impl Vector {
    pub(crate) fn provider(&self) -> &'static Provider {
        Provider::by_name(&self.provider).unwrap_or_else(|| panic!("no provider {}", self.provider))
    }

    pub(crate) fn keys(&self) -> Keys {
        self.key.as_deref().map_or_else(Keys::none, |key| Keys::parse(key).unwrap())
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.now.or(self.timestamp).unwrap_or(1_700_000_000)).unwrap()
    }

    pub(crate) fn request(&self) -> Request<'_> {
        Request::new(&self.method, &self.headers, &self.body).with_url(&self.url)
    }

    pub(crate) fn verify_at(&self, now: OffsetDateTime) -> Result<Verified<'static>, VerifyError> {
        self.verify_with(self.keys(), now)
    }

    pub(crate) fn verify_with(
        &self,
        keys: Keys,
        now: OffsetDateTime,
    ) -> Result<Verified<'static>, VerifyError> {
        let verifier = RequestVerifier::new(self.provider(), keys).unwrap();
        verifier.verify_at(&self.request(), now).map(Verified::into_owned)
    }

    pub(crate) fn verifier(&self) -> RequestVerifier {
        RequestVerifier::new(self.provider(), self.keys())
            .unwrap_or_else(|error| panic!("{}: {error}", self.provider))
    }

    /// Whether a request of the provider's can be proven with the features of this build.
    pub(crate) fn is_built_in(&self) -> bool {
        RequestVerifier::new(self.provider(), self.keys()).is_ok()
    }
}

/// The vectors of providers that are presets.
pub(crate) fn vectors() -> Vec<Vector> {
    let files = [
        include_str!("../../data/provider_vectors.json"),
        include_str!("../../data/provider_vectors_made.json"),
        include_str!("../../data/provider_vectors_sdk.json"),
    ];
    let all = files.into_iter().flat_map(|file| serde_json::from_str::<Vec<Value>>(file).unwrap());
    all.map(|json| vector(&json)).filter(|vector| !LEFT_OUT.contains(&&*vector.provider)).collect()
}

fn vector(json: &Value) -> Vector {
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    let headers = json["headers"].as_object().unwrap().iter().map(|(name, value)| {
        let name = HeaderName::try_from(name.as_str()).unwrap();
        (name, HeaderValue::try_from(value.as_str().unwrap()).unwrap())
    });
    Vector {
        provider: text("provider"),
        kind: text("kind"),
        key: json["key"].as_str().map(str::to_owned),
        method: text("method").parse().unwrap(),
        url: text("url"),
        headers: headers.collect(),
        body: STANDARD.decode(text("body")).unwrap(),
        timestamp: json["timestamp"].as_i64(),
        answer: json["answer"].clone(),
        now: json["now"].as_i64(),
        has_event: json["event"] != false,
    }
}

/// These sign without HMAC, and the same requests carry version 3.
const LEFT_OUT: [&str; 2] = ["hubspot_v1", "hubspot_v2"];
