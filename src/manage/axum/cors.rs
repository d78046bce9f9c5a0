//! [`Cors`]: the pages of other origins that may call the routes (the Fetch standard's CORS protocol).

use ::axum::response::{IntoResponse as _, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, ORIGIN,
    VARY,
};
use http::{HeaderValue, Method, StatusCode};

/// The pages of other origins that may call the routes from a browser.
///
/// Credentials are those that a script sends, such as `Authorization`; cookies are not allowed. A preflight
/// request has no credentials, so an authentication that refuses requests has to let `OPTIONS` through.
///
/// ```
/// use hookwire::manage::axum::Cors;
///
/// let cors = Cors::new(["https://dashboard.example.com"]);
/// # let _ = cors;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Cors {
    origins: Vec<String>,
}

impl Cors {
    /// Allows pages of these origins, such as `https://dashboard.example.com`.
    pub fn new<O: Into<String>>(origins: impl IntoIterator<Item = O>) -> Self {
        Self { origins: origins.into_iter().map(Into::into).collect() }
    }

    /// The request's origin, if it is allowed.
    pub(super) fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        let is_allowed = self.origins.iter().any(|allowed| origin == allowed.as_str());
        is_allowed.then(|| origin.clone())
    }

    /// Lets the page of `origin` read a response.
    pub(super) fn add(origin: HeaderValue, response: &mut Response) {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        headers.append(VARY, HeaderValue::from_static("origin"));
    }

    /// Whether a request asks what may be sent.
    pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
        method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// The answer to a preflight request of an allowed origin.
    pub(super) fn preflight(methods: &str) -> Response {
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        if let Ok(methods) = HeaderValue::from_str(methods) {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        }
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ACCEPTED));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        response
    }
}

const ACCEPTED: &str = "authorization, content-type, idempotency-key, if-match, if-none-match";
const EXPOSED: &str = "etag, idempotency-replayed, location, retry-after";
