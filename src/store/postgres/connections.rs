//! [`Connections`]: the pool, and how a statement is run on one of its connections.

use std::io;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPool, PgPoolOptions, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{Connection as _, Executor as _, Row as _};
use tokio::time::timeout;

use crate::store::columns::fault;
use crate::store::{StoreError, StoreErrorKind};

/// The pool, and whether its transactions are as the functions need them.
pub(super) struct Connections {
    pool: PgPool,
    /// Each statement of a function has to see what was committed before it, which other isolation levels do not give.
    is_read_committed: bool,
    call_timeout: Duration,
}

impl Connections {
    /// A pool of the store's own.
    pub(super) async fn connect(
        options: PgConnectOptions,
        most: u32,
        acquire_timeout: Duration,
        call_timeout: Duration,
    ) -> Result<Self, StoreError> {
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("hookwire"),
        };
        let pool = PgPoolOptions::new()
            .max_connections(most)
            .acquire_timeout(acquire_timeout)
            // Asked only where it may have gone: each question is a round trip.
            .test_before_acquire(false)
            .before_acquire(|connection, metadata| {
                Box::pin(async move {
                    if metadata.idle_for >= ASK_AFTER {
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

    /// The application's own pool.
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

    /// What a statement gives, in a transaction of its own that is repeated where others were in its way.
    pub(super) async fn rows(
        &self,
        query: impl Fn() -> Query<'static, Postgres, PgArguments> + Send,
    ) -> Result<Vec<PgRow>, StoreError> {
        let mut left = TRIES;
        loop {
            left -= 1;
            match self.once(query()).await {
                Err(error) if left > 0 && is_conflict(&error) => {}
                told => return told.map_err(failed),
            }
        }
    }

    async fn once(&self, query: Query<'static, Postgres, PgArguments>) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        if self.is_read_committed {
            // A transaction of its own that begins and ends with it, whether or not anybody waits for it.
            let answer = timeout(self.call_timeout, query.fetch_all(&mut *connection)).await;
            return answer.unwrap_or_else(|_elapsed| {
                // Asked whether it lives, it would not say so either.
                connection.close_on_drop();
                Err(silent())
            });
        }
        let mut whole = Whole(Some(connection));
        let connection = whole.connection();
        let answer = async {
            connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
            let rows = query.fetch_all(&mut **connection).await?;
            connection.execute("COMMIT").await?;
            Ok(rows)
        };
        let rows = timeout(self.call_timeout, answer).await.unwrap_or_else(|_elapsed| Err(silent()))?;
        whole.0 = None;
        Ok(rows)
    }
}

/// A server that went without a word, as when its machine did, would be waited for until somebody ends the process.
fn silent() -> sqlx::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the database gave no answer").into()
}

/// A connection in a transaction, which is closed and not given back unless the transaction has ended: dropped in the middle of
/// `BEGIN` a transaction of sqlx 0.9 is left open.
struct Whole(Option<PoolConnection<Postgres>>);

impl Whole {
    fn connection(&mut self) -> &mut PoolConnection<Postgres> {
        self.0.as_mut().expect("invariant: it is taken at the end")
    }
}

impl Drop for Whole {
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

/// By PostgreSQL's codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn kind_of(code: &str) -> StoreErrorKind {
    match code {
        DEADLOCK | SERIALIZATION_FAILURE => StoreErrorKind::Unavailable,
        // Failed over to a server that only reads; a lock or the statement took too long.
        "25006" | "55P03" | "57014" => StoreErrorKind::Unavailable,
        // No such table, schema or function.
        "42P01" | "3F000" | "42883" => StoreErrorKind::Schema,
        // The connection failed; out of memory, disk or connections; shut down or starting; a fault of the disk.
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
/// How often a statement is run before a conflict is told.
const TRIES: u32 = 5;
/// A connection that was used later than this is taken to be alive.
const ASK_AFTER: Duration = Duration::from_secs(1);
