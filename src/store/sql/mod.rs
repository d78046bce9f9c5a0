//! The SQL stores, [`sqlite`] and [`postgres`], and their common parts: reading and writing rows, the calls
//! and statements that are the same in every database, and the queue of writes that wait for one transaction.
//!
//! Each database runs the shared calls as a [`Database`](database::Database). The texts stand in `.sql` files
//! by topic; the calls whose speed depends on the database (insert, look, claim, extend, settle), the schema
//! and the connections are in the databases' own modules.
#![cfg(feature = "_sql")]

pub(super) mod attempt;
pub(super) mod columns;
pub(super) mod database;
pub(super) mod dialect;
pub(super) mod inbox;
pub(super) mod intake;
pub(super) mod leased;
pub mod postgres;
pub(super) mod records;
pub(super) mod requests;
pub mod sqlite;
pub(super) mod statements;
pub(super) mod subscriptions;
pub(super) mod tables;
pub(super) mod value;
pub(super) mod waiting;

#[cfg(all(test, feature = "postgres", feature = "sqlite"))]
mod tests {
    use std::collections::HashMap;

    use super::statements::{FILES, named};
    use super::tables::Prefix;
    use super::{postgres, sqlite};

    #[test]
    fn no_statement_stands_twice_but_for_its_parameters() {
        let shared = FILES.iter().flat_map(|file| named(file));
        let own = [postgres::own_statements(), sqlite::own_statements()].concat();
        let mut seen = HashMap::new();
        for (name, statement) in shared.chain(own) {
            let plain = plain(&statement);
            if let Some(other) = seen.insert(plain, name.clone()) {
                panic!("{name} and {other} are one statement");
            }
        }
        assert!(seen.len() > 80, "{}", seen.len());
    }

    #[test]
    fn each_statement_of_a_file_is_run_by_a_call() {
        let prefix = Prefix::parse("p_", 30, "pg_").unwrap();
        let run = [postgres::shared_statements(&prefix), sqlite::shared_statements(&prefix)];
        for (name, _) in FILES.iter().flat_map(|file| named(file)) {
            assert!(run.iter().all(|shared| shared.all().iter().any(|(run, _)| *run == name)), "{name}");
        }
    }

    /// Returns a statement without the parts that may differ: the spelling of parameters, the prefix and
    /// white space.
    fn plain(statement: &str) -> String {
        let words: Vec<_> = statement.split_whitespace().collect();
        let text = words.join(" ").replace("{p}", "p_").to_lowercase();
        let parts: Vec<_> = text.split(['?', '$']).collect();
        let rest = parts.iter().map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()));
        rest.collect::<Vec<_>>().join("?")
    }
}
