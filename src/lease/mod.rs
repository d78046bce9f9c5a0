//! The lease engine: claims rows of a [`Source`], has tasks work on them, extends their leases, settles them,
//! and hands them back at a shutdown. The dispatcher and the worker are two sources of it.
#![cfg(feature = "dispatch")]

mod asked;
mod backoff;
mod batches;
mod engine;
mod in_flight;
mod settings;
mod source;
mod task_pool;
mod timers;

pub(crate) use asked::{Asked, settle};
pub(crate) use backoff::Backoff;
pub(crate) use batches::in_batches;
pub(crate) use engine::Engine;
pub(crate) use settings::{SOON, Settings};
pub(crate) use source::{Call, Claimed, Given, Source};
pub(crate) use task_pool::Runner;
