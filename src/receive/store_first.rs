//! [`Proven::store_first`]: stores a request, so that its sender is answered before it is handled.

use bytes::Bytes;

use crate::event::RawEvent;
use crate::receive::answer::Answer;
use crate::receive::proven::Proven;
use crate::receive::rejection::Rejection;
use crate::signature::Proof;
use crate::store::{Intake, StoreError, StoreErrorKind, Stored, StoredRequest};

/// The outcome of [`Proven::store_first`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StoredFirst {
    /// The request is stored, and a worker will handle it. Answer 200.
    New,
    /// A copy of the request was stored before. Answer 200.
    Duplicate,
}

impl<I: Intake> Proven<'_, '_, I> {
    /// Stores the request in the [intake](crate::receive::Receiver::with_intake) for a worker, so that the
    /// sender can be answered at once.
    ///
    /// Events are told apart as by [`receive`](Self::receive). A request is a duplicate until the contract's
    /// [`dedupe_window`](crate::Contract::dedupe_window) has passed since its event was handled. If the
    /// sender gives its events no id, a request is a duplicate until the contract's
    /// [`copy_window`](crate::Contract::copy_window) has passed since the first one arrived, and
    /// `Job::key` has the period of its arrival beside the digest of its body.
    ///
    /// A body that is not an event of the contract is refused here. The worker finds out whether the data
    /// fits its type.
    ///
    /// ```
    /// use hookwire::receive::{Answer, Arrival, Receiver};
    /// use hookwire::{allison, Contract, Envelope, MemoryStore, Secret};
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
    /// let stored = async {
    ///     receiver.admit(Arrival::post(&headers), now)?.prove(&body, now).await?.store_first().await
    /// };
    /// let answer = match stored.await {
    ///     Ok(stored) => Answer::from(stored),
    ///     Err(rejection) => receiver.refuse(&rejection),
    /// };
    /// assert_eq!(answer.status, 200);
    /// # Ok::<(), hookwire::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`Rejection`], for your own log. Its status is 503, with `Retry-After`, if the intake cannot be
    /// reached.
    pub async fn store_first(self) -> Result<StoredFirst, Rejection> {
        let proof = match self.verified.by() {
            Proof::Signature(_) => "signature",
            Proof::Provider(name) | Proof::Guard(name) => name,
            Proof::Stored => "intake",
            Proof::Nothing => "nothing",
        };
        let receiver = self.receiver();
        let mut requests = Vec::new();
        for message in self.messages()? {
            let read = self.read::<RawEvent>(&message.verified).map_err(Rejection::Malformed)?;
            let event = Self::id(&message.verified, &read);
            let (mut key, window) = self.key(&message, || event.clone())?;
            let period = window.period(&key.id);
            if let Some(period) = &period {
                key.id = period.id.clone();
            }
            let body = Bytes::copy_from_slice(message.verified.body());
            let request = StoredRequest::new(key, self.verified.received_at(), body)
                .with_queue(&*receiver.source)
                .with_event(event)
                .with_proof(proof, self.verified.timestamp());
            requests.push(match period {
                Some(period) => request.with_copies(period.beside, period.since),
                None => request,
            });
        }
        if requests.is_empty() {
            receiver.numbers.accepted();
            return Ok(StoredFirst::Duplicate);
        }
        let kept = receiver.inbox.store_requests(&requests).await?;
        // A request is acknowledged only if the intake says that it has all of it.
        if kept.len() != requests.len() {
            return Err(no_outcome().into());
        }
        receiver.numbers.accepted();
        kept.iter().filter(|kept| **kept == Stored::Duplicate).for_each(|_| receiver.numbers.duplicate());
        receiver.signal.give();
        match kept.contains(&Stored::New) {
            true => Ok(StoredFirst::New),
            false => Ok(StoredFirst::Duplicate),
        }
    }
}

fn no_outcome() -> StoreError {
    StoreError::new(
        StoreErrorKind::Backend,
        "intake returned no outcome for a request, expected one for each",
    )
}

impl From<StoredFirst> for Answer {
    fn from(stored: StoredFirst) -> Self {
        match stored {
            StoredFirst::New | StoredFirst::Duplicate => Self::OK,
        }
    }
}
