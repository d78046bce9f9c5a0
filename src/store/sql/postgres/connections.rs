//! [`Connections`]: how a statement is run on a connection of the store's own or of the application's pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgPool, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::errors::{failed, is_clash, is_conflict, is_lost, is_of_connection, leaves_usable};
use super::pool::{Held as OwnHeld, Identity, Pool, UNWANTED_PATIENCE, Wanted, closed, is_silence, silent};
use super::refusal::{Refusal, Steps};
use super::session::{PoolMode, Session, check_transactions, shares_sessions};
use crate::store::StoreError;

/// The connections of a store, and how their sessions may be used.
pub(super) struct Connections {
    source: Source,
    /// Whether a pooler gives each transaction a session that others use as well.
    is_shared: AtomicBool,
    call_timeout: Duration,
}

enum Source {
    Own(Arc<Pool>),
    Application {
        pool: PgPool,
        /// Whether its transactions are `READ COMMITTED` by default. Each statement of a function has to see
        /// everything that was committed before it, and no other level gives that.
        is_read_committed: bool,
    },
}

impl Connections {
    /// Opens a pool of the store's own.
    pub(super) async fn connect(
        options: PgConnectOptions,
        most: u32,
        acquire_timeout: Duration,
        call_timeout: Duration,
        mode: PoolMode,
    ) -> Result<Self, StoreError> {
        // Poolers refuse parameters that they do not know, and nothing here is a floating point number.
        let options = options.extra_float_digits(None);
        let pool = Arc::new(Pool::new(options, most, acquire_timeout));
        Self::new(Source::Own(pool), call_timeout, mode).await
    }

    /// Takes a pool of the application.
    pub(super) async fn on(pool: PgPool, call_timeout: Duration, mode: PoolMode) -> Result<Self, StoreError> {
        let source = Source::Application { pool, is_read_committed: false };
        Self::new(source, call_timeout, mode).await
    }

    async fn new(source: Source, call_timeout: Duration, mode: PoolMode) -> Result<Self, StoreError> {
        let mut connections = Self { source, is_shared: AtomicBool::new(false), call_timeout };
        let steps = connections.steps();
        // Closed unless all goes well: an answer may still be on its way.
        let mut call = Call::new(connections.acquire().await?, call_timeout).closes();
        let is_shared = match mode {
            PoolMode::Detect => {
                let options = connections.options();
                shares_sessions(call.connection(), &options).await.map_err(Refusal::of_driver)?
            }
            PoolMode::Session => false,
            PoolMode::Transaction => true,
        };
        if is_shared {
            let doing = "it was asked whether the pooler allows transactions";
            steps.wait(doing, check_transactions(call.connection())).await?;
        }
        connections.is_shared.store(is_shared, Ordering::Relaxed);
        if let Source::Application { is_read_committed, .. } = &mut connections.source {
            let doing = "its settings were read";
            *is_read_committed = steps.wait(doing, Session::read(call.connection())).await?.is_read_committed;
        }
        call.give_back();
        Ok(connections)
    }

    /// Returns the time limit of the steps by which a store is opened.
    pub(super) fn steps(&self) -> Steps {
        Steps::new(&self.options(), self.call_timeout)
    }

    /// Sets how connections that are opened from now on prove that they lead to the store's tables. Those of
    /// an application's pool do not.
    pub(super) fn recognize(&self, identity: Identity) {
        if let Source::Own(pool) = &self.source {
            pool.recognize(identity);
        }
    }

    /// Returns the options of the connections.
    pub(super) fn options(&self) -> PgConnectOptions {
        match &self.source {
            Source::Own(pool) => pool.options().clone(),
            Source::Application { pool, .. } => pool.connect_options().as_ref().clone(),
        }
    }

