//! [`Writer`]: one write transaction at a time, which the inserts and settlements that wait for it share.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex as Lock, MutexGuard as LockGuard, PoisonError};
use std::time::Duration;

use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, SqliteConnection, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};
use tokio::time::timeout;

use super::statements::Statements;
use super::{failed, queue};
use crate::store::{Inserted, NewEvent, Settled, Settlement, StoreError, StoreErrorKind};

/// The store's only way to write outside of the application's transactions.
///
/// A commit waits for the disk, and while it does more callers come; the next transaction is for all of them. Each is answered
/// when it is committed. Where one part fails everything is undone and each is written alone, so that no part fails for another.
#[derive(Debug)]
pub(super) struct Writer {
    sql: Arc<Statements>,
    pool: SqlitePool,
    // Writers wait here and not inside SQLite, where each would hold a connection and whoever polls luckiest wins.
    turn: Arc<Mutex<()>>,
    busy_timeout: Duration,
    waiting: Lock<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    parts: VecDeque<(u64, Part)>,
    /// Whether a task writes what waits.
    is_served: bool,
    last_number: u64,
}

/// What one caller wants written.
#[derive(Debug)]
enum Part {
    Insert(Vec<NewEvent>, Answer<Vec<Inserted>>),
    Settle(Vec<Settlement>, Answer<Vec<Settled>>),
}

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

impl Writer {
    pub(super) fn new(sql: Arc<Statements>, pool: SqlitePool, busy_timeout: Duration) -> Arc<Self> {
        Arc::new(Self { sql, pool, turn: Arc::default(), busy_timeout, waiting: Lock::default() })
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// A transaction of the caller's own.
    pub(super) async fn begin(&self) -> Result<Writing, StoreError> {
        // Others of this process in front count as much as another process that holds the file's lock.
        let turn =
            timeout(self.busy_timeout, Arc::clone(&self.turn).lock_owned()).await.map_err(|_| busy())?;
        let transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        Ok(Writing { transaction, _turn: turn })
    }

    pub(super) async fn insert(self: &Arc<Self>, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        self.share(|answer| Part::Insert(events.to_vec(), answer)).await
    }

    pub(super) async fn settle(
        self: &Arc<Self>,
        settlements: &[Settlement],
    ) -> Result<Vec<Settled>, StoreError> {
        self.share(|answer| Part::Settle(settlements.to_vec(), answer)).await
    }

    /// Has a part written with others. Dropped, it is written or not, as where a commit is under way.
    async fn share<T>(self: &Arc<Self>, part: impl FnOnce(Answer<T>) -> Part) -> Result<T, StoreError> {
        let (answer, mut answered) = oneshot::channel();
        let number = self.enqueue(part(answer));
        let told = match timeout(self.busy_timeout, &mut answered).await {
            Ok(told) => told,
            Err(_) if self.withdraw(number) => return Err(busy()),
            // It is being written.
            Err(_) => answered.await,
        };
        told.map_err(|_| StoreError::new(StoreErrorKind::Unavailable, "the runtime that wrote has ended"))?
    }

    fn enqueue(self: &Arc<Self>, part: Part) -> u64 {
        let mut waiting = self.waiting();
        waiting.last_number += 1;
        let number = waiting.last_number;
        waiting.parts.push_back((number, part));
        if !waiting.is_served {
            waiting.is_served = true;
            // Begun here where nobody writes, so that it waits for nobody.
            let first = Arc::clone(&self.turn).try_lock_owned().ok().map(|turn| (turn, waiting.take()));
            let serving = Serving { writer: Arc::clone(self), is_done: false };
            drop(waiting);
            // A task, because the caller's future may be dropped, and others' parts are written along.
            tokio::spawn(serving.run(first));
        }
        number
    }

    /// Whether the part was still waiting, and does no longer.
    fn withdraw(&self, number: u64) -> bool {
        let mut waiting = self.waiting();
        let place = waiting.parts.iter().position(|(waits, _)| *waits == number);
        place.and_then(|place| waiting.parts.remove(place)).is_some()
    }

    fn waiting(&self) -> LockGuard<'_, Waiting> {
        // Nothing panics between two changes that belong together.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes parts together, or each alone where one of them fails.
    async fn write(&self, parts: Vec<Part>) {
        match self.try_write(&parts).await {
            Ok(written) => written.tell(parts),
            Err(Failure::Part(_)) if parts.len() > 1 => {
                for part in parts {
                    Box::pin(self.write(vec![part])).await;
                }
            }
            Err(Failure::Part(error) | Failure::Whole(error)) => {
                parts.into_iter().for_each(|part| part.fail(error.clone()));
            }
        }
    }

    async fn try_write(&self, parts: &[Part]) -> Result<Written, Failure> {
        let whole = |error| Failure::Whole(failed(error));
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(whole)?;
        let mut events = Vec::new();
        let mut settlements = Vec::new();
        for part in parts {
            match part {
                Part::Insert(some, _) => events.extend(some),
                Part::Settle(some, _) => settlements.extend(some),
            }
        }
        let mut written = Written::default();
        if !events.is_empty() {
            written.inserted =
                queue::insert(&self.sql, &mut transaction, &events).await.map_err(Failure::Part)?;
        }
        if !settlements.is_empty() {
            written.settled =
                queue::settle(&self.sql, &mut transaction, &settlements).await.map_err(Failure::Part)?;
        }
        transaction.commit().await.map_err(whole)?;
        Ok(written)
    }
}

impl Waiting {
    /// What is written next: not too much at once, so that the first need not wait for long. Who no longer waits is left out.
    fn take(&mut self) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut rows = 0;
        while let Some((_, part)) = self.parts.pop_front_if(|_| rows < MOST_ROWS) {
            if part.is_wanted() {
                rows += part.rows();
                parts.push(part);
            }
        }
        parts
    }
}

