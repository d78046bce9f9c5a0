//! The queue in PostgreSQL. An event is one statement on the connection of its producer; what is settled and
//! claimed is another. Each is one transaction and one round trip.

use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection as _, Row as _};
use time::OffsetDateTime;
use tokio::sync::Mutex;

use super::{Done, Queue, Row};

macro_rules! done {
    () => {
        "\
WITH done AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS t (delivery, at, took, status)),
  logged AS (INSERT INTO attempts (delivery, started_at, duration, status) SELECT * FROM done),
  ended AS (
    UPDATE deliveries SET due_at = NULL, attempts = attempts + 1 FROM done WHERE id = delivery)"
    };
}

macro_rules! turn {
    ($limit:literal) => {
        concat!(
            done!(),
            ", due AS (SELECT id AS due FROM deliveries WHERE due_at <= $5 ORDER BY due_at LIMIT ",
            $limit,
            " FOR UPDATE SKIP LOCKED) \
             UPDATE deliveries SET due_at = $6 FROM due WHERE id = due RETURNING id, event, endpoint, body"
        )
    };
}

pub(crate) struct BarePostgres {
    inserters: PgPool,
    worker: Mutex<PgConnection>,
}

impl BarePostgres {
    /// Opens a connection for each producer.
    pub(crate) async fn open(url: &str, producers: u32) -> Self {
        let pool = PgPoolOptions::new()
            .min_connections(producers)
            .max_connections(producers)
            .test_before_acquire(false);
        let inserters = pool.connect(url).await.expect("the server answers");
        let mut worker = PgConnection::connect(url).await.expect("the server answers");
        sqlx::raw_sql(SCHEMA).execute(&mut worker).await.expect("the schema is SQL");
        // Statements planned while the table is empty would scan the whole table later.
        sqlx::raw_sql(INDEXED).execute(&mut worker).await.expect("the settings are PostgreSQL's");
        Self { inserters, worker: Mutex::new(worker) }
    }
}

impl Queue for BarePostgres {
    async fn insert(&self, rows: Vec<Row>) {
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        let events: Vec<_> = rows.iter().map(|row| row.event as i64).collect();
        let endpoints: Vec<_> = rows.iter().map(|row| row.endpoint as i32).collect();
        let bodies: Vec<_> = rows.iter().map(|row| &row.body[..]).collect();
        let insert = sqlx::query(INSERT).bind(ids).bind(events).bind(endpoints).bind(bodies).bind(now());
        insert.execute(&self.inserters).await.expect("the server writes");
    }

    async fn turn(&self, done: &[Done], limit: usize) -> Vec<Row> {
        let mut connection = self.worker.lock().await;
        let column = |value: fn(&Done) -> i64| done.iter().map(value).collect::<Vec<_>>();
        let mut turn = sqlx::query(turn_sql(limit))
            .bind(column(|done| done.id))
            .bind(column(|done| done.started_at))
            .bind(column(|done| done.duration))
            .bind(column(|done| i64::from(done.status)));
        if limit > 0 {
            turn = turn.bind(now()).bind(now() + LEASE);
        }
        let claimed = turn.fetch_all(&mut *connection).await.expect("the server writes");
        claimed
            .iter()
            .map(|row| Row {
                id: row.get(0),
                event: row.get::<i64, _>(1) as u64,
                endpoint: row.get::<i32, _>(2) as usize,
                body: row.get::<Vec<u8>, _>(3).into(),
            })
            .collect()
    }
}

fn now() -> i64 {
    (OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000) as i64
}

/// The limit is part of the SQL text: with a parameter, the plan may become a scan of the table.
fn turn_sql(limit: usize) -> &'static str {
    match limit {
        0 => concat!(done!(), " SELECT 1 WHERE false"),
        1 => turn!(1),
        5 => turn!(5),
        25 => turn!(25),
        _ => turn!(100),
    }
}

const LEASE: i64 = 60_000_000;

const SCHEMA: &str = "\
CREATE TABLE deliveries (
  id bigint PRIMARY KEY, event bigint NOT NULL, endpoint integer NOT NULL, body bytea NOT NULL, due_at bigint,
  attempts integer NOT NULL DEFAULT 0);
CREATE INDEX deliveries_due ON deliveries (due_at) WHERE due_at IS NOT NULL;
CREATE TABLE attempts (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, delivery bigint NOT NULL, started_at bigint NOT NULL,
  duration bigint NOT NULL, status bigint NOT NULL)";

const INDEXED: &str = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off";

const INSERT: &str = "\
INSERT INTO deliveries (id, event, endpoint, body, due_at)
SELECT id, event, endpoint, body, $5
FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::bytea[]) AS t (id, event, endpoint, body)";
