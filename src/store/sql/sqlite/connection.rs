//! [`Connection`]: what the statements of a write run on, which is the writing thread's own connection or the
//! driver's.

use std::future::Future;

use futures_util::TryStreamExt as _;
use sqlx::sqlite::SqliteQueryResult;
use sqlx::{AssertSqlSafe, Either, Executor as _, SqlStr, SqliteConnection};

use super::error::failed;
use super::row::Row;
use super::rows::{arguments, query};
use crate::store::StoreError;
use crate::store::sql::value::Value;

/// A connection to the database.
pub(super) trait Connection {
    /// Runs a statement that returns no rows.
    fn execute(
        &mut self,
        statement: &SqlStr,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Changed, StoreError>> + Send;

    /// Runs a statement that returns rows.
    fn fetch(
        &mut self,
        statement: &SqlStr,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Runs a statement that returns no rows once for each of these rows of values. Its parameters are `?`
    /// without a number.
    fn execute_each<const N: usize>(
        &mut self,
        statement: &SqlStr,
        rows: &[[Value<'_>; N]],
    ) -> impl Future<Output = Result<Vec<Changed>, StoreError>> + Send;

    /// Runs a statement that returns at most one row.
    fn find(
        &mut self,
        statement: &SqlStr,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Option<Row>, StoreError>> + Send {
        let found = self.fetch(statement, values);
        async { Ok(found.await?.into_iter().next()) }
    }
}

/// The outcome of a statement that returns no rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Changed {
    pub(super) rows: u64,
    /// The number of the row that was inserted last.
    pub(super) last_row: i64,
}

impl Changed {
    /// Returns whether a row was written.
    pub(super) fn is_any(self) -> bool {
        self.rows > 0
    }
}

impl From<SqliteQueryResult> for Changed {
    fn from(done: SqliteQueryResult) -> Self {
        Self { rows: done.rows_affected(), last_row: done.last_insert_rowid() }
    }
}

impl Connection for SqliteConnection {
    async fn execute(&mut self, statement: &SqlStr, values: &[Value<'_>]) -> Result<Changed, StoreError> {
        Ok(query(statement, values).execute(self).await.map_err(failed)?.into())
    }

    async fn fetch(&mut self, statement: &SqlStr, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        let rows = query(statement, values).fetch_all(self).await.map_err(failed)?;
        Ok(rows.into_iter().map(Row::Driver).collect())
    }

    async fn execute_each<const N: usize>(
        &mut self,
        statement: &SqlStr,
        rows: &[[Value<'_>; N]],
    ) -> Result<Vec<Changed>, StoreError> {
        let mut changed = Vec::with_capacity(rows.len());
        let mut left = rows;
        while !left.is_empty() {
            let size = TOGETHER.into_iter().find(|size| *size <= left.len()).unwrap_or(1);
            let (now, later) = left.split_at(size);
            run_together(self, statement, now, &mut changed).await?;
            left = later;
        }
        Ok(changed)
    }
}

/// Sends a statement several times in one message to the connection's thread. A message makes two threads
/// wake each other, which costs more than most statements.
async fn run_together<const N: usize>(
    connection: &mut SqliteConnection,
    statement: &SqlStr,
    rows: &[[Value<'_>; N]],
    changed: &mut Vec<Changed>,
) -> Result<(), StoreError> {
    let before = changed.len();
    let text = vec![statement.as_str(); rows.len()].join(";\n");
    // The trait promises several statements for this driver; sqlx advises against them because not every
    // driver has them.
    let query = sqlx::query_with(AssertSqlSafe(text), arguments(rows.iter().flatten()));
    let mut told = connection.fetch_many(query);
    while let Some(told) = told.try_next().await.map_err(failed)? {
        if let Either::Left(done) = told {
            changed.push(done.into());
        }
    }
    match changed.len() - before == rows.len() {
        true => Ok(()),
        // The connection's thread has ended, so the transaction is rolled back.
        false => Err(failed(sqlx::Error::WorkerCrashed)),
    }
}

/// How many statements are sent together. There are only a few numbers, so that a connection prepares few
/// texts.
const TOGETHER: [usize; 3] = [32, 8, 1];
