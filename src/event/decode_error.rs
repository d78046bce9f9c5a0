//! [`DecodeError`]: the reason why a proven body could not be read as an event.

use crate::event::{DataError, EventType};

/// The reason why a proven body could not be read as an event.
///
/// ```
/// use hookwire::event::DecodeError;
/// use hookwire::{allison, Contract, Verified};
/// use time::OffsetDateTime;
///
/// let headers = http::HeaderMap::new();
/// let verified = Verified::dangerous_unsigned_at(&headers, b"[]", OffsetDateTime::UNIX_EPOCH);
/// let error = Contract::allison().decode::<allison::Event>(&verified).unwrap_err();
/// assert!(matches!(error, DecodeError::Malformed { .. }));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The body is not a JSON object in UTF-8.
    #[error("body is not an envelope: {reason}{}", place(*line, *column))]
    #[non_exhaustive]
    Malformed {
        /// The fault.
        reason: &'static str,
        /// The line, from 1; 0 if the fault has no place.
        line: usize,
        /// The column, from 1; 0 for the start of a line, or if the fault has no place.
        column: usize,
    },
    /// A field of the envelope is missing.
    #[error("envelope has no field `{field}`")]
    #[non_exhaustive]
    MissingField {
        /// The field's name.
        field: &'static str,
    },
    /// A field of the envelope stands twice, so that two readers could see two different events.
    #[error("envelope has {} twice", known(field))]
    #[non_exhaustive]
    DuplicateField {
        /// The field's name; `None` for one that the format does not know.
        field: Option<&'static str>,
    },
    /// A field of the envelope holds a value that is not valid.
    #[error("envelope's field `{field}` is not valid: {reason}")]
    #[non_exhaustive]
    InvalidField {
        /// The field's name.
        field: &'static str,
        /// The fault.
        reason: &'static str,
    },
    /// The id in the body is not the id in the header, so the sender did not make one of them.
    #[error("event id in the body differs from the one in header `{header}`")]
    #[non_exhaustive]
    IdMismatch {
        /// The header's name.
        header: &'static str,
    },
    /// The event has another type than the one that is read.
    #[error("event type `{event_type}` is not the one asked for")]
    #[non_exhaustive]
    UnexpectedType {
        /// The event's type.
        event_type: EventType,
    },
    /// The envelope is valid, but the data does not fit its type. The request is genuine, so the receiver
    /// decides what to do with it.
    #[error(transparent)]
    Data(Box<DataError>),
}

fn place(line: usize, column: usize) -> String {
    if line == 0 { String::new() } else { format!(", at line {line} column {column}") }
}

fn known(field: &Option<&'static str>) -> String {
    field.map_or_else(|| "an unknown field".to_owned(), |name| format!("field `{name}`"))
}
