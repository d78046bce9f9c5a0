//! The PostgreSQL store and inbox: the rules of every store, and PostgreSQL's own behaviour.
#![cfg(all(feature = "dispatch", feature = "postgres", feature = "testing"))]
#![allow(clippy::unwrap_used, reason = "tests state their expectations by unwrapping, in their helpers too")]

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hookwire::delivery::Next;
use hookwire::sqlx::postgres::{PgConnection, PgPoolOptions};
use hookwire::sqlx::{self, AssertSqlSafe, Connection as _, Executor as _, Row as _};
use hookwire::store::conformance::Application;
use hookwire::store::implement::{
    Claims, InsertOutcome, NewDelivery, NewEvent, NewPayload, Settled, Settlement, Share,
};
use hookwire::store::postgres::{PostgresStore, PostgresStoreBuilder};
use hookwire::store::{Notifications as _, StoreErrorKind};
use hookwire::{ContractId, DeliveryId, Records, Store as _, Subscriptions, TransactionalStore as _};

use crate::driver_log::DriverLog;
use crate::postgres_server::{self, Server, prefix};
use crate::store_parts::{
    LEASE, NOW, SUBSCRIPTION, deliver_all, delivered, delivery_id, event, subscription, subscription_of, wish,
};
use crate::stores::{claim_of, poll};

mod plain {
    crate::stores::every_suite!(crate::store_postgres::fresh);
    crate::stores::every_transactional_suite!(crate::store_postgres::fresh_with_handler);
}

/// The store behind a pointer, which forwards every call.
mod shared {
    crate::stores::every_suite!(crate::store_postgres::fresh_shared);
    crate::stores::every_transactional_suite!(crate::store_postgres::fresh_shared_with_handler);
}

/// A handler that writes in transactions of its own.
pub(crate) struct Handler(pub(crate) PgConnection);

impl Application<PgConnection> for Handler {
    async fn begin(&mut self) {
        self.0.execute("BEGIN").await.unwrap();
    }

    fn connection(&mut self) -> &mut PgConnection {
        &mut self.0
    }

    async fn commit(&mut self) {
        self.0.execute("COMMIT").await.unwrap();
    }

    async fn roll_back(&mut self) {
        self.0.execute("ROLLBACK").await.unwrap();
    }
}

/// A store that uses the tests' time.
async fn fresh() -> (PostgresStore, ()) {
    (builder().connect(postgres_server::url()).await.expect("store opens"), ())
}

async fn fresh_shared() -> (Arc<PostgresStore>, ()) {
    let (store, ()) = fresh().await;
    (Arc::new(store), ())
}

async fn fresh_with_handler() -> (PostgresStore, Handler, ()) {
    (fresh().await.0, Handler(application().await), ())
}

async fn fresh_shared_with_handler() -> (Arc<PostgresStore>, Handler, ()) {
    (fresh_shared().await.0, Handler(application().await), ())
}

mod transactions {
    use hookwire::allison::CallEnded;
    use hookwire::dispatch::Outbox;
    use hookwire::{Contract, Envelope};

    use super::*;

    #[tokio::test]
    async fn a_batch_that_fails_is_undone_to_the_callers_savepoint() {
        let (store, mut application) = with_subscription().await;
        // The second event's delivery has the id of the first's.
        let batch = [event(1), event(2).with_delivery(delivery_id(1), SUBSCRIPTION)];
        let mut transaction = application.begin().await.unwrap();
        business_row(&mut transaction).await;
        let mut savepoint = transaction.begin().await.unwrap();
        let error = store.insert_in(&mut savepoint, &batch).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Backend);
        savepoint.rollback().await.unwrap();
        transaction.commit().await.unwrap();
        assert!(claim(&store).await.deliveries.is_empty());
        assert_eq!(business_rows(&mut application).await, 1);
    }

    #[tokio::test]
    async fn an_event_is_emitted_on_the_only_connection_that_there_is() {
        let pool = pool().max_connections(1).connect(postgres_server::url()).await.unwrap();
        let store = builder().open_pool(pool.clone()).await.unwrap();
        store.put(&subscription()).await.unwrap();
        let outbox = Outbox::new(store.clone(), Contract::allison());
        let mut transaction = pool.begin().await.unwrap();
        let envelope = Envelope::new(CallEnded::new("5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11"));
        let emitted = outbox.emit_in(&mut transaction, "org_1", &envelope).await.unwrap();
        assert_eq!(emitted.deliveries, 1);
        transaction.commit().await.unwrap();
        let later = envelope.created_at + LEASE;
        assert_eq!(store.claim(&wish(later, 10)).await.unwrap().deliveries.len(), 1);
    }

    #[tokio::test]
    async fn a_transaction_of_another_search_path_and_isolation_will_do() {
        let (store, mut application) = with_subscription().await;
        let schema = prefix();
        execute(&mut application, &format!("CREATE SCHEMA {schema}; SET search_path = {schema}")).await;
        for level in ["REPEATABLE READ", "SERIALIZABLE"] {
            let begin = AssertSqlSafe(format!("BEGIN ISOLATION LEVEL {level}"));
            let mut transaction = application.begin_with(begin).await.unwrap();
            store.insert_in(&mut transaction, &[event(1).with_ordering_key("a".to_owned())]).await.unwrap();
            transaction.commit().await.unwrap();
        }
        assert_eq!(claim(&store).await.deliveries.len(), 1);
    }

    #[tokio::test]
    async fn keyed_events_of_a_transaction_wait_for_each_other_and_lock_nobody_out() {
        let (store, mut application) = with_subscription().await;
        let keyed = |number| event(number).with_ordering_key("call".to_owned());
        let mut transaction = application.begin().await.unwrap();
        store.insert_in(&mut transaction, &[keyed(1), keyed(2), keyed(3)]).await.unwrap();
        // This insert would wait until the commit if the transaction held the key's lock.
        store.insert(&[keyed(4)]).await.unwrap();
        transaction.commit().await.unwrap();
        let mut order = Vec::new();
        loop {
            let claims = claim(&store).await;
            assert!(claims.deliveries.len() <= 1, "two of a key");
            let Some(claimed) = claims.deliveries.first() else { break };
            order.push(claimed.delivery);
            store.settle(&delivered(&claims)).await.unwrap();
        }
        assert_eq!(order, [1, 2, 3, 4].map(delivery_id));
    }
}

