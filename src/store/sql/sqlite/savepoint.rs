//! [`Savepoint`]: a part of the caller's transaction that can be undone alone.

use std::pin::pin;
use std::task::{Context, Waker};

use sqlx::{Executor as _, SqliteConnection};

use super::error::failed;
use crate::store::StoreError;

/// A savepoint in the connection's transaction. If it is dropped without a release, the writes since then are
/// undone.
pub(super) struct Savepoint<'c> {
    connection: &'c mut SqliteConnection,
    is_open: bool,
}

impl<'c> Savepoint<'c> {
    pub(super) async fn begin(connection: &'c mut SqliteConnection) -> Result<Self, StoreError> {
        // Open before the statement has run, so that it is also undone if the future is dropped meanwhile.
        let savepoint = Self { connection, is_open: true };
        savepoint.connection.execute("SAVEPOINT hookwire_insert").await.map_err(failed)?;
        Ok(savepoint)
    }

    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        self.connection
    }

    pub(super) async fn release(mut self) -> Result<(), StoreError> {
        self.connection.execute(RELEASE).await.map_err(failed)?;
        self.is_open = false;
        Ok(())
    }
}

impl Drop for Savepoint<'_> {
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        // The first poll sends the statement to the connection's thread, which runs it before any later
        // statement. Nothing has to wait for its end.
        for undo in ["ROLLBACK TO hookwire_insert", RELEASE] {
            let _ = pin!(self.connection.execute(undo)).poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}

const RELEASE: &str = "RELEASE hookwire_insert";
