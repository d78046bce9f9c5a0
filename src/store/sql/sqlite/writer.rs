//! [`Writer`]: one write transaction at a time, shared by the inserts, settlements, stored requests and
//! claims that wait for it.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqlitePool;
use sqlx::{Executor as _, Sqlite, SqliteConnection};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};
use tokio::time::timeout;

use super::error::{failed, is_busy};
use super::native::DatabaseFile;
use super::parts::{Failure, PutHealth, Transactions, Write, Written, write, write_all};
use super::statements::Statements;
use super::thread::{First, Thread, Work};
use crate::store::sql::waiting::{ReplySender, Serving, Waiting, runtime_ended};
use crate::store::{
    Claim, Claims, HealthWritten, Inserted, NewEvent, Settled, Settlement, StoreError, StoreErrorKind,
    Stored, StoredRequest,
};

/// The store's only way to write outside of the application's transactions.
///
/// Callers get their results after the commit. If a part fails, everything is rolled back and each part is
/// written alone, so that no part fails because of another.
#[derive(Debug)]
pub(super) struct Writer {
    sql: Arc<Statements>,
    pool: SqlitePool,
    // Writers queue here: SQLite's own wait is unfair and holds a connection for each.
    turn: Arc<Mutex<()>>,
    busy_timeout: Duration,
    waiting: Arc<Waiting<Write>>,
    /// The thread that writes what callers share. A store on the application's pool has none, because it
    /// does not know how to open another connection like the pool's.
    thread: Option<Thread>,
}

impl Writer {
    /// Makes a writer that uses connections of the application's pool.
    pub(super) fn on_pool(sql: Arc<Statements>, pool: SqlitePool, busy_timeout: Duration) -> Arc<Self> {
        let (turn, waiting) = (Arc::default(), Arc::new(Waiting::new()));
        Arc::new(Self { sql, pool, turn, busy_timeout, waiting, thread: None })
    }

    /// Makes a writer with a thread of its own. `pool` is for the transactions of single callers.
    pub(super) fn on_thread(
        sql: Arc<Statements>,
        pool: SqlitePool,
        busy_timeout: Duration,
        file: DatabaseFile,
    ) -> Result<Arc<Self>, StoreError> {
        let (turn, waiting) = (Arc::default(), Arc::new(Waiting::new()));
        let work = Work::new(Arc::clone(&sql), file, Arc::clone(&turn), Arc::clone(&waiting));
        let thread = Some(Thread::start(work)?);
        Ok(Arc::new(Self { sql, pool, turn, busy_timeout, waiting, thread }))
    }

    pub(super) async fn close(&self) {
        if let Some(thread) = &self.thread {
            thread.end().await;
        }
        self.pool.close().await;
    }

    /// Begins a transaction for the caller alone.
    pub(super) async fn begin(&self) -> Result<Writing, StoreError> {
        // The busy timeout also covers the wait for other writers of this process.
        let turn =
            timeout(self.busy_timeout, Arc::clone(&self.turn).lock_owned()).await.map_err(|_| busy())?;
        Ok(Writing { begun: Begun::begin(&self.pool).await?, _turn: turn })
    }

    pub(super) async fn insert(self: &Arc<Self>, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        self.share(|reply| Write::Insert(events.to_vec(), reply)).await
    }

    pub(super) async fn settle(
        self: &Arc<Self>,
        settlements: &[Settlement],
    ) -> Result<Vec<Settled>, StoreError> {
        self.share(|reply| Write::Settle(settlements.to_vec(), reply)).await
    }

    /// Leases due deliveries. Settlements of the same transaction are written first, so the next delivery of
    /// an ordering key can be claimed at once.
    pub(super) async fn claim(self: &Arc<Self>, claim: &Claim) -> Result<Claims, StoreError> {
        self.share(|reply| Write::Claim(claim.clone(), reply)).await
    }

    pub(super) async fn store_requests(
        self: &Arc<Self>,
        requests: &[StoredRequest],
    ) -> Result<Vec<Stored>, StoreError> {
        self.share(|reply| Write::StoreRequests(requests.to_vec(), reply)).await
    }

    pub(super) async fn put_health(self: &Arc<Self>, put: PutHealth) -> Result<HealthWritten, StoreError> {
        self.share(|reply| Write::Health(put, reply)).await
    }

