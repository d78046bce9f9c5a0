//! Sending: the [`Outbox`] writes an event and its deliveries down, the [`Dispatcher`] carries them out.
#![cfg(feature = "dispatch")]

mod attempt;
mod clock;
mod dispatcher;
mod erased;
mod outbox;
mod wake;

pub use dispatcher::{Dispatcher, Step};
pub use outbox::{EmitError, Emitted, Outbox};
pub use wake::Wake;
