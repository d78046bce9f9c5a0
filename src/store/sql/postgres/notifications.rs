//! [`PostgresNotifications`]: `LISTEN` and `NOTIFY`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

use super::refusal::options_of;
use super::store::{PostgresStore, Shared};
use crate::store::{Notifications, StoreError, StoreErrorKind};

/// Notifies other processes that use the same tables of work, by `NOTIFY`, and receives their notifications,
/// by `LISTEN`.
///
/// It listens on a connection of its own, beside the store's, which it opens when it is first waited for. A
/// lost connection is opened again after pauses that grow to 30 s; waiting does not fail meanwhile.
///
/// `LISTEN` needs a session of its own. Behind a pooler that shares sessions between transactions
/// ([`PoolMode::Transaction`](super::PoolMode::Transaction)) it does not listen: dispatchers find the work of
/// other processes when they look for it, every 5 s by default. To be notified at once, give it a connection
/// past the pooler ([`listen_at`](Self::listen_at)).
pub struct PostgresNotifications {
    shared: Arc<Shared>,
    /// Where it listens, if not where the store's connections lead.
    direct: Option<PgConnectOptions>,
    /// Locked while a call waits, so of several calls at once one receives a notification.
    listening: Mutex<Listening>,
}

#[derive(Default)]
struct Listening {
    listener: Option<PgListener>,
    /// How many times in a row no connection could be opened.
    failures: u32,
    /// When the next connection is tried.
    retry_at: Option<Instant>,
}

impl PostgresStore {
    /// Returns how the processes that use this store's tables notify each other of work: by `LISTEN` and
    /// `NOTIFY`, on a connection of its own.
    pub fn notifications(&self) -> PostgresNotifications {
        PostgresNotifications { shared: Arc::clone(&self.shared), direct: None, listening: Mutex::default() }
    }
}

impl PostgresNotifications {
    /// Sets the URL of the server itself, for a store whose connections go through a pooler that shares
    /// sessions.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Backend`] when the URL is none of PostgreSQL's.
    pub fn listen_at(mut self, url: &str) -> Result<Self, StoreError> {
        self.direct = Some(options_of(url)?.extra_float_digits(None));
        Ok(self)
    }

    async fn listen(&self) -> Result<PgListener, sqlx::Error> {
        let options = self.direct.clone().unwrap_or_else(|| self.shared.connections.options());
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT_TIMEOUT)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_lazy_with(options);
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(&self.shared.channel).await?;
        Ok(listener)
    }

    /// Returns whether listening would take place in a session that others use.
    fn is_deaf(&self) -> bool {
        self.direct.is_none() && self.shared.connections.is_shared()
    }
}

impl Notifications for PostgresNotifications {
    async fn notify(&self) -> Result<(), StoreError> {
        let shared = &self.shared;
        let query = || sqlx::query(shared.sql.notify.clone()).bind(&shared.channel).bind(&shared.tag);
        shared.connections.rows(query).await?;
        Ok(())
    }

    async fn notified(&self) -> Result<(), StoreError> {
        let closed = self.shared.connections.closed();
        if self.is_deaf() {
            closed.await;
        } else {
            tokio::select! {
                biased;
                () = closed => {}
                () = self.receive() => return Ok(()),
            }
        }
        self.listening.lock().await.listener = None;
        Err(StoreError::new(StoreErrorKind::Unavailable, "the store was closed"))
    }
}

impl PostgresNotifications {
    async fn receive(&self) {
        let mut listening = self.listening.lock().await;
        loop {
            let Some(listener) = &mut listening.listener else {
                if let Some(at) = listening.retry_at {
                    sleep_until(at).await;
                }
                // The server may take the connection and answer nothing.
                match timeout(LISTEN_TIMEOUT, self.listen()).await {
                    Ok(Ok(listener)) => {
                        *listening = Listening { listener: Some(listener), ..Listening::default() };
                        return;
                    }
                    Ok(Err(_)) | Err(_) => {
                        let pause =
                            FIRST_PAUSE.saturating_mul(1 << listening.failures.min(16)).min(MAX_PAUSE);
                        listening.failures = listening.failures.saturating_add(1);
                        listening.retry_at = Some(Instant::now() + pause);
                        continue;
                    }
                }
            };
            let received = match timeout(CHECK_AFTER, listener.try_recv()).await {
                Ok(received) => received,
                // A server that has died without a word sends no notification either.
                Err(_elapsed) => match timeout(CHECK_TIMEOUT, listener.execute("SELECT 1")).await {
                    Ok(Ok(_)) => continue,
                    _ => Ok(None),
                },
            };
            match received {
                Ok(Some(notification)) if notification.payload() == self.shared.tag => {}
                Ok(Some(_)) => {
                    // Notifications that came meanwhile count as one.
                    while listener.next_buffered().is_some() {}
                    return;
                }
                Ok(None) | Err(_) => listening.listener = None,
            }
        }
    }
}

impl fmt::Debug for PostgresNotifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresNotifications").field("channel", &self.shared.channel).finish_non_exhaustive()
    }
}

/// A connection that has been silent for so long is tested.
const CHECK_AFTER: Duration = Duration::from_secs(30);
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For the connection and the statement on it.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(15);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(30);
