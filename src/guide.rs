//! The guide: how to use the items of this crate together.
//!
//! - [`sending`]: in your own transaction, several contracts and versions on one store, rolling deploys,
//!   alerts.
//! - [`signing`]: the signed content of each scheme, secret rotation, and verifiers for Node.js and Python.
//! - [`providers`]: receiving from Stripe, GitHub, Twilio and a hundred others.
//! - [`receiving`]: the receiver's checklist.
//! - [`retries`]: retries and idempotency, on both sides.
//! - [`operations`]: faults on this side, descriptors, metrics.
//! - [`scaling`]: more dispatchers, the limit of one database, several databases.
//! - [`troubleshooting`]: problems by symptom.

#[doc = include_str!("../docs/sending.md")]
pub mod sending {}

#[doc = include_str!("../docs/signing.md")]
pub mod signing {}

#[doc = include_str!("../docs/providers.md")]
pub mod providers {}

#[doc = include_str!("../docs/receiving.md")]
pub mod receiving {}

#[doc = include_str!("../docs/retries.md")]
pub mod retries {}

#[doc = include_str!("../docs/operations.md")]
pub mod operations {}

#[doc = include_str!("../docs/scaling.md")]
pub mod scaling {}

#[doc = include_str!("../docs/troubleshooting.md")]
pub mod troubleshooting {}
