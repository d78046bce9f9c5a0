//! Inserting events, alone, together with other callers' events, or in the caller's transaction.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{PgConnection, Row as _};
use tokio::sync::oneshot;

use super::errors::failed;
use super::event_rows::EventRows;
use super::insert_queue::QueuedInsert;
use super::store::PostgresStore;
use crate::store::sql::columns::{self, Columns as _, corrupt};
use crate::store::sql::waiting::{Serving, runtime_ended};
use crate::store::{
    DueDelivery, InsertOutcome, Inserted, Lease, Leased, NewDelivery, NewEvent, Settlement, Store as _,
    StoreError,
};

impl PostgresStore {
    pub(super) async fn insert_events(&self, events: &[&NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        let rows = EventRows::new(events)?;
        let reply = self.rows(|| self.insert_query(&rows, true)).await?;
        match inserted(events, &rows, &reply)? {
            Reply::Inserted(inserted) => Ok(inserted),
            Reply::Stale(stale) => {
                let rest = stale.rest(events);
                stale.merge(if rest.is_empty() {
                    Vec::new()
                } else {
                    Box::pin(self.insert_events(&rest)).await?
                })
            }
        }
    }

    /// Inserts without leasing, and without locking order groups, because the locks would be held until the
    /// caller commits.
    pub(super) async fn insert_events_in(
        &self,
        connection: &mut PgConnection,
        events: &[NewEvent],
    ) -> Result<Vec<Inserted>, StoreError> {
        let mut events: Vec<_> = events.iter().collect();
        let mut left_out = Vec::new();
        let mut written = Vec::new();
        while !events.is_empty() {
            let rows = EventRows::new(&events)?.without_leases();
            let reply = self.rows_on(connection, self.insert_query(&rows, false)).await?;
            match inserted(&events, &rows, &reply)? {
                Reply::Stale(stale) => {
                    events = stale.rest(&events);
                    left_out.push(stale);
                }
                Reply::Inserted(inserted) => {
                    written = inserted;
                    break;
                }
            }
        }
        left_out.iter().rev().try_fold(written, |rest, stale| stale.merge(rest))
    }

    /// Inserts events together with those of other callers. When its future is dropped, the events are
    /// written or not, as with a statement that is on its way.
    pub(super) async fn insert_together(&self, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        let (reply, answered) = oneshot::channel();
        let (_, serves) = self.shared.inserts.join(QueuedInsert { events: events.to_vec(), reply });
        if serves {
            let store = self.clone();
            tokio::spawn(async move { store.insert_queued().await });
        }
        answered.await.map_err(|_| runtime_ended())?
    }

    async fn insert_queued(&self) {
        let mut serving = Serving::new(&self.shared.inserts);
        while serving.goes_on() {
            self.insert_batch(self.shared.inserts.take()).await;
        }
    }

    async fn insert_batch(&self, mut queued: Vec<QueuedInsert>) {
        let events: Vec<_> = queued.iter().flat_map(|insert| &insert.events).collect();
        match self.insert_events(&events).await {
            Ok(outcomes) => {
                let mut outcomes = outcomes.into_iter();
                let mut unheard = Vec::new();
                for QueuedInsert { events, reply } in queued {
                    // The caller may have stopped waiting; its events were written all the same.
                    if let Err(Ok(own)) = reply.send(Ok(outcomes.by_ref().take(events.len()).collect())) {
                        let leased = own.into_iter().flat_map(|inserted| inserted.leased);
                        unheard.extend(leased.map(|leased| {
                            Settlement::hand_back(leased.delivery, leased.lease, events[0].inserted_at)
                        }));
                    }
                }
                if !unheard.is_empty() {
                    // No caller is left to send these deliveries. Make them due at once, and not when their
                    // leases end.
                    _ = self.settle(&unheard).await;
                }
            }
            // Nothing was written. Each insert goes alone, so that none is refused because of another.
            Err(error) if queued.len() > 1 && !error.is_retryable() => {
                for insert in queued.drain(..) {
                    Box::pin(self.insert_batch(vec![insert])).await;
                }
            }
            Err(error) => {
                for QueuedInsert { reply, .. } in queued {
                    _ = reply.send(Err(error.clone()));
                }
            }
        }
    }

    fn insert_query(&self, rows: &EventRows<'_>, locks: bool) -> Query<'static, Postgres, PgArguments> {
        rows.query(&self.shared.sql.insert).bind(locks).bind(self.shared.caller_time)
    }
}

/// The rows that an insert returned.
enum Reply {
    Inserted(Vec<Inserted>),
    /// Nothing was written, because some of the events are stale.
    Stale(Stale),
}

/// Which events of an insert are stale.
struct Stale(Vec<bool>);

impl Stale {
    /// Returns the events that are not.
    fn rest<'a>(&self, events: &[&'a NewEvent]) -> Vec<&'a NewEvent> {
        events.iter().zip(&self.0).filter(|(_, is_stale)| !**is_stale).map(|(event, _)| *event).collect()
    }

    /// Returns the results of all events, from those of the rest.
    fn merge(&self, rest: Vec<Inserted>) -> Result<Vec<Inserted>, StoreError> {
        let mut rest = rest.into_iter();
        let result = |is_stale: &bool| match is_stale {
            true => Ok(Inserted::new(InsertOutcome::Stale)),
            false => rest.next().ok_or_else(|| corrupt("an insert returned too few outcomes")),
        };
        self.0.iter().map(result).collect()
    }
}

