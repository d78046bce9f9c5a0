//! Faults of stores and dispatchers, on SQLite and PostgreSQL, with real files, servers and sockets.
//!
//! After each fault, [`accounted_for`] checks the same rules. Every accepted event was delivered or is a dead
//! letter. Nothing stays pending. The log has each attempt once. An endpoint that got an event twice got the
//! same bytes.
//!
//! | fault | test |
//! |---|---|
//! | die before the commit | `commits::an_emit_that_dies_before_the_commit_leaves_nothing`, `process` (by SIGKILL) |
//! | die after the commit | `commits::an_emit_that_dies_after_the_commit_is_delivered` |
//! | die after a claim | `workers::a_dispatcher_that_dies_after_a_claim_costs_its_lease_and_no_event` |
//! | die after sending, before settling | `workers::a_dispatcher_that_dies_before_it_settles_has_the_same_bytes_sent_again` |
//! | die after settling | `workers::a_dispatcher_that_dies_after_it_settled_has_nothing_sent_again` |
//! | lease expired with the old worker alive | `workers::of_two_attempts_under_two_leases_the_later_lease_is_written` |
//! | worker stopped longer than its lease | `workers::a_worker_that_was_stopped_for_longer_than_its_lease_writes_nothing` |
//! | two dispatchers | `engine::running::two_dispatchers_share_the_work_and_double_nothing` |
//! | a call of the store fails, or its answer is lost | `commits::a_call_that_fails_or_whose_answer_is_lost_loses_and_doubles_nothing` |
//! | commit reported failed but done | `commits::an_event_whose_commit_was_done_and_told_as_failed_is_a_duplicate_when_it_is_emitted_again`, `commits::a_settlement_that_was_done_and_told_as_failed_is_written_once` |
//! | emit dropped, answer lost, subscription changed or process shut down while a delivery is handed over | `hand_over::*` |
//! | connection cut before or after the server's answer, at each statement (PostgreSQL) | `database::a_connection_that_is_cut_at_any_statement_loses_and_doubles_nothing` |
//! | database gone during a claim | `database::a_server_that_dies_during_a_claim_costs_no_event`; on SQLite, where a claim is a transaction of a file, `workers::a_dispatcher_that_dies_after_a_claim_costs_its_lease_and_no_event` |
//! | database gone after a 2xx | `database::a_database_that_is_gone_after_a_2xx_takes_the_settlement_when_it_is_back` |
//! | database gone for a minute | `database::a_database_that_is_gone_for_a_minute_is_left_alone_and_used_when_it_is_back` |
//! | database silent (PostgreSQL) | `database::a_server_that_falls_silent_is_given_up_and_asked_again` |
//! | deadlock (PostgreSQL) | `database::a_settlement_that_deadlocks_is_repeated` |
//! | serialization error (PostgreSQL) | `database::serialization_failures_are_repeated_and_then_told` |
//! | `SQLITE_BUSY` | `database::a_file_that_somebody_holds_locked_is_waited_for` |
//! | disk full | `disk::*`: SQLite's own page limit; PostgreSQL's error 53100, and where root may mount one a full file system |
//! | clock jumps a day ahead | `clocks::a_clock_that_jumps_a_day_ahead_doubles_an_attempt_at_the_most` |
//! | clock jumps a day back | `clocks::a_clock_that_jumps_a_day_back_holds_nothing_for_longer_than_the_day` |
//! | clocks that jump beside a database that has its own | `clocks::a_callers_clock_does_not_matter_where_the_database_has_one` |
//! | stored row that cannot be parsed | `rows::*` |
//! | secret that cannot be read | `rows::a_row_that_cannot_be_read_costs_its_own_deliveries_and_no_others` |
//! | secret that is sealed and does not open: cut, altered, swapped, its key missing | `sealed::a_secret_that_does_not_open_costs_its_own_deliveries_and_no_others` |
//! | rotation while secrets are sealed anew | `sealed::a_rotation_while_secrets_are_sealed_anew_is_not_lost` |
//! | poison endpoint | `backlog::endpoints_that_answer_poison_hold_up_nobody_else` |
//! | backlog, then recovery | `backlog::*` |
//! | endpoint deleted mid-flight | `engine::changes::a_subscription_deleted_during_an_attempt_is_sent_nothing_more` |
//! | secret rotated mid-retry | `engine::changes::a_retry_is_signed_with_the_secret_that_is_valid_by_then` |
//! | replay racing a retry | `engine::changes::a_replay_that_races_a_retry_doubles_nothing` |
//! | observer panic | `engine::telling::an_observer_that_panics_costs_nothing` |
//! | oversized payload | `engine::changes::an_oversized_event_is_refused_before_it_is_stored` |
//! | DNS, TLS, sockets, hostile answers | `hyper_client` |

