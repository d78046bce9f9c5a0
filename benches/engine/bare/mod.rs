//! A handwritten pipeline for one purpose: insert, claim, sign, POST, attempt row, done. It settles and
//! claims in groups and reuses its connections. It has no subscriptions, filters, retries or policy.

mod memory;
mod post;
mod postgres;
mod sqlite;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

pub(crate) use self::memory::BareMemory;
use self::post::Endpoint;
pub(crate) use self::postgres::BarePostgres;
pub(crate) use self::sqlite::BareSqlite;
use crate::event;
use crate::pipeline::{Endpoints, IN_FLIGHT, Pipeline};

/// The storage of the pipeline's deliveries.
pub(crate) trait Queue: Send + Sync + 'static {
    /// Returns when the rows are durable.
    fn insert(&self, rows: Vec<Row>) -> impl Future<Output = ()> + Send;

    /// Writes attempts and marks their deliveries done, then claims up to `limit` due deliveries.
    fn turn(&self, done: &[Done], limit: usize) -> impl Future<Output = Vec<Row>> + Send;
}

#[derive(Clone)]
pub(crate) struct Row {
    id: i64,
    event: u64,
    endpoint: usize,
    body: Bytes,
}

impl Row {
    /// The row of an event to the first endpoint.
    pub(crate) fn new(event: u64, body: Vec<u8>) -> Self {
        Self { id: event as i64, event, endpoint: 0, body: Bytes::from(body) }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Done {
    id: i64,
    started_at: i64,
    duration: i64,
    status: u16,
}

pub(crate) struct Bare<Q> {
    queue: Arc<Q>,
    endpoints: usize,
    work: Arc<Work>,
    tasks: JoinSet<()>,
}

/// Wakes the dispatching task when there are new rows.
#[derive(Default)]
struct Work {
    notify: Notify,
    is_there: AtomicBool,
}

impl Work {
    fn tell(&self) {
        self.is_there.store(true, Ordering::SeqCst);
        self.notify.notify_one();
    }
}

impl<Q: Queue> Bare<Q> {
    pub(crate) fn start(queue: Q, endpoints: &Endpoints) -> Self {
        let queue = Arc::new(queue);
        let work = Arc::new(Work::default());
        let mut tasks = JoinSet::new();
        let posts: Vec<_> = endpoints
            .with_offsets()
            .map(|(address, offset)| Arc::new(Endpoint::new(address, offset)))
            .collect();
        let endpoints = posts.len();
        tasks.spawn(dispatch(Arc::clone(&queue), posts, Arc::clone(&work)));
        Self { queue, endpoints, work, tasks }
    }
}

impl<Q: Queue> Pipeline for Bare<Q> {
    fn emit(&self, number: u64) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let body = Bytes::from(event::body(number));
            let row = |endpoint: usize| Row {
                id: (number as usize * self.endpoints + endpoint) as i64,
                event: number,
                endpoint,
                body: body.clone(),
            };
            let rows = (0..self.endpoints).map(row).collect();
            self.queue.insert(rows).await;
            self.work.tell();
        })
    }

    fn stop(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.tasks.shutdown().await })
    }
}

/// Settles all ended attempts and claims as many deliveries as there is room for, in one transaction.
async fn dispatch<Q: Queue>(queue: Arc<Q>, endpoints: Vec<Arc<Endpoint>>, work: Arc<Work>) {
    let (ended, mut ends) = mpsc::unbounded_channel();
    let mut done = Vec::with_capacity(IN_FLIGHT);
    let mut in_flight = 0;
    loop {
        while done.is_empty() && !(work.is_there.load(Ordering::SeqCst) && room(in_flight) > 0) {
            tokio::select! {
                _ = ends.recv_many(&mut done, IN_FLIGHT) => {}
                () = work.notify.notified() => {}
            }
        }
        while let Ok(end) = ends.try_recv() {
            done.push(end);
        }
        in_flight -= done.len();
        work.is_there.store(false, Ordering::SeqCst);
        let limit = room(in_flight);
        let rows = queue.turn(&done, limit).await;
        done.clear();
        if rows.len() == limit {
            work.is_there.store(true, Ordering::SeqCst);
        }
        in_flight += rows.len();
        for row in rows {
            let (endpoint, ended) = (Arc::clone(&endpoints[row.endpoint]), ended.clone());
            tokio::spawn(async move { _ = ended.send(endpoint.post(row).await) });
        }
    }
}

/// Rounds the free room down to one of a few sizes, so that the claims' statements stay prepared.
fn room(in_flight: usize) -> usize {
    [BATCH, 25, 5, 1].into_iter().find(|size| *size <= IN_FLIGHT - in_flight).unwrap_or(0)
}

const BATCH: usize = 100;