impl Part {
    fn rows(&self) -> usize {
        match self {
            Self::Insert(events, _) => events.iter().map(|event| 1 + event.deliveries.len()).sum(),
            Self::Settle(settlements, _) => settlements.len(),
        }
    }

    fn fail(self, error: StoreError) {
        match self {
            Self::Insert(_, answer) => _ = answer.send(Err(error)),
            Self::Settle(_, answer) => _ = answer.send(Err(error)),
        }
    }

    fn is_wanted(&self) -> bool {
        match self {
            Self::Insert(_, answer) => !answer.is_closed(),
            Self::Settle(_, answer) => !answer.is_closed(),
        }
    }
}

/// The task that writes what waits, until nothing does.
struct Serving {
    writer: Arc<Writer>,
    is_done: bool,
}

impl Serving {
    async fn run(mut self, first: Option<(OwnedMutexGuard<()>, Vec<Part>)>) {
        if let Some((turn, parts)) = first {
            self.writer.write(parts).await;
            drop(turn);
        }
        while self.goes_on() {
            let turn = self.writer.turn.lock().await;
            // Those who came while another had the turn too.
            let parts = self.writer.waiting().take();
            if !parts.is_empty() {
                self.writer.write(parts).await;
            }
            drop(turn);
        }
    }

    fn goes_on(&mut self) -> bool {
        let mut waiting = self.writer.waiting();
        if waiting.parts.is_empty() {
            waiting.is_served = false;
            self.is_done = true;
        }
        !self.is_done
    }
}

/// Ended before its time, with its runtime, it tells those who wait by dropping their answers; who comes next begins anew.
impl Drop for Serving {
    fn drop(&mut self) {
        if !self.is_done {
            let mut waiting = self.writer.waiting();
            waiting.is_served = false;
            waiting.parts.clear();
        }
    }
}

/// What became of all parts together.
#[derive(Default)]
struct Written {
    inserted: Vec<Inserted>,
    settled: Vec<Settled>,
}

impl Written {
    fn tell(self, parts: Vec<Part>) {
        let (mut inserted, mut settled) = (self.inserted.into_iter(), self.settled.into_iter());
        for part in parts {
            // Whoever does not listen any more has had it written none the less.
            match part {
                Part::Insert(events, answer) => {
                    _ = answer.send(Ok(inserted.by_ref().take(events.len()).collect()));
                }
                Part::Settle(settlements, answer) => {
                    _ = answer.send(Ok(settled.by_ref().take(settlements.len()).collect()));
                }
            }
        }
    }
}

/// Why nothing was written.
enum Failure {
    /// One part failed, it is not told which.
    Part(StoreError),
    /// The transaction did.
    Whole(StoreError),
}

/// The one write transaction of this store; dropped without a commit it changes nothing.
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
    StoreError::new(StoreErrorKind::Unavailable, "others wrote for longer than the busy time-out")
}

/// Events, deliveries and settlements of one transaction.
const MOST_ROWS: usize = 2_000;
