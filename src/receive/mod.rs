//! Receiving: [`Receiver`] verifies, dedupes and decodes; [`Guard`] stands in where a sender signs nothing.
//!
//! A handler runs while its sender waits ([`Receiver::answer`]), or afterwards: [`Receiver::keep`] writes the request down and has it
//! answered at once, and a `Worker` (feature `dispatch`) handles it, with retries of its own.

mod admission;
pub(crate) mod answer;
pub mod axum;
mod bell;
mod guard;
mod handlers;
mod keep;
mod lease;
mod no_inbox;
mod receipt;
mod receiver;
mod rejection;
mod secrets;
mod senders;
mod worker;

pub use admission::Admission;
pub use answer::Answer;
pub use guard::{Arrival, Guard, HeaderGuard, NetworkGuard, PathGuard};
pub use handlers::Handlers;
pub use no_inbox::NoInbox;
pub use receipt::{Receipt, Received};
pub use receiver::Receiver;
pub use rejection::Rejection;
pub use secrets::SecretSource;
pub use senders::Senders;
#[cfg(feature = "dispatch")]
pub use worker::{Incident, Job, Worked, Worker};
