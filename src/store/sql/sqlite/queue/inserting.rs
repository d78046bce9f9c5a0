//! [`Inserting`]: an insert in progress, and the rows that it writes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use time::OffsetDateTime;

use crate::id::SubscriptionId;
use crate::store::sql::columns::{self, Columns as _, corrupt, json};
use crate::store::sql::sqlite::error::failed;
use crate::store::sql::sqlite::rows::{DIGEST, DeliveryRow, EventRow, NamedRow, PayloadRow, hex};
use crate::store::sql::sqlite::script::{Script, StatementResult, StatementResults};
use crate::store::sql::sqlite::statements::Statements;
use crate::store::{
    DueDelivery, InsertOutcome, Inserted, Lease, Leased, NewDelivery, NewEvent, NewPayload, StoreError,
};
use crate::subscription::Subscription;

/// An insert in progress: its events, and whether their deliveries may be leased.
pub(super) struct Inserting<'a> {
    events: &'a [&'a NewEvent],
    leases: bool,
    children: Children<'a>,
}

impl<'a> Inserting<'a> {
    /// Adds one statement for all events, and a few for all of their payloads and deliveries, which write
    /// nothing unless every event is new.
    pub(super) fn ask(
        sql: &Statements,
        script: &mut Script,
        events: &'a [&'a NewEvent],
        leases: bool,
    ) -> Self {
        let mut rows = Vec::with_capacity(events.len());
        let mut bytes = Parts::default();
        for event in events {
            rows.push(EventRow::new(event, bytes.next()));
            bytes.push(&event.payload);
        }
        let Parts { digests, bytes } = bytes;
        script.statement(&sql.insert_events).bind(json(&rows)).bind(digests).bind(bytes);
        let mut children = Children::new(leases);
        for (event, place) in events.iter().zip(1..) {
            children.push_event(event, place);
        }
        children.ask(sql, script, Some(events.len()));
        Self { events, leases, children }
    }

    /// Returns the results, and whether some events existed already, which took more statements.
    pub(super) async fn finish(
        self,
        sql: &Statements,
        connection: &mut SqliteConnection,
        results: &mut StatementResults,
    ) -> Result<(Vec<Inserted>, bool), StoreError> {
        let StatementResult { changed: new, last_row, .. } = results.take()?;
        let leased = self.children.take(results)?;
        if new == self.events.len() as i64 {
            return Ok((self.events.iter().map(|event| leased.inserted(event)).collect(), false));
        }
        // Nobody else writes meanwhile, so the rows of this insert have the highest numbers.
        let before = if new > 0 { last_row - new } else { i64::MAX };
        let places = known(sql, connection, self.events, before).await?;
        let mut children = Children::new(self.leases);
        for (event, (pk, outcome)) in self.events.iter().zip(&places) {
            if *outcome == InsertOutcome::New {
                children.push_event(event, *pk);
            }
        }
        let leased = children.insert(sql, connection).await?;
        let inserted = |(event, (_, outcome)): (&&NewEvent, (i64, InsertOutcome))| match outcome {
            InsertOutcome::New => leased.inserted(event),
            outcome => Inserted::new(outcome),
        };
        Ok((self.events.iter().zip(places).map(inserted).collect(), true))
    }
}

/// The digests and the bytes of payloads, all concatenated.
#[derive(Default)]
struct Parts {
    digests: Vec<u8>,
    bytes: Vec<u8>,
}

impl Parts {
    /// Returns the position at which the next payload begins. SQLite counts from 1.
    fn next(&self) -> usize {
        self.bytes.len() + 1
    }

    fn push(&mut self, payload: &[u8]) {
        self.digests.extend_from_slice(&Sha256::digest(payload));
        self.bytes.extend_from_slice(payload);
    }
}

