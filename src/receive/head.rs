//! Judges the form of a request by its head.

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method};

use crate::receive::arrival::Arrival;
use crate::receive::decoder::Encoding;
use crate::receive::rejection::Rejection;

/// Checks that a request is a POST of JSON, as far as its head says, and that its body is not announced as
/// longer than `max_body` bytes.
///
/// `others` are the content types beside JSON's that count as JSON. `decodes_gzip` is whether a body may be
/// compressed by gzip.
pub(crate) fn check_form(
    arrival: &Arrival<'_>,
    max_body: usize,
    others: &[Box<str>],
    decodes_gzip: bool,
) -> Result<(), Rejection> {
    if arrival.method != Method::POST {
        return Err(Rejection::Method);
    }
    let (mut content_type, mut length) = (None, arrival.body_length);
    // One walk over a request's few headers costs less than two lookups, each of which hashes a name.
    for (name, value) in arrival.headers {
        if *name == CONTENT_TYPE {
            if content_type.replace(value).is_some() {
                return Err(Rejection::ContentType);
            }
        } else if *name == CONTENT_LENGTH && arrival.body_length.is_none() {
            length = value.to_str().ok().and_then(|digits| digits.parse().ok());
        } else if *name == CONTENT_ENCODING && !is_identity(value) {
            check_encoding(arrival, decodes_gzip)?;
        }
    }
    // Without a content type, the body itself decides.
    if content_type.is_some_and(|content_type| !is_json(content_type) && !is_one_of(content_type, others)) {
        return Err(Rejection::ContentType);
    }
    if length.is_some_and(|length| length > max_body as u64) {
        return Err(Rejection::TooLarge { limit: max_body });
    }
    Ok(())
}

/// Checks that a body is not encoded in a way that is not decoded, nor announced as longer than `max_body`
/// bytes.
pub(crate) fn check_length(
    arrival: &Arrival<'_>,
    max_body: usize,
    decodes_gzip: bool,
) -> Result<(), Rejection> {
    check_encoding(arrival, decodes_gzip)?;
    let announced = || arrival.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
    match arrival.body_length.or_else(announced) {
        Some(length) if length > max_body as u64 => Err(Rejection::TooLarge { limit: max_body }),
        _ => Ok(()),
    }
}

fn check_encoding(arrival: &Arrival<'_>, decodes_gzip: bool) -> Result<(), Rejection> {
    match Encoding::of(arrival.headers) {
        Encoding::Identity => Ok(()),
        Encoding::Gzip if decodes_gzip => Ok(()),
        Encoding::Gzip | Encoding::Other => Err(Rejection::ContentEncoding),
    }
}

/// Whether a content encoding says that there is none (RFC 9110 section 12.5.3).
fn is_identity(value: &HeaderValue) -> bool {
    let text = value.as_bytes().trim_ascii();
    text.is_empty() || text.eq_ignore_ascii_case(b"identity")
}

/// Whether a content type is one of these, whatever its parameters.
pub(crate) fn is_one_of(content_type: &HeaderValue, types: &[Box<str>]) -> bool {
    !types.is_empty()
        && content_type.to_str().is_ok_and(|text| {
            let essence = text.split(';').next().unwrap_or_default().trim();
            types.iter().any(|other| other.eq_ignore_ascii_case(essence))
        })
}

pub(crate) fn is_json(content_type: &HeaderValue) -> bool {
    content_type.to_str().is_ok_and(|text| {
        let essence = text.split(';').next().unwrap_or_default().trim();
        // RFC 6839 section 3.1: the suffix of a type that is built on JSON.
        essence.eq_ignore_ascii_case("application/json")
            || has_prefix(essence, "application/") && has_suffix(essence, "+json")
    })
}

fn has_prefix(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn has_suffix(text: &str, suffix: &str) -> bool {
    let start = text.len().checked_sub(suffix.len());
    start.and_then(|start| text.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}