mod schema {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_that_open_at_once_all_can_use_the_tables() {
        for _ in 0..3 {
            let builder = builder();
            let opening: Vec<_> =
                (0..8).map(|_| tokio::spawn(builder.clone().connect(postgres_server::url()))).collect();
            for (number, opened) in (1..).zip(opening) {
                let store = opened.await.unwrap().unwrap();
                assert_eq!(store.insert(&[event(number)]).await.unwrap(), [InsertOutcome::New]);
            }
        }
    }

    #[tokio::test]
    async fn tables_that_need_newer_code_are_refused_and_newer_ones_that_do_not_are_used() {
        let prefix = prefix();
        let builder = PostgresStore::builder().with_prefix(&prefix);
        builder.clone().connect(postgres_server::url()).await.unwrap();
        let mut application = application().await;
        for (least, kind) in [(7, Some(StoreErrorKind::Schema)), (1, None)] {
            let sql = format!("UPDATE {prefix}schema SET version = 7, min_code_version = {least}");
            execute(&mut application, &sql).await;
            let opened = builder.clone().connect(postgres_server::url()).await;
            assert_eq!(opened.as_ref().err().map(|error| error.kind()), kind);
            if let Ok(store) = opened {
                store.insert(&[event(1)]).await.unwrap();
            }
        }
        let version: i64 = number(&mut application, &format!("SELECT version FROM {prefix}schema")).await;
        assert_eq!(version, 7);
    }

    #[tokio::test]
    async fn tables_made_by_hand_are_used_by_a_role_that_may_create_none() {
        let prefix = prefix();
        let mut application = application().await;
        execute(&mut application, &PostgresStore::schema_sql(&prefix).unwrap()).await;
        let role = format!("{prefix}role");
        let rights = format!(
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE {role} LOGIN; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}; \
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"
        );
        execute(&mut application, &rights).await;
        let role = format!("SET ROLE {role}");
        let pool = pool()
            .after_connect(move |connection, _| {
                let role = role.clone();
                Box::pin(async move { connection.execute(AssertSqlSafe(role)).await.map(|_| ()) })
            })
            .connect(postgres_server::url())
            .await
            .unwrap();
        let store = PostgresStore::builder().with_prefix(&prefix).open_pool(pool.clone()).await.unwrap();
        store.put(&subscription()).await.unwrap();
        store.insert(&[event(1).with_ordering_key("call".to_owned())]).await.unwrap();
        assert_eq!(deliver_all(store).await, 1);
        let error = builder().open_pool(pool).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Backend, "there are no tables of this prefix");
    }

    #[tokio::test]
    async fn stores_of_two_prefixes_share_a_database_and_nothing_else() {
        let (one, _) = with_subscription().await;
        let two = builder().connect(postgres_server::url()).await.unwrap();
        one.insert(&[event(1)]).await.unwrap();
        assert!(two.subscription(SUBSCRIPTION).await.unwrap().is_none());
        assert!(claim(&two).await.deliveries.is_empty());
        assert_eq!(claim(&one).await.deliveries.len(), 1);
    }

    #[tokio::test]
    async fn a_prefix_that_is_no_identifier_is_refused() {
        for prefix in ["", "1a", "a-b", "a b", "a\"", "a;", "ä", "pg_", "a$", &"a".repeat(31)] {
            let error = PostgresStore::schema_sql(prefix).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Backend, "{prefix}");
        }
        let longest = PostgresStore::builder().with_prefix("A".repeat(30));
        let store = longest.with_connections(1).connect(postgres_server::url()).await.unwrap();
        store.look(&poll(1, NOW)).await.unwrap();
    }

    #[tokio::test]
    async fn tables_that_are_gone_are_told_as_a_fault_of_the_schema() {
        let prefix = prefix();
        let store =
            PostgresStore::builder().with_prefix(&prefix).connect(postgres_server::url()).await.unwrap();
        execute(&mut application().await, &format!("DROP TABLE {prefix}deliveries")).await;
        assert_eq!(store.insert(&[event(1)]).await.unwrap_err().kind(), StoreErrorKind::Schema);
    }
}

mod round_trips {
    use super::*;

