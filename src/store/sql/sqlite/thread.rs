//! [`Thread`]: the thread that writes what callers share, on a connection of its own.

use std::future::{Future, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use super::native::{DatabaseFile, Native};
use super::parts::{self, Failure, Transactions, Write, Written, write_all};
use super::statements::Statements;
use crate::store::sql::waiting::{Serving, Waiting};
use crate::store::{StoreError, StoreErrorKind};

/// A thread that sleeps until a caller wakes it. It ends when this handle is dropped.
#[derive(Debug)]
pub(super) struct Thread {
    wakes: Sender<Wake>,
    is_ending: AtomicBool,
}

/// The first parts to write, and the turn to write that was free when they came.
pub(super) type First = (OwnedMutexGuard<()>, Vec<Write>);

#[derive(Debug)]
enum Wake {
    Serve(Option<First>),
    End(oneshot::Sender<()>),
}

impl Thread {
    pub(super) fn start(work: Work) -> Result<Self, StoreError> {
        let (wakes, waiting) = mpsc::channel();
        let named = thread::Builder::new().name("hookwire-sqlite".to_owned());
        named
            .spawn(move || work.run(waiting))
            .map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error))?;
        Ok(Self { wakes, is_ending: AtomicBool::new(false) })
    }

    /// Has the thread write what waits; returns false if it has ended.
    pub(super) fn wake(&self, first: Option<First>) -> bool {
        self.wakes.send(Wake::Serve(first)).is_ok()
    }

    /// Whether no more parts are taken.
    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Acquire)
    }

    /// Waits until the thread has written what waits and has closed its connection.
    pub(super) async fn end(&self) {
        self.is_ending.store(true, Ordering::Release);
        let (reply, ended) = oneshot::channel();
        if self.wakes.send(Wake::End(reply)).is_ok() {
            _ = ended.await;
        }
    }
}

/// The parts that the thread works with.
pub(super) struct Work {
    sql: Arc<Statements>,
    file: DatabaseFile,
    turn: Arc<Mutex<()>>,
    waiting: Arc<Waiting<Write>>,
    /// Opened by the first write, and again after an error that leaves its state unknown.
    connection: Option<Native>,
    /// How long the last transaction took.
    took: Duration,
}

impl Work {
    pub(super) fn new(
        sql: Arc<Statements>,
        file: DatabaseFile,
        turn: Arc<Mutex<()>>,
        waiting: Arc<Waiting<Write>>,
    ) -> Self {
        Self { sql, file, turn, waiting, connection: None, took: Duration::ZERO }
    }

    fn run(mut self, wakes: Receiver<Wake>) {
        let mut ended = None;
        for wake in &wakes {
            match wake {
                Wake::Serve(first) => self.serve(first),
                Wake::End(reply) => {
                    ended = Some(reply);
                    break;
                }
            }
        }
        // In this order: a caller that joins after its part was dropped finds that nobody can be woken.
        drop(wakes);
        drop(Serving::new(&self.waiting));
        drop(self.connection);
        _ = ended.map(|reply| reply.send(()));
    }

    fn serve(&mut self, first: Option<First>) {
        let (waiting, turn) = (Arc::clone(&self.waiting), Arc::clone(&self.turn));
        let mut serving = Serving::new(&waiting);
        if let Some((_turn, parts)) = first {
            self.write(parts);
        }
        while serving.goes_on() {
            self.make_way();
            let _turn = turn.blocking_lock();
            // Include the writes that arrived while this thread waited for the lock.
            let parts = waiting.take();
            if !parts.is_empty() {
                self.write(parts);
            }
        }
    }

    fn write(&mut self, parts: Vec<Write>) {
        let began = Instant::now();
        // After a panic, the callers hear that their parts were dropped.
        if catch_unwind(AssertUnwindSafe(|| now(write_all(self, parts)))).is_err() {
            self.connection = None;
        }
        self.took = began.elapsed();
    }

    /// Leaves the file alone for a moment between two transactions if others write to it, too. SQLite has no
    /// queue: whoever waits for the lock looks now and then whether it is free.
    fn make_way(&self) {
        if self.connection.as_ref().is_some_and(|connection| connection.has_company(COMPANY)) {
            thread::sleep(self.took / 8);
        }
    }

    fn commit_now(&mut self, parts: &[Write]) -> Result<Written, Failure> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(Native::open(&self.file).map_err(Failure::Whole)?),
        };
        connection.begin().map_err(Failure::Whole)?;
        let written = now(parts::write(&self.sql, connection, parts)).map_err(Failure::Part);
        let written = written.and_then(|written| match connection.commit() {
            Ok(()) => Ok(written),
            Err(error) => Err(Failure::Whole(error)),
        });
        if written.is_err() && connection.roll_back().is_err() {
            // Closing the connection ends the transaction.
            self.connection = None;
        }
        written
    }
}

impl Transactions for Work {
    fn commit(&mut self, parts: &[Write]) -> impl Future<Output = Result<Written, Failure>> + Send {
        ready(self.commit_now(parts))
    }
}

/// Returns the result of a future that waits for nothing.
fn now<F: Future>(future: F) -> F::Output {
    future.now_or_never().expect("invariant: the thread's own connection is always ready")
}

/// How long after a write of another connection the file counts as shared.
const COMPANY: Duration = Duration::from_secs(10);
