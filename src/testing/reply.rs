//! [`Reply`]: an answer in the script of a recording client.

use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::outcome::{ErrorClass, Outcome, Timings};
use crate::transport::{Exchange, TransportError};

/// The reply of a [`RecordingClient`](super::RecordingClient): a response or a failure, at once or after a
/// delay.
///
/// ```
/// use std::time::Duration;
/// use hookwire::testing::Reply;
/// use hookwire::ErrorClass;
/// use http::StatusCode;
///
/// let script = [
///     Reply::status(StatusCode::TOO_MANY_REQUESTS).with_retry_after(Duration::from_secs(120)),
///     Reply::failure(ErrorClass::Connect),
///     Reply::status(StatusCode::OK).with_delay(Duration::from_secs(3)),
/// ];
/// # let _ = script;
/// ```
#[derive(Clone, Debug)]
pub struct Reply {
    answer: Result<Response<Bytes>, ErrorClass>,
    retry_after: Option<Duration>,
    pub(super) delay: Duration,
}

impl Reply {
    /// A response of this status, without headers and body.
    pub fn status(status: StatusCode) -> Self {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        Self { answer: Ok(response), retry_after: None, delay: Duration::ZERO }
    }

    /// A failure of this class, instead of a response.
    pub fn failure(class: ErrorClass) -> Self {
        Self { answer: Err(class), retry_after: None, delay: Duration::ZERO }
    }

    /// Sets the response's `Retry-After`, in whole seconds, rounded up. A failure stays as it is.
    pub fn with_retry_after(mut self, retry_after: Duration) -> Self {
        // RFC 9110 section 10.2.3. Rounded down, a short wait would be none.
        let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
        if self.answer.is_ok() {
            self.retry_after = Some(Duration::from_secs(seconds));
        }
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Sets a header of the response. A failure stays as it is.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        if let Ok(response) = &mut self.answer {
            response.headers_mut().insert(name, value);
        }
        self
    }

    /// Sets the body of the response. A failure stays as it is.
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        if let Ok(response) = &mut self.answer {
            *response.body_mut() = body.into();
        }
        self
    }

    /// Sets the delay before the reply.
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The outcome of a reply that is later than the deadline.
    pub(super) fn late(deadline: Duration) -> Self {
        Self::failure(ErrorClass::Timeout).with_delay(deadline)
    }

    pub(super) fn outcome(&self) -> Outcome {
        match &self.answer {
            Ok(response) => Outcome::answered(response.status()).with_retry_after(self.retry_after),
            Err(class) => Outcome::Failed(*class),
        }
    }

    /// Whether an endpoint would have seen the request.
    pub(super) fn reaches(&self) -> bool {
        match self.answer {
            Ok(_) => true,
            Err(class) => matches!(class, ErrorClass::Timeout | ErrorClass::Reset | ErrorClass::Protocol),
        }
    }

    pub(super) fn into_exchange(self, body_cap: usize) -> Result<Exchange, TransportError> {
        let (timings, reached) = (Timings::new(self.delay), self.reaches());
        let mut response = self.answer.map_err(|class| {
            TransportError::new(class, format!("no response came, as the script has it: {class}"))
                .with_timings(timings)
                .with_maybe_sent(reached)
        })?;
        let truncated = response.body().len() > body_cap;
        response.body_mut().truncate(body_cap);
        Ok(Exchange::new(response).with_truncated(truncated).with_timings(timings))
    }
}
