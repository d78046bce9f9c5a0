//! [`Script`]: statements that are sent to the connection's thread together.
//!
//! Each message makes two threads wake each other, which costs more than most statements.

use futures_util::TryStreamExt as _;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{
    Arguments as _, AssertSqlSafe, Either, Encode, Executor as _, SqlStr, Sqlite, SqliteConnection, Type,
};

use super::error::failed;
use crate::store::StoreError;
use crate::store::sql::columns::corrupt;

/// Statements in the order in which they run, and their arguments. Each `?` takes one argument.
///
/// If one fails, the rest does not run.
#[derive(Default)]
pub(super) struct Script {
    sql: String,
    arguments: SqliteArguments,
    statements: usize,
    /// The indexes of the statements that begin and end a transaction.
    frame: Vec<usize>,
}

impl Script {
    /// Adds a statement that begins a write transaction. sqlx does not track this transaction, so the caller
    /// must commit it or roll it back.
    pub(super) fn begin(&mut self) -> &mut Self {
        self.frame("BEGIN IMMEDIATE")
    }

    /// Adds a statement that commits the transaction.
    pub(super) fn commit(&mut self) -> &mut Self {
        self.frame("COMMIT")
    }

    fn frame(&mut self, sql: &str) -> &mut Self {
        self.frame.push(self.statements);
        self.add(sql)
    }

    /// Adds a statement; its arguments are bound next.
    pub(super) fn statement(&mut self, sql: &SqlStr) -> &mut Self {
        self.add(sql.as_str())
    }

    fn add(&mut self, sql: &str) -> &mut Self {
        self.statements += 1;
        self.sql.push_str(sql);
        self.sql.push_str(";\n");
        self
    }

    pub(super) fn bind<'t>(&mut self, value: impl Encode<'t, Sqlite> + Type<Sqlite>) -> &mut Self {
        self.arguments.add(value).expect("invariant: bytes, text and numbers can be bound");
        self
    }

    pub(super) async fn run(self, connection: &mut SqliteConnection) -> Result<StatementResults, Failure> {
        // The trait promises several statements for this driver; sqlx advises against them because not every
        // driver has them.
        let query = sqlx::query_with(AssertSqlSafe(self.sql), self.arguments);
        let mut told = connection.fetch_many(query);
        let mut results = Vec::new();
        let mut rows = Vec::new();
        let mut run = 0;
        loop {
            match told.try_next().await {
                Ok(Some(Either::Right(row))) => rows.push(row),
                Ok(Some(Either::Left(done))) => {
                    let rows = std::mem::take(&mut rows);
                    if !self.frame.contains(&run) {
                        results.push(StatementResult {
                            rows,
                            changed: i64::try_from(done.rows_affected()).unwrap_or(i64::MAX),
                            last_row: done.last_insert_rowid(),
                        });
                    }
                    run += 1;
                }
                Ok(None) if run == self.statements => return Ok(StatementResults(results.into_iter())),
                // The connection's thread has ended, so the transaction is rolled back.
                Ok(None) => return Err(Failure::Whole(failed(sqlx::Error::WorkerCrashed))),
                Err(error) if self.frame.contains(&run) => return Err(Failure::Whole(failed(error))),
                Err(error) => return Err(Failure::Part(failed(error))),
            }
        }
    }
}

/// An error after which nothing was written.
pub(super) enum Failure {
    /// A statement failed. It is not known which caller's part caused it.
    Part(StoreError),
    /// BEGIN or COMMIT failed, or the connection did.
    Whole(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Part(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Part(error) | Failure::Whole(error) => error,
        }
    }
}

/// The results of statements in order, without those that begin and end a transaction.
pub(super) struct StatementResults(std::vec::IntoIter<StatementResult>);

impl StatementResults {
    pub(super) fn take(&mut self) -> Result<StatementResult, StoreError> {
        self.0.next().ok_or_else(|| corrupt("a statement returned no result"))
    }
}

/// The result of one statement.
pub(super) struct StatementResult {
    pub(super) rows: Vec<SqliteRow>,
    pub(super) changed: i64,
    /// The number of the row that was inserted last.
    pub(super) last_row: i64,
}

impl StatementResult {
    /// Returns the only row.
    pub(super) fn row(&self) -> Result<&SqliteRow, StoreError> {
        self.rows.first().ok_or_else(|| corrupt("a statement that returns a row returned none"))
    }
}
