//! [`Receiver`]: how the requests of one sender are received.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::ACCEPT_ENCODING;

use crate::contract::Contract;
use crate::error::Error;
use crate::event::{DataError, EventId};
use crate::provider::{Keys, Provider, RequestVerifier};
use crate::receive::admission::Admission;
use crate::receive::answer::Answer;
use crate::receive::check::Check;
use crate::receive::decoder::Decoder;
use crate::receive::guard::Guard;
use crate::receive::lease::default_lease;
use crate::receive::no_inbox::NoInbox;
use crate::receive::provider_check::ProviderCheck;
use crate::receive::refusal::{RejectionObserver, refuse};
use crate::receive::rejection::Rejection;
use crate::receive::secret_cache::SecretCache;
use crate::receive::secret_source::SecretSource;
use crate::receive::shelf::Shelf;
use crate::receive::signal::Signal;
use crate::receive::telemetry::{self, Numbers};
use crate::signature::{Secret, Verified, Verifier};
use crate::store::{Inbox, InboxKey, Intake};

/// Receives the requests of one sender: admits, proves, deduplicates and decodes them, in that order.
///
/// A request goes through these states, each of which is a type:
///
/// | type | the receiver has | next |
/// |---|---|---|
/// | [`Arrival`](crate::receive::Arrival) | nothing | [`admit`](Self::admit) |
/// | [`Admitted`](crate::receive::Admitted) | a place for it, and judged its head | [`prove`](crate::receive::Admitted::prove) |
/// | [`Proven`](crate::receive::Proven) | a proof of its body | [`receive`](crate::receive::Proven::receive), [`handle`](crate::receive::Proven::handle) or [`store_first`](crate::receive::Proven::store_first) |
/// | [`Receipt`](crate::receive::Receipt) | reserved its event in the inbox | [`commit`](crate::receive::Receipt::commit) or [`release`](crate::receive::Receipt::release) |
///
/// Feature `axum` has ready routes and extractors that do all of it.
///
/// ```
/// use hookwire::receive::{Arrival, Received, Receiver};
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
/// let admitted = receiver.admit(Arrival::post(&headers), now)?;
/// // Read the body now, which is not worth it for a request that is refused.
/// let proven = admitted.prove(&body, now).await?;
/// match proven.receive::<allison::Event>().await? {
///     Received::Event { envelope, receipt, .. } => {
///         println!("{} happened at {}", envelope.event_type(), envelope.created_at);
///         receipt.commit(now).await?;
///     }
///     _ => {} // handled before, or not to be handled: answer 200
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Receiver<I = NoInbox> {
    pub(super) contract: Contract,
    pub(super) check: Check,
    pub(super) guards: Vec<Arc<dyn Guard>>,
    pub(super) admission: Admission,
    pub(super) inbox: I,
    pub(super) key: Option<KeyOf>,
    pub(super) source: Arc<str>,
    /// The name in labels of numbers.
    pub(super) label: Arc<str>,
    pub(super) numbers: Numbers,
    /// Rings when a request was stored.
    pub(super) signal: Arc<Signal>,
    pub(super) lease: Duration,
    pub(super) max_body: usize,
    pub(super) max_events: usize,
    /// Content types beside the sender's whose bodies are read as JSON.
    pub(super) content_types: Vec<Box<str>>,
    /// Decodes bodies compressed by gzip.
    pub(super) decoder: Option<Decoder>,
    body_deadline: Duration,
    pub(super) is_retired: bool,
    observer: Option<RejectionObserver>,
    overrun: Option<OverrunObserver>,
    pub(super) shelf: Shelf,
}

