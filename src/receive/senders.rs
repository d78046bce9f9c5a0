//! [`Senders`]: several senders that share one path.

use std::error::Error as StdError;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use time::OffsetDateTime;

use crate::event::{DataError, Envelope, EventData};
use crate::receive::admission::{Admission, Permit};
use crate::receive::answer::{Answer, acceptable};
use crate::receive::guard::Arrival;
use crate::receive::receiver::Receiver;
use crate::receive::rejection::{Rejection, RejectionObserver, refuse};
use crate::signature::VerifyError;
use crate::store::{Inbox, Intake};

type Failure = Box<dyn StdError + Send + Sync>;
type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Several senders that share one path, each with a receiver and a handler of its own.
///
/// A request belongs to the first receiver that proves it, in the order in which they were added: by its signature, or by its guards
/// where the contract signs nothing. So a receiver that anybody passes comes last. A request that none proves is answered as the one
/// whose signature header it carries has it, and nothing of it is remembered; while one of them is busy or cannot look its secrets
/// up, it is asked to come again. What only a [retired](Receiver::retired) one proves is answered 410, which ends that sender's
/// subscription and no other's; everything is, where all are retired.
///
/// What a receiver's guards and the headers of its scheme refuse is no longer offered to it when the body has come, and costs nothing
/// of what it [admits](Receiver::with_admission).
///
/// ```
/// use hookwire::receive::{Arrival, Receiver, Senders};
/// use hookwire::{allison, allo, Contract, DataError, Envelope, Secret};
/// use http::Method;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// # let (allisons, allos) = (Secret::generate(), Secret::generate());
/// let senders = Senders::new()
///     .with(
///         Receiver::signed(Contract::allison(), &allisons)?,
///         async |event: Result<Envelope<allison::Event>, Box<DataError>>| {
///             println!("Allison: {}", event?.event_type());
///             Ok(())
///         },
///     )
///     .with(
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
/// let answer = senders.answer(&Method::POST, &Arrival::new(&headers), &body, now).await;
/// assert_eq!(answer.expect("it is genuine").status, 200);
/// # Ok::<(), hookwire::Error>(())
/// # }).unwrap();
/// ```
#[derive(Default)]
pub struct Senders {
    all: Vec<Box<dyn Sender>>,
    observer: Option<RejectionObserver>,
    admission: Admission,
}

