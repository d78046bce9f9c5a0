//! [`Pipeline`]: what the contestants have in common, emit and be stopped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::bare::{Bare, BareMemory, BarePostgres, BareSqlite};
use crate::ours::Ours;
use crate::place::Place;
use crate::receiver::Board;
use crate::with_store;

/// Something that delivers events to the endpoints it was started with.
pub(crate) trait Pipeline: Send + Sync {
    /// Returns when the event is durable as far as the store is.
    fn emit(&self, number: u64) -> BoxFuture<'_, ()>;

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// Who is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    /// As it comes: an organization's subscriptions are asked for with each event.
    Ours,
    /// Keeping the subscriptions for a second.
    Keeping,
    /// By hand; where many share one commit at no cost to who waits, they do.
    Bare,
    /// By hand, and what many wait for is committed together.
    Gathering,
}

impl Side {
    pub(crate) async fn start(self, place: &Place, endpoints: &Endpoints) -> Box<dyn Pipeline> {
        match (self, place) {
            (Self::Ours, place) => {
                with_store!(place, store => boxed(Ours::start(store, endpoints, Duration::ZERO).await))
            }
            (Self::Keeping, place) => {
                with_store!(place, store => boxed(Ours::start(store, endpoints, Duration::from_secs(1)).await))
            }
            (_, Place::Memory) => Box::new(Bare::start(BareMemory::default(), endpoints)),
            (_, Place::Sqlite { file, .. }) => Box::new(Bare::start(BareSqlite::open(file).await, endpoints)),
            (side, Place::Postgres { url, .. }) => {
                let gathers = side == Self::Gathering;
                Box::new(Bare::start(BarePostgres::open(url, gathers).await, endpoints))
            }
        }
    }
}

/// Where each event goes.
pub(crate) struct Endpoints {
    pub(crate) addresses: Vec<SocketAddr>,
    /// How many events there are: what arrives at an endpoint is counted behind what arrives at those before it.
    pub(crate) events: u64,
}

impl Endpoints {
    pub(crate) fn with_offsets(&self) -> impl Iterator<Item = (SocketAddr, u64)> {
        self.addresses.iter().zip(0..).map(|(address, number)| (*address, number * self.events))
    }
}

fn boxed(pipeline: impl Pipeline + 'static) -> Box<dyn Pipeline> {
    Box::new(pipeline)
}

/// Emits these events from several tasks at once, as the handlers of a web back end do.
pub(crate) async fn emit_all(
    pipeline: &Arc<Box<dyn Pipeline>>,
    board: &Arc<Board>,
    numbers: std::ops::Range<u64>,
) {
    let next = Arc::new(AtomicU64::new(numbers.start));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..EMITTERS {
        let (pipeline, board, next) = (Arc::clone(pipeline), Arc::clone(board), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= numbers.end {
                    return;
                }
                board.emitting(number);
                pipeline.emit(number).await;
            }
        });
    }
    tasks.join_all().await;
}

/// How much each side may have under way, to one endpoint too.
pub(crate) const IN_FLIGHT: usize = 256;
const EMITTERS: usize = 128;
