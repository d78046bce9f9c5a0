//! What tests of code that sends and receives need: clocks that stand still, or run, as told.
//!
//! [`ManualClock`] moves only when it is told to: for whoever drives a dispatcher step by step, and for everything else that
//! takes a [`Clock`](crate::Clock). `TokioClock` (with feature `dispatch`) runs with tokio's time, so that it is paused and
//! advanced along with a dispatcher's own timers: for whoever lets a dispatcher run.
//!
//! The tests that a store or an inbox has to pass are in [`store::conformance`](crate::store::conformance).
#![cfg(feature = "testing")]

mod manual_clock;
mod tokio_clock;

pub use manual_clock::ManualClock;
#[cfg(feature = "dispatch")]
pub use tokio_clock::TokioClock;
