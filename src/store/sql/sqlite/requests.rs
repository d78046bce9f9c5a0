//! Storing requests, in the caller's transaction.

use super::connection::Connection;
use super::statements::Statements;
use crate::event::EventId;
use crate::store::sql::columns::{json, micros};
use crate::store::{Copies, StoreError, Stored, StoredRequest};

/// Stores requests.
pub(super) async fn store<C: Connection>(
    sql: &Statements,
    connection: &mut C,
    requests: &[&StoredRequest],
) -> Result<Vec<Stored>, StoreError> {
    let mut told = Vec::with_capacity(requests.len());
    for request in requests {
        if is_copy(sql, connection, request).await? {
            told.push(Stored::Duplicate);
            continue;
        }
        let values = [
            request.key.source[..].into(),
            (&request.key.id).into(),
            request.queue.as_str().into(),
            request.event.as_str().into(),
            request.proof.as_str().into(),
            micros(request.received_at).into(),
            request.signed_at.map(micros).into(),
            request.body[..].into(),
        ];
        let kept = connection.execute(&sql.store_request, &values).await?;
        told.push(if kept.is_any() { Stored::New } else { Stored::Duplicate });
    }
    Ok(told)
}

/// Whether an equal request of another id arrived shortly before.
async fn is_copy<C: Connection>(
    sql: &Statements,
    connection: &mut C,
    request: &StoredRequest,
) -> Result<bool, StoreError> {
    let Some(Copies { ids, since }) = &request.copies else { return Ok(false) };
    let ids = json(&ids.iter().map(EventId::as_str).collect::<Vec<_>>());
    let values = [request.key.source[..].into(), ids[..].into(), micros(*since).into()];
    Ok(connection.find(&sql.copy_of_request, &values).await?.is_some())
}
