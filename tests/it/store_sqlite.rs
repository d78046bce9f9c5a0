//! The SQLite store and inbox: the rules of every store, and SQLite's own behaviour.
#![cfg(all(feature = "sqlite", feature = "testing"))]
#![allow(clippy::unwrap_used, reason = "tests state their expectations by unwrapping, in their helpers too")]

use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::store_parts::{
    LEASE, NOW, SUBSCRIPTION, deliver_all, delivered, delivery_id, event, subscription, subscription_of, wish,
};
use crate::stores::{deliveries, poll};
use hookwire::delivery::Next;
use hookwire::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use hookwire::sqlx::{
    self, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _, SqliteConnection,
};
use hookwire::store::StoreErrorKind;
use hookwire::store::conformance::Application;
use hookwire::store::implement::{Claims, InsertOutcome, Settled, Settlement};
use hookwire::store::sqlite::SqliteStore;
use hookwire::{
    AddressPolicy, Attempt, DeadReason, EndpointUrl, ErrorClass, Outcome, Pruning, Records, Secret,
    Store as _, SubscriptionStatus, Subscriptions, TransactionalStore as _,
};
use tempfile::TempDir;

mod plain {
    crate::stores::every_suite!(crate::store_sqlite::fresh);
    crate::stores::every_transactional_suite!(crate::store_sqlite::fresh_with_application);
}

/// The store behind a pointer, which forwards every call.
mod shared {
    crate::stores::every_suite!(crate::store_sqlite::fresh_shared);
    crate::stores::every_transactional_suite!(crate::store_sqlite::fresh_shared_with_application);
}

/// The store on the application's pool, which has no thread of its own.
mod on_a_pool {
    crate::stores::every_suite!(crate::store_sqlite::fresh_on_pool);
    crate::stores::every_transactional_suite!(crate::store_sqlite::fresh_on_pool_with_application);
}

/// A handler that writes in transactions of its own.
struct Handler(SqliteConnection);

impl Application<SqliteConnection> for Handler {
    async fn begin(&mut self) {
        self.0.execute("BEGIN").await.unwrap();
    }

    fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.0
    }

    async fn commit(&mut self) {
        self.0.execute("COMMIT").await.unwrap();
    }

    async fn roll_back(&mut self) {
        self.0.execute("ROLLBACK").await.unwrap();
    }
}

async fn fresh() -> (SqliteStore, TempDir) {
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let store = SqliteStore::open(directory.path().join("hooks.db")).await.expect("store opens");
    (store, directory)
}

async fn fresh_shared() -> (Arc<SqliteStore>, TempDir) {
    let (store, directory) = fresh().await;
    (Arc::new(store), directory)
}

async fn fresh_on_pool() -> (SqliteStore, TempDir) {
    let directory = directory();
    let store = SqliteStore::builder().open_pool(pool(&directory).await).await.unwrap();
    (store, directory)
}

/// A pool of the application.
async fn pool(directory: &TempDir) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(path(directory))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    SqlitePool::connect_with(options).await.unwrap()
}

async fn fresh_on_pool_with_application() -> (SqliteStore, Handler, TempDir) {
    let (store, directory) = fresh_on_pool().await;
    let application = Handler(application(&directory).await);
    (store, application, directory)
}

async fn fresh_with_application() -> (SqliteStore, Handler, TempDir) {
    let (store, directory) = fresh().await;
    let application = Handler(application(&directory).await);
    (store, application, directory)
}

async fn fresh_shared_with_application() -> (Arc<SqliteStore>, Handler, TempDir) {
    let (store, application, directory) = fresh_with_application().await;
    (Arc::new(store), application, directory)
}

mod transactions {
    use super::*;

