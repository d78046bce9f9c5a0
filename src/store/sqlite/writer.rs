//! [`Writer`]: one write transaction at a time, which the inserts, settlements, kept requests and claims that wait for it share.

use std::sync::Arc;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, SqliteConnection, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};
use tokio::time::timeout;

use super::queue::Ends;
use super::script::{Failure, Script};
use super::statements::Statements;
use super::{failed, intake, queue};
use crate::store::waiting::{Answer, Part, Serving, Waiting, gone};
use crate::store::{
    Claim, Claimed, Claims, Inserted, Kept, KeptRequest, NewEvent, Settled, Settlement, StoreError,
    StoreErrorKind,
};

/// The store's only way to write outside of the application's transactions.
///
/// Each part is answered when it is committed. Where one fails everything is undone and each is written alone, so that no part
/// fails for another.
#[derive(Debug)]
pub(super) struct Writer {
    sql: Arc<Statements>,
    pool: SqlitePool,
    // Writers wait here and not inside SQLite, where each would hold a connection and whoever polls luckiest wins.
    turn: Arc<Mutex<()>>,
    busy_timeout: Duration,
    waiting: Waiting<Write>,
}

/// What one caller wants written.
#[derive(Debug)]
enum Write {
    Insert(Vec<NewEvent>, Answer<Vec<Inserted>>),
    Settle(Vec<Settlement>, Answer<Vec<Settled>>),
    Claim(Claim, Answer<Claims>),
    Keep(Vec<KeptRequest>, Answer<Vec<Kept>>),
}

impl Writer {
    pub(super) fn new(sql: Arc<Statements>, pool: SqlitePool, busy_timeout: Duration) -> Arc<Self> {
        Arc::new(Self { sql, pool, turn: Arc::default(), busy_timeout, waiting: Waiting::new() })
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
        self.share(|answer| Write::Insert(events.to_vec(), answer)).await
    }

    pub(super) async fn settle(
        self: &Arc<Self>,
        settlements: &[Settlement],
    ) -> Result<Vec<Settled>, StoreError> {
        self.share(|answer| Write::Settle(settlements.to_vec(), answer)).await
    }

    /// What was settled in the same transaction makes room: the next of an ordering key can be claimed at once.
    pub(super) async fn claim(self: &Arc<Self>, claim: &Claim) -> Result<Claims, StoreError> {
        self.share(|answer| Write::Claim(claim.clone(), answer)).await
    }

    pub(super) async fn keep(self: &Arc<Self>, requests: &[KeptRequest]) -> Result<Vec<Kept>, StoreError> {
        self.share(|answer| Write::Keep(requests.to_vec(), answer)).await
    }

    /// Has a part written with others. Dropped, it is written or not, as where a commit is under way.
    async fn share<T>(self: &Arc<Self>, part: impl FnOnce(Answer<T>) -> Write) -> Result<T, StoreError> {
        let (answer, mut answered) = oneshot::channel();
        let number = self.join(part(answer));
        let told = match timeout(self.busy_timeout, &mut answered).await {
            Ok(told) => told,
            Err(_) if self.waiting.withdraw(number) => return Err(busy()),
            // It is being written.
            Err(_) => answered.await,
        };
        told.map_err(|_| gone())?
    }

    fn join(self: &Arc<Self>, part: Write) -> u64 {
        let (number, serves) = self.waiting.join(part);
        if serves {
            // Begun here where nobody writes, so that it waits for nobody.
            let turn = Arc::clone(&self.turn).try_lock_owned().ok();
            let first = turn.map(|turn| (turn, self.waiting.take()));
            tokio::spawn(Arc::clone(self).serve(first));
        }
        number
    }

    async fn serve(self: Arc<Self>, first: Option<(OwnedMutexGuard<()>, Vec<Write>)>) {
        let mut serving = Serving::new(&self.waiting);
        if let Some((turn, parts)) = first {
            self.write(parts).await;
            drop(turn);
        }
        while serving.goes_on() {
            let turn = self.turn.lock().await;
            // Those who came while another had the turn too.
            let parts = self.waiting.take();
            if !parts.is_empty() {
                self.write(parts).await;
            }
            drop(turn);
        }
    }

