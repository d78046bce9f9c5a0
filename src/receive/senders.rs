//! [`Senders`]: several senders that share one path.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use time::OffsetDateTime;

use crate::event::{DataError, Envelope, EventData};
use crate::receive::admission::{Admission, Admits, Permit};
use crate::receive::answer::Answer;
use crate::receive::arrival::Arrival;
use crate::receive::receiver::Receiver;
use crate::receive::refusal::{RejectionObserver, refuse};
use crate::receive::rejection::Rejection;
use crate::receive::sender::{Handled, HandlerError, Sender, Stored};
use crate::signature::VerifyError;
use crate::store::{Inbox, Intake};

/// Several senders that share one path, each with a receiver and a handler of its own.
///
/// A request belongs to the first receiver that proves it, in the order in which they were added: by its
/// signature, or by its guards if the contract signs nothing. So put a receiver that anybody passes last. If
/// no receiver proves a request, its answer is that of the receiver whose signature header it carries, and
/// nothing of it is remembered. If a receiver is busy or cannot look its secrets up, the sender is asked to
/// repeat the request. If only a [retired](Receiver::with_retirement) receiver proves it, the answer is 410,
/// which ends that sender's subscription and no other's. If all receivers are retired, every answer is 410.
///
/// A receiver that refuses a request by its head is not asked again when the body has arrived, and the
/// request does not count towards what that receiver [admits](Receiver::with_admission).
///
/// ```
/// use hookwire::receive::{Arrival, Receiver, Senders};
/// use hookwire::{allison, allo, Contract, DataError, Envelope, Secret};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// # let (allisons, allos) = (Secret::generate(), Secret::generate());
/// let senders = Senders::new()
///     .with_handler(
///         Receiver::signed(Contract::allison(), &allisons)?,
///         async |event: Result<Envelope<allison::Event>, Box<DataError>>| {
///             println!("Allison: {}", event?.event_type());
///             Ok(())
///         },
///     )
///     .with_handler(
///         Receiver::signed(Contract::allo(), &allos)?,
///         async |event: Result<Envelope<allo::Event>, Box<DataError>>| {
///             println!("Allo: {}", event?.event_type());
///             Ok(())
///         },
///     );
/// # let now = time::OffsetDateTime::now_utc();
/// # let contract = Contract::allison();
/// # let sent = Envelope::new(allison::CallEnded::new("c1"));
/// # let body = contract.encode(&sent)?;
/// # let headers = contract.signer(&allisons)?.sign(sent.id.as_str(), now, &body)?;
/// let answered = async { senders.admit(Arrival::post(&headers), now)?.handle(&body, now).await };
/// assert_eq!(answered.await.expect("it is genuine").status, 200);
/// # Ok::<(), hookwire::Error>(())
/// # }).unwrap();
/// ```
#[derive(Default)]
pub struct Senders {
    all: Vec<Box<dyn Sender>>,
    observer: Option<RejectionObserver>,
    admission: Admission,
}

/// A request that at least one of several senders admits by its head.
///
/// It holds a place among the requests that are handled at once, which is free again when it is dropped. Read
/// the body now, and [`handle`](Self::handle) it.
#[must_use = "an admitted request holds a place until it is dropped"]
pub struct SendersAdmitted<'s, 'a> {
    permit: Permit<&'s Senders>,
    arrival: Arrival<'a>,
    /// Why each sender refuses the request by its head, if it does.
    refused: Vec<Option<Rejection>>,
}

impl Senders {
    /// No senders: no request is proven.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sender behind the others. `handler` handles the events that `receiver` proves, as
    /// [`Proven::handle`](crate::receive::Proven::handle) describes.
    pub fn with_handler<T, I, F, R>(mut self, receiver: impl Into<Arc<Receiver<I>>>, handler: F) -> Self
    where
        T: EventData + Send + 'static,
        I: Inbox + 'static,
        F: Fn(Result<Envelope<T>, Box<DataError>>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        self.all.push(Box::new(Handled::new(receiver.into(), handler)));
        self
    }

