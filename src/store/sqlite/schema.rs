//! The tables, their version, and how an older database is brought up to it.

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use super::failed;
use crate::store::StoreError;
use crate::store::tables::{self, Migration, Prefix, Tables};

/// Creates or migrates the tables, unless they are as this code wants them.
///
/// Everything happens in one immediate transaction, so of two processes that start at once one migrates and the other
/// finds it done.
pub(super) async fn migrate(connection: &mut SqliteConnection, prefix: &Prefix) -> Result<(), StoreError> {
    // Looked at without the write lock first: an application that holds it for long does not keep another from starting.
    if version(connection, prefix).await?.check(CODE_VERSION)? == CODE_VERSION {
        return Ok(());
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    let found = version(&mut transaction, prefix).await?.check(CODE_VERSION)?;
    let sql = AssertSqlSafe(tables::script(&MIGRATIONS, found, prefix));
    sqlx::raw_sql(sql).execute(&mut *transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

/// What [`migrate`] would run on an empty database.
pub(super) fn script(prefix: &Prefix) -> String {
    tables::script(&MIGRATIONS, 0, prefix)
}

/// What the tables' names may begin with.
pub(super) fn parse_prefix(text: &str) -> Result<Prefix, StoreError> {
    Prefix::parse(text, MAX_PREFIX, "sqlite_")
}

async fn version(connection: &mut SqliteConnection, prefix: &Prefix) -> Result<Tables, StoreError> {
    let exists = sqlx::query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1 COLLATE NOCASE")
        .bind(prefix.apply("{p}schema"))
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?;
    if exists.is_none() {
        return Ok(Tables::default());
    }
    let sql = AssertSqlSafe(prefix.apply("SELECT version, min_code_version FROM {p}schema"));
    Tables::read(&sqlx::query(sql).fetch_one(connection).await.map_err(failed)?)
}

/// The version of the tables that this code writes.
const CODE_VERSION: i64 = 1;

/// Long enough for any word, short enough for readable index names.
const MAX_PREFIX: usize = 40;

/// Never change one that was released: add another, and raise `min_code_version` only when older code would do harm.
const MIGRATIONS: [Migration; 1] = [Migration {
    version: 1,
    // `due_at` is set where a delivery waits for nothing but time: one that is finished, or waits behind another of its
    // ordering key, has none and is in no index that a look or a claim walks.
    // `place` is the order of insertion among those of one subscription and key.
    // `was_due_at` keeps the claim's order: RETURNING sees new values only.
    // `secrets` tells by hashes which subscription holds which secret.
    // `note` and `is_test` are empty but for few.
    // Which states an index has is asked of each row that is written: a list of them is slow, and the first comparison is to tell.
    // `pruned` says what retention has seen to: 1 the attempts, 2 the payload.
    // `unwanted_at` is set on an event that was inserted without deliveries.
    // A request of the intake waits or is leased (`due_at`), was given up (`given_up_at`), or is done (`keep_until`).
    // The payload comes last, for a column behind it is reached through all of its pages.
    // Instants are microseconds since 1970 in UTC.
    sql: "\
CREATE TABLE {p}schema (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  version INTEGER NOT NULL,
  min_code_version INTEGER NOT NULL
) STRICT;

CREATE TABLE {p}subscriptions (
  id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  organization TEXT NOT NULL,
  url TEXT NOT NULL,
  filter TEXT NOT NULL,
  secrets TEXT NOT NULL,
  status TEXT NOT NULL,
  disabled_at INTEGER,
  paused_until INTEGER NOT NULL DEFAULT 0,
  options TEXT NOT NULL,
  health TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX {p}subscriptions_organization ON {p}subscriptions (organization, created_at);

CREATE TABLE {p}secrets (
  digest BLOB NOT NULL PRIMARY KEY,
  subscription BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX {p}secrets_subscription ON {p}secrets (subscription);

CREATE TABLE {p}events (
  pk INTEGER PRIMARY KEY,
  organization TEXT NOT NULL,
  id TEXT NOT NULL,
  type TEXT NOT NULL,
  digest BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  unwanted_at INTEGER,
  attributes TEXT,
  payload BLOB,
  UNIQUE (organization, id)
) STRICT;
CREATE INDEX {p}events_organization ON {p}events (organization, pk);
CREATE INDEX {p}events_unwanted ON {p}events (unwanted_at) WHERE unwanted_at IS NOT NULL;
CREATE INDEX {p}events_unwanted_payload ON {p}events (unwanted_at)
  WHERE unwanted_at IS NOT NULL AND payload IS NOT NULL;

CREATE TABLE {p}deliveries (
  id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  event INTEGER NOT NULL,
  subscription BLOB NOT NULL,
  state TEXT NOT NULL,
  lease INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  due_at INTEGER CHECK (due_at IS NULL OR state = 'pending'),
  was_due_at INTEGER,
  first_attempt_at INTEGER,
  created_at INTEGER NOT NULL,
  finished_at INTEGER CHECK (finished_at IS NULL = (state = 'pending')),
  pruned INTEGER NOT NULL DEFAULT 0,
  place INTEGER,
  ordering_key TEXT,
  note TEXT,
  is_test INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX {p}deliveries_due ON {p}deliveries (subscription, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX {p}deliveries_order ON {p}deliveries (subscription, ordering_key, place)
  WHERE ordering_key IS NOT NULL AND state = 'pending';
CREATE INDEX {p}deliveries_subscription ON {p}deliveries (subscription, id);
CREATE INDEX {p}deliveries_event ON {p}deliveries (event, subscription);
CREATE INDEX {p}deliveries_dead ON {p}deliveries (subscription, created_at)
  WHERE state <> 'delivered' AND state <> 'pending' AND state <> 'replayed' AND state <> 'discarded';
CREATE INDEX {p}deliveries_letters ON {p}deliveries (subscription, state, id)
  WHERE state <> 'delivered' AND state <> 'pending';
CREATE INDEX {p}deliveries_finished ON {p}deliveries (pruned, finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE {p}attempts (
  pk INTEGER PRIMARY KEY,
  delivery BLOB NOT NULL,
  number INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  duration INTEGER NOT NULL,
  dns INTEGER,
  connect INTEGER,
  tls INTEGER,
  first_byte INTEGER,
  total INTEGER NOT NULL,
  status INTEGER,
  retry_after INTEGER,
  error TEXT,
  excerpt TEXT NOT NULL
) STRICT;
CREATE INDEX {p}attempts_delivery ON {p}attempts (delivery, number);

CREATE TABLE {p}inbox (
  source TEXT NOT NULL,
  id TEXT NOT NULL,
  lease INTEGER NOT NULL,
  lease_until INTEGER NOT NULL,
  committed INTEGER NOT NULL DEFAULT 0,
  keep_until INTEGER NOT NULL,
  PRIMARY KEY (source, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX {p}inbox_keep_until ON {p}inbox (keep_until);

CREATE TABLE {p}intake (
  pk INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  id TEXT NOT NULL,
  queue TEXT NOT NULL,
  event TEXT NOT NULL,
  proof TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  signed_at INTEGER,
  lease INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  due_at INTEGER,
  was_due_at INTEGER,
  first_attempt_at INTEGER,
  given_up_at INTEGER,
  keep_until INTEGER,
  reason TEXT NOT NULL DEFAULT '',
  body BLOB,
  UNIQUE (source, id),
  CHECK ((due_at IS NOT NULL) + (given_up_at IS NOT NULL) + (keep_until IS NOT NULL) = 1)
) STRICT;
CREATE INDEX {p}intake_due ON {p}intake (queue, due_at, pk) WHERE due_at IS NOT NULL;
CREATE INDEX {p}intake_given_up ON {p}intake (queue, source, id) WHERE given_up_at IS NOT NULL;
CREATE INDEX {p}intake_keep_until ON {p}intake (keep_until) WHERE keep_until IS NOT NULL;

INSERT INTO {p}schema (id, version, min_code_version) VALUES (1, 1, 1);
",
}];
