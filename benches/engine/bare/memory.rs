//! The queue in memory.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::{Done, Queue, Row};

#[derive(Default)]
pub(crate) struct BareMemory {
    state: Mutex<(VecDeque<Row>, Vec<(i64, i64, i64, u16)>)>,
}

impl Queue for BareMemory {
    const GATHERS: bool = false;

    async fn insert(&self, rows: &[Row]) {
        self.state.lock().expect("nobody panics with the queue").0.extend(rows.iter().cloned());
    }

    async fn turn(&self, done: &[Done], limit: usize) -> Vec<Row> {
        let mut state = self.state.lock().expect("nobody panics with the queue");
        state.1.extend(done.iter().map(|done| (done.id, done.started_at, done.duration, done.status)));
        let count = limit.min(state.0.len());
        state.0.drain(..count).collect()
    }
}
