//! The tables and functions, their version, and how an older database is brought up to it.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Postgres, Row as _, Transaction};
use uuid::Uuid;

use super::errors::{code, failed};
use super::refusal::{Refusal, Steps};
use super::session::literal;
use crate::store::sql::tables::{self, Migration, Prefix, Tables};
use crate::store::{StoreError, StoreErrorKind};

/// The tables of a store.
pub(super) struct Place {
    /// The name of their schema, quoted if needed.
    pub(super) schema: String,
    pub(super) identity: String,
}

/// Creates or migrates the tables if needed, in the schema `wanted` or else in the first one of the search
/// path, and returns where they are.
///
/// Everything happens in one transaction under a lock: when many processes start at once, one of them
/// migrates and the others find it done. Statements are not prepared, because a pooler may stand before the
/// server. After an error, the connection has to be closed.
pub(super) async fn migrate(
    connection: &mut PgConnection,
    prefix: &Prefix,
    wanted: Option<&str>,
    steps: &Steps,
) -> Result<Place, StoreError> {
    // Without the lock at first: a role that finds the tables in place needs no right to create them.
    let looked = async {
        let found = find(connection, prefix, wanted).await?;
        if let Some(found) = found
            && found.tables.check(CODE_VERSION)? == CODE_VERSION
            && misled(connection, prefix, &found.place.schema).await?.is_empty()
        {
            return Ok::<_, StoreError>(Some(found.place));
        }
        Ok(None)
    };
    if let Some(place) = steps.wait("its tables were looked for", looked).await? {
        return Ok(place);
    }
    let locked = async {
        // In another isolation level, the transaction would not see what was committed while it waited.
        let mut transaction = connection.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        let lock = "SELECT pg_advisory_xact_lock(hashtext('hookwire schema'), hashtext('{p}'))";
        transaction.execute(prefix.statement(lock)).await?;
        Ok(transaction)
    };
    let doing = "the lock was waited for that another process holds while it creates or migrates the tables";
    let transaction = steps.wait(doing, async { locked.await.map_err(failed) }).await?;
    steps.wait("its tables were created or migrated", create(transaction, prefix, wanted)).await
}

/// Creates or migrates the tables if another process has not done so meanwhile.
async fn create(
    mut transaction: Transaction<'_, Postgres>,
    prefix: &Prefix,
    wanted: Option<&str>,
) -> Result<Place, StoreError> {
    let found = find(&mut transaction, prefix, wanted).await?;
    let schema = found.as_ref().map(|found| found.place.schema.clone()).or_else(|| wanted.map(quoted));
    if let Some(schema) = &schema {
        let path = AssertSqlSafe(format!("SET LOCAL search_path = {schema}"));
        transaction.execute(path).await.map_err(failed)?;
    }
    let version = found.as_ref().map_or_else(|| Ok(0), |found| found.tables.check(CODE_VERSION))?;
    if version < CODE_VERSION {
        let sql = AssertSqlSafe(tables::script(&MIGRATIONS, version, prefix));
        transaction.execute(sql).await.map_err(not_created)?;
    }
    let found = find(&mut transaction, prefix, wanted).await?;
    let place = found.expect("invariant: the script creates the table of versions").place;
    lead_back(&mut transaction, prefix, &place.schema).await?;
    transaction.commit().await.map_err(failed)?;
    Ok(place)
}

