//! Storing requests, in the caller's transaction.

use sqlx::SqliteConnection;

use super::error::failed;
use super::statements::Statements;
use crate::event::EventId;
use crate::store::sql::columns::{json, micros};
use crate::store::{Copies, StoreError, Stored, StoredRequest};

/// Stores requests, each by a statement of its own because its body is bound.
pub(super) async fn store(
    sql: &Statements,
    connection: &mut SqliteConnection,
    requests: &[&StoredRequest],
) -> Result<Vec<Stored>, StoreError> {
    let mut told = Vec::with_capacity(requests.len());
    for request in requests {
        if is_copy(sql, connection, request).await? {
            told.push(Stored::Duplicate);
            continue;
        }
        let kept = sqlx::query(sql.store_request.clone())
            .bind(&*request.key.source)
            .bind(request.key.id.as_str())
            .bind(request.queue.as_str())
            .bind(request.event.as_str())
            .bind(request.proof.as_str())
            .bind(micros(request.received_at))
            .bind(request.signed_at.map(micros))
            .bind(request.body.as_ref())
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        told.push(if kept.rows_affected() > 0 { Stored::New } else { Stored::Duplicate });
    }
    Ok(told)
}

/// Whether an equal request of another id arrived shortly before.
async fn is_copy(
    sql: &Statements,
    connection: &mut SqliteConnection,
    request: &StoredRequest,
) -> Result<bool, StoreError> {
    let Some(Copies { ids, since }) = &request.copies else { return Ok(false) };
    let ids: Vec<_> = ids.iter().map(EventId::as_str).collect();
    let found = sqlx::query(sql.copy_of_request.clone())
        .bind(&*request.key.source)
        .bind(json(&ids))
        .bind(micros(*since))
        .fetch_optional(connection)
        .await
        .map_err(failed)?;
    Ok(found.is_some())
}