    #[tokio::test]
    async fn a_batch_that_fails_leaves_the_rest_of_the_transaction() {
        let (store, directory) = with_subscription().await;
        let mut application = application(&directory).await;
        // The second event's delivery has the id of the first's.
        let batch = [event(1), event(2).with_delivery(delivery_id(1), SUBSCRIPTION)];
        let mut transaction = application.begin().await.unwrap();
        business_row(&mut transaction).await;
        let error = store.insert_in(&mut transaction, &batch).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Backend);
        transaction.commit().await.unwrap();
        assert!(claim(&store).await.deliveries.is_empty());
        assert_eq!(business_rows(&mut application).await, 1);
    }

    #[tokio::test]
    async fn a_transaction_begun_by_hand_is_joined_too() {
        let (store, directory) = with_subscription().await;
        let mut application = application(&directory).await;
        let failing = [event(3), event(2).with_delivery(delivery_id(3), SUBSCRIPTION)];
        for (end, rows) in [("ROLLBACK", 0), ("COMMIT", 1)] {
            application.execute("BEGIN IMMEDIATE").await.unwrap();
            business_row(&mut application).await;
            assert_eq!(store.insert_in(&mut application, &[event(1)]).await.unwrap(), [InsertOutcome::New]);
            assert!(store.insert_in(&mut application, &failing).await.is_err());
            application.execute(end).await.unwrap();
            assert_eq!(claim(&store).await.deliveries.len(), rows);
            assert_eq!(business_rows(&mut application).await, i64::try_from(rows).unwrap());
        }
    }

    #[tokio::test]
    async fn a_connection_without_a_transaction_writes_at_once() {
        let (store, directory) = with_subscription().await;
        let mut application = application(&directory).await;
        store.insert_in(&mut application, &[event(1)]).await.unwrap();
        assert_eq!(claim(&store).await.deliveries.len(), 1);
    }

    #[tokio::test]
    async fn an_insert_that_is_dropped_half_way_leaves_nothing() {
        let (store, directory) = with_subscription().await;
        let mut application = application(&directory).await;
        // Only a few polls, because an insert that is dropped during its commit may be written.
        let batch: Vec<_> = (1..1_500).map(event).collect();
        for polls in 0..3 {
            let mut transaction = application.begin().await.unwrap();
            business_row(&mut transaction).await;
            drop_after(polls, store.insert_in(&mut transaction, &batch)).await;
            business_row(&mut transaction).await;
            transaction.commit().await.unwrap();

            application.execute("BEGIN").await.unwrap();
            business_row(&mut application).await;
            drop_after(polls, store.insert_in(&mut application, &batch)).await;
            business_row(&mut application).await;
            application.execute("COMMIT").await.unwrap();

            drop_after(polls, store.insert_in(&mut application, &batch)).await;
        }
        assert_eq!(business_rows(&mut application).await, 12);
        assert!(claim(&store).await.deliveries.is_empty());
        assert_eq!(store.insert(&[event(1)]).await.unwrap(), [InsertOutcome::New]);
    }
}

mod schema {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_that_open_a_new_file_at_once_all_can_use_it() {
        for _ in 0..5 {
            let directory = directory();
            let opening: Vec<_> = (0..6).map(|_| tokio::spawn(SqliteStore::open(path(&directory)))).collect();
            for (number, opened) in (1..).zip(opening) {
                let store = opened.await.unwrap().unwrap();
                assert_eq!(store.insert(&[event(number)]).await.unwrap(), [InsertOutcome::New]);
            }
        }
    }

    #[tokio::test]
    async fn tables_that_need_newer_code_are_refused() {
        let (store, directory) = fresh().await;
        store.close().await;
        let mut application = application(&directory).await;
        application.execute("UPDATE hookwire_schema SET version = 7, min_code_version = 7").await.unwrap();
        let error = SqliteStore::open(path(&directory)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Schema);
        assert!(!error.is_retryable());
    }

    #[tokio::test]
    async fn newer_tables_that_this_code_can_use_are_used_and_left_as_they_are() {
        let (store, directory) = fresh().await;
        store.close().await;
        let mut application = application(&directory).await;
        application.execute("UPDATE hookwire_schema SET version = 7, min_code_version = 1").await.unwrap();
        let store = SqliteStore::open(path(&directory)).await.unwrap();
        store.insert(&[event(1)]).await.unwrap();
        let row =
            sqlx::query("SELECT version FROM hookwire_schema").fetch_one(&mut application).await.unwrap();
        assert_eq!(row.get::<i64, _>(0), 7);
    }

    #[tokio::test]
    async fn the_printed_statements_applied_by_hand_are_all_there_is_to_do() {
        let directory = directory();
        let mut application = application(&directory).await;
        application.execute("PRAGMA journal_mode = WAL").await.unwrap();
        let sql = SqliteStore::schema_sql("crm_").unwrap();
        application.execute(AssertSqlSafe(sql)).await.unwrap();
        application.execute("BEGIN IMMEDIATE").await.unwrap();
        // With the write lock taken, a store that wrote its schema could not open.
        let builder = SqliteStore::builder().with_prefix("crm_").with_busy_timeout(Duration::ZERO);
        builder.open(path(&directory)).await.unwrap();
    }

    #[tokio::test]
    async fn stores_of_two_prefixes_share_a_file_and_nothing_else() {
        let directory = directory();
        let one = SqliteStore::builder().with_prefix("one_").open(path(&directory)).await.unwrap();
        let two = SqliteStore::builder().with_prefix("two_").open(path(&directory)).await.unwrap();
        one.put(&subscription()).await.unwrap();
        one.insert(&[event(1)]).await.unwrap();
        assert!(two.subscription(SUBSCRIPTION).await.unwrap().is_none());
        assert!(claim(&two).await.deliveries.is_empty());
        assert_eq!(claim(&one).await.deliveries.len(), 1);
        let tables = "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'";
        let rows = sqlx::query(tables).fetch_all(&mut application(&directory).await).await.unwrap();
        let mut names = rows.iter().map(|row| row.get::<String, _>(0));
        assert!(names.all(|name| name.starts_with("one_") || name.starts_with("two_")));
    }

