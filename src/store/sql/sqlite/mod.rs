//! [`SqliteStore`]: a [`Store`](crate::Store), an [`Inbox`](crate::Inbox) and an [`Intake`](crate::Intake) in
//! a SQLite file.
//!
//! One store is for one machine. Several processes may open the same file, and the application may have its
//! own tables in it: the store writes in short `BEGIN IMMEDIATE` transactions, one at a time, and waits for
//! others that write. Events, settlements and stored requests that come while one transaction commits share
//! the next one, so that many callers cost few commits. A thread writes them on a connection of its own;
//! whatever one caller writes alone goes through the driver.
//!
//! A delivery is a row of a small table while it is pending, and is moved to the history when it ends. The
//! view `deliveries` shows both. Due deliveries are indexed by subscription, so a look takes one step for
//! each subscription and a claim reads only what it takes, whatever else is due. A delivery that is blocked
//! by another of its ordering key is in no index that they read.
//!
//! Signing secrets and credentials are in the columns `secrets` and `options` of `subscriptions`, in the
//! clear unless a key ring sealed them (module `keyring`): without one, whoever can read the file, its `-wal`
//! or a copy of it can sign. Payloads and extra headers are always in the clear.
#![cfg(feature = "sqlite")]

mod builder;
mod cancel;
mod clock;
mod connection;
mod delivering;
mod error;
mod inbox;
mod intake;
mod native;
mod parts;
mod pruning;
mod queue;
mod records;
mod replay;
mod requests;
mod retention;
mod row;
mod rows;
mod savepoint;
mod schema;
mod statements;
mod store;
mod subscriptions;
mod thread;
mod transactions;
mod writer;

pub use builder::SqliteStoreBuilder;
#[cfg(test)]
pub(super) use statements::{own_statements, shared_statements};
pub use store::SqliteStore;
