//! What people ask a [`PostgresStore`] and change in it.

use sha2::{Digest as _, Sha256};
use sqlx::SqlStr;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::PostgresStore;
use super::rows::{bounded, indexed};
use crate::delivery::{Attempt, Delivery, DeliveryState};
use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::columns::{self, Columns as _, corrupt, json, micros, outcome_columns, span};
use crate::store::records::tested;
use crate::store::{
    Added, Backlog, Cursor, DeliveryQuery, EventRecord, NewEvent, Page, Period, Records, SecretDigest,
    Statistics, Store as _, StoreError,
};
use crate::subscription::Subscription;

// An organization that could not be written is not there.
impl Records for PostgresStore {
    async fn list_subscriptions(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Subscription>, StoreError> {
        let Ok(organization) = indexed("organization", organization) else {
            return Ok(Page::last(Vec::new()));
        };
        let rows = self
            .rows(|| {
                sqlx::query(self.shared.sql.list_subscriptions.clone())
                    .bind(organization)
                    .bind(after.map_or(i64::MIN, |after| micros(after.time())))
                    .bind(Uuid::from_u128(after.map_or(0, Cursor::minor)))
                    .bind(i64::from(limit) + 1)
            })
            .await?;
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
        let organization = indexed("organization", &subscription.organization)?;
        let (status, disabled_at) = columns::status_columns(&subscription.status);
        let (filter, health) = (subscription.filter.to_storage(), subscription.health.to_storage());
        let secrets = columns::secrets_text(subscription);
        let options = subscription.options.to_storage();
        let row = self
            .one(|| {
                sqlx::query(self.shared.sql.add_subscription.clone())
                    .bind(Uuid::from_u128(subscription.id.as_u128()))
                    .bind(organization)
                    .bind(subscription.url.as_str())
                    .bind(&filter)
                    .bind(secrets.as_str())
                    .bind(status)
                    .bind(disabled_at)
                    .bind(options.as_str())
                    .bind(&health)
                    .bind(micros(subscription.created_at))
                    .bind(secret.map(|secret| &secret.as_bytes()[..]))
                    .bind(i64::from(limit))
            })
            .await?;
        match row.text("told").map_err(corrupt)? {
            "done" => Ok(Added::Done),
            "exists" => Ok(Added::Exists),
            "full" => Ok(Added::Full),
            "secret in use" => Ok(Added::SecretInUse),
            _ => Err(corrupt("a subscription was added in a way that this version does not know")),
        }
    }

    async fn hold_secret(&self, id: SubscriptionId, secret: &SecretDigest) -> Result<bool, StoreError> {
        let hold = || {
            sqlx::query(self.shared.sql.hold_secret.clone())
                .bind(Uuid::from_u128(id.as_u128()))
                .bind(&secret.as_bytes()[..])
        };
        let Some(row) = self.rows(hold).await?.pop() else { return Ok(false) };
        Ok(row.uuid("subscription").map_err(corrupt)? == id.as_u128())
    }

    async fn find_delivery(
        &self,
        organization: &str,
        id: DeliveryId,
    ) -> Result<Option<Delivery>, StoreError> {
        let query = || sqlx::query(self.shared.sql.delivery.clone()).bind(Uuid::from_u128(id.as_u128()));
        Ok(deliveries(&self.rows(query).await?, organization)?.pop())
    }

    async fn list_deliveries(
        &self,
        organization: &str,
        query: &DeliveryQuery,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Delivery>, StoreError> {
        let (from, before) = query.ids(after);
        let sql = &self.shared.sql;
        let list = |sql: &SqlStr, from: u128| {
            sqlx::query(sql.clone())
                .bind(Uuid::from_u128(query.subscription.as_u128()))
                .bind(Uuid::from_u128(from))
                .bind(Uuid::from_u128(before))
        };
        let limited = i64::from(limit) + 1;
        if query.state.is_none() && query.event_type.is_none() {
            let rows = self.rows(|| list(&sql.deliveries, from).bind(limited)).await?;
            return Ok(Page::cut(deliveries(&rows, organization)?, limit, by_id));
        }
        let state = query.state.map(DeliveryState::as_str);
        let event_type = query.event_type.as_ref().map(|event_type| event_type.as_str());
        let is_dead = matches!(query.state, Some(DeliveryState::Dead(_)));
        let looked_through = i64::from(Page::<Delivery>::LOOKED_THROUGH) - 1;
        let floor = match is_dead {
            true => self.rows(|| list(&sql.floor_of_dead, from).bind(looked_through).bind(state)).await?,
            false => self.rows(|| list(&sql.floor, from).bind(looked_through)).await?,
        };
        let floor = floor.first().map(|row| row.uuid("id")).transpose().map_err(corrupt)?;
        let that = if is_dead { &sql.dead_deliveries_that } else { &sql.deliveries_that };
        let rows = self
            .rows(|| list(that, floor.unwrap_or(from)).bind(limited).bind(state).bind(event_type))
            .await?;
        let page = Page::cut(deliveries(&rows, organization)?, limit, by_id);
        Ok(page.or_from(floor.map(|floor| Cursor::new(0, floor))))
    }

    async fn list_dead_letters(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Delivery>, StoreError> {
        let Ok(name) = indexed("organization", organization) else { return Ok(Page::last(Vec::new())) };
        let rows = self
            .rows(|| {
                sqlx::query(self.shared.sql.dead_letters.clone())
                    .bind(name)
                    .bind(Uuid::from_u128(after.map_or(u128::MAX, Cursor::minor)))
                    .bind(i64::from(limit) + 1)
            })
            .await?;
        Ok(Page::cut(deliveries(&rows, organization)?, limit, by_id))
    }

    async fn discard(&self, organization: &str, id: DeliveryId, note: &str) -> Result<bool, StoreError> {
        let Ok(organization) = indexed("organization", organization) else { return Ok(false) };
        // Text in PostgreSQL holds none.
        let note = note.replace('\0', "\u{fffd}");
        let done = self
            .rows(|| {
                sqlx::query(self.shared.sql.discard.clone())
                    .bind(organization)
                    .bind(Uuid::from_u128(id.as_u128()))
                    .bind(&note)
            })
            .await?;
        Ok(!done.is_empty())
    }

    async fn add_test(
        &self,
        event: &NewEvent,
        attempt: &Attempt,
        failed: Option<&str>,
    ) -> Result<(), StoreError> {
        let organization = indexed("organization", &event.organization)?;
        let uuids = |of: fn(&(DeliveryId, SubscriptionId)) -> u128| -> Vec<_> {
            event.deliveries.iter().map(|delivery| Uuid::from_u128(of(delivery))).collect()
        };
        let ids = uuids(|(id, _)| id.as_u128());
        let subscriptions = uuids(|(_, subscription)| subscription.as_u128());
        let (digest, attributes) = (Sha256::digest(&event.payload).to_vec(), json(&event.attributes));
        let (status, error, retry_after) = outcome_columns(&attempt.outcome);
        let failed = failed.map(|note| note.replace('\0', "\u{fffd}"));
        let state = tested(failed.as_deref()).as_str();
        let timings = &attempt.timings;
        self.rows(|| {
            sqlx::query(self.shared.sql.add_test.clone())
                .bind(organization)
                .bind(event.id.as_str())
                .bind(event.event_type.as_str())
                .bind(&digest)
                .bind(bounded(event.inserted_at))
                .bind(&attributes)
                .bind(&event.payload[..])
                .bind(&ids)
                .bind(&subscriptions)
                .bind(state)
                .bind(bounded(attempt.started_at))
                .bind(failed.as_deref())
                .bind(i64::from(attempt.number))
                .bind(span(attempt.duration))
                .bind(timings.dns.map(span))
                .bind(timings.connect.map(span))
                .bind(timings.tls.map(span))
                .bind(timings.first_byte.map(span))
                .bind(span(timings.total))
                .bind(status.map(i64::from))
                .bind(retry_after)
                .bind(error)
                .bind(attempt.response_excerpt.as_bytes())
        })
        .await?;
        Ok(())
    }

    async fn find_event(&self, organization: &str, id: &EventId) -> Result<Option<EventRecord>, StoreError> {
        let Ok(organization) = indexed("organization", organization) else { return Ok(None) };
        let query = || sqlx::query(self.shared.sql.event.clone()).bind(organization).bind(id.as_str());
        let row = self.rows(query).await?.pop();
        row.as_ref().map(columns::event).transpose().map_err(corrupt)
    }

    async fn list_events(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<EventRecord>, StoreError> {
        let Ok(organization) = indexed("organization", organization) else {
            return Ok(Page::last(Vec::new()));
        };
        let before = after.map_or(i64::MAX, |after| i64::try_from(after.minor()).unwrap_or(i64::MAX));
        let rows = self
            .rows(|| {
                sqlx::query(self.shared.sql.list_events.clone())
                    .bind(organization)
                    .bind(before)
                    .bind(i64::from(limit) + 1)
            })
            .await?;
        columns::events(&rows, limit).map_err(corrupt)
    }

    async fn list_event_deliveries(
        &self,
        organization: &str,
        event: &EventId,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Delivery>, StoreError> {
        let Ok(name) = indexed("organization", organization) else { return Ok(Page::last(Vec::new())) };
        let rows = self
            .rows(|| {
                sqlx::query(self.shared.sql.deliveries_of_event.clone())
                    .bind(name)
                    .bind(event.as_str())
                    .bind(Uuid::from_u128(after.map_or(0, Cursor::major)))
                    .bind(Uuid::from_u128(after.map_or(0, Cursor::minor)))
                    .bind(i64::from(limit) + 1)
            })
            .await?;
        Ok(Page::cut(deliveries(&rows, organization)?, limit, |last: &Delivery| {
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
        let id = Uuid::from_u128(subscription.as_u128());
        let (from, before) = period.ids();
        let of_period = |sql: &SqlStr| {
            sqlx::query(sql.clone())
                .bind(id)
                .bind(Uuid::from_u128(from))
                .bind(Uuid::from_u128(before))
                .bind(i64::from(Period::MOST_DELIVERIES))
        };
        let between = |sql: &SqlStr| of_period(sql).bind(bounded(period.since)).bind(bounded(period.until));
        let sql = &self.shared.sql;
        let counts = self.rows(|| between(&sql.counts_of_period).bind(span(period.slot).max(1))).await?;
        let counts: Vec<_> =
            counts.iter().map(columns::counted).collect::<Result<_, _>>().map_err(corrupt)?;
        let mut told = Statistics::from_counts(period, counts);
        let latency = self.one(|| between(&sql.latency_of_period)).await?;
        told.latency = columns::latency(&latency).map_err(corrupt)?;
        told.is_cut = !self.rows(|| of_period(&sql.floor)).await?.is_empty();
        let most = i64::from(Backlog::MOST);
        let backlog = self.one(|| sqlx::query(sql.backlog.clone()).bind(id).bind(most)).await?;
        let pending = backlog.count("pending").map_err(corrupt)?;
        told.backlog = Backlog::new(pending.into(), backlog.optional_instant("oldest").map_err(corrupt)?);
        told.health = found.health;
        Ok(Some(told))
    }
}

/// Those of them that are this organization's.
fn deliveries(rows: &[PgRow], organization: &str) -> Result<Vec<Delivery>, StoreError> {
    let is_own = |row: &&PgRow| row.text("organization").is_ok_and(|own| own == organization);
    rows.iter().filter(is_own).map(columns::delivery).collect::<Result<_, _>>().map_err(corrupt)
}

fn by_id(last: &Delivery) -> Cursor {
    Cursor::new(0, last.id.as_u128())
}