/// Makes the id that identifies a request's event.
type KeyOf = Arc<dyn Fn(&Verified<'_>) -> Option<EventId> + Send + Sync>;

/// The application's log of events that were handled after their lease was lost.
type OverrunObserver = Arc<dyn Fn(&InboxKey) + Send + Sync>;

impl Receiver {
    /// A receiver of signed requests.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsigned`](crate::ErrorKind::Unsigned) if the contract does not sign,
    /// [`ErrorKind::Secret`](crate::ErrorKind::Secret) for a secret of the wrong form.
    pub fn signed(contract: Contract, secret: &Secret) -> Result<Self, Error> {
        let verifier = contract.verifier(secret)?;
        Ok(Self::new(contract, Check::Signature(Box::new(verifier))))
    }

    /// A receiver of requests that a verifier of your own proves, for example one with several secrets.
    pub fn verified(contract: Contract, verifier: Verifier) -> Self {
        Self::new(contract, Check::Signature(Box::new(verifier)))
    }

    /// A receiver of signed requests to many tenants. `source` looks up their secrets by the name that
    /// [`Arrival::with_tenant`](crate::receive::Arrival::with_tenant) sets. In the inbox, each tenant is a
    /// source of its own.
    ///
    /// The receiver caches the secrets for a minute, of at most 10,000 tenants.
    /// [`by_tenant_cached`](Self::by_tenant_cached) changes that, and
    /// [`forget_secrets`](Self::forget_secrets) ends it when a secret is rotated. Requests that arrive while
    /// `source` is asked about their tenant share the answer. An unknown tenant is not cached, so each of its
    /// requests asks `source`. [`with_admission`](Self::with_admission) limits how many.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsigned`](crate::ErrorKind::Unsigned) if the contract does not sign.
    pub fn by_tenant(contract: Contract, source: impl SecretSource + 'static) -> Result<Self, Error> {
        Self::by_tenant_cached(contract, source, SECRETS_AGE, SECRETS_CACHED)
    }

    /// A receiver [by tenant](Self::by_tenant) that caches the answers of `source` for `age`, of at most
    /// `most` tenants. If either is zero, every request asks `source`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsigned`](crate::ErrorKind::Unsigned) if the contract does not sign.
    pub fn by_tenant_cached(
        contract: Contract,
        source: impl SecretSource + 'static,
        age: Duration,
        most: usize,
    ) -> Result<Self, Error> {
        let nobody = contract.verifier(&Secret::generate())?;
        let secrets = Arc::new(SecretCache::new(source, age, most));
        Ok(Self::new(contract, Check::Tenants { secrets, nobody: Box::new(nobody) }))
    }

    /// A receiver of a provider's requests: proven by `keys` as the provider demands, its challenges
    /// answered, its events read from where it has them.
    ///
    /// `keys` are a secret, several, a public key, or a source of them, see [`Keys`]. If the provider signs
    /// its URL, set it [with `with_url`](Self::with_url).
    ///
    /// Events arrive as under any contract. `T` is a [`RawEvent`](crate::RawEvent), or a catalogue of your
    /// own with the provider's types. A request with several events is handled event by event, and answered
    /// as a whole.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Secret`](crate::ErrorKind::Secret) if a key does not have the form that the provider
    /// demands, if none is given, or if the crate lacks the feature for it.
    ///
    /// ```
    /// use hookwire::Secret;
    /// use hookwire::provider::Provider;
    /// use hookwire::receive::Receiver;
    ///
    /// let secret: Secret = "whsec_test".parse()?;
    /// let provider: &'static Provider = Provider::by_name("stripe").unwrap();
    /// let receiver = Receiver::of(provider, &secret)?;
    /// assert_eq!(receiver.contract().name(), "stripe");
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn of(provider: &'static Provider, keys: impl Into<Keys>) -> Result<Self, Error> {
        let check = ProviderCheck::new(RequestVerifier::new(provider, keys)?);
        Ok(Self::new(provider.contract(), Check::Provider(Box::new(check))))
    }

    /// A receiver of a provider's requests to many tenants, whose secrets `source` looks up, as
    /// [`by_tenant`](Self::by_tenant) describes.
    ///
    /// Challenges that need a secret are not answered, because their tenant's is not known before.
    pub fn of_tenants(provider: &'static Provider, source: impl SecretSource + 'static) -> Self {
        let secrets = Arc::new(SecretCache::new(source, SECRETS_AGE, SECRETS_CACHED));
        let check = ProviderCheck::of_tenants(provider, secrets);
        Self::new(provider.contract(), Check::Provider(Box::new(check)))
    }

    /// A receiver of requests that a guard admits, for senders that sign nothing.
    pub fn guarded(contract: Contract, guard: impl Guard + 'static) -> Self {
        Self::new(contract, Check::Unsigned).with_guard(guard)
    }

    /// A receiver that takes any request from anybody. Whoever finds its URL can make events up.
    pub fn dangerous_unguarded(contract: Contract) -> Self {
        Self::new(contract, Check::Unsigned)
    }

    fn new(contract: Contract, check: Check) -> Self {
        let label: Arc<str> = contract.name().into();
        let numbers = Numbers::begin(&label);
        Self {
            lease: default_lease(&contract),
            contract,
            check,
            guards: Vec::new(),
            admission: Admission::new(),
            inbox: NoInbox,
            key: None,
            source: Arc::clone(&label),
            label,
            numbers,
            signal: Arc::default(),
            max_body: MAX_BODY,
            max_events: MAX_EVENTS,
            content_types: Vec::new(),
            decoder: None,
            body_deadline: BODY_DEADLINE,
            is_retired: false,
            observer: None,
            overrun: None,
            shelf: Shelf::default(),
        }
    }
}

impl<I> Receiver<I> {
    /// Sets the inbox that remembers which events were handled, so that a duplicate is not handled again.
    pub fn with_inbox<J: Inbox>(self, inbox: J) -> Receiver<J> {
        self.with(inbox)
    }

    /// Sets the intake in which requests are [stored first](crate::receive::Proven::store_first), for a
    /// worker to handle.
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
            label: self.label,
            numbers: self.numbers,
            signal: self.signal,
            lease: self.lease,
            max_body: self.max_body,
            max_events: self.max_events,
            content_types: self.content_types,
            decoder: self.decoder,
            body_deadline: self.body_deadline,
            is_retired: self.is_retired,
            observer: self.observer,
            overrun: self.overrun,
            shelf: self.shelf,
        }
    }

    /// Sets the URL that the provider was given, such as `https://hooks.example.com/square`, for providers
    /// that sign it. If it has no query, each request's own is added. A URL of the
    /// [`Arrival`](crate::receive::Arrival::with_url) counts before it.
    ///
    /// Behind a proxy, a server sees another URL than the provider. A receiver of a contract ignores it.
    pub fn with_url(mut self, url: impl Into<String>) -> Self {
        if let Check::Provider(check) = &mut self.check {
            check.url = Some(url.into().into_boxed_str());
        }
        self
    }

    /// Sets the observer that is called with a secret that a provider hands over in a challenge (Asana,
    /// Notion). Anybody can send such a request: take it only while you wait for one.
    pub fn with_secret_observer(mut self, observer: impl Fn(&Secret) + Send + Sync + 'static) -> Self {
        if let Check::Provider(check) = &mut self.check {
            check.observer = Some(Arc::new(observer));
        }
        self
    }

    /// Adds a guard. Every guard has to admit a request before its body is read and its signature verified.
    pub fn with_guard(mut self, guard: impl Guard + 'static) -> Self {
        self.guards.push(Arc::new(guard));
        self
    }

    /// Sets how many requests, and how much of their bodies, are taken at once, and how many requests per
    /// second. The default is [`Admission::new`].
    pub fn with_admission(mut self, admission: Admission) -> Self {
        self.admission = admission;
        self
    }

    /// Sets the function that makes an event's key of a proven request. The key is what tells events apart.
    ///
    /// By default, and if `key` returns `None`, the key is the id of the message if the proof covers one, or
    /// else the event's id, or the SHA-256 of the body if the platform sends no id. Such a body is a copy of
    /// an equal one within the contract's [`copy_window`](Contract::copy_window), and another event later. A
    /// key that `key` makes counts for the whole [`dedupe_window`](Contract::dedupe_window).
    ///
    /// ```
    /// use hookwire::receive::Receiver;
    /// use hookwire::{Contract, EventId};
    ///
    /// // The sender puts the number of a change into every copy.
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

    /// Sets the sender's name in the inbox. The default is the contract's name. Give each sender a name of
    /// its own if several senders of one contract share an inbox.
    pub fn with_source(mut self, source: impl Into<Arc<str>>) -> Self {
        self.source = source.into();
        self
    }

    /// Sets how long a handler has its event before another copy of it may be handled. The default is one
    /// minute, or three quarters of the time for which the contract's sender retries, if that is shorter:
    /// 5.25 s for Nectar Desk.
    ///
    /// Choose it longer than the slowest handler takes. Otherwise the sender's retry meets the handler that
    /// it timed out on, and the event is handled twice, which
    /// [`with_overrun_observer`](Self::with_overrun_observer) reports. Choose it shorter than the time for
    /// which the sender retries. Otherwise an event whose process died is refused until its sender gives it
    /// up.
    ///
    /// If you cannot have both, [store the request first](crate::receive::Proven::store_first). This is so
    /// for a slow handler of Nectar Desk's events, and for any event of [`Contract::allo_v1`], whose sender
    /// tries once.
    pub fn with_handling_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets the greatest length of a body, in bytes. The default is 1 MiB.
    pub fn with_max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Sets how many events a request may have. The default is 10,000. A request with more is answered 413.
    pub fn with_max_events(mut self, events: usize) -> Self {
        self.max_events = events;
        self
    }

    /// Adds a content type, such as `text/plain`, whose bodies are read as JSON, for a sender that announces
    /// its JSON as something else. Parameters such as `charset` do not matter.
    ///
    /// ```
    /// use hookwire::receive::Receiver;
    /// use hookwire::{Contract, Secret};
    ///
    /// let receiver = Receiver::signed(Contract::allison(), &Secret::generate())?;
    /// let receiver = receiver.with_content_type("text/plain");
    /// # let _ = receiver;
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn with_content_type(mut self, content_type: impl Into<Box<str>>) -> Self {
        self.content_types.push(content_type.into());
        self
    }

    /// Sets the observer that is called with each event that is shelved: data of a known type that does not
    /// fit it, whose error the handler passes on. Keep [`DataError::data`] for the day when your program is
    /// mended. By default nobody is called.
    ///
    /// A shelved event is answered as a handled one, because a repetition would not fit either, and a sender
    /// disables an endpoint that fails for too long. A worker gives such an event up at once, so that it
    /// stays in the intake. [`with_repetition_of_unfit_data`](Self::with_repetition_of_unfit_data) asks the
    /// sender to repeat such events instead.
    ///
    /// ```
    /// use hookwire::receive::Receiver;
    /// use hookwire::{Contract, Secret};
    ///
    /// let receiver = Receiver::signed(Contract::allison(), &Secret::generate())?
    ///     .with_shelf(|error| eprintln!("{error}: {}", error.data()));
    /// # let _ = receiver;
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn with_shelf(mut self, shelf: impl Fn(&DataError) + Send + Sync + 'static) -> Self {
        self.shelf = Shelf::Observed(Arc::new(shelf));
        self
    }

    /// Sets the receiver to answer 503 to events whose data does not fit their type, so that the sender
    /// repeats them until your program is mended or the sender gives up.
    pub fn with_repetition_of_unfit_data(mut self) -> Self {
        self.shelf = Shelf::Repeated;
        self
    }

    /// Sets how long a body may take to arrive. The default is 10 s. The ready routes and extractors enforce
    /// it.
    pub fn with_body_deadline(mut self, deadline: Duration) -> Self {
        self.body_deadline = deadline;
        self
    }

    /// Sets the observer that is called with each request that [`refuse`](Self::refuse) refuses, for your own
    /// log. The ready routes and extractors call `refuse` before they answer.
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

    /// Sets the observer that is called with each event whose handler ended too late: its
    /// [lease](Self::with_handling_lease) had ended, and somebody else had been given the event, so it may be
    /// handled twice. The sender is answered 200 all the same, and the other handler decides what the inbox
    /// remembers.
    ///
    /// [`handle`](crate::receive::Proven::handle) and the ready routes call it. If you commit a
    /// [`Receipt`](crate::receive::Receipt) yourself, look at what its `commit` returns.
    ///
    /// ```
    /// use hookwire::receive::Receiver;
    /// use hookwire::{Contract, Secret};
    ///
    /// let receiver = Receiver::signed(Contract::allison(), &Secret::generate())?
    ///     .with_overrun_observer(|key| eprintln!("event {} took longer than its lease", key.id));
    /// # let _ = receiver;
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn with_overrun_observer(mut self, observer: impl Fn(&InboxKey) + Send + Sync + 'static) -> Self {
        self.overrun = Some(Arc::new(observer));
        self
    }

    /// Sets the receiver to answer everything with 410. Senders that heed it (Standard Webhooks) end the
    /// subscription.
    ///
    /// Among several [`Senders`](crate::receive::Senders), the receiver answers 410 to the requests that it
    /// proves.
    pub fn with_retirement(mut self) -> Self {
        self.is_retired = true;
        self
    }

    /// The answer to a request that was refused, with the [challenge](Guard::challenge) of the receiver's
    /// guards if it is a 401. Calls the [observer](Self::with_rejection_observer).
    ///
    /// The ready routes and extractors call it themselves.
    pub fn refuse(&self, rejection: &Rejection) -> Answer {
        let provider = self.provider();
        let answer = refuse(&self.label, provider, self.observer.as_deref(), rejection, || self.challenge());
        match rejection {
            Rejection::ContentEncoding if self.decoder.is_some() => {
                answer.with_header(ACCEPT_ENCODING, HeaderValue::from_static("gzip, identity"))
            }
            _ => answer,
        }
    }

    /// Forgets the secrets of `tenant`, so that its next request looks them up. Call it when they were
    /// rotated.
    pub fn forget_secrets(&self, tenant: &str) {
        match &self.check {
            Check::Tenants { secrets, .. } => secrets.forget(tenant),
            Check::Provider(check) => check.forget(tenant),
            Check::Signature(_) | Check::Unsigned => {}
        }
    }

    /// The provider whose requests are received, if the receiver is [of one](Receiver::of).
    pub fn provider(&self) -> Option<&'static Provider> {
        self.check.provider().map(ProviderCheck::provider)
    }

    /// The contract whose requests are received.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// The inbox that remembers which events were handled.
    pub fn inbox(&self) -> &I {
        &self.inbox
    }

    /// The greatest length of a body in bytes, for a server of your own that reads bodies itself.
    pub fn max_body(&self) -> usize {
        self.max_body
    }

    /// How long a body may take to arrive, for a server of your own that reads bodies itself.
    pub fn body_deadline(&self) -> Duration {
        self.body_deadline
    }

    /// How long a handler has its event before another copy of it may be handled.
    pub fn handling_lease(&self) -> Duration {
        self.lease
    }

    /// The challenge of the first guard that has one.
    pub(super) fn challenge(&self) -> Option<&'static str> {
        // A guard is the application's own, so its panic costs its challenge and nothing else.
        let challenge = |guard: &Arc<dyn Guard>| catch_unwind(AssertUnwindSafe(|| guard.challenge()));
        self.guards.iter().find_map(|guard| challenge(guard).ok().flatten())
    }

    /// Calls the observer of events that were handled too late.
    pub(super) fn report_overrun(&self, key: &InboxKey) {
        telemetry::overran(&self.label, key);
        if let Some(observer) = &self.overrun {
            // The observer is the application's own, so its panic ends this call and nothing else.
            drop(catch_unwind(AssertUnwindSafe(|| observer(key))));
        }
    }
}

impl<I: Intake> Receiver<I> {
    /// The intake in which requests are stored.
    pub fn intake(&self) -> &I {
        &self.inbox
    }
}

impl<I> fmt::Debug for Receiver<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("source", &self.source).finish_non_exhaustive()
    }
}

const MAX_BODY: usize = 1024 * 1024;
const MAX_EVENTS: usize = 10_000;
const BODY_DEADLINE: Duration = Duration::from_secs(10);
const SECRETS_AGE: Duration = Duration::from_secs(60);
const SECRETS_CACHED: usize = 10_000;
