//! [`Script`]: statements that are sent to the connection's thread together.
//!
//! Each message there and its answer has two threads wake each other, which costs more than most statements do.

use futures_util::TryStreamExt as _;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{
    Arguments as _, AssertSqlSafe, Either, Encode, Executor as _, SqlStr, Sqlite, SqliteConnection, Type,
};

use super::failed;
use crate::store::StoreError;
use crate::store::columns::corrupt;

/// Statements in the order in which they run, and their arguments, each named once by a `?`.
///
/// Of one that fails the rest is not run.
#[derive(Default)]
pub(super) struct Script {
    sql: String,
    arguments: SqliteArguments,
    statements: usize,
    /// Which of the statements begin and end a transaction.
    frame: Vec<usize>,
}

impl Script {
    /// Begins a transaction that writes. sqlx does not know of it: who sends this sees to its end.
    pub(super) fn begin(&mut self) -> &mut Self {
        self.frame("BEGIN IMMEDIATE")
    }

    /// Ends the transaction.
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

    pub(super) async fn run(self, connection: &mut SqliteConnection) -> Result<Answers, Failure> {
        // Of the trait, which promises it: what sqlx advises against is to hope for it from any driver.
        let query = sqlx::query_with(AssertSqlSafe(self.sql), self.arguments);
        let mut told = connection.fetch_many(query);
        let mut answers = Vec::new();
        let mut rows = Vec::new();
        let mut run = 0;
        loop {
            match told.try_next().await {
                Ok(Some(Either::Right(row))) => rows.push(row),
                Ok(Some(Either::Left(done))) => {
                    let rows = std::mem::take(&mut rows);
                    if !self.frame.contains(&run) {
                        answers.push(Answer {
                            rows,
                            changed: i64::try_from(done.rows_affected()).unwrap_or(i64::MAX),
                            last_row: done.last_insert_rowid(),
                        });
                    }
                    run += 1;
                }
                Ok(None) if run == self.statements => return Ok(Answers(answers.into_iter())),
                // The connection's thread is gone, and with it whatever was not committed.
                Ok(None) => return Err(Failure::Whole(failed(sqlx::Error::WorkerCrashed))),
                Err(error) if self.frame.contains(&run) => return Err(Failure::Whole(failed(error))),
                Err(error) => return Err(Failure::Part(failed(error))),
            }
        }
    }
}

/// Why nothing was written.
pub(super) enum Failure {
    /// A statement failed, for one of those whose parts it wrote; it is not told whose.
    Part(StoreError),
    /// The transaction did.
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

/// What statements answered, in their order, but for those that begin and end a transaction.
pub(super) struct Answers(std::vec::IntoIter<Answer>);

impl Answers {
    pub(super) fn take(&mut self) -> Result<Answer, StoreError> {
        self.0.next().ok_or_else(|| corrupt("a statement was not answered"))
    }
}

/// What one statement answered.
pub(super) struct Answer {
    pub(super) rows: Vec<SqliteRow>,
    pub(super) changed: i64,
    /// The number of the row that was inserted last.
    pub(super) last_row: i64,
}

impl Answer {
    /// The only row.
    pub(super) fn row(&self) -> Result<&SqliteRow, StoreError> {
        self.rows.first().ok_or_else(|| corrupt("a statement that answers with a row had none"))
    }
}
