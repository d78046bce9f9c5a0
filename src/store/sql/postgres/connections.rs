//! [`Connections`]: the pool, and how a statement is run on one of its connections.

use std::io;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPool, PgPoolOptions, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{Connection as _, Executor as _, Row as _};
use tokio::time::timeout;

use crate::store::sql::columns::fault;
use crate::store::{StoreError, StoreErrorKind};

/// The pool, and whether its transactions have the isolation level that the functions need.
pub(super) struct Connections {
    pool: PgPool,
    /// Each statement of a function has to see everything that was committed before it. Only `READ COMMITTED`
    /// gives that.
    is_read_committed: bool,
    call_timeout: Duration,
}

impl Connections {
    /// Opens a pool of the store's own.
    pub(super) async fn connect(
        options: PgConnectOptions,
        max_connections: u32,
        acquire_timeout: Duration,
        call_timeout: Duration,
    ) -> Result<Self, StoreError> {
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("hookwire"),
        };
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(acquire_timeout)
            // A ping is a round trip, so only a connection that was idle for a while gets one.
            .test_before_acquire(false)
            .before_acquire(|connection, metadata| {
                Box::pin(async move {
                    if metadata.idle_for >= PING_AFTER_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(|connection, _| {
                Box::pin(async move {
                    connection.execute("SET default_transaction_isolation = 'read committed'").await?;
                    Ok(())
                })
            })
            .connect_with(options)
            .await
            .map_err(failed)?;
        Ok(Self { pool, is_read_committed: true, call_timeout })
    }

    /// Takes a pool of the application.
    pub(super) async fn on(pool: PgPool, call_timeout: Duration) -> Result<Self, StoreError> {
        let row = sqlx::query("SHOW default_transaction_isolation").fetch_one(&pool).await.map_err(failed)?;
        let level: &str = row.try_get(0).map_err(failed)?;
        let is_read_committed = level == "read committed";
        Ok(Self { pool, is_read_committed, call_timeout })
    }

    pub(super) const fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// Runs a statement in a transaction of its own, and repeats it after a deadlock or a serialization
    /// failure.
    pub(super) async fn rows(
        &self,
        query: impl Fn() -> Query<'static, Postgres, PgArguments> + Send,
    ) -> Result<Vec<PgRow>, StoreError> {
        let mut left = TRIES;
        loop {
            left -= 1;
            match self.once(query()).await {
                Err(error) if left > 0 && is_conflict(&error) => {}
                result => return result.map_err(failed),
            }
        }
    }

    async fn once(&self, query: Query<'static, Postgres, PgArguments>) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        if self.is_read_committed {
            // A single statement is a transaction that ends with it, also when nobody waits for it any more.
            let answer = timeout(self.call_timeout, query.fetch_all(&mut *connection)).await;
            return answer.unwrap_or_else(|_elapsed| {
                // A ping would hang as well, so close it.
                connection.close_on_drop();
                Err(silent())
            });
        }
        let mut guard = TransactionGuard(Some(connection));
        let connection = guard.connection();
        let answer = async {
            connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
            let rows = query.fetch_all(&mut **connection).await?;
            connection.execute("COMMIT").await?;
            Ok(rows)
        };
        let rows = timeout(self.call_timeout, answer).await.unwrap_or_else(|_elapsed| Err(silent()))?;
        guard.0 = None;
        Ok(rows)
    }
}

/// The error of a call without an answer. When the server's machine has failed, no answer ever comes and no
/// error either.
fn silent() -> sqlx::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the database gave no answer").into()
}

/// Closes the connection on drop unless the transaction has ended. A pool that got it back would hand it out
/// with the transaction open: dropping a transaction of sqlx 0.9 in the middle of `BEGIN` does not roll it
/// back.
struct TransactionGuard(Option<PoolConnection<Postgres>>);

impl TransactionGuard {
    fn connection(&mut self) -> &mut PoolConnection<Postgres> {
        self.0.as_mut().expect("invariant: it is taken at the end")
    }
}

impl Drop for TransactionGuard {
    fn drop(&mut self) {
        if let Some(mut connection) = self.0.take() {
            connection.close_on_drop();
        }
    }
}

fn is_conflict(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| [DEADLOCK, SERIALIZATION_FAILURE].contains(&code.as_str()))
}

pub(super) fn failed(error: sqlx::Error) -> StoreError {
    fault(error, kind_of)
}

/// The kind of an error by its code: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn kind_of(code: &str) -> StoreErrorKind {
    match code {
        DEADLOCK | SERIALIZATION_FAILURE => StoreErrorKind::Unavailable,
        // Read-only after a failover; a lock or a statement that took too long.
        "25006" | "55P03" | "57014" => StoreErrorKind::Unavailable,
        // A table, schema or function that does not exist.
        "42P01" | "3F000" | "42883" => StoreErrorKind::Schema,
        // Connection failure; out of memory, disk or connections; shutdown or start; I/O error.
        _ if ["08", "53", "57P", "58"].iter().any(|class| code.starts_with(class)) => {
            StoreErrorKind::Unavailable
        }
        _ => StoreErrorKind::Backend,
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

const DEADLOCK: &str = "40P01";
const SERIALIZATION_FAILURE: &str = "40001";
/// How often a statement is run before its conflict is reported.
const TRIES: u32 = 5;
/// A connection that was idle for less is taken to be alive.
const PING_AFTER_IDLE: Duration = Duration::from_secs(1);
