//! Conversions from the rows of a SQL intake to requests.

use bytes::Bytes;
use time::OffsetDateTime;

use super::columns::{Columns, Unread, corrupt};
use crate::store::{
    GivenUpRequest, InboxKey, Lease, Leased, LeasedRequests, StoreError, StoredRequest, Unreadable,
};

/// Reads the rows that a statement leased. Rows without a due time were given up.
pub(in crate::store) fn leased<R: Columns>(queue: &str, rows: &[R]) -> Result<LeasedRequests, StoreError> {
    let mut found = rows
        .iter()
        .map(|row| {
            let (due_at, place) = (row.optional_number("was_due_at")?, row.number("pk")?);
            Ok(((due_at, place), key(row)?, row.lease()?, row))
        })
        .collect::<Result<Vec<_>, Unread>>()
        .map_err(corrupt)?;
    found.sort_by_key(|(order, ..)| *order);
    let mut leased = LeasedRequests::default();
    for (_, key, lease, row) in found {
        if row.optional_number("due_at").map_err(corrupt)?.is_none() {
            leased.given_up.push(key);
            continue;
        }
        match request_of(queue, &key, lease, row) {
            Ok(request) => leased.requests.push(request),
            Err(unread) => leased.unreadable.push(unreadable(key, lease, row, unread)),
        }
    }
    Ok(leased)
}

/// Reads a request that was given up. If its row cannot be read in full, the rest is empty, because a request
/// may have been given up for that reason, and has to be listed all the same.
pub(in crate::store) fn given_up(queue: &str, row: &impl Columns) -> Result<GivenUpRequest, Unread> {
    let key = key(row)?;
    let request = request(queue, key.clone(), row).unwrap_or_else(|_unread| {
        StoredRequest::new(key, OffsetDateTime::UNIX_EPOCH, Bytes::new()).with_queue(queue)
    });
    let attempts = row.count("attempts").unwrap_or(0);
    Ok(GivenUpRequest::new(request, attempts, row.instant("given_up_at")?, row.text("reason")?))
}

fn request_of(
    queue: &str,
    key: &InboxKey,
    lease: Lease,
    row: &impl Columns,
) -> Result<Leased<StoredRequest>, Unread> {
    let first_attempt_at = row.instant("first_attempt_at")?;
    let request = request(queue, key.clone(), row)?;
    Ok(Leased::new(request, lease).with_attempt(row.count("attempts")?, Some(first_attempt_at)))
}

fn unreadable(key: InboxKey, lease: Lease, row: &impl Columns, unread: Unread) -> Unreadable<InboxKey> {
    let first_attempt_at = row.optional_instant("first_attempt_at").unwrap_or_default();
    Unreadable::new(key, lease, corrupt(unread))
        .with_attempt(row.count("attempts").unwrap_or(1), first_attempt_at)
}

fn request(queue: &str, key: InboxKey, row: &impl Columns) -> Result<StoredRequest, Unread> {
    let body = row.optional_bytes("body")?.ok_or("its body is gone")?;
    Ok(StoredRequest::new(key, row.instant("received_at")?, Bytes::copy_from_slice(body))
        .with_queue(queue)
        .with_event(row.text("event")?.parse()?)
        .with_proof(row.text("proof")?, row.optional_instant("signed_at")?))
}

pub(super) fn key(row: &impl Columns) -> Result<InboxKey, Unread> {
    Ok(InboxKey::new(row.text("source")?, row.text("id")?.parse()?))
}
