//! The tables and functions, their version, and how an older database is brought up to it.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::connections::failed;
use crate::store::StoreError;
use crate::store::sql::tables::{self, Migration, Prefix, Tables};

/// Creates or migrates the tables if needed, and returns the name of their schema, quoted if needed.
///
/// Everything happens in one transaction under a lock: when many processes start at once, one of them
/// migrates and the others find it done.
pub(super) async fn migrate(connection: &mut PgConnection, prefix: &Prefix) -> Result<String, StoreError> {
    // Without the lock at first: a role that finds the tables in place needs no right to create them.
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

/// Returns the statements that [`migrate`] runs on an empty database.
pub(super) fn script(prefix: &Prefix) -> String {
    tables::script(&MIGRATIONS, 0, prefix)
}

/// Parses how the names of the tables begin.
pub(super) fn parse_prefix(text: &str) -> Result<Prefix, StoreError> {
    Prefix::parse(text, MAX_PREFIX, "pg_")
}

struct Found {
    /// Quoted if needed.
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

/// The version of the tables that this code creates.
const CODE_VERSION: i64 = 1;

/// PostgreSQL cuts names at 63 bytes, and the longest of ours has 26 after the prefix.
const MAX_PREFIX: usize = 30;

/// Never change a migration that was released. Add another one that keeps the functions of the versions
/// before, because older code may still run, and raise `min_code_version` only if older code would do harm.
const MIGRATIONS: [Migration; 1] = [Migration { version: 1, sql: VERSION_1 }];

const VERSION_1: &str = concat!(
    include_str!("version_1/tables.sql"),
    include_str!("version_1/time.sql"),
    include_str!("version_1/subscriptions.sql"),
    include_str!("version_1/order.sql"),
    include_str!("version_1/insert.sql"),
    include_str!("version_1/look.sql"),
    include_str!("version_1/claim.sql"),
    include_str!("version_1/settle.sql"),
    include_str!("version_1/cancel.sql"),
    include_str!("version_1/expire.sql"),
    include_str!("version_1/replay.sql"),
    include_str!("version_1/retention.sql"),
    include_str!("version_1/inbox.sql"),
    include_str!("version_1/intake.sql"),
    include_str!("version_1/settings.sql"),
);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::sql::postgres::statements::{OWN_WORDING, Statements};
    use crate::store::sql::postgres::values::DIALECT;

    #[test]
    fn each_function_is_short_and_says_what_it_guarantees() {
        let lines: Vec<_> = VERSION_1.lines().collect();
        let begins = |line: &str| line.starts_with("CREATE FUNCTION");
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| begins(line)) {
            assert!(at > 0 && lines[at - 1].starts_with("-- "), "{line}");
            let length = 1 + lines[at..].iter().position(|line| *line == "$body$;").unwrap();
            assert!(length <= 60, "{line}: {length} lines");
        }
    }

    #[test]
    fn each_function_that_a_statement_calls_has_its_settings() {
        let (_, settings) = VERSION_1.split_once("FOREACH v_name IN ARRAY ARRAY[").unwrap();
        let (settings, _) = settings.split_once(']').unwrap();
        let settings: BTreeSet<_> = settings.split('\'').filter(|name| name.ends_with("_1")).collect();
        let prefix = parse_prefix("p_").unwrap();
        let statements = format!("{:?} {}", Statements::new(&DIALECT, &prefix), prefix.apply(OWN_WORDING));
        let called: BTreeSet<_> = statements
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .filter_map(|word| word.strip_prefix("p_"))
            .filter(|name| name.ends_with("_1") && !["now_1", "later_1"].contains(name))
            .collect();
        assert_eq!(called, settings);
    }
}
