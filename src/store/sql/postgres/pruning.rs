//! [`PostgresStore`] as a [`Pruning`]: one statement for each kind of rows.

use sqlx::Row as _;
use time::OffsetDateTime;

use super::errors::failed;
use super::store::PostgresStore;
use crate::store::sql::columns::{Columns as _, corrupt, reach};
use crate::store::{Pruning, Retention, StoreError};

impl Pruning for PostgresStore {
    async fn prune(&self, retention: &Retention, limit: u32, now: OffsetDateTime) -> Result<u64, StoreError> {
        if limit == 0 {
            return Ok(0);
        }
        let sql = &self.shared.sql;
        let mut rows = 0;
        for (prune, age) in [
            (&sql.prune_payloads, retention.payloads),
            (&sql.prune_attempts, retention.attempts),
            (&sql.prune_deliveries, retention.deliveries),
        ] {
            let Some(age) = age else { continue };
            // A batch may find nothing to delete, for example while other deliveries of its events are
            // pending. It is marked as looked at, so the loop ends.
            loop {
                let row = self
                    .one(|| {
                        sqlx::query(prune.clone())
                            .bind(self.caller(now))
                            .bind(reach(age))
                            .bind(i64::from(limit))
                    })
                    .await?;
                let pruned = u64::from(row.count("pruned").map_err(corrupt)?);
                rows += pruned;
                if pruned > 0 || row.try_get("is_last").map_err(failed)? {
                    break;
                }
            }
        }
        Ok(rows)
    }
}