    #[tokio::test]
    async fn a_prefix_that_is_no_identifier_is_refused() {
        for prefix in ["", "1a", "a-b", "a b", "a\"", "a;", "ä", "sqlite_", "SQLite_x", &"a".repeat(41)] {
            let error = SqliteStore::schema_sql(prefix).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Backend, "{prefix}");
            let directory = directory();
            let builder = SqliteStore::builder().with_prefix(prefix);
            assert!(builder.open(path(&directory)).await.is_err(), "{prefix}");
        }
    }

    #[tokio::test]
    async fn a_database_in_memory_is_refused() {
        for path in [":memory:", "", "file::memory:?cache=shared"] {
            let error = SqliteStore::open(path).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Backend, "{path}");
        }
        let pool = SqlitePool::connect("sqlite::memory:").await.unwrap();
        let error = SqliteStore::builder().open_pool(pool).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Backend);
    }
}

mod durability {
    use super::*;

    #[tokio::test]
    async fn a_file_opened_again_has_everything() {
        let (store, directory) = with_subscription().await;
        store.insert(&[event(1), event(2)]).await.unwrap();
        let claims = store.claim(&wish(NOW, 1)).await.unwrap();
        let claimed = &claims.deliveries[0];
        let attempt = Attempt::new(1, NOW, LEASE, Outcome::Failed(ErrorClass::Timeout));
        let retry = Next::retry(Duration::from_secs(60));
        let settlement = Settlement::new(claimed.delivery, claimed.lease, attempt.clone(), retry, NOW);
        store.settle(&[settlement]).await.unwrap();
        store.close().await;
        drop(store);

        let store = SqliteStore::open(path(&directory)).await.unwrap();
        assert_eq!(store.list_attempts(delivery_id(1)).await.unwrap(), [attempt]);
        let claims = store.claim(&wish(NOW + Duration::from_secs(60), 10)).await.unwrap();
        let attempts: Vec<_> =
            claims.deliveries.iter().map(|claimed| (claimed.delivery, claimed.attempt)).collect();
        assert_eq!(attempts, [(delivery_id(2), 1), (delivery_id(1), 2)]);
        assert!(claims.deliveries[0].subscription.secrets == subscription().secrets);
    }

    #[tokio::test]
    async fn a_file_that_was_opened_is_in_wal_mode() {
        let (store, directory) = fresh().await;
        drop(store);
        let row =
            sqlx::query("PRAGMA journal_mode").fetch_one(&mut application(&directory).await).await.unwrap();
        assert_eq!(row.get::<String, _>(0), "wal");
    }

    #[tokio::test]
    async fn secrets_of_either_kind_survive_without_their_text_in_an_error() {
        let (store, directory) = fresh().await;
        let mut both = subscription();
        let text: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        both.secrets = vec![Secret::from_bytes([0xfe; 24]).into(), text.into()];
        store.put(&both).await.unwrap();
        let read = store.subscription(SUBSCRIPTION).await.unwrap().unwrap();
        assert!(read.secrets == both.secrets);

        let mut application = application(&directory).await;
        application.execute("UPDATE hookwire_subscriptions SET secrets = '[\"hush-hush\"]'").await.unwrap();
        let error = store.subscription(SUBSCRIPTION).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        assert!(!format!("{error:?}").contains("hush"));
    }
}

mod faults {
    use super::*;

    #[tokio::test]
    async fn a_row_that_cannot_be_read_is_told_and_stops_no_others() {
        let damages = [
            "UPDATE hookwire_events SET type = '' WHERE id = 'evt_2'",
            "UPDATE hookwire_events SET id = 'two words' WHERE id = 'evt_2'",
            "DELETE FROM hookwire_events WHERE id = 'evt_2'",
            "UPDATE hookwire_events SET payload = NULL WHERE id = 'evt_2'",
            "UPDATE hookwire_pending SET attempts = -1 WHERE event = 2",
            "UPDATE hookwire_pending SET first_attempt_at = 9223372036854775807 WHERE event = 2",
        ];
        for damage in damages {
            let (store, directory) = with_subscription().await;
            store.insert(&[event(1), event(2), event(3)]).await.unwrap();
            application(&directory).await.execute(damage).await.unwrap();
            let claims = claim(&store).await;
            let read: Vec<_> = claims.deliveries.iter().map(|claimed| claimed.delivery).collect();
            assert_eq!(read, [delivery_id(1), delivery_id(3)], "{damage}");
            let [unreadable] = &claims.unreadable[..] else { panic!("{damage}") };
            assert_eq!(unreadable.key, delivery_id(2));
            assert_eq!(unreadable.error.kind(), StoreErrorKind::Corrupt);
            // It can be ended like any other delivery.
            let attempt = Attempt::new(1, NOW, LEASE, Outcome::Failed(ErrorClass::Internal));
            let dead = Next::dead(DeadReason::Exhausted);
            let settlement = Settlement::new(unreadable.key, unreadable.lease, attempt, dead, NOW);
            assert_eq!(store.settle(&[settlement]).await.unwrap(), [Settled::Done], "{damage}");
        }
    }

