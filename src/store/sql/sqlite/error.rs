//! Errors of SQLite, and their meaning to the caller of a store.

use crate::store::sql::columns::fault;
use crate::store::{StoreError, StoreErrorKind};

pub(super) fn failed(error: sqlx::Error) -> StoreError {
    fault(error, |code| kind(code.parse().ok()))
}

/// Converts an error of the writing thread's own connection.
pub(super) fn failed_natively(error: rusqlite::Error) -> StoreError {
    let code = error.sqlite_error().and_then(|error| u32::try_from(error.extended_code).ok());
    StoreError::new(kind(code), error)
}

/// Classifies a result code, which may be an extended one.
fn kind(code: Option<u32>) -> StoreErrorKind {
    match code.map(|code| code & 0xff) {
        Some(BUSY | LOCKED | NO_MEMORY | INTERRUPTED | IO_ERROR | FULL | CANNOT_OPEN) => {
            StoreErrorKind::Unavailable
        }
        _ => StoreErrorKind::Backend,
    }
}

/// Returns whether another connection holds the lock that was needed.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == BUSY)
}

/// Returns whether the connection is in a transaction that sqlx does not track, for example after a bare
/// `BEGIN`.
pub(super) fn is_within_transaction(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.message().contains("within a transaction"))
}

/// Returns whether SQLite lacks a function that newer versions have.
pub(super) fn is_too_old(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.message().contains("jsonb_each"))
}

// Primary result codes: https://www.sqlite.org/rescode.html
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const NO_MEMORY: u32 = 7;
const INTERRUPTED: u32 = 9;
const IO_ERROR: u32 = 10;
const FULL: u32 = 13;
const CANNOT_OPEN: u32 = 14;
