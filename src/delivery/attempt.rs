//! [`Attempt`]: one POST and its outcome.

use std::time::Duration;

use time::OffsetDateTime;

use crate::outcome::{Outcome, Timings};

/// One attempt of a delivery, as it is logged.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Attempt {
    /// Its number among the attempts of its delivery, from 1.
    pub number: u32,
    /// When it began.
    pub started_at: OffsetDateTime,
    /// How long it took, until the answer was complete or the fault was known.
    pub duration: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// How long its phases took, as far as the client measured them.
    pub timings: Timings,
    /// The first bytes of the response's body as text; bytes that are not UTF-8 are replaced.
    pub response_excerpt: String,
}

impl Attempt {
    /// Makes an attempt without an excerpt of a response.
    pub fn new(number: u32, started_at: OffsetDateTime, duration: Duration, outcome: Outcome) -> Self {
        Self {
            number,
            started_at,
            duration,
            outcome,
            timings: Timings::new(duration),
            response_excerpt: String::new(),
        }
    }

    /// Sets the client's own measurements.
    pub const fn with_timings(mut self, timings: Timings) -> Self {
        self.timings = timings;
        self
    }

    /// Sets the beginning of the endpoint's answer.
    pub fn with_response_excerpt(mut self, excerpt: impl Into<String>) -> Self {
        self.response_excerpt = excerpt.into();
        self
    }
}
