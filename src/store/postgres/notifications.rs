//! [`PostgresNotifications`]: `LISTEN` and `NOTIFY`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::{Shared, failed};
use crate::store::{Notifications, StoreError};

/// Tells other processes that use the same tables that there is work, by `NOTIFY`, and hears them by `LISTEN`.
///
/// It listens on a connection of its own, beside the store's, made when it is first waited for. A connection that was lost is
/// made again, after pauses that grow up to 30 s; waiting does not fail meanwhile.
///
/// `LISTEN` needs a session of its own: behind a pooler that shares sessions between transactions nothing is heard.
pub struct PostgresNotifications {
    shared: Arc<Shared>,
    // Locked while it waits: of several that wait at once one hears.
    hearing: Mutex<Hearing>,
}

#[derive(Default)]
struct Hearing {
    listener: Option<PgListener>,
    /// How often in a row no connection could be made, and when the next is tried.
    failures: u32,
    again_at: Option<Instant>,
}

impl PostgresNotifications {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, hearing: Mutex::default() }
    }

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
        let told = closed.do_until(self.hear()).await;
        if told.is_err() {
            self.hearing.lock().await.listener = None;
        }
        told.map_err(failed)
    }
}

impl PostgresNotifications {
    async fn hear(&self) {
        let mut hearing = self.hearing.lock().await;
        loop {
            let Some(listener) = &mut hearing.listener else {
                if let Some(at) = hearing.again_at {
                    sleep_until(at).await;
                }
                match self.listen().await {
                    Ok(listener) => {
                        *hearing = Hearing { listener: Some(listener), ..Hearing::default() };
                        return;
                    }
                    Err(_) => {
                        let pause = FIRST_PAUSE.saturating_mul(1 << hearing.failures.min(16)).min(MAX_PAUSE);
                        hearing.failures = hearing.failures.saturating_add(1);
                        hearing.again_at = Some(Instant::now() + pause);
                        continue;
                    }
                }
            };
            match listener.try_recv().await {
                Ok(Some(told)) if told.payload() == self.shared.tag => {}
                Ok(Some(_)) => {
                    // Several that came meanwhile are one.
                    while listener.next_buffered().is_some() {}
                    return;
                }
                Ok(None) | Err(_) => hearing.listener = None,
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
