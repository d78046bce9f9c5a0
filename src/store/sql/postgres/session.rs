//! [`Session`]: the server and the session that a connection leads to, and whether several connections share
//! sessions.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use tokio::time::timeout;

use super::refusal::Refusal;
use crate::store::StoreErrorKind;

/// How a pooler between a store and its database lends out sessions.
///
/// The names are those of PgBouncer's setting `pool_mode`. In its third mode, `statement`, no store can be
/// opened, because a transaction needs a session until it ends.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum PoolMode {
    /// The store finds out when it is opened, by comparing the sessions of two connections.
    #[default]
    Detect,
    /// Each connection has a session of its own, as it has without a pooler.
    Session,
    /// Each transaction may be in another session, which other clients use before and after it. The store
    /// leaves nothing behind in a session: it prepares no statements, sets nothing and does not listen. A
    /// call takes four round trips instead of one.
    Transaction,
}

/// The server and the session that a connection led to when it was opened.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) process: i32,
    /// When the session began, which tells it from a later one of the same process number.
    began: Option<String>,
    /// When the server was started, which tells it from others.
    pub(super) started: String,
    /// Whether transactions are `READ COMMITTED` unless they say otherwise.
    pub(super) is_read_committed: bool,
}

impl Session {
    /// Reads what a connection leads to. Refuses a server on which the store could not write.
    pub(super) async fn read(connection: &mut PgConnection) -> Result<Self, Refusal> {
        let row = one(connection, READ).await.map_err(Refusal::of_driver)?;
        let read = || -> Result<_, sqlx::Error> {
            let session = Self {
                process: row.try_get("process")?,
                began: row.try_get("began")?,
                started: row.try_get("started")?,
                is_read_committed: row.try_get("is_read_committed")?,
            };
            let (is_standby, is_read_only) = (row.try_get("is_standby")?, row.try_get("is_read_only")?);
            Ok((session, is_standby, is_read_only, row.try_get::<String, _>("encoding")?))
        };
        let (session, is_standby, is_read_only, encoding): (_, bool, bool, _) =
            read().map_err(Refusal::of_driver)?;
        if is_standby {
            return Err(Refusal::for_now(
                "the server is a standby, which only reads: connect to the primary, by a name or an address that \
                 follows it",
            ));
        }
        if is_read_only {
            return Err(Refusal::for_now(
                "the server lets this role only read: default_transaction_read_only is on, for the server, the \
                 database or the role",
            ));
        }
        if !ENCODINGS.contains(&encoding.as_str()) {
            return Err(Refusal::for_good(
                StoreErrorKind::Backend,
                format!(
                    "the database has the encoding {encoding}, which cannot hold every text: use a database with \
                     the encoding UTF8"
                ),
            ));
        }
        Ok(session)
    }

    /// Returns whether this session still works for a call that waits for its answer. `None` if no server
    /// answers, or if it has no room to be asked.
    ///
    /// It does not if the server that a new connection leads to has no such session. Nor does it if the
    /// session has been idle for a while: then the statement or its answer was lost on the way.
    pub(super) async fn is_working(&self, options: &PgConnectOptions) -> Option<bool> {
        let sql = format!(
            "SELECT {STARTED} = '{}' AND EXISTS (SELECT FROM pg_stat_activity WHERE pid = {} \
             AND (state NOT LIKE 'idle%' OR clock_timestamp() - state_change < '{LOST_AFTER}') IS NOT FALSE) \
             AS is_working",
            self.started, self.process
        );
        let ask = async {
            let mut connection = options.connect().await.ok()?;
            let row = one(&mut connection, sql).await.ok()?;
            _ = connection.close().await;
            row.try_get("is_working").ok()
        };
        timeout(SCOUT_TIMEOUT, ask).await.ok()?
    }

