//! Send and receive webhooks.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;
mod outcome;

pub use error::{Error, ErrorKind};
pub use outcome::{ErrorClass, Outcome};
