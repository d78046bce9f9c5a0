//! Receiving from any provider: a [`Provider`] says, as data, how its requests are proven, where their events
//! are, and which challenges it sends.
//!
//! The ready ones are [`presets`]. A [`RequestVerifier`] proves a request with [`Keys`];
//! [`Provider::events`] reads what it holds, and [`Provider::challenge`] answers what it asks. A
//! [`Receiver`](crate::receive::Receiver::of) does all of it.

mod answer;
pub(crate) mod authentication;
mod certificate;
mod challenge;
mod contract;
mod definition;
pub(crate) mod http_signature;
pub(crate) mod jwt;
mod keys;
pub(crate) mod paypal;
mod place;
pub mod presets;
pub(crate) mod query_hash;
mod read;
mod recognize;
mod sns;
pub(crate) mod structured;
mod token;
mod verifier;

pub use answer::ChallengeAnswer;
pub use authentication::{
    Authentication, BodyHash, HttpSignatureRule, JwtAlgorithm, JwtPlace, JwtRule, SnsVersion, TokenPlace,
};
pub use challenge::{Challenge, Echo, Mac, Reply, Value, When};
pub use definition::{BodyForm, Evidence, Provider};
pub use keys::{KeySource, Keys};
pub use place::Place;
pub use read::ProviderEvent;
pub use verifier::RequestVerifier;
