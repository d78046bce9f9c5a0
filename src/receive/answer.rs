//! [`Answer`]: the response to a sender.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::provider::ChallengeAnswer;

/// The response to a sender: a status, a few headers, and a small body, which is empty for an event.
///
/// ```
/// use hookwire::receive::{Answer, Rejection};
///
/// assert_eq!(Answer::OK.into_response().status(), 200);
/// let response = Answer::from(&Rejection::Method).into_response();
/// assert_eq!((response.status().as_u16(), &response.headers()["allow"]), (405, &"POST".parse()?));
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// The status: exactly 200 if the sender need not repeat the request.
    pub status: StatusCode,
    /// The headers, without those that describe the body's length.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// 200 without a body: the event is handled or stored, now or before.
    pub const OK: Self = Self::new(StatusCode::OK);

    /// An answer of this status, without headers and body.
    pub const fn new(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// Sets a header, in place of one of the same name.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        match self.headers.iter_mut().find(|(had, _)| *had == name) {
            Some((_, had)) => *had = value,
            None => self.headers.push((name, value)),
        }
        self
    }

    /// Sets `Retry-After`: the sender should repeat the request after `wait`, in whole seconds, rounded up
    /// (RFC 9110 section 10.2.3).
    pub fn with_retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Sets the body. Its type is the header `Content-Type`, for you to [set](Self::with_header).
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The header of this name.
    pub fn header(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.headers.iter().find(|(had, _)| had == name).map(|(_, value)| value)
    }

    /// The answer as a response.
    pub fn into_response(self) -> Response<Bytes> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
    }
}

/// The body of an answer to a challenge may repeat a secret, and stays out.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body_len", &self.body.len())
            .finish()
    }
}

impl From<&ChallengeAnswer> for Answer {
    fn from(challenge: &ChallengeAnswer) -> Self {
        Self {
            status: challenge.status(),
            headers: challenge.headers().to_vec(),
            body: Bytes::copy_from_slice(challenge.body().as_bytes()),
        }
    }
}
