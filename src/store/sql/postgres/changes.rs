//! Cancelling, expunging and replaying.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{Row as _, SqlStr};
use time::OffsetDateTime;
use uuid::Uuid;

use super::errors::failed;
use super::store::PostgresStore;
use super::values::indexed;
use crate::contract::ContractId;
use crate::delivery::{DeadReason, DeliveryState};
use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::sql::columns::{Columns as _, Unread, bounded, corrupt, reach};
use crate::store::{MadePayload, MissingPayload, Replay, Replayed, StoreError, StoreErrorKind};

impl PostgresStore {
    pub(super) async fn cancel_delivery(
        &self,
        id: DeliveryId,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let id = Uuid::from_u128(id.as_u128());
        let mut patience = Patience::new("delivery");
        loop {
            let cancel = || sqlx::query(self.shared.sql.cancel.clone()).bind(id).bind(self.caller(now));
            let row = self.one(cancel).await?;
            match row.text("outcome").map_err(corrupt)? {
                "done" => return Ok(true),
                "none" => return Ok(false),
                _ => patience.wait().await?,
            }
        }
    }

    /// Deletes a subscription, and then cancels its deliveries: an insert that runs meanwhile either has its
    /// deliveries cancelled here, or sees that the subscription is gone.
    pub(super) async fn delete_subscription(
        &self,
        id: SubscriptionId,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let uuid = Uuid::from_u128(id.as_u128());
        let delete = || sqlx::query(self.shared.sql.delete_subscription.clone()).bind(uuid);
        if self.rows(delete).await?.is_empty() {
            return Ok(false);
        }
        self.cancel_all(uuid, now).await?;
        Ok(true)
    }

    /// Cancels the deliveries of a subscription that was deleted, and returns how many.
    async fn cancel_all(&self, id: Uuid, now: OffsetDateTime) -> Result<u64, StoreError> {
        let mut patience = Patience::new("subscription");
        let mut cancelled = 0;
        loop {
            let cancel = || {
                sqlx::query(self.shared.sql.cancel_all.clone())
                    .bind(id)
                    .bind(self.caller(now))
                    .bind(MAX_CANCELLED)
            };
            let row = self.one(cancel).await?;
            let ended = u64::from(row.count("ended").map_err(corrupt)?);
            cancelled += ended;
            if row.try_get("is_whole").map_err(failed)? {
                return Ok(cancelled);
            }
            if ended == 0 {
                patience.wait().await?;
            }
        }
    }

    /// Ends deliveries that have waited for too long; where there is none, those of subscriptions that were
    /// deleted while the transaction that inserted them was open.
    pub(super) async fn expire_deliveries(
        &self,
        age: Duration,
        limit: u32,
        now: OffsetDateTime,
    ) -> Result<u64, StoreError> {
        let limit = i64::from(limit).min(MAX_CANCELLED);
        let expire = || {
            sqlx::query(self.shared.sql.expire.clone()).bind(self.caller(now)).bind(reach(age)).bind(limit)
        };
        let mut ended = u64::from(self.one(expire).await?.count("expired").map_err(corrupt)?);
        if ended == 0 && limit > 0 {
            let find = || sqlx::query(self.shared.sql.find_orphans.clone()).bind(limit);
            let found: Vec<Uuid> = self.one(find).await?.try_get("found").map_err(failed)?;
            for id in found {
                ended += self.cancel_all(id, now).await?;
            }
        }
        Ok(ended)
    }

    pub(super) async fn expunge_event(
        &self,
        organization: &str,
        contract: &str,
        event: &EventId,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        // No row has an organization or a contract that cannot be stored.
        let (Ok(organization), Ok(contract)) =
            (indexed("organization", organization), indexed("contract", contract))
        else {
            return Ok(false);
        };
        let mut patience = Patience::new("event");
        loop {
            let row = self
                .one(|| {
                    sqlx::query(self.shared.sql.expunge.clone())
                        .bind(organization)
                        .bind(contract)
                        .bind(event.as_str())
                        .bind(self.caller(now))
                        .bind(MAX_CANCELLED)
                })
                .await?;
            if row.try_get("is_whole").map_err(failed)? {
                return row.try_get("is_known").map_err(failed);
            }
            if row.count("ended").map_err(corrupt)? == 0 {
                patience.wait().await?;
            }
        }
    }

    pub(super) async fn replay_batch(
        &self,
        replay: &Replay,
        now: OffsetDateTime,
        limit: u32,
    ) -> Result<Replayed, StoreError> {
        if limit == 0 {
            return Ok(Replayed::default());
        }
        let named = Named::new(replay);
        let row = self
            .one(|| {
                named
                    .bind(&self.shared.sql.replay, now)
                    .bind(self.caller(now))
                    .bind(i64::from(limit.min(MAX_REPLAYED)))
            })
            .await?;
        let missing = missing(&row, ["missing", "missing_contract", "missing_version"])?;
        let (made, more) = (row.count("made").map_err(corrupt)?, row.try_get("more").map_err(failed)?);
        Ok(Replayed::new(made, more).with_missing(missing))
    }

