//! Sending: the [`Outbox`] writes an event and its deliveries down, the [`Dispatcher`] carries them out.
#![cfg(feature = "dispatch")]

mod attempt;
pub(crate) mod clock;
mod crew;
mod dispatcher;
mod erased;
mod flight;
mod health;
mod housekeeping;
mod lanes;
mod observer;
mod outbox;
#[cfg(feature = "manage")]
pub(crate) mod probe;
mod relay;
mod routes;
pub(crate) mod sealing;
pub mod telemetry;
mod wake;

pub use dispatcher::{Dispatcher, Step};
pub use observer::{Happening, Observer};
pub use outbox::{EmitError, Emitted, Outbox, Routing, WhileDisabled};
pub use relay::Relay;
pub use wake::Wake;
