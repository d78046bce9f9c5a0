//! The queue in memory.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::{Done, Queue, Row};

#[derive(Default)]
pub(crate) struct BareMemory {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    due: VecDeque<Row>,
    attempts: Vec<Done>,
}

impl Queue for BareMemory {
    async fn insert(&self, rows: Vec<Row>) {
        self.state.lock().expect("nobody panics with the queue").due.extend(rows);
    }

    async fn turn(&self, done: &[Done], limit: usize) -> Vec<Row> {
        let mut state = self.state.lock().expect("nobody panics with the queue");
        state.attempts.extend_from_slice(done);
        let count = limit.min(state.due.len());
        state.due.drain(..count).collect()
    }
}
