//! [`TraceParent`]: the place in a trace that an event comes from.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// The place in a distributed trace that an event comes from: the value of a `traceparent` header.
///
/// An outbox stores it with the event, and each attempt is sent as a child of it. Source: W3C Trace Context,
/// section 3.2.
///
/// ```
/// use hookwire::event::TraceParent;
///
/// let parent: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse()?;
/// assert!(parent.is_sampled());
/// let child = parent.child([0xab; 8]);
/// assert_eq!(child.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-abababababababab-01");
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TraceParent {
    trace: u128,
    parent: u64,
    flags: u8,
}

impl TraceParent {
    /// Makes the place of the span `parent_id` in the trace `trace_id`. `flags` is 1 where the trace is
    /// recorded and 0 where it is not.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Event`] when one of the ids is zero, which means that there is none.
    pub fn from_parts(trace_id: [u8; 16], parent_id: [u8; 8], flags: u8) -> Result<Self, Error> {
        let (trace, parent) = (u128::from_be_bytes(trace_id), u64::from_be_bytes(parent_id));
        match trace == 0 || parent == 0 {
            true => Err(refused()),
            false => Ok(Self { trace, parent, flags }),
        }
    }

    /// The id of the trace.
    pub const fn trace_id(&self) -> [u8; 16] {
        self.trace.to_be_bytes()
    }

    /// The id of the span.
    pub const fn parent_id(&self) -> [u8; 8] {
        self.parent.to_be_bytes()
    }

    /// Whether the sender records the trace.
    pub const fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }

    /// Makes the place of the span `id` in the same trace. Zero, which is no id, counts as one.
    #[must_use]
    pub fn child(self, id: [u8; 8]) -> Self {
        Self { parent: u64::from_be_bytes(id).max(1), ..self }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.parent, self.flags)
    }
}

impl FromStr for TraceParent {
    type Err = Error;

    /// Reads the value of a `traceparent` header. A version after 00 may have more parts, which are left out.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut parts = text.split('-');
        let mut hex = |len: usize| {
            let part = parts.next().filter(|part| part.len() == len);
            part.filter(|part| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
        };
        let (version, trace, parent, flags) = (hex(2), hex(32), hex(16), hex(2));
        let is_whole = match version {
            Some("ff") | None => false,
            Some("00") => parts.next().is_none(),
            Some(_) => true,
        };
        let number = |part: Option<&str>| u128::from_str_radix(part?, 16).ok();
        let read = (number(trace), number(parent), number(flags));
        let (Some(trace), Some(parent), Some(flags), true) = (read.0, read.1, read.2, is_whole) else {
            return Err(refused());
        };
        let parent = u64::try_from(parent).map_err(|_| refused())?;
        let flags = u8::try_from(flags).map_err(|_| refused())?;
        Self::from_parts(trace.to_be_bytes(), parent.to_be_bytes(), flags)
    }
}

fn refused() -> Error {
    Error::new(ErrorKind::Event, "traceparent is not valid").with_expected(
        "version, trace id, parent id and flags in lower-case hex, of which neither id is zero",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_recommendation_allows_is_read() {
        let right = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(right.parse::<TraceParent>().unwrap().to_string(), right);
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-what-the-future-brings";
        let read: TraceParent = later.parse().unwrap();
        assert!(!read.is_sampled() && read.trace_id()[0] == 0x4b && read.parent_id()[7] == 0xb7);
        for wrong in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(wrong.parse::<TraceParent>().is_err(), "{wrong}");
        }
    }
}
