//! The SQL driver's reports on this thread: statements and server notices.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Metadata, Subscriber};

/// Collects all reports from its creation until it is dropped.
pub(crate) struct DriverLog {
    lines: Arc<Mutex<Vec<String>>>,
    _guard: DefaultGuard,
    /// With one subscriber alone, another test's thread may switch a call site off: see `log_lines`.
    _second: Dispatch,
}

impl DriverLog {
    /// Works in a runtime with one thread, and for a driver that reports on the caller's thread.
    pub(crate) fn of_this_thread() -> Self {
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let second = Dispatch::new(tracing_subscriber::registry());
        let guard = tracing::subscriber::set_default(Lines(Arc::clone(&lines)));
        Self { lines, _guard: guard, _second: second }
    }

    /// The reports since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }
}

struct Lines(Arc<Mutex<Vec<String>>>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        ["sqlx::query", "sqlx::postgres::notice"].contains(&metadata.target())
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_str(&mut self, _: &Field, value: &str) {
        self.0.push_str(value);
        self.0.push('\n');
    }

    fn record_debug(&mut self, _: &Field, value: &dyn Debug) {
        writeln!(self.0, "{value:?}").unwrap();
    }
}
