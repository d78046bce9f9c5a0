//! What tests of code that sends and receives need: the other side without a network, and clocks that do as they are told.
//!
//! For whoever receives: [`Samples`] makes the requests of a platform, [`Faults`] those of senders that go wrong, with what a
//! correct receiver answers to each; [`RecordingReceiver`] takes them to a handler through a real receiver, and keeps what became of
//! each. For whoever sends: [`RecordingClient`] answers from a script and keeps what it got.
//!
//! [`ManualClock`] moves only when it is told to: for whoever drives a dispatcher step by step, and for everything else that
//! takes a [`Clock`](crate::Clock). `TokioClock` (with feature `dispatch`) runs with tokio's time, so that it is paused and
//! advanced along with a dispatcher's own timers: for whoever lets a dispatcher run.
//!
//! The tests that a store, an inbox or an intake has to pass are in [`store::conformance`](crate::store::conformance).
#![cfg(feature = "testing")]

mod faults;
mod manual_clock;
mod reception;
mod recording;
mod samples;
mod tokio_clock;

pub use faults::{Fault, Faults, Miss};
pub use manual_clock::ManualClock;
pub use reception::{Reception, RecordingReceiver};
pub use recording::{Recorded, RecordingClient, Reply};
pub use samples::Samples;
#[cfg(feature = "dispatch")]
pub use tokio_clock::TokioClock;
