//! The CRM's own tables, and the changes that each event makes in them.

use hookwire::Envelope;
use hookwire::allison::{CallEnded, ContactCreated, Event};
use hookwire::sqlx::sqlite::{Sqlite, SqlitePool};
use hookwire::sqlx::{self, SqliteConnection, Transaction};

pub(crate) async fn create(pool: &SqlitePool) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(TABLES).execute(pool).await.map(drop)
}

/// Writes the event's changes, and returns the transaction without committing it.
pub(crate) async fn written(
    pool: &SqlitePool,
    envelope: &Envelope<Event>,
) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    match &envelope.data {
        Event::CallEnded(call) => log(&mut transaction, envelope, call).await?,
        Event::ContactCreated(contact) => upsert(&mut transaction, contact).await?,
        // Events of other types change nothing and count as handled.
        _ => {}
    }
    Ok(transaction)
}

async fn log(
    connection: &mut SqliteConnection,
    envelope: &Envelope<Event>,
    call: &CallEnded,
) -> Result<(), sqlx::Error> {
    if let Some(contact_id) = &call.contact_id {
        // Events may overtake each other, so the call may arrive before the contact's own event.
        let mut contact = ContactCreated::new(contact_id);
        contact.phone_number = call.from_number.clone();
        upsert(connection, &contact).await?;
    }
    sqlx::query("INSERT INTO calls (call_id, event_id, contact_id, ended_at, seconds, summary) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(&call.call_id)
        .bind(envelope.id.as_str())
        .bind(&call.contact_id)
        .bind(call.ended_at.unwrap_or(envelope.created_at).unix_timestamp())
        .bind(call.duration_seconds.and_then(|seconds| i64::try_from(seconds).ok()))
        .bind(&call.summary)
        .execute(connection)
        .await
        .map(drop)
}

/// Sets the columns that the contact has a value for, and leaves the others as they are.
async fn upsert(connection: &mut SqliteConnection, contact: &ContactCreated) -> Result<(), sqlx::Error> {
    sqlx::query(UPSERT)
        .bind(&contact.contact_id)
        .bind(&contact.name)
        .bind(&contact.phone_number)
        .bind(&contact.email)
        .execute(connection)
        .await
        .map(drop)
}

const UPSERT: &str = "\
INSERT INTO contacts (contact_id, name, phone_number, email) VALUES (?, ?, ?, ?)
ON CONFLICT (contact_id) DO UPDATE SET
    name = coalesce(excluded.name, name),
    phone_number = coalesce(excluded.phone_number, phone_number),
    email = coalesce(excluded.email, email)";

/// No key keeps a call from being there twice, because the inbox does.
const TABLES: &str = "\
CREATE TABLE IF NOT EXISTS contacts (contact_id TEXT PRIMARY KEY, name TEXT, phone_number TEXT, email TEXT);
CREATE TABLE IF NOT EXISTS calls (
    call_id TEXT NOT NULL, event_id TEXT NOT NULL, contact_id TEXT, ended_at INTEGER NOT NULL, seconds INTEGER, summary TEXT
);";
