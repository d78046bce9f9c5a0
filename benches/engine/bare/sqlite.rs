//! The queue in a SQLite file: WAL, synchronous FULL. One thread writes through SQLite's own interface, and
//! each of its transactions has all that waited when it began.

use std::path::Path;
use std::sync::mpsc;
use std::thread;

use rusqlite::{Connection, Statement, params};
use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::{Done, Queue, Row};

pub(crate) struct BareSqlite {
    writes: mpsc::Sender<Write>,
}

/// A part of the next transaction.
enum Write {
    Insert(Vec<Row>, oneshot::Sender<()>),
    Turn(Vec<Done>, usize, oneshot::Sender<Vec<Row>>),
}

impl BareSqlite {
    pub(crate) fn open(path: &Path) -> Self {
        let connection = Connection::open(path).expect("the folder takes a database");
        connection.execute_batch(SCHEMA).expect("the schema is SQL");
        let (writes, waiting) = mpsc::channel();
        // It ends when the queue is dropped.
        thread::spawn(move || Writer::new(&connection).run(&waiting));
        Self { writes }
    }

    async fn wait_for<T>(&self, write: impl FnOnce(oneshot::Sender<T>) -> Write) -> T {
        let (reply, replied) = oneshot::channel();
        self.writes.send(write(reply)).expect("the writer runs");
        replied.await.expect("the writer replies")
    }
}

impl Queue for BareSqlite {
    async fn insert(&self, rows: Vec<Row>) {
        self.wait_for(|reply| Write::Insert(rows, reply)).await;
    }

    async fn turn(&self, done: &[Done], limit: usize) -> Vec<Row> {
        self.wait_for(|reply| Write::Turn(done.to_vec(), limit, reply)).await
    }
}

/// The statements of the writing thread.
struct Writer<'c> {
    begin: Statement<'c>,
    commit: Statement<'c>,
    insert: Statement<'c>,
    log: Statement<'c>,
    end: Statement<'c>,
    claim: Statement<'c>,
}

impl<'c> Writer<'c> {
    fn new(connection: &'c Connection) -> Self {
        let prepare = |sql| connection.prepare(sql).expect("the statement is SQL");
        Self {
            begin: prepare("BEGIN IMMEDIATE"),
            commit: prepare("COMMIT"),
            insert: prepare(
                "INSERT INTO deliveries (id, event, endpoint, body, due_at, attempts) VALUES (?, ?, ?, ?, ?, 0)",
            ),
            log: prepare("INSERT INTO attempts (delivery, started_at, duration, status) VALUES (?, ?, ?, ?)"),
            end: prepare("UPDATE deliveries SET due_at = NULL, attempts = attempts + 1 WHERE id = ?"),
            claim: prepare(CLAIM),
        }
    }

    fn run(mut self, waiting: &mpsc::Receiver<Write>) {
        while let Ok(first) = waiting.recv() {
            let writes: Vec<_> = [first].into_iter().chain(waiting.try_iter()).collect();
            self.begin.execute([]).expect("SQLite writes");
            // Inserts first, so that what is claimed has them.
            let (inserts, turns): (Vec<_>, Vec<_>) =
                writes.into_iter().partition(|write| matches!(write, Write::Insert(..)));
            let replies: Vec<_> = inserts.into_iter().chain(turns).map(|write| self.write(write)).collect();
            self.commit.execute([]).expect("SQLite writes");
            replies.into_iter().for_each(|reply| reply());
        }
    }

    /// Returns what sends the reply, for after the commit.
    fn write(&mut self, write: Write) -> Box<dyn FnOnce()> {
        match write {
            Write::Insert(rows, reply) => {
                self.insert(&rows);
                Box::new(move || _ = reply.send(()))
            }
            Write::Turn(done, limit, reply) => {
                self.settle(&done);
                let claimed = if limit > 0 { self.claim(limit) } else { Vec::new() };
                Box::new(move || _ = reply.send(claimed))
            }
        }
    }

    fn insert(&mut self, rows: &[Row]) {
        let now = now();
        for row in rows {
            let values = params![row.id, row.event as i64, row.endpoint as i64, &row.body[..], now];
            self.insert.execute(values).expect("SQLite writes");
        }
    }

    fn settle(&mut self, done: &[Done]) {
        for done in done {
            let values = params![done.id, done.started_at, done.duration, done.status];
            self.log.execute(values).expect("SQLite writes");
            self.end.execute([done.id]).expect("SQLite writes");
        }
    }

    fn claim(&mut self, limit: usize) -> Vec<Row> {
        let now = now();
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Row {
                id: row.get(0)?,
                event: row.get::<_, i64>(1)? as u64,
                endpoint: row.get::<_, i64>(2)? as usize,
                body: row.get::<_, Vec<u8>>(3)?.into(),
            })
        };
        let rows = self.claim.query_map(params![now, now + LEASE, limit as i64], read);
        rows.expect("SQLite writes").map(|row| row.expect("SQLite reads what it wrote")).collect()
    }
}

fn now() -> i64 {
    (OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000) as i64
}

const LEASE: i64 = 60_000_000;

const SCHEMA: &str = "\
PRAGMA journal_mode = wal;
PRAGMA synchronous = full;
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
