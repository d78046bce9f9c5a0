//! Send and receive webhooks from a Rust back end.
//!
//! There is no service to run beside the application: the outbox is a table in its own database, the worker a future
//! in its own process, and every part can be used alone.
//!
//! A sender's event and its bytes, and a receiver's proof of them:
//!
//! ```
//! use hookwire::allison::{CallEnded, Event};
//! use hookwire::{Contract, Envelope, Secret};
//! use time::OffsetDateTime;
//!
//! // Both sides know how the platform delivers, and a secret.
//! let contract = Contract::allison();
//! let secret = Secret::generate();
//! let now = OffsetDateTime::now_utc();
//!
//! // The sender makes the bytes once, and signs them anew for each attempt.
//! let mut call = CallEnded::new("5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11");
//! call.summary = Some("rescheduled".into());
//! let envelope = Envelope::new(call);
//! let body = contract.encode(&envelope)?;
//! let headers = contract.signer(&secret)?.sign(envelope.id.as_str(), now, &body)?;
//!
//! // The receiver proves the raw bytes before anything parses them.
//! let verified = contract.verifier(&secret)?.verify_at(&headers, &body, now)?;
//! let received: Envelope<Event> = contract.decode(&verified)?;
//! match received.data {
//!     Event::CallEnded(call) => assert_eq!(call.summary.as_deref(), Some("rescheduled")),
//!     Event::Other(other) => println!("{} is newer than this program", other.event_type()),
//!     _ => {}
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The words
//!
//! - A [`Contract`] is how one platform delivers, as a value: envelope, signature, time-out, success, retries.
//! - An [`Envelope`] is an event's id, time and typed data; a [`catalogue!`] is a platform's event types.
//! - A [`Scheme`] is how a signature is built and carried; a [`Signer`] makes the headers, a [`Verifier`] a [`Verified`].
//! - A [`RetryPolicy`] computes when attempt *n* is, and whether there is one.
//! - A [`Subscription`] is an organization's endpoint; a [`Delivery`] one event on its way there; an [`Attempt`] one POST.
//! - A [`Store`] holds them, an [`HttpClient`] sends; `dispatch` has the outbox that writes and the dispatcher that delivers.
//! - `manage` has the [`Subscription`]s as a product: a service that a platform's own users register, rotate, replay and look through.
//! - A [`Receiver`](receive::Receiver) verifies, asks an [`Inbox`] whether the event was handled, and decodes.
//!
//! # The guide
//!
//! The module `guide` (with feature `full`) has what to know besides the items: signing, with verifiers for Node.js and Python to give to
//! your customers; the receiver's checklist; retries and idempotency; troubleshooting by symptom.
//!
//! # What this crate does not do
//!
//! It runs no server of its own, has no user interface, and reads no configuration. Bodies are JSON, and signatures
//! are made with shared secrets or Ed25519; there is no support for XML, form bodies or mutual TLS as a signature.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod clock;
mod contract;
mod delivery;
pub mod dispatch;
mod error;
pub mod event;
// It links to items of every feature.
#[cfg(feature = "full")]
pub mod guide;
mod id;
mod id_hash;
pub mod keyring;
pub mod manage;
mod outcome;
mod pause;
mod platform;
mod rate;
pub mod receive;
pub mod retry;
mod signature;
pub mod store;
mod subscription;
pub mod testing;
pub mod transport;

pub use address::{AddressError, AddressErrorKind, AddressPolicy, EndpointHost, EndpointUrl};
pub use clock::{Clock, SystemClock};
pub use contract::{AutoDisable, Contract, Judgement, OrderingRule, Retryable, Rotation};
pub use delivery::{Attempt, DeadReason, Delivery, DeliveryState, Next, Progress};
pub use error::{Error, ErrorKind};
pub use event::{
    Catalogue, DataError, DecodeError, Envelope, EnvelopeFormat, EventData, EventId, EventKind, EventPattern,
    EventType, Field, RawEvent, TimePrecision,
};
pub use id::{DeliveryId, SubscriptionId};
#[cfg(feature = "keyring")]
pub use keyring::KeyRing;
pub use outcome::{ErrorClass, Outcome, Timings};
pub use platform::{allison, allo, allo_v1, nectar_desk, recept_ai};
pub use rate::Rate;
pub use retry::{Jitter, Planned, RetryPolicy, Timeline};
pub use signature::{
    DangerousVerifier, Part, Proof, Scheme, SealedSecret, Secret, SecretUse, Signer, StoredSecret, Verified,
    Verifier, VerifyError,
};
pub use store::{Inbox, Intake, Records, Store, StoreError, StoreExt, TransactionalStore};
pub use subscription::{
    Authentication, Candidate, Condition, DisabledReason, EventFilter, Health, Options, Subject,
    Subscription, SubscriptionStatus, TokenSource,
};
pub use transport::{Exchange, HttpClient, Limits, TransportError};

#[cfg(feature = "reqwest")]
pub use reqwest;
#[cfg(feature = "hyper")]
pub use rustls;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use sqlx;
#[cfg(feature = "memory")]
pub use store::memory::MemoryStore;
#[cfg(feature = "hyper")]
pub use transport::hyper::{HyperClient, HyperClientBuilder, Resolve, SystemResolver};
#[cfg(feature = "reqwest")]
pub use transport::reqwest::ReqwestClient;

/// The README's examples are tests.
#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// What the exported macros need in the crates that use them. Not part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use serde;
    use serde_json::value::RawValue;

    /// The data of an event whose own code wrote it.
    pub fn sample<T: crate::EventData>(event: &T) -> Box<RawValue> {
        serde_json::value::to_raw_value(&crate::event::DataOf(event))
            .expect("invariant: a sample can be written as JSON")
    }
}
