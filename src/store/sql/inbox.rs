//! Committing, releasing and pruning handled events, the same in every database.

use std::time::Duration;

use time::OffsetDateTime;

use super::columns::reach;
use super::database::Database;
use super::value::Value;
use crate::store::{InboxKey, Lease, StoreError};

pub(in crate::store) async fn commit(
    db: &impl Database,
    key: &InboxKey,
    lease: Lease,
    keep: Duration,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let Some(values) = committing(db, key, lease, keep, now) else { return Ok(false) };
    Ok(!db.change(&db.shared().commit, &values).await?.is_empty())
}

/// Returns the parameters of `commit`, or `None` if no row can have this key or lease.
pub(in crate::store) fn committing<'a>(
    db: &impl Database,
    key: &'a InboxKey,
    lease: Lease,
    keep: Duration,
    now: OffsetDateTime,
) -> Option<[Value<'a>; 5]> {
    let [source, id, lease] = held(db, key, lease)?;
    Some([source, id, lease, db.time(now).into(), reach(keep).into()])
}

pub(in crate::store) async fn release(
    db: &impl Database,
    key: &InboxKey,
    lease: Lease,
) -> Result<bool, StoreError> {
    let Some(values) = held(db, key, lease) else { return Ok(false) };
    Ok(!db.change(&db.shared().release, &values).await?.is_empty())
}

pub(in crate::store) async fn prune_handled(
    db: &impl Database,
    limit: u32,
    now: OffsetDateTime,
) -> Result<u64, StoreError> {
    let pruned = db.change(&db.shared().prune_handled, &[db.time(now).into(), limit.into()]).await?;
    Ok(u64::try_from(pruned.len()).unwrap_or(u64::MAX))
}

fn held<'a>(db: &impl Database, key: &'a InboxKey, lease: Lease) -> Option<[Value<'a>; 3]> {
    let source = db.dialect().key("source", &key.source).ok()?;
    Some([source.into(), (&key.id).into(), i64::try_from(lease.number()).ok()?.into()])
}
