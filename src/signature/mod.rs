//! Signatures: the proof that a body comes from the sender that it names.
//!
//! A [`Scheme`] says, as data, which headers carry what and which bytes are signed. A [`Secret`] is the key.
//! A [`Signer`] makes the headers for a body. A [`Verifier`] turns a request's headers and raw body into a
//! [`Verified`] message, or says why it cannot. Nothing here parses a body.
//!
//! The schemes of platforms stand in the platforms' own files.

mod age;
mod algorithm;
pub(crate) mod asymmetric;
mod der;
mod ed25519;
mod encoding;
pub(crate) mod form;
mod general;
mod header_family;
mod hmac;
pub(crate) mod json;
mod key;
mod key_material;
pub(crate) mod layout;
mod mac;
mod md5;
mod message;
mod presets;
mod public_key;
mod request;
#[cfg_attr(not(feature = "asymmetric"), path = "no_ring.rs")]
mod ring;
mod scheme;
mod scheme_check;
mod secret;
mod signature_form;
mod signature_text;
mod signer;
pub(crate) mod stored;
mod verified;
mod verifier;
mod verify_error;

pub(crate) use age::check_age;
pub use algorithm::{Algorithm, TimeForm};
pub(crate) use encoding::read_hex;
pub use header_family::HeaderFamily;
pub(crate) use key::secret_bytes;
pub use layout::{Column, ContentForm, UrlForm};
pub(crate) use mac::MacKey;
pub use message::Part;
pub use public_key::PublicKey;
pub use request::Request;
pub use scheme::Scheme;
pub(crate) use secret::KeyForm;
pub use secret::Secret;
pub use signer::Signer;
pub use stored::{SealedSecret, SecretUse, StoredSecret};
pub use verified::{Proof, Verified};
pub(crate) use verifier::FoundHeaders;
pub use verifier::{DangerousVerifier, Verifier};
pub use verify_error::VerifyError;
