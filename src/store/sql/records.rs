//! Reading deliveries, events and statistics, the same in every database.

use sqlx::SqlStr;
use time::OffsetDateTime;

use super::columns::{self, Columns, bounded, corrupt, span};
use super::database::Database;
use super::subscriptions;
use super::value::Value;
use crate::delivery::{Attempt, Delivery, DeliveryState};
use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::built_in::check_note;
use crate::store::{
    Backlog, ContractBacklog, Cursor, DeliveryQuery, EventRecord, Page, Period, Statistics, StoreError,
};

pub(in crate::store) async fn find_delivery(
    db: &impl Database,
    organization: &str,
    id: DeliveryId,
) -> Result<Option<Delivery>, StoreError> {
    Ok(deliveries(&db.read(&db.shared().delivery, &[id.into()]).await?, organization)?.pop())
}

pub(in crate::store) async fn list_deliveries(
    db: &impl Database,
    organization: &str,
    query: &DeliveryQuery,
    after: Option<Cursor>,
    limit: u32,
) -> Result<Page<Delivery>, StoreError> {
    let sql = db.shared();
    let (from, before) = query.ids(after);
    let range = |from: u128| [query.subscription.into(), Value::Id(from), Value::Id(before)];
    let limited = Value::from(i64::from(limit) + 1);
    if query.state.is_none() && query.event_type.is_none() {
        let rows = db.read(&sql.deliveries, &with(range(from), [limited])).await?;
        return Ok(Page::cut(deliveries(&rows, organization)?, limit, by_id));
    }
    let state = Value::from(query.state.map(DeliveryState::as_str));
    let event_type = query.event_type.as_ref().map(|event_type| event_type.as_str()).into();
    let looked_through = Page::<Delivery>::LOOKED_THROUGH;
    let (floor, list) = match query.state {
        Some(DeliveryState::Dead(_)) => (&sql.floor_of_dead, &sql.dead_deliveries_that),
        _ => (&sql.floor, &sql.deliveries_that),
    };
    let mut bounds = with(range(from), [(looked_through - 1).into()]);
    if let Some(DeliveryState::Dead(_)) = query.state {
        bounds.push(state);
    }
    let floor = db.read(floor, &bounds).await?;
    let floor = floor.first().map(|row| row.uuid("id")).transpose().map_err(corrupt)?;
    let narrowed = with(range(floor.unwrap_or(from)), [limited, state, event_type, looked_through.into()]);
    let page = Page::cut(deliveries(&db.read(list, &narrowed).await?, organization)?, limit, by_id);
    Ok(page.or_from(floor.map(|floor| Cursor::new(0, floor))))
}

pub(in crate::store) async fn list_event_deliveries(
    db: &impl Database,
    organization: &str,
    contract: &str,
    event: &EventId,
    after: Option<Cursor>,
    limit: u32,
) -> Result<Page<Delivery>, StoreError> {
    let Some((key, contract)) = keys(db, organization, contract) else {
        return Ok(Page::last(Vec::new()));
    };
    let (subscription, id) = after.map_or((0, 0), |after| (after.major(), after.minor()));
    let limited = i64::from(limit) + 1;
    let values =
        [key.into(), contract.into(), event.into(), Value::Id(subscription), Value::Id(id), limited.into()];
    let found = deliveries(&db.read(&db.shared().deliveries_of_event, &values).await?, organization)?;
    Ok(Page::cut(found, limit, |last: &Delivery| Cursor::new(last.subscription.as_u128(), last.id.as_u128())))
}

pub(in crate::store) async fn list_attempts(
    db: &impl Database,
    delivery: DeliveryId,
) -> Result<Vec<Attempt>, StoreError> {
    let rows = db.read(&db.shared().attempts, &[delivery.into()]).await?;
    rows.iter().map(columns::attempt).collect::<Result<_, _>>().map_err(corrupt)
}

pub(in crate::store) async fn discard(
    db: &impl Database,
    organization: &str,
    id: DeliveryId,
    note: &str,
) -> Result<bool, StoreError> {
    let Ok(organization) = db.dialect().key("organization", organization) else { return Ok(false) };
    check_note(note)?;
    let note = db.dialect().text(note);
    let discarded =
        db.change(&db.shared().discard, &[organization.into(), id.into(), (&*note).into()]).await?;
    Ok(!discarded.is_empty())
}

