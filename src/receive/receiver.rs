//! [`Receiver`]: verify, dedupe, decode.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use time::OffsetDateTime;

use crate::contract::Contract;
use crate::error::Error;
use crate::event::{DataError, DecodeError, Envelope, EventData, EventId};
use crate::receive::admission::{Admission, Permit};
use crate::receive::answer::Answer;
use crate::receive::bell::Bell;
use crate::receive::guard::{Arrival, Guard};
use crate::receive::lease::default_lease;
use crate::receive::no_inbox::NoInbox;
use crate::receive::receipt::{Held, Receipt, Received};
use crate::receive::rejection::{Rejection, RejectionObserver, refuse};
use crate::receive::secrets::{CachedSecrets, ErasedSecrets, SecretSource};
use crate::signature::{Proof, Secret, Verified, Verifier};
use crate::store::{Inbox, InboxKey, Intake, Reservation};

/// Verifies, dedupes and decodes what arrives, in that order.
///
/// ```
/// use hookwire::receive::{Received, Receiver};
/// use hookwire::{allison, Contract, Envelope, Secret};
/// use time::OffsetDateTime;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let contract = Contract::allison();
/// let secret = Secret::generate();
/// let receiver = Receiver::signed(contract.clone(), &secret)?;
/// # let now = OffsetDateTime::now_utc();
/// # let sent = Envelope::new(allison::CallEnded::new("c1"));
/// # let body = contract.encode(&sent)?;
/// # let headers = contract.signer(&secret)?.sign(sent.id.as_str(), now, &body)?;
/// match receiver.receive::<allison::Event>(&headers, &body, now).await {
///     Ok(Received::Event { envelope, receipt, .. }) => {
///         println!("{} happened at {}", envelope.event_type(), envelope.created_at);
///         receipt.commit(now).await?;
///     }
///     Ok(_) => {} // handled before, or not to be handled: answer 200
///     Err(rejection) => println!("answer {}", rejection.status()),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Receiver<I = NoInbox> {
    contract: Contract,
    check: Check,
    guards: Vec<Arc<dyn Guard>>,
    admission: Admission,
    pub(super) inbox: I,
    key: Option<KeyOf>,
    pub(super) source: Arc<str>,
    /// Rings when a request was kept.
    pub(super) bell: Arc<Bell>,
    lease: Duration,
    max_body: usize,
    body_deadline: Duration,
    is_retired: bool,
    observer: Option<RejectionObserver>,
    overrun: Option<OverrunObserver>,
}

enum Check {
    Signature(Box<Verifier>),
    Tenants {
        secrets: Arc<dyn ErasedSecrets>,
        /// Matches nothing: a tenant that is not known is answered as slowly as a wrong signature.
        nobody: Box<Verifier>,
    },
    Nothing,
}

/// An event, or what of its data did not fit.
pub(super) type Read<T> = Result<Envelope<T>, Box<DataError>>;

/// Is told of what was handled after its lease was lost.
type OverrunObserver = Arc<dyn Fn(&InboxKey) + Send + Sync>;