mod backlog;
mod batches;
mod clocks;
mod commits;
mod database;
mod disk;
mod failover;
mod hand_over;
mod proxy;
mod rows;
#[cfg(feature = "keyring")]
mod sealed;
mod shards;
mod workers;

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use hookwire::contract::Judgement;
use hookwire::store::postgres::PostgresStore;
use hookwire::store::sqlite::SqliteStore;
use hookwire::{DeadReason, DeliveryState, EventId, Records, Subscription};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};

use crate::endpoint::Endpoint;
use crate::engine::Stage;
use crate::postgres_server;
use crate::stores::Tested;
use crate::watched_store::Watched;

use hookwire::sqlx;

/// Writes each test for each database.
macro_rules! on_both_databases {
    ($($test:ident)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::faults::Site::sqlite().await).await;
            })*
        }

        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::faults::Site::postgres().await).await;
            })*
        }
    };
}
use on_both_databases;

/// A stage with a store that can fail on demand, on a database that other connections can reach.
struct Site<S> {
    stage: Stage<Watched<S>>,
    database: Database,
}

impl Site<SqliteStore> {
    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::Sqlite(folder.path().join("hooks.db"));
        Self::on(database, folder).await
    }
}

impl Site<PostgresStore> {
    async fn postgres() -> Self {
        let (url, prefix) = (postgres_server::url().to_owned(), postgres_server::prefix());
        Self::on(Database::Postgres { url, prefix }, ()).await
    }
}

impl<S: Opens> Site<S> {
    async fn on(database: Database, keep: impl Send + Sync + 'static) -> Self {
        let store = Watched::new(std::sync::Arc::new(S::on_database(&database).await));
        Self { stage: Stage::on(store, keep), database }
    }
}

impl<S> Deref for Site<S> {
    type Target = Stage<Watched<S>>;

    fn deref(&self) -> &Self::Target {
        &self.stage
    }
}

impl<S> DerefMut for Site<S> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.stage
    }
}

/// A store that a second process could open.
trait Opens: Tested + Sized {
    fn on_database(database: &Database) -> impl Future<Output = Self> + Send;

    /// Opens another store on other tables of the same database.
    fn beside(database: &Database) -> impl Future<Output = Self> + Send;
}

impl Opens for SqliteStore {
    async fn on_database(database: &Database) -> Self {
        let Database::Sqlite(path) = database else { panic!("not a SQLite database") };
        Self::open(path).await.unwrap()
    }

    async fn beside(database: &Database) -> Self {
        let Database::Sqlite(path) = database else { panic!("not a SQLite database") };
        Self::builder().with_prefix("beside_").open(path).await.unwrap()
    }
}

/// Uses the caller's clock.
impl Opens for PostgresStore {
    async fn on_database(database: &Database) -> Self {
        let Database::Postgres { url, prefix } = database else { panic!("not a PostgreSQL database") };
        let builder = Self::builder().with_prefix(prefix).with_connections(4).with_caller_time();
        builder.connect(url).await.unwrap()
    }