    #[tokio::test]
    async fn each_call_of_the_queue_is_one_statement_for_any_number_of_deliveries() {
        let store = builder().connect(postgres_server::url()).await.unwrap();
        let many = 20;
        for number in 1..=many {
            store.put(&subscription_of(number)).await.unwrap();
        }
        let batch: Vec<_> = (1..=400)
            .map(|number| {
                let mut event = event(number);
                event.deliveries[0].subscription = subscription_of(number % many + 1).id;
                event.with_ordering_key((number % 3 == 0).then(|| (number % 5).to_string()))
            })
            .collect();
        let log = DriverLog::of_this_thread();
        let one = |call: &str| {
            let statements = log.take();
            assert_eq!(statements.len(), 1, "{call}: {statements:#?}");
        };
        store.insert(&batch).await.unwrap();
        one("insert");
        for shares in [1, 5, many] {
            let look = store.look(&poll(1_000, NOW)).await.unwrap();
            one("look");
            let shares = look.ready.iter().take(usize::try_from(shares).unwrap());
            let shares = shares.map(|subscription| Share::new(*subscription, 50)).collect();
            let claims = store.claim(&claim_of(LEASE, shares, NOW)).await.unwrap();
            one("claim");
            let leases: Vec<_> =
                claims.deliveries.iter().map(|claimed| (claimed.delivery, claimed.lease)).collect();
            store.extend(&leases, LEASE, NOW).await.unwrap();
            one("extend");
            let disable = |settlement: Settlement| settlement.with_pause(Duration::ZERO);
            let settlements: Vec<_> = delivered(&claims).into_iter().map(disable).take(250).collect();
            assert!(settlements.len() > 5);
            let told = store.settle(&settlements).await.unwrap();
            assert!(told.iter().all(|told| *told == Settled::Done));
            one("settle");
        }
    }

    #[tokio::test]
    async fn inserts_that_come_together_are_few_statements() {
        let (store, _) = with_subscription().await;
        let batches: Vec<_> = (1..=100).map(|number| [event(number)]).collect();
        let log = DriverLog::of_this_thread();
        let told = join_all(batches.iter().map(|batch| store.insert(batch))).await;
        assert!(told.into_iter().all(|told| told.unwrap() == [InsertOutcome::New]));
        let statements = log.take();
        // The first call may go before the others have arrived.
        assert!(statements.len() <= 2, "{statements:#?}");
        assert_eq!(deliver_all(store).await, 100);
    }

    #[tokio::test]
    async fn a_payload_is_sent_once_for_all_its_deliveries() {
        let (store, _) = with_subscription().await;
        let mut event = event(1);
        event.payload = vec![b'x'; 4 * 1024 * 1024].into();
        for number in 2..=200 {
            event = event.with_delivery(delivery_id(number), SUBSCRIPTION);
        }
        store.insert(&[event.clone()]).await.unwrap();
        let claims = claim(&store).await;
        assert_eq!(claims.deliveries.len(), 200);
        // Copies would have different addresses.
        let addresses: BTreeSet<_> =
            claims.deliveries.iter().map(|claimed| claimed.payload.as_ptr().addr()).collect();
        assert_eq!((addresses.len(), &claims.deliveries[7].payload), (1, &event.payload));
    }
}

mod plans {
    use super::*;

    #[tokio::test]
    async fn the_queue_seeks_among_many_also_with_plans_made_while_it_was_empty() {
        let prefix = prefix();
        let pool = pool().max_connections(1).after_connect(|connection, _| {
            Box::pin(async move {
                let explain = "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; \
                     SET auto_explain.log_nested_statements = on; SET auto_explain.log_level = 'notice'; \
                     SET auto_explain.log_analyze = on; SET auto_explain.log_timing = off";
                connection.execute(explain).await.map(|_| ())
            })
        });
        let pool = pool.connect(postgres_server::url()).await.unwrap();
        let store = PostgresStore::builder().with_prefix(&prefix).with_caller_time();
        let store = store.open_pool(pool.clone()).await.unwrap();
        let mut connection = pool.acquire().await.unwrap();
        for table in ["subscriptions", "events", "payloads", "deliveries", "attempts"] {
            execute(&mut connection, &format!("VACUUM ANALYZE {prefix}{table}")).await;
        }
        drop(connection);
        // Every function has its plans now on the only connection.
        store.put(&subscription()).await.unwrap();
        exercise(&store, 0).await;

        let mut connection = pool.acquire().await.unwrap();
        execute(&mut connection, &filled(&prefix)).await;
        for is_analyzed in [false, true] {
            if is_analyzed {
                execute(&mut connection, &format!("ANALYZE {prefix}deliveries")).await;
                execute(&mut connection, &format!("ANALYZE {prefix}events")).await;
            }
            drop(connection);
            let log = DriverLog::of_this_thread();
            exercise(&store, 1 + u32::from(is_analyzed)).await;
            let plans: Vec<_> = log.take().into_iter().filter(|line| line.contains("Query Text")).collect();
            assert!(plans.len() > 30, "{}", plans.len());
            for plan in &plans {
                judge(plan, &prefix);
            }
            connection = pool.acquire().await.unwrap();
        }
    }

