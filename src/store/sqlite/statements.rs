//! Every statement, with the tables' prefix in it, written once when the store is opened.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use super::schema::Prefix;

macro_rules! statements {
    ($($(#[$why:meta])* $name:ident: $sql:literal;)*) => {
        #[derive(Debug)]
        pub(super) struct Statements {
            $($(#[$why])* pub(super) $name: SqlStr,)*
        }

        impl Statements {
            pub(super) fn new(prefix: &Prefix) -> Self {
                // The prefix is the only thing put into the text, and it is an identifier; values are bound.
                let write = |sql: &str| AssertSqlSafe(Arc::<str>::from(prefix.apply(sql))).into_sql_str();
                Self { $($name: write($sql),)* }
            }
        }
    };
}

statements! {
    put_subscription: "\
INSERT INTO {p}subscriptions (id, organization, url, filter, secrets, status, disabled_at, created_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (id) DO UPDATE SET organization = excluded.organization, url = excluded.url, filter = excluded.filter,
  secrets = excluded.secrets, status = excluded.status, disabled_at = excluded.disabled_at,
  created_at = excluded.created_at";

    subscription: "SELECT * FROM {p}subscriptions WHERE id = ?1";

    subscriptions: "SELECT * FROM {p}subscriptions WHERE organization = ?1 ORDER BY created_at, id";

    subscriptions_of_claim: "\
SELECT * FROM {p}subscriptions WHERE id IN (SELECT unhex(value) FROM json_each(?1))";

    set_status: "UPDATE {p}subscriptions SET status = ?2, disabled_at = ?3 WHERE id = ?1";

    disable_of_delivery: "\
UPDATE {p}subscriptions SET status = ?2, disabled_at = ?3
WHERE id = (SELECT subscription FROM {p}deliveries WHERE id = ?1) AND status = 'enabled'
RETURNING id";

    hold: "\
UPDATE {p}deliveries SET held = ?2 WHERE subscription = ?1 AND state = 'pending' AND held <> ?2";

    insert_event: "\
INSERT INTO {p}events (organization, id, type, payload, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (organization, id) DO NOTHING RETURNING pk";

    same_payload: "SELECT payload = ?3 FROM {p}events WHERE organization = ?1 AND id = ?2";

    insert_deliveries: "\
INSERT INTO {p}deliveries (id, event, subscription, held, due_at, created_at)
SELECT unhex(value ->> 0), ?2, unhex(value ->> 1),
  EXISTS (SELECT 1 FROM {p}subscriptions s WHERE s.id = unhex(value ->> 1) AND s.status <> 'enabled'), ?3, ?3
FROM json_each(?1)";

    claim: "\
UPDATE {p}deliveries SET lease = lease + 1, was_due_at = due_at, due_at = ?2
WHERE id IN (
  SELECT id FROM {p}deliveries WHERE state = 'pending' AND held = 0 AND due_at <= ?1 ORDER BY due_at, id LIMIT ?3)
RETURNING id, event, subscription, lease, attempts, first_attempt_at, was_due_at";

    events: "SELECT pk, id, type, payload FROM {p}events WHERE pk IN (SELECT value FROM json_each(?1))";

    settle: "\
UPDATE {p}deliveries AS d
SET lease = d.lease + 1, state = s.state, due_at = s.due_at, finished_at = s.finished_at,
  attempts = d.attempts + s.tried, first_attempt_at = coalesce(d.first_attempt_at, s.started_at)
FROM (
  SELECT unhex(value ->> 'id') AS id, value ->> 'lease' AS lease, value ->> 'state' AS state,
    value ->> 'due_at' AS due_at, value ->> 'finished_at' AS finished_at, value ->> 'tried' AS tried,
    value ->> 'started_at' AS started_at
  FROM json_each(?1)) AS s
WHERE d.id = s.id AND d.lease = s.lease AND d.state = 'pending'
RETURNING id, lease";

    insert_attempts: "\
INSERT INTO {p}attempts (delivery, number, started_at, duration, status, retry_after, error, excerpt)
SELECT unhex(value ->> 'delivery'), value ->> 'number', value ->> 'started_at', value ->> 'duration',
  value ->> 'status', value ->> 'retry_after', value ->> 'error', value ->> 'excerpt'
FROM json_each(?1)";

    next_due: "SELECT min(due_at) FROM {p}deliveries WHERE state = 'pending' AND held = 0";

    delivery: "\
SELECT d.*, e.id AS event_id, e.type FROM {p}deliveries d LEFT JOIN {p}events e ON e.pk = d.event WHERE d.id = ?1";

    deliveries: "\
SELECT d.*, e.id AS event_id, e.type FROM {p}deliveries d LEFT JOIN {p}events e ON e.pk = d.event
WHERE d.subscription = ?1 AND d.id < ?2 ORDER BY d.id DESC LIMIT ?3";

    attempts: "SELECT * FROM {p}attempts WHERE delivery = ?1 ORDER BY number, pk";

    /// A number given on first sight is the caller's time, so that it is greater than any before the event was pruned.
    reserve: "\
INSERT INTO {p}inbox (source, id, lease, lease_until, keep_until) VALUES (?1, ?2, max(?3, 1), ?4, ?5)
ON CONFLICT (source, id) DO UPDATE
SET lease = max(lease + 1, excluded.lease), lease_until = excluded.lease_until, committed = 0,
  keep_until = excluded.keep_until
WHERE CASE WHEN committed THEN keep_until ELSE lease_until END <= ?3
RETURNING lease";

    is_committed: "SELECT committed FROM {p}inbox WHERE source = ?1 AND id = ?2";

    commit: "\
UPDATE {p}inbox SET committed = 1, keep_until = ?4 WHERE source = ?1 AND id = ?2 AND lease = ?3";

    /// The row stays, so that the number given next is greater.
    release: "\
UPDATE {p}inbox SET lease = lease + 1, lease_until = -9223372036854775808
WHERE source = ?1 AND id = ?2 AND lease = ?3 AND committed = 0";

    prune: "\
DELETE FROM {p}inbox WHERE (source, id) IN (
  SELECT source, id FROM {p}inbox WHERE keep_until <= ?1 ORDER BY keep_until LIMIT ?2)";
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{ConnectOptions as _, Row as _, SqliteConnection};

    use super::*;
    use crate::store::sqlite::schema;

    #[tokio::test]
    async fn no_statement_of_the_queue_scans_a_table() {
        let prefix = Prefix::parse("hookwire_").unwrap();
        let mut connection = SqliteConnectOptions::new().connect().await.unwrap();
        schema::migrate(&mut connection, &prefix).await.unwrap();
        let sql = Statements::new(&prefix);
        let claim = plan(&mut connection, &sql.claim).await;
        assert!(
            claim.contains(
                "SEARCH hookwire_deliveries USING COVERING INDEX hookwire_deliveries_due (due_at<?)"
            )
        );
        assert!(claim.contains("SEARCH hookwire_deliveries USING PRIMARY KEY"));
        let settle = plan(&mut connection, &sql.settle).await;
        assert!(settle.contains("SEARCH d USING PRIMARY KEY"), "{settle}");
        let next_due = plan(&mut connection, &sql.next_due).await;
        assert!(next_due.contains("SEARCH hookwire_deliveries USING COVERING INDEX hookwire_deliveries_due"));
        let all = [
            &sql.claim,
            &sql.deliveries,
            &sql.delivery,
            &sql.attempts,
            &sql.disable_of_delivery,
            &sql.events,
            &sql.hold,
            &sql.insert_deliveries,
            &sql.next_due,
            &sql.prune,
            &sql.same_payload,
            &sql.settle,
            &sql.subscriptions,
            &sql.subscriptions_of_claim,
        ];
        for sql in all {
            let plan = plan(&mut connection, sql).await;
            let scanned =
                plan.lines().find(|line| line.starts_with("SCAN") && !line.contains("VIRTUAL TABLE"));
            assert!(scanned.is_none() && !plan.contains("TEMP B-TREE"), "{sql:?}:\n{plan}");
        }
    }

    async fn plan(connection: &mut SqliteConnection, sql: &SqlStr) -> String {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", sql.as_str()));
        let rows = sqlx::query(explain).fetch_all(connection).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>("detail") + "\n").collect()
    }
}
