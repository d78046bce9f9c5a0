//! [`Bell`]: tells tasks of the same process that something happened, such as that a request was kept.

use std::future::poll_fn;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Tells whoever listens that something happened, whatever runtime it lives on.
///
/// What rings while nobody listens is heard by the next who asks: rings are counted.
#[derive(Debug, Default)]
pub(super) struct Bell(Mutex<Rung>);

#[derive(Debug, Default)]
struct Rung {
    times: u64,
    listening: Vec<Waker>,
}

impl Bell {
    pub(super) fn ring(&self) {
        let listening = {
            let mut rung = self.rung();
            rung.times += 1;
            mem::take(&mut rung.listening)
        };
        listening.into_iter().for_each(Waker::wake);
    }

    /// Ready when it has rung more often than this, with how often.
    pub(super) async fn rung_since(&self, times: u64) -> u64 {
        poll_fn(|context| {
            let mut rung = self.rung();
            if rung.times > times {
                return Poll::Ready(rung.times);
            }
            if !rung.listening.iter().any(|waker| waker.will_wake(context.waker())) {
                rung.listening.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    fn rung(&self) -> MutexGuard<'_, Rung> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