    pub(super) async fn find_missing(
        &self,
        replay: &Replay,
        now: OffsetDateTime,
        limit: u32,
    ) -> Result<Vec<MissingPayload>, StoreError> {
        let (named, limit) = (Named::new(replay), i64::from(limit.min(MAX_REPLAYED)));
        let row = self.one(|| named.bind(&self.shared.sql.missing_payloads, now).bind(limit)).await?;
        missing(&row, ["events", "contract", "version"])
    }

    pub(super) async fn add_made(
        &self,
        organization: &str,
        payloads: &[MadePayload],
    ) -> Result<(), StoreError> {
        // No row has an organization that cannot be stored.
        let Ok(organization) = indexed("organization", organization) else { return Ok(()) };
        let (mut contracts, mut versions, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        let (mut digests, mut bytes) = (Vec::new(), Vec::new());
        for made in payloads {
            contracts.push(made.contract.name());
            versions.push(made.contract.version());
            ids.push(made.event.as_str());
            digests.push(made.bytes.as_ref().map(|bytes| Sha256::digest(bytes).to_vec()));
            bytes.push(made.bytes.as_deref());
        }
        self.one(|| {
            sqlx::query(self.shared.sql.add_payloads.clone())
                .bind(organization)
                .bind(&contracts)
                .bind(&versions)
                .bind(&ids)
                .bind(&digests)
                .bind(&bytes)
        })
        .await
        .map(drop)
    }
}

/// The deliveries that a replay names, as the parameters of its functions.
struct Named {
    delivery: Option<Uuid>,
    subscription: Option<Uuid>,
    since: Option<i64>,
    without: &'static str,
}

impl Named {
    fn new(replay: &Replay) -> Self {
        let uuid = |id: u128| Some(Uuid::from_u128(id));
        let (delivery, subscription, since, without) = match replay {
            Replay::Delivery(id) => (uuid(id.as_u128()), None, None, ""),
            Replay::DeadLetters(subscription) => {
                let cancelled = DeliveryState::Dead(DeadReason::Cancelled).as_str();
                (None, uuid(subscription.as_u128()), Some(i64::MIN), cancelled)
            }
            Replay::Since(subscription, since) => {
                (None, uuid(subscription.as_u128()), Some(bounded(*since)), "")
            }
        };
        Self { delivery, subscription, since, without }
    }

    fn bind(&self, sql: &SqlStr, until: OffsetDateTime) -> Query<'static, Postgres, PgArguments> {
        sqlx::query(sql.clone())
            .bind(self.delivery)
            .bind(self.subscription)
            .bind(self.since)
            .bind(bounded(until))
            .bind(self.without)
    }
}

/// The events in a row's columns, with the contract in the version that is asked for.
fn missing(row: &PgRow, [events, contract, version]: [&str; 3]) -> Result<Vec<MissingPayload>, StoreError> {
    let events: Option<Vec<String>> = row.try_get(events).map_err(failed)?;
    let Some(events) = events else { return Ok(Vec::new()) };
    let read = || -> Result<_, Unread> {
        let contract = ContractId::new(row.text(contract)?, row.text(version)?)?;
        let each = |id: &String| Ok(MissingPayload::new(contract.clone(), id.parse()?));
        events.iter().map(each).collect()
    };
    read().map_err(corrupt)
}

/// Waits for rows that others have locked. A settlement or a claim holds them for milliseconds.
struct Patience {
    what: &'static str,
    left: u32,
}

impl Patience {
    const fn new(what: &'static str) -> Self {
        Self { what, left: MOST_WAITS }
    }

    async fn wait(&mut self) -> Result<(), StoreError> {
        let Some(left) = self.left.checked_sub(1) else {
            let error = format!("a delivery of the {} stays locked by another transaction", self.what);
            return Err(StoreError::new(StoreErrorKind::Unavailable, error));
        };
        self.left = left;
        tokio::time::sleep(WAIT).await;
        Ok(())
    }
}

/// Some seconds in all.
const MOST_WAITS: u32 = 1_000;
const WAIT: Duration = Duration::from_millis(5);

/// The most deliveries that one statement cancels. Each may have an order group to lock, and the server has
/// room for some thousand locks in all.
const MAX_CANCELLED: i64 = 250;

/// The most deliveries that one statement makes, so that its transaction stays short. More take another call.
const MAX_REPLAYED: u32 = 10_000;
