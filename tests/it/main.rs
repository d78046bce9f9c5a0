//! Everything the crate promises, a module per subject.

mod address;
mod retry;
mod transport;