impl Senders {
    /// No senders: nothing is proven.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same senders, and behind them those whom `receiver` proves, whose events `handler` handles as
    /// [`Receiver::answer`] has it.
    pub fn with<T, I, F, R>(mut self, receiver: impl Into<Arc<Receiver<I>>>, handler: F) -> Self
    where
        T: EventData + Send + 'static,
        I: Inbox + 'static,
        F: Fn(Result<Envelope<T>, Box<DataError>>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let handle =
            move |event: Result<Envelope<T>, Box<DataError>>| -> Boxed<'static, Result<(), Failure>> {
                Box::pin(handler(event))
            };
        self.all.push(Box::new(Handled { receiver: receiver.into(), handle, event: PhantomData }));
        self
    }

    /// The same senders, and behind them those whom `receiver` proves, whose requests it [keeps](Receiver::keep) for a worker.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use hookwire::receive::{PathGuard, Receiver, Senders};
    /// use hookwire::{allison, Contract, DataError, Envelope, MemoryStore, Secret};
    ///
    /// # let handle = async |event: Result<Envelope<allison::Event>, Box<DataError>>| Ok(event.map(drop)?);
    /// # let token: Secret = "Zk3v9QpX7rT2mB8wLc5nH1yD".parse()?;
    /// let store = Arc::new(MemoryStore::new());
    /// // Whose sender tries for seven seconds: what is not written down is soon lost.
    /// let desk = Receiver::guarded(Contract::nectar_desk(), PathGuard::new(&token)?).with_intake(store);
    /// let allisons = Receiver::signed(Contract::allison(), &Secret::generate())?;
    /// let senders = Senders::new().with(allisons, handle).with_kept(desk);
    /// # let _ = senders;
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn with_kept<I: Intake + 'static>(mut self, receiver: impl Into<Arc<Receiver<I>>>) -> Self {
        self.all.push(Box::new(KeptFor { receiver: receiver.into() }));
        self
    }

    /// The same senders, of whose requests no more are looked at than `admission` admits, on top of what each receiver admits.
    pub fn with_admission(mut self, admission: Admission) -> Self {
        self.admission = admission;
        self
    }

    /// The same senders, telling `observer` of each request that the route of them all refuses, before it is answered: for one's own log.
    /// Those of a single receiver's own are not told.
    pub fn with_rejection_observer(mut self, observer: impl Fn(&Rejection) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Receives a whole request, whoever sent it: [`Receiver::answer`] of the one that proves it.
    ///
    /// # Errors
    ///
    /// [`Rejection`], for one's own log; an [`Answer`] can be made of it.
    pub async fn answer(
        &self,
        method: &Method,
        arrival: &Arrival<'_>,
        body: &[u8],
        now: OffsetDateTime,
    ) -> Result<Answer, Rejection> {
        let permit = self.admit(now)?;
        acceptable(method, arrival.headers)?;
        let refused = self.judge(arrival, body.len() as u64)?;
        self.answer_admitted((permit, refused), arrival, body, now).await
    }

    /// What to answer to a request that was refused, with what the first guard that [challenges](crate::receive::Guard::challenge) does
    /// so by; and tells the [observer](Self::with_rejection_observer). The ready route does it by itself.
    pub fn refuse(&self, rejection: &Rejection) -> Answer {
        let challenge = self.all.iter().find_map(|sender| sender.challenge());
        refuse(self.observer.as_deref(), rejection, challenge)
    }

    pub(super) fn admit(&self, now: OffsetDateTime) -> Result<Permit, Rejection> {
        self.admission.admit(now).map_err(|retry_after| Rejection::Busy { retry_after })
    }

    /// Judges a request by its head and by what is known of the body's length: why each refuses it already, or why all do.
    pub(super) fn judge(&self, arrival: &Arrival<'_>, length: u64) -> Result<Refused, Rejection> {
        if !self.all.is_empty() && self.all.iter().all(|sender| sender.is_retired()) {
            return Err(Rejection::Retired);
        }
        let refused: Refused = self.all.iter().map(|sender| sender.judge(arrival, length).err()).collect();
        match refused.iter().any(Option::is_none) {
            true => Ok(refused),
            false => Err(closest(refused.into_iter().flatten())),
        }
    }

    pub(super) async fn answer_admitted(
        &self,
        (_permit, refused): (Permit, Refused),
        arrival: &Arrival<'_>,
        body: &[u8],
        now: OffsetDateTime,
    ) -> Result<Answer, Rejection> {
        let mut rejections = Vec::new();
        for (sender, refused) in self.all.iter().zip(refused) {
            let answered = match refused {
                Some(rejection) => Err(rejection),
                None => sender.answer_dyn(arrival, body, now).await,
            };
            match answered {
                Err(rejection) if is_anothers(&rejection) => rejections.push(rejection),
                answered => return answered,
            }
        }
        Err(closest(rejections.into_iter()))
    }

    /// How long a body may be that one of them takes: for whoever reads it.
    pub fn max_body(&self) -> usize {
        self.all.iter().map(|sender| sender.max_body()).max().unwrap_or(0)
    }

    /// How long a body may take to arrive that one of them takes: for whoever reads it.
    pub fn body_deadline(&self) -> Duration {
        self.all.iter().map(|sender| sender.body_deadline()).max().unwrap_or(Duration::ZERO)
    }

    #[cfg_attr(not(feature = "axum"), allow(dead_code, reason = "an adapter's"))]
    pub(super) fn lease(&self) -> Duration {
        self.all.iter().map(|sender| sender.lease()).max().unwrap_or(Duration::ZERO)
    }
}

impl fmt::Debug for Senders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Senders").field("len", &self.all.len()).finish_non_exhaustive()
    }
}

/// Of each sender, why it refuses a request that it knows by the head alone.
pub(super) type Refused = Vec<Option<Rejection>>;

/// The rejection of the one whose request it is most likely, and of those the first.
fn closest(rejections: impl Iterator<Item = Rejection>) -> Rejection {
    rejections.min_by_key(distance).unwrap_or(Rejection::UnknownTenant)
}

/// Whether a request that was refused so may be another sender's.
fn is_anothers(rejection: &Rejection) -> bool {
    matches!(
        rejection,
        Rejection::Unverified(_)
            | Rejection::NotAdmitted { .. }
            | Rejection::UnknownTenant
            | Rejection::Retired
            | Rejection::TooLarge { .. }
            // Whose it is was not found out.
            | Rejection::GuardPanicked { .. }
            | Rejection::Busy { .. }
            | Rejection::Secrets(_)
    )
}