    /// Makes each call of the queue, on deliveries with numbers of this `run`.
    async fn exercise(store: &PostgresStore, run: u32) {
        let number = 500_000 + 100 * run;
        let keyed = |number| event(number).with_ordering_key("call".to_owned());
        let older = ContractId::new("allison", "v0").unwrap();
        let versioned = event(number + 4).with_older(NewPayload::new(&older, "old".into()));
        let mut batch = [
            event(number),
            event(number + 1),
            keyed(number + 2),
            keyed(number + 3),
            versioned,
            event(number + 5),
        ];
        batch[4].deliveries[0].version = Some("v0".to_owned());
        batch[5].deliveries[0].lease = Some(LEASE);
        let inserted = store.insert(&batch).await.unwrap();
        assert_eq!(inserted, [InsertOutcome::New; 6]);
        assert_eq!(inserted[5].leased.len(), 1);
        assert_eq!(store.insert(&batch[4..5]).await.unwrap(), [InsertOutcome::Duplicate]);
        assert_eq!(store.insert(&[event(number)]).await.unwrap(), [InsertOutcome::Duplicate]);
        store.look(&poll(5, NOW)).await.unwrap();
        let claims = store.claim(&wish(NOW, 50)).await.unwrap();
        assert!(claims.deliveries.len() >= 3);
        let leases: Vec<_> =
            claims.deliveries.iter().map(|claimed| (claimed.delivery, claimed.lease)).collect();
        store.extend(&leases, LEASE, NOW).await.unwrap();
        let pause = |settlement: Settlement| settlement.with_pause(Duration::ZERO);
        let settlements: Vec<_> = delivered(&claims).into_iter().map(pause).collect();
        let told = store.settle(&settlements).await.unwrap();
        assert!(told.iter().all(|told| *told == Settled::Done));
        store.cancel(delivery_id(number + 3), NOW).await.unwrap();
        store.expunge("org_1", "allison", &event(number + 1).id, NOW).await.unwrap();
    }

    /// SQL for deliveries of 1,000 subscriptions, nearly all of one.
    fn filled(prefix: &str) -> String {
        format!(
            "INSERT INTO {prefix}subscriptions (id, organization, contract, version, url, filter, secrets, status, options, health, created_at) \
             SELECT ('00000000-0000-0000-0000-' || lpad(to_hex(i), 12, '0'))::uuid, 'org_2', contract, version, url, filter, secrets, status, \
               options, health, i FROM {prefix}subscriptions, generate_series(1, 1000) i; \
             INSERT INTO {prefix}events (organization, contract, version, id, type, digest, created_at, payload) \
             SELECT 'org_2', 'allison', 'v1', 'e' || i, 'call.ended', 'x', 0, 'x' FROM generate_series(1, 100000) i; \
             INSERT INTO {prefix}deliveries (id, event, subscription, order_group, due_at, created_at, state, is_retry) \
             SELECT gen_random_uuid(), i, s.id, CASE WHEN i % 7 = 0 THEN i END, i, 0, 'pending', i % 3 = 0 \
             FROM generate_series(1, 100000) i JOIN {prefix}subscriptions s ON s.id = CASE WHEN i % 50 = 0 \
               THEN ('00000000-0000-0000-0000-' || lpad(to_hex(1 + i % 997), 12, '0'))::uuid \
               ELSE (SELECT id FROM {prefix}subscriptions WHERE organization = 'org_1') END"
        )
    }

    /// Checks that the plan scans no table, sorts nothing, and reads nothing in vain.
    fn judge(plan: &str, prefix: &str) {
        assert!(!plan.contains(&format!("Seq Scan on {prefix}")), "{plan}");
        let lines: Vec<_> = plan.lines().map(str::trim_start).collect();
        for (at, line) in lines.iter().enumerate() {
            let is_scan = line.contains("Scan using") && line.contains(prefix);
            if !is_scan || line.contains("never executed") {
                continue;
            }
            let (_, counts) = line.rsplit_once("(actual rows=").unwrap();
            let mut counts = counts.trim_end_matches(')').split(" loops=").map(|n| n.parse::<f64>().unwrap());
            let rows = counts.next().unwrap() * counts.next().unwrap();
            assert!(rows <= 2_000.0, "{rows} rows: {plan}");
            assert!(lines[at + 1].starts_with("Index Cond"), "{plan}");
            if let Some(removed) =
                lines[at + 1..].iter().take(3).find_map(|line| line.strip_prefix("Rows Removed by Filter: "))
            {
                assert!(removed.parse::<u32>().unwrap() <= 50, "{plan}");
            }
        }
    }
}

mod leased_inserts {
    use hookwire::{DisabledReason, SubscriptionStatus};

    use super::*;

    #[tokio::test]
    async fn an_insert_that_had_to_wait_leases_by_the_state_that_it_finds_then() {
        let ((store, prefix), mut application) = fresh_with_application().await;
        store.put(&subscription()).await.unwrap();
        let mut other = application.begin().await.unwrap();
        store.insert_in(&mut other, &[event(1)]).await.unwrap();
        let mut leasing = event(1);
        leasing.deliveries = vec![NewDelivery::new(delivery_id(2), SUBSCRIPTION).with_lease(LEASE)];
        let leasing = [leasing];
        let mut inserting = pin!(store.insert(&leasing));
        until_it_waits(inserting.as_mut(), &prefix).await;
        let disabled = SubscriptionStatus::disabled(DisabledReason::Manual, NOW);
        assert!(store.set_status(SUBSCRIPTION, &disabled).await.unwrap());
        other.rollback().await.unwrap();
        let inserted = inserting.await.unwrap();
        assert_eq!(inserted, [InsertOutcome::New]);
        assert!(inserted[0].leased.is_empty(), "it was disabled before the delivery was written");
        store.set_status(SUBSCRIPTION, &SubscriptionStatus::Enabled).await.unwrap();
        let claims = claim(&store).await;
        assert_eq!(claims.deliveries[0].delivery, delivery_id(2));
    }

