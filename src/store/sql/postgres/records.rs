//! [`PostgresStore`] as [`Records`].

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

use super::store::PostgresStore;
use super::values::indexed;
use crate::delivery::{Attempt, Delivery};
use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::built_in::{check_event, tested};
use crate::store::sql::attempt::AttemptRow;
use crate::store::sql::columns::{bounded, json};
use crate::store::sql::records;
use crate::store::{
    ContractBacklog, Cursor, DeliveryQuery, EventRecord, MadePayload, MissingPayload, NewDelivery, NewEvent,
    Page, Period, Records, Replay, Replayed, Statistics, StoreError,
};

// No row has an organization that cannot be stored.
impl Records for PostgresStore {
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
        let Ok(name) = indexed("organization", organization) else { return Ok(Page::last(Vec::new())) };
        let rows = self
            .rows(|| {
                sqlx::query(self.shared.sql.dead_letters.clone())
                    .bind(name)
                    .bind(Uuid::from_u128(after.map_or(u128::MAX, Cursor::minor)))
                    .bind(i64::from(limit) + 1)
            })
            .await?;
        Ok(Page::cut(records::deliveries(&rows, organization)?, limit, records::by_id))
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
        let organization = indexed("organization", &event.organization)?;
        let uuids = |of: fn(&NewDelivery) -> u128| -> Vec<_> {
            event.deliveries.iter().map(|delivery| Uuid::from_u128(of(delivery))).collect()
        };
        let ids = uuids(|delivery| delivery.id.as_u128());
        let subscriptions = uuids(|delivery| delivery.subscription.as_u128());
        let (digest, attributes) = (Sha256::digest(&event.payload).to_vec(), json(&event.attributes));
        let tried = AttemptRow::new(attempt);
        let failed = failed.map(|note| note.replace('\0', "\u{fffd}"));
        let state = tested(failed.as_deref()).as_str();
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
                .bind(tried.number)
                .bind(tried.duration)
                .bind(tried.dns)
                .bind(tried.connect)
                .bind(tried.tls)
                .bind(tried.first_byte)
                .bind(tried.total)
                .bind(tried.status)
                .bind(tried.retry_after)
                .bind(tried.error)
                .bind(tried.excerpt.as_bytes())
                .bind(event.contract.name())
                .bind(event.contract.version())
                .bind(tried.reason)
                .bind(tried.head_status)
        })
        .await?;
        Ok(())
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
        self.cancel_delivery(id, now).await
    }

    async fn replay(&self, replay: &Replay, limit: u32, now: OffsetDateTime) -> Result<Replayed, StoreError> {
        self.replay_batch(replay, now, limit).await
    }

    async fn missing_payloads(
        &self,
        replay: &Replay,
        limit: u32,
        now: OffsetDateTime,
    ) -> Result<Vec<MissingPayload>, StoreError> {
        self.find_missing(replay, now, limit).await
    }

    async fn add_payloads(&self, organization: &str, payloads: &[MadePayload]) -> Result<(), StoreError> {
        self.add_made(organization, payloads).await
    }

    async fn expunge(
        &self,
        organization: &str,
        contract: &str,
        event: &EventId,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        self.expunge_event(organization, contract, event, now).await
    }
}
