//! Everything the crate promises, a module per subject.
#![allow(clippy::unwrap_used, reason = "tests state their expectations by unwrapping, helpers too")]

mod address;
#[cfg(feature = "ed25519")]
mod ed25519;
mod events;

mod retry;
mod secrets;
mod signature;
mod transport;
mod vectors;
mod wycheproof;