/// Returns the row number and the outcome of each event, for an insert that did not write all of them.
///
/// An event is new if its row number is above `before`, its edition is that of the organization, and no
/// earlier event of the batch has that row. An event is stale if it has no row, or if it has another edition
/// and shares the row of a new one.
async fn known(
    sql: &Statements,
    connection: &mut SqliteConnection,
    events: &[&NewEvent],
    before: i64,
) -> Result<Vec<(i64, InsertOutcome)>, StoreError> {
    let digest =
        |bytes: &[u8]| -> String { Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect() };
    let rows: Vec<_> = events
        .iter()
        .map(|event| {
            let older =
                event.older.iter().map(|payload| (payload.contract.version(), digest(&payload.bytes)));
            NamedRow {
                organization: &event.organization,
                contract: event.contract.name(),
                id: event.id.as_str(),
                digests: [(event.contract.version(), digest(&event.payload))]
                    .into_iter()
                    .chain(older)
                    .collect(),
            }
        })
        .collect();
    let found = sqlx::query(sql.known_events.clone())
        .bind(json(&rows))
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    let read = |row: &SqliteRow| {
        Ok((row.try_get("place")?, row.try_get("pk")?, row.try_get("is_same")?, row.try_get("edition")?))
    };
    let mut found: Vec<(i64, i64, bool, i64)> =
        found.iter().map(read).collect::<Result<_, sqlx::Error>>().map_err(failed)?;
    found.sort_unstable();
    let mut seen = HashSet::new();
    let mut found = found.into_iter().peekable();
    let outcome =
        |(place, event): (i64, &&NewEvent)| match (found.next_if(|(of, ..)| *of == place), event.edition) {
            (Some((_, pk, _, edition)), Some(own))
                if pk > before && own.number().cast_signed() != edition =>
            {
                Ok((0, InsertOutcome::Stale))
            }
            (Some((_, pk, ..)), _) if pk > before && seen.insert(pk) => Ok((pk, InsertOutcome::New)),
            (Some((_, pk, true, _)), _) => Ok((pk, InsertOutcome::Duplicate)),
            (Some((_, pk, false, _)), _) => Ok((pk, InsertOutcome::Conflict)),
            (None, Some(_)) => Ok((0, InsertOutcome::Stale)),
            (None, None) => Err(corrupt("an event that was written is not there")),
        };
    (0..).zip(events).map(outcome).collect()
}

/// The older payloads and the deliveries of events, which are written by one statement for each table.
pub(in crate::store::sql::sqlite) struct Children<'a> {
    payloads: Vec<PayloadRow<'a>>,
    parts: Parts,
    deliveries: Vec<DeliveryRow<'a>>,
    ranks: HashMap<(SubscriptionId, &'a str), u32>,
    /// Whether deliveries may be leased; the ids of those to lease, and of their subscriptions.
    leases: bool,
    leased: Vec<String>,
    subscriptions: BTreeSet<String>,
}

impl<'a> Children<'a> {
    pub(in crate::store::sql::sqlite) fn new(leases: bool) -> Self {
        Self {
            payloads: Vec::new(),
            parts: Parts::default(),
            deliveries: Vec::new(),
            ranks: HashMap::new(),
            leases,
            leased: Vec::new(),
            subscriptions: BTreeSet::new(),
        }
    }

    /// Adds the older payloads and the deliveries of an event. `number` is its row number, or its place (from
    /// 1) in the insert just before.
    fn push_event(&mut self, event: &'a NewEvent, number: i64) {
        for payload in &event.older {
            let (digest, from) = (self.payloads.len() * DIGEST + 1, self.parts.next());
            let version = payload.contract.version();
            self.payloads.push(PayloadRow { event: number, version, digest, from, len: payload.bytes.len() });
            self.parts.push(&payload.bytes);
        }
        for delivery in &event.deliveries {
            let version = older(event, delivery).map(|payload| payload.contract.version());
            self.push(delivery, number, version, event.ordering_key.as_deref(), event.inserted_at);
        }
    }

    pub(in crate::store::sql::sqlite) fn push(
        &mut self,
        delivery: &NewDelivery,
        event: i64,
        version: Option<&'a str>,
        key: Option<&'a str>,
        at: OffsetDateTime,
    ) {
        let rank = key.map_or(0, |key| {
            let next = self.ranks.entry((delivery.subscription, key)).or_default();
            *next += 1;
            *next - 1
        });
        if self.leases && delivery.lease.is_some() {
            self.leased.push(hex(delivery.id.as_u128()));
            self.subscriptions.insert(hex(delivery.subscription.as_u128()));
            self.deliveries.push(DeliveryRow::new(delivery, event, version, key, rank, at));
        } else {
            let due = NewDelivery::new(delivery.id, delivery.subscription);
            self.deliveries.push(DeliveryRow::new(&due, event, version, key, rank, at));
        }
    }

