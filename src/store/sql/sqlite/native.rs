//! [`Native`]: the writing thread's own connection, by SQLite's interface.

use std::future::{Future, ready};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{CachedStatement, OpenFlags};
use sqlx::SqlStr;
use sqlx::sqlite::SqliteSynchronous;

use super::connection::{Changed, Connection};
use super::error::failed_natively;
use super::row::{Cell, Row};
use crate::store::StoreError;
use crate::store::sql::value::Value;

/// The database file, and how it is opened.
#[derive(Clone, Debug)]
pub(super) struct DatabaseFile {
    pub(super) path: PathBuf,
    pub(super) synchronous: SqliteSynchronous,
    pub(super) busy_timeout: Duration,
}

/// A connection whose statements run on the caller's thread. Its futures are ready at once.
#[derive(Debug)]
pub(super) struct Native {
    connection: rusqlite::Connection,
    /// The number by which SQLite tells that another connection has written, and when it last did.
    version: i64,
    last_company: Option<Instant>,
}

impl Native {
    /// Opens a database that exists.
    pub(super) fn open(file: &DatabaseFile) -> Result<Self, StoreError> {
        let open = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX
                | OpenFlags::SQLITE_OPEN_URI
                | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
            let connection = rusqlite::Connection::open_with_flags(&file.path, flags)?;
            connection.busy_timeout(file.busy_timeout)?;
            connection.pragma_update(None, "synchronous", synchronous_name(&file.synchronous))?;
            connection.pragma_update(None, "temp_store", "MEMORY")?;
            connection.pragma_update(None, "foreign_keys", "ON")?;
            // One plan for each statement, whatever is bound. Else SQLite plans again for each `LIMIT ?`.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
            connection.set_prepared_statement_cache_capacity(MOST_PREPARED);
            Ok(Self { connection, version: 0, last_company: None })
        };
        open().map_err(failed_natively)
    }

    /// Begins a transaction that may write.
    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        self.run("BEGIN IMMEDIATE")?;
        let version =
            || self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0));
        let version = version().map_err(failed_natively)?;
        if std::mem::replace(&mut self.version, version) != version {
            self.last_company = Some(Instant::now());
        }
        Ok(())
    }

    /// Whether another connection has written within this time.
    pub(super) fn has_company(&self, within: Duration) -> bool {
        self.last_company.is_some_and(|last| last.elapsed() < within)
    }

    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        self.run("COMMIT")
    }

    /// Ends a transaction, if there is one.
    pub(super) fn roll_back(&mut self) -> Result<(), StoreError> {
        if self.connection.is_autocommit() { Ok(()) } else { self.run("ROLLBACK") }
    }

    fn run(&self, statement: &str) -> Result<(), StoreError> {
        let run = || self.connection.prepare_cached(statement)?.raw_execute();
        run().map(drop).map_err(failed_natively)
    }

    fn bound(&self, statement: &SqlStr, values: &[Value<'_>]) -> rusqlite::Result<CachedStatement<'_>> {
        let mut statement = self.connection.prepare_cached(statement.as_str())?;
        bind(&mut statement, values)?;
        Ok(statement)
    }

    fn fetch_now(&self, statement: &SqlStr, values: &[Value<'_>]) -> rusqlite::Result<Vec<Row>> {
        let mut statement = self.bound(statement, values)?;
        let mut found = statement.raw_query();
        let mut rows = Vec::new();
        let mut names: Arc<[Box<str>]> = Arc::default();
        while let Some(row) = found.next()? {
            if rows.is_empty() {
                // After the first step, which reads the tables anew if they were changed.
                names = row.as_ref().column_names().into_iter().map(Box::from).collect();
            }
            let cells = (0..names.len()).map(|place| row.get_ref(place).map(Cell::from));
            rows.push(Row::Own(Arc::clone(&names), cells.collect::<Result<_, _>>()?));
        }
        Ok(rows)
    }

    fn changed(&self, rows: usize) -> Changed {
        Changed { rows: rows as u64, last_row: self.connection.last_insert_rowid() }
    }
}

impl Connection for Native {
    fn execute(
        &mut self,
        statement: &SqlStr,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Changed, StoreError>> + Send {
        let execute = || self.bound(statement, values)?.raw_execute();
        ready(execute().map(|rows| self.changed(rows)).map_err(failed_natively))
    }

    fn fetch(
        &mut self,
        statement: &SqlStr,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send {
        ready(self.fetch_now(statement, values).map_err(failed_natively))
    }

    fn execute_each<const N: usize>(
        &mut self,
        statement: &SqlStr,
        rows: &[[Value<'_>; N]],
    ) -> impl Future<Output = Result<Vec<Changed>, StoreError>> + Send {
        let execute = || -> rusqlite::Result<Vec<Changed>> {
            let mut statement = self.connection.prepare_cached(statement.as_str())?;
            let run = |values: &[Value<'_>; N]| {
                bind(&mut statement, values)?;
                Ok(self.changed(statement.raw_execute()?))
            };
            rows.iter().map(run).collect()
        };
        ready(execute().map_err(failed_natively))
    }
}

fn bind(statement: &mut CachedStatement<'_>, values: &[Value<'_>]) -> rusqlite::Result<()> {
    for (value, place) in values.iter().zip(1..) {
        match *value {
            Value::Id(id) => statement.raw_bind_parameter(place, &id.to_be_bytes()[..])?,
            Value::Number(number) => statement.raw_bind_parameter(place, number)?,
            Value::Text(text) => statement.raw_bind_parameter(place, text)?,
            Value::Bytes(bytes) => statement.raw_bind_parameter(place, bytes)?,
        }
    }
    Ok(())
}

fn synchronous_name(synchronous: &SqliteSynchronous) -> &'static str {
    match synchronous {
        SqliteSynchronous::Off => "OFF",
        SqliteSynchronous::Normal => "NORMAL",
        SqliteSynchronous::Full => "FULL",
        SqliteSynchronous::Extra => "EXTRA",
    }
}

/// More than the statements that the writing thread runs.
const MOST_PREPARED: usize = 64;
