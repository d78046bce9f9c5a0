//! [`Shared`]: the statements that the shared calls run; and how statements are read from `.sql` files.

use sqlx::SqlStr;

use super::dialect::Dialect;
use super::tables::Prefix;

/// Declares a struct of statements that are found in a database's own `.sql` files by their names, and
/// written out once when a store is opened.
macro_rules! statement_files {
    ($(#[$doc:meta])* $statements:ident: $($file:literal { $($name:ident),* $(,)? })*) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(in crate::store) struct $statements {
            $($(pub(in crate::store) $name: sqlx::SqlStr,)*)*
        }

        impl $statements {
            pub(in crate::store) fn new(
                dialect: &$crate::store::sql::dialect::Dialect,
                prefix: &$crate::store::sql::tables::Prefix,
            ) -> Self {
                let find = |file, name| {
                    let found = $crate::store::sql::statements::find(file, name);
                    dialect.statement(prefix, &found.expect("invariant: each statement is in its file"))
                };
                Self { $($($name: find(include_str!($file), stringify!($name)),)*)* }
            }

            /// Every statement with its name.
            #[cfg(test)]
            pub(in crate::store) fn all(&self) -> Vec<(&'static str, &str)> {
                vec![$($((stringify!($name), self.$name.as_str()),)*)*]
            }

            /// The files that the statements come from.
            #[cfg(test)]
            pub(in crate::store) const FILES: &'static [&'static str] = &[$(include_str!($file)),*];
        }
    };
}

pub(in crate::store) use statement_files;

/// Declares the shared statements by their names.
macro_rules! shared {
    ($($name:ident),* $(,)?) => {
        /// The statements that the shared calls run.
        ///
        /// The text of a statement stands in a `.sql` file of this module where the databases agree, and in a
        /// file of each database where they do not.
        #[derive(Debug)]
        pub(in crate::store) struct Shared {
            $(pub(in crate::store) $name: SqlStr,)*
        }

        impl Shared {
            /// Writes the statements in a dialect. `own` has those that the database words in its own way;
            /// they come before the shared ones of their names.
            ///
            /// # Panics
            ///
            /// If a statement is in no file.
            pub(in crate::store) fn new(dialect: &Dialect, prefix: &Prefix, own: &str) -> Self {
                let find = |name: &str| {
                    let found = [&own].into_iter().chain(&FILES).find_map(|file| find(file, name));
                    let found = found.unwrap_or_else(|| panic!("invariant: statement {name} is in a file"));
                    dialect.statement(prefix, &found)
                };
                Self { $($name: find(stringify!($name)),)* }
            }

            /// Every statement with its name.
            #[cfg(test)]
            pub(in crate::store) fn all(&self) -> Vec<(&'static str, &str)> {
                vec![$((stringify!($name), self.$name.as_str()),)*]
            }
        }
    };
}

shared! {
    // Subscriptions.
    put_subscription, replace_subscription, hold_secret, release_secrets, set_status, list_subscriptions, scan_subscriptions, subscription,
    subscriptions,
    // Records.
    delivery, deliveries, deliveries_that, dead_deliveries_that, floor, floor_of_dead, deliveries_of_event, attempts, discard,
    event, events, counts_of_period, latency_of_period, backlog, backlog_by_contract,
    // Inbox.
    commit, release, prune_handled,
    // Intake.
    next_due_request, waiting_requests, lease_requests, given_up_requests, put_back_request, close_request, expire_requests,
    prune_requests,
}

/// Returns the statement of this name. In a file, each statement follows a line `-- name: ` and its comments.
pub(in crate::store) fn find(file: &str, name: &str) -> Option<String> {
    let mut statements = file.split("-- name: ").skip(1);
    let statement =
        statements.find(|statement| statement.lines().next().is_some_and(|first| first.trim() == name))?;
    let lines: Vec<_> = statement.lines().skip(1).filter(|line| !line.starts_with("--")).collect();
    Some(lines.join("\n").trim().trim_end_matches(';').to_owned())
}

/// Returns the statements of a file with their names.
#[cfg(test)]
pub(in crate::store) fn named(file: &str) -> Vec<(String, String)> {
    let names = file.lines().filter_map(|line| line.strip_prefix("-- name: "));
    names.map(|name| (name.to_owned(), find(file, name).unwrap())).collect()
}

/// The files of statements on which the databases agree.
pub(in crate::store) const FILES: [&str; 4] = [
    include_str!("subscriptions.sql"),
    include_str!("records.sql"),
    include_str!("inbox.sql"),
    include_str!("intake.sql"),
];
