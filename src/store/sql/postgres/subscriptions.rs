//! Writing and listing the subscriptions of a [`PostgresStore`].

use time::OffsetDateTime;

use super::store::PostgresStore;
use super::values::{DIALECT, query};
use crate::id::SubscriptionId;
use crate::store::sql::columns::{Columns as _, corrupt};
use crate::store::sql::subscriptions::{self, SubscriptionRow};
use crate::store::sql::value::Value;
use crate::store::{Added, Cursor, Page, Scanned, SecretDigest, StoreError, Subscriptions};
use crate::subscription::{Subscription, SubscriptionStatus};

impl Subscriptions for PostgresStore {
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
        values.push(Value::Bytes(secret.map(|secret| &secret.as_bytes()[..])));
        values.push(limit.into());
        let added = self.one(|| query(&self.shared.sql.add_subscription, &values)).await?;
        match added.text("outcome").map_err(corrupt)? {
            "done" => Ok(Added::Done),
            "exists" => Ok(Added::Exists),
            "full" => Ok(Added::Full),
            "secret in use" => Ok(Added::SecretInUse),
            _ => Err(corrupt("add_subscription_1 returned an unknown outcome")),
        }
    }

    async fn hold_secret(&self, id: SubscriptionId, secret: &SecretDigest) -> Result<bool, StoreError> {
        subscriptions::hold_secret(self, id, secret).await
    }

    async fn set_status(&self, id: SubscriptionId, status: &SubscriptionStatus) -> Result<bool, StoreError> {
        subscriptions::set_status(self, id, status).await
    }

    async fn delete(&self, id: SubscriptionId, now: OffsetDateTime) -> Result<bool, StoreError> {
        self.delete_subscription(id, now).await
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
