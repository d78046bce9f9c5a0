//! [`Faults`]: the ways in which senders go wrong, and what a correct receiver answers to each.

mod making;

use std::fmt;

use bytes::Bytes;
use http::{Request, StatusCode};
use time::OffsetDateTime;

use crate::error::Error;
use crate::event::{DataError, Envelope, RawEvent};
use crate::receive::{Answer, Arrival, Receiver};
use crate::store::Inbox;
use crate::testing::Samples;

/// The ways in which real and hostile senders go wrong, each with what a correct receiver answers.
///
/// Duplicates and retries, requests that are late or from the future, forged, cut, doubled or written again on their way: as
/// requests, for whatever takes them. Those that a contract cannot tell from good ones, such as a changed body under a
/// platform that signs nothing, are not among its faults.
///
/// ```
/// use hookwire::receive::Receiver;
/// use hookwire::testing::{Faults, Samples};
/// use hookwire::{Contract, MemoryStore, Secret};
/// use time::OffsetDateTime;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let secret = Secret::generate();
/// let faults = Faults::new(&Samples::new(Contract::allison(), &secret)?, OffsetDateTime::now_utc())?;
/// assert!(faults.iter().any(|fault| fault.name() == "reserialized_body"));
///
/// let receiver = Receiver::signed(Contract::allison(), &secret)?.with_inbox(MemoryStore::new());
/// assert_eq!(faults.drive_receiver(&receiver).await, []);
/// # Ok::<(), hookwire::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Faults {
    faults: Vec<Fault>,
    samples: Samples,
    now: OffsetDateTime,
}

impl Faults {
    /// The faults of whoever sends `samples`, arriving at `now`.
    ///
    /// What is late by then stays late, and what is in time is so for half of the contract's tolerance: a receiver that goes by
    /// the system's clock is driven with the system's time.
    ///
    /// # Errors
    ///
    /// As [`Samples::request`].
    pub fn new(samples: &Samples, now: OffsetDateTime) -> Result<Self, Error> {
        Ok(Self { faults: making::faults(samples, now)?, samples: samples.clone(), now })
    }

    /// The same faults, and `too_large`: a body of one byte more than `bytes`, which the receiver is told to take.
    ///
    /// # Errors
    ///
    /// As [`Samples::request`].
    pub fn with_max_body(mut self, bytes: usize) -> Result<Self, Error> {
        self.faults.push(making::too_large(&self.samples, self.now, bytes)?);
        Ok(self)
    }

    /// The same faults but those of these names, for a receiver that has other rules.
    pub fn without(mut self, names: &[&str]) -> Self {
        self.faults.retain(|fault| !names.contains(&fault.name));
        self
    }

    /// The faults, one by one.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Fault> {
        self.faults.iter()
    }

    /// How many events a correct receiver has handled after all of them.
    pub fn handled(&self) -> usize {
        self.faults.iter().map(Fault::handled).sum()
    }

    /// Hands every request to `send`, in order, and tells what was answered otherwise than expected: nothing, if all is well.
    ///
    /// `send` may be a handler, a whole application or a client of a server:
    ///
    /// ```
    /// use hookwire::testing::{Faults, Samples};
    /// use hookwire::{Contract, Secret};
    /// use http::StatusCode;
    /// use time::OffsetDateTime;
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # runtime.block_on(async {
    /// let samples = Samples::new(Contract::allison(), &Secret::generate())?;
    /// let faults = Faults::new(&samples, OffsetDateTime::now_utc())?;
    /// // This one believes everything.
    /// let misses = faults.drive(async |_request| StatusCode::OK).await;
    /// assert!(misses.iter().any(|miss| miss.to_string() == "wrong_secret: request 1 was answered 200, expected 401"));
    /// # Ok::<(), hookwire::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn drive<F, R>(&self, mut send: F) -> Vec<Miss>
    where
        F: FnMut(Request<Bytes>) -> R,
        R: Future<Output = StatusCode>,
    {
        let mut misses = Vec::new();
        for fault in &self.faults {
            for (number, (request, expected)) in (1..).zip(fault.requests()) {
                let answered = send(request.clone()).await;
                misses.extend(Miss::of_answer(fault.name, number, expected, answered));
            }
        }
        misses
    }

    /// Hands every request to a receiver, and tells what it answered otherwise than expected and which events it handled too often
    /// or not at all. A receiver without an inbox handles duplicates.
    pub async fn drive_receiver<I: Inbox>(&self, receiver: &Receiver<I>) -> Vec<Miss> {
        let mut misses = Vec::new();
        for fault in &self.faults {
            let mut handled = 0;
            for (number, (request, expected)) in (1..).zip(fault.requests()) {
                let arrival = Arrival::new(request.headers()).with_path(request.uri().path());
                let handler = |_: Result<Envelope<RawEvent>, Box<DataError>>| {
                    handled += 1;
                    std::future::ready(Ok::<_, Error>(()))
                };
                let answered =
                    receiver.answer(request.method(), &arrival, request.body(), self.now, handler).await;
                let answered = answered.unwrap_or_else(|rejection| Answer::from(&rejection));
                misses.extend(Miss::of_answer(fault.name, number, expected, answered.status));
            }
            if handled != fault.handled {
                misses.push(Miss::Handled { fault: fault.name, handled, expected: fault.handled });
            }
        }
        misses
    }
}

/// One way to go wrong: requests in the order of their arrival, and the answer to each.
#[derive(Clone)]
pub struct Fault {
    name: &'static str,
    description: &'static str,
    requests: Vec<(Request<Bytes>, StatusCode)>,
    handled: usize,
}

impl Fault {
    /// Its name, stable across versions.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What goes wrong.
    pub fn description(&self) -> &'static str {
        self.description
    }

    /// The requests, and the answer that a correct receiver gives to each.
    pub fn requests(&self) -> impl ExactSizeIterator<Item = (&Request<Bytes>, StatusCode)> {
        self.requests.iter().map(|(request, expected)| (request, *expected))
    }

    /// How many events a correct receiver has handled after them.
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

/// Where a receiver did not do what a correct one does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Miss {
    /// A request was answered otherwise.
    #[error("{fault}: request {request} was answered {}, expected {}", answered.as_u16(), expected.as_u16())]
    #[non_exhaustive]
    Answer {
        /// The fault's name.
        fault: &'static str,
        /// The request's number, from 1.
        request: usize,
        /// What was answered.
        answered: StatusCode,
        /// What a correct receiver answers.
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
    fn of_answer(
        fault: &'static str,
        request: usize,
        expected: StatusCode,
        answered: StatusCode,
    ) -> Option<Self> {
        (answered != expected).then_some(Self::Answer { fault, request, answered, expected })
    }
}
