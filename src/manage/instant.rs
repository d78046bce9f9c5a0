//! Writes times in answers: RFC 3339 in UTC, with milliseconds, as envelopes have them.

use serde::ser::{Error as _, Serializer};
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

pub(super) fn serialize<S: Serializer>(at: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    let utc = at.checked_to_offset(UtcOffset::UTC).filter(|at| (0..=9_999).contains(&at.year()));
    let text = match utc {
        Some(at) => at.format(FORMAT),
        // A caller's own time near the ends of the calendar, which only its offset keeps in them.
        None => at.format(&Rfc3339),
    };
    serializer.serialize_str(&text.map_err(S::Error::custom)?)
}

pub(super) fn option<S: Serializer>(at: &Option<OffsetDateTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serialize(at, serializer),
        None => serializer.serialize_none(),
    }
}

const FORMAT: &[BorrowedFormatItem<'static>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
