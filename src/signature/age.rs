//! Checks the age of a message.

use std::time::Duration;

use super::verify_error::VerifyError;

/// Checks the age in whole seconds, as timestamps have them; the bound is inclusive.
pub(crate) fn check_age(signed_at: i64, now: i64, tolerance: Duration) -> Result<(), VerifyError> {
    let distance = now.abs_diff(signed_at);
    if distance <= tolerance.as_secs() {
        return Ok(());
    }
    let distance = Duration::from_secs(distance);
    Err(if signed_at < now {
        VerifyError::TimestampTooOld { age: distance, tolerance }
    } else {
        VerifyError::TimestampInFuture { ahead: distance, tolerance }
    })
}