    /// Adds a sender behind the others, whose requests are
    /// [stored first](crate::receive::Proven::store_first) for a worker.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use hookwire::receive::{PathGuard, Receiver, Senders};
    /// use hookwire::{allison, Contract, DataError, Envelope, MemoryStore, Secret};
    ///
    /// # let handler = async |event: Result<Envelope<allison::Event>, Box<DataError>>| Ok(event.map(drop)?);
    /// # let token: Secret = "Zk3v9QpX7rT2mB8wLc5nH1yD".parse()?;
    /// let store = Arc::new(MemoryStore::new());
    /// // This sender retries for seven seconds, so an event that is not stored is soon lost.
    /// let desk = Receiver::guarded(Contract::nectar_desk(), PathGuard::new(&token)?).with_intake(store);
    /// let allisons = Receiver::signed(Contract::allison(), &Secret::generate())?;
    /// let senders = Senders::new().with_handler(allisons, handler).with_store_first(desk);
    /// # let _ = senders;
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn with_store_first<I: Intake + 'static>(mut self, receiver: impl Into<Arc<Receiver<I>>>) -> Self {
        self.all.push(Box::new(Stored::new(receiver.into())));
        self
    }

    /// Sets how many requests to all senders, and how much of their bodies, are taken at once, and how many
    /// requests per second. Each receiver also limits its requests, but not the bytes of their bodies.
    pub fn with_admission(mut self, admission: Admission) -> Self {
        self.admission = admission;
        self
    }

    /// Sets the observer that is called with each request that [`refuse`](Self::refuse) refuses, for your own
    /// log. The observers of single receivers are not called.
    pub fn with_rejection_observer(mut self, observer: impl Fn(&Rejection) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Admits a request that arrived at `now`, by its head alone, if at least one sender admits it.
    ///
    /// # Errors
    ///
    /// [`Rejection`], for your own log; [`refuse`](Self::refuse) makes an answer of it.
    pub fn admit<'s, 'a>(
        &'s self,
        arrival: Arrival<'a>,
        now: OffsetDateTime,
    ) -> Result<SendersAdmitted<'s, 'a>, Rejection> {
        let permit = Permit::take(self, now)?;
        if !self.all.is_empty() && self.all.iter().all(|sender| sender.is_retired()) {
            return Err(Rejection::Retired);
        }
        let refused: Vec<_> = self.all.iter().map(|sender| sender.judge(&arrival).err()).collect();
        let mut refused = refused;
        let challenge = |refusal: &Option<Rejection>| matches!(refusal, Some(Rejection::Challenge { .. }));
        if let Some(at) = refused.iter().position(challenge)
            && let Some(challenge) = refused.swap_remove(at)
        {
            return Err(challenge);
        }
        match refused.iter().any(Option::is_none) {
            true => Ok(SendersAdmitted { permit, arrival, refused }),
            false => Err(closest(refused.into_iter().flatten())),
        }
    }

    /// The answer to a request that was refused, with the [challenge](crate::receive::Guard::challenge) of
    /// the first guard that has one if it is a 401. Calls the [observer](Self::with_rejection_observer).
    ///
    /// The ready route calls it itself.
    pub fn refuse(&self, rejection: &Rejection) -> Answer {
        let challenge = || self.all.iter().find_map(|sender| sender.challenge());
        refuse(&SEVERAL, None, self.observer.as_deref(), rejection, challenge)
    }

    /// The greatest length of a body that any of the senders takes, in bytes, for a server of your own that
    /// reads bodies itself.
    pub fn max_body(&self) -> usize {
        self.all.iter().map(|sender| sender.max_body()).max().unwrap_or(0)
    }

    /// How long a body of any of the senders may take to arrive, for a server of your own that reads bodies
    /// itself.
    pub fn body_deadline(&self) -> Duration {
        self.all.iter().map(|sender| sender.body_deadline()).max().unwrap_or(Duration::ZERO)
    }

    /// How long a handler of any of the senders has its event before another copy of it may be handled.
    pub fn handling_lease(&self) -> Duration {
        self.all.iter().map(|sender| sender.handling_lease()).max().unwrap_or(Duration::ZERO)
    }
}

impl SendersAdmitted<'_, '_> {
    /// Accepts `bytes` more bytes of the body, as [`Admitted::accept`](crate::receive::Admitted::accept)
    /// does. The bytes count towards the senders' common [admission](Senders::with_admission).
    ///
    /// # Errors
    ///
    /// [`Rejection::TooLarge`] if the body is longer than any of the senders takes, [`Rejection::Busy`] if
    /// the bodies of all requests together are.
    pub fn accept(&mut self, bytes: usize) -> Result<(), Rejection> {
        self.permit.accept(bytes, self.permit.of().max_body())
    }

    /// Proves and handles the request, whose body arrived at `now`, by the first sender that proves it, and
    /// makes the answer.
    ///
    /// # Errors
    ///
    /// [`Rejection`], for your own log; [`Senders::refuse`] makes an answer of it.
    pub async fn handle(self, body: &[u8], now: OffsetDateTime) -> Result<Answer, Rejection> {
        let mut rejections = Vec::new();
        for (sender, refused) in self.permit.of().all.iter().zip(self.refused) {
            let answered = match refused {
                Some(rejection) => Err(rejection),
                None => sender.handle(self.arrival, body, now).await,
            };
            match answered {
                Err(rejection) if may_be_anothers(&rejection) => rejections.push(rejection),
                answered => return answered,
            }
        }
        Err(closest(rejections.into_iter()))
    }
}

impl Admits for &Senders {
    fn admission(&self) -> &Admission {
        &self.admission
    }
}

impl fmt::Debug for Senders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Senders").field("len", &self.all.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for SendersAdmitted<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendersAdmitted").field("arrival", &self.arrival).finish_non_exhaustive()
    }
}

/// The rejection of the sender that sent the request most likely, and the first of several such.
fn closest(rejections: impl Iterator<Item = Rejection>) -> Rejection {
    rejections.min_by_key(distance).unwrap_or(Rejection::UnknownTenant)
}

/// Whether a request that a receiver refuses may be another sender's.
fn may_be_anothers(rejection: &Rejection) -> bool {
    matches!(
        rejection,
        Rejection::Unverified(_)
            | Rejection::NotAdmitted { .. }
            | Rejection::UnknownTenant
            | Rejection::Method
            | Rejection::ContentType
            | Rejection::Retired
            | Rejection::TooLarge { .. }
            // The receiver did not find out whether the request is its sender's.
            | Rejection::GuardPanicked { .. }
            | Rejection::Busy { .. }
            | Rejection::Secrets(_)
    )
}

/// How unlikely a request is a sender's: a request with its signature header is more likely than one without.
fn distance(rejection: &Rejection) -> u8 {
    match rejection {
        // The request may be this sender's, and the sender can repeat it.
        Rejection::GuardPanicked { .. } | Rejection::Busy { .. } | Rejection::Secrets(_) => 0,
        // A retired receiver proved it, and no other one.
        Rejection::Retired => 1,
        Rejection::TooLarge { .. } => 2,
        Rejection::Unverified(VerifyError::MissingHeader { .. }) => 4,
        Rejection::Unverified(_) => 3,
        Rejection::UnknownTenant => 5,
        _ => 6,
    }
}

/// The label of requests that none of several senders proves.
static SEVERAL: LazyLock<Arc<str>> = LazyLock::new(|| "several".into());
