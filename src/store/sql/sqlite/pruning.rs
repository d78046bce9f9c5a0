//! [`SqliteStore`] as a [`Pruning`].

use time::OffsetDateTime;

use super::retention;
use super::store::SqliteStore;
use crate::store::sql::columns::{micros, span};
use crate::store::{Pruning, Retention, StoreError};

impl Pruning for SqliteStore {
    async fn prune(&self, retention: &Retention, limit: u32, now: OffsetDateTime) -> Result<u64, StoreError> {
        if limit == 0 {
            return Ok(0);
        }
        let mut rows = 0;
        for (kind, age) in [
            (Prunable::Payloads, retention.payloads),
            (Prunable::Attempts, retention.attempts),
            (Prunable::Deliveries, retention.deliveries),
        ] {
            let Some(age) = age else { continue };
            let before = micros(now).saturating_sub(span(age));
            // A batch may find nothing to delete, for example while other deliveries of its events are
            // pending. It is marked as looked at, so the loop ends.
            loop {
                let mut writing = self.writer.begin().await?;
                let (sql, connection) = (&self.sql, writing.connection());
                let pruned = match kind {
                    Prunable::Payloads => retention::prune_payloads(sql, connection, before, limit).await?,
                    Prunable::Attempts => retention::prune_attempts(sql, connection, before, limit).await?,
                    Prunable::Deliveries => {
                        retention::prune_deliveries(sql, connection, before, limit).await?
                    }
                };
                writing.commit().await?;
                rows += pruned.rows;
                if pruned.rows > 0 || pruned.is_last {
                    break;
                }
            }
        }
        Ok(rows)
    }
}

/// The kinds of rows that retention deletes, in this order.
#[derive(Clone, Copy)]
enum Prunable {
    Payloads,
    Attempts,
    Deliveries,
}
