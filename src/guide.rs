//! The guide: what to know besides the items.
//!
//! - [`signing`]: what each scheme signs, rotation, and verifiers for Node.js and Python.
//! - [`receiving`]: the receiver's checklist.
//! - [`retries`]: retries and idempotency, on both sides.
//! - [`troubleshooting`]: by what one sees.

#[doc = include_str!("../docs/signing.md")]
pub mod signing {}

#[doc = include_str!("../docs/receiving.md")]
pub mod receiving {}

#[doc = include_str!("../docs/retries.md")]
pub mod retries {}

#[doc = include_str!("../docs/troubleshooting.md")]
pub mod troubleshooting {}
