//! Receiving: [`Receiver`] verifies, dedupes and decodes; [`Guard`] stands in where a sender signs nothing.

mod guard;
mod receiver;

pub use guard::{Arrival, Guard, HeaderGuard};
pub use receiver::{NoInbox, Receipt, Received, Receiver, Rejection};
