//! [`Statements`]: the statements that SQLite alone runs. They are written out with the prefix when a store
//! is opened.

#[cfg(test)]
use super::rows::DIALECT;
use crate::store::sql::statements::statement_files;
#[cfg(test)]
use crate::store::sql::tables::Prefix;

statement_files! {
    /// Every statement that SQLite alone runs.
    Statements:
    "insert.sql" {
        edition, insert_event, insert_payload, insert_place, insert_pending, insert_cancelled, known_event,
    }
    "claim.sql" { look, due, lease, event_of_claim, extend, ahead, mend, mend_pauses }
    "settle.sql" {
        append_ended, remove_ended, put_off, log_attempt, settle_subscription, unblock, put_health, disable,
    }
    "cancel.sql" {
        cancelling, cancelling_of_event, cancelling_of_subscription, append_dead, remove_dead, expunge, expunge_older,
        delete_subscription, forget_secrets, add_subscription, expiring_kept, expiring_disabled, expiring_paused,
        expiring_behind, unblock_waiting,
    }
    "replay.sql" {
        replay_one, replay_many, add_payload, mark_replayed, add_test_event, add_test_delivery,
    }
    "retention.sql" {
        finished_with_attempts, finished_with_payload, finished, prune_attempts, last_attempts, prune_last_attempts, prune_payloads,
        prune_older_payloads, mark_payload_seen_to, unwanted_payloads, unwanted_events, prune_history, prune_directory,
        prune_events, prune_payload_rows,
    }
    "inbox.sql" {
        reserve, is_committed, store_request, copy_of_request, extend_requests, settle_requests, requests_ahead,
        mend_requests,
    }
    "own_wording.sql" { ids_of_organization }
    "../subscriptions.sql" { subscription }
}

/// The statements of shared calls that SQLite words in its own way.
pub(super) const OWN_WORDING: &str = include_str!("own_wording.sql");

/// Every statement that this database alone runs or words in its own way, with its name.
#[cfg(test)]
pub(in crate::store) fn own_statements() -> Vec<(String, String)> {
    let shared = crate::store::sql::statements::FILES;
    let own = Statements::FILES.iter().filter(|file| !shared.contains(file));
    own.flat_map(|file| crate::store::sql::statements::named(file)).collect()
}

