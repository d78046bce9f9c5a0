//! [`Faults`]: the ways in which senders go wrong, and a correct receiver's answers.

use bytes::Bytes;
use http::{Request, StatusCode};
use time::OffsetDateTime;

use crate::error::Error;
use crate::event::{DataError, Envelope, RawEvent};
use crate::receive::{Answer, Arrival, Receiver, Rejection};
use crate::store::Inbox;
use crate::testing::fault::{Fault, Miss};
use crate::testing::faulty_requests;
use crate::testing::samples::Samples;

/// The ways in which real and hostile senders go wrong, each with a correct receiver's answers.
///
/// There are duplicates and retries, and requests that are late, from the future, forged, cut, doubled, or
/// serialized again on their way. Faults that a contract cannot detect are left out, such as a changed body
/// if the platform does not sign.
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
    /// The faults of a sender of `samples`, whose requests arrive at `now`.
    ///
    /// A late request stays late, and a request in time is so for half of the contract's tolerance. So give
    /// the system's time for a receiver that goes by the system's clock.
    ///
    /// # Errors
    ///
    /// The errors of [`Samples::request`].
    pub fn new(samples: &Samples, now: OffsetDateTime) -> Result<Self, Error> {
        Ok(Self { faults: faulty_requests::faults(samples, now)?, samples: samples.clone(), now })
    }

    /// Sets how many bytes of a body the receiver takes, and adds the fault `too_large`: a body of one byte
    /// more.
    ///
    /// # Errors
    ///
    /// The errors of [`Samples::request`].
    pub fn with_max_body(mut self, bytes: usize) -> Result<Self, Error> {
        self.faults.push(faulty_requests::too_large(&self.samples, self.now, bytes)?);
        Ok(self)
    }

    /// Removes the faults of these names, for a receiver that has other rules.
    pub fn without(mut self, names: &[&str]) -> Self {
        self.faults.retain(|fault| !names.contains(&fault.name()));
        self
    }

    /// The faults, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Fault> {
        self.faults.iter()
    }

    /// How many events a correct receiver handles during all faults.
    pub fn handled(&self) -> usize {
        self.faults.iter().map(Fault::handled).sum()
    }

    /// Hands every request to `send`, in order, and returns the wrong answers: none if the receiver is
    /// correct.
    ///
    /// `send` may be a handler, a whole application or the client of a server:
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
    /// // This receiver believes everything.
    /// let misses = faults.drive(async |_request| StatusCode::OK).await;
    /// let miss = "wrong_secret: request 1 was answered 200, expected 401";
    /// assert!(misses.iter().any(|one| one.to_string() == miss));
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
                misses.extend(Miss::of_answer(fault.name(), number, expected, answered));
            }
        }
        misses
    }

    /// Hands every request to a receiver, and returns its wrong answers and the faults during which it
    /// handled events too often or not at all. A receiver without an inbox handles duplicates.
    pub async fn drive_receiver<I: Inbox>(&self, receiver: &Receiver<I>) -> Vec<Miss> {
        let mut misses = Vec::new();
        for fault in &self.faults {
            let mut handled = 0;
            for (number, (request, expected)) in (1..).zip(fault.requests()) {
                let handler = |_: Result<Envelope<RawEvent>, Box<DataError>>| {
                    handled += 1;
                    std::future::ready(Ok::<_, Error>(()))
                };
                let answered: Result<Answer, Rejection> = async {
                    let admitted = receiver.admit(Arrival::from(request), self.now)?;
                    admitted.prove(request.body(), self.now).await?.handle(handler).await
                }
                .await;
                let status = answered.map_or_else(|rejection| rejection.status(), |answer| answer.status);
                misses.extend(Miss::of_answer(fault.name(), number, expected, status));
            }
            misses.extend(Miss::of_handled(fault.name(), fault.handled(), handled));
        }
        misses
    }
}
