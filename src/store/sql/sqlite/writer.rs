//! [`Writer`]: one write transaction at a time, shared by the inserts, settlements, stored requests and
//! claims that wait for it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, SqliteConnection, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};
use tokio::time::timeout;

use super::error::failed;
use super::parts::{Failure, PutHealth, Transactions, Write, Written, write, write_all};
use super::statements::Statements;
use super::thread::{File, Thread, Work};
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
        file: File,
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
        let transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        Ok(Writing { transaction, _turn: turn })
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
        let result = match timeout(self.busy_timeout, &mut receiver).await {
            Ok(result) => result,
            Err(_) if self.waiting.withdraw(number) => return Err(busy()),
            // It is being written.
            Err(_) => receiver.await,
        };
        result.map_err(|_| self.ended())?
    }

    fn join(self: &Arc<Self>, part: Write) -> u64 {
        let (number, serves) = self.waiting.join(part);
        match &self.thread {
            // A thread that has ended writes nothing. Dropping the part tells its caller.
            Some(thread) if serves && !thread.wake() => drop(Serving::new(&self.waiting)),
            None if serves => _ = tokio::spawn(Arc::clone(self).serve()),
            _ => {}
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

    async fn serve(self: Arc<Self>) {
        let mut serving = Serving::new(&self.waiting);
        while serving.goes_on() {
            let _turn = self.turn.lock().await;
            // Include the writes that arrived while this task waited for the lock.
            let parts = self.waiting.take();
            write_all(&mut OnPool { sql: &self.sql, pool: &self.pool }, parts).await;
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
        let whole = |error| Failure::Whole(failed(error));
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(whole)?;
        let written = write(self.sql, &mut *transaction, parts).await.map_err(Failure::Part)?;
        transaction.commit().await.map_err(whole)?;
        Ok(written)
    }
}

/// The one write transaction of this store. If it is dropped without a commit, it changes nothing.
pub(super) struct Writing {
    transaction: Transaction<'static, Sqlite>,
    _turn: OwnedMutexGuard<()>,
}

impl Writing {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        self.transaction.commit().await.map_err(failed)
    }
}

fn busy() -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        "the write lock was not free within the busy timeout; see with_busy_timeout",
    )
}
