//! The pipeline as somebody would write it by hand for one purpose: insert, claim, sign, POST, attempt row, done. It commits
//! in groups on both sides and keeps its connections; it has no subscriptions, no filters, no retries and no policy.

mod memory;
mod post;
mod postgres;
mod sqlite;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;

pub(crate) use self::memory::BareMemory;
use self::post::Endpoint;
pub(crate) use self::postgres::BarePostgres;
pub(crate) use self::sqlite::BareSqlite;
use crate::event;
use crate::pipeline::{Endpoints, IN_FLIGHT, Pipeline};

/// What the pipeline keeps its deliveries in.
pub(crate) trait Queue: Send + Sync + 'static {
    /// Whether callers are gathered, and what they bring is inserted at once.
    fn gathers(&self) -> bool;

    /// Returns when they are durable.
    fn insert(&self, rows: Vec<Row>) -> impl Future<Output = ()> + Send;

    /// Writes attempts and marks their deliveries done; then takes up to `limit` that are due.
    fn turn(&self, done: &[Done], limit: usize) -> impl Future<Output = Vec<Row>> + Send;
}

#[derive(Clone)]
pub(crate) struct Row {
    id: i64,
    event: u64,
    endpoint: usize,
    body: Bytes,
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
    inserts: mpsc::Sender<Insert>,
    work: Arc<Work>,
    tasks: JoinSet<()>,
}

/// The rows of an event, and who waits for them.
type Insert = (Vec<Row>, oneshot::Sender<()>);

/// Tells the dispatching task of new rows.
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
        let (inserts, inserted) = mpsc::channel(10 * BATCH);
        let mut tasks = JoinSet::new();
        if queue.gathers() {
            tasks.spawn(insert(Arc::clone(&queue), inserted, Arc::clone(&work)));
        }
        let posts: Vec<_> = endpoints
            .with_offsets()
            .map(|(address, offset)| Arc::new(Endpoint::new(address, offset)))
            .collect();
        let endpoints = posts.len();
        tasks.spawn(dispatch(Arc::clone(&queue), posts, Arc::clone(&work)));
        Self { queue, endpoints, inserts, work, tasks }
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
            if self.queue.gathers() {
                let (answer, answered) = oneshot::channel();
                drop(self.inserts.send((rows, answer)).await);
                answered.await.expect("the inserting task answers");
            } else {
                self.queue.insert(rows).await;
                self.work.tell();
            }
        })
    }

    fn stop(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.tasks.shutdown().await })
    }
}

/// One transaction for all who wait.
async fn insert<Q: Queue>(queue: Arc<Q>, mut inserted: mpsc::Receiver<Insert>, work: Arc<Work>) {
    let mut batch = Vec::with_capacity(BATCH);
    while inserted.recv_many(&mut batch, BATCH).await > 0 {
        let (rows, answers): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        queue.insert(rows.concat()).await;
        work.tell();
        for answer in answers {
            _ = answer.send(());
        }
    }
}

/// One transaction for all that ended and all that there is room for.
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

/// Few sizes of claims, so that their statements stay prepared.
fn room(in_flight: usize) -> usize {
    [BATCH, 25, 5, 1].into_iter().find(|size| *size <= IN_FLIGHT - in_flight).unwrap_or(0)
}

const BATCH: usize = 100;
