//! [`Attempt`]: one POST and its outcome.

use std::time::Duration;

use http::StatusCode;
use time::OffsetDateTime;

use crate::outcome::{FailureReason, Outcome, Timings};

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
    /// Why it failed, if its outcome is [`Failed`](Outcome::Failed).
    pub reason: Option<FailureReason>,
    /// The status of a response that broke off in its body, if its outcome is [`Failed`](Outcome::Failed).
    pub head_status: Option<StatusCode>,
    /// How long its phases took, as far as the client measured them.
    pub timings: Timings,
    /// The first bytes of the response's body as text; bytes that are not UTF-8 are replaced. It holds
    /// nothing but what the endpoint sent.
    pub response_excerpt: String,
}

impl Attempt {
    /// Makes an attempt without an excerpt of a response.
    pub fn new(number: u32, started_at: OffsetDateTime, duration: Duration, outcome: Outcome) -> Self {
        let reason = match outcome {
            Outcome::Answered { .. } => None,
            Outcome::Failed(class) => Some(FailureReason::of(class)),
        };
        Self {
            number,
            started_at,
            duration,
            outcome,
            reason,
            head_status: None,
            timings: Timings::new(duration),
            response_excerpt: String::new(),
        }
    }

    /// Sets why it failed, and the status of a response that broke off.
    pub const fn with_reason(mut self, reason: FailureReason, head_status: Option<StatusCode>) -> Self {
        self.reason = Some(reason);
        self.head_status = head_status;
        self
    }

    /// The status that the endpoint sent, if it sent one, whether or not the response was complete.
    pub const fn status(&self) -> Option<StatusCode> {
        match self.outcome.status() {
            Some(status) => Some(status),
            None => self.head_status,
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
