//! Sending: the [`Outbox`] writes an event and its deliveries into the store, the [`Dispatcher`] sends them.
#![cfg(feature = "dispatch")]

mod attempt;
mod batch;
pub(crate) mod clock;
mod contracts;
mod deliveries;
mod dispatcher;
mod erased;
mod fault;
mod faults;
mod finished;
mod hand_over;
mod health;
mod housekeeping;
mod key_ring;
mod keys;
mod observer;
mod outbox;
mod recovery;
mod relay;
mod routes;
mod scheduling;
mod step;
pub mod telemetry;
#[cfg(feature = "manage")]
pub(crate) mod test_limits;
#[cfg(feature = "manage")]
pub(crate) mod test_sender;
mod wake;

pub use dispatcher::Dispatcher;
pub use fault::{FaultEvent, FaultKind, FaultScope};
pub use observer::{AttemptEvent, Observer};
pub use outbox::{EmitError, Emitted, EmittedAll, Outbox, Routing, WhileDisabled};
pub use relay::Relay;
pub use step::Step;
pub use wake::Wake;
