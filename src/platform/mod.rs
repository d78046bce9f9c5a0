//! The five platforms: what each one's events are called and hold.

pub mod allison;
pub mod allo;
pub mod allo_v1;
pub mod nectar_desk;
mod open;
pub mod recept_ai;
