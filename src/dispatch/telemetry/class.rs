//! The class of an attempt's outcome, as spans and numbers name it.
#![cfg(any(feature = "metrics", feature = "tracing"))]

use crate::delivery::Attempt;
use crate::outcome::Outcome;

/// The status code, or the class of fault.
pub(super) fn class(attempt: &Attempt) -> String {
    match attempt.outcome {
        // A peer may choose any of nine hundred status codes.
        Outcome::Answered { status, .. } if status.as_u16() > 599 => "other_status".to_owned(),
        Outcome::Answered { status, .. } => status.as_str().to_owned(),
        Outcome::Failed(class) => class.as_str().to_owned(),
    }
}
