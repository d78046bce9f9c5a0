//! [`Statements`]: the statements that SQLite alone runs. They are written out with the prefix when a store
//! is opened.

use std::ops::Deref;

use sqlx::SqlStr;

use super::rows::DIALECT;
use crate::store::sql::statements::{find, statement_files};
use crate::store::sql::tables::Prefix;

statement_files! {
    /// The statements that are run as they stand in the files.
    Named:
    "insert.sql" {
        insert_events, insert_payloads, insert_directory, insert_pending, insert_cancelled, leased_by_insert, subscriptions_named,
        known_events,
    }
    "claim.sql" { look, subscriptions_of_claim, lease, events_of_claim, extend, ahead, mend, mend_pauses }
    "settle.sql" {
        settling, append_ended, remove_ended, log_attempts, put_off, settle_subscriptions, unblock, put_health, disable,
    }
    "cancel.sql" {
        cancelling, cancelling_of_event, cancelling_of_subscription, append_dead, remove_dead, expunge, expunge_older,
        delete_subscription, forget_secrets, add_subscription, expiring_kept, expiring_disabled, expiring_paused,
        expiring_behind, unblock_waiting,
    }
    "replay.sql" {
        replay_one, replay_many, add_payload, mark_replayed, add_test_event, add_test_payload, add_test_place, add_test_delivery,
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
}

/// Every statement that SQLite alone runs.
#[derive(Debug)]
pub(super) struct Statements {
    named: Named,
    /// The statements that find due deliveries, by the number of shares that they take.
    due: [(usize, SqlStr); 4],
}

impl Statements {
    pub(super) fn new(prefix: &Prefix) -> Self {
        let named = Named::new(&DIALECT, prefix);
        Self { named, due: SIZES.map(|shares| (shares, DIALECT.statement(prefix, &due(shares)))) }
    }

    /// Returns the statement that finds the due deliveries of at least this many shares, and how many shares
    /// it takes. Bind empty shares for the rest.
    ///
    /// There are only a few sizes, so that a connection prepares few statements.
    pub(super) fn due(&self, shares: usize) -> (usize, SqlStr) {
        let fits = self.due.iter().find(|(size, _)| *size >= shares);
        fits.unwrap_or(&self.due[SIZES.len() - 1]).clone()
    }
}

impl Deref for Statements {
    type Target = Named;

    fn deref(&self) -> &Named {
        &self.named
    }
}

/// Returns the statement `due`, with the statement `queue` in it once for each share.
fn due(shares: usize) -> String {
    let file = include_str!("claim.sql");
    let part = |name| find(file, name).expect("invariant: each statement is in its file");
    part("due").replace("SELECT id FROM queues", &vec![part("queue"); shares].join(" UNION ALL "))
}

/// The statements of shared calls that SQLite words in its own way.
pub(super) const OWN_WORDING: &str = include_str!("own_wording.sql");

/// Every statement that this database alone runs or words in its own way, with its name.
#[cfg(test)]
pub(in crate::store) fn own_statements() -> Vec<(String, String)> {
    Named::FILES.iter().flat_map(|file| crate::store::sql::statements::named(file)).collect()
}

#[cfg(test)]
pub(in crate::store) fn shared_statements(prefix: &Prefix) -> crate::store::sql::statements::Shared {
    crate::store::sql::statements::Shared::new(&DIALECT, prefix, OWN_WORDING)
}

/// The numbers of shares that have a statement. More shares take several statements.
const SIZES: [usize; 4] = [1, 4, 16, MAX_SHARES];
pub(super) const MAX_SHARES: usize = 64;

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
        for shares in SIZES {
            let claim = plan(&mut connection, sql.due(shares).1.as_str()).await;
            let queue = "SEARCH hookwire_pending USING COVERING INDEX hookwire_pending_due \
                         (subscription=? AND is_retry=? AND due_at>? AND due_at<?)";
            assert_eq!(claim.matches(queue).count(), shares, "{claim}");
            assert!(claim.contains("SEARCH d USING PRIMARY KEY (id=?)"), "{claim}");
            assert!(is_seeking(&claim), "{claim}");
        }
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
            (&sql.settling, "SEARCH d USING PRIMARY KEY (id=?)"),
            (&sql.put_off, "SEARCH d USING PRIMARY KEY (id=?)"),
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
        let (sql, shared) = (Statements::new(&prefix), Shared::new(&DIALECT, &prefix, OWN_WORDING));
        let run: Vec<_> = sql.all().into_iter().chain(shared.all()).map(|(name, _)| name).collect();
        let parts = ["due", "queue"];
        for (name, _) in Named::FILES.iter().flat_map(|file| named(file)) {
            assert!(run.contains(&&*name) || parts.contains(&&*name), "{name}");
        }
    }

    async fn opened() -> (SqliteConnection, Statements, Shared) {
        let prefix = schema::parse_prefix("hookwire_").unwrap();
        let mut connection = SqliteConnectOptions::new().connect().await.unwrap();
        schema::migrate(&mut connection, &prefix).await.unwrap();
        (connection, Statements::new(&prefix), Shared::new(&DIALECT, &prefix, OWN_WORDING))
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
