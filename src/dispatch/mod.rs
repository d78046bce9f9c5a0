//! Sending: the [`Outbox`] writes an event and its deliveries down, the [`Dispatcher`] carries them out.
#![cfg(feature = "dispatch")]

mod attempt;
mod clock;
mod dispatcher;
mod erased;
mod flight;
mod health;
mod housekeeping;
mod lanes;
mod observer;
mod outbox;
mod relay;
mod routes;
mod sealing;
pub mod telemetry;
mod wake;

pub use dispatcher::{Dispatcher, Step};
pub use observer::{Happening, Observer};
pub use outbox::{EmitError, Emitted, Outbox, Routing, WhileDisabled};
pub use relay::Relay;
pub use wake::Wake;