    /// Returns whether a pooler gives each transaction a session that others use as well. Then nothing may be
    /// left behind in one: no prepared statement, no setting, no `LISTEN`.
    pub(super) fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
    }

    /// Returns whether statements on the application's own connections may be prepared under names.
    pub(super) fn may_prepare_for_application(&self, mode: PoolMode) -> bool {
        match mode {
            PoolMode::Detect => !self.is_shared(),
            PoolMode::Session => true,
            PoolMode::Transaction => false,
        }
    }

    pub(super) async fn close(&self) {
        match &self.source {
            Source::Own(pool) => pool.close().await,
            Source::Application { pool, .. } => pool.close().await,
        }
    }

    /// Waits until the store is closed.
    pub(super) async fn closed(&self) {
        match &self.source {
            Source::Own(pool) => pool.closed().await,
            Source::Application { pool, .. } => pool.close_event().await,
        }
    }

    /// Takes a connection, for the statements by which a store is opened.
    pub(super) async fn begin(&self) -> Result<Call, StoreError> {
        Ok(Call::new(self.acquire().await?, self.call_timeout))
    }

    /// Runs a statement in a transaction of its own. Repeats it after a deadlock, after a serialization
    /// failure, and on another connection if the fault is the connection's.
    pub(super) async fn rows(
        &self,
        query: impl Fn() -> Query<'static, Postgres, PgArguments> + Send,
    ) -> Result<Vec<PgRow>, StoreError> {
        let mut left = TRIES;
        loop {
            left -= 1;
            let call = Call::new(self.acquire().await?, self.call_timeout);
            match self.once(query(), call).await {
                Err(error) if left > 0 && is_of_connection(&error) => self.note(&error, left),
                Err(error) if left > 0 && is_conflict(&error) => {}
                result => return result.map_err(failed),
            }
        }
    }

    /// Draws the conclusion from prepared statements that clash: a pooler that was not there when the store
    /// was opened, or not noticed.
    fn note(&self, error: &sqlx::Error, left: u32) {
        let is_lost_again = left < TRIES - 1 && is_lost(error);
        if is_clash(error) || is_lost_again {
            self.is_shared.store(true, Ordering::Relaxed);
        }
    }

    async fn once(
        &self,
        query: Query<'static, Postgres, PgArguments>,
        mut call: Call,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let session = call.session().cloned();
        let is_shared = self.is_shared();
        let is_read_committed = match (&self.source, &session) {
            (Source::Application { is_read_committed, .. }, _) => *is_read_committed,
            (Source::Own(_), session) => session.as_ref().is_some_and(|session| session.is_read_committed),
        };
        let answer = if is_read_committed && !is_shared {
            // A single statement is a transaction that ends with it, also when nobody waits for it any more.
            self.answered(query.fetch_all(call.connection()), session).await
        } else {
            let limit = self.call_timeout;
            // Nobody else may get the transaction if nobody waits for this call any more.
            call.closes = true;
            let query = query.persistent(!is_shared);
            let answer = in_transaction(call.connection(), query, limit);
            self.answered(answer, session.filter(|_| !is_shared)).await
        };
        match &answer {
            Err(error) if is_silence(error) => call.abandon(),
            Err(error) if !leaves_usable(error) => call.close(),
            Err(_) if call.closes => call.roll_back().await,
            _ => call.give_back(),
        }
        answer
    }

    /// Waits for an answer as long as one can come.
    async fn answered<T>(
        &self,
        answer: impl Future<Output = Result<T, sqlx::Error>>,
        session: Option<Session>,
    ) -> Result<T, sqlx::Error> {
        match (&self.source, session) {
            (Source::Own(pool), Some(session)) => {
                pool.answered(answer, &session, self.call_timeout, Wanted::Yes).await
            }
            _ => timeout(self.call_timeout, answer).await.unwrap_or_else(|_elapsed| Err(silent())),
        }
    }

    async fn acquire(&self) -> Result<Held, StoreError> {
        let pool = match &self.source {
            Source::Own(pool) => return Ok(Held::Own(pool.acquire().await?)),
            Source::Application { pool, .. } => pool,
        };
        let deadline = Instant::now() + pool.options().get_acquire_timeout();
        let mut patience = FIRST_PATIENCE;
        loop {
            // While the server has no room for one connection more, the driver keeps asking for it. Another
            // call may find a connection that became free meanwhile.
            let is_last = Instant::now() + patience >= deadline;
            match timeout(patience, pool.acquire()).await {
                Ok(Ok(connection)) => return Ok(Held::Application(connection)),
                Ok(Err(error @ (sqlx::Error::Database(_) | sqlx::Error::Io(_)))) => {
                    return Err(Refusal::of_connecting(error, &pool.connect_options()).into());
                }
                Ok(Err(sqlx::Error::PoolClosed)) => return Err(closed()),
                Ok(Err(error)) => return Err(failed(error)),
                Err(_elapsed) if is_last => {
                    let waited = pool.options().get_acquire_timeout();
                    return Err(Refusal::of_application_pool(waited).into());
                }
                Err(_elapsed) => patience = (2 * patience).min(deadline - Instant::now()),
            }
        }
    }
}

