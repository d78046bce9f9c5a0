//! Writing and listing the subscriptions of a [`SqliteStore`].

use time::OffsetDateTime;

use super::cancel;
use super::error::failed;
use super::rows::{DIALECT, query};
use super::store::SqliteStore;
use crate::id::SubscriptionId;
use crate::store::sql::columns::{Columns as _, corrupt};
use crate::store::sql::subscriptions::{self, SubscriptionRow};
use crate::store::{Added, Cursor, Page, Scanned, SecretDigest, StoreError, Subscriptions};
use crate::subscription::{Subscription, SubscriptionStatus};

impl Subscriptions for SqliteStore {
    async fn put(&self, subscription: &Subscription) -> Result<(), StoreError> {
        subscriptions::put(self, subscription).await
    }

    async fn replace(&self, seen: &Subscription, subscription: &Subscription) -> Result<bool, StoreError> {
        subscriptions::replace(self, seen, subscription).await
    }

    async fn add(
        &self,
        subscription: &Subscription,
        secret: Option<&SecretDigest>,
        limit: u32,
    ) -> Result<Added, StoreError> {
        let row = SubscriptionRow::new(&DIALECT, subscription)?;
        let mut values = row.values();
        values.push(limit.into());
        let mut writing = self.writer.begin().await?;
        let there = query(&self.shared.subscription, &[subscription.id.into()]);
        if there.fetch_optional(writing.connection()).await.map_err(failed)?.is_some() {
            writing.roll_back().await?;
            return Ok(Added::Exists);
        }
        let add = query(&self.sql.add_subscription, &values);
        if add.execute(writing.connection()).await.map_err(failed)?.rows_affected() == 0 {
            writing.roll_back().await?;
            return Ok(Added::Full);
        }
        if let Some(secret) = secret {
            let hold =
                query(&self.shared.hold_secret, &[subscription.id.into(), secret.as_bytes()[..].into()]);
            let holder = hold.fetch_one(writing.connection()).await.map_err(failed)?;
            if holder.uuid("subscription").map_err(corrupt)? != subscription.id.as_u128() {
                writing.roll_back().await?;
                return Ok(Added::SecretInUse);
            }
        }
        writing.commit().await?;
        Ok(Added::Done)
    }

    async fn hold_secret(&self, id: SubscriptionId, secret: &SecretDigest) -> Result<bool, StoreError> {
        subscriptions::hold_secret(self, id, secret).await
    }

    async fn set_status(&self, id: SubscriptionId, status: &SubscriptionStatus) -> Result<bool, StoreError> {
        subscriptions::set_status(self, id, status).await
    }

    async fn delete(&self, id: SubscriptionId, now: OffsetDateTime) -> Result<bool, StoreError> {
        let mut writing = self.writer.begin().await?;
        let is_deleted = cancel::delete_subscription(&self.sql, writing.connection(), id, now).await?;
        writing.commit().await?;
        Ok(is_deleted)
    }

    async fn list(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<Scanned>, StoreError> {
        subscriptions::list(self, organization, after, limit).await
    }

    async fn scan(&self, after: Option<SubscriptionId>, limit: u32) -> Result<Vec<Scanned>, StoreError> {
        subscriptions::scan(self, after, limit).await
    }
}
