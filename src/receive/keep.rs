//! [`Receiver::keep`]: store, then acknowledge.

use bytes::Bytes;
use http::Method;
use time::OffsetDateTime;

use crate::event::RawEvent;
use crate::receive::admission::Permit;
use crate::receive::answer::{Answer, acceptable};
use crate::receive::guard::Arrival;
use crate::receive::receiver::{Receiver, id_of};
use crate::receive::rejection::Rejection;
use crate::signature::Proof;
use crate::store::{Intake, Kept, KeptRequest, StoreError, StoreErrorKind};

impl<I: Intake> Receiver<I> {
    /// Where requests are kept.
    pub fn intake(&self) -> &I {
        &self.inbox
    }

    /// Verifies a whole request and writes it down for a worker, so that the sender can be answered at once. An
    /// [`Answer`] can be made of what became of it: 200, for a copy of what was kept before too.
    ///
    /// Events are told from each other as [`receive`](Self::receive) does, and a copy is one until the contract's
    /// [`dedupe_window`](crate::Contract::dedupe_window) after its event was handled. What is no event of the contract is refused
    /// here; whether data fits its type is found out by the worker.
    ///
    /// ```
    /// use hookwire::receive::{Answer, Arrival, Receiver};
    /// use hookwire::{allison, Contract, Envelope, MemoryStore, Secret};
    /// use http::Method;
    /// use time::OffsetDateTime;
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # runtime.block_on(async {
    /// let contract = Contract::allison();
    /// let secret = Secret::generate();
    /// let receiver = Receiver::signed(contract.clone(), &secret)?.with_intake(MemoryStore::new());
    /// # let now = OffsetDateTime::now_utc();
    /// # let sent = Envelope::new(allison::CallEnded::new("c1"));
    /// # let body = contract.encode(&sent)?;
    /// # let headers = contract.signer(&secret)?.sign(sent.id.as_str(), now, &body)?;
    /// let answer = match receiver.keep(&Method::POST, &Arrival::new(&headers), &body, now).await {
    ///     Ok(kept) => Answer::from(kept),
    ///     Err(rejection) => receiver.refuse(&rejection),
    /// };
    /// assert_eq!(answer.status, 200);
    /// # Ok::<(), hookwire::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`Rejection`] knows its status code: 503 with `Retry-After` where the intake cannot be reached.
    pub async fn keep(
        &self,
        method: &Method,
        arrival: &Arrival<'_>,
        body: &[u8],
        now: OffsetDateTime,
    ) -> Result<Kept, Rejection> {
        let permit = self.admit(now)?;
        acceptable(method, arrival.headers)?;
        self.judge(arrival, body.len() as u64)?;
        self.keep_admitted(permit, arrival, body, now).await
    }

    pub(super) async fn keep_admitted(
        &self,
        _permit: Permit,
        arrival: &Arrival<'_>,
        body: &[u8],
        now: OffsetDateTime,
    ) -> Result<Kept, Rejection> {
        let verified = self.prove(arrival, body, now).await?;
        let read = self.read::<RawEvent>(&verified).map_err(Rejection::Malformed)?;
        let proof = match verified.by() {
            Proof::Signature(_) => "signature",
            Proof::Guard(name) => name,
            Proof::Kept => "intake",
            Proof::Nothing => "nothing",
        };
        let event = id_of(&read, &verified);
        let key = self.key_of(arrival, &verified, || event.clone())?;
        let request = KeptRequest::new(key, now, Bytes::copy_from_slice(body))
            .with_queue(&*self.source)
            .with_event(event)
            .with_proof(proof, verified.timestamp());
        let told = self.inbox.keep(std::slice::from_ref(&request)).await?;
        // Nothing is acknowledged that was not told of.
        let kept = told.first().copied().ok_or_else(untold)?;
        self.bell.ring();
        Ok(kept)
    }
}

fn untold() -> StoreError {
    StoreError::new(StoreErrorKind::Backend, "intake told of no request where one was to be kept")
}

impl From<Kept> for Answer {
    fn from(_: Kept) -> Self {
        Self::OK
    }
}
