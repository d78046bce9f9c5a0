//! [`Prefix`]: what the names of a SQL store's tables begin with; [`Tables`]: which version they have.
#![cfg(any(feature = "postgres", feature = "sqlite"))]

use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use super::columns::{Columns, corrupt};
use crate::store::{StoreError, StoreErrorKind};

/// What the tables' names begin with: an identifier that needs no quotes.
#[derive(Clone, Debug)]
pub(super) struct Prefix(String);

impl Prefix {
    /// One of at most `most` bytes that does not begin as the names that the database keeps for itself.
    pub(super) fn parse(text: &str, most: usize, reserved: &str) -> Result<Self, StoreError> {
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

    /// The same in a schema, whose name comes quoted where it has to be.
    #[cfg(feature = "postgres")]
    pub(super) fn within(&self, schema: &str) -> Self {
        Self(format!("{schema}.{}", self.0))
    }

    /// `sql` with every `{p}` replaced by the prefix.
    pub(super) fn apply(&self, sql: &str) -> String {
        sql.replace("{p}", &self.0)
    }

    /// The same as a statement.
    pub(super) fn statement(&self, sql: &str) -> SqlStr {
        // The prefix is the only thing put into the text, and it is an identifier; values are bound.
        AssertSqlSafe(Arc::<str>::from(self.apply(sql))).into_sql_str()
    }
}

/// The version of the tables, and the least that code must have to use them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tables {
    version: i64,
    min_code_version: i64,
}

impl Tables {
    pub(super) fn read(row: &impl Columns) -> Result<Self, StoreError> {
        let version = row.number("version").map_err(corrupt)?;
        Ok(Self { version, min_code_version: row.number("min_code_version").map_err(corrupt)? })
    }

    /// The version to migrate from, for code of version `code`; newer tables that say they can be used count as its own.
    pub(super) fn check(self, code: i64) -> Result<i64, StoreError> {
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
pub(super) struct Migration {
    /// The version that the tables have afterwards.
    pub(super) version: i64,
    pub(super) sql: &'static str,
}

/// The statements that bring tables of version `found` up to the last.
pub(super) fn script(migrations: &[Migration], found: i64, prefix: &Prefix) -> String {
    let missing = migrations.iter().filter(|migration| migration.version > found);
    missing.map(|migration| prefix.apply(migration.sql)).collect()
}

/// A struct of statements, each written once with the tables' prefix in it when the store is opened.
macro_rules! statements {
    ($($(#[$why:meta])* $name:ident: $sql:expr;)*) => {
        #[derive(Debug)]
        pub(super) struct Statements {
            $($(#[$why])* pub(super) $name: sqlx::SqlStr,)*
        }

        impl Statements {
            pub(super) fn new(prefix: &$crate::store::tables::Prefix) -> Self {
                Self { $($name: prefix.statement($sql),)* }
            }
        }
    };
}

pub(super) use statements;
