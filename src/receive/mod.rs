//! Receiving: [`Receiver`] verifies, dedupes and decodes; [`Guard`] stands in where a sender signs nothing.

mod admission;
pub(crate) mod answer;
pub mod axum;
mod guard;
mod handlers;
mod receiver;
mod rejection;
mod secrets;

pub use admission::Admission;
pub use answer::Answer;
pub use guard::{Arrival, Guard, HeaderGuard, NetworkGuard, PathGuard};
pub use handlers::Handlers;
pub use receiver::{NoInbox, Receipt, Received, Receiver};
pub use rejection::Rejection;
pub use secrets::SecretSource;