/// Reads the rows that an insert returned: the outcomes first, then the deliveries that it leased.
fn inserted(events: &[&NewEvent], rows: &EventRows<'_>, reply: &[PgRow]) -> Result<Reply, StoreError> {
    let [first, leased @ ..] = reply else { return Err(corrupt("an insert returned no row")) };
    let outcomes: Vec<i16> = first.try_get("outcomes").map_err(failed)?;
    if outcomes.contains(&STALE) {
        let stale = outcomes.into_iter().map(|outcome| outcome == STALE).collect();
        return Ok(Reply::Stale(Stale(rows.in_order(stale))));
    }
    let outcomes = outcomes.into_iter().map(|outcome| match outcome {
        0 => InsertOutcome::New,
        1 => InsertOutcome::Duplicate,
        _ => InsertOutcome::Conflict,
    });
    let outcomes = rows.in_order(outcomes.collect());
    let mut subscriptions = HashMap::new();
    let mut due = HashMap::new();
    for row in leased {
        let (delivery, subscription) = (row.uuid("delivery"), row.uuid("id"));
        let subscription = subscription.map_err(corrupt)?;
        if row.try_get("has_subscription").map_err(failed)? {
            // A delivery whose subscription cannot be read stays leased, and is claimed and reported when the
            // lease ends.
            subscriptions.insert(subscription, columns::subscription(row, "id").ok().map(Arc::new));
        }
        due.insert(delivery.map_err(corrupt)?, row.instant("was_due_at").map_err(corrupt)?);
    }
    let leased = |event: &NewEvent, delivery: &NewDelivery| {
        let due_at = *due.get(&delivery.id.as_u128())?;
        let subscription = Arc::clone(subscriptions.get(&delivery.subscription.as_u128())?.as_ref()?);
        let (contract, payload) = event.payload_of(delivery);
        let (id, event_type) = (event.id.clone(), event.event_type.clone());
        let (contract, payload) = (contract.clone(), payload.clone());
        let due = DueDelivery::new(delivery.id, contract, id, event_type, payload, subscription);
        Some(Leased::new(due.with_due_at(due_at).with_trace(event.trace), FIRST_LEASE))
    };
    let inserted = |(event, outcome): (&&NewEvent, InsertOutcome)| {
        let is_new = outcome == InsertOutcome::New;
        let deliveries = event.deliveries.iter().filter(|_| is_new);
        let leased = deliveries.filter_map(|delivery| leased(event, delivery)).collect();
        Inserted::new(outcome).with_leased(leased)
    };
    Ok(Reply::Inserted(events.iter().zip(outcomes).map(inserted).collect()))
}

/// The outcome of a stale event.
const STALE: i16 = 3;

/// The lease of a delivery that its insert leased.
const FIRST_LEASE: Lease = Lease::new(1);
