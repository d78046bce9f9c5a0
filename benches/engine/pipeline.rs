//! [`Pipeline`]: the operations that all contestants have: emit and stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures_util::future::BoxFuture;

use crate::bare::{Bare, BareMemory, BarePostgres, BareSqlite};
use crate::ours::Ours;
use crate::place::Place;
use crate::receiver::Board;
use crate::with_store;

/// A pipeline that delivers events to the endpoints it was started with.
pub(crate) trait Pipeline: Send + Sync {
    /// Returns when the event is as durable as the store makes it.
    fn emit(&self, number: u64) -> BoxFuture<'_, ()>;

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// A contestant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    /// Our pipeline with the settings as they come.
    Ours,
    /// The handwritten pipeline.
    Bare,
}

impl Side {
    /// Starts a pipeline for this many producers at once.
    pub(crate) async fn start(
        self,
        place: &Place,
        endpoints: &Endpoints,
        producers: u32,
    ) -> Box<dyn Pipeline> {
        match (self, place) {
            (Self::Ours, place) => {
                with_store!(place, store => boxed(Ours::start(store, endpoints).await))
            }
            (_, Place::Memory) => Box::new(Bare::start(BareMemory::default(), endpoints)),
            (_, Place::Sqlite { file, .. }) => Box::new(Bare::start(BareSqlite::open(file), endpoints)),
            (_, Place::Postgres { url, .. }) => {
                Box::new(Bare::start(BarePostgres::open(url, producers).await, endpoints))
            }
        }
    }
}

/// The endpoints that receive each event.
pub(crate) struct Endpoints {
    pub(crate) addresses: Vec<SocketAddr>,
    /// The number of events. The endpoint at index `n` marks event `i` as number `n * events + i`.
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

/// Emits these events from several tasks at once, as the handlers of a web back end do. Returns how many
/// milliseconds each emit took.
pub(crate) async fn produce(
    producers: u32,
    pipeline: &Arc<Box<dyn Pipeline>>,
    board: &Arc<Board>,
    numbers: std::ops::Range<u64>,
) -> Vec<f64> {
    let next = Arc::new(AtomicU64::new(numbers.start));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..producers {
        let (pipeline, board, next) = (Arc::clone(pipeline), Arc::clone(board), Arc::clone(&next));
        tasks.spawn(async move {
            let mut took = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= numbers.end {
                    return took;
                }
                let began = Instant::now();
                board.emitting(number);
                pipeline.emit(number).await;
                took.push(began.elapsed().as_secs_f64() * 1_000.0);
            }
        });
    }
    tasks.join_all().await.concat()
}

/// The limit of concurrent requests of the handwritten pipeline, which is that of ours by default.
pub(crate) const IN_FLIGHT: usize = 256;
