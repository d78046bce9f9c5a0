//! Between the rows of a SQL intake and what they mean.
#![cfg(any(feature = "postgres", feature = "sqlite"))]

use bytes::Bytes;
use time::OffsetDateTime;

use super::columns::{Columns, Unread, corrupt};
use crate::store::{
    GivenUpRequest, InboxKey, KeptRequest, Lease, StoreError, Taken, TakenRequest, UnreadableRequest,
};

/// What a statement took of a queue: rows that have a due time are leased, the others were given up.
pub(super) fn taken<R: Columns>(queue: &str, rows: &[R]) -> Result<Taken, StoreError> {
    let mut found = rows
        .iter()
        .map(|row| {
            let (due_at, place) = (row.optional_number("was_due_at")?, row.number("pk")?);
            Ok(((due_at, place), key(row)?, row.lease()?, row))
        })
        .collect::<Result<Vec<_>, Unread>>()
        .map_err(corrupt)?;
    found.sort_by_key(|(order, ..)| *order);
    let mut taken = Taken::default();
    for (_, key, lease, row) in found {
        if row.optional_number("due_at").map_err(corrupt)?.is_none() {
            taken.given_up.push(key);
            continue;
        }
        match leased(queue, &key, lease, row) {
            Ok(request) => taken.requests.push(request),
            Err(unread) => taken.unreadable.push(UnreadableRequest::new(key, lease, corrupt(unread))),
        }
    }
    Ok(taken)
}

/// Of a row that cannot be read, what can be: one that was given up for that is listed like any other.
pub(super) fn given_up(queue: &str, row: &impl Columns) -> Result<GivenUpRequest, Unread> {
    let key = key(row)?;
    let request = request(queue, key.clone(), row).unwrap_or_else(|_unread| {
        KeptRequest::new(key, OffsetDateTime::UNIX_EPOCH, Bytes::new()).with_queue(queue)
    });
    let attempts = row.count("attempts").unwrap_or(0);
    Ok(GivenUpRequest::new(request, attempts, row.instant("given_up_at")?, row.text("reason")?))
}

fn leased(queue: &str, key: &InboxKey, lease: Lease, row: &impl Columns) -> Result<TakenRequest, Unread> {
    let first_attempt_at = row.instant("first_attempt_at")?;
    let request = request(queue, key.clone(), row)?;
    Ok(TakenRequest::new(request, lease, first_attempt_at)
        .at_attempt(row.count("attempts")?, first_attempt_at))
}

fn request(queue: &str, key: InboxKey, row: &impl Columns) -> Result<KeptRequest, Unread> {
    let body = row.optional_bytes("body")?.ok_or("its body is gone")?;
    Ok(KeptRequest::new(key, row.instant("received_at")?, Bytes::copy_from_slice(body))
        .with_queue(queue)
        .with_event(row.text("event")?.parse()?)
        .with_proof(row.text("proof")?, row.optional_instant("signed_at")?))
}

fn key(row: &impl Columns) -> Result<InboxKey, Unread> {
    Ok(InboxKey::new(row.text("source")?, row.text("id")?.parse()?))
}