    #[tokio::test]
    async fn a_subscription_that_cannot_be_read_is_told_for_each_of_its_deliveries() {
        let damages = [
            "UPDATE hookwire_subscriptions SET url = 'nonsense'",
            "UPDATE hookwire_subscriptions SET filter = '{'",
            "UPDATE hookwire_subscriptions SET secrets = '[\"\"]'",
            "UPDATE hookwire_subscriptions SET options = '{'",
            "UPDATE hookwire_subscriptions SET health = '{'",
        ];
        for damage in damages {
            let (store, directory) = with_subscription().await;
            store.insert(&[event(1), event(2)]).await.unwrap();
            application(&directory).await.execute(damage).await.unwrap();
            let claims = claim(&store).await;
            assert!(claims.deliveries.is_empty(), "{damage}");
            assert_eq!(claims.unreadable.len(), 2, "{damage}");
        }
    }

    #[tokio::test]
    async fn a_url_that_was_accepted_once_is_read_whatever_the_policy_is_now() {
        let (store, _directory) = fresh().await;
        let development = AddressPolicy::new().allow_loopback().allow_plain_http();
        let mut local = subscription();
        local.url = EndpointUrl::parse("http://127.0.0.1:8080/hooks?a=%20b", &development).unwrap();
        store.put(&local).await.unwrap();
        assert_eq!(store.subscription(SUBSCRIPTION).await.unwrap().unwrap().url, local.url);
    }

    #[tokio::test]
    async fn a_lock_held_by_the_application_is_told_as_unavailable_and_loses_nothing() {
        let directory = directory();
        let store =
            SqliteStore::builder().with_busy_timeout(Duration::ZERO).open(path(&directory)).await.unwrap();
        store.put(&subscription()).await.unwrap();
        let mut application = application(&directory).await;
        let transaction = application.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let error = store.insert(&[event(1)]).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(error.is_retryable());
        assert!(store.claim(&wish(NOW, 1)).await.unwrap_err().is_retryable());
        // A reader does not wait.
        assert!(store.subscription(SUBSCRIPTION).await.unwrap().is_some());
        transaction.rollback().await.unwrap();
        assert_eq!(store.insert(&[event(1)]).await.unwrap(), [InsertOutcome::New]);
        assert_eq!(claim(&store).await.deliveries.len(), 1);
    }

    #[tokio::test]
    async fn the_busy_timeout_counts_the_wait_for_writers_of_the_same_store_too() {
        let directory = directory();
        let store =
            SqliteStore::builder().with_busy_timeout(Duration::ZERO).open(path(&directory)).await.unwrap();
        store.put(&subscription()).await.unwrap();
        let enabled = SubscriptionStatus::Enabled;
        let mut writing = std::pin::pin!(store.set_status(SUBSCRIPTION, &enabled));
        // The write has begun and does not go on, so its turn does not end by itself.
        assert!(poll_fn(|cx| Poll::Ready(writing.as_mut().poll(cx))).await.is_pending());
        for waits in [store.insert(&[event(1)]).await.map(drop), store.claim(&wish(NOW, 1)).await.map(drop)] {
            assert_eq!(waits.unwrap_err().kind(), StoreErrorKind::Unavailable);
        }
        assert!(writing.await.unwrap());
        assert_eq!(store.insert(&[event(1)]).await.unwrap(), [InsertOutcome::New]);
        assert_eq!(claim(&store).await.deliveries.len(), 1, "what was told as not written is not");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_lock_held_for_a_while_is_waited_for() {
        let (store, directory) = with_subscription().await;
        let mut application = application(&directory).await;
        let mut transaction = application.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let waiting = tokio::spawn({
            let store = store.clone();
            async move { store.insert(&[event(1)]).await }
        });
        for _ in 0..20 {
            business_row(&mut transaction).await;
            assert!(!waiting.is_finished());
        }
        transaction.commit().await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), [InsertOutcome::New]);
    }

    #[tokio::test]
    async fn a_full_disk_is_told_as_unavailable_and_leaves_no_half_of_a_batch() {
        let directory = directory();
        SqliteStore::open(path(&directory)).await.unwrap().close().await;
        let options = SqliteConnectOptions::new().filename(path(&directory)).pragma("max_page_count", "60");
        let pool = SqlitePool::connect_with(options).await.unwrap();
        let store = SqliteStore::builder().open_pool(pool).await.unwrap();
        store.put(&subscription()).await.unwrap();
        let mut large = event(2);
        large.payload = vec![b'x'; 1024 * 1024].into();
        let error = store.insert(&[event(1), large]).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(claim(&store).await.deliveries.is_empty());
        assert_eq!(store.insert(&[event(1)]).await.unwrap(), [InsertOutcome::New]);
    }

    #[tokio::test]
    async fn a_claim_that_is_dropped_keeps_nothing() {
        let (store, directory) = with_subscription().await;
        let batch: Vec<_> = (1..=50).map(event).collect();
        store.insert(&batch).await.unwrap();
        let unreadable =
            "UPDATE hookwire_events SET type = '' WHERE pk = (SELECT min(pk) FROM hookwire_events)";
        let mut application = application(&directory).await;
        application.execute(unreadable).await.unwrap();
        // While another connection writes, no claim ends.
        application.execute("BEGIN IMMEDIATE").await.unwrap();
        for polls in 0..2 {
            let wish = wish(NOW, 50);
            drop_after(polls, store.claim(&wish)).await;
        }
        // This claim has begun when it is dropped, so it is executed and handed back.
        let mut dropped = Box::pin(async { store.claim(&wish(NOW, 50)).await });
        assert!(is_pending(&mut dropped).await);
        let waiting = tokio::spawn({
            let store = store.clone();
            async move { store.insert(&[event(51)]).await }
        });
        drop(dropped);
        application.execute("COMMIT").await.unwrap();
        waiting.await.unwrap().unwrap();
        let claims = claim(&store).await;
        assert_eq!((claims.deliveries.len(), claims.unreadable.len()), (50, 1));
    }
}