#[cfg(test)]
pub(in crate::store) fn shared_statements(prefix: &Prefix) -> crate::store::sql::statements::Shared {
    crate::store::sql::statements::Shared::new(&DIALECT, prefix, OWN_WORDING)
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, SqliteConnection};

    use super::*;
    use crate::store::sql::sqlite::schema;
    use crate::store::sql::statements::{Shared, named};

    #[tokio::test]
    async fn the_queue_is_searched_by_its_indexes() {
        let (mut connection, sql, _) = opened().await;
        let claim = plan(&mut connection, sql.due.as_str()).await;
        let queue = "SEARCH hookwire_pending USING COVERING INDEX hookwire_pending_due \
                     (subscription=? AND is_retry=? AND due_at>? AND due_at<?)";
        assert!(claim.contains(queue), "{claim}");
        assert!(claim.contains("SEARCH d USING PRIMARY KEY (id=?)"), "{claim}");
        let look = plan(&mut connection, sql.look.as_str()).await;
        let hops = "USING COVERING INDEX hookwire_pending_due (subscription>? AND subscription<?)";
        assert_eq!(look.matches(hops).count(), 2, "{look}");
        assert!(look.contains("USING COVERING INDEX hookwire_pending_due (subscription=?"), "{look}");
        assert!(look.contains("CO-ROUTINE hop"), "it does not stop when enough were seen: {look}");
    }

    #[tokio::test]
    async fn lists_and_changes_are_searched_by_their_indexes() {
        let (mut connection, sql, shared) = opened().await;
        for (statement, index) in [
            (&sql.put_off, "SEARCH hookwire_pending USING PRIMARY KEY (id=?)"),
            (&sql.append_ended, "SEARCH d USING PRIMARY KEY (id=?)"),
            (&sql.unblock, "pending_order (subscription=? AND ordering_key=?)"),
            (&sql.cancelling_of_subscription, "pending_due (subscription=?)"),
            (&sql.cancelling_of_subscription, "pending_order (subscription=? AND ordering_key>?)"),
            (&sql.cancelling_of_event, "directory_event (event=?)"),
            (&sql.ahead, "pending_due (subscription=? AND is_retry=? AND due_at>?)"),
            (&sql.ahead, "attempts_delivery (delivery=?)"),
            (&sql.ahead, "subscriptions_paused (paused_since>?)"),
            (&sql.mend, "SEARCH d USING PRIMARY KEY (id=?)"),
            (&sql.mend_pauses, "subscriptions_paused (paused_since>?)"),
            (&sql.requests_ahead, "intake_due (queue=? AND due_at>?)"),
            (&sql.mend_requests, "intake_due (queue=? AND due_at>?)"),
            (&sql.expiring_kept, "pending_kept (kept_since<?)"),
            (&sql.expiring_disabled, "subscriptions_disabled (disabled_at<?)"),
            (&sql.expiring_disabled, "pending_due (subscription=? AND is_retry=? AND due_at<?)"),
            (&sql.expiring_paused, "subscriptions_paused (paused_since<?)"),
            (&sql.expiring_behind, "pending_order (subscription=? AND ordering_key=?)"),
            (&sql.unblock_waiting, "pending_order (subscription=? AND ordering_key=?)"),
            (&shared.release_secrets, "secrets_subscription (subscription=?"),
            (&sql.replay_many, "history_dead (subscription=? AND created_at>?)"),
            (&sql.mark_replayed, "directory_event (event=? AND subscription=?)"),
            (&sql.finished, "history_finished (pruned=? AND finished_at<?)"),
            (&sql.finished_with_attempts, "history_finished (pruned=? AND finished_at<?)"),
            (&sql.finished_with_payload, "history_finished (pruned=? AND finished_at<?)"),
            (&shared.deliveries, "SEARCH l USING PRIMARY KEY (subscription=? AND id>? AND id<?)"),
            (&shared.deliveries_that, "SEARCH l USING PRIMARY KEY (subscription=? AND id>? AND id<?)"),
            (&shared.floor, "SEARCH l USING PRIMARY KEY (subscription=? AND id>? AND id<?)"),
            (&shared.dead_deliveries_that, "history_letters (subscription=? AND state=? AND id>? AND id<?)"),
            (&shared.floor_of_dead, "history_letters (subscription=? AND state=? AND id>? AND id<?)"),
            (&shared.counts_of_period, "directory USING PRIMARY KEY (subscription=? AND id>? AND id<?)"),
            (&shared.counts_of_period, "attempts_delivery (delivery=?)"),
            (&shared.backlog, "pending_due (subscription=? AND is_retry=? AND due_at>?)"),
            (&shared.backlog, "pending_order (subscription=? AND ordering_key>?)"),
            (&shared.expire_requests, "intake_expiring (queue=? AND given_up_at<?)"),
            (&shared.backlog_by_contract, "pending_due (subscription=? AND is_retry=? AND due_at<?)"),
            (&shared.events, "events_organization (organization=? AND pk<?)"),
            (
                &shared.list_subscriptions,
                "subscriptions_organization (organization=? AND (created_at,id)>(?,?))",
            ),
            (&shared.deliveries_of_event, "directory_event (event=? AND (subscription,id)>(?,?))"),
        ] {
            let plan = plan(&mut connection, statement.as_str()).await;
            assert!(plan.contains(index), "{index}: {plan}");
        }
    }

    #[tokio::test]
    async fn no_statement_walks_a_table() {
        let (mut connection, sql, shared) = opened().await;
        for (name, statement) in sql.all().into_iter().chain(shared.all()) {
            let mut plan = plan(&mut connection, statement).await;
            if SORTED.contains(&name) {
                let lines = plan.lines().filter(|line| !line.contains("TEMP B-TREE"));
                plan = lines.map(|line| format!("{line}\n")).collect();
            }
            assert!(is_seeking(&plan), "{name}:\n{plan}");
        }
    }

    #[test]
    fn each_statement_of_a_file_is_run() {
        let prefix = schema::parse_prefix("p_").unwrap();
        let (sql, shared) = (Statements::new(&DIALECT, &prefix), Shared::new(&DIALECT, &prefix, OWN_WORDING));
        let run: Vec<_> = sql.all().into_iter().chain(shared.all()).map(|(name, _)| name).collect();
        for (name, _) in Statements::FILES.iter().flat_map(|file| named(file)) {
            assert!(run.contains(&&*name), "{name}");
        }
    }

    async fn opened() -> (SqliteConnection, Statements, Shared) {
        let prefix = schema::parse_prefix("hookwire_").unwrap();
        let mut connection = SqliteConnectOptions::new().connect().await.unwrap();
        schema::migrate(&mut connection, &prefix).await.unwrap();
        (connection, Statements::new(&DIALECT, &prefix), Shared::new(&DIALECT, &prefix, OWN_WORDING))
    }

    /// The statements that sort the rows they have found: no more than a page reads, a period counts or
    /// an organization has.
    const SORTED: [&str; 10] = [
        "attempts",
        "backlog_by_contract",
        "cancelling_of_subscription",
        "counts_of_period",
        "dead_deliveries_that",
        "deliveries",
        "deliveries_of_event",
        "deliveries_that",
        "latency_of_period",
        "subscriptions",
    ];

    /// Returns whether a plan walks no table and sorts nothing. It may walk hops and rows that were found
    /// before.
    fn is_seeking(plan: &str) -> bool {
        let found = ["SCAN a", "SCAN c", "SCAN d", "SCAN f", "SCAN j", "SCAN n", "SCAN q", "SCAN hop"];
        let walked = plan.lines().map(str::trim).find(|line| {
            let is_found = line.contains("VIRTUAL TABLE") || found.contains(line);
            line.starts_with("SCAN")
                && !is_found
                && *line != "SCAN CONSTANT ROW"
                && !line.starts_with("SCAN (")
        });
        walked.is_none() && !plan.contains("TEMP B-TREE")
    }

    async fn plan(connection: &mut SqliteConnection, sql: &str) -> String {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let rows = sqlx::query(explain).fetch_all(connection).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>("detail") + "\n").collect()
    }
}
