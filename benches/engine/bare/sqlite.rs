//! The queue in a SQLite file: WAL, synchronous FULL, one transaction for each group.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use time::OffsetDateTime;
use tokio::sync::Mutex;

use super::{Done, Queue, Row};

macro_rules! insert {
    ($($row:literal)*) => {
        concat!("INSERT INTO deliveries (id, event, endpoint, body, due_at, attempts) VALUES (?,?,?,?,?,0)", $($row),*)
    };
}

pub(crate) struct BareSqlite {
    // Whoever writes holds it, so that nobody polls the file's lock.
    connection: Mutex<SqliteConnection>,
}

impl BareSqlite {
    pub(crate) async fn open(path: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let mut connection = options.connect().await.expect("the folder takes a database");
        sqlx::raw_sql(SCHEMA).execute(&mut connection).await.expect("the schema is SQL");
        Self { connection: Mutex::new(connection) }
    }
}

impl Queue for BareSqlite {
    fn gathers(&self) -> bool {
        true
    }

    async fn insert(&self, rows: Vec<Row>) {
        let now = now();
        let mut rows = &rows[..];
        let mut connection = self.connection.lock().await;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.expect("SQLite writes");
        // In statements of few sizes, so that they stay prepared.
        while !rows.is_empty() {
            let (size, sql) = INSERTS.into_iter().find(|(size, _)| *size <= rows.len()).expect("one fits");
            let (some, rest) = rows.split_at(size);
            let mut query = sqlx::query(sql);
            for row in some {
                query = query
                    .bind(row.id)
                    .bind(row.event as i64)
                    .bind(row.endpoint as i64)
                    .bind(&row.body[..])
                    .bind(now);
            }
            query.execute(&mut *transaction).await.expect("SQLite writes");
            rows = rest;
        }
        transaction.commit().await.expect("SQLite writes");
    }

    async fn turn(&self, done: &[Done], limit: usize) -> Vec<Row> {
        let mut connection = self.connection.lock().await;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.expect("SQLite writes");
        if !done.is_empty() {
            let done: Vec<_> =
                done.iter().map(|done| (done.id, done.started_at, done.duration, done.status)).collect();
            let json = serde_json::to_string(&done).expect("numbers are JSON");
            for sql in [ATTEMPTS, DONE] {
                sqlx::query(sql).bind(&json).execute(&mut *transaction).await.expect("SQLite writes");
            }
        }
        let claimed = match limit {
            0 => Vec::new(),
            _ => sqlx::query(CLAIM)
                .bind(now())
                .bind(now() + LEASE)
                .bind(limit as i64)
                .fetch_all(&mut *transaction)
                .await
                .expect("SQLite writes"),
        };
        transaction.commit().await.expect("SQLite writes");
        claimed
            .iter()
            .map(|row| Row {
                id: row.get(0),
                event: row.get::<i64, _>(1) as u64,
                endpoint: row.get::<i64, _>(2) as usize,
                body: row.get::<Vec<u8>, _>(3).into(),
            })
            .collect()
    }
}

fn now() -> i64 {
    (OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000) as i64
}

const LEASE: i64 = 60_000_000;

const SCHEMA: &str = "\
CREATE TABLE deliveries (
  id INTEGER PRIMARY KEY, event INTEGER NOT NULL, endpoint INTEGER NOT NULL, body BLOB NOT NULL, due_at INTEGER, attempts INTEGER NOT NULL);
CREATE INDEX deliveries_due ON deliveries (due_at) WHERE due_at IS NOT NULL;
CREATE TABLE attempts (
  id INTEGER PRIMARY KEY, delivery INTEGER NOT NULL, started_at INTEGER NOT NULL, duration INTEGER NOT NULL,
  status INTEGER NOT NULL);";

const CLAIM: &str = "\
UPDATE deliveries SET due_at = ?2
WHERE id IN (SELECT id FROM deliveries WHERE due_at <= ?1 ORDER BY due_at LIMIT ?3)
RETURNING id, event, endpoint, body";

const ATTEMPTS: &str = "\
INSERT INTO attempts (delivery, started_at, duration, status)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?1)";

const DONE: &str = "\
UPDATE deliveries SET due_at = NULL, attempts = attempts + 1 WHERE id IN (SELECT value ->> 0 FROM json_each(?1))";

const INSERTS: [(usize, &str); 3] = [
    (
        25,
        insert!(
        ",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)"
        ",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)"
        ",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)"
        ",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)"),
    ),
    (5, insert!(",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)" ",(?,?,?,?,?,0)")),
    (1, insert!()),
];