pub(in crate::store) async fn find_event(
    db: &impl Database,
    organization: &str,
    contract: &str,
    id: &EventId,
) -> Result<Option<EventRecord>, StoreError> {
    let Some((organization, contract)) = keys(db, organization, contract) else { return Ok(None) };
    let found = db.read(&db.shared().event, &[organization.into(), contract.into(), id.into()]).await?;
    let Some(row) = found.first() else { return Ok(None) };
    columns::event_with_payload(row).map(Some).map_err(corrupt)
}

pub(in crate::store) async fn list_events(
    db: &impl Database,
    organization: &str,
    after: Option<Cursor>,
    limit: u32,
) -> Result<Page<EventRecord>, StoreError> {
    let Ok(organization) = db.dialect().key("organization", organization) else {
        return Ok(Page::last(Vec::new()));
    };
    let before = after.map_or(i64::MAX, |after| i64::try_from(after.minor()).unwrap_or(i64::MAX));
    let values = [organization.into(), before.into(), (i64::from(limit) + 1).into()];
    columns::events(&db.read(&db.shared().events, &values).await?, limit).map_err(corrupt)
}

pub(in crate::store) async fn statistics(
    db: &impl Database,
    organization: &str,
    subscription: SubscriptionId,
    period: &Period,
) -> Result<Option<Statistics>, StoreError> {
    let found =
        subscriptions::find(db, subscription).await?.filter(|found| found.organization == organization);
    let Some(found) = found else { return Ok(None) };
    let sql = db.shared();
    let (from, before) = period.ids();
    let range = [subscription.into(), Value::Id(from), Value::Id(before), Period::MOST_DELIVERIES.into()];
    let times = [bounded(period.since).into(), bounded(period.until).into()];
    let slot = Value::from(span(period.slot).max(1));
    let counts = db.read(&sql.counts_of_period, &with(with(range, times), [slot])).await?;
    let counts: Vec<_> = counts.iter().map(columns::counted).collect::<Result<_, _>>().map_err(corrupt)?;
    let mut statistics = Statistics::from_counts(period, counts);
    let latency = one(db, &sql.latency_of_period, &with(range, times)).await?;
    statistics.latency = columns::latency(&latency).map_err(corrupt)?;
    statistics.is_cut = !db.read(&sql.floor, &range).await?.is_empty();
    let backlog = one(db, &sql.backlog, &[subscription.into(), Backlog::MOST.into()]).await?;
    let pending = backlog.count("pending").map_err(corrupt)?;
    statistics.backlog = Backlog::new(pending.into(), backlog.optional_instant("oldest").map_err(corrupt)?);
    statistics.health = found.health;
    Ok(Some(statistics))
}

pub(in crate::store) async fn backlog_by_contract(
    db: &impl Database,
    now: OffsetDateTime,
) -> Result<Vec<ContractBacklog>, StoreError> {
    let values = [db.time(now).into(), Backlog::MOST.into()];
    let rows = db.read(&db.shared().backlog_by_contract, &values).await?;
    rows.iter().map(columns::contract_backlog).collect::<Result<_, _>>().map_err(corrupt)
}

/// Returns the organization and the contract's name, or `None` if no row can have them.
pub(in crate::store) fn keys<'a>(
    db: &impl Database,
    organization: &'a str,
    contract: &'a str,
) -> Option<(&'a str, &'a str)> {
    let key = |name: &str, text: &'a str| db.dialect().key(name, text).ok();
    Some((key("organization", organization)?, key("contract", contract)?))
}

async fn one<D: Database>(db: &D, statement: &SqlStr, values: &[Value<'_>]) -> Result<D::Row, StoreError> {
    db.read(statement, values)
        .await?
        .pop()
        .ok_or_else(|| corrupt("a statement that returns a row returned none"))
}

/// Reads the deliveries of the organization among these rows.
pub(in crate::store) fn deliveries(
    rows: &[impl Columns],
    organization: &str,
) -> Result<Vec<Delivery>, StoreError> {
    let own = rows.iter().filter(|row| row.text("organization").is_ok_and(|own| own == organization));
    own.map(columns::delivery).collect::<Result<_, _>>().map_err(corrupt)
}

pub(in crate::store) fn by_id(last: &Delivery) -> Cursor {
    Cursor::new(0, last.id.as_u128())
}

fn with<'a>(
    first: impl IntoIterator<Item = Value<'a>>,
    rest: impl IntoIterator<Item = Value<'a>>,
) -> Vec<Value<'a>> {
    first.into_iter().chain(rest).collect()
}
