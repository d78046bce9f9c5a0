//! Handling stored requests after their senders were answered.
#![cfg(feature = "dispatch")]

mod call;
mod erased;
mod incident;
mod job;
mod pruning;
mod requests;
mod telemetry;
#[allow(clippy::module_inception, reason = "a file is named after the noun that it holds")]
mod worker;

pub use incident::Incident;
pub use job::Job;
pub use worker::{Worked, Worker};
