//! Databases that go away, stay silent, are locked, or refuse because of other sessions.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use hookwire::sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use hookwire::sqlx::sqlite::SqliteConnectOptions;
use hookwire::sqlx::{self, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use hookwire::store::postgres::{PoolMode, PostgresStore, PostgresStoreBuilder};
use hookwire::store::sqlite::SqliteStore;
use hookwire::{EventId, Store, Subscriptions};
use uuid::Uuid;

use super::proxy::{Proxy, Strike};
use super::{Database, Site, accounted_for, copies};
use crate::endpoint::{Answer, Endpoint};
use crate::engine::running::Running;
use crate::engine::{DAY, HOUR, NOON, Stage, call};
use crate::postgres_server::{self, Server, prefix};
use crate::stores::Tested;
use crate::watched_store::Watched;

#[tokio::test]
async fn a_connection_that_is_cut_at_any_statement_loses_and_doubles_nothing() {
    let (site, proxy) = behind_proxy(PostgresStore::builder().with_caller_time()).await;
    let mut now = NOON;
    for statement in ["insert_1", "look_1", "claim_1", "settle_1", "SET health"] {
        for strike in [Strike::Before, Strike::After] {
            let endpoint = Endpoint::start([Answer::Status(500)]).await;
            let subscription = site.subscribe(&endpoint).await;
            proxy.order(strike, statement);
            let envelope = call();
            let mut repeated = false;
            let event = loop {
                match site.outbox_at(now).emit("org_1", &envelope).await {
                    Ok(emitted) => {
                        assert_eq!(emitted.duplicate, repeated && strike == Strike::After);
                        break emitted.id;
                    }
                    Err(_) => repeated = true,
                }
            };
            assert_eq!(repeated, statement == "insert_1");
            let dispatcher = site.dispatcher();
            while site.deliveries(&subscription).await[0].state != hookwire::DeliveryState::Delivered {
                // The error, if there is one, is retryable.
                if let Err(error) = dispatcher.step(now).await {
                    assert!(error.is_retryable(), "{error:?}");
                }
                now += HOUR;
                assert!(now < NOON + 365 * DAY, "{statement} {strike:?} leaves it pending for ever");
            }
            assert!(!proxy.is_ordered(), "{statement} was never sent");
            // An attempt that could not be settled is repeated; the successful repetition ends the delivery.
            assert_eq!(copies(&endpoint)[event.as_str()], 2, "{statement} {strike:?}");
            accounted_for(&site, &subscription, &endpoint, &[event]).await;
            assert!(site.plain().delete(subscription.id, now).await.unwrap());
        }
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up_and_asked_again() {
    let builder = PostgresStore::builder().with_caller_time().with_call_timeout(Duration::from_secs(1));
    let (site, proxy) = behind_proxy(builder).await;
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let event = site.emit().await;
    let dispatcher = site.dispatcher();
    let mut now = NOON;
    for statement in ["look_1", "claim_1", "settle_1"] {
        proxy.order(Strike::Silence, statement);
        assert!(dispatcher.step(now).await.unwrap_err().is_retryable(), "{statement}");
        proxy.struck().await;
        now += HOUR;
    }
    site.drain(&dispatcher, now).await;
    assert_eq!(copies(&endpoint)[event.as_str()], 1, "what was settled was settled");
    accounted_for(&site, &subscription, &endpoint, &[event]).await;
}

/// A firewall forgets a connection: the server has answered, and nothing arrives. Its session is idle.
#[tokio::test]
async fn an_answer_that_is_lost_on_the_way_is_not_waited_for_until_the_end() {
    let builder = PostgresStore::builder().with_caller_time().with_call_timeout(Duration::from_secs(600));
    let (site, proxy) = behind_proxy(builder).await;
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let event = site.emit().await;
    let dispatcher = site.dispatcher();
    proxy.order(Strike::Silence, "claim_1");
    let step = tokio::time::timeout(Duration::from_secs(60), dispatcher.step(NOON)).await;
    assert!(step.expect("it gives up").unwrap_err().is_retryable());
    site.drain(&dispatcher, NOON + HOUR).await;
    accounted_for(&site, &subscription, &endpoint, &[event]).await;
}

/// The server takes the connection, and gives no answer to one of the statements by which a store is opened.
#[tokio::test]
async fn an_opening_that_gets_no_answer_says_what_it_waited_for() {
    let url = postgres_server::url();
    let proxy = Proxy::start(url).await;
    let builder = PostgresStore::builder().with_call_timeout(Duration::from_millis(500));
    for (mode, statement, doing) in [
        (PoolMode::Transaction, "BEGIN", "it was asked whether the pooler allows transactions"),
        (PoolMode::Session, "to_regclass", "its tables were looked for"),
        (PoolMode::Session, "pg_advisory_xact_lock", "the lock was waited for"),
        (PoolMode::Session, "CREATE TABLE", "its tables were created or migrated"),
    ] {
        let builder = builder.clone().with_prefix(prefix()).with_pool_mode(mode);
        proxy.order(Strike::Silence, statement);
        let error = builder.connect_with(proxy.options(url)).await.unwrap_err();
        let said = error.source().unwrap().to_string();
        assert!(said.contains(doing) && said.contains("with_call_timeout"), "{statement}: {said}");
        assert!(error.is_retryable());
    }
    let pool = PgPoolOptions::new().connect_with(proxy.options(url)).await.unwrap();
    proxy.order(Strike::Silence, "pg_is_in_recovery");
    let builder = builder.with_prefix(prefix()).with_pool_mode(PoolMode::Session);
    let error = builder.open_pool(pool).await.unwrap_err();
    assert!(error.source().unwrap().to_string().contains("its settings were read"), "{error:?}");
}

#[tokio::test]
async fn a_server_that_dies_during_a_claim_costs_no_event() {
    let (site, server) = on_private_server().await;
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let mut accepted = Vec::new();
    for _ in 0..5 {
        accepted.push(site.emit().await);
    }
    // The claim has leased its rows and waits for the table of events.
    let mut application = PgConnection::connect(&server.url()).await.unwrap();
    application.execute("BEGIN").await.unwrap();
    let lock = format!("LOCK TABLE {}events IN ACCESS EXCLUSIVE MODE", site.prefix());
    application.execute(AssertSqlSafe(lock)).await.unwrap();
    let running = Running::start(site.dispatcher().with_poll_interval(Duration::from_millis(10)));
    blocked(&server.url(), "claim_1").await;
    server.kill();
    server.restart();
    endpoint.arrived(5).await;
    running.stop().await;
    assert!(copies(&endpoint).values().all(|times| *times == 1), "no lease was left behind");
    accounted_for(&site, &subscription, &endpoint, &accepted).await;
}

mod a_database_that_is_gone_after_a_2xx_takes_the_settlement_when_it_is_back {
    use super::*;

    #[tokio::test]
    async fn postgres() {
        let (site, server) = on_private_server().await;
        goes_and_comes(&site, async || server.stop(), async || server.restart()).await;
    }

    /// A file cannot go away. A session that holds the file's lock comes closest.
    #[tokio::test]
    async fn sqlite() {
        let (site, path) = impatient(Duration::from_millis(1)).await;
        let application = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
        let application = tokio::sync::Mutex::new(application);
        let run = async |sql: &'static str| {
            application.lock().await.execute(sql).await.unwrap();
        };
        goes_and_comes(&site, async || run("BEGIN IMMEDIATE").await, async || run("COMMIT").await).await;
    }

    async fn goes_and_comes<S: Tested>(site: &Site<S>, goes: impl AsyncFnOnce(), comes: impl AsyncFnOnce()) {
        let endpoint = Endpoint::start([Answer::Hang]).await;
        let subscription = site.subscribe(&endpoint).await;
        let event = site.emit().await;
        let running = Running::start(site.dispatcher().with_lease(DAY));
        endpoint.arrived(1).await;
        goes().await;
        endpoint.let_go(200);
        while site.store.settles() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        comes().await;
        // Results that cannot be settled at shutdown are retried for a while.
        running.stop().await;
        assert_eq!(copies(&endpoint)[event.as_str()], 1);
        accounted_for(site, &subscription, &endpoint, &[event]).await;
    }
}

mod a_database_that_is_gone_for_a_minute_is_left_alone_and_used_when_it_is_back {
    use super::*;

    #[tokio::test]
    async fn postgres() {
        let (site, server) = on_private_server().await;
        let endpoint = Endpoint::start([]).await;
        let subscription = site.subscribe(&endpoint).await;
        let mut accepted = vec![site.emit().await];
        let running = Running::start(site.dispatcher().with_poll_interval(Duration::from_secs(1)));
        endpoint.arrived(1).await;
        while site.deliveries(&subscription).await[0].state != hookwire::DeliveryState::Delivered {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.stop();
        tokio::time::pause();
        assert!(site.outbox().emit("org_1", &call()).await.is_err(), "nothing is accepted meanwhile");
        left_alone(&site).await;
        tokio::time::resume();
        server.restart();
        accepted.push(emit_again(&site).await);
        endpoint.arrived(2).await;
        running.stop().await;
        accounted_for(&site, &subscription, &endpoint, &accepted).await;
    }

    /// `look` works but no claim does. A successful look does not make the dispatcher try claims more often.
    #[tokio::test]
    async fn for_claims_only() {
        let (site, _) = impatient(Duration::from_secs(5)).await;
        let endpoint = Endpoint::start([]).await;
        let subscription = site.subscribe(&endpoint).await;
        let accepted = [site.emit().await];
        site.store.claims_fail(true);
        tokio::time::pause();
        let running = Running::start(site.dispatcher().with_poll_interval(Duration::from_secs(1)));
        left_alone(&site).await;
        tokio::time::resume();
        site.store.claims_fail(false);
        endpoint.arrived(1).await;
        running.stop().await;
        accounted_for(&site, &subscription, &endpoint, &accepted).await;
    }

    /// Lets a minute pass, in which failing calls back off. Paused time still advances while a call waits for
    /// the database.
    async fn left_alone<S: Store>(site: &Site<S>) {
        let calls = || u64::from(site.store.looks() + site.store.claims());
        let (before, began) = (calls(), tokio::time::Instant::now());
        while began.elapsed() < Duration::from_secs(60) || calls() < before + 3 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let (calls, seconds) = (calls() - before, began.elapsed().as_secs());
        assert!(calls <= 10 + seconds / 5, "{calls} calls in {seconds} s");
    }

    /// Emits until it works: dead connections leave the pool one by one, and a short lock time-out may
    /// expire.
    async fn emit_again<S: Tested>(site: &Site<S>) -> EventId {
        let envelope = call();
        loop {
            match site.outbox().emit("org_1", &envelope).await {
                Ok(emitted) => return emitted.id,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    #[tokio::test]
    async fn sqlite() {
        let (site, path) = impatient(Duration::from_millis(1)).await;
        let endpoint = Endpoint::start([]).await;
        let subscription = site.subscribe(&endpoint).await;
        let mut accepted = vec![site.emit().await];
        let mut application = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
        application.execute("BEGIN IMMEDIATE").await.unwrap();
        tokio::time::pause();
        let running = Running::start(site.dispatcher().with_poll_interval(Duration::from_secs(1)));
        assert!(site.outbox().emit("org_1", &call()).await.is_err(), "nothing is accepted meanwhile");
        left_alone(&site).await;
        assert!(endpoint.requests().is_empty());
        tokio::time::resume();
        application.execute("COMMIT").await.unwrap();
        accepted.push(emit_again(&site).await);
        endpoint.arrived(2).await;
        running.stop().await;
        accounted_for(&site, &subscription, &endpoint, &accepted).await;
    }
}

#[tokio::test]
async fn a_settlement_that_deadlocks_is_repeated() {
    let url = postgres_server::url();
    // A short deadlock time-out, so that PostgreSQL chooses the dispatcher's own session as the victim.
    let options: PgConnectOptions = url.parse().unwrap();
    let options = options.options([("deadlock_timeout", "10ms")]);
    let site = on_options(PostgresStore::builder().with_caller_time(), options, url).await;
    let endpoint = Endpoint::start([Answer::Status(200), Answer::Hang, Answer::Hang, Answer::Hang]).await;
    let subscription = site.subscribe(&endpoint).await;
    let mut accepted = vec![site.emit().await];
    let dispatcher = Arc::new(site.dispatcher());
    // The dispatcher has seen the endpoint answer, so it claims three at once.
    site.drain(&dispatcher, NOON).await;
    for _ in 0..3 {
        accepted.push(site.emit().await);
    }
    let step = tokio::spawn({
        let dispatcher = Arc::clone(&dispatcher);
        async move { dispatcher.step(NOON).await }
    });
    endpoint.arrived(4).await;
    let ids: Vec<_> = site.deliveries(&subscription).await[1..].iter().map(|delivery| delivery.id).collect();
    let hold = async |number: usize| {
        let mut connection = PgConnection::connect(url).await.unwrap();
        connection.execute("BEGIN; SET LOCAL deadlock_timeout = '1h'").await.unwrap();
        lock(&mut connection, site.prefix(), ids[number].as_u128()).await;
        connection
    };
    let (mut second, mut third) = (hold(1).await, hold(2).await);
    endpoint.let_go(200);
    // The settlement holds the first row and waits for the second. Then another session waits for the first
    // row.
    blocked(url, &format!("{}settle_1", site.prefix())).await;
    let first = tokio::spawn({
        let (prefix, id) = (site.prefix().to_owned(), ids[0].as_u128());
        async move {
            lock(&mut third, &prefix, id).await;
            third
        }
    });
    blocked(url, &format!("{}deliveries WHERE id = $1 FOR UPDATE", site.prefix())).await;
    second.execute("ROLLBACK").await.unwrap();
    // This lock is granted only because the settlement was rolled back.
    first.await.unwrap().execute("ROLLBACK").await.unwrap();
    assert_eq!(step.await.unwrap().unwrap().delivered, 3);
    accounted_for(&site, &subscription, &endpoint, &accepted).await;
}

async fn lock(connection: &mut PgConnection, prefix: &str, id: u128) {
    let sql = format!("SELECT 1 FROM {prefix}deliveries WHERE id = $1 FOR UPDATE");
    sqlx::query(AssertSqlSafe(sql)).bind(Uuid::from_u128(id)).execute(connection).await.unwrap();
}

#[tokio::test]
async fn serialization_failures_are_repeated_and_then_told() {
    let site = Site::postgres().await;
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    site.database
        .tamper(
            "CREATE SEQUENCE {p}tries;
            CREATE FUNCTION {p}conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
              IF nextval('{p}tries') IN (1, 2, 3, 4, 6, 7, 8, 9, 10) THEN
                RAISE EXCEPTION 'could not serialize access' USING ERRCODE = 'serialization_failure';
              END IF;
              RETURN NEW;
            END $$;
            CREATE TRIGGER {p}conflict BEFORE INSERT ON {p}attempts FOR EACH ROW EXECUTE FUNCTION {p}conflict()",
        )
        .await;
    let mut accepted = vec![site.emit().await];
    let dispatcher = site.dispatcher();
    assert_eq!(site.drain(&dispatcher, NOON).await.delivered, 1, "four times in its way");
    accepted.push(site.emit().await);
    assert!(dispatcher.step(NOON).await.unwrap_err().is_retryable(), "five times in its way");
    assert_eq!(site.drain(&dispatcher, NOON + HOUR).await.delivered, 1);
    accounted_for(&site, &subscription, &endpoint, &accepted).await;
}

#[tokio::test]
async fn a_file_that_somebody_holds_locked_is_waited_for() {
    let (site, path) = impatient(Duration::from_secs(600)).await;
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let mut accepted = vec![site.emit().await];
    let mut application = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    application.execute("BEGIN IMMEDIATE").await.unwrap();
    let step = tokio::spawn({
        let dispatcher = site.dispatcher();
        async move { dispatcher.step(NOON).await }
    });
    while site.store.claims() < 1 {
        tokio::task::yield_now().await;
    }
    let emit = tokio::spawn({
        let outbox = site.outbox();
        async move { outbox.emit("org_1", &call()).await }
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!step.is_finished() && !emit.is_finished());
    application.execute("COMMIT").await.unwrap();
    assert_eq!(step.await.unwrap().unwrap().delivered, 1);
    accepted.push(emit.await.unwrap().unwrap().id);
    assert_eq!(site.drain(&site.dispatcher(), NOON).await.delivered, 1);
    accounted_for(&site, &subscription, &endpoint, &accepted).await;
}

impl Site<PostgresStore> {
    fn prefix(&self) -> &str {
        let Database::Postgres { prefix, .. } = &self.database else { panic!("not a PostgreSQL database") };
        prefix
    }
}

async fn behind_proxy(builder: PostgresStoreBuilder) -> (Site<PostgresStore>, Proxy) {
    let url = postgres_server::url();
    let proxy = Proxy::start(url).await;
    (on_options(builder, proxy.options(url), url).await, proxy)
}

/// Uses a server of its own and the server's clock.
async fn on_private_server() -> (Site<PostgresStore>, Server) {
    let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    let options = server.url().parse().unwrap();
    (on_options(PostgresStore::builder(), options, &server.url()).await, server)
}

async fn on_options(
    builder: PostgresStoreBuilder,
    options: PgConnectOptions,
    url: &str,
) -> Site<PostgresStore> {
    let prefix = prefix();
    let builder = builder.with_prefix(prefix.as_str()).with_connections(4);
    let store = builder.connect_with(options).await.unwrap();
    let database = Database::Postgres { url: url.to_owned(), prefix };
    Site { stage: Stage::on(Watched::new(Arc::new(store)), ()), database }
}

/// A store with this time-out for the file's lock.
async fn impatient(busy_timeout: Duration) -> (Site<SqliteStore>, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hooks.db");
    let store = SqliteStore::builder().with_busy_timeout(busy_timeout).open(&path).await.unwrap();
    let stage = Stage::on(Watched::new(Arc::new(store)), folder);
    (Site { stage, database: Database::Sqlite(path.clone()) }, path)
}

/// Waits until a statement that contains `word` waits for a lock.
async fn blocked(url: &str, word: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let sql =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND position($1 IN query) > 0";
    loop {
        let row = sqlx::query(sql).bind(word).fetch_one(&mut connection).await.unwrap();
        if row.get::<i64, _>(0) > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
