//! Conversions for the driver of SQLite: columns are read and parameters bound.

use std::time::Duration;

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments as _, Row as _, SqlStr, Sqlite};
use time::OffsetDateTime;

use crate::store::sql::columns::{Columns, FAR, Unread, micros, span};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::value::Value;

/// The parts of a shared statement as SQLite spells them, and the texts that it can hold.
pub(super) const DIALECT: Dialect = Dialect {
    placeholder: '?',
    now: "{0}",
    later: "min({0} + {1}, 253402300799000000)",
    seek: "{0}",
    skip_locked: "",
    deliveries: "{p}deliveries",
    finished: "{p}history",
    longest_key: None,
    holds_nul: true,
};

impl Columns for SqliteRow {
    fn text(&self, column: &str) -> Result<&str, Unread> {
        Ok(self.try_get(column)?)
    }

    fn optional_bytes(&self, column: &str) -> Result<Option<&[u8]>, Unread> {
        Ok(self.try_get(column)?)
    }

    fn optional_text(&self, column: &str) -> Result<Option<&str>, Unread> {
        Ok(self.try_get(column)?)
    }

    fn optional_number(&self, column: &str) -> Result<Option<i64>, Unread> {
        Ok(self.try_get(column)?)
    }

    fn uuid(&self, column: &str) -> Result<u128, Unread> {
        let bytes: &[u8] = self.try_get(column)?;
        Ok(u128::from_be_bytes(bytes.try_into().map_err(|_| format!("column {column} has not 16 bytes"))?))
    }
}

/// Returns a statement with its parameters.
pub(super) fn query(statement: &SqlStr, values: &[Value<'_>]) -> Query<'static, Sqlite, SqliteArguments> {
    sqlx::query_with(statement.clone(), arguments(values))
}

/// Returns the parameters of statements for the driver.
pub(super) fn arguments<'a>(values: impl IntoIterator<Item = &'a Value<'a>>) -> SqliteArguments {
    let mut arguments = SqliteArguments::default();
    for value in values {
        let added = match *value {
            Value::Id(id) => arguments.add(blob(id)),
            Value::Number(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text.map(str::to_owned)),
            Value::Bytes(bytes) => arguments.add(bytes.map(<[u8]>::to_vec)),
        };
        added.expect("invariant: bytes, text and numbers can be bound");
    }
    arguments
}

pub(super) fn blob(uuid: u128) -> Vec<u8> {
    uuid.to_be_bytes().to_vec()
}

/// Writes an id in hex, because JSON has no bytes. SQLite's `unhex` reads it.
pub(super) fn hex(uuid: u128) -> String {
    format!("{uuid:032x}")
}

pub(super) fn later(at: OffsetDateTime, after: Duration) -> i64 {
    micros(at).saturating_add(span(after)).min(micros(FAR))
}
