//! Errors of the driver: their kinds, and what is left of the connection on which one happened.

use sqlx::postgres::PgDatabaseError;

use crate::store::sql::columns::fault;
use crate::store::{StoreError, StoreErrorKind};

pub(super) fn failed(error: sqlx::Error) -> StoreError {
    fault(error, kind_of)
}

/// The kind of an error by its code: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
pub(super) fn kind_of(code: &str) -> StoreErrorKind {
    match code {
        DEADLOCK | SERIALIZATION_FAILURE => StoreErrorKind::Unavailable,
        // Read-only after a failover; a lock or a statement that took too long; a database that is being
        // made or accepts nobody.
        READ_ONLY | "55P03" | "57014" | "55000" => StoreErrorKind::Unavailable,
        // A prepared statement that another client of a pooler has, or that this session has lost; a
        // transaction that somebody left open.
        STATEMENT_EXISTS | STATEMENT_MISSING | "25P02" => StoreErrorKind::Unavailable,
        // A table, schema or function that does not exist.
        "42P01" | "3F000" | "42883" => StoreErrorKind::Schema,
        // Connection failure; out of memory, disk or connections; shutdown or start; I/O error.
        _ if ["08", "53", "57P", "58"].iter().any(|class| code.starts_with(class)) => {
            StoreErrorKind::Unavailable
        }
        _ => StoreErrorKind::Backend,
    }
}

pub(super) fn is_conflict(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| [DEADLOCK, SERIALIZATION_FAILURE].contains(&code.as_str()))
}

/// Returns whether the connection is as good as before. If not, it leads to the wrong server, or its session
/// is broken for good.
pub(super) fn leaves_usable(error: &sqlx::Error) -> bool {
    match error {
        // Connection failure; a plan that no longer fits the tables; transactions that are open, failed or
        // read-only; lost statements; the role; the database; tables and functions that are not there;
        // shutdown; I/O error; internal error.
        sqlx::Error::Database(_) => code(error).is_some_and(|code| {
            let broken = [
                "08",
                "0A",
                "25",
                "26",
                "28",
                "3D",
                "3F",
                "42P01",
                STATEMENT_EXISTS,
                "42883",
                "57P",
                "58",
                "XX",
            ];
            !broken.iter().any(|class| code.starts_with(class))
        }),
        sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => true,
        _ => false,
    }
}

/// Returns whether the statement was refused before it did anything, for a reason that another connection may
/// not have.
pub(super) fn is_of_connection(error: &sqlx::Error) -> bool {
    let Some(said) = error.as_database_error() else { return false };
    match said.code().as_deref() {
        Some(READ_ONLY | STATEMENT_EXISTS | STATEMENT_MISSING | "25P02") => true,
        // The result of a prepared statement has changed with its tables, and the driver prepares it once.
        Some("0A000") => is_told_by(error, OUTDATED_PLAN),
        Some("08P01") => is_told_by(error, MIXED_UP),
        _ => false,
    }
}

/// Returns whether prepared statements clash with those of another client, which uses the same session.
pub(super) fn is_clash(error: &sqlx::Error) -> bool {
    let Some(said) = error.as_database_error() else { return false };
    match said.code().as_deref() {
        Some(STATEMENT_EXISTS) => true,
        Some("08P01") => is_told_by(error, MIXED_UP),
        _ => false,
    }
}

/// Returns whether an error comes from this routine of the server. Its words depend on `lc_messages`.
fn is_told_by(error: &sqlx::Error, routine: &str) -> bool {
    let said = error.as_database_error().and_then(|said| said.try_downcast_ref::<PgDatabaseError>());
    said.and_then(PgDatabaseError::routine) == Some(routine)
}

/// Returns whether a prepared statement is not in the session any more.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| code == STATEMENT_MISSING)
}

pub(super) fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Finds that the result of a prepared statement has other columns than when it was prepared.
const OUTDATED_PLAN: &str = "RevalidateCachedQuery";
/// Finds that a prepared statement has other parameters than it gets: it is another client's.
const MIXED_UP: &str = "exec_bind_message";
const DEADLOCK: &str = "40P01";
const SERIALIZATION_FAILURE: &str = "40001";
const READ_ONLY: &str = "25006";
/// Another client of a pooler has prepared a statement of this name.
const STATEMENT_EXISTS: &str = "42P05";
/// A pooler has sent a prepared statement to a session that has not prepared it.
const STATEMENT_MISSING: &str = "26000";
