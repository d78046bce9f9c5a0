//! Full disks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hookwire::dispatch::EmitError;
use hookwire::sqlx::postgres::PgConnection;
use hookwire::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use hookwire::sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use hookwire::store::postgres::PostgresStore;
use hookwire::store::sqlite::SqliteStore;
use hookwire::{EventId, Subscription};

use super::{Database, Opens, Site, accounted_for, copies, on_both_databases};
use crate::endpoint::Endpoint;
use crate::engine::running::Running;
use crate::engine::{DAY, Stage, call};
use crate::postgres_server::{Server, prefix};
use crate::stores::Tested;
use crate::watched_store::Watched;

on_both_databases! {
    a_store_that_takes_no_more_attempts_is_sent_nothing_in_vain
}

/// PostgreSQL reports its error code of a full disk, SQLite an error that is not retryable. SQLite writes the
/// last attempt of a delivery into its row of the history.
async fn a_store_that_takes_no_more_attempts_is_sent_nothing_in_vain<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let mut accepted = vec![site.emit().await];
    let (full, room) = match &site.database {
        Database::Sqlite(_) => (
            "CREATE TRIGGER {p}full BEFORE INSERT ON {p}history BEGIN SELECT RAISE(ABORT, 'full'); END",
            "DROP TRIGGER {p}full",
        ),
        Database::Postgres { .. } => (
            "CREATE FUNCTION {p}full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
              RAISE EXCEPTION 'could not extend file: no space left on device' USING ERRCODE = 'disk_full';
            END $$;
            CREATE TRIGGER {p}full BEFORE INSERT ON {p}attempts FOR EACH ROW EXECUTE FUNCTION {p}full()",
            "DROP TRIGGER {p}full ON {p}attempts",
        ),
    };
    site.database.tamper(full).await;
    let running = Running::start(quick(&site));
    let tried = async |times: u32| {
        let before = site.store.settles();
        while site.store.settles() < before + times {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // The second try means that the first was refused. The first try may have claimed more deliveries with
    // its settlement.
    tried(2).await;
    for _ in 1..20 {
        accepted.push(site.emit().await);
    }
    tried(4).await;
    assert_eq!(endpoint.requests().len(), 1, "what cannot be settled is not sent");
    site.database.tamper(room).await;
    endpoint.arrived(20).await;
    running.stop().await;
    assert!(copies(&endpoint).values().all(|times| *times == 1));
    accounted_for(&site, &subscription, &endpoint, &accepted).await;
}

#[tokio::test]
async fn a_full_sqlite_file_accepts_nothing_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hooks.db");
    let store = SqliteStore::builder().open_pool(small_pool(&path).await).await.unwrap();
    let database = Database::Sqlite(path.clone());
    let site = Site { stage: Stage::on(Watched::new(Arc::new(store)), folder), database };
    let mut application = small_pool(&path).await.acquire().await.unwrap().detach();
    application.execute("CREATE TABLE ballast (bytes BLOB)").await.unwrap();
    let (endpoint, subscription, accepted) = accept(&site).await;
    for bytes in [100_000, 1_000, 1] {
        let more = format!("INSERT INTO ballast VALUES (randomblob({bytes}))");
        while application.execute(AssertSqlSafe(more.clone())).await.is_ok() {}
    }
    refuses_and_goes_on(site, endpoint, subscription, accepted, async {
        application.execute("DELETE FROM ballast").await.unwrap();
    })
    .await;
}

/// Connections to a file of at most four hundred pages.
async fn small_pool(path: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .pragma("max_page_count", "400");
    SqlitePoolOptions::new().max_connections(2).connect_with(options).await.unwrap()
}

/// Needs the right to mount a file system. Without it, only the error code is tested, as above.
#[tokio::test]
async fn a_full_file_system_under_postgres_accepts_nothing_and_goes_on_when_there_is_room() {
    let started = tokio::task::spawn_blocking(|| Server::start_beside_small_disk("16m")).await.unwrap();
    let Some((server, small)) = started else {
        eprintln!("not run: a file system can be mounted by root only");
        return;
    };
    let mut application = PgConnection::connect(&server.url()).await.unwrap();
    let place = format!("CREATE TABLESPACE small LOCATION '{}'", small.display());
    application.execute(AssertSqlSafe(place)).await.unwrap();
    let prefix = prefix();
    let store = PostgresStore::builder().with_prefix(prefix.as_str()).connect(&server.url()).await.unwrap();
    let database = Database::Postgres { url: server.url(), prefix: prefix.clone() };
    let site = Site { stage: Stage::on(Watched::new(Arc::new(store)), ()), database };
    for table in ["events", "deliveries", "attempts"] {
        site.database.tamper(&format!("ALTER TABLE {{p}}{table} SET TABLESPACE small")).await;
    }
    application.execute("CREATE TABLE ballast (line text) TABLESPACE small").await.unwrap();
    let (endpoint, subscription, accepted) = accept(&site).await;
    let more = "INSERT INTO ballast SELECT repeat('x', 1000) FROM generate_series(1, 100)";
    let full = loop {
        if let Err(error) = application.execute(more).await {
            break error;
        }
    };
    let code = full.as_database_error().and_then(|error| error.code().map(|code| code.into_owned()));
    assert_eq!(code.as_deref(), Some("53100"));
    refuses_and_goes_on(site, endpoint, subscription, accepted, async {
        application.execute("DROP TABLE ballast").await.unwrap();
    })
    .await;
}

/// Events that were accepted before the disk was full.
async fn accept<S: Tested>(site: &Site<S>) -> (Endpoint, Subscription, Vec<EventId>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let mut accepted = Vec::new();
    for _ in 0..20 {
        accepted.push(site.emit().await);
    }
    (endpoint, subscription, accepted)
}

async fn refuses_and_goes_on<S: Tested>(
    site: Site<S>,
    endpoint: Endpoint,
    subscription: Subscription,
    mut accepted: Vec<EventId>,
    make_room: impl Future<Output = ()>,
) {
    let mut large = call();
    large.data.summary = Some("x".repeat(500_000));
    let refused = site.outbox().emit("org_1", &large).await.unwrap_err();
    assert!(matches!(&refused, EmitError::Store(error) if error.is_retryable()), "{refused:?}");
    let running = Running::start(quick(&site));
    // The last free pages may still take one settlement.
    while site.store.settles() < 1 && site.store.claims() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    make_room.await;
    accepted.push(site.outbox().emit("org_1", &large).await.unwrap().id);
    endpoint.arrived(21).await;
    running.stop().await;
    assert!(copies(&endpoint).values().all(|times| *times == 1));
    accounted_for(&site, &subscription, &endpoint, &accepted).await;
}

/// A dispatcher with a lease that outlasts every test.
fn quick<S: Tested>(site: &Site<S>) -> hookwire::dispatch::Dispatcher {
    site.dispatcher().with_lease(DAY).with_poll_interval(Duration::from_millis(10))
}
