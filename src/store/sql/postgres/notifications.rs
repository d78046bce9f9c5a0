//! [`PostgresNotifications`]: `LISTEN` and `NOTIFY`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::connections::failed;
use super::store::{PostgresStore, Shared};
use crate::store::{Notifications, StoreError};

/// Notifies other processes that use the same tables of work, by `NOTIFY`, and receives their notifications,
/// by `LISTEN`.
///
/// It listens on a connection of its own, beside the store's, which it opens when it is first waited for. A
/// lost connection is opened again after pauses that grow to 30 s; waiting does not fail meanwhile.
///
/// `LISTEN` needs a session of its own: behind a pooler that shares sessions between transactions, no
/// notification arrives.
pub struct PostgresNotifications {
    shared: Arc<Shared>,
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
        PostgresNotifications { shared: Arc::clone(&self.shared), listening: Mutex::default() }
    }
}

impl PostgresNotifications {
    async fn listen(&self) -> Result<PgListener, sqlx::Error> {
        let options = self.shared.connections.pool().connect_options();
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT_TIMEOUT)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_lazy_with(options.as_ref().clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(&self.shared.channel).await?;
        Ok(listener)
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
        let mut closed = self.shared.connections.pool().close_event();
        let received = closed.do_until(self.receive()).await;
        if received.is_err() {
            self.listening.lock().await.listener = None;
        }
        received.map_err(failed)
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
                match self.listen().await {
                    Ok(listener) => {
                        *listening = Listening { listener: Some(listener), ..Listening::default() };
                        return;
                    }
                    Err(_) => {
                        let pause =
                            FIRST_PAUSE.saturating_mul(1 << listening.failures.min(16)).min(MAX_PAUSE);
                        listening.failures = listening.failures.saturating_add(1);
                        listening.retry_at = Some(Instant::now() + pause);
                        continue;
                    }
                }
            };
            match listener.try_recv().await {
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

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(30);
