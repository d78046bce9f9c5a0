//! [`Prefix`]: the beginning of the names of a SQL store's tables; [`Tables`]: their version.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use super::columns::{Columns, corrupt};
use crate::store::{StoreError, StoreErrorKind};

/// The beginning of the tables' names: an identifier that needs no quotes.
#[derive(Clone, Debug)]
pub(in crate::store) struct Prefix(String);

impl Prefix {
    /// Parses a prefix of at most `most` bytes that does not begin like the names that the database reserves.
    pub(in crate::store) fn parse(text: &str, most: usize, reserved: &str) -> Result<Self, StoreError> {
        let first_is_right = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let rest_is_right = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let is_reserved = text.to_ascii_lowercase().starts_with(reserved);
        if first_is_right && rest_is_right && !is_reserved && text.len() <= most {
            return Ok(Self(text.to_owned()));
        }
        Err(StoreError::new(
            StoreErrorKind::Backend,
            format!(
                "table prefix is not usable, expected 1 to {most} of a-z, A-Z, 0-9 and _, \
                 beginning with no digit and not with {reserved}"
            ),
        ))
    }

    /// Returns the prefix of tables in a schema, whose name is quoted if needed.
    #[cfg(feature = "postgres")]
    pub(in crate::store) fn within(&self, schema: &str) -> Self {
        Self(format!("{schema}.{}", self.0))
    }

    /// Returns `sql` with every `{p}` replaced by the prefix.
    pub(in crate::store) fn apply(&self, sql: &str) -> String {
        sql.replace("{p}", &self.0)
    }

    /// Returns the statement `sql` with every `{p}` replaced by the prefix.
    pub(in crate::store) fn statement(&self, sql: &str) -> SqlStr {
        // The prefix is the only thing put into the text, and it is an identifier; values are bound.
        AssertSqlSafe(Arc::<str>::from(self.apply(sql))).into_sql_str()
    }
}

/// The version of the tables, and the least version of code that may use them.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::store) struct Tables {
    version: i64,
    min_code_version: i64,
}

impl Tables {
    pub(in crate::store) fn read(row: &impl Columns) -> Result<Self, StoreError> {
        let version = row.number("version").map_err(corrupt)?;
        Ok(Self { version, min_code_version: row.number("min_code_version").map_err(corrupt)? })
    }

    /// Returns the version to migrate from, for code of version `code`. Newer tables that this code may use
    /// count as tables of its version.
    pub(in crate::store) fn check(self, code: i64) -> Result<i64, StoreError> {
        if self.min_code_version > code {
            return Err(StoreError::new(
                StoreErrorKind::Schema,
                format!(
                    "tables are of version {} and need code of schema version {}, this code has {code}",
                    self.version, self.min_code_version
                ),
            ));
        }
        Ok(self.version.min(code))
    }
}

/// A step from one version of the tables to another.
pub(in crate::store) struct Migration {
    /// The version that the tables have afterwards.
    pub(in crate::store) version: i64,
    pub(in crate::store) sql: &'static str,
}

/// Returns the statements that bring tables of version `found` up to the last.
pub(in crate::store) fn script(migrations: &[Migration], found: i64, prefix: &Prefix) -> String {
    let missing = migrations.iter().filter(|migration| migration.version > found);
    missing.map(|migration| prefix.apply(migration.sql)).collect()
}
