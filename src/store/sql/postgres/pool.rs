//! [`Pool`]: the store's own connections.
//!
//! The driver's pool gives up a call when the server refuses one connection more, although there are others;
//! it forgets why no connection could be made; and it waits without a limit for a connection that is given
//! back to a server that has died.

use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::refusal::{Lasts, Refusal};
use super::session::{SCOUT_TIMEOUT, Session, one};
use crate::store::{StoreError, StoreErrorKind};

/// Connections to one server, opened when they are needed and used by one call at a time.
pub(super) struct Pool {
    options: PgConnectOptions,
    most: usize,
    acquire_timeout: Duration,
    /// One for each connection that the pool may have at the moment.
    permits: Arc<Semaphore>,
    state: Mutex<State>,
    /// How many connections are open.
    open: Arc<watch::Sender<usize>>,
    closed: watch::Sender<bool>,
    /// Held while one call asks whether its session still works for it.
    scouting: tokio::sync::Mutex<()>,
}

struct State {
    idle: Vec<Idle>,
    /// How many connections the pool may have at the moment: fewer than asked for if the server refused more.
    capacity: usize,
    /// When the server last refused a connection because it has too many, or the pool last made room for one.
    refused_at: Instant,
    /// When a connection last failed. Those that were idle then may have failed as well.
    failed_at: Option<Instant>,
    identity: Option<Identity>,
}

/// How the tables of the store are recognized.
#[derive(Clone)]
pub(super) struct Identity {
    /// A statement that returns the identity of the tables.
    pub(super) sql: String,
    pub(super) identity: String,
}

struct Idle {
    link: Link,
    since: Instant,
}

/// An open connection.
struct Link {
    connection: PgConnection,
    session: Session,
    opened: Instant,
    _counted: Counted,
}

/// Counts an open connection.
struct Counted(Arc<watch::Sender<usize>>);

impl Counted {
    fn new(open: &Arc<watch::Sender<usize>>) -> Self {
        open.send_modify(|open| *open += 1);
        Self(Arc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

/// A connection that a call uses.
pub(super) struct Held {
    link: Link,
    permit: OwnedSemaphorePermit,
    pool: Arc<Pool>,
}

impl Held {
    pub(super) const fn connection(&mut self) -> &mut PgConnection {
        &mut self.link.connection
    }

    pub(super) const fn session(&self) -> &Session {
        &self.link.session
    }

    /// Gives the connection back, as good as it was.
    pub(super) fn give_back(self) {
        let Self { link, permit, pool } = self;
        pool.put(link);
        drop(permit);
    }

    /// Closes the connection. Others may have failed as well.
    pub(super) fn close(self) {
        let Self { link, permit, pool } = self;
        pool.state().failed_at = Some(Instant::now());
        link.close(Some(permit));
    }

    /// Closes the connection of a call that got no answer in time, and cancels its statement, which would
    /// otherwise go on without an end and hold its locks.
    ///
    /// The statement may have been committed at this moment, and so may a settlement whose call has failed
    /// already. That is safe: the caller was told that the call may have been carried out. When it is
    /// repeated, an event is a duplicate, and a settlement counts only with the row's last lease.
    pub(super) fn abandon(self) {
        self.pool.state().failed_at = Some(Instant::now());
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            self.pool.cancel(&self.link.session).await;
            self.close();
        });
    }

    /// Gives the connection back after the answer that nobody waits for any more, if it comes soon. Until
    /// then other calls lack the connection.
    pub(super) fn give_back_after_answer(mut self, patience: Duration) {
        // Without a runtime, nothing could read the answer.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            let Link { connection, session, .. } = &mut self.link;
            let patience = patience.min(UNWANTED_PATIENCE);
            match self.pool.answered(connection.ping(), session, patience, Wanted::No).await {
                Ok(()) => self.give_back(),
                Err(_) => self.abandon(),
            }
        });
    }
}

/// Whether somebody waits for an answer.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Wanted {
    Yes,
    No,
}

/// The error of a call without an answer. When the server's machine has failed, no answer ever comes and no
/// error either.
pub(super) fn silent() -> sqlx::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the database gave no answer").into()
}

/// Returns whether an error is that of a call without an answer.
pub(super) fn is_silence(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut)
}

