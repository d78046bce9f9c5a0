//! Helpers for tests of code that sends and receives: the other side without a network, and clocks that a
//! test controls.
//!
//! - To test a receiver: [`Samples`] makes the requests of a platform, and [`Samples::of`] those of a
//!   provider. [`Faults`] makes the requests of senders that go wrong, each with the answer of a correct
//!   receiver. [`RecordingReceiver`] passes requests to a handler through a real receiver and records the
//!   results.
//! - To test a sender: [`RecordingClient`] answers from a script and records the requests.
//! - To control time: [`ManualClock`] moves only when a test moves it, for a dispatcher that is driven step
//!   by step and for everything else that takes a [`Clock`](crate::Clock). `TokioClock` (feature `dispatch`)
//!   runs with tokio's time, so that it is paused and advanced together with the timers of a running
//!   dispatcher.
//!
//! The tests that a store, an inbox or an intake of your own has to pass are in
//! [`store::conformance`](crate::store::conformance).
#![cfg(feature = "testing")]

mod fault;
mod faults;
mod faulty_requests;
mod manual_clock;
#[cfg_attr(not(feature = "asymmetric"), path = "no_p256.rs")]
mod p256;
mod private_key;
mod provider_samples;
mod reception;
mod recording;
mod reply;
mod sample_body;
mod samples;
mod tokio_clock;

pub use fault::{Fault, Miss};
pub use faults::Faults;
pub use manual_clock::ManualClock;
pub use provider_samples::ProviderSamples;
pub use reception::{Reception, RecordingReceiver};
pub use recording::{Recorded, RecordingClient};
pub use reply::Reply;
pub use samples::Samples;
#[cfg(feature = "dispatch")]
pub use tokio_clock::TokioClock;
