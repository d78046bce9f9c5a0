//! Events: the [`Envelope`] with its [`EventId`] and type, the [`EnvelopeFormat`] in which a platform writes
//! it, and the types that a platform publishes ([`catalogue!`](crate::catalogue), [`Catalogue`]).

mod catalogue;
mod data;
mod data_schema;
mod decode;
mod decode_error;
mod envelope;
mod format;
mod id;
mod json;
mod lenient;
mod macros;
mod pattern;
mod raw;
pub(crate) mod schema;
mod trace;

pub use catalogue::{Catalogue, EventKind};
pub use data::DataError;
pub use data_schema::{DataSchema, Property};
pub use decode_error::DecodeError;
pub use envelope::{Envelope, EventData};
pub use format::{EnvelopeFormat, Field, TimePrecision};
pub use id::EventId;
pub use pattern::EventPattern;
pub use raw::{EventType, RawEvent};
pub use trace::TraceParent;

pub(crate) use data::typed;
pub(crate) use envelope::DataOf;
pub(crate) use json::Json;
pub(crate) use lenient::{epoch, null_as_default, optional, optional_time, or_default, time_or_epoch};
pub(crate) use macros::open_enum;
