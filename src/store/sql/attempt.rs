//! [`AttemptRow`]: an attempt as its row holds it.

use serde::Serialize;

use super::columns::{micros, outcome_columns, span};
use crate::delivery::Attempt;
use crate::outcome::FailureReason;

/// The columns of an attempt. Instants and durations are in microseconds.
#[derive(Serialize)]
pub(in crate::store) struct AttemptRow<'a> {
    pub(in crate::store) number: i64,
    pub(in crate::store) started_at: i64,
    pub(in crate::store) duration: i64,
    pub(in crate::store) dns: Option<i64>,
    pub(in crate::store) connect: Option<i64>,
    pub(in crate::store) tls: Option<i64>,
    pub(in crate::store) first_byte: Option<i64>,
    pub(in crate::store) total: i64,
    pub(in crate::store) status: Option<i64>,
    pub(in crate::store) retry_after: Option<i64>,
    pub(in crate::store) error: Option<&'static str>,
    pub(in crate::store) reason: Option<&'static str>,
    pub(in crate::store) head_status: Option<i64>,
    pub(in crate::store) excerpt: &'a str,
}

impl<'a> AttemptRow<'a> {
    pub(in crate::store) fn new(attempt: &'a Attempt) -> Self {
        let (status, error, retry_after) = outcome_columns(&attempt.outcome);
        Self {
            number: attempt.number.into(),
            started_at: micros(attempt.started_at),
            duration: span(attempt.duration),
            dns: attempt.timings.dns.map(span),
            connect: attempt.timings.connect.map(span),
            tls: attempt.timings.tls.map(span),
            first_byte: attempt.timings.first_byte.map(span),
            total: span(attempt.timings.total),
            status: status.map(i64::from),
            retry_after,
            error,
            reason: attempt.reason.map(FailureReason::as_str),
            head_status: attempt.head_status.map(|status| status.as_u16().into()),
            excerpt: &attempt.response_excerpt,
        }
    }
}
