//! What is done to deliveries besides sending them: cancelling, replaying, forgetting.

use sqlx::{Row as _, SqlStr};
use time::OffsetDateTime;
use uuid::Uuid;

use super::rows::{bounded, indexed, reach};
use super::{PostgresStore, failed};
use crate::delivery::{DeadReason, DeliveryState};
use crate::event::EventId;
use crate::store::columns::{Columns as _, corrupt};
use crate::store::{Replay, Replayed, Retention, StoreError};

impl PostgresStore {
    /// Runs a statement on what has this id; whether there was one.
    pub(super) async fn end(&self, sql: &SqlStr, id: u128, now: OffsetDateTime) -> Result<bool, StoreError> {
        let query = || sqlx::query(sql.clone()).bind(Uuid::from_u128(id)).bind(self.caller(now));
        self.one(query).await?.try_get("is_done").map_err(failed)
    }

    pub(super) async fn expunge_event(
        &self,
        organization: &str,
        event: &EventId,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        // What could not be written is not there.
        let Ok(organization) = indexed("organization", organization) else { return Ok(false) };
        loop {
            let row = self
                .one(|| {
                    sqlx::query(self.shared.sql.expunge.clone())
                        .bind(organization)
                        .bind(event.as_str())
                        .bind(self.caller(now))
                        .bind(MOST_LANES)
                })
                .await?;
            if row.try_get("is_whole").map_err(failed)? {
                return row.try_get("is_known").map_err(failed);
            }
        }
    }

    pub(super) async fn replay_batch(
        &self,
        replay: &Replay,
        now: OffsetDateTime,
        limit: u32,
    ) -> Result<Replayed, StoreError> {
        let uuid = |id: u128| Some(Uuid::from_u128(id));
        let (delivery, subscription, since, without) = match replay {
            _ if limit == 0 => return Ok(Replayed::default()),
            Replay::Delivery(id) => (uuid(id.as_u128()), None, None, ""),
            Replay::DeadLetters(subscription) => {
                let cancelled = DeliveryState::Dead(DeadReason::Cancelled).as_str();
                (None, uuid(subscription.as_u128()), Some(i64::MIN), cancelled)
            }
            Replay::Since(subscription, since) => {
                (None, uuid(subscription.as_u128()), Some(bounded(*since)), "")
            }
        };
        let row = self
            .one(|| {
                sqlx::query(self.shared.sql.replay.clone())
                    .bind(delivery)
                    .bind(subscription)
                    .bind(since)
                    .bind(bounded(now))
                    .bind(without)
                    .bind(self.caller(now))
                    .bind(i64::from(limit.min(MOST_REPLAYED)))
            })
            .await?;
        Ok(Replayed::new(row.count("made").map_err(corrupt)?, row.try_get("more").map_err(failed)?))
    }

    pub(super) async fn prune_all(
        &self,
        retention: &Retention,
        now: OffsetDateTime,
        limit: u32,
    ) -> Result<u64, StoreError> {
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
            // A batch may find nothing to delete, as where an event's other deliveries are pending; each is short, and is
            // looked at once, so that it ends.
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

/// How many deliveries are ended at once: each may have a lane, and the server has room for some thousand locks in all.
pub(super) const MOST_LANES: i64 = 250;

/// More take another call, so that no transaction grows without bound.
const MOST_REPLAYED: u32 = 10_000;