    /// Writes a part together with others. If the future is dropped, the part may still be written.
    async fn share<T>(self: &Arc<Self>, part: impl FnOnce(ReplySender<T>) -> Write) -> Result<T, StoreError> {
        let (reply, mut receiver) = oneshot::channel();
        let number = self.join(part(reply));
        // A store without patience still waits for the writes of this process that came before.
        let result = match timeout(self.busy_timeout.max(LEAST_WAIT), &mut receiver).await {
            Ok(result) => result,
            Err(_) if self.waiting.withdraw(number) => return Err(busy()),
            // It is being written.
            Err(_) => receiver.await,
        };
        result.map_err(|_| self.ended())?
    }

    fn join(self: &Arc<Self>, part: Write) -> u64 {
        if self.thread.as_ref().is_some_and(Thread::is_ending) {
            // Dropping the part tells its caller.
            return 0;
        }
        let (number, serves) = self.waiting.join(part);
        if serves {
            // If the lock is free, take it here, so that no other writer comes first, and so that the caller
            // does not give up before the thread is awake.
            let turn = Arc::clone(&self.turn).try_lock_owned().ok();
            let first = turn.map(|turn| (turn, self.waiting.take()));
            match &self.thread {
                Some(thread) => {
                    if !thread.wake(first) {
                        drop(Serving::new(&self.waiting));
                    }
                }
                None => _ = tokio::spawn(Arc::clone(self).serve(first)),
            }
        }
        number
    }

    fn ended(&self) -> StoreError {
        match &self.thread {
            Some(_) => StoreError::new(
                StoreErrorKind::Unavailable,
                "the store was closed before the write was committed, or the write panicked",
            ),
            None => runtime_ended(),
        }
    }

    async fn serve(self: Arc<Self>, first: Option<First>) {
        let mut serving = Serving::new(&self.waiting);
        let mut database = OnPool { sql: &self.sql, pool: &self.pool };
        if let Some((_turn, parts)) = first {
            write_all(&mut database, parts).await;
        }
        while serving.goes_on() {
            let _turn = self.turn.lock().await;
            // Include the writes that arrived while this task waited for the lock.
            let parts = self.waiting.take();
            if !parts.is_empty() {
                write_all(&mut database, parts).await;
            }
        }
    }
}

/// The transactions of a writer without a thread.
struct OnPool<'a> {
    sql: &'a Statements,
    pool: &'a SqlitePool,
}

impl Transactions for OnPool<'_> {
    async fn commit(&mut self, parts: &[Write]) -> Result<Written, Failure> {
        let mut begun = Begun::begin(self.pool).await.map_err(Failure::Whole)?;
        let written = write(self.sql, &mut *begun.connection, parts).await.map_err(Failure::Part)?;
        begun.end("COMMIT").await.map_err(Failure::Whole)?;
        Ok(written)
    }
}

/// The one write transaction of this store. If it is dropped without a commit, it changes nothing.
pub(super) struct Writing {
    begun: Begun,
    _turn: OwnedMutexGuard<()>,
}

impl Writing {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.begun.connection
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        self.begun.end("COMMIT").await
    }

    /// Undoes the transaction, and frees the lock for the next write. Where it is dropped instead, the next
    /// one may have to wait for the lock.
    pub(super) async fn roll_back(self) -> Result<(), StoreError> {
        self.begun.end("ROLLBACK").await
    }
}

/// A transaction that sqlx does not track. On a full disk, SQLite ends a transaction by itself; sqlx would
/// then refuse to begin another one.
struct Begun {
    connection: PoolConnection<Sqlite>,
    is_over: bool,
}

impl Begun {
    async fn begin(pool: &SqlitePool) -> Result<Self, StoreError> {
        let mut begun = Self { connection: pool.acquire().await.map_err(failed)?, is_over: false };
        let began = begun.connection.execute("BEGIN IMMEDIATE").await;
        if let Err(error) = &began
            && !is_busy(error)
        {
            // Its state is not known.
            begun.connection.close_on_drop();
        }
        began.map(|_| begun).map_err(failed)
    }

    async fn end(mut self, statement: &'static str) -> Result<(), StoreError> {
        self.connection.execute(statement).await.map_err(failed)?;
        self.is_over = true;
        Ok(())
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.is_over {
            // The first poll sends the statement to the connection's thread, which runs it before any later
            // one. It fails where SQLite has ended the transaction.
            let _ = pin!(self.connection.execute("ROLLBACK")).poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}

fn busy() -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        "the write lock was not free within the busy timeout; see with_busy_timeout",
    )
}

/// How long a write waits for those of this process at least.
const LEAST_WAIT: Duration = Duration::from_secs(1);