/// Says what tells one event from another.
type KeyOf = Arc<dyn Fn(&Verified<'_>) -> Option<EventId> + Send + Sync>;

impl Receiver {
    /// A receiver of signed requests.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsigned`](crate::ErrorKind::Unsigned) when the contract does not sign,
    /// [`ErrorKind::Secret`](crate::ErrorKind::Secret) for a secret of the wrong form.
    pub fn signed(contract: Contract, secret: &Secret) -> Result<Self, Error> {
        let verifier = contract.verifier(secret)?;
        Ok(Self::new(contract, Check::Signature(Box::new(verifier))))
    }

    /// A receiver of requests that a verifier of your own making proves, such as one with several secrets.
    pub fn verified(contract: Contract, verifier: Verifier) -> Self {
        Self::new(contract, Check::Signature(Box::new(verifier)))
    }

    /// A receiver of signed requests to many tenants, whose secrets `source` looks up by the name that
    /// [`Arrival::with_tenant`] gives. In the inbox each tenant is a source of its own.
    ///
    /// What it answered is believed for a minute, of at most 10,000 tenants; [`by_tenant_kept`](Self::by_tenant_kept)
    /// changes that, [`forget_secrets`](Self::forget_secrets) ends it when a secret is rotated.
    /// About a tenant that it does not know, `source` is asked for each request: [`with_admission`](Self::with_admission) caps that.
    /// Requests that come for one tenant while `source` is being asked about it share the answer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsigned`](crate::ErrorKind::Unsigned) when the contract does not sign.
    pub fn by_tenant(contract: Contract, source: impl SecretSource + 'static) -> Result<Self, Error> {
        Self::by_tenant_kept(contract, source, SECRETS_AGE, SECRETS_KEPT)
    }

    /// [`by_tenant`](Self::by_tenant), believing what `source` answered for `age`, of at most `most` tenants. Zero of either asks
    /// for every request.
    ///
    /// # Errors
    ///
    /// As [`by_tenant`](Self::by_tenant).
    pub fn by_tenant_kept(
        contract: Contract,
        source: impl SecretSource + 'static,
        age: Duration,
        most: usize,
    ) -> Result<Self, Error> {
        let nobody = contract.verifier(&Secret::generate())?;
        let secrets = Arc::new(CachedSecrets::new(source, age, most));
        Ok(Self::new(contract, Check::Tenants { secrets, nobody: Box::new(nobody) }))
    }

    /// A receiver of requests that a guard admits, for senders that sign nothing.
    pub fn guarded(contract: Contract, guard: impl Guard + 'static) -> Self {
        Self::new(contract, Check::Nothing).with_guard(guard)
    }

    /// A receiver that takes anything from anybody. Whoever finds its URL can make events up.
    pub fn dangerous_unguarded(contract: Contract) -> Self {
        Self::new(contract, Check::Nothing)
    }

    fn new(contract: Contract, check: Check) -> Self {
        let source = contract.name().into();
        Self {
            lease: default_lease(&contract),
            contract,
            check,
            guards: Vec::new(),
            admission: Admission::new(),
            inbox: NoInbox,
            key: None,
            source,
            bell: Arc::default(),
            max_body: MAX_BODY,
            body_deadline: BODY_DEADLINE,
            is_retired: false,
            observer: None,
            overrun: None,
        }
    }
}

impl<I> Receiver<I> {
    /// The same receiver, remembering in `inbox` what was handled, so that a duplicate is not handled again.
    pub fn with_inbox<J: Inbox>(self, inbox: J) -> Receiver<J> {
        self.with(inbox)
    }

    /// The same receiver, which [keeps](Self::keep) its requests in `intake`, for a worker to handle.
    pub fn with_intake<J: Intake>(self, intake: J) -> Receiver<J> {
        self.with(intake)
    }

    fn with<J>(self, inbox: J) -> Receiver<J> {
        Receiver {
            contract: self.contract,
            check: self.check,
            guards: self.guards,
            admission: self.admission,
            inbox,
            key: self.key,
            source: self.source,
            bell: self.bell,
            lease: self.lease,
            max_body: self.max_body,
            body_deadline: self.body_deadline,
            is_retired: self.is_retired,
            observer: self.observer,
            overrun: self.overrun,
        }
    }

    /// The same receiver, with one more guard. All of them have to admit a request, before its body is read and its signature looked
    /// at.
    pub fn with_guard(mut self, guard: impl Guard + 'static) -> Self {
        self.guards.push(Arc::new(guard));
        self
    }

    /// The same receiver, looking at no more requests than `admission` admits.
    pub fn with_admission(mut self, admission: Admission) -> Self {
        self.admission = admission;
        self
    }

    /// The same receiver, telling events from each other by what `key` makes of a proven request. Where it makes nothing, and by
    /// default, that is the event's id, or the SHA-256 of the body where a platform sends none.
    ///
    /// ```
    /// use hookwire::receive::Receiver;
    /// use hookwire::{Contract, EventId};
    ///
    /// // The sender's own number of a change, which it puts into every copy.
    /// let receiver = Receiver::dangerous_unguarded(Contract::nectar_desk()).with_key(|verified| {
    ///     let body: serde_json::Value = serde_json::from_slice(verified.body()).ok()?;
    ///     body["data"]["change"].as_str()?.parse::<EventId>().ok()
    /// });
    /// # let _ = receiver;
    /// ```
    pub fn with_key(
        mut self,
        key: impl Fn(&Verified<'_>) -> Option<EventId> + Send + Sync + 'static,
    ) -> Self {
        self.key = Some(Arc::new(key));
        self
    }

    /// The same receiver, naming the sender `source` in its inbox: needed where several senders of one contract share an
    /// inbox. The default is the contract's name.
    pub fn with_source(mut self, source: impl Into<Arc<str>>) -> Self {
        self.source = source.into();
        self
    }

    /// The same receiver, giving a handler this long before another copy of the event may be handled. The default is one
    /// minute, or three quarters of the time for which the contract's sender tries where that is shorter: 5.25 s for Nectar Desk.
    ///
    /// Longer than the slowest handler, or the sender's retry meets the handler that it timed out on, and the event is handled twice
    /// ([`with_overrun_observer`](Self::with_overrun_observer) tells). Shorter than the time for which the sender tries, or an event
    /// whose process died is refused until its sender gives it up. Where both cannot be had, as for a slow handler of Nectar Desk's
    /// events or any of [`Contract::allo_v1`]'s, whose sender tries once, [`keep`](Receiver::keep) the requests instead.
    pub fn with_handling_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// The same receiver, taking bodies of up to this many bytes. The default is 1 MiB.
    pub fn with_max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// The same receiver, giving a body this long to arrive, where the receiver reads it. The default is 10 s.
    pub fn with_body_deadline(mut self, deadline: Duration) -> Self {
        self.body_deadline = deadline;
        self
    }

    /// The same receiver, telling `observer` of each request that a ready route refuses, before it is answered: for one's own log. The
    /// calls that return a [`Rejection`] leave that to their caller.
    ///
    /// ```
    /// use hookwire::receive::Receiver;
    /// use hookwire::{Contract, Secret};
    ///
    /// let receiver = Receiver::signed(Contract::allison(), &Secret::generate())?
    ///     .with_rejection_observer(|rejection| eprintln!("{}: {rejection}", rejection.status()));
    /// # let _ = receiver;
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn with_rejection_observer(mut self, observer: impl Fn(&Rejection) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// The same receiver, telling `observer` of each event whose handler was done after its
    /// [lease](Self::with_handling_lease) had ended and somebody else had been given the event: it may be handled twice. The sender
    /// is answered 200 all the same, and the other's word counts in the inbox.
    ///
    /// [`answer`](Self::answer) and the ready routes tell this. Whoever commits a [`Receipt`] is told by what that returns.
    ///
    /// ```
    /// use hookwire::receive::Receiver;
    /// use hookwire::{Contract, Secret};
    ///
    /// let receiver = Receiver::signed(Contract::allison(), &Secret::generate())?
    ///     .with_overrun_observer(|key| eprintln!("event {} of {} took longer than its lease", key.id, key.source));
    /// # let _ = receiver;
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn with_overrun_observer(mut self, observer: impl Fn(&InboxKey) + Send + Sync + 'static) -> Self {
        self.overrun = Some(Arc::new(observer));
        self
    }

    pub(super) fn overrun(&self) -> Option<&(dyn Fn(&InboxKey) + Send + Sync)> {
        self.overrun.as_deref()
    }

    /// What to answer to a request that was refused, with what this receiver's guards
    /// [challenge](Guard::challenge) by; and tells the [observer](Self::with_rejection_observer). The ready routes do it by
    /// themselves.
    pub fn refuse(&self, rejection: &Rejection) -> Answer {
        refuse(self.observer.as_deref(), rejection, self.challenge())
    }

    pub(super) fn challenge(&self) -> Option<&'static str> {
        // A guard is the application's own: its panic costs its challenge and nothing else.
        let challenge = |guard: &Arc<dyn Guard>| catch_unwind(AssertUnwindSafe(|| guard.challenge()));
        self.guards.iter().find_map(|guard| challenge(guard).ok().flatten())
    }

    /// The same receiver, answering everything with 410, which has senders that heed it (Standard Webhooks) end the subscription.
    /// Among several [`Senders`](crate::receive::Senders), everything that it proves.
    pub fn retired(mut self) -> Self {
        self.is_retired = true;
        self
    }

    /// Has the next request for `tenant` look its secrets up: call it when they were rotated.
    pub fn forget_secrets(&self, tenant: &str) {
        if let Check::Tenants { secrets, .. } = &self.check {
            secrets.forget_dyn(tenant);
        }
    }

    /// The contract whose requests are received.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Where it is remembered what was handled.
    pub fn inbox(&self) -> &I {
        &self.inbox
    }

    /// How long a body may be, in bytes: for whoever reads it.
    pub fn max_body(&self) -> usize {
        self.max_body
    }

    /// How long a body may take to arrive: for whoever reads it.
    pub fn body_deadline(&self) -> Duration {
        self.body_deadline
    }

    #[cfg_attr(not(feature = "axum"), allow(dead_code, reason = "an adapter's"))]
    pub(super) fn lease(&self) -> Duration {
        self.lease
    }

    /// The place of a request among those that are handled at once, taken before anything of it is read.
    pub(super) fn admit(&self, now: OffsetDateTime) -> Result<Permit, Rejection> {
        self.check_alive()?;
        self.look(now)
    }

    /// The place of a request that has to be looked at though the receiver may be retired.
    fn look(&self, now: OffsetDateTime) -> Result<Permit, Rejection> {
        self.admission.admit(now).map_err(|retry_after| Rejection::Busy { retry_after })
    }

    /// Among several senders a retired one answers what it proves and nothing else: whose request it is has to be found out first.
    pub(super) async fn check_alive_for(
        &self,
        arrival: &Arrival<'_>,
        body: &[u8],
        now: OffsetDateTime,
    ) -> Result<(), Rejection> {
        if self.is_retired {
            let _permit = self.look(now)?;
            // Whom anybody passes is sent what is wrong of the others too, whose subscriptions are not to end.
            if let Proof::Nothing = self.prove(arrival, body, now).await?.by() {
                return Err(Rejection::NotAdmitted { guard: "retired" });
            }
        }
        self.check_alive()
    }

    pub(super) fn is_retired(&self) -> bool {
        self.is_retired
    }

    pub(super) fn check_alive(&self) -> Result<(), Rejection> {
        if self.is_retired { Err(Rejection::Retired) } else { Ok(()) }
    }

    /// Judges a request by its head and by what is known of the body's length.
    pub(super) fn judge(&self, arrival: &Arrival<'_>, length: u64) -> Result<(), Rejection> {
        if length > self.max_body as u64 {
            return Err(Rejection::TooLarge { limit: self.max_body });
        }
        self.guards.iter().try_for_each(|guard| {
            // A guard is the application's own: its panic fails this request and nothing else.
            match catch_unwind(AssertUnwindSafe(|| guard.admits(arrival))) {
                Ok(true) => Ok(()),
                Ok(false) => Err(Rejection::NotAdmitted { guard: guard.name() }),
                Err(_panic) => Err(Rejection::GuardPanicked { guard: guard.name() }),
            }
        })
    }

    /// Whether there is what a proof needs besides the body: for whoever has not read that yet.
    pub(super) fn check_presence(&self, arrival: &Arrival<'_>) -> Result<(), Rejection> {
        match &self.check {
            Check::Signature(verifier) => Ok(verifier.check_presence(arrival.headers)?),
            Check::Tenants { .. } if arrival.tenant.is_none() => Err(Rejection::UnknownTenant),
            Check::Tenants { nobody, .. } => Ok(nobody.check_presence(arrival.headers)?),
            Check::Nothing => Ok(()),
        }
    }
}

impl<I: Inbox> Receiver<I> {
    /// Verifies a request that arrived at `now`, asks the inbox whether it was handled, and decodes it.
    ///
    /// # Errors
    ///
    /// [`Rejection`] knows its status code.
    pub fn receive<T: EventData>(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<Received<'_, T, I>, Rejection>> {
        // Not a future in a future: each would move the event once more.
        self.receive_admitted(None, Arrival::new(headers), body, now)
    }

    /// [`receive`](Self::receive) for guards that look at more than the headers.
    ///
    /// # Errors
    ///
    /// [`Rejection`] knows its status code.
    pub fn receive_arrival<T: EventData>(
        &self,
        arrival: &Arrival<'_>,
        body: &[u8],
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<Received<'_, T, I>, Rejection>> {
        self.receive_admitted(None, *arrival, body, now)
    }

    /// [`receive_arrival`](Self::receive_arrival) with a receipt that may outlive the borrow of its receiver, as for a task or a
    /// framework's extractor.
    ///
    /// # Errors
    ///
    /// [`Rejection`] knows its status code.
    pub async fn receive_shared<T: EventData>(
        self: &Arc<Self>,
        arrival: &Arrival<'_>,
        body: &[u8],
        now: OffsetDateTime,
    ) -> Result<Received<'static, T, I>, Rejection>
    where
        I: 'static,
    {
        let permit = self.admit(now)?;
        self.judge(arrival, body.len() as u64)?;
        self.receive_shared_admitted(permit, arrival, body, now).await
    }

    pub(super) async fn receive_shared_admitted<T: EventData>(
        self: &Arc<Self>,
        permit: Permit,
        arrival: &Arrival<'_>,
        body: &[u8],
        now: OffsetDateTime,
    ) -> Result<Received<'static, T, I>, Rejection>
    where
        I: 'static,
    {
        let held = |receipt: Receipt<'_, I>| receipt.held_with(Arc::clone(self));
        Ok(match self.receive_admitted(Some(permit), *arrival, body, now).await? {
            Received::Event { envelope, receipt } => Received::Event { envelope, receipt: held(receipt) },
            Received::Undecodable { error, receipt } => {
                Received::Undecodable { error, receipt: held(receipt) }
            }
            Received::Duplicate { id } => Received::Duplicate { id },
            Received::OtherType { event_type } => Received::OtherType { event_type },
        })
    }

    /// With a permit and judged by its head, or with both still to be had.
    pub(super) async fn receive_admitted<T: EventData>(
        &self,
        permit: Option<Permit>,
        arrival: Arrival<'_>,
        body: &[u8],
        now: OffsetDateTime,
    ) -> Result<Received<'_, T, I>, Rejection> {
        let permit = match permit {
            Some(permit) => permit,
            None => {
                let permit = self.admit(now)?;
                self.judge(&arrival, body.len() as u64)?;
                permit
            }
        };
        let verified = self.prove(&arrival, body, now).await?;
        let read = match self.read::<T>(&verified) {
            Ok(read) => read,
            Err(DecodeError::UnexpectedType { event_type }) => return Ok(Received::OtherType { event_type }),
            Err(error) => return Err(Rejection::Malformed(error)),
        };
        let key = self.key_of(&arrival, &verified, || id_of(&read, &verified))?;
        let lease = match self.inbox.reserve(&key, now, self.lease).await? {
            Reservation::New(lease) => lease,
            Reservation::InFlight => return Err(Rejection::InFlight),
            Reservation::Done => return Ok(Received::Duplicate { id: key.id }),
        };
        let keep = self.contract.dedupe_window();
        let receipt =
            Receipt { inbox: Held::By(&self.inbox), key, lease, keep, _permit: permit, dropped: None };
        Ok(match read {
            Ok(envelope) => Received::Event { envelope, receipt },
            Err(error) => Received::Undecodable { error, receipt },
        })
    }
}

impl<I> Receiver<I> {
    /// The event, as far as its data fits.
    pub(super) fn read<T: EventData>(&self, verified: &Verified<'_>) -> Result<Read<T>, DecodeError> {
        match self.contract.decode::<T>(verified) {
            Ok(envelope) => Ok(Ok(envelope)),
            Err(DecodeError::Data(error)) => Ok(Err(error)),
            Err(error) => Err(error),
        }
    }

    /// What tells a proven request from others; `id` makes its event's id.
    pub(super) fn key_of(
        &self,
        arrival: &Arrival<'_>,
        verified: &Verified<'_>,
        id: impl FnOnce() -> EventId,
    ) -> Result<InboxKey, Rejection> {
        let own = match &self.key {
            // The application's own, as a guard is.
            Some(key) => {
                catch_unwind(AssertUnwindSafe(|| key(verified))).map_err(|_| Rejection::KeyPanicked)?
            }
            None => None,
        };
        Ok(InboxKey::new(self.source_of(arrival), own.unwrap_or_else(id)))
    }

    fn source_of(&self, arrival: &Arrival<'_>) -> Arc<str> {
        match (&self.check, arrival.tenant) {
            (Check::Tenants { .. }, Some(tenant)) => format!("{}/{tenant}", self.source).into(),
            _ => Arc::clone(&self.source),
        }
    }

    /// Proves what was judged by its head.
    pub(super) async fn prove<'r>(
        &self,
        arrival: &Arrival<'r>,
        body: &'r [u8],
        now: OffsetDateTime,
    ) -> Result<Verified<'r>, Rejection> {
        if body.len() > self.max_body {
            return Err(Rejection::TooLarge { limit: self.max_body });
        }
        match &self.check {
            Check::Signature(verifier) => Ok(verifier.verify_at(arrival.headers, body, now)?),
            Check::Tenants { secrets, nobody } => {
                let tenant = arrival.tenant.ok_or(Rejection::UnknownTenant)?;
                let secrets = secrets.secrets_dyn(tenant, now).await.map_err(Rejection::Secrets)?;
                match self.verifier_of(&secrets)? {
                    Some(verifier) => Ok(verifier.verify_at(arrival.headers, body, now)?),
                    None => {
                        nobody.verify_at(arrival.headers, body, now)?;
                        Err(Rejection::UnknownTenant)
                    }
                }
            }
            Check::Nothing => Ok(match self.guards.first() {
                Some(guard) => Verified::guarded_at(guard.name(), arrival.headers, body, now),
                None => Verified::dangerous_unsigned_at(arrival.headers, body, now),
            }),
        }
    }

    fn verifier_of(&self, secrets: &[Secret]) -> Result<Option<Verifier>, Rejection> {
        let verifier = self.verifier_of_all(secrets).or_else(|error| {
            // One that is malformed proves nothing, and is no reason to refuse what another proves.
            let is_good = |secret: &&Secret| self.contract.verifier(secret).is_ok();
            let good: Vec<_> = secrets.iter().filter(is_good).cloned().collect();
            if good.is_empty() { Err(error) } else { self.verifier_of_all(&good) }
        });
        verifier.map_err(|error| Rejection::Secrets(error.into()))
    }

    fn verifier_of_all(&self, secrets: &[Secret]) -> Result<Option<Verifier>, Error> {
        let [first, others @ ..] = secrets else { return Ok(None) };
        let verifier = self.contract.verifier(first)?;
        others.iter().try_fold(verifier, |verifier, secret| verifier.with_secret(secret)).map(Some)
    }
}

/// The id of an event, where its platform sends none the digest of its body.
pub(super) fn id_of<T>(read: &Read<T>, verified: &Verified<'_>) -> EventId {
    match read {
        Ok(envelope) => envelope.id.clone(),
        Err(error) => error.id().cloned().unwrap_or_else(|| EventId::of_body(verified.body())),
    }
}

impl<I> fmt::Debug for Receiver<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("source", &self.source).finish_non_exhaustive()
    }
}

const MAX_BODY: usize = 1024 * 1024;
const BODY_DEADLINE: Duration = Duration::from_secs(10);
const SECRETS_AGE: Duration = Duration::from_secs(60);
const SECRETS_KEPT: usize = 10_000;