    #[tokio::test]
    async fn a_transaction_of_the_caller_leases_nothing() {
        let (store, mut application) = with_subscription().await;
        let mut leasing = event(1);
        leasing.deliveries[0].lease = Some(LEASE);
        let mut transaction = application.begin().await.unwrap();
        let inserted = store.insert_in(&mut transaction, &[leasing]).await.unwrap();
        assert!(inserted[0].leased.is_empty());
        transaction.commit().await.unwrap();
        assert_eq!(claim(&store).await.deliveries.len(), 1);
    }
}

mod order_groups {
    use super::*;

    #[tokio::test]
    async fn an_end_waits_for_a_claim_that_parks_the_next_and_then_wakes_it() {
        let ((store, prefix), mut application) = fresh_with_application().await;
        store.put(&subscription()).await.unwrap();
        store.insert_in(&mut application, &[keyed(1), keyed(2)]).await.unwrap();
        let claims = store.claim(&wish(NOW, 1)).await.unwrap();
        let mut parking = application.begin().await.unwrap();
        let subscription = uuid::Uuid::from_u128(SUBSCRIPTION.as_u128());
        let now = NOW.unix_timestamp_nanos() / 1_000;
        let claim = format!(
            "SELECT {prefix}claim_1(ARRAY['allison'], {now}, 1, ARRAY['{subscription}'::uuid], ARRAY[9], ARRAY[0])"
        );
        execute(&mut parking, &claim).await;
        let settlements = delivered(&claims);
        let mut settling = pin!(store.settle(&settlements));
        until_it_waits(settling.as_mut(), &prefix).await;
        parking.commit().await.unwrap();
        assert_eq!(settling.await.unwrap(), [Settled::Done]);
        assert_eq!(claimed(&store).await, [delivery_id(2)]);
    }

    #[tokio::test]
    async fn an_insert_waits_for_an_end_and_is_due_then() {
        let ((store, prefix), mut application) = fresh_with_application().await;
        store.put(&subscription()).await.unwrap();
        store.insert(&[keyed(1)]).await.unwrap();
        let mut ending = application.begin().await.unwrap();
        let first = uuid::Uuid::from_u128(delivery_id(1).as_u128());
        execute(&mut ending, &format!("SELECT {prefix}cancel_1('{first}', NULL)")).await;
        let second = [keyed(2)];
        let mut inserting = pin!(store.insert(&second));
        until_it_waits(inserting.as_mut(), &prefix).await;
        ending.commit().await.unwrap();
        assert_eq!(inserting.await.unwrap(), [InsertOutcome::New]);
        assert_eq!(claimed(&store).await, [delivery_id(2)]);
    }

    #[tokio::test]
    async fn what_was_begun_stays_in_front_of_what_is_committed_later() {
        let (store, mut application) = with_subscription().await;
        let mut transaction = application.begin().await.unwrap();
        store.insert_in(&mut transaction, &[keyed(1)]).await.unwrap();
        store.insert(&[keyed(2)]).await.unwrap();
        let claims = claim(&store).await;
        assert_eq!(claims.deliveries[0].delivery, delivery_id(2));
        transaction.commit().await.unwrap();
        assert_eq!(claimed(&store).await, []);
        let begun = &claims.deliveries[0];
        store.settle(&[Settlement::hand_back(begun.delivery, begun.lease, NOW)]).await.unwrap();
        let claims = claim(&store).await;
        assert_eq!(claims.deliveries[0].delivery, delivery_id(2));
        store.settle(&delivered(&claims)).await.unwrap();
        assert_eq!(claimed(&store).await, [delivery_id(1)]);
    }

    #[tokio::test]
    async fn a_retry_fills_the_share_of_a_new_delivery_that_is_not_in_turn() {
        let (store, mut application) = with_subscription().await;
        store.insert(&[event(3)]).await.unwrap();
        let earlier = NOW - Duration::from_secs(1);
        let failed = |settlement: Settlement| {
            let again = Next::retry(Duration::ZERO);
            let log = settlement.log().unwrap().clone();
            Settlement::new(settlement.key, settlement.lease, log, again, earlier)
        };
        let settlements: Vec<_> = delivered(&claim(&store).await).into_iter().map(failed).collect();
        store.settle(&settlements).await.unwrap();
        // Both are due as far as the claim can tell before it has their lock.
        store.insert_in(&mut application, &[keyed(1), keyed(2)]).await.unwrap();
        let claims = store.claim(&wish(NOW, 2)).await.unwrap();
        let claimed: Vec<_> = claims.deliveries.iter().map(|claimed| claimed.delivery).collect();
        assert_eq!(claimed, [delivery_id(1), delivery_id(3)]);
    }

