//! Capacity is shared fairly, and contracts' schedules are kept, in simulated time.

mod bad_worlds;
mod promises;
mod schedule;
mod world;
