//! The ready guards: a secret in a header, a token in the path, a list of addresses.

mod address;
mod forwarded;
mod header;
mod network;
mod path;

pub use header::HeaderGuard;
pub use network::NetworkGuard;
pub use path::PathGuard;