/// Has the functions find the tables of their own schema again, after it was renamed, or restored under
/// another name. Until then they would read and write the tables of a schema that has the old name.
async fn lead_back(connection: &mut PgConnection, prefix: &Prefix, schema: &str) -> Result<(), StoreError> {
    let misled = misled(connection, prefix, schema).await?;
    if let Some((name, _)) = misled.iter().find(|(_, is_missing)| *is_missing) {
        let text =
            format!("schema {schema} has the tables without their function {name}: restore all of them");
        return Err(Refusal::for_good(StoreErrorKind::Schema, text).into());
    }
    if misled.is_empty() {
        return Ok(());
    }
    connection.execute(AssertSqlSafe(prefix.apply(SETTINGS))).await.map(drop).map_err(|error| {
        match code(&error).as_deref() {
            Some(NOT_PERMITTED) => {
                let text = format!(
                    "schema {schema} was renamed or restored under another name, and this role does not own its \
                     functions: open the store once as their owner, which has them find their tables again"
                );
                Refusal::for_good(StoreErrorKind::Schema, text).with_cause(error).into()
            }
            _ => failed(error),
        }
    })
}

/// Returns the functions that are missing (true), or that look for their tables in another schema.
async fn misled(
    connection: &mut PgConnection,
    prefix: &Prefix,
    schema: &str,
) -> Result<Vec<(String, bool)>, StoreError> {
    let names: Vec<_> = functions().map(|name| literal(&prefix.apply(&format!("{{p}}{name}")))).collect();
    let sql = format!(
        "SELECT f.name, p.oid IS NULL AS is_missing FROM unnest(ARRAY[{}]) AS f (name) \
         LEFT JOIN pg_proc p ON p.oid = to_regproc({} || f.name) \
         WHERE p.oid IS NULL OR NOT coalesce({} = ANY (p.proconfig), false)",
        names.join(", "),
        literal(&format!("{schema}.")),
        literal(&format!("search_path={schema}, pg_temp")),
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await.map_err(failed)?;
    rows.iter()
        .map(|row| Ok((row.try_get("name")?, row.try_get("is_missing")?)))
        .collect::<Result<_, _>>()
        .map_err(failed)
}

/// The functions that have settings.
fn functions() -> impl Iterator<Item = &'static str> {
    let (_, names) =
        SETTINGS.split_once("ARRAY ARRAY[").expect("invariant: the settings begin with their list");
    names.split(']').next().unwrap_or_default().split('\'').filter(|name| name.ends_with("_1"))
}

/// Says which right or schema is missing where the tables could not be created.
fn not_created(error: sqlx::Error) -> StoreError {
    let (kind, text) = match code(&error).as_deref() {
        Some(NOT_PERMITTED) => (
            StoreErrorKind::Backend,
            "the tables do not exist, and this role may not create them: GRANT CREATE ON SCHEMA to it, or apply \
             PostgresStore::schema_sql as another role",
        ),
        Some("3F000") => (
            StoreErrorKind::Schema,
            "there is no schema for the tables: create the one of with_schema, or the first one of search_path",
        ),
        _ => return failed(error),
    };
    Refusal::for_good(kind, text).with_cause(error).into()
}

/// Returns an identifier in quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
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
    place: Place,
    tables: Tables,
}

async fn find(
    connection: &mut PgConnection,
    prefix: &Prefix,
    wanted: Option<&str>,
) -> Result<Option<Found>, StoreError> {
    let table = prefix.apply("{p}schema");
    let table = wanted.map_or_else(|| table.clone(), |schema| format!("{}.{table}", quoted(schema)));
    let sql = format!(
        "SELECT quote_ident(n.nspname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.oid = to_regclass({})",
        literal(&table)
    );
    let schema = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_optional(&mut *connection).await.map_err(failed)?;
    let Some(schema) = schema else { return Ok(None) };
    let schema: String = schema.try_get("name").map_err(failed)?;
    let sql = prefix.apply(&format!("SELECT version, min_code_version, identity FROM {schema}.{{p}}schema"));
    let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(connection).await.map_err(failed)?;
    let identity = row.try_get::<Uuid, _>("identity").map_err(failed)?.to_string();
    Ok(Some(Found { place: Place { schema, identity }, tables: Tables::read(&row)? }))
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
    include_str!("version_1/version.sql"),
);

const SETTINGS: &str = include_str!("version_1/settings.sql");

/// The code of a missing right.
const NOT_PERMITTED: &str = "42501";

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