mod together {
    use super::*;

    #[tokio::test]
    async fn a_claim_sees_what_was_written_before_it_in_the_same_transaction() {
        let (store, _directory) = with_subscription().await;
        let keyed = |number| event(number).with_ordering_key("call".to_owned());
        store.insert(&[keyed(1), keyed(2), keyed(3)]).await.unwrap();
        let wish = wish(NOW, 10);
        let ids =
            |claims: &Claims| claims.deliveries.iter().map(|claimed| claimed.delivery).collect::<Vec<_>>();
        let mut first = claim(&store).await;
        assert_eq!(ids(&first), [delivery_id(1)]);
        // The first write is alone. The writes that arrive meanwhile are written together.
        let settlements = delivered(&first);
        let nothing = [Settlement::hand_back(delivery_id(9), first.deliveries[0].lease, NOW)];
        let (alone, settled, claims) =
            tokio::join!(store.settle(&nothing), store.settle(&settlements), store.claim(&wish));
        assert_eq!(alone.unwrap(), [Settled::Stale]);
        assert_eq!(settled.unwrap(), [Settled::Done]);
        first = claims.unwrap();
        assert_eq!(ids(&first), [delivery_id(2)], "the next of its key");

        let known = [event(4), event(5)];
        let (alone, settled) = ([event(4)], delivered(&first));
        let (_, told, settled, claims) = tokio::join!(
            store.insert(&alone),
            store.insert(&known),
            store.settle(&settled),
            store.claim(&wish)
        );
        assert_eq!(told.unwrap(), [InsertOutcome::Duplicate, InsertOutcome::New]);
        assert_eq!(settled.unwrap(), [Settled::Done]);
        let claims = claims.unwrap();
        assert_eq!(ids(&claims), [delivery_id(3), delivery_id(4), delivery_id(5)]);

        store.insert(&[event(6)]).await.unwrap();
        let gone = |settlement: Settlement| settlement.with_disable(hookwire::DisabledReason::Gone);
        let settlements: Vec<_> = delivered(&claims).into_iter().map(gone).collect();
        let seventh = [event(7)];
        let (_, settled, claims) =
            tokio::join!(store.insert(&seventh), store.settle(&settlements), store.claim(&wish));
        assert_eq!(settled.unwrap(), [Settled::Done; 3]);
        assert!(claims.unwrap().deliveries.is_empty(), "it was disabled along");
    }

    #[tokio::test]
    async fn who_no_longer_waits_is_not_written_and_holds_nobody_up() {
        let (store, directory) = with_subscription().await;
        let mut other = application(&directory).await;
        other.execute("BEGIN IMMEDIATE").await.unwrap();
        // So many rows that no other insert goes with them.
        let first: Vec<_> = (11..=1_010).map(event).collect();
        let (second, third) = ([event(2)], [event(3)]);
        let mut writing = Box::pin(store.insert(&first));
        assert!(is_pending(&mut writing).await);
        drop_after(1, store.insert(&second)).await;
        let mut waiting = Box::pin(store.insert(&third));
        assert!(is_pending(&mut waiting).await);
        other.execute("COMMIT").await.unwrap();
        assert_eq!(waiting.await.unwrap(), [InsertOutcome::New]);
        assert_eq!(writing.await.unwrap().len(), first.len());
        assert_eq!(store.insert(&second).await.unwrap(), [InsertOutcome::New]);
    }
}

