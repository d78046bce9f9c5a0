//! Settling leases.

use crate::delivery::{DeliveryState, Next};
use crate::store::sql::attempt::AttemptRow;
use crate::store::sql::columns::{Columns, Unread, corrupt, micros, reach, stored_lease};
use crate::store::sql::sqlite::connection::Connection;
use crate::store::sql::sqlite::row::Row;
use crate::store::sql::sqlite::rows::later;
use crate::store::sql::sqlite::statements::Statements;
use crate::store::sql::value::Value;
use crate::store::{Settled, Settlement, StoreError};

/// Settles the leases that still hold. A settlement of another lease changes nothing.
pub(in crate::store::sql::sqlite) async fn settle<C: Connection>(
    sql: &Statements,
    connection: &mut C,
    settlements: &[&Settlement],
) -> Result<Vec<Settled>, StoreError> {
    let mut told = Vec::with_capacity(settlements.len());
    for settlement in settlements {
        let is_settled = match stored_lease(settlement.lease) {
            Some(lease) => settle_one(sql, connection, settlement, lease).await?,
            None => false,
        };
        told.push(if is_settled { Settled::Done } else { Settled::Stale });
    }
    Ok(told)
}

async fn settle_one<C: Connection>(
    sql: &Statements,
    connection: &mut C,
    settlement: &Settlement,
    lease: i64,
) -> Result<bool, StoreError> {
    let now = micros(settlement.now);
    let tried = settlement.log().map(AttemptRow::new);
    let place = match settlement.next {
        Next::Retry { after } => {
            let due_at = later(settlement.now, after);
            put_off(sql, connection, settlement, lease, due_at, tried.as_ref()).await?
        }
        Next::Done => {
            end(sql, connection, settlement, lease, DeliveryState::Delivered, tried.as_ref()).await?
        }
        Next::Dead { reason } => {
            end(sql, connection, settlement, lease, DeliveryState::Dead(reason), tried.as_ref()).await?
        }
    };
    let Some(place) = place else { return Ok(false) };
    let (pause, disable) = (settlement.pause(), settlement.disable());
    if pause.is_some() || disable.is_some() {
        let values = [
            place.subscription[..].into(),
            pause.map(|pause| later(settlement.now, pause)).into(),
            pause.map(|_| now).into(),
            disable.map(|reason| reason.as_str()).into(),
            disable.map(|_| now).into(),
        ];
        connection.execute(&sql.settle_subscription, &values).await?;
    }
    if !matches!(settlement.next, Next::Retry { .. }) {
        place.unblock(sql, connection, now).await?;
    }
    Ok(true)
}

/// Puts off a delivery that is still pending; returns where it is, or `None` if the lease does not hold.
async fn put_off<C: Connection>(
    sql: &Statements,
    connection: &mut C,
    settlement: &Settlement,
    lease: i64,
    due_at: i64,
    tried: Option<&AttemptRow<'_>>,
) -> Result<Option<Place>, StoreError> {
    let values = [
        settlement.key.into(),
        lease.into(),
        due_at.into(),
        i64::from(tried.is_some()).into(),
        tried.map(|attempt| attempt.started_at).into(),
        reach(settlement.late).into(),
        settlement.keeps_back().then(|| micros(settlement.now)).into(),
    ];
    let Some(row) = connection.find(&sql.put_off, &values).await? else { return Ok(None) };
    if let Some(attempt) = tried {
        let mut values = vec![settlement.key.into()];
        values.extend(columns_of(Some(attempt)));
        connection.execute(&sql.log_attempt, &values).await?;
    }
    Ok(Some(Place::read(&row).map_err(corrupt)?))
}

/// Moves a delivery to the history; returns where it was, or `None` if the lease does not hold.
async fn end<C: Connection>(
    sql: &Statements,
    connection: &mut C,
    settlement: &Settlement,
    lease: i64,
    state: DeliveryState,
    tried: Option<&AttemptRow<'_>>,
) -> Result<Option<Place>, StoreError> {
    let mut values = vec![
        settlement.key.into(),
        lease.into(),
        state.as_str().into(),
        i64::from(tried.is_some()).into(),
        micros(settlement.now).into(),
    ];
    values.extend(columns_of(tried));
    if !connection.execute(&sql.append_ended, &values).await?.is_any() {
        return Ok(None);
    }
    let removed = connection.find(&sql.remove_ended, &[settlement.key.into()]).await?;
    let removed = removed.ok_or_else(|| corrupt("a delivery that ended is not there"))?;
    Ok(Some(Place::read(&removed).map_err(corrupt)?))
}

/// The columns of an attempt in the order in which the statements take them.
fn columns_of<'a>(attempt: Option<&AttemptRow<'a>>) -> [Value<'a>; 14] {
    let number = |of: fn(&AttemptRow<'_>) -> Option<i64>| attempt.and_then(of).into();
    [
        number(|attempt| Some(attempt.number)),
        number(|attempt| Some(attempt.started_at)),
        number(|attempt| Some(attempt.duration)),
        number(|attempt| attempt.dns),
        number(|attempt| attempt.connect),
        number(|attempt| attempt.tls),
        number(|attempt| attempt.first_byte),
        number(|attempt| Some(attempt.total)),
        number(|attempt| attempt.status),
        number(|attempt| attempt.retry_after),
        attempt.and_then(|attempt| attempt.error).into(),
        attempt.and_then(|attempt| attempt.reason).into(),
        number(|attempt| attempt.head_status),
        attempt.map(|attempt| attempt.excerpt).into(),
    ]
}

/// Where a delivery is pending, or was: its subscription and its ordering key.
pub(in crate::store::sql::sqlite) struct Place {
    /// Its bytes as they are stored, so that a damaged row can be ended.
    pub(in crate::store::sql::sqlite) subscription: Vec<u8>,
    pub(in crate::store::sql::sqlite) key: Option<String>,
}

impl Place {
    pub(in crate::store::sql::sqlite) fn read(row: &Row) -> Result<Self, Unread> {
        let key = row.optional_text("ordering_key")?.map(str::to_owned);
        let subscription = row.optional_bytes("subscription")?.unwrap_or_default().to_vec();
        Ok(Self { subscription, key })
    }

    /// Makes the next delivery of the ordering key due, if there is a key.
    pub(in crate::store::sql::sqlite) async fn unblock<C: Connection>(
        &self,
        sql: &Statements,
        connection: &mut C,
        at: i64,
    ) -> Result<(), StoreError> {
        if let Some(key) = &self.key {
            let values = [self.subscription[..].into(), key[..].into(), at.into()];
            connection.execute(&sql.unblock, &values).await?;
        }
        Ok(())
    }
}
