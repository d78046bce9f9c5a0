//! Send and receive webhooks.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;
pub mod event;
mod outcome;
mod platform;

pub use error::{Error, ErrorKind};
pub use event::{
    Catalogue, DataError, DecodeError, Envelope, EnvelopeFormat, EventData, EventId, EventKind, EventPattern,
    EventType, Field, RawEvent, TimePrecision,
};
pub use outcome::{ErrorClass, Outcome};
pub use platform::allison;

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