mod queue {
    use hookwire::store::{Replay, Retention};

    use super::*;

    #[tokio::test]
    async fn what_waits_behind_another_is_in_no_index_that_a_claim_reads() {
        let (store, directory) = with_subscription().await;
        let batch: Vec<_> =
            (1..=500).map(|number| event(number).with_ordering_key("call".to_owned())).collect();
        store.insert(&batch).await.unwrap();
        let mut application = application(&directory).await;
        for number in 1..=3 {
            let due: i64 = sqlx::query("SELECT count(*) FROM hookwire_pending WHERE due_at IS NOT NULL")
                .fetch_one(&mut application)
                .await
                .unwrap()
                .get(0);
            assert_eq!(due, 1);
            let claims = claim(&store).await;
            assert_eq!(claims.deliveries.len(), 1);
            assert_eq!(claims.deliveries[0].delivery, delivery_id(number));
            assert!(store.cancel(delivery_id(number), NOW).await.unwrap());
        }
    }

    #[tokio::test]
    async fn looks_that_are_cut_or_dropped_leave_their_connection_usable() {
        let directory = directory();
        let store = SqliteStore::builder().with_readers(1).open(path(&directory)).await.unwrap();
        let many = 300;
        for number in 1..=many {
            store.put(&subscription_of(number)).await.unwrap();
        }
        let batch: Vec<_> = (1..=many)
            .map(|number| {
                let mut event = event(number);
                event.deliveries[0].subscription = subscription_of(number).id;
                event
            })
            .collect();
        store.insert(&batch).await.unwrap();
        for polls in 0..4 {
            drop_after(polls, store.look(&poll(1_000, NOW))).await;
        }
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..30 {
            let look = store.look(&poll(10, NOW)).await.unwrap();
            assert_eq!((look.ready.len(), look.wait), (10, Some(Duration::ZERO)));
            seen.extend(look.ready);
        }
        assert_eq!(seen.len(), 300, "each in its turn");
        assert_eq!(store.look(&poll(1_000, NOW)).await.unwrap().ready.len(), 300);
    }

    #[tokio::test]
    async fn replaying_and_pruning_that_are_dropped_do_nothing_by_halves() {
        let (store, directory) = with_subscription().await;
        let batch: Vec<_> = (1..=50).map(event).collect();
        store.insert(&batch).await.unwrap();
        let mut application = application(&directory).await;
        application.execute(ALL_GONE).await.unwrap();
        // Only a few polls, because a replay that is dropped during its commit may be written.
        for polls in 0..3 {
            drop_after(polls, store.replay(&Replay::DeadLetters(SUBSCRIPTION), 50, NOW)).await;
        }
        assert!(claim(&store).await.deliveries.is_empty());
        let retention = Retention::new().with_deliveries(LEASE);
        for polls in 0..3 {
            drop_after(polls, store.prune(&retention, 50, NOW)).await;
        }
        let orphans =
            "SELECT count(*) FROM hookwire_events WHERE pk NOT IN (SELECT event FROM hookwire_deliveries)";
        assert_eq!(sqlx::query(orphans).fetch_one(&mut application).await.unwrap().get::<i64, _>(0), 0);
        while store.prune(&retention, 7, NOW).await.unwrap() > 0 {}
        assert!(deliveries(&store, "org_1", SUBSCRIPTION).await.is_empty());
        assert_eq!(store.insert(&[event(1)]).await.unwrap(), [InsertOutcome::New]);
    }
}

mod statements {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;

    /// The writing thread talks to SQLite itself, so that no statement waits for the driver's thread.
    #[tokio::test]
    async fn inserts_claims_and_settlements_do_without_the_driver() {
        counted_of(COUNTED);
        let directory = directory();
        let store = SqliteStore::builder().with_prefix(COUNTED).open(path(&directory)).await.unwrap();
        store.put(&subscription()).await.unwrap();
        let before = counted_of(COUNTED);
        assert!(before > 0, "the driver's statements are counted");
        store.insert(&(1..=400).map(event).collect::<Vec<_>>()).await.unwrap();
        let claims = store.claim(&wish(NOW, 300)).await.unwrap();
        assert_eq!(claims.deliveries.len(), 300);
        let told = store.settle(&delivered(&claims)).await.unwrap();
        assert!(told.iter().all(|told| *told == Settled::Done));
        assert_eq!(counted_of(COUNTED), before);
    }

