//! Signatures: how a body is proved to come from who says so.
//!
//! A [`Scheme`] says, as data, which headers carry what and which bytes are signed; a [`Secret`] is the
//! key; a [`Signer`] makes the headers for a body; a [`Verifier`] turns a request's headers and raw body
//! into a [`Verified`] message, or says why not. Nothing here parses a body.

mod ed25519;
mod encoding;
mod key;
mod message;
mod scheme;
mod secret;
mod signer;
pub(crate) mod stored;
mod verified;
mod verifier;

pub use scheme::{Part, Scheme};
pub use secret::Secret;
pub use signer::Signer;
pub use stored::{SealedSecret, SecretUse, StoredSecret};
pub use verified::{Proof, Verified};
pub use verifier::{DangerousVerifier, Verifier, VerifyError};

/// The most secrets of one signer or verifier, and the most signatures of one header.
///
/// Each costs a receiver work before anything is proved.
const MAX_SIGNATURES: usize = 16;
