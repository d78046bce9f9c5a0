//! Leasing stored requests and ending those that were given up, the same in every database.

use std::time::Duration;

use sqlx::SqlStr;
use time::OffsetDateTime;

use super::columns::{Columns as _, Unread, corrupt, reach};
use super::database::Database;
use super::requests;
use super::value::Value;
use crate::store::{
    GivenUpRequest, InboxKey, LeaseRequests, LeasedRequests, NO_ATTEMPT_LEFT, StoreError, WaitingRequests,
};

pub(in crate::store) async fn next_due(
    db: &impl Database,
    queue: &str,
    now: OffsetDateTime,
) -> Result<Option<Duration>, StoreError> {
    let Ok(queue) = db.dialect().key("queue", queue) else { return Ok(None) };
    let found = db.read(&db.shared().next_due_request, &[queue.into(), db.time(now).into()]).await?;
    let wait = found.first().map(|row| row.number("wait")).transpose().map_err(corrupt)?;
    Ok(wait.map(|wait| Duration::from_micros(u64::try_from(wait).unwrap_or(0))))
}

pub(in crate::store) async fn waiting(
    db: &impl Database,
    queue: &str,
    limit: u32,
    now: OffsetDateTime,
) -> Result<WaitingRequests, StoreError> {
    let Ok(queue) = db.dialect().key("queue", queue) else { return Ok(WaitingRequests::default()) };
    let values = [queue.into(), db.time(now).into(), limit.into()];
    let found = db.read(&db.shared().waiting_requests, &values).await?;
    let Some(row) = found.first() else { return Ok(WaitingRequests::default()) };
    let read = || Ok::<_, Unread>((row.number("waiting")?, row.optional_number("age")?));
    let (count, age) = read().map_err(corrupt)?;
    let oldest = age.map(|age| Duration::from_micros(u64::try_from(age).unwrap_or(0)));
    Ok(WaitingRequests::new(u64::try_from(count).unwrap_or(0), oldest))
}

pub(in crate::store) async fn lease_requests(
    db: &impl Database,
    take: &LeaseRequests,
) -> Result<LeasedRequests, StoreError> {
    let Ok(queue) = db.dialect().key("queue", &take.queue) else { return Ok(LeasedRequests::default()) };
    let values = [
        queue.into(),
        db.time(take.now).into(),
        reach(take.lease).into(),
        take.limit.into(),
        take.max_attempts.map_or(i64::MAX, i64::from).into(),
        NO_ATTEMPT_LEFT.into(),
    ];
    requests::leased(queue, &db.change(&db.shared().lease_requests, &values).await?)
}

pub(in crate::store) async fn given_up(
    db: &impl Database,
    queue: &str,
    after: Option<&InboxKey>,
    limit: u32,
) -> Result<Vec<GivenUpRequest>, StoreError> {
    let Ok(queue) = db.dialect().key("queue", queue) else { return Ok(Vec::new()) };
    // The empty text comes before every id.
    let (source, id) = after.map_or(("", ""), |after| (source(db, after), after.id.as_str()));
    let values = [queue.into(), source.into(), id.into(), limit.into()];
    let rows = db.read(&db.shared().given_up_requests, &values).await?;
    rows.iter().map(|row| requests::given_up(queue, row)).collect::<Result<_, _>>().map_err(corrupt)
}

pub(in crate::store) async fn put_back(
    db: &impl Database,
    key: &InboxKey,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let values = [source(db, key).into(), (&key.id).into(), db.time(now).into()];
    end(db, &db.shared().put_back_request, &values).await
}

pub(in crate::store) async fn close_given_up(
    db: &impl Database,
    key: &InboxKey,
    keep: Duration,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let values = [source(db, key).into(), (&key.id).into(), db.time(now).into(), reach(keep).into()];
    end(db, &db.shared().close_request, &values).await
}

async fn end(db: &impl Database, statement: &SqlStr, values: &[Value<'_>]) -> Result<bool, StoreError> {
    Ok(!db.change(statement, values).await?.is_empty())
}

pub(in crate::store) async fn expire_given_up(
    db: &impl Database,
    queue: &str,
    age: Duration,
    keep: Duration,
    limit: u32,
    now: OffsetDateTime,
) -> Result<Vec<InboxKey>, StoreError> {
    let queue = db.dialect().key("queue", queue).unwrap_or_default();
    let values = [queue.into(), db.time(now).into(), reach(age).into(), reach(keep).into(), limit.into()];
    let ended = db.change(&db.shared().expire_requests, &values).await?;
    ended.iter().map(requests::key).collect::<Result<_, _>>().map_err(corrupt)
}

pub(in crate::store) async fn prune_done(
    db: &impl Database,
    limit: u32,
    now: OffsetDateTime,
) -> Result<u64, StoreError> {
    let pruned = db.change(&db.shared().prune_requests, &[db.time(now).into(), limit.into()]).await?;
    Ok(u64::try_from(pruned.len()).unwrap_or(u64::MAX))
}

/// Returns the source of a key, or an empty text, which no request has, if the database cannot hold the
/// source.
pub(in crate::store) fn source<'a>(db: &impl Database, key: &'a InboxKey) -> &'a str {
    db.dialect().key("source", &key.source).unwrap_or_default()
}
