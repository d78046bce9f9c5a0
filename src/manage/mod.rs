//! Subscriptions as a product, for a platform's own users: they register a URL, see what was delivered, and
//! fix it.
//!
//! [`Service`] has the calls, and [`axum`] their HTTP routes. Every call names an organization; another
//! organization's items are not found. A secret is shown when it is made, and never again. The application
//! decides which organization a caller belongs to and what the caller may do, before it calls.
#![cfg(feature = "manage")]

pub mod axum;
mod build;
mod contracts;
mod deliveries;
mod draft;
mod emitting;
mod error;
mod fields;
mod idempotency;
mod instant;
mod key_ring;
mod parts;
mod patch;
mod reading;
mod replaying;
mod revision;
mod sealing;
mod secrets;
mod service;
mod subscriptions;
mod test_event;
mod view;

pub use deliveries::{DeliveryDetail, Recovery};
pub use draft::SubscriptionDraft;
pub use emitting::{Emitter, EventDraft, Values};
pub use error::{ManageError, Refusal};
pub use idempotency::IdempotencyKey;
pub use parts::{
    AuthenticationDraft, AuthenticationKind, ClientCertificateDraft, ConditionDraft, Hidden, Hideable,
    RateDraft, RatePatch, RetryDraft,
};
pub use patch::SubscriptionPatch;
pub use revision::Revision;
pub use secrets::Rotate;
pub use service::Service;
pub use subscriptions::SubscriptionQuery;
pub use test_event::Tested;
pub use view::{AuthenticationView, Listed, RateView, RetryView, SecretView, Shown, SubscriptionView};