    #[tokio::test]
    async fn an_end_that_is_undone_lets_nothing_begin() {
        let ((store, prefix), mut application) = fresh_with_application().await;
        store.put(&subscription()).await.unwrap();
        store.insert_in(&mut application, &[keyed(1), keyed(2)]).await.unwrap();
        let mut ending = application.begin().await.unwrap();
        let first = uuid::Uuid::from_u128(delivery_id(1).as_u128());
        execute(&mut ending, &format!("SELECT {prefix}cancel_1('{first}', NULL)")).await;
        assert_eq!(
            claimed(&store).await,
            [],
            "the first is held, and whether the second is next is not known"
        );
        assert_eq!(store.look(&poll(9, NOW)).await.unwrap().ready, [SUBSCRIPTION]);
        ending.rollback().await.unwrap();
        assert_eq!(claimed(&store).await, [delivery_id(1)]);
    }

    fn keyed(number: u32) -> NewEvent {
        event(number).with_ordering_key("call".to_owned())
    }

    async fn claimed(store: &PostgresStore) -> Vec<DeliveryId> {
        claim(store).await.deliveries.iter().map(|claimed| claimed.delivery).collect()
    }
}

mod workers {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn workers_in_two_stores_on_one_database_deliver_each_event_once() {
        let prefix = prefix();
        let builder = PostgresStore::builder().with_prefix(&prefix).with_caller_time();
        let one = builder.clone().connect(postgres_server::url()).await.unwrap();
        let two = builder.connect(postgres_server::url()).await.unwrap();
        one.put(&subscription()).await.unwrap();
        let batch: Vec<_> = (1..=400).map(event).collect();
        one.insert(&batch).await.unwrap();
        let workers: Vec<_> = [one.clone(), one.clone(), two.clone(), two]
            .into_iter()
            .map(|store| tokio::spawn(deliver_all(store)))
            .collect();
        let mut taken = 0;
        for worker in workers {
            taken += worker.await.unwrap();
        }
        // A worker that found all rows locked by others stopped early. The rest is still due.
        taken += deliver_all(one).await;
        assert_eq!(taken, 400);
    }

    #[tokio::test]
    async fn many_unparked_ones_of_a_key_hide_nothing_behind_them() {
        let (store, mut application) = with_subscription().await;
        let mut batch: Vec<_> =
            (1..=700).map(|number| event(number).with_ordering_key("call".to_owned())).collect();
        batch.push(event(701));
        let mut transaction = application.begin().await.unwrap();
        store.insert_in(&mut transaction, &batch).await.unwrap();
        transaction.commit().await.unwrap();
        let claims = store.claim(&wish(NOW, 2)).await.unwrap();
        let taken: Vec<_> = claims.deliveries.iter().map(|claimed| claimed.delivery).collect();
        assert_eq!(taken, [delivery_id(1), delivery_id(701)]);
        assert_eq!(store.look(&poll(10, NOW)).await.unwrap().ready, [], "the rest waits behind the first");
    }

    #[tokio::test]
    async fn a_fan_out_with_a_key_takes_no_more_locks_than_there_are() {
        let (store, mut application) = fresh_with_application().await;
        let many = 9_000;
        let sql = format!(
            "INSERT INTO {}subscriptions \
               (id, organization, contract, version, url, filter, secrets, status, disabled_at, paused_until, options, health, created_at) \
             SELECT ('00000000-0000-0000-0000-' || lpad(to_hex(i), 12, '0'))::uuid, 'org_1', 'allison', 'v1', \
             'https://hooks.example.com/', '[]', '[]', 'enabled', NULL, 0, '{{}}', '', 0 FROM generate_series(1, {many}) i",
            store.1
        );
        execute(&mut application, &sql).await;
        let mut event = event(1).with_ordering_key("call".to_owned());
        event.deliveries = (1..=many)
            .map(|number| {
                NewDelivery::new(delivery_id(number), hookwire::SubscriptionId::from_u128(number.into()))
            })
            .collect();
        assert_eq!(store.0.insert(&[event.clone()]).await.unwrap(), [InsertOutcome::New]);
        assert!(store.0.expunge("org_1", "allison", &event.id, NOW).await.unwrap());
        let pending = format!("SELECT count(*) FROM {}deliveries WHERE state = 'pending'", store.1);
        assert_eq!(number(&mut application, &pending).await, 0);
    }
}

mod clock {
    use super::*;

    #[tokio::test]
    async fn a_caller_whose_clock_is_a_day_ahead_claims_nothing_early_and_keeps_nothing_longer() {
        let store = PostgresStore::builder().with_prefix(prefix());
        let store = store.connect(postgres_server::url()).await.unwrap();
        store.put(&subscription()).await.unwrap();
        let (ahead, behind) = (NOW + 10_000 * DAY, NOW - 10_000 * DAY);
        let mut early = event(1);
        early.inserted_at = ahead;
        store.insert(&[early, event(2)]).await.unwrap();
        let claims = store.claim(&wish(behind, 10)).await.unwrap();
        assert_eq!(claims.deliveries.len(), 2, "due when they were inserted, by the database's clock");
        assert!(store.claim(&wish(ahead, 10)).await.unwrap().deliveries.is_empty(), "leased");
        let mut settlements = delivered(&claims);
        settlements[0].next = Next::retry(LEASE);
        for settlement in &mut settlements {
            settlement.now = ahead;
        }
        store.settle(&settlements).await.unwrap();
        assert!(store.claim(&wish(ahead, 10)).await.unwrap().deliveries.is_empty(), "due after a minute");
        let wait = store.look(&poll(10, behind)).await.unwrap().wait.unwrap();
        assert!(wait <= LEASE, "{wait:?}");
        // The times of an attempt are the caller's data.
        assert_eq!(store.list_attempts(delivery_id(1)).await.unwrap()[0].started_at, NOW);
    }

