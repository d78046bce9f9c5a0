//! Send and receive webhooks from a Rust back end.
//!
//! The outbox is a table in the application's own database, the worker is a future in its own process, and
//! every part can be used alone. There is no service to run beside the application.
//!
//! A sender signs an event, and a receiver verifies and reads it:
//!
//! ```
//! use hookwire::allison::{CallEnded, Event};
//! use hookwire::{Contract, Envelope, Secret};
//! use time::OffsetDateTime;
//!
//! // Both sides know the platform's contract and a secret.
//! let contract = Contract::allison();
//! let secret = Secret::generate();
//! let now = OffsetDateTime::now_utc();
//!
//! // The sender makes the bytes once, and signs them again for each attempt.
//! let mut call = CallEnded::new("5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11");
//! call.summary = Some("rescheduled".into());
//! let envelope = Envelope::new(call);
//! let body = contract.encode(&envelope)?;
//! let headers = contract.signer(&secret)?.sign(envelope.id.as_str(), now, &body)?;
//!
//! // The receiver verifies the raw bytes before anything parses them.
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
//! # Nouns
//!
//! - A [`Contract`] describes how one platform delivers: envelope, signature, time-out, success, retries.
//! - An [`Envelope`] has an event's id, time and typed data. A [`catalogue!`] lists a platform's event types.
//! - A [`Scheme`] describes how a signature is built and carried. A [`Signer`] makes the headers; a
//!   [`Verifier`] checks them and returns a [`Verified`] body.
//! - A [`RetryPolicy`] computes when the next attempt is, and whether there is one.
//! - A [`Subscription`] is an organization's endpoint, a [`Delivery`] is one event on its way there, and an
//!   [`Attempt`] is one POST.
//! - A [`Store`] keeps them, and an [`HttpClient`] sends. Module `dispatch` has the outbox that writes
//!   deliveries and the dispatcher that sends them.
//! - Module `manage` is a service for a platform's users: they register endpoints, rotate secrets, replay and
//!   look up deliveries.
//! - A [`Provider`](provider::Provider) describes how the requests of one sender are proven and read: Stripe,
//!   GitHub, Twilio and a hundred others.
//! - A [`Receiver`](receive::Receiver) verifies a request, asks an [`Inbox`] whether the event was handled,
//!   and decodes it.
//!
//! # Features
//!
//! By default the crate has the pure core and every trait: no async runtime, HTTP client or SQL. A receiver
//! that only verifies needs no more.
//!
//! | feature | brings |
//! |---|---|
//! | `endpoint` | `EndpointUrl::parse`, which reads a URL that a customer typed (international domain names) |
//! | `dispatch` | module `dispatch`: `Outbox`, `Dispatcher`; and `receive::Worker` |
//! | `manage` | module `manage`: subscriptions as a service |
//! | `axum` | extractors and handlers for receivers; with `manage`, its router |
//! | `tower` | receivers as services of tower, for every server that calls those |
//! | `openapi` | the OpenAPI document of that router |
//! | `memory` | `MemoryStore`: a store, an inbox and an intake in memory |
//! | `sqlite` | `store::sqlite`: the same in SQLite |
//! | `postgres` | `store::postgres`: the same in PostgreSQL, for several processes and machines |
//! | `hyper` | `HyperClient`, the default HTTP client |
//! | `reqwest` | `ReqwestClient`, for programs that already use reqwest |
//! | `keyring` | `KeyRing`: secrets encrypted at rest |
//! | `asymmetric` | ECDSA and RSA signatures of providers, Amazon SNS |
//! | `ed25519` | Ed25519 signatures: Standard Webhooks (`v1a`), Discord, Telnyx |
//! | `gzip` | bodies that a sender compressed by gzip |
//! | `jwt` | providers that prove a request by a JSON Web Token |
//! | `metrics` | counters and histograms through the `metrics` facade |
//! | `tracing` | spans and events through the `tracing` facade |
//! | `testing` | samples, faulty requests, clocks, and the conformance suites of stores |
//! | `full` | every feature except `testing` |
//!
//! # Names
//!
//! The root has the words that senders and receivers share, the traits that you can implement, and their
//! ready implementations. Every other name stands in the module of its subject: [`address`], [`contract`],
//! [`delivery`], [`event`], [`outcome`], [`provider`], [`retry`], [`signature`], [`store`], [`subscription`]
//! and [`transport`] for the parts, `dispatch`, `manage` and [`receive`] for the two sides.
//!
//! # Guide
//!
//! Module `guide` (feature `full`) explains how to use the items together: signing, with verifiers for
//! Node.js and Python that you can give to your customers; a checklist for receivers; retries and
//! idempotency; problems by symptom.
//!
//! # Limits
//!
//! The crate runs no server of its own, has no user interface, and reads no configuration. Bodies that are
//! sent are JSON, and signatures are made with shared secrets or Ed25519. Receiving from a
//! [provider](provider::Provider) reads forms and other signatures too. XML and mutual TLS as a signature are
//! not supported.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod address;
pub mod bounds;
pub mod clock;
pub mod contract;
pub mod delivery;
pub mod dispatch;
mod error;
pub mod event;
// It links to items of every feature.
#[cfg(feature = "full")]
pub mod guide;
mod id;
#[cfg(any(feature = "dispatch", feature = "memory"))]
mod id_hash;
pub mod keyring;
mod lease;
pub mod manage;
mod mending;
pub mod outcome;
mod platform;
pub mod provider;
mod rate;
pub mod receive;
pub mod retry;
pub mod signature;
pub mod store;
pub mod subscription;
pub mod testing;
mod text;
pub mod transport;

