//! [`logged`]: the lines that are logged on this thread.

use std::io;
use std::sync::{Arc, Mutex};

use tracing::{Dispatch, Level};
use tracing_subscriber::fmt::MakeWriter;

/// The result of `run`, and the lines of this level or a more severe one that it logs on this thread.
pub(crate) fn logged<T>(level: Level, run: impl FnOnce() -> T) -> (T, String) {
    // While there is one subscriber alone, tracing-core 0.1 asks the thread that comes to a call site first
    // whether it is of interest, which may be another test's. With two, it asks them all.
    let _second = Dispatch::new(tracing_subscriber::registry());
    let lines = Lines::default();
    let subscriber =
        tracing_subscriber::fmt().with_writer(lines.clone()).with_max_level(level).with_ansi(false).finish();
    let result = tracing::subscriber::with_default(subscriber, run);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    (result, text)
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
