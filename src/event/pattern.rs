//! [`EventPattern`]: selects event types for a subscription.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};
use crate::event::EventType;

/// One type by name, all types below a prefix (`call.*`), or all (`*`).
///
/// A `*` anywhere else (`call*`, `*.ended`) is refused, because it would be a name that never matches.
///
/// ```
/// use hookwire::event::EventPattern;
///
/// let calls: EventPattern = "call.*".parse()?;
/// assert!(calls.matches("call.ended"));
/// assert!(!calls.matches("callback.requested"));
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum EventPattern {
    /// Every type.
    All,
    /// Every type that begins with this text, its full stop included.
    Prefix(String),
    /// The one type of this name.
    Exact(EventType),
}

impl EventPattern {
    /// Whether the pattern selects the type named `event_type`.
    pub fn matches(&self, event_type: &str) -> bool {
        match self {
            Self::All => true,
            Self::Prefix(prefix) => {
                event_type.len() > prefix.len() && event_type.starts_with(prefix.as_str())
            }
            Self::Exact(name) => name == event_type,
        }
    }
}

impl FromStr for EventPattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text == "*" {
            return Ok(Self::All);
        }
        let name: EventType = text.parse()?;
        match text.strip_suffix('*') {
            Some(prefix) if prefix.ends_with(['.', ' ']) && !prefix.contains('*') => {
                Ok(Self::Prefix(prefix.to_owned()))
            }
            _ if text.contains('*') => {
                Err(Error::new(ErrorKind::Event, "event pattern has a `*` in the wrong place")
                    .with_expected("it alone, or at the end after a full stop or a space"))
            }
            _ => Ok(Self::Exact(name)),
        }
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Exact(name) => name.fmt(f),
        }
    }
}
