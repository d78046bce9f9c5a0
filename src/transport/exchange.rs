//! [`Exchange`]: a response, and how it came.

use std::fmt;

use bytes::Bytes;

use crate::outcome::{Outcome, Timings};

/// A response, and how it came.
///
/// `Debug` shows neither headers nor body.
#[derive(Clone)]
#[non_exhaustive]
pub struct Exchange {
    /// The response; its body is at most [`Limits::body_cap`](crate::Limits::body_cap) long.
    pub response: http::Response<Bytes>,
    /// Whether the body was longer than the part that is returned.
    pub truncated: bool,
    /// How long each phase took.
    pub timings: Timings,
}

impl Exchange {
    /// Makes an exchange of a complete response whose timings are not known.
    pub fn new(response: http::Response<Bytes>) -> Self {
        Self { response, truncated: false, timings: Timings::default() }
    }

    /// Sets whether the body was cut.
    #[must_use]
    pub fn with_truncated(mut self, truncated: bool) -> Self {
        self.truncated = truncated;
        self
    }

    /// Sets how long the phases took.
    #[must_use]
    pub fn with_timings(mut self, timings: Timings) -> Self {
        self.timings = timings;
        self
    }

    /// The response as an outcome, without its `Retry-After`.
    pub fn outcome(&self) -> Outcome {
        Outcome::answered(self.response.status())
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("status", &self.response.status())
            .field("body_len", &self.response.body().len())
            .field("truncated", &self.truncated)
            .field("timings", &self.timings)
            .finish()
    }
}
