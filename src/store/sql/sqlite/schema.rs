//! The tables, their version, and how an older database is brought up to it.

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use super::error::failed;
use crate::store::StoreError;
use crate::store::sql::tables::{self, Migration, Prefix, Tables};

/// Creates or migrates the tables if needed.
///
/// Everything happens in one immediate transaction, so of two processes that start at once one migrates and
/// the other finds it done.
pub(super) async fn migrate(connection: &mut SqliteConnection, prefix: &Prefix) -> Result<(), StoreError> {
    // Without the write lock at first, so that a process can start while another one holds the lock.
    if version(connection, prefix).await?.check(CODE_VERSION)? == CODE_VERSION {
        return Ok(());
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    let found = version(&mut transaction, prefix).await?.check(CODE_VERSION)?;
    let sql = AssertSqlSafe(tables::script(&MIGRATIONS, found, prefix));
    sqlx::raw_sql(sql).execute(&mut *transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

/// Returns the statements that [`migrate`] runs on an empty database.
pub(super) fn script(prefix: &Prefix) -> String {
    tables::script(&MIGRATIONS, 0, prefix)
}

/// Parses how the names of the tables begin.
pub(super) fn parse_prefix(text: &str) -> Result<Prefix, StoreError> {
    Prefix::parse(text, MAX_PREFIX, "sqlite_")
}

async fn version(connection: &mut SqliteConnection, prefix: &Prefix) -> Result<Tables, StoreError> {
    let exists = sqlx::query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1 COLLATE NOCASE")
        .bind(prefix.apply("{p}schema"))
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?;
    if exists.is_none() {
        return Ok(Tables::default());
    }
    let sql = AssertSqlSafe(prefix.apply("SELECT version, min_code_version FROM {p}schema"));
    Tables::read(&sqlx::query(sql).fetch_one(connection).await.map_err(failed)?)
}

/// The version of the tables that this code writes.
const CODE_VERSION: i64 = 1;

/// Long enough for any word, short enough for readable index names.
const MAX_PREFIX: usize = 40;

/// Never change a migration that was released. Add another one, and raise `min_code_version` only if older
/// code would do harm.
const MIGRATIONS: [Migration; 1] = [Migration { version: 1, sql: include_str!("version_1.sql") }];