/// How far a request is from being a sender's: one that carries its signature is closer than one that does not.
fn distance(rejection: &Rejection) -> u8 {
    match rejection {
        // It may be theirs, and they can be asked again.
        Rejection::GuardPanicked { .. } | Rejection::Busy { .. } | Rejection::Secrets(_) => 0,
        // It was proven to be of a retired one, and of no other.
        Rejection::Retired => 1,
        Rejection::TooLarge { .. } => 2,
        Rejection::Unverified(VerifyError::MissingHeader { .. }) => 4,
        Rejection::Unverified(_) => 3,
        Rejection::UnknownTenant => 5,
        _ => 6,
    }
}

/// A receiver and its handler without their types.
trait Sender: Send + Sync {
    fn judge(&self, arrival: &Arrival<'_>, length: u64) -> Result<(), Rejection>;
    /// Answers what was judged.
    fn answer_dyn<'a>(
        &'a self,
        arrival: &'a Arrival<'a>,
        body: &'a [u8],
        now: OffsetDateTime,
    ) -> Boxed<'a, Result<Answer, Rejection>>;
    fn max_body(&self) -> usize;
    fn body_deadline(&self) -> Duration;
    fn lease(&self) -> Duration;
    fn challenge(&self) -> Option<&'static str>;
    fn is_retired(&self) -> bool;
}

struct Handled<T, I, F> {
    receiver: Arc<Receiver<I>>,
    handle: F,
    event: PhantomData<fn() -> T>,
}

impl<T, I, F> Sender for Handled<T, I, F>
where
    T: EventData + Send + 'static,
    I: Inbox + 'static,
    F: Fn(Result<Envelope<T>, Box<DataError>>) -> Boxed<'static, Result<(), Failure>> + Send + Sync,
{
    fn judge(&self, arrival: &Arrival<'_>, length: u64) -> Result<(), Rejection> {
        self.receiver.judge(arrival, length)?;
        self.receiver.check_presence(arrival)
    }

    fn answer_dyn<'a>(
        &'a self,
        arrival: &'a Arrival<'a>,
        body: &'a [u8],
        now: OffsetDateTime,
    ) -> Boxed<'a, Result<Answer, Rejection>> {
        Box::pin(async move {
            self.receiver.check_alive_for(arrival, body, now).await?;
            let permit = self.receiver.admit(now)?;
            self.receiver.answer_admitted(permit, arrival, body, now, &self.handle).await
        })
    }

    fn max_body(&self) -> usize {
        self.receiver.max_body()
    }

    fn body_deadline(&self) -> Duration {
        self.receiver.body_deadline()
    }

    fn lease(&self) -> Duration {
        self.receiver.lease()
    }

    fn challenge(&self) -> Option<&'static str> {
        self.receiver.challenge()
    }

    fn is_retired(&self) -> bool {
        self.receiver.is_retired()
    }
}

struct KeptFor<I> {
    receiver: Arc<Receiver<I>>,
}

impl<I: Intake + 'static> Sender for KeptFor<I> {
    fn judge(&self, arrival: &Arrival<'_>, length: u64) -> Result<(), Rejection> {
        self.receiver.judge(arrival, length)?;
        self.receiver.check_presence(arrival)
    }

    fn answer_dyn<'a>(
        &'a self,
        arrival: &'a Arrival<'a>,
        body: &'a [u8],
        now: OffsetDateTime,
    ) -> Boxed<'a, Result<Answer, Rejection>> {
        Box::pin(async move {
            self.receiver.check_alive_for(arrival, body, now).await?;
            let permit = self.receiver.admit(now)?;
            Ok(self.receiver.keep_admitted(permit, arrival, body, now).await?.into())
        })
    }

    fn max_body(&self) -> usize {
        self.receiver.max_body()
    }

    fn body_deadline(&self) -> Duration {
        self.receiver.body_deadline()
    }

    fn lease(&self) -> Duration {
        self.receiver.lease()
    }

    fn challenge(&self) -> Option<&'static str> {
        self.receiver.challenge()
    }

    fn is_retired(&self) -> bool {
        self.receiver.is_retired()
    }
}
