//! Receiving: [`Receiver`] verifies, dedupes and decodes; [`Guard`] stands in where a sender signs nothing.

mod admission;
mod answer;
mod guard;
mod receiver;
mod rejection;
mod secrets;

pub use admission::Admission;
pub use answer::Answer;
pub use guard::{Arrival, Guard, HeaderGuard, NetworkGuard, PathGuard};
pub use receiver::{NoInbox, Receipt, Received, Receiver};
pub use rejection::Rejection;
pub use secrets::SecretSource;
