//! Receiving: a [`Receiver`] admits, proves, deduplicates and decodes requests; a [`Guard`] proves those of a
//! sender that signs nothing.
//!
//! A handler runs while its sender waits ([`Proven::handle`]) or afterwards: [`Proven::store_first`] stores
//! the request, so that it is answered at once, and a `Worker` (feature `dispatch`) handles it, with retries
//! of its own.

mod admission;
mod admitted;
mod answer;
mod arrival;
pub mod axum;
mod check;
mod decoder;
mod guard;
mod guards;
mod gzip;
mod handlers;
pub(crate) mod head;
mod lease;
mod no_inbox;
mod panic;
mod proven;
mod provider_check;
mod receipt;
mod received;
mod receiver;
mod receiver_ref;
mod refusal;
mod rejection;
mod secret_cache;
mod secret_source;
mod sender;
mod senders;
mod shelf;
mod signal;
mod store_first;
pub mod telemetry;
pub mod tower;
mod window;
mod worker;

pub use admission::Admission;
pub use admitted::Admitted;
pub use answer::Answer;
pub use arrival::Arrival;
pub use guard::Guard;
pub use guards::{HeaderGuard, NetworkGuard, PathGuard};
pub use handlers::Handlers;
pub use no_inbox::NoInbox;
pub use proven::Proven;
pub use receipt::Receipt;
pub use received::Received;
pub use receiver::Receiver;
pub use rejection::Rejection;
pub use secret_source::SecretSource;
pub use senders::{Senders, SendersAdmitted};
pub use store_first::StoredFirst;
#[cfg(feature = "dispatch")]
pub use worker::{Incident, Job, Worked, Worker};