    async fn beside(database: &Database) -> Self {
        let Database::Postgres { url, .. } = database else { panic!("not a PostgreSQL database") };
        Self::on_database(&Database::Postgres { url: url.clone(), prefix: postgres_server::prefix() }).await
    }
}

/// The place of a store's tables.
#[derive(Clone)]
enum Database {
    Sqlite(PathBuf),
    Postgres { url: String, prefix: String },
}

impl Database {
    /// Changes the tables as no store would. `{p}` is the prefix of their names, and `{pending}` the table of
    /// pending deliveries.
    async fn tamper(&self, sql: &str) {
        let (prefix, pending) = match self {
            Self::Sqlite(_) => ("hookwire_", "pending"),
            Self::Postgres { prefix, .. } => (prefix.as_str(), "deliveries"),
        };
        let sql = sql.replace("{pending}", &format!("{prefix}{pending}")).replace("{p}", prefix);
        match self {
            Self::Sqlite(path) => {
                let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
                connection.execute(AssertSqlSafe(sql)).await.unwrap();
                connection.close().await.unwrap();
            }
            Self::Postgres { url, .. } => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                connection.execute(AssertSqlSafe(sql)).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }

    /// An id as an SQL literal.
    fn id(&self, id: u128) -> String {
        match self {
            Self::Sqlite(_) => format!("X'{id:032x}'"),
            Self::Postgres { .. } => format!("'{}'", uuid_text(id)),
        }
    }
}

fn uuid_text(id: u128) -> String {
    let hex = format!("{id:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Checks that every accepted event was delivered to this endpoint or is a dead letter, and that nothing is
/// pending.
async fn accounted_for<S: Tested>(
    stage: &Stage<S>,
    subscription: &Subscription,
    endpoint: &Endpoint,
    accepted: &[EventId],
) {
    let copies = copies(endpoint);
    let deliveries = stage.deliveries(subscription).await;
    for event in accepted {
        assert!(deliveries.iter().any(|delivery| delivery.event == *event), "{event} has no delivery");
    }
    for delivery in deliveries {
        let event = &delivery.event;
        assert!(accepted.contains(event), "{event} was never accepted");
        let attempts = stage.plain().list_attempts(delivery.id).await.unwrap();
        let numbers: Vec<_> = attempts.iter().map(|attempt| attempt.number).collect();
        assert_eq!(numbers, (1..=delivery.attempts).collect::<Vec<_>>(), "each attempt is in the log once");
        let last = attempts.last().map(|attempt| stage.contract.judge(&attempt.outcome));
        match delivery.state {
            DeliveryState::Delivered => {
                assert_eq!(last, Some(Judgement::Success), "{event}");
                assert!(copies.contains_key(event.as_str()), "{event} is told as delivered and never came");
            }
            DeliveryState::Dead(DeadReason::Cancelled | DeadReason::Replayed) => {}
            DeliveryState::Dead(reason) => {
                assert!(
                    last.is_some_and(|last| last != Judgement::Success),
                    "{event} is {reason:?} without cause"
                );
            }
            state => panic!("{event} is left {state:?}"),
        }
    }
    assert!(
        copies.keys().all(|id| accepted.iter().any(|event| event.as_str() == id)),
        "only what was accepted"
    );
}

/// The number of copies of each event that an endpoint got. All copies have the same bytes.
fn copies(endpoint: &Endpoint) -> HashMap<String, usize> {
    let mut seen: HashMap<String, (usize, bytes::Bytes)> = HashMap::new();
    for (headers, body) in endpoint.requests().iter() {
        let envelope: serde_json::Value = serde_json::from_slice(body).unwrap();
        let id = envelope["id"].as_str().unwrap().to_owned();
        assert!(
            headers.values().any(|value| value.as_bytes() == id.as_bytes()),
            "{headers:?} name another event"
        );
        let (times, first) = seen.entry(id).or_insert_with(|| (0, body.clone()));
        *times += 1;
        assert_eq!(first, body, "duplicates are the same bytes");
    }
    seen.into_iter().map(|(id, (times, _))| (id, times)).collect()
}
