//! [`SqliteStore`] as a [`Records`].

use std::cmp::Reverse;

use sha2::{Digest as _, Sha256};
use sqlx::{Row as _, SqliteConnection};
use time::OffsetDateTime;

use super::queue::inserting::older;
use super::rows::query;
use super::statements::Statements;
use super::store::SqliteStore;
use super::{cancel, error, replay};
use crate::delivery::{Attempt, Delivery, DeliveryState};
use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::built_in::{check_event, tested};
use crate::store::sql::attempt::AttemptRow;
use crate::store::sql::columns::{Columns as _, corrupt, json, micros};
use crate::store::sql::database::Database as _;
use crate::store::sql::records;
use crate::store::sql::value::Value;
use crate::store::{
    ContractBacklog, Cursor, DeliveryQuery, EventRecord, MadePayload, MissingPayload, NewEvent, Page, Period,
    Records, Replay, Replayed, Statistics, StoreError,
};

impl Records for SqliteStore {
    async fn find_delivery(
        &self,
        organization: &str,
        id: DeliveryId,
    ) -> Result<Option<Delivery>, StoreError> {
        records::find_delivery(self, organization, id).await
    }

    async fn list_deliveries(
        &self,
        organization: &str,
        query: &DeliveryQuery,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Delivery>, StoreError> {
        records::list_deliveries(self, organization, query, after, limit).await
    }

    async fn list_dead_letters(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Delivery>, StoreError> {
        let before = Value::Id(after.map_or(u128::MAX, Cursor::minor));
        let limited = Value::from(i64::from(limit) + 1);
        let ids = self.read(&self.sql.ids_of_organization, &[organization.into()]).await?;
        let mut found = Vec::new();
        for id in &ids {
            let id = Value::Id(id.uuid("id").map_err(corrupt)?);
            for state in DeliveryState::LETTERS.iter().copied() {
                let any_type = Value::Text(None);
                let values = [id, Value::Id(0), before, limited, state.as_str().into(), any_type, limited];
                let rows = self.read(&self.shared.dead_deliveries_that, &values).await?;
                found.extend(records::deliveries(&rows, organization)?);
            }
            found.sort_unstable_by_key(|delivery| Reverse(delivery.id));
            found.truncate(limit as usize + 1);
        }
        Ok(Page::cut(found, limit, records::by_id))
    }

    async fn discard(&self, organization: &str, id: DeliveryId, note: &str) -> Result<bool, StoreError> {
        records::discard(self, organization, id, note).await
    }

    async fn add_test(
        &self,
        event: &NewEvent,
        attempt: &Attempt,
        failed: Option<&str>,
    ) -> Result<(), StoreError> {
        check_event(event)?;
        let mut writing = self.writer.begin().await?;
        let connection = writing.connection();
        let pk = add_test_event(&self.sql, connection, event).await?;
        let state = tested(failed).as_str();
        let tried = AttemptRow::new(attempt);
        for delivery in &event.deliveries {
            let place = [delivery.subscription.into(), delivery.id.into(), pk.into()];
            query(&self.sql.insert_place, &place).execute(&mut *connection).await.map_err(error::failed)?;
            let version = older(event, delivery).map(|payload| payload.contract.version());
            let values = [
                delivery.id.into(),
                delivery.subscription.into(),
                pk.into(),
                version.into(),
                state.into(),
                micros(event.inserted_at).into(),
                failed.into(),
                tried.number.into(),
                tried.started_at.into(),
                tried.duration.into(),
                tried.dns.into(),
                tried.connect.into(),
                tried.tls.into(),
                tried.first_byte.into(),
                tried.total.into(),
                tried.status.into(),
                tried.retry_after.into(),
                tried.error.into(),
                tried.excerpt.into(),
                tried.reason.into(),
                tried.head_status.into(),
            ];
            let add = query(&self.sql.add_test_delivery, &values);
            add.execute(&mut *connection).await.map_err(error::failed)?;
        }
        writing.commit().await
    }

    async fn find_event(
        &self,
        organization: &str,
        contract: &str,
        id: &EventId,
    ) -> Result<Option<EventRecord>, StoreError> {
        records::find_event(self, organization, contract, id).await
    }

    async fn list_events(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<EventRecord>, StoreError> {
        records::list_events(self, organization, after, limit).await
    }

    async fn list_event_deliveries(
        &self,
        organization: &str,
        contract: &str,
        event: &EventId,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Delivery>, StoreError> {
        records::list_event_deliveries(self, organization, contract, event, after, limit).await
    }

    async fn statistics(
        &self,
        organization: &str,
        subscription: SubscriptionId,
        period: &Period,
    ) -> Result<Option<Statistics>, StoreError> {
        records::statistics(self, organization, subscription, period).await
    }

    async fn backlog_by_contract(&self, now: OffsetDateTime) -> Result<Vec<ContractBacklog>, StoreError> {
        records::backlog_by_contract(self, now).await
    }

    async fn list_attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        records::list_attempts(self, delivery).await
    }

    async fn cancel(&self, id: DeliveryId, now: OffsetDateTime) -> Result<bool, StoreError> {
        let mut writing = self.writer.begin().await?;
        let is_cancelled = cancel::cancel(&self.sql, writing.connection(), id, now).await?;
        writing.commit().await?;
        Ok(is_cancelled)
    }

    async fn replay(&self, replay: &Replay, limit: u32, now: OffsetDateTime) -> Result<Replayed, StoreError> {
        let mut writing = self.writer.begin().await?;
        let replayed = replay::replay(&self.sql, writing.connection(), replay, limit, now).await?;
        writing.commit().await?;
        Ok(replayed)
    }

    async fn missing_payloads(
        &self,
        replay: &Replay,
        limit: u32,
        now: OffsetDateTime,
    ) -> Result<Vec<MissingPayload>, StoreError> {
        replay::missing_payloads(self, replay, limit, now).await
    }

    async fn add_payloads(&self, organization: &str, payloads: &[MadePayload]) -> Result<(), StoreError> {
        let mut writing = self.writer.begin().await?;
        for MadePayload { event, contract, bytes } in payloads {
            let digest = bytes.as_ref().map(Sha256::digest);
            let values = [
                organization.into(),
                contract.name().into(),
                event.into(),
                contract.version().into(),
                Value::Bytes(digest.as_ref().map(|digest| &digest[..])),
                Value::Bytes(bytes.as_deref()),
            ];
            let add = query(&self.sql.add_payload, &values);
            add.execute(writing.connection()).await.map_err(error::failed)?;
        }
        writing.commit().await
    }

    async fn expunge(
        &self,
        organization: &str,
        contract: &str,
        event: &EventId,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let mut writing = self.writer.begin().await?;
        let key = (organization, contract);
        let is_known = cancel::expunge(&self.sql, writing.connection(), key, event, now).await?;
        writing.commit().await?;
        Ok(is_known)
    }
}

/// Writes a test event with its payloads, and returns its row number.
async fn add_test_event(
    sql: &Statements,
    connection: &mut SqliteConnection,
    event: &NewEvent,
) -> Result<i64, StoreError> {
    let (digest, attributes) = (Sha256::digest(&event.payload), json(&event.attributes));
    let values = [
        event.organization.as_str().into(),
        event.contract.name().into(),
        (&event.id).into(),
        event.contract.version().into(),
        event.event_type.as_str().into(),
        digest[..].into(),
        micros(event.inserted_at).into(),
        attributes.as_str().into(),
        event.payload[..].into(),
    ];
    let row = query(&sql.add_test_event, &values).fetch_one(&mut *connection).await.map_err(error::failed)?;
    let pk: i64 = row.try_get("pk").map_err(error::failed)?;
    for payload in &event.older {
        let digest = Sha256::digest(&payload.bytes);
        let values =
            [pk.into(), payload.contract.version().into(), digest[..].into(), payload.bytes[..].into()];
        let add = query(&sql.insert_payload, &values);
        add.execute(&mut *connection).await.map_err(error::failed)?;
    }
    Ok(pk)
}