    const DAY: Duration = Duration::from_secs(86_400);
}

mod notifications {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn processes_hear_each_other_and_not_themselves() {
        let builder = builder();
        let one = builder.clone().connect(postgres_server::url()).await.unwrap().notifications();
        let two = builder.connect(postgres_server::url()).await.unwrap().notifications();
        one.notified().await.unwrap();
        two.notified().await.unwrap();
        for _ in 0..3 {
            one.notify().await.unwrap();
            two.notified().await.unwrap();
        }
        two.notify().await.unwrap();
        one.notified().await.unwrap();
        // It has seen its own three notifications already.
        assert!(timeout(Duration::from_millis(200), one.notified()).await.is_err());
        two.notify().await.unwrap();
        one.notified().await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_that_was_lost_is_made_again_and_counts_as_heard() {
        let server = Server::start();
        let store =
            builder().with_acquire_timeout(Duration::from_secs(30)).connect(&server.url()).await.unwrap();
        let notifications = store.notifications();
        notifications.notified().await.unwrap();
        server.kill();
        server.restart();
        notifications.notified().await.unwrap();
        let other = PostgresStore::builder().with_prefix("other_").connect(&server.url()).await.unwrap();
        other.notifications().notify().await.unwrap();
        assert!(
            timeout(Duration::from_millis(200), notifications.notified()).await.is_err(),
            "another prefix"
        );
        store.close().await;
        assert_eq!(notifications.notified().await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    }
}

mod faults {
    use super::*;

    #[tokio::test]
    async fn a_server_that_was_stopped_or_killed_is_unavailable_and_then_used_again() {
        let server = Server::start();
        let store =
            builder().with_acquire_timeout(Duration::from_millis(500)).connect(&server.url()).await.unwrap();
        store.put(&subscription()).await.unwrap();
        for (number, end) in [(1, Server::stop as fn(&Server)), (2, Server::kill)] {
            end(&server);
            for _ in 0..2 {
                let error = store.insert(&[event(number)]).await.unwrap_err();
                assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
            }
            server.restart();
            let mut told = store.insert(&[event(number)]).await;
            for _ in 0..20 {
                if told.as_ref().is_err_and(|error| error.is_retryable()) {
                    told = store.insert(&[event(number)]).await;
                }
            }
            assert_eq!(told.unwrap(), [InsertOutcome::New]);
        }
        assert_eq!(claim(&store).await.deliveries.len(), 2);
    }

    #[tokio::test]
    async fn calls_that_are_dropped_leave_no_transaction_open() {
        for isolation in ["read committed", "serializable"] {
            let name = prefix();
            let options: sqlx::postgres::PgConnectOptions = postgres_server::url().parse().unwrap();
            let options =
                options.application_name(&name).options([("default_transaction_isolation", isolation)]);
            let pool = pool().max_connections(2).connect_with(options).await.unwrap();
            let store = builder().open_pool(pool).await.unwrap();
            store.put(&subscription()).await.unwrap();
            let batch: Vec<_> = (1..=50).map(event).collect();
            for polls in 1..8 {
                drop_before(polls, store.insert(&batch)).await;
                let wish = wish(NOW, 50);
                drop_before(polls, store.claim(&wish)).await;
            }
            assert!(store.insert(&batch).await.is_ok());
            store.look(&poll(1, NOW)).await.unwrap();
            let idle = format!(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' AND state LIKE 'idle in%'"
            );
            assert_eq!(number(&mut application().await, &idle).await, 0, "{isolation}");
        }
    }

    #[tokio::test]
    async fn a_deadlock_is_dissolved_by_trying_again() {
        let prefix = prefix();
        let pool = pool().after_connect(|connection, _| {
            Box::pin(async move { connection.execute("SET deadlock_timeout = '1s'").await.map(|_| ()) })
        });
        let pool = pool.connect(postgres_server::url()).await.unwrap();
        let store = PostgresStore::builder().with_prefix(&prefix).with_caller_time();
        let store = store.open_pool(pool).await.unwrap();
        store.put(&subscription()).await.unwrap();
        store.insert(&[event(1), event(2)]).await.unwrap();
        let claims = claim(&store).await;
        let settlements = delivered(&claims);
        let mut application = application().await;
        execute(&mut application, "SET deadlock_timeout = '60s'").await;
        let log = DriverLog::of_this_thread();
        let lock = |number: u32| {
            let id = uuid::Uuid::from_u128(number.into());
            format!("SELECT 1 FROM {prefix}deliveries WHERE id = '{id}' FOR UPDATE")
        };
        let mut transaction = application.begin().await.unwrap();
        execute(&mut transaction, &lock(2)).await;
        // The settlement holds the first row and waits for the second. Then the other session waits for the
        // first.
        let settling = store.settle(&settlements);
        let locking = async {
            until_it_waits(std::future::pending::<()>(), &prefix).await;
            execute(&mut transaction, &lock(1)).await;
            transaction.rollback().await.unwrap();
        };
        let (told, ()) = tokio::join!(settling, locking);
        assert_eq!(told.unwrap(), [Settled::Done; 2]);
        let tries = log.take().iter().filter(|line| line.contains("settle_1")).count();
        assert!(tries >= 2, "{tries}");
    }