/// A transaction around one statement, which the server cancels after `limit`: when the call has given it up,
/// nobody else could, because the session behind a pooler is not known. A lower limit of the role's own
/// stays, and the next transaction in the session has its own limit again.
async fn in_transaction(
    connection: &mut PgConnection,
    query: Query<'static, Postgres, PgArguments>,
    limit: Duration,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let limit = limit.as_millis().clamp(1, i32::MAX as u128);
    // One message, so that the limit takes no round trip of its own.
    let begin = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT set_config('statement_timeout', '{limit}', true) \
         WHERE current_setting('statement_timeout')::interval NOT BETWEEN '1 ms' AND '{limit} ms'"
    );
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut *connection).await?;
    let rows = query.fetch_all(&mut *connection).await?;
    connection.execute("COMMIT").await?;
    Ok(rows)
}

/// A connection in use.
enum Held {
    Own(OwnHeld),
    Application(PoolConnection<Postgres>),
}

/// A connection that a call uses. If the call is dropped, the connection is given back or closed.
pub(super) struct Call {
    held: Option<Held>,
    /// Whether the connection is closed on drop: a pool that got it back would hand it out with a transaction
    /// open. Dropping a transaction of sqlx 0.9 in the middle of `BEGIN` does not roll it back.
    closes: bool,
    patience: Duration,
}

impl Call {
    const fn new(held: Held, patience: Duration) -> Self {
        Self { held: Some(held), closes: false, patience }
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        match self.held.as_mut().expect("invariant: it is taken at the end") {
            Held::Own(held) => held.connection(),
            Held::Application(connection) => connection,
        }
    }

    /// Closes the connection unless it is given back.
    pub(super) const fn closes(mut self) -> Self {
        self.closes = true;
        self
    }

    fn session(&self) -> Option<&Session> {
        match self.held.as_ref()? {
            Held::Own(held) => Some(held.session()),
            Held::Application(_) => None,
        }
    }

    pub(super) fn give_back(mut self) {
        match self.held.take() {
            Some(Held::Own(held)) => held.give_back(),
            // The driver gives it back.
            Some(Held::Application(connection)) => drop(connection),
            None => {}
        }
    }

    fn close(mut self) {
        self.closes = true;
    }

    /// Closes the connection, and cancels the statement that runs on it where that is possible. The sessions
    /// of an application's pool are not known.
    fn abandon(mut self) {
        match self.held.take() {
            Some(Held::Own(held)) => held.abandon(),
            held => {
                self.held = held;
                self.closes = true;
            }
        }
    }

    /// Ends a transaction in which a statement failed.
    async fn roll_back(mut self) {
        let ended = timeout(self.patience, self.connection().execute("ROLLBACK")).await;
        if ended.is_ok_and(|ended| ended.is_ok()) {
            self.give_back();
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        match self.held.take() {
            Some(Held::Own(held)) if self.closes => held.close(),
            Some(Held::Own(held)) => held.give_back_after_answer(self.patience),
            Some(Held::Application(mut connection)) if self.closes => connection.close_on_drop(),
            Some(Held::Application(connection)) => give_back_after_answer(connection, self.patience),
            None => {}
        }
    }
}

/// Gives a connection back to the application's pool after the answer that nobody waits for any more. The
/// driver would wait for it without a limit.
fn give_back_after_answer(mut connection: PoolConnection<Postgres>, patience: Duration) {
    let Ok(runtime) = Handle::try_current() else { return connection.close_on_drop() };
    runtime.spawn(async move {
        let patience = patience.min(UNWANTED_PATIENCE);
        if !timeout(patience, connection.ping()).await.is_ok_and(|answer| answer.is_ok()) {
            connection.close_on_drop();
        }
    });
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Connections");
        match &self.source {
            Source::Own(pool) => debug.field("pool", pool),
            Source::Application { pool, .. } => debug.field("pool", pool),
        };
        debug.field("is_shared", &self.is_shared()).finish_non_exhaustive()
    }
}

/// How often a statement is run before its conflict is reported.
const TRIES: u32 = 5;
/// How long a call waits in an application's pool before it asks again; then twice as long, and so on. It
/// leaves enough time for a connection that takes long.
const FIRST_PATIENCE: Duration = Duration::from_millis(250);
