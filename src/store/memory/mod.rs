//! [`MemoryStore`]: a store, an inbox and an intake in the process's own memory.
#![cfg(feature = "memory")]

mod claiming;
mod ends;
mod event;
mod expiring;
mod handled;
mod inbox;
mod inserting;
mod intake;
mod memory_store;
mod moment;
mod pruning;
mod queue;
mod records;
mod replaying;
mod requests;
mod state;
mod store;
mod subscriptions;

pub use memory_store::MemoryStore;
