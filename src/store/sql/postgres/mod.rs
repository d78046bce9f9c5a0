//! [`PostgresStore`]: a [`Store`](crate::Store), an [`Inbox`](crate::Inbox) and an [`Intake`](crate::Intake)
//! in a PostgreSQL database.
//!
//! Any number of processes on any number of machines may use the same tables: a delivery that one has claimed
//! is skipped by the others. Due times and leases go by the database's clock, so the machines' own clocks
//! need not agree.
//!
//! Inserting, looking, claiming, extending and settling take one round trip each. A function in the database
//! does the work of a call; its name ends with a version, so that older code finds its own functions while
//! newer code is rolled out. Due deliveries are indexed by subscription: a look takes one step per
//! subscription, and a claim reads only the rows that it leases.
//!
//! Signing secrets and credentials are in the columns `secrets` and `options` of `subscriptions`, in the
//! clear unless a key ring sealed them (module `keyring`). Without one, anybody who can read the table, the
//! server's log of writes or a backup can sign. Payloads and extra headers are always in the clear.
//!
//! Poolers, failovers, restricted roles, schemas, encodings: see the section "Deployment" of
//! `docs/operations.md`.
//!
//! # Order
//!
//! Deliveries of one ordering key to one subscription form an *order group*. Its *head* is the delivery that
//! was begun already, or else the one that was inserted first; the others are *blocked*, which means that
//! they have no due time.
//!
//! [`insert`](crate::Store::insert) blocks deliveries behind the head, under a lock of the group that ends
//! with its transaction. [`insert_in`](crate::TransactionalStore::insert_in) must not hold a lock until its
//! caller commits, so it gives every delivery a due time; a claim that finds one behind the head blocks it.
//! Every call that finishes a delivery waits for the group's lock and makes the next head due. A claim never
//! waits for a lock. Among deliveries that are committed when the head finishes, the one that was inserted
//! first is next.
//!
//! All calls wait for rows and locks in the same direction, except where a blocked delivery is cancelled
//! while the head finishes. PostgreSQL resolves that as a deadlock, and the store repeats its statement.
#![cfg(feature = "postgres")]

mod builder;
mod changes;
mod connections;
mod errors;
mod event_rows;
mod inbox;
mod insert;
mod insert_queue;
mod intake;
mod notifications;
mod pool;
mod pruning;
mod queue;
mod records;
mod refusal;
mod request_rows;
mod schema;
mod session;
mod settlement_rows;
mod statements;
mod store;
mod subscriptions;
mod values;

pub use builder::PostgresStoreBuilder;
pub use notifications::PostgresNotifications;
pub use session::PoolMode;
#[cfg(test)]
pub(super) use statements::{own_statements, shared_statements};
pub use store::PostgresStore;