    #[tokio::test]
    async fn inserts_that_come_together_are_committed_together() {
        let (store, directory) = with_subscription().await;
        let mut other = application(&directory).await;
        other.execute("BEGIN IMMEDIATE").await.unwrap();
        let batches: Vec<_> = (1..=101).map(|number| [event(number)]).collect();
        let mut inserts =
            Box::pin(futures_util::future::join_all(batches.iter().map(|batch| store.insert(batch))));
        assert!(is_pending(&mut inserts).await);
        let before = commits(&directory);
        other.execute("COMMIT").await.unwrap();
        assert!(inserts.await.into_iter().all(|told| told.unwrap() == [InsertOutcome::New]));
        // Those that the thread took before it waited for the other connection, and those that came
        // meanwhile.
        let commits = commits(&directory) - before;
        assert!((1..=2).contains(&commits), "{commits}");
    }

    #[tokio::test]
    async fn many_events_in_the_applications_transaction_are_few_messages() {
        let directory = directory();
        let store = SqliteStore::builder().with_prefix(COUNTED_IN).open(path(&directory)).await.unwrap();
        store.put(&subscription()).await.unwrap();
        let mut application = application(&directory).await;
        let batch: Vec<_> = (1..=100).map(event).collect();
        let before = counted_of(COUNTED_IN);
        let told = store.insert_in(&mut application, &batch).await.unwrap();
        assert!(told.iter().all(|told| *told == InsertOutcome::New));
        // Three statements write an event with its delivery. Up to 32 of each are sent together.
        assert_eq!(counted_of(COUNTED_IN) - before, 3 * (3 + 4));
    }

    /// Counts the transactions in the fresh log of the file: the last page that one writes has the size of
    /// the file (https://www.sqlite.org/fileformat2.html#the_write_ahead_log).
    fn commits(directory: &TempDir) -> usize {
        let log = std::fs::read(directory.path().join("hooks.db-wal")).unwrap();
        let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
        let (page, salt) = (number(8) as usize, number(16));
        let frames = (32..log.len()).step_by(24 + page);
        frames.filter(|at| number(*at + 4) > 0 && number(*at + 8) == salt).count()
    }

    /// The number of the driver's messages with statements on a test's own tables.
    fn counted_of(prefix: &str) -> usize {
        static INSTALLED: OnceLock<()> = OnceLock::new();
        INSTALLED.get_or_init(|| {
            // Set globally, because the driver works on its own threads.
            tracing::subscriber::set_global_default(Counter).unwrap();
        });
        let which = PREFIXES.iter().position(|counted| *counted == prefix).unwrap();
        COUNTS[which].load(Ordering::SeqCst)
    }

    struct Counter;

    impl Subscriber for Counter {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == "sqlx::query"
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut found = Found([false; PREFIXES.len()]);
            event.record(&mut found);
            for (count, _) in COUNTS.iter().zip(found.0).filter(|(_, is_named)| *is_named) {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    /// For each test that counts, whether an event names its tables.
    struct Found([bool; PREFIXES.len()]);

    impl Visit for Found {
        fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
            let text = format!("{value:?}");
            for (found, prefix) in self.0.iter_mut().zip(PREFIXES) {
                *found |= text.contains(prefix);
            }
        }
    }

    static COUNTS: [AtomicUsize; PREFIXES.len()] = [const { AtomicUsize::new(0) }; PREFIXES.len()];
    const PREFIXES: [&str; 2] = [COUNTED, COUNTED_IN];
    const COUNTED: &str = "counted_";
    const COUNTED_IN: &str = "tallied_";
}

mod thread {
    use super::*;

    #[tokio::test]
    async fn a_store_without_patience_writes_where_nobody_else_does() {
        let directory = directory();
        let builder = SqliteStore::builder().with_busy_timeout(Duration::ZERO);
        let store = builder.open(path(&directory)).await.unwrap();
        store.put(&subscription()).await.unwrap();
        for number in 1..=200 {
            assert_eq!(store.insert(&[event(number)]).await.unwrap(), [InsertOutcome::New]);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_store_closes_while_callers_keep_writing_and_tells_them() {
        let (store, _directory) = with_subscription().await;
        let writers: Vec<_> = (0..8_u32)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut number = writer * 1_000_000 + 1;
                    while store.insert(&[event(number)]).await.is_ok() {
                        number += 1;
                    }
                    store.insert(&[event(number)]).await.unwrap_err()
                })
            })
            .collect();
        while claim(&store).await.deliveries.len() < 10 {}
        store.close().await;
        for writer in writers {
            let error = writer.await.unwrap();
            assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_application_writes_to_the_file_while_the_store_always_does() {
        let (store, directory) = with_subscription().await;
        let mut application = application(&directory).await;
        application.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)").await.unwrap();
        let writers: Vec<_> = (0..8_u32)
            .map(|writer| {
                let store = store.clone();
                let batch = move |round: u32| -> Vec<_> {
                    (0..50).map(|number| event(writer * 1_000_000 + round * 50 + number + 1)).collect()
                };
                tokio::spawn(async move {
                    let mut round = 0;
                    while store.insert(&batch(round)).await.is_ok() {
                        round += 1;
                    }
                })
            })
            .collect();
        for _ in 0..40 {
            application.execute("INSERT INTO orders DEFAULT VALUES").await.unwrap();
        }
        store.close().await;
        for writer in writers {
            writer.await.unwrap();
        }
    }