    /// Writes parts together, or each alone where one of them fails.
    async fn write(&self, parts: Vec<Write>) {
        match self.try_write(&parts).await {
            Ok(written) => {
                let unheard = written.tell(parts);
                if !unheard.is_empty() {
                    // Nobody will send them: due again at once, and not when their leases end.
                    let (answer, _) = oneshot::channel();
                    _ = self.try_write(&[Write::Settle(unheard, answer)]).await;
                }
            }
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

    async fn try_write(&self, parts: &[Write]) -> Result<Written, Failure> {
        let connection = self.pool.acquire().await.map_err(|error| Failure::Whole(failed(error)))?;
        let mut begun = Begun { connection, is_over: false };
        let written = self.write_in(&mut begun.connection, parts).await;
        match written {
            Ok(_) => begun.is_over = true,
            Err(_) => begun.roll_back().await,
        }
        written
    }

    /// Begins a transaction on the connection, and commits it.
    async fn write_in(&self, connection: &mut SqliteConnection, parts: &[Write]) -> Result<Written, Failure> {
        let mut events = Vec::new();
        let mut settlements = Vec::new();
        let mut claims = Vec::new();
        let mut requests = Vec::new();
        for part in parts {
            match part {
                Write::Insert(some, _) => events.extend(some),
                Write::Settle(some, _) => settlements.extend(some),
                Write::Claim(claim, _) => claims.push(claim),
                Write::Keep(some, _) => requests.extend(some),
            }
        }
        // What could not be handed out has to be due again: the leases are committed after everything was read.
        let ends = if requests.is_empty() && claims.len() <= 1 { Ends::Here } else { Ends::Later };
        let mut claims = claims.into_iter();
        let queue::Written { inserted, settled, claimed, is_committed } =
            queue::write(&self.sql, connection, ends, &events, &settlements, claims.next()).await?;
        let mut written =
            Written { inserted, settled, kept: Vec::new(), claimed: claimed.into_iter().collect() };
        if !requests.is_empty() {
            written.kept = intake::keep(&self.sql, connection, &requests).await?;
        }
        for claim in claims {
            written.claimed.push(queue::claim(&self.sql, connection, claim).await?);
        }
        if !is_committed {
            let mut script = Script::default();
            script.commit();
            script.run(connection).await?;
        }
        Ok(written)
    }
}

/// A connection with a transaction that sqlx does not know of: begun and ended by a pool and a transaction of sqlx's, each would have
/// threads wait for each other twice.
struct Begun {
    connection: PoolConnection<Sqlite>,
    is_over: bool,
}

impl Begun {
    async fn roll_back(&mut self) {
        let rolled_back = sqlx::query("ROLLBACK").execute(&mut *self.connection).await;
        let was_none = |error: &dyn DatabaseError| error.message().contains("no transaction is active");
        self.is_over = match rolled_back {
            Ok(_) => true,
            Err(error) => error.as_database_error().is_some_and(was_none),
        };
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.is_over {
            // The transaction ends with its connection.
            self.connection.close_on_drop();
        }
    }
}

impl Write {
    fn fail(self, error: StoreError) {
        match self {
            Self::Insert(_, answer) => _ = answer.send(Err(error)),
            Self::Settle(_, answer) => _ = answer.send(Err(error)),
            Self::Claim(_, answer) => _ = answer.send(Err(error)),
            Self::Keep(_, answer) => _ = answer.send(Err(error)),
        }
    }
}

impl Part for Write {
    fn rows(&self) -> usize {
        match self {
            Self::Insert(events, _) => events.iter().map(|event| 1 + event.deliveries.len()).sum(),
            Self::Settle(settlements, _) => settlements.len(),
            Self::Claim(claim, _) => claim.shares.iter().map(|share| share.limit as usize).sum(),
            Self::Keep(requests, _) => requests.len(),
        }
    }

    fn is_wanted(&self) -> bool {
        match self {
            Self::Insert(_, answer) => !answer.is_closed(),
            Self::Settle(_, answer) => !answer.is_closed(),
            Self::Claim(_, answer) => !answer.is_closed(),
            Self::Keep(_, answer) => !answer.is_closed(),
        }
    }
}

/// What became of all parts together.
struct Written {
    inserted: Vec<Inserted>,
    settled: Vec<Settled>,
    kept: Vec<Kept>,
    claimed: Vec<Claims>,
}

impl Written {
    /// Tells everybody; what was claimed for somebody who does not listen any more is to be handed back.
    fn tell(self, parts: Vec<Write>) -> Vec<Settlement> {
        let mut unheard = Vec::new();
        let Self { inserted, settled, kept, claimed } = self;
        let (mut inserted, mut settled) = (inserted.into_iter(), settled.into_iter());
        let (mut kept, mut claimed) = (kept.into_iter(), claimed.into_iter());
        for part in parts {
            // Whoever does not listen any more has had it written none the less.
            match part {
                Write::Insert(events, answer) => {
                    _ = answer.send(Ok(inserted.by_ref().take(events.len()).collect()));
                }
                Write::Settle(settlements, answer) => {
                    _ = answer.send(Ok(settled.by_ref().take(settlements.len()).collect()));
                }
                Write::Claim(claim, answer) => {
                    if let Err(Ok(claims)) = answer.send(Ok(claimed.next().unwrap_or_default())) {
                        let hand_back = |claimed: &Claimed| {
                            Settlement::hand_back(claimed.delivery, claimed.lease, claim.now)
                        };
                        unheard.extend(claims.deliveries.iter().map(hand_back));
                    }
                }
                Write::Keep(requests, answer) => {
                    _ = answer.send(Ok(kept.by_ref().take(requests.len()).collect()));
                }
            }
        }
        unheard
    }
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
