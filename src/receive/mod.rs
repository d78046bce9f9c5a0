//! Receiving: [`Receiver`] verifies, dedupes and decodes; [`Guard`] stands in where a sender signs nothing.
//!
//! A handler runs while its sender waits ([`Receiver::answer`]), or afterwards: [`Receiver::keep`] writes the request down and has it
//! answered at once, and a `Worker` (feature `dispatch`) handles it, with retries of its own.

mod admission;
pub(crate) mod answer;
pub mod axum;
mod bell;
mod crew;
mod erased;
mod guard;
mod handlers;
mod incident;
mod job;
mod keep;
mod receiver;
mod rejection;
mod secrets;
mod senders;
mod worker;

pub use admission::Admission;
pub use answer::Answer;
pub use guard::{Arrival, Guard, HeaderGuard, NetworkGuard, PathGuard};
pub use handlers::Handlers;
#[cfg(feature = "dispatch")]
pub use incident::Incident;
#[cfg(feature = "dispatch")]
pub use job::Job;
pub use receiver::{NoInbox, Receipt, Received, Receiver};
pub use rejection::Rejection;
pub use secrets::SecretSource;
pub use senders::Senders;
#[cfg(feature = "dispatch")]
pub use worker::{Worked, Worker};
