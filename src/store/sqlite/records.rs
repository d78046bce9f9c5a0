//! What people ask a [`SqliteStore`] and change in it.

use std::cmp::Reverse;

use sha2::{Digest as _, Sha256};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row as _, SqlStr, Sqlite, SqliteConnection};

use super::rows::{AttemptRow, blob};
use super::{SqliteStore, failed as failed_with};
use crate::delivery::{Attempt, Delivery, DeliveryState};
use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::columns::{self, Columns as _, corrupt, json, micros, span};
use crate::store::records::tested;
use crate::store::{
    Added, Backlog, Cursor, DeliveryQuery, EventRecord, NewEvent, Page, Period, Records, SecretDigest,
    Statistics, Store as _, StoreError,
};
use crate::subscription::Subscription;

impl Records for SqliteStore {
    async fn list_subscriptions(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Subscription>, StoreError> {
        let list = sqlx::query(self.sql.list_subscriptions.clone())
            .bind(organization)
            .bind(after.map_or(i64::MIN, |after| micros(after.time())))
            .bind(after.map_or_else(Vec::new, |after| blob(after.minor())))
            .bind(i64::from(limit) + 1);
        let rows = self.read(list).await?;
        let found = rows
            .iter()
            .map(|row| columns::subscription(row, "id"))
            .collect::<Result<_, _>>()
            .map_err(corrupt)?;
        Ok(Page::cut(found, limit, |last: &Subscription| Cursor::at(last.created_at, last.id.as_u128())))
    }

    async fn add_subscription(
        &self,
        subscription: &Subscription,
        secret: Option<&SecretDigest>,
        limit: u32,
    ) -> Result<Added, StoreError> {
        let mut writing = self.writer.begin().await?;
        let connection = writing.connection();
        let there = sqlx::query(self.sql.subscription.clone()).bind(blob(subscription.id.as_u128()));
        if there.fetch_optional(&mut *connection).await.map_err(failed_with)?.is_some() {
            return Ok(Added::Exists);
        }
        if write(&self.sql.add_subscription, connection, subscription, Some(limit)).await? == 0 {
            return Ok(Added::Full);
        }
        if let Some(secret) = secret
            && !self.hold(writing.connection(), subscription.id, secret).await?
        {
            return Ok(Added::SecretInUse);
        }
        writing.commit().await?;
        Ok(Added::Done)
    }

    async fn hold_secret(&self, id: SubscriptionId, secret: &SecretDigest) -> Result<bool, StoreError> {
        let mut writing = self.writer.begin().await?;
        let is_held = self.hold(writing.connection(), id, secret).await?;
        writing.commit().await?;
        Ok(is_held)
    }

    async fn find_delivery(
        &self,
        organization: &str,
        id: DeliveryId,
    ) -> Result<Option<Delivery>, StoreError> {
        let query = sqlx::query(self.sql.delivery.clone()).bind(blob(id.as_u128()));
        Ok(deliveries(&self.read(query).await?, organization)?.pop())
    }

    async fn list_deliveries(
        &self,
        organization: &str,
        query: &DeliveryQuery,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Delivery>, StoreError> {
        let (from, before) = query.ids(after);
        let id = || blob(query.subscription.as_u128());
        let list = |sql: &SqlStr, from: u128| {
            sqlx::query(sql.clone()).bind(id()).bind(blob(from)).bind(blob(before)).bind(i64::from(limit) + 1)
        };
        if query.state.is_none() && query.event_type.is_none() {
            let found = deliveries(&self.read(list(&self.sql.deliveries, from)).await?, organization)?;
            return Ok(Page::cut(found, limit, by_id));
        }
        let state = query.state.map(DeliveryState::as_str);
        let (floor, sql) = match query.state {
            Some(DeliveryState::Dead(_)) => (&self.sql.floor_of_dead, &self.sql.dead_deliveries_that),
            _ => (&self.sql.floor, &self.sql.deliveries_that),
        };
        let mut floor = sqlx::query(floor.clone())
            .bind(id())
            .bind(blob(from))
            .bind(blob(before))
            .bind(Page::<Delivery>::LOOKED_THROUGH - 1);
        if let Some(DeliveryState::Dead(_)) = query.state {
            floor = floor.bind(state);
        }
        let floor = self.read(floor).await?.pop().map(|row| row.uuid("id")).transpose().map_err(corrupt)?;
        let list = list(sql, floor.unwrap_or(from))
            .bind(state)
            .bind(query.event_type.as_ref().map(|event_type| event_type.as_str()));
        let found = deliveries(&self.read(list).await?, organization)?;
        Ok(Page::cut(found, limit, by_id).or_from(floor.map(|floor| Cursor::new(0, floor))))
    }

    async fn list_dead_letters(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Delivery>, StoreError> {
        let before = blob(after.map_or(u128::MAX, Cursor::minor));
        let ids = self.read(sqlx::query(self.sql.ids_of_organization.clone()).bind(organization)).await?;
        let mut found = Vec::new();
        for id in &ids {
            let id: &[u8] = id.try_get("id").map_err(failed_with)?;
            for state in DeliveryState::LETTERS {
                let list = sqlx::query(self.sql.dead_deliveries_that.clone())
                    .bind(id)
                    .bind(Vec::new())
                    .bind(before.as_slice())
                    .bind(i64::from(limit) + 1)
                    .bind(state.as_str())
                    .bind(None::<&str>);
                found.extend(deliveries(&self.read(list).await?, organization)?);
            }
            found.sort_unstable_by_key(|delivery| Reverse(delivery.id));
            found.truncate(limit as usize + 1);
        }
        Ok(Page::cut(found, limit, by_id))
    }

    async fn discard(&self, organization: &str, id: DeliveryId, note: &str) -> Result<bool, StoreError> {
        let mut writing = self.writer.begin().await?;
        let done = sqlx::query(self.sql.discard.clone())
            .bind(organization)
            .bind(blob(id.as_u128()))
            .bind(note)
            .execute(writing.connection())
            .await
            .map_err(failed_with)?;
        writing.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    async fn add_test(
        &self,
        event: &NewEvent,
        attempt: &Attempt,
        failed: Option<&str>,
    ) -> Result<(), StoreError> {
        let mut writing = self.writer.begin().await?;
        let connection = writing.connection();
        let row = sqlx::query(self.sql.add_test_event.clone())
            .bind(event.organization.as_str())
            .bind(event.id.as_str())
            .bind(event.event_type.as_str())
            .bind(Sha256::digest(&event.payload).to_vec())
            .bind(micros(event.inserted_at))
            .bind(json(&event.attributes))
            .bind(&event.payload[..])
            .fetch_one(&mut *connection)
            .await
            .map_err(failed_with)?;
        let pk: i64 = row.try_get("pk").map_err(failed_with)?;
        for (id, subscription) in &event.deliveries {
            sqlx::query(self.sql.add_test_delivery.clone())
                .bind(blob(id.as_u128()))
                .bind(pk)
                .bind(blob(subscription.as_u128()))
                .bind(tested(failed).as_str())
                .bind(micros(attempt.started_at))
                .bind(micros(event.inserted_at))
                .bind(failed)
                .execute(&mut *connection)
                .await
                .map_err(failed_with)?;
        }
        let attempts: Vec<_> =
            event.deliveries.iter().map(|(id, _)| AttemptRow::new(*id, None, attempt)).collect();
        let log = sqlx::query(self.sql.log_attempts.clone()).bind(json(&attempts));
        log.execute(connection).await.map_err(failed_with)?;
        writing.commit().await
    }

    async fn find_event(&self, organization: &str, id: &EventId) -> Result<Option<EventRecord>, StoreError> {
        let query = sqlx::query(self.sql.event.clone()).bind(organization).bind(id.as_str());
        let row = self.read(query).await?.pop();
        row.as_ref().map(columns::event).transpose().map_err(corrupt)
    }

    async fn list_events(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<EventRecord>, StoreError> {
        let list = sqlx::query(self.sql.list_events.clone())
            .bind(organization)
            .bind(after.map_or(i64::MAX, |after| i64::try_from(after.minor()).unwrap_or(i64::MAX)))
            .bind(i64::from(limit) + 1);
        columns::events(&self.read(list).await?, limit).map_err(corrupt)
    }

    async fn list_event_deliveries(
        &self,
        organization: &str,
        event: &EventId,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Delivery>, StoreError> {
        let list = sqlx::query(self.sql.deliveries_of_event.clone())
            .bind(organization)
            .bind(event.as_str())
            .bind(after.map_or_else(Vec::new, |after| blob(after.major())))
            .bind(after.map_or_else(Vec::new, |after| blob(after.minor())))
            .bind(i64::from(limit) + 1);
        Ok(Page::cut(deliveries(&self.read(list).await?, organization)?, limit, |last: &Delivery| {
            Cursor::new(last.subscription.as_u128(), last.id.as_u128())
        }))
    }

    async fn statistics(
        &self,
        organization: &str,
        subscription: SubscriptionId,
        period: &Period,
    ) -> Result<Option<Statistics>, StoreError> {
        let found = self.subscription(subscription).await?.filter(|found| found.organization == organization);
        let Some(found) = found else { return Ok(None) };
        let id = || blob(subscription.as_u128());
        let (from, before) = period.ids();
        let of_period = |sql: &SqlStr| {
            sqlx::query(sql.clone())
                .bind(id())
                .bind(blob(from))
                .bind(blob(before))
                .bind(Period::MOST_DELIVERIES)
                .bind(micros(period.since))
                .bind(micros(period.until))
        };
        let counts = of_period(&self.sql.counts_of_period).bind(span(period.slot).max(1));
        let counts = self.read(counts).await?;
        let counts: Vec<_> =
            counts.iter().map(columns::counted).collect::<Result<_, _>>().map_err(corrupt)?;
        let mut told = Statistics::from_counts(period, counts);
        let latency = self.read(of_period(&self.sql.latency_of_period)).await?.pop();
        told.latency = latency.as_ref().map(columns::latency).transpose().map_err(corrupt)?.flatten();
        let floor = sqlx::query(self.sql.floor.clone())
            .bind(id())
            .bind(blob(from))
            .bind(blob(before))
            .bind(Period::MOST_DELIVERIES);
        told.is_cut = !self.read(floor).await?.is_empty();
        let backlog = sqlx::query(self.sql.backlog.clone()).bind(id()).bind(Backlog::MOST);
        if let Some(row) = self.read(backlog).await?.pop() {
            let pending = row.count("pending").map_err(corrupt)?;
            told.backlog = Backlog::new(pending.into(), row.optional_instant("oldest").map_err(corrupt)?);
        }
        told.health = found.health;
        Ok(Some(told))
    }
}

impl SqliteStore {
    async fn read(
        &self,
        query: sqlx::query::Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        query.fetch_all(&self.readers).await.map_err(failed_with)
    }

    async fn hold(
        &self,
        connection: &mut SqliteConnection,
        id: SubscriptionId,
        secret: &SecretDigest,
    ) -> Result<bool, StoreError> {
        let id = blob(id.as_u128());
        let hold = sqlx::query(self.sql.hold_secret.clone()).bind(id.as_slice()).bind(&secret.as_bytes()[..]);
        if hold.execute(&mut *connection).await.map_err(failed_with)?.rows_affected() > 0 {
            return Ok(true);
        }
        let held = sqlx::query(self.sql.holds_secret.clone()).bind(id).bind(&secret.as_bytes()[..]);
        Ok(held.fetch_optional(connection).await.map_err(failed_with)?.is_some())
    }
}

/// Writes a subscription by this statement, which may take a limit too, and tells how many rows that were.
pub(super) async fn write(
    sql: &SqlStr,
    connection: &mut SqliteConnection,
    subscription: &Subscription,
    limit: Option<u32>,
) -> Result<u64, StoreError> {
    let (status, disabled_at) = columns::status_columns(&subscription.status);
    let secrets = columns::secrets_text(subscription);
    let options = subscription.options.to_storage();
    let mut query = sqlx::query(sql.clone())
        .bind(blob(subscription.id.as_u128()))
        .bind(subscription.organization.as_str())
        .bind(subscription.url.as_str())
        .bind(subscription.filter.to_storage())
        .bind(secrets.as_str())
        .bind(status)
        .bind(disabled_at)
        .bind(options.as_str())
        .bind(subscription.health.to_storage())
        .bind(micros(subscription.created_at));
    if let Some(limit) = limit {
        query = query.bind(limit);
    }
    Ok(query.execute(connection).await.map_err(failed_with)?.rows_affected())
}

/// Those of them that are this organization's.
fn deliveries(rows: &[SqliteRow], organization: &str) -> Result<Vec<Delivery>, StoreError> {
    let is_own = |row: &&SqliteRow| row.text("organization").is_ok_and(|own| own == organization);
    rows.iter().filter(is_own).map(columns::delivery).collect::<Result<_, _>>().map_err(corrupt)
}

fn by_id(last: &Delivery) -> Cursor {
    Cursor::new(0, last.id.as_u128())
}
