//! [`Statements`]: the statements that PostgreSQL alone runs. They are written out with schema and prefix
//! when a store is opened.

#[cfg(test)]
use super::values::DIALECT;
use crate::store::sql::statements::statement_files;
#[cfg(test)]
use crate::store::sql::statements::{Shared, named};
#[cfg(test)]
use crate::store::sql::tables::Prefix;

statement_files! {
    /// The statements of `statements.sql`.
    Statements:
    "statements.sql" {
        add_subscription, put_health, delete_subscription, cancel_all, expire, find_orphans, insert, look,
        claim, extend, settle, cancel, replay, missing_payloads, add_payloads, expunge, prune_payloads,
        prune_attempts, prune_deliveries, dead_letters, add_test, reserve, store_requests, copies_of_requests, extend_requests,
        settle_requests, notify,
    }
}

/// The statements of shared calls that PostgreSQL words in its own way.
pub(super) const OWN_WORDING: &str = include_str!("own_wording.sql");

/// Every statement that this database alone runs or words in its own way, with its name.
#[cfg(test)]
pub(in crate::store) fn own_statements() -> Vec<(String, String)> {
    Statements::FILES.iter().chain([&OWN_WORDING]).flat_map(|file| named(file)).collect()
}

#[cfg(test)]
pub(in crate::store) fn shared_statements(prefix: &Prefix) -> Shared {
    Shared::new(&DIALECT, prefix, OWN_WORDING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_statement_of_a_file_is_run() {
        let prefix = Prefix::parse("p_", 30, "pg_").unwrap();
        let (own, shared) = (Statements::new(&DIALECT, &prefix), shared_statements(&prefix));
        let run: Vec<_> = own.all().into_iter().chain(shared.all()).map(|(name, _)| name).collect();
        for (name, _) in own_statements() {
            assert!(run.contains(&&*name), "{name}");
        }
    }
}
