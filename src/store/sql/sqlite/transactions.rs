//! [`SqliteStore`] as a [`TransactionalStore`].

use sqlx::{Connection as _, SqliteConnection};

use super::error::{failed, is_within_transaction};
use super::queue::inserting::insert;
use super::rows::query;
use super::savepoint::Savepoint;
use super::store::SqliteStore;
use crate::store::built_in::check_event;
use crate::store::sql::subscriptions;
use crate::store::{Inserted, NewEvent, StoreError, Subscribed, TransactionalStore};

/// Joins the transaction that the connection has open. Without one, the events are written in a transaction
/// of their own.
///
/// A transaction that reads before it emits should begin with `BEGIN IMMEDIATE`: SQLite refuses the first
/// write of a transaction that began by reading if another connection has written meanwhile.
///
/// A batch that fails, or whose future is dropped, is undone alone; the rest of the transaction stays as it
/// was.
impl TransactionalStore for SqliteStore {
    type Connection = SqliteConnection;

    async fn subscriptions_in(
        &self,
        connection: &mut SqliteConnection,
        organization: &str,
    ) -> Result<Subscribed, StoreError> {
        let rows = query(&self.shared.subscriptions, &[organization.into()]).fetch_all(connection).await;
        subscriptions::subscribed(&rows.map_err(failed)?)
    }

    async fn insert_in(
        &self,
        connection: &mut SqliteConnection,
        events: &[NewEvent],
    ) -> Result<Vec<Inserted>, StoreError> {
        events.iter().try_for_each(check_event)?;
        let events: Vec<_> = events.iter().collect();
        // Only outside of a transaction, because dropping a nested `begin` halfway rolls back the whole
        // transaction (sqlx 0.9).
        if !connection.is_in_transaction() {
            match connection.begin().await {
                Ok(mut transaction) => {
                    let told = insert(&self.sql, &mut *transaction, &events, false).await?;
                    transaction.commit().await.map_err(failed)?;
                    return Ok(told);
                }
                Err(error) if is_within_transaction(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let mut savepoint = Savepoint::begin(connection).await?;
        let told = insert(&self.sql, savepoint.connection(), &events, false).await?;
        savepoint.release().await?;
        Ok(told)
    }
}
