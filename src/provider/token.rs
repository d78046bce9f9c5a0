//! Proves a request by the secret that it shows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use subtle::ConstantTimeEq as _;

use crate::provider::authentication::TokenPlace;
use crate::signature::{Request, Secret, VerifyError, form, json};

/// Whether the request shows any of the secrets at any of the places.
pub(super) fn check(
    places: &[TokenPlace],
    secrets: &[Secret],
    request: &Request<'_>,
) -> Result<(), VerifyError> {
    let mut missing = None;
    for place in places {
        match shown(*place, request) {
            Err(error) => missing = missing.or(Some(error)),
            Ok(shown) => {
                let is_right = |text: &Vec<u8>| {
                    let hits = secrets.iter().map(|secret| text.ct_eq(&*secret.key_bytes()));
                    hits.fold(false, |found, hit| found | bool::from(hit))
                };
                let all_right = match place {
                    // One of the keys is the user's choice, the others are not tokens.
                    TokenPlace::AnyQuery => shown.iter().any(is_right),
                    _ => !shown.is_empty() && shown.iter().all(is_right),
                };
                if all_right {
                    return Ok(());
                }
            }
        }
    }
    Err(missing.unwrap_or(VerifyError::SignatureMismatch))
}

/// The texts that the request shows at the place.
pub(super) fn shown(place: TokenPlace, request: &Request<'_>) -> Result<Vec<Vec<u8>>, VerifyError> {
    const NONE: VerifyError =
        VerifyError::MalformedBody { reason: "has no token where the provider shows one" };
    match place {
        TokenPlace::Header(name) => Ok(vec![one(request, name)?.to_vec()]),
        TokenPlace::Bearer => Ok(vec![credentials(request, "Bearer")?.to_vec()]),
        TokenPlace::Basic => {
            const REASON: &str = "is not base64 of a user and a password";
            let text = credentials(request, "Basic")?;
            let decoded = STANDARD.decode(text);
            Ok(vec![
                decoded
                    .map_err(|_| VerifyError::MalformedHeader { name: "authorization", reason: REASON })?,
            ])
        }
        TokenPlace::Query(key) => {
            let query = request.query().unwrap_or_default();
            let token = form::field(query.as_bytes(), key);
            Ok(vec![token.ok_or(VerifyError::SignatureMismatch)?.into_bytes()])
        }
        TokenPlace::AnyQuery => {
            let query = request.query().unwrap_or_default();
            Ok(form::fields(query.as_bytes()).map(|(_, value)| value.into_bytes()).collect())
        }
        TokenPlace::Json(pointer) => {
            let json = body(request)?;
            let text = json.pointer(pointer).and_then(Value::as_str).ok_or(NONE)?;
            Ok(vec![text.as_bytes().to_vec()])
        }
        TokenPlace::EachJson(list, pointer) => {
            let json = body(request)?;
            let items = json.pointer(list).and_then(Value::as_array).ok_or(NONE)?;
            let text = |item: &Value| item.pointer(pointer)?.as_str().map(|text| text.as_bytes().to_vec());
            items.iter().map(|item| text(item).ok_or(NONE)).collect()
        }
    }
}

fn body(request: &Request<'_>) -> Result<Value, VerifyError> {
    json::parse(request.body)
        .map_err(|_| VerifyError::MalformedBody { reason: "is not JSON, which has the token" })
}

/// The one value of a header.
pub(super) fn one<'a>(request: &Request<'a>, name: &'static str) -> Result<&'a [u8], VerifyError> {
    let mut values = request.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value.as_bytes().trim_ascii()),
        (Some(_), Some(_)) => Err(VerifyError::DuplicateHeader { name }),
        (None, _) => Err(VerifyError::MissingHeader { name }),
    }
}

/// The credentials of the header `Authorization` after this scheme, in any case (RFC 9110 section 11.4).
pub(super) fn credentials<'a>(request: &Request<'a>, scheme: &str) -> Result<&'a [u8], VerifyError> {
    const NAME: &str = "authorization";
    let value = one(request, NAME)?;
    let (name, rest) = value.split_at(scheme.len().min(value.len()));
    match rest {
        [b' ', rest @ ..] if name.eq_ignore_ascii_case(scheme.as_bytes()) => Ok(rest.trim_ascii()),
        _ => Err(VerifyError::MalformedHeader { name: NAME, reason: "is of another authentication scheme" }),
    }
}
