//! [`Decoder`]: how a receiver decodes the bodies of a content encoding.

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::receive::rejection::Rejection;
use crate::signature::Verified;

/// How a receiver decodes bodies compressed by gzip.
#[derive(Clone, Copy)]
pub(super) struct Decoder {
    /// Decodes a body, up to a number of bytes.
    pub(super) decode: fn(&[u8], usize) -> Result<Vec<u8>, Rejection>,
    /// The greatest length of a decoded body, in bytes.
    pub(super) limit: usize,
}

impl Decoder {
    /// Decodes the body of a proven request, if it is encoded.
    pub(super) fn decoded<'a>(
        self,
        headers: &HeaderMap,
        verified: Verified<'a>,
    ) -> Result<Verified<'a>, Rejection> {
        if Encoding::of(headers) != Encoding::Gzip {
            return Ok(verified);
        }
        let body = (self.decode)(verified.body(), self.limit)?;
        Ok(verified.with_decoded(body))
    }
}

/// How a body is encoded, as far as a receiver knows (RFC 9110 section 8.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Encoding {
    /// Not at all.
    Identity,
    /// By gzip, once.
    Gzip,
    /// In a way that no receiver decodes.
    Other,
}

impl Encoding {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        headers.get_all(CONTENT_ENCODING).iter().fold(Self::Identity, |found, value| {
            let text = value.as_bytes().trim_ascii();
            let is_one_of = |names: &[&[u8]]| names.iter().any(|name| text.eq_ignore_ascii_case(name));
            match found {
                _ if is_one_of(&[b"", b"identity"]) => found,
                // RFC 9110 section 8.4.1.3 has `x-gzip` read as `gzip`.
                Self::Identity if is_one_of(&[b"gzip", b"x-gzip"]) => Self::Gzip,
                _ => Self::Other,
            }
        })
    }
}