    /// Cancels the statement that this session runs, on a connection beside it. Returns whether the server
    /// was reached.
    pub(super) async fn cancel(&self, beside: &mut PgConnection) -> bool {
        let Some(began) = &self.began else { return true };
        let sql = format!(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_get_activity({}) \
             WHERE {STARTED} = '{}' AND extract(epoch FROM backend_start)::text = '{began}'",
            self.process, self.started
        );
        let cancelled = sqlx::raw_sql(AssertSqlSafe(sql)).execute(beside);
        timeout(SCOUT_TIMEOUT, cancelled).await.is_ok_and(|cancelled| cancelled.is_ok())
    }
}

/// Returns whether a pooler gives a connection's transactions sessions that others use as well.
///
/// Two connections of which each has a session of its own never meet in one, and none changes its session.
/// They are asked twice each, because a pooler might lend its sessions in turn.
pub(super) async fn shares_sessions(
    first: &mut PgConnection,
    options: &PgConnectOptions,
) -> Result<bool, sqlx::Error> {
    // Where it is not known, sessions count as shared, which is slower and never wrong.
    let mut second = match timeout(SCOUT_TIMEOUT, options.connect()).await {
        Ok(Ok(second)) => second,
        // The server itself has no room for another connection. A pooler words it otherwise.
        Ok(Err(error)) if is_full(&error) => return Ok(false),
        _ => return Ok(true),
    };
    let shares = timeout(SCOUT_TIMEOUT, meet(first, &mut second)).await;
    _ = timeout(SCOUT_TIMEOUT, second.close()).await;
    shares.unwrap_or(Ok(true))
}

/// Returns whether two connections meet in one session.
async fn meet(first: &mut PgConnection, second: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let mut sessions = [BTreeSet::new(), BTreeSet::new()];
    for _ in 0..ROUNDS {
        for (connection, sessions) in [&mut *first, &mut *second].into_iter().zip(&mut sessions) {
            for _ in 0..2 {
                let row = one(connection, "SELECT pg_backend_pid() AS process").await?;
                sessions.insert(row.try_get::<i32, _>("process")?);
            }
        }
        let [of_first, of_second] = &sessions;
        if of_first.len() > 1 || of_second.len() > 1 || !of_first.is_disjoint(of_second) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_full(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == TOO_MANY_CONNECTIONS)
}

/// Refuses a pooler in whose mode a transaction has no session until its end.
pub(super) async fn check_transactions(connection: &mut PgConnection) -> Result<(), Refusal> {
    for statement in ["BEGIN", "SELECT 1", "COMMIT"] {
        if let Err(error) = sqlx::raw_sql(statement).execute(&mut *connection).await {
            let text = "the pooler allows no transactions (pool_mode = statement): set pool_mode to transaction or \
                        session";
            return Err(Refusal::for_good(StoreErrorKind::Backend, text).with_cause(error));
        }
    }
    Ok(())
}

/// Runs a statement without parameters and without preparing it, which a pooler could send to two sessions.
pub(super) async fn one(connection: &mut PgConnection, sql: impl Into<String>) -> Result<PgRow, sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).fetch_one(connection).await
}

/// Returns a text as a literal, whatever the settings of the session are.
pub(super) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

const STARTED: &str = "extract(epoch FROM pg_postmaster_start_time())::text";

const READ: &str = "SELECT pg_backend_pid() AS process, \
    (SELECT extract(epoch FROM backend_start)::text FROM pg_stat_get_activity(pg_backend_pid())) AS began, \
    extract(epoch FROM pg_postmaster_start_time())::text AS started, pg_is_in_recovery() AS is_standby, \
    current_setting('transaction_read_only') = 'on' AS is_read_only, \
    current_setting('default_transaction_isolation') = 'read committed' AS is_read_committed, \
    current_setting('server_encoding') AS encoding";

/// A large answer may be on its way for some seconds after the session is idle.
const LOST_AFTER: &str = "5 s";

/// In `SQL_ASCII` the server stores the bytes that it gets, and the store gives it UTF-8.
const ENCODINGS: [&str; 2] = ["UTF8", "SQL_ASCII"];

/// How often each of the two connections is asked, twice in a row.
const ROUNDS: u32 = 4;

const TOO_MANY_CONNECTIONS: &str = "53300";

/// How long a connection beside the others may take.
pub(super) const SCOUT_TIMEOUT: Duration = Duration::from_secs(2);