    #[tokio::test]
    async fn a_pool_of_another_isolation_level_is_used_with_the_right_one() {
        let pool = pool().after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute("SET default_transaction_isolation = 'serializable'").await.map(|_| ())
            })
        });
        let pool = pool.connect(postgres_server::url()).await.unwrap();
        let store = builder().open_pool(pool).await.unwrap();
        store.put(&subscription()).await.unwrap();
        let batch: Vec<_> = (1..=50).map(event).collect();
        store.insert(&batch).await.unwrap();
        let log = DriverLog::of_this_thread();
        assert_eq!(deliver_all(store).await, 50);
        assert!(log.take()[0].contains("BEGIN ISOLATION LEVEL READ COMMITTED"));
    }

    #[tokio::test]
    async fn a_server_that_only_reads_is_unavailable() {
        let prefix = prefix();
        let store = PostgresStore::builder().with_prefix(&prefix);
        store.clone().connect(postgres_server::url()).await.unwrap();
        let pool = pool().after_connect(|connection, _| {
            Box::pin(
                async move { connection.execute("SET default_transaction_read_only = on").await.map(|_| ()) },
            )
        });
        let pool = pool.connect(postgres_server::url()).await.unwrap();
        let error = store.clone().open_pool(pool).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    }

    #[tokio::test]
    async fn a_row_that_cannot_be_read_is_told_and_stops_no_others() {
        let damages = [
            "UPDATE {p}events SET type = '' WHERE id = 'evt_2'",
            "UPDATE {p}events SET id = 'two words' WHERE id = 'evt_2'",
            "DELETE FROM {p}events WHERE id = 'evt_2'",
            "UPDATE {p}events SET payload = NULL WHERE id = 'evt_2'",
            "UPDATE {p}deliveries SET attempts = -1 WHERE event = 2",
            "UPDATE {p}deliveries SET first_attempt_at = 9223372036854775807 WHERE event = 2",
        ];
        for damage in damages {
            let ((store, prefix), mut application) = fresh_with_application().await;
            store.put(&subscription()).await.unwrap();
            store.insert(&[event(1), event(2), event(3)]).await.unwrap();
            execute(&mut application, &damage.replace("{p}", &prefix)).await;
            let claims = claim(&store).await;
            let read: Vec<_> = claims.deliveries.iter().map(|claimed| claimed.delivery).collect();
            assert_eq!(read, [delivery_id(1), delivery_id(3)], "{damage}");
            let [unreadable] = &claims.unreadable[..] else { panic!("{damage}") };
            assert_eq!(unreadable.key, delivery_id(2));
            assert_eq!(unreadable.error.kind(), StoreErrorKind::Corrupt);
        }
        let ((store, prefix), mut application) = fresh_with_application().await;
        store.put(&subscription()).await.unwrap();
        store.insert(&[event(1), event(2)]).await.unwrap();
        execute(&mut application, &format!("UPDATE {prefix}subscriptions SET url = 'nonsense'")).await;
        assert_eq!(claim(&store).await.unreadable.len(), 2);
    }

    /// Like [`drop_after`], for a future that may have ended by then.
    async fn drop_before<T>(polls: u32, future: impl Future<Output = T>) {
        let mut future = Box::pin(future);
        for _ in 0..polls {
            let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx))).await;
            if polled.is_ready() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

fn builder() -> PostgresStoreBuilder {
    PostgresStore::builder().with_prefix(prefix()).with_connections(4).with_caller_time()
}

fn pool() -> PgPoolOptions {
    PgPoolOptions::new().max_connections(4)
}

async fn with_subscription() -> (PostgresStore, PgConnection) {
    let (store, ()) = fresh().await;
    store.put(&subscription()).await.unwrap();
    (store, application().await)
}

/// A store, its prefix, and a connection of the application.
async fn fresh_with_application() -> ((PostgresStore, String), PgConnection) {
    let prefix = prefix();
    let store = builder().with_prefix(&prefix).connect(postgres_server::url()).await.unwrap();
    ((store, prefix), application().await)
}

/// A connection of the application, with a table of its own.
async fn application() -> PgConnection {
    let mut connection = PgConnection::connect(postgres_server::url()).await.unwrap();
    connection.execute("CREATE TEMP TABLE calls (id int)").await.unwrap();
    connection
}

/// Waits until a call of this prefix's store waits for a lock. The call must do that.
async fn until_it_waits(call: impl Future, prefix: &str) {
    let mut call = pin!(call);
    let mut watcher = application().await;
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{prefix}%'"
    );
    loop {
        tokio::select! {
            biased;
            _ = call.as_mut() => panic!("it did not wait"),
            waiting = number(&mut watcher, &waiting) => if waiting > 0 { return },
        }
    }
}

async fn business_row(connection: &mut PgConnection) {
    connection.execute("INSERT INTO pg_temp.calls VALUES (1)").await.unwrap();
}

async fn business_rows(connection: &mut PgConnection) -> i64 {
    number(connection, "SELECT count(*) FROM pg_temp.calls").await
}

async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

async fn number(connection: &mut PgConnection, sql: &str) -> i64 {
    sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(connection).await.unwrap().get(0)
}

async fn claim(store: &PostgresStore) -> Claims {
    store.claim(&wish(NOW, 1_000)).await.unwrap()
}