impl Pool {
    pub(super) fn new(options: PgConnectOptions, most: u32, acquire_timeout: Duration) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let state = State {
            idle: Vec::new(),
            capacity: most,
            refused_at: Instant::now(),
            failed_at: None,
            identity: None,
        };
        Self {
            options,
            most,
            acquire_timeout,
            permits: Arc::new(Semaphore::new(most)),
            state: Mutex::new(state),
            open: Arc::new(watch::Sender::new(0)),
            closed: watch::Sender::new(false),
            scouting: tokio::sync::Mutex::default(),
        }
    }

    pub(super) const fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// Sets how the connections that are opened from now on prove that they lead to the store's tables.
    pub(super) fn recognize(&self, identity: Identity) {
        self.state().identity = Some(identity);
    }

    /// Waits for a connection that can be used.
    pub(super) async fn acquire(self: &Arc<Self>) -> Result<Held, StoreError> {
        let mut refusal = None;
        let acquired = tokio::select! {
            biased;
            // A call that waits for a server has to end, too.
            () = self.closed() => return Err(closed()),
            acquired = timeout(self.acquire_timeout, self.acquire_some_time(&mut refusal)) => acquired,
        };
        acquired.unwrap_or_else(|_elapsed| {
            let all_in_use = || Refusal::all_in_use(self.most, self.acquire_timeout);
            Err(refusal.unwrap_or_else(all_in_use).into())
        })
    }

    /// Tries without end. `refusal` becomes the reason of the last failure.
    async fn acquire_some_time(self: &Arc<Self>, refusal: &mut Option<Refusal>) -> Result<Held, StoreError> {
        loop {
            let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_closed| closed())?;
            let mut pause = FIRST_PAUSE;
            loop {
                refusal.get_or_insert_with(|| Refusal::no_answer(&self.options));
                if let Some(link) = self.usable().await {
                    return Ok(Held { link, permit, pool: Arc::clone(self) });
                }
                let refused = match self.dial().await {
                    Ok(link) => return Ok(Held { link, permit, pool: Arc::clone(self) }),
                    Err(refused) => refused,
                };
                let lasts = refused.lasts();
                if lasts == Lasts::ForGood {
                    return Err(refused.into());
                }
                *refusal = Some(refused);
                if lasts == Lasts::WhileFull && self.shrink() {
                    // There are other connections, so wait in line for one of them.
                    permit.forget();
                    break;
                }
                sleep(pause).await;
                pause = (2 * pause).min(LAST_PAUSE);
            }
        }
    }

    /// Takes an idle connection, the one that was used last.
    async fn usable(&self) -> Option<Link> {
        loop {
            let (Idle { mut link, since }, has_doubt) = {
                let mut state = self.state();
                let idle = state.idle.pop()?;
                let has_doubt = state.failed_at.is_some_and(|failed_at| failed_at >= idle.since);
                (idle, has_doubt)
            };
            if link.opened.elapsed() >= MAX_AGE {
                link.close(None);
                continue;
            }
            if !has_doubt && since.elapsed() < PING_AFTER_IDLE {
                return Some(link);
            }
            let asked_at = Instant::now();
            if timeout(PING_TIMEOUT, link.connection.ping()).await.is_ok_and(|pong| pong.is_ok()) {
                return Some(link);
            }
            link.close(None);
            self.close_idle_since(asked_at);
        }
    }

    /// Closes the connections that nobody has used since one of them failed. To ask each of them could take
    /// longer than the call may wait.
    fn close_idle_since(&self, failed_at: Instant) {
        let outdated: Vec<_> = {
            let mut state = self.state();
            state.failed_at = Some(Instant::now());
            state.idle.extract_if(.., |idle| idle.since <= failed_at).collect()
        };
        outdated.into_iter().for_each(|idle| idle.link.close(None));
    }

    /// Waits for an answer as long as one can come: not longer than `patience`, and not after the session has
    /// ended or the answer was lost. An answer that nobody wants is not waited for while no server answers.
    pub(super) async fn answered<T>(
        &self,
        answer: impl Future<Output = Result<T, sqlx::Error>>,
        session: &Session,
        patience: Duration,
        wanted: Wanted,
    ) -> Result<T, sqlx::Error> {
        let mut answer = pin!(timeout(patience, answer));
        loop {
            let asked = async {
                sleep(SCOUT_AFTER).await;
                // If several calls wait, one asks at a time.
                let _scouting = self.scouting.lock().await;
                session.is_working(&self.options).await
            };
            tokio::select! {
                biased;
                answer = answer.as_mut() => return answer.unwrap_or_else(|_elapsed| Err(silent())),
                is_working = asked => match is_working {
                    Some(true) => {}
                    None if wanted == Wanted::Yes => {}
                    Some(false) | None => return Err(silent()),
                }
            }
        }
    }

    /// Cancels the statement that a session runs.
    async fn cancel(&self, session: &Session) {
        if let Ok(Ok(mut beside)) = timeout(SCOUT_TIMEOUT, self.options.connect()).await {
            session.cancel(&mut beside).await;
            _ = timeout(CLOSE_TIMEOUT, beside.close()).await;
            return;
        }
        // The server may have no room for one connection more, so one that is there will do.
        let idle = self.state().idle.pop();
        if let Some(Idle { mut link, .. }) = idle {
            match session.cancel(&mut link.connection).await {
                true => self.put(link),
                false => link.close(None),
            }
        }
    }

    /// Opens a connection and checks where it leads.
    async fn dial(&self) -> Result<Link, Refusal> {
        let deadline = Instant::now() + DIAL_TIMEOUT.max(self.acquire_timeout / 2);
        let counted = Counted::new(&self.open);
        let identity = self.state().identity.clone();
        let dialling = async {
            let connecting = self.options.connect().await;
            let mut connection = connecting.map_err(|error| Refusal::of_connecting(error, &self.options))?;
            let session = Session::read(&mut connection).await?;
            if let Some(identity) = identity {
                check_identity(&mut connection, &identity).await?;
            }
            let link = Link { connection, session, opened: Instant::now(), _counted: counted };
            Ok(link)
        };
        timeout_at(deadline, dialling).await.unwrap_or_else(|_elapsed| Err(Refusal::no_answer(&self.options)))
    }

    /// Makes do with the connections that there are, if there are any.
    fn shrink(&self) -> bool {
        let mut state = self.state();
        state.refused_at = Instant::now();
        let can = state.capacity > 1 && *self.open.borrow() > 0;
        if can {
            state.capacity -= 1;
        }
        can
    }

    fn put(&self, link: Link) {
        let now = Instant::now();
        let mut state = self.state();
        // Under the lock, so that `close` finds what is put here.
        if *self.closed.borrow() {
            drop(state);
            return link.close(None);
        }
        state.idle.push(Idle { link, since: now });
        if now - state.idle[0].since >= MAX_IDLE {
            state.idle.remove(0).link.close(None);
        }
        if state.capacity < self.most && now - state.refused_at >= GROW_AFTER {
            state.capacity += 1;
            state.refused_at = now;
            self.permits.add_permits(1);
        }
    }

    /// Closes the connections when their calls have ended.
    pub(super) async fn close(&self) {
        self.closed.send_replace(true);
        self.permits.close();
        let idle = std::mem::take(&mut self.state().idle);
        idle.into_iter().for_each(|idle| idle.link.close(None));
        _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }

    /// Waits until the pool is closed.
    pub(super) async fn closed(&self) {
        _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    /// Tells the server that the connection ends, if the server listens.
    fn close(self, permit: Option<OwnedSemaphorePermit>) {
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            let Self { connection, _counted, .. } = self;
            _ = timeout(CLOSE_TIMEOUT, connection.close()).await;
            drop(permit);
        });
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Pool")
            .field("most", &self.most)
            .field("capacity", &state.capacity)
            .field("open", &*self.open.borrow())
            .field("idle", &state.idle.len())
            .finish_non_exhaustive()
    }
}

