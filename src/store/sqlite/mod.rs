//! SQLite.
#![cfg(feature = "sqlite")]