    #[tokio::test]
    async fn the_file_stays_the_same_when_the_way_to_it_changes() {
        let directory = directory();
        let (real, link) = (directory.path().join("real"), directory.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let store = SqliteStore::open(link.join("hooks.db")).await.unwrap();
        std::fs::remove_file(&link).unwrap();
        store.put(&subscription()).await.unwrap();
        assert_eq!(store.insert(&[event(1)]).await.unwrap(), [InsertOutcome::New]);
        assert_eq!(store.look(&poll(10, NOW)).await.unwrap().ready.len(), 1);
    }

    #[tokio::test]
    async fn a_damaged_row_can_be_ended() {
        let (store, directory) = with_subscription().await;
        store.insert(&[event(1)]).await.unwrap();
        let damage = "UPDATE hookwire_pending SET version = CAST(x'ff' AS TEXT)";
        application(&directory).await.execute(damage).await.unwrap();
        let claims = claim(&store).await;
        let unreadable = &claims.unreadable[0];
        let attempt = Attempt::new(1, NOW, LEASE, Outcome::Failed(ErrorClass::Internal));
        let end = Settlement::new(unreadable.key, unreadable.lease, attempt, Next::Done, NOW);
        assert_eq!(store.settle(&[end]).await.unwrap(), [Settled::Done]);
        assert!(claim(&store).await.unreadable.is_empty());
    }
}

mod pools {
    use super::*;

    #[tokio::test]
    async fn the_applications_own_pool_will_do() {
        let directory = directory();
        let pool = pool(&directory).await;
        let store = SqliteStore::builder().open_pool(pool.clone()).await.unwrap();
        store.put(&subscription()).await.unwrap();
        let mut transaction = pool.begin().await.unwrap();
        store.insert_in(&mut transaction, &[event(1)]).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(claim(&store).await.deliveries.len(), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn workers_in_two_stores_on_one_file_deliver_each_event_once() {
        let (one, directory) = with_subscription().await;
        let two = SqliteStore::open(path(&directory)).await.unwrap();
        let batch: Vec<_> = (1..=200).map(event).collect();
        one.insert(&batch).await.unwrap();
        let workers: Vec<_> = [one.clone(), one.clone(), two.clone(), two]
            .into_iter()
            .map(|store| tokio::spawn(deliver_all(store)))
            .collect();
        let mut taken = 0;
        for worker in workers {
            taken += worker.await.unwrap();
        }
        assert_eq!(taken, 200);
    }
}

/// Polls a future once.
async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context).is_pending())).await
}

/// Polls a future a few times, and drops it before it ends.
async fn drop_after<T>(polls: u32, future: impl Future<Output = T>) {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        assert!(future.as_mut().poll(context).is_pending(), "it ended before poll {polls}");
        if left == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

async fn with_subscription() -> (SqliteStore, TempDir) {
    let (store, directory) = fresh().await;
    store.put(&subscription()).await.unwrap();
    (store, directory)
}

/// A connection of the application, with a table of its own.
async fn application(directory: &TempDir) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path(directory)).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    // A temporary table, because creating it needs no lock on the file.
    connection.execute("CREATE TEMP TABLE calls (id INTEGER PRIMARY KEY)").await.unwrap();
    connection
}

async fn business_row(connection: &mut SqliteConnection) {
    connection.execute("INSERT INTO calls DEFAULT VALUES").await.unwrap();
}

async fn business_rows(connection: &mut SqliteConnection) -> i64 {
    sqlx::query("SELECT count(*) FROM calls").fetch_one(connection).await.unwrap().get(0)
}

async fn claim(store: &SqliteStore) -> Claims {
    store.claim(&wish(NOW, 1_000)).await.unwrap()
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("there is a temporary directory")
}

fn path(directory: &TempDir) -> PathBuf {
    directory.path().join("hooks.db")
}

/// Ends all pending deliveries, as if each endpoint had answered 410.
const ALL_GONE: &str = "\
INSERT INTO hookwire_history (id, subscription, event, state, attempts, created_at, finished_at)
SELECT id, subscription, event, 'gone', attempts, created_at, 0 FROM hookwire_pending;
DELETE FROM hookwire_pending";