/// Refuses a database whose tables are not those that the store was opened on.
async fn check_identity(connection: &mut PgConnection, known: &Identity) -> Result<(), Refusal> {
    use sqlx::Row as _;

    let found = one(connection, known.sql.as_str()).await;
    let found = found.map_err(|error| {
        let text = "the store's tables are not where they were: if their schema was renamed, open the store again; \
                    if the connection leads to another database, lead it back";
        match Refusal::of_driver(error) {
            refusal if refusal.lasts() == Lasts::ForGood => refusal.with_text(text),
            refusal => refusal,
        }
    })?;
    if found.try_get::<String, _>("identity").map_err(Refusal::of_driver)? == known.identity {
        return Ok(());
    }
    Err(Refusal::for_now(
        "the connection leads to another database, which has tables of the same names: lead it back, or open \
         the store again",
    ))
}

pub(super) fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the store was closed")
}

/// A connection that was idle for less is taken to be alive.
const PING_AFTER_IDLE: Duration = Duration::from_secs(1);
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one connection may take, where a call waits less than twice as long.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// A call that waits for longer asks whether its session still works for it, and asks again after as long.
const SCOUT_AFTER: Duration = Duration::from_secs(2);
/// How long an answer is waited for that nobody wants any more.
pub(super) const UNWANTED_PATIENCE: Duration = Duration::from_secs(5);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Pauses between connections that are refused.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(500);
/// A server that had no room for a connection is asked again after this time.
const GROW_AFTER: Duration = Duration::from_secs(10);
/// The same as the driver's pool has.
const MAX_IDLE: Duration = Duration::from_secs(600);
const MAX_AGE: Duration = Duration::from_secs(1_800);