#[doc(inline)]
pub use address::{AddressPolicy, EndpointUrl};
#[doc(inline)]
pub use clock::Clock;
#[doc(inline)]
pub use contract::{Contract, ContractId};
#[doc(inline)]
pub use delivery::{Attempt, DeadReason, Delivery, DeliveryState};
#[doc(inline)]
pub use error::{Error, ErrorKind};
#[doc(inline)]
pub use event::{DataError, Envelope, EventData, EventId, EventType, RawEvent};
#[doc(inline)]
pub use id::{DeliveryId, SubscriptionId};
#[cfg(feature = "keyring")]
#[doc(inline)]
pub use keyring::KeyRing;
#[doc(inline)]
pub use outcome::{ErrorClass, FailureReason, Outcome};
#[doc(inline)]
pub use platform::*;
#[doc(inline)]
pub use retry::{Jitter, RetryPolicy};
#[doc(inline)]
pub use signature::{Scheme, Secret, Signer, Verified, Verifier, VerifyError};
#[doc(inline)]
pub use store::{Inbox, Intake, Pruning, Records, Store, StoreError, Subscriptions, TransactionalStore};
#[doc(inline)]
pub use subscription::{DisabledReason, EventFilter, Subscription, SubscriptionStatus};
#[doc(inline)]
pub use transport::{Exchange, HttpClient, Limits, TransportError};

#[cfg(feature = "reqwest")]
pub use reqwest;
#[cfg(feature = "hyper")]
pub use rustls;
#[cfg(feature = "_sql")]
pub use sqlx;
#[cfg(feature = "memory")]
#[doc(inline)]
pub use store::memory::MemoryStore;
#[cfg(feature = "hyper")]
#[doc(inline)]
pub use transport::hyper::HyperClient;
#[cfg(feature = "reqwest")]
#[doc(inline)]
pub use transport::reqwest::ReqwestClient;

/// The README's examples are tests.
#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// Items that the exported macros name in the crates that use them. Not part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use serde;
    use serde_json::value::RawValue;

    /// Writes an event as the sample of its type.
    pub fn sample<T: crate::EventData>(event: &T) -> Box<RawValue> {
        serde_json::value::to_raw_value(&crate::event::DataOf(event))
            .expect("invariant: a sample can be written as JSON")
    }
}
