//! The five platforms: what each one's events are called and hold.

pub mod allison;
