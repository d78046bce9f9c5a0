//! Send and receive webhooks.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod clock;
mod contract;
mod delivery;
pub mod dispatch;
mod error;
pub mod event;
mod id;
mod outcome;
mod platform;
pub mod receive;
pub mod retry;
mod signature;
pub mod store;
mod subscription;
pub mod transport;

pub use address::{AddressError, AddressErrorKind, AddressPolicy, EndpointHost, EndpointUrl};
pub use clock::{Clock, SystemClock};
pub use contract::{AutoDisable, Contract, Judgement, Retryable, Rotation};
pub use delivery::{Attempt, DeadReason, Delivery, DeliveryState, Next, Progress};
pub use error::{Error, ErrorKind};
pub use event::{
    Catalogue, DataError, DecodeError, Envelope, EnvelopeFormat, EventData, EventId, EventKind, EventPattern,
    EventType, Field, RawEvent, TimePrecision,
};
pub use id::{DeliveryId, SubscriptionId};
pub use outcome::{ErrorClass, Outcome};
pub use platform::{allison, allo, allo_v1, nectar_desk, recept_ai};

pub use retry::{Jitter, Planned, RetryPolicy, Timeline};
pub use signature::{
    DangerousVerifier, Part, Proof, Scheme, Secret, Signer, Verified, Verifier, VerifyError,
};
pub use store::{Inbox, Store, StoreError, TransactionalStore};
pub use subscription::{DisabledReason, EventFilter, Subscription, SubscriptionStatus};
pub use transport::{Exchange, HttpClient, Limits, Timings, TransportError};

/// What the exported macros need in the crates that use them. Not part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use serde;
    use serde_json::value::RawValue;

    /// The data of an event whose own code wrote it.
    pub fn sample<T: crate::EventData>(event: &T) -> Box<RawValue> {
        struct Data<'a, T>(&'a T);

        impl<T: crate::EventData> serde::Serialize for Data<'_, T> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize_data(serializer)
            }
        }

        serde_json::value::to_raw_value(&Data(event)).expect("invariant: a sample can be written as JSON")
    }
}