    /// Adds the statements. `events` is the size of the insert just before; `None` means that the row numbers
    /// are known.
    fn ask(&self, sql: &Statements, script: &mut Script, events: Option<usize>) {
        let base = if events.is_some() { None } else { Some(0_i64) };
        let events = events.map(|events| events as i64);
        let mut written = events;
        if !self.payloads.is_empty() {
            script.statement(&sql.insert_payloads).bind(json(&self.payloads)).bind(written);
            script.bind(base).bind(events).bind(&self.parts.digests[..]).bind(&self.parts.bytes[..]);
            written = events.map(|_| self.payloads.len() as i64);
        }
        if self.deliveries.is_empty() {
            return;
        }
        let (rows, all): (Arc<str>, _) = (json(&self.deliveries).into(), self.deliveries.len() as i64);
        for (statement, written) in
            [(&sql.insert_directory, written), (&sql.insert_pending, events.map(|_| all))]
        {
            script.statement(statement).bind(Arc::clone(&rows)).bind(written).bind(base).bind(events);
        }
        script.statement(&sql.insert_cancelled).bind(all).bind(rows);
        if !self.leased.is_empty() {
            script.statement(&sql.leased_by_insert).bind(json(&self.leased));
            script.statement(&sql.subscriptions_named).bind(json(&self.subscriptions));
        }
    }

    /// Reads the results of the statements that [`ask`](Self::ask) added.
    fn take(&self, results: &mut StatementResults) -> Result<LeasedNow, StoreError> {
        let written = usize::from(!self.payloads.is_empty()) + if self.deliveries.is_empty() { 0 } else { 3 };
        for _ in 0..written {
            results.take()?;
        }
        if self.leased.is_empty() {
            return Ok(LeasedNow::default());
        }
        LeasedNow::read(&results.take()?, &results.take()?)
    }

    /// Writes the payloads and deliveries of events whose row numbers are known.
    pub(in crate::store::sql::sqlite) async fn insert(
        self,
        sql: &Statements,
        connection: &mut SqliteConnection,
    ) -> Result<LeasedNow, StoreError> {
        if self.payloads.is_empty() && self.deliveries.is_empty() {
            return Ok(LeasedNow::default());
        }
        let mut script = Script::default();
        self.ask(sql, &mut script, None);
        self.take(&mut script.run(connection).await?)
    }
}

/// Returns the payload that a delivery sends, if it is one of the event's older ones.
pub(in crate::store::sql::sqlite) fn older<'a>(
    event: &'a NewEvent,
    delivery: &NewDelivery,
) -> Option<&'a NewPayload> {
    let version = delivery.version.as_deref()?;
    event.older.iter().find(|payload| payload.contract.version() == version)
}

/// The deliveries that an insert leased, and the subscriptions as it read them.
#[derive(Default)]
pub(in crate::store::sql::sqlite) struct LeasedNow {
    deliveries: HashSet<String>,
    subscriptions: HashMap<SubscriptionId, Arc<Subscription>>,
}

impl LeasedNow {
    fn read(leased: &StatementResult, subscriptions: &StatementResult) -> Result<Self, StoreError> {
        let leased: &str = leased.row()?.try_get(0).map_err(failed)?;
        let leased: Vec<String> = serde_json::from_str(leased).map_err(corrupt)?;
        let deliveries = leased.into_iter().map(|id| id.to_ascii_lowercase()).collect();
        let mut read = HashMap::new();
        for row in &subscriptions.rows {
            // A subscription that cannot be read is reported by the claim that follows the end of the lease.
            if let Ok(subscription) = columns::subscription(row, "id") {
                let id = SubscriptionId::from_u128(row.uuid("id").map_err(corrupt)?);
                read.insert(id, Arc::new(subscription));
            }
        }
        Ok(Self { deliveries, subscriptions: read })
    }

    /// Returns the result of a new event.
    fn inserted(&self, event: &NewEvent) -> Inserted {
        let inserted = Inserted::new(InsertOutcome::New);
        if self.deliveries.is_empty() {
            return inserted;
        }
        let leased = event.deliveries.iter().filter_map(|delivery| self.claimed(event, delivery));
        inserted.with_leased(leased.collect())
    }

    fn claimed(&self, event: &NewEvent, delivery: &NewDelivery) -> Option<Leased> {
        if delivery.lease.is_none() || !self.deliveries.contains(&hex(delivery.id.as_u128())) {
            return None;
        }
        let subscription = self.subscriptions.get(&delivery.subscription)?;
        let (contract, payload) = match older(event, delivery) {
            None => (event.contract.clone(), &event.payload),
            Some(older) => (older.contract.clone(), &older.bytes),
        };
        let due = DueDelivery::new(
            delivery.id,
            contract,
            event.id.clone(),
            event.event_type.clone(),
            payload.clone(),
            Arc::clone(subscription),
        );
        Some(Leased::new(due.with_due_at(event.inserted_at).with_trace(event.trace), Lease::new(1)))
    }
}
