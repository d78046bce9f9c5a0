//! [`ApiKeys`]: the callers, and the organization of each.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hookwire::manage::axum::{Access, Scope};
use http::header::{AUTHORIZATION, HeaderMap, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::problem::Problem;

/// The keys of all organizations. Only their digests are kept: they have one length, and grant no access.
pub(crate) struct ApiKeys {
    known: Vec<([u8; 32], Access)>,
}

impl ApiKeys {
    /// Reads keys of the form `KEY=ORG` or `KEY=ORG:read`. No error repeats a key.
    pub(crate) fn parse<'a>(given: impl Iterator<Item = &'a str>) -> Result<Self, &'static str> {
        let mut known: Vec<([u8; 32], Access)> = Vec::new();
        for text in given {
            // A key may be base64, which may end in `=`.
            let (key, organization) = text.rsplit_once('=').ok_or(FORM)?;
            let (organization, scope) = match organization.strip_suffix(":read") {
                Some(organization) => (organization, Scope::Read),
                None => (organization, Scope::ReadWrite),
            };
            if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err("the key of an --api-key is not of visible ASCII, as a header takes it");
            }
            if organization.is_empty() || organization.len() > MAX_ORGANIZATION {
                return Err("the organization of an --api-key does not have 1 to 1,000 bytes");
            }
            let digest = Sha256::digest(key).into();
            if known.iter().any(|(other, _)| *other == digest) {
                return Err("a key is given twice, expected each for one organization");
            }
            known.push((digest, Access::new(organization, scope)));
        }
        Ok(Self { known })
    }

    fn access(&self, headers: &HeaderMap) -> Option<&Access> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let digest: [u8; 32] = Sha256::digest(key.trim()).into();
        // Every key is compared, so that the time does not reveal the place of the right one.
        self.known.iter().fold(None, |found, (known, access)| match bool::from(known.ct_eq(&digest)) {
            true => Some(access),
            false => found,
        })
    }
}

/// Admits requests with a known key, and adds the organization and scope of the key.
pub(crate) async fn authenticate(
    State(keys): State<Arc<ApiKeys>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(access) = keys.access(request.headers()) else {
        let problem = Problem::new(
            StatusCode::UNAUTHORIZED,
            "no API key, or one that nobody has; expected `Authorization: Bearer KEY`",
        );
        let challenge = match request.headers().contains_key(AUTHORIZATION) {
            true => r#"Bearer realm="sender", error="invalid_token""#,
            // RFC 6750 section 3.1: a request without a token gets no error code.
            false => r#"Bearer realm="sender""#,
        };
        let mut response = problem.into_response();
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        return response;
    };
    let access = access.clone();
    request.extensions_mut().insert(access);
    next.run(request).await
}

const FORM: &str = "an --api-key is not of the form KEY=ORG";
/// The size that fits into an index of PostgreSQL.
const MAX_ORGANIZATION: usize = 1_000;
