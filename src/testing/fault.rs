//! [`Fault`]: one way in which a sender goes wrong; [`Miss`]: a receiver's wrong reaction.

use std::fmt;

use bytes::Bytes;
use http::{Request, StatusCode};

/// One way in which a sender goes wrong: its requests in the order of their arrival, and the answer to each.
#[derive(Clone)]
pub struct Fault {
    name: &'static str,
    description: &'static str,
    requests: Vec<(Request<Bytes>, StatusCode)>,
    handled: usize,
}

impl Fault {
    pub(super) fn new(
        name: &'static str,
        description: &'static str,
        requests: Vec<(Request<Bytes>, StatusCode)>,
        handled: usize,
    ) -> Self {
        Self { name, description, requests, handled }
    }

    /// The fault's name, which stays the same across versions.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// A sentence about what goes wrong.
    pub fn description(&self) -> &'static str {
        self.description
    }

    /// The requests, and the answer that a correct receiver gives to each.
    pub fn requests(&self) -> impl ExactSizeIterator<Item = (&Request<Bytes>, StatusCode)> {
        self.requests.iter().map(|(request, expected)| (request, *expected))
    }

    /// How many events a correct receiver handles during the fault.
    pub fn handled(&self) -> usize {
        self.handled
    }
}

/// The requests are payloads and stay out.
impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A wrong reaction of a receiver.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Miss {
    /// A request got another answer than expected.
    #[error("{fault}: request {request} was answered {}, expected {}", answered.as_u16(), expected.as_u16())]
    #[non_exhaustive]
    Answer {
        /// The fault's name.
        fault: &'static str,
        /// The request's number, from 1.
        request: usize,
        /// The status of the answer.
        answered: StatusCode,
        /// The status of a correct receiver's answer.
        expected: StatusCode,
    },
    /// Events were handled too often, or not at all.
    #[error("{fault}: {handled} events were handled, expected {expected}")]
    #[non_exhaustive]
    Handled {
        /// The fault's name.
        fault: &'static str,
        /// How many events were handled.
        handled: usize,
        /// How many a correct receiver handles.
        expected: usize,
    },
}

impl Miss {
    pub(super) fn of_answer(
        fault: &'static str,
        request: usize,
        expected: StatusCode,
        answered: StatusCode,
    ) -> Option<Self> {
        (answered != expected).then_some(Self::Answer { fault, request, answered, expected })
    }

    pub(super) fn of_handled(fault: &'static str, expected: usize, handled: usize) -> Option<Self> {
        (handled != expected).then_some(Self::Handled { fault, handled, expected })
    }
}
