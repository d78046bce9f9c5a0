//! The tables and functions, their version, and how an older database is brought up to it.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::failed;
use crate::store::StoreError;
use crate::store::tables::{self, Migration, Prefix, Tables};

/// Creates or migrates the tables, unless they are as this code wants them; the quoted name of the schema that they are in.
///
/// Everything happens in one transaction under a lock, so of many processes that start at once one migrates and the others
/// find it done.
pub(super) async fn migrate(connection: &mut PgConnection, prefix: &Prefix) -> Result<String, StoreError> {
    // Looked at without the lock first: who finds the tables in place needs no right to write a schema.
    let found = find(connection, prefix).await?;
    if let Some(found) = found
        && found.tables.check(CODE_VERSION)? == CODE_VERSION
    {
        return Ok(found.schema);
    }
    let mut transaction = connection.begin().await.map_err(failed)?;
    sqlx::query(
        prefix.statement("SELECT pg_advisory_xact_lock(hashtext('hookwire schema'), hashtext('{p}'))"),
    )
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    let found = find(&mut transaction, prefix).await?;
    let version = found.map_or_else(|| Ok(0), |found| found.tables.check(CODE_VERSION))?;
    let sql = AssertSqlSafe(tables::script(&MIGRATIONS, version, prefix));
    sqlx::raw_sql(sql).execute(&mut *transaction).await.map_err(failed)?;
    let found = find(&mut transaction, prefix).await?;
    transaction.commit().await.map_err(failed)?;
    Ok(found.expect("invariant: the script creates the table of versions").schema)
}

/// What [`migrate`] would run on an empty database.
pub(super) fn script(prefix: &Prefix) -> String {
    tables::script(&MIGRATIONS, 0, prefix)
}

/// What the tables' names may begin with.
pub(super) fn parse_prefix(text: &str) -> Result<Prefix, StoreError> {
    Prefix::parse(text, MAX_PREFIX, "pg_")
}

struct Found {
    /// Quoted where it has to be.
    schema: String,
    tables: Tables,
}

async fn find(connection: &mut PgConnection, prefix: &Prefix) -> Result<Option<Found>, StoreError> {
    let schema = sqlx::query(
        "SELECT quote_ident(n.nspname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.oid = to_regclass($1)",
    )
    .bind(prefix.apply("{p}schema"))
    .fetch_optional(&mut *connection)
    .await
    .map_err(failed)?;
    let Some(schema) = schema else { return Ok(None) };
    let schema: String = schema.try_get("name").map_err(failed)?;
    let sql =
        AssertSqlSafe(prefix.apply(&format!("SELECT version, min_code_version FROM {schema}.{{p}}schema")));
    let row = sqlx::query(sql).fetch_one(connection).await.map_err(failed)?;
    Ok(Some(Found { schema, tables: Tables::read(&row)? }))
}

/// The version of the tables that this code writes.
const CODE_VERSION: i64 = 1;

/// PostgreSQL cuts names at 63 bytes; the longest of ours has 25 behind the prefix.
const MAX_PREFIX: usize = 30;

/// Never change one that was released: add another, which leaves the functions of those before in place for older code that
/// still runs, and raise `min_code_version` only when older code would do harm.
const MIGRATIONS: [Migration; 1] = [Migration { version: 1, sql: include_str!("version_1.sql") }];
