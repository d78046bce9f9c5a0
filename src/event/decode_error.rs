//! [`DecodeError`]: why a proven body could not be read as an event.

use crate::event::{DataError, EventType};

/// Why a proven body could not be read as an event.
///
/// ```
/// use hookwire::{allison, Contract, DecodeError, Verified};
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
        /// What was wrong.
        reason: &'static str,
        /// The line, from 1; 0 when the fault has no place.
        line: usize,
        /// The column, from 1; 0 for the start of a line, or when the fault has no place.
        column: usize,
    },
    /// A field of the envelope is not there.
    #[error("envelope has no field `{field}`")]
    #[non_exhaustive]
    MissingField {
        /// The field's name.
        field: &'static str,
    },
    /// A field of the envelope stands twice, so two readers could see two different events.
    #[error("envelope has {} twice", known(field))]
    #[non_exhaustive]
    DuplicateField {
        /// The field's name; `None` for one that the format does not know.
        field: Option<&'static str>,
    },
    /// A field of the envelope holds something else than it should.
    #[error("envelope's field `{field}` is not valid: {reason}")]
    #[non_exhaustive]
    InvalidField {
        /// The field's name.
        field: &'static str,
        /// What was wrong.
        reason: &'static str,
    },
    /// The id in the body is not the id in the header: one of them was not made by the sender.
    #[error("event id in the body differs from the one in header `{header}`")]
    #[non_exhaustive]
    IdMismatch {
        /// The header's name.
        header: &'static str,
    },
    /// The event is of another type than the one asked for.
    #[error("event type `{event_type}` is not the one asked for")]
    #[non_exhaustive]
    UnexpectedType {
        /// The event's type.
        event_type: EventType,
    },
    /// The envelope is sound and the data does not fit its type. The request was not forged: the receiver decides.
    #[error(transparent)]
    Data(Box<DataError>),
}

fn place(line: usize, column: usize) -> String {
    if line == 0 { String::new() } else { format!(", at line {line} column {column}") }
}

fn known(field: &Option<&'static str>) -> String {
    field.map_or_else(|| "an unknown field".to_owned(), |name| format!("field `{name}`"))
}
