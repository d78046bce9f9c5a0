//! [`Admitted`]: a request with a place among those that are handled, judged by its head.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use time::OffsetDateTime;

use crate::receive::admission::Permit;
use crate::receive::arrival::Arrival;
use crate::receive::receiver::Receiver;
use crate::receive::receiver_ref::ReceiverRef;
use crate::receive::rejection::Rejection;
use crate::signature::FoundHeaders;

/// A request that the receiver admits by its head: the method, the content type, the announced length, the
/// guards, and the headers that its proof needs.
///
/// It holds a place among the requests that are handled at once, which is free again when it is dropped. Read
/// the body now, [accept](Self::accept) its bytes, and [`prove`](Self::prove) the request.
#[must_use = "an admitted request holds a place until it is dropped"]
pub struct Admitted<'r, 'a, I> {
    pub(super) permit: Permit<ReceiverRef<'r, I>>,
    pub(super) arrival: Arrival<'a>,
    pub(super) found: Option<FoundHeaders<'a>>,
}

impl<I> Receiver<I> {
    /// Admits a request that arrived at `now`, by its head alone: nothing of its body need be read before.
    ///
    /// ```
    /// use hookwire::receive::{Arrival, Receiver};
    /// use hookwire::{allison, Contract, DataError, Envelope, Secret};
    /// use http::Request;
    /// use std::error::Error;
    /// use time::OffsetDateTime;
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # runtime.block_on(async {
    /// let receiver = Receiver::signed(Contract::allison(), &Secret::generate())?;
    /// let handler = async |event: Result<Envelope<allison::Event>, Box<DataError>>| {
    ///     println!("{}", event?.event_type());
    ///     Ok::<_, Box<dyn Error + Send + Sync>>(())
    /// };
    /// let (head, body) = Request::post("/").body(b"{}")?.into_parts();
    /// let answered = async {
    ///     let admitted = receiver.admit(Arrival::from(&head), OffsetDateTime::now_utc())?;
    ///     // Read the body here, within `receiver.body_deadline()`. If it comes in pieces, `accept` each.
    ///     admitted.prove(body, OffsetDateTime::now_utc()).await?.handle(handler).await
    /// };
    /// let answer = answered.await.unwrap_or_else(|rejection| receiver.refuse(&rejection));
    /// assert_eq!(answer.into_response().status(), 401);
    /// # Ok::<(), Box<dyn Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`Rejection`], for your own log; [`refuse`](Self::refuse) makes an answer of it.
    pub fn admit<'r, 'a>(
        &'r self,
        arrival: Arrival<'a>,
        now: OffsetDateTime,
    ) -> Result<Admitted<'r, 'a, I>, Rejection> {
        Admitted::new(ReceiverRef::Borrowed(self), arrival, now)
    }

    /// Admits a request as [`admit`](Self::admit) does, for a receipt that may outlive the borrow of its
    /// receiver. A task or a framework's extractor needs this.
    ///
    /// # Errors
    ///
    /// [`Rejection`], for your own log; [`refuse`](Self::refuse) makes an answer of it.
    pub fn admit_shared<'a>(
        self: &Arc<Self>,
        arrival: Arrival<'a>,
        now: OffsetDateTime,
    ) -> Result<Admitted<'static, 'a, I>, Rejection> {
        Admitted::new(ReceiverRef::Shared(Arc::clone(self)), arrival, now)
    }

    /// Judges a request by its head, and finds the headers that its proof needs.
    pub(super) fn judge<'a>(&self, arrival: &Arrival<'a>) -> Result<Option<FoundHeaders<'a>>, Rejection> {
        let decodes_gzip = self.decoder.is_some();
        self.check.check_form(arrival, self.max_body, &self.content_types, decodes_gzip)?;
        for guard in &self.guards {
            // A guard is the application's own, so its panic fails this request and nothing else.
            match catch_unwind(AssertUnwindSafe(|| guard.admits(arrival))) {
                Ok(true) => {}
                Ok(false) => return Err(Rejection::NotAdmitted { guard: guard.name() }),
                Err(_panic) => return Err(Rejection::GuardPanicked { guard: guard.name() }),
            }
        }
        self.check.find(arrival, &self.content_types)
    }
}

impl<'r, 'a, I> Admitted<'r, 'a, I> {
    fn new(
        receiver: ReceiverRef<'r, I>,
        arrival: Arrival<'a>,
        now: OffsetDateTime,
    ) -> Result<Self, Rejection> {
        if receiver.is_retired {
            return Err(Rejection::Retired);
        }
        let permit = permit(receiver, now)?;
        let found = permit.of().judge(&arrival)?;
        Ok(Self { permit, arrival, found })
    }

    /// Accepts `bytes` more bytes of the body. A server that reads the body in pieces calls it for each
    /// piece, before it keeps the piece. The ready routes and extractors do so.
    ///
    /// The bytes count towards the [admission](Receiver::with_admission) until the request is handled.
    ///
    /// # Errors
    ///
    /// [`Rejection::TooLarge`] if the body is longer than the receiver takes, [`Rejection::Busy`] if the
    /// bodies of all requests together are.
    pub fn accept(&mut self, bytes: usize) -> Result<(), Rejection> {
        self.permit.accept(bytes, self.permit.of().max_body)
    }

    /// Admits a request among several senders: it was judged by its head before, and the receiver may be
    /// retired.
    pub(super) fn judged(
        receiver: &'r Receiver<I>,
        arrival: Arrival<'a>,
        now: OffsetDateTime,
    ) -> Result<Self, Rejection> {
        let permit = permit(ReceiverRef::Borrowed(receiver), now)?;
        let found = receiver.check.find(&arrival, &receiver.content_types)?;
        Ok(Self { permit, arrival, found })
    }
}

fn permit<I>(
    receiver: ReceiverRef<'_, I>,
    now: OffsetDateTime,
) -> Result<Permit<ReceiverRef<'_, I>>, Rejection> {
    Permit::take(receiver, now)
}

impl<I> fmt::Debug for Admitted<'_, '_, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted").field("arrival", &self.arrival).finish_non_exhaustive()
    }
}
