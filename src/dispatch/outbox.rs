//! [`Outbox`]: writes an event and its deliveries to the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::bounds::Excess;
use crate::clock::{Clock, SystemClock};
use crate::contract::{Contract, VersionError, Versions};
use crate::dispatch::Wake;
use crate::dispatch::batch::Batch;
use crate::dispatch::clock::SharedClock;
use crate::dispatch::routes::{Route, RouteCache, Routes};
use crate::dispatch::scheduling::Known;
use crate::dispatch::telemetry;
use crate::error::Error;
use crate::event::{DataError, DataOf, Envelope, EventData, EventId, EventType, RawEvent, TraceParent};
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::{
    InsertOutcome, Inserted, NewDelivery, NewEvent, NewPayload, Store, StoreError, StoreErrorKind,
    Subscribed, TransactionalStore,
};
use crate::subscription::Candidate;

/// Writes an event and its deliveries to the store: one delivery for each subscription of the organization
/// that speaks the outbox's contract and asks for the event.
///
/// The envelope is encoded once, and once more for each older version that the organization uses
/// ([`Versions`]); those bytes are stored, signed and sent. In a [`TransactionalStore`] the
/// event can join the caller's transaction with [`emit_in`](Self::emit_in), so that the event and the
/// business row are committed together or not at all.
#[derive(Clone, Debug)]
pub struct Outbox<S> {
    store: S,
    versions: Versions,
    wake: Wake,
    clock: SharedClock,
    while_disabled: WhileDisabled,
    routes: RouteCache,
    max_payload: usize,
    traces: TraceSource,
}

impl<S: Store> Outbox<S> {
    /// Makes an outbox that writes envelopes in the format of `contract`, for the subscriptions that speak
    /// it.
    pub fn new(store: S, contract: Contract) -> Self {
        Self::of(store, Versions::new(contract))
    }

    /// Makes an outbox that writes envelopes in the newest of these versions, and also in the older ones
    /// that subscriptions of the event's organization speak, disabled ones among them.
    ///
    /// Each subscription gets the event in its own version, and its conditions are judged on those bytes. A
    /// version that is not among these gets the newest.
    pub fn of(store: S, versions: Versions) -> Self {
        Self {
            store,
            versions,
            wake: Wake::new(),
            clock: SharedClock::new(SystemClock),
            while_disabled: WhileDisabled::Keep,
            routes: RouteCache::default(),
            max_payload: DEFAULT_MAX_PAYLOAD,
            traces: TraceSource::default(),
        }
    }

    /// Sets the wake of the dispatcher that is told of new deliveries.
    ///
    /// While a dispatcher of this process runs that has the same wake and delivers from the same store, the
    /// outbox also hands deliveries over to it: the insert leases them, and they are sent after its commit
    /// without a claim. This needs a free slot of the dispatcher and an endpoint that answered last. Every
    /// other delivery is inserted due and claimed, such as one with an ordering key or in the caller's
    /// transaction.
    pub fn with_wake(mut self, wake: &Wake) -> Self {
        self.wake = wake.clone();
        self
    }

    /// Sets the clock. Deliveries are due from its time on.
    pub fn with_clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = SharedClock::new(clock);
        self
    }

    /// Sets whether events for disabled endpoints are kept or dropped. The default keeps them.
    pub fn with_disabled(mut self, while_disabled: WhileDisabled) -> Self {
        self.while_disabled = while_disabled;
        self
    }

    /// Sets the length in bytes above which an encoded envelope is refused. The default is 1 MiB: few
    /// receivers accept more, and every attempt holds a payload in memory.
    pub fn with_max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// Sets the function that tells the place in a trace of the code that emits, such as the current span of
    /// `tracing-opentelemetry`. It is called at each emit whose [`Routing`] has none
    /// ([`Routing::with_trace`]).
    ///
    /// The place is stored with the event, and each attempt is sent with a `traceparent` header as its child.
    /// By default events have no trace.
    ///
    /// ```
    /// use hookwire::dispatch::Outbox;
    /// use hookwire::event::TraceParent;
    ///
    /// # fn current() -> Option<TraceParent> { None }
    /// # fn with(outbox: Outbox<hookwire::MemoryStore>) -> Outbox<hookwire::MemoryStore> {
    /// outbox.with_trace_source(|| current())
    /// # }
    /// ```
    pub fn with_trace_source(
        mut self,
        source: impl Fn() -> Option<TraceParent> + Send + Sync + 'static,
    ) -> Self {
        self.traces = TraceSource(Some(Arc::new(source)));
        self
    }

    /// Writes an event in a transaction of its own and wakes the dispatcher.
    ///
    /// When this returns, the event is stored and will be delivered. The call can be repeated safely: the
    /// same envelope is a duplicate and changes nothing.
    ///
    /// # Errors
    ///
    /// [`EmitError`] where the envelope cannot be written, in an older version either, its type is in no
    /// catalogue of the outbox, its data breaks the [schema](crate::event::EventKind::schema) of its type, an
    /// input is out of its [bounds](crate::bounds), the store fails, or the organization has another event of
    /// this id under the contract.
    pub async fn emit<T: EventData>(
        &self,
        organization: &str,
        envelope: &Envelope<T>,
    ) -> Result<Emitted, EmitError> {
        self.emit_with(organization, envelope, Routing::new()).await
    }

    /// Does [`emit`](Self::emit) with an ordering key or attributes.
    ///
    /// # Errors
    ///
    /// As for [`emit`](Self::emit).
    pub async fn emit_with<T: EventData>(
        &self,
        organization: &str,
        envelope: &Envelope<T>,
        routing: Routing,
    ) -> Result<Emitted, EmitError> {
        let asked = Instant::now();
        let batch = self.batch(organization, [(envelope, routing)])?;
        let emitted = self.write(organization, batch, asked).await?.only()?;
        emitted.wake();
        Ok(emitted)
    }

    /// Writes an event in the caller's transaction. It wakes no dispatcher: call [`Emitted::wake`] after the
    /// commit.
    ///
    /// # Errors
    ///
    /// As for [`emit`](Self::emit). After a [`StoreError`] the database may have ended the transaction.
    pub async fn emit_in<T: EventData>(
        &self,
        connection: &mut S::Connection,
        organization: &str,
        envelope: &Envelope<T>,
    ) -> Result<Emitted, EmitError>
    where
        S: TransactionalStore,
    {
        self.emit_in_with(connection, organization, envelope, Routing::new()).await
    }

    /// Does [`emit_in`](Self::emit_in) with an ordering key or attributes.
    ///
    /// # Errors
    ///
    /// As for [`emit_in`](Self::emit_in).
    pub async fn emit_in_with<T: EventData>(
        &self,
        connection: &mut S::Connection,
        organization: &str,
        envelope: &Envelope<T>,
        routing: Routing,
    ) -> Result<Emitted, EmitError>
    where
        S: TransactionalStore,
    {
        let batch = self.batch(organization, [(envelope, routing)])?;
        self.write_in(connection, organization, batch).await?.only()
    }

    /// Writes several events of an organization together: one statement, one commit, all or none. Wakes the
    /// dispatcher.
    ///
    /// Each event has its own result, in the order given: it was written, it was there already, or the
    /// organization has another event of its id. The last two change nothing and keep none of the others from
    /// being written. All events are in memory at once, with their payloads, so give a thousand at a time
    /// rather than a million.
    ///
    /// ```
    /// # use hookwire::allison::CallEnded;
    /// # use hookwire::dispatch::{EmitError, Outbox};
    /// # use hookwire::{Contract, Envelope, MemoryStore};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), EmitError> {
    /// let outbox = Outbox::new(MemoryStore::new(), Contract::allison());
    /// let calls: Vec<_> = ["c1", "c2"].map(|id| Envelope::new(CallEnded::new(id))).into();
    /// let emitted = outbox.emit_all("org_1", &calls).await?;
    /// assert!(emitted.events.iter().all(Result::is_ok));
    /// assert!(outbox.emit_all("org_1", &calls[..1]).await?.events[0].as_ref().unwrap().duplicate);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`emit`](Self::emit), of the first event that cannot be written; then none is. An event whose
    /// id another one has is no error of the call: its own result is [`EmitError::Conflict`].
    pub async fn emit_all<'a, T: EventData + 'a>(
        &self,
        organization: &str,
        envelopes: impl IntoIterator<Item = &'a Envelope<T>>,
    ) -> Result<EmittedAll, EmitError> {
        let events = envelopes.into_iter().map(|envelope| (envelope, Routing::new())).collect::<Vec<_>>();
        self.emit_all_with(organization, events).await
    }

    /// Does [`emit_all`](Self::emit_all) with an ordering key or attributes for each event.
    ///
    /// # Errors
    ///
    /// As for [`emit_all`](Self::emit_all).
    pub async fn emit_all_with<'a, T: EventData + 'a>(
        &self,
        organization: &str,
        events: impl IntoIterator<Item = (&'a Envelope<T>, Routing)>,
    ) -> Result<EmittedAll, EmitError> {
        let asked = Instant::now();
        let batch = self.batch(organization, events)?;
        let emitted = self.write(organization, batch, asked).await?;
        emitted.wake();
        Ok(emitted)
    }

    /// Writes several events of an organization in the caller's transaction, with one statement. It wakes no
    /// dispatcher: call [`EmittedAll::wake`] after the commit.
    ///
    /// # Errors
    ///
    /// As for [`emit_all`](Self::emit_all). After a [`StoreError`] the database may have ended the
    /// transaction.
    pub async fn emit_all_in<'a, T: EventData + 'a>(
        &self,
        connection: &mut S::Connection,
        organization: &str,
        envelopes: impl IntoIterator<Item = &'a Envelope<T>>,
    ) -> Result<EmittedAll, EmitError>
    where
        S: TransactionalStore,
    {
        let events = envelopes.into_iter().map(|envelope| (envelope, Routing::new())).collect::<Vec<_>>();
        self.emit_all_in_with(connection, organization, events).await
    }

    /// Does [`emit_all_in`](Self::emit_all_in) with an ordering key or attributes for each event.
    ///
    /// # Errors
    ///
    /// As for [`emit_all_in`](Self::emit_all_in).
    pub async fn emit_all_in_with<'a, T: EventData + 'a>(
        &self,
        connection: &mut S::Connection,
        organization: &str,
        events: impl IntoIterator<Item = (&'a Envelope<T>, Routing)>,
    ) -> Result<EmittedAll, EmitError>
    where
        S: TransactionalStore,
    {
        let batch = self.batch(organization, events)?;
        self.write_in(connection, organization, batch).await
    }

    /// Inserts events with their deliveries. Where the organization's subscriptions have changed since they
    /// were cached, it reads them and inserts again.
    async fn write<T: EventData>(
        &self,
        organization: &str,
        mut batch: Emitting<'_, T>,
        asked: Instant,
    ) -> Result<EmittedAll, EmitError> {
        loop {
            let routes = batch.check(self.routes_of(organization, &batch).await?);
            let left_out = self.fan_out_all(&mut batch, &routes)?;
            let inserted = self.insert(&mut batch.events, asked).await?;
            batch.collect(inserted, left_out, |event, inserted, left_out| {
                self.emitted(event, &routes, inserted, left_out)
            })?;
            match batch.events.is_empty() {
                true => return Ok(EmittedAll { events: batch.end() }),
                false => self.routes.forget(organization, routes.edition),
            }
        }
    }

    /// Does [`write`](Self::write) in the caller's transaction.
    async fn write_in<T: EventData>(
        &self,
        connection: &mut S::Connection,
        organization: &str,
        mut batch: Emitting<'_, T>,
    ) -> Result<EmittedAll, EmitError>
    where
        S: TransactionalStore,
    {
        loop {
            let routes = batch.check(self.routes_in(connection, organization, &batch).await?);
            let left_out = self.fan_out_all(&mut batch, &routes)?;
            let inserted = self.store.insert_in(connection, &batch.events).await?;
            batch.collect(inserted, left_out, |event, inserted, left_out| {
                self.emitted(event, &routes, inserted, left_out)
            })?;
            match batch.events.is_empty() {
                true => return Ok(EmittedAll { events: batch.end() }),
                false => self.routes.forget(organization, routes.edition),
            }
        }
    }

    async fn routes_of<T>(&self, organization: &str, batch: &Emitting<'_, T>) -> Result<Routes, StoreError> {
        if let Some(routes) = self.cached(organization, batch) {
            return Ok(routes);
        }
        let read = || async {
            let read_at = Instant::now();
            let routes = self.learn(organization, self.store.subscriptions(organization).await?);
            self.routes.cache(organization, &routes, read_at);
            Ok(routes)
        };
        self.routes.read(organization, read).await
    }

    async fn routes_in<T>(
        &self,
        connection: &mut S::Connection,
        organization: &str,
        batch: &Emitting<'_, T>,
    ) -> Result<Routes, StoreError>
    where
        S: TransactionalStore,
    {
        if let Some(routes) = self.cached(organization, batch) {
            return Ok(routes);
        }
        let read_at = Instant::now();
        // On the same connection, because the transaction may hold the last one of the pool. If it rolls back
        // what it changed, the edition of that never returns.
        let routes = self.learn(organization, self.store.subscriptions_in(connection, organization).await?);
        // After a stale insert, the transaction has an older snapshot, or changes that nobody else sees yet.
        if batch.is_first() {
            self.routes.cache(organization, &routes, read_at);
        }
        Ok(routes)
    }

    /// The cached routes of an organization.
    fn cached<T>(&self, organization: &str, batch: &Emitting<'_, T>) -> Option<Routes> {
        // The status of a subscription has no part in its edition.
        let may_be_cached = self.while_disabled == WhileDisabled::Keep && batch.compares();
        may_be_cached.then(|| self.routes.find(organization)).flatten()
    }

    /// Inserts events, and hands over the deliveries for which the dispatcher has a slot. The others have no
    /// lease afterwards. `asked` is when the call began.
    async fn insert(&self, events: &mut [NewEvent], asked: Instant) -> Result<Vec<Inserted>, StoreError> {
        let contract = self.versions.newest().name();
        let recipient = self.store.id().and_then(|id| self.wake.recipient(id, contract));
        let Some(reservation) = recipient.and_then(|recipient| recipient.reserve(events, asked)) else {
            return self.store.insert(events).await;
        };
        let mut inserted = match self.store.insert(events).await {
            Ok(inserted) => inserted,
            Err(error) => {
                reservation.failed(&error);
                return Err(error);
            }
        };
        let returned = reservation.answered(events, &mut inserted);
        if !returned.is_empty()
            && let Err(error) = self.store.settle(&returned).await
        {
            telemetry::store_failed("hand back", &error);
        }
        Ok(inserted)
    }

    fn batch<'e, T: EventData>(
        &self,
        organization: &str,
        events: impl IntoIterator<Item = (&'e Envelope<T>, Routing)>,
    ) -> Result<Emitting<'e, T>, EmitError> {
        let mut batch = Emitting::default();
        for (envelope, routing) in events {
            batch.push(self.new_event(organization, envelope, routing)?, envelope);
        }
        Ok(batch)
    }

    /// Does [`fan_out`](Self::fan_out) for each event.
    fn fan_out_all<T: EventData>(
        &self,
        batch: &mut Emitting<'_, T>,
        routes: &Routes,
    ) -> Result<Vec<usize>, EmitError> {
        let fan_out = |(event, (_, envelope)): (&mut NewEvent, &(usize, &Envelope<T>))| {
            event.edition = routes.edition;
            self.fan_out(event, envelope, &routes.all)
        };
        batch.events.iter_mut().zip(&batch.sources).map(fan_out).collect()
    }

    fn new_event<T: EventData>(
        &self,
        organization: &str,
        envelope: &Envelope<T>,
        routing: Routing,
    ) -> Result<NewEvent, EmitError> {
        self.check_type(envelope.event_type())?;
        let contract = self.versions.newest();
        let kind = contract.catalogue().find(envelope.event_type());
        // A struct without a schema writes what it reads, so only other data is checked.
        let checked = kind.filter(|kind| kind.has_schema() || envelope.data.is_raw());
        let is_keyed = routing.ordering_key.is_none() && !contract.ordering().is_empty();
        let mut ordering_key = routing.ordering_key;
        let payload = if checked.is_some() || is_keyed {
            // The data is written once, and the envelope around its text.
            let raw = RawEvent::new(envelope.event_type(), DataOf(&envelope.data));
            let raw = raw.map_err(EmitError::Envelope)?;
            if let Some(kind) = checked {
                kind.check_schema(raw.data()).map_err(|error| EmitError::Data(Box::new(error)))?;
            }
            if is_keyed {
                ordering_key = contract.ordering_key(envelope.event_type(), raw.data());
            }
            contract.encode(&Envelope::from_parts(envelope.id.clone(), envelope.created_at, raw))
        } else {
            contract.encode(envelope)
        };
        let payload = payload.map_err(EmitError::Envelope)?;
        self.check_len(payload.len())?;
        let event_type = envelope.event_type().parse().map_err(EmitError::Envelope)?;
        let (id, now) = (envelope.id.clone(), self.clock.now());
        let mut event = NewEvent::new(organization, contract, id, event_type, payload, now);
        event.ordering_key = ordering_key;
        event.attributes = routing.attributes;
        event.trace = routing.trace.or_else(|| self.traces.current());
        event.check()?;
        Ok(event)
    }

    /// Refuses a type that no catalogue of the outbox has.
    fn check_type(&self, event_type: &str) -> Result<(), EmitError> {
        if self.versions.publishes(event_type) {
            return Ok(());
        }
        let event_type = event_type.parse().map_err(EmitError::Envelope)?;
        Err(EmitError::UnknownType { event_type, contract: self.versions.newest().name().to_owned() })
    }

    fn learn(&self, organization: &str, read: Subscribed) -> Routes {
        for scanned in &read.subscriptions {
            if let Err(error) = &scanned.subscription {
                telemetry::subscription_unread(scanned.id, error);
            }
        }
        let name = self.versions.newest().name();
        let place = |version: &str| self.versions.place(version).unwrap_or(0);
        let shared = organization.into();
        let all = read.subscriptions.iter().filter_map(|scanned| Route::of(scanned, name, place, &shared));
        let mut routes = Routes { all: all.collect(), edition: read.edition, is_cached: false };
        if self.while_disabled == WhileDisabled::Drop {
            routes.edition = None;
        }
        routes
    }

    /// Adds the payloads of the older versions that the organization uses, and a delivery for each
    /// subscription that asks for the event. Returns how many get none because their version does not have
    /// its type.
    fn fan_out<T: EventData>(
        &self,
        event: &mut NewEvent,
        envelope: &Envelope<T>,
        routes: &[Route],
    ) -> Result<usize, EmitError> {
        let payloads = self.payloads(event, envelope, routes)?;
        let event_type = event.event_type.as_str();
        let candidates: BTreeMap<_, _> = (self.versions.iter().enumerate())
            .filter_map(|(place, contract)| Some((place, contract, payloads.get(&place)?.as_ref()?)))
            .map(|(place, contract, bytes)| {
                (place, (contract, Candidate::new(contract, event_type, bytes, &event.attributes)))
            })
            .collect();
        let kept = |route: &&Route| self.while_disabled == WhileDisabled::Keep || route.is_enabled;
        let (mut targets, mut left_out) = (Vec::new(), 0);
        for route in routes.iter().filter(kept) {
            match candidates.get(&route.place) {
                Some((contract, candidate)) if route.wants(candidate) => {
                    let version = (route.place > 0).then(|| contract.version());
                    targets.push((route.subscription, version));
                }
                Some(_) => {}
                None => left_out += usize::from(route.asks_for(event_type)),
            }
        }
        let deliveries = new_ids(targets.len()).zip(targets).map(|(id, (subscription, version))| {
            let mut delivery = NewDelivery::new(id, subscription);
            delivery.version = version.map(str::to_owned);
            delivery
        });
        let deliveries = deliveries.collect();
        event.older = (self.versions.iter().enumerate().skip(1))
            .filter_map(|(place, contract)| Some((contract, payloads.get(&place)?.clone()?)))
            .map(|(contract, bytes)| NewPayload::new(contract, bytes))
            .collect();
        event.deliveries = deliveries;
        Ok(left_out)
    }

    /// The event's bytes in each version that the organization uses, by its place, and in the newest; `None`
    /// for a version that does not have its type.
    fn payloads<T: EventData>(
        &self,
        event: &NewEvent,
        envelope: &Envelope<T>,
        routes: &[Route],
    ) -> Result<BTreeMap<usize, Option<Bytes>>, EmitError> {
        let places: BTreeSet<_> = routes.iter().map(|route| route.place).filter(|place| *place > 0).collect();
        let mut payloads = BTreeMap::new();
        if !places.is_empty() {
            let raw = RawEvent::new(envelope.event_type(), DataOf(&envelope.data));
            let raw = raw.map_err(EmitError::Envelope)?;
            let newest = Envelope::from_parts(envelope.id.clone(), envelope.created_at, raw);
            payloads = self.versions.encode_older(&newest, 0, &places)?;
        }
        for len in payloads.values().flatten().map(Bytes::len) {
            self.check_len(len)?;
        }
        let is_there = self.versions.newest().catalogue().allows(envelope.event_type());
        payloads.insert(0, is_there.then(|| event.payload.clone()));
        Ok(payloads)
    }

    fn check_len(&self, len: usize) -> Result<(), EmitError> {
        match len <= self.max_payload {
            true => Ok(()),
            false => Err(EmitError::TooLarge { len, limit: self.max_payload }),
        }
    }

    fn emitted(
        &self,
        event: NewEvent,
        routes: &Routes,
        inserted: &Inserted,
        left_out: usize,
    ) -> Result<Emitted, EmitError> {
        let duplicate = match inserted.outcome {
            InsertOutcome::New => false,
            InsertOutcome::Duplicate => true,
            InsertOutcome::Conflict => return Err(EmitError::Conflict { id: event.id }),
            InsertOutcome::Stale => {
                let error = "the store reported an event as stale that has no edition";
                return Err(StoreError::new(StoreErrorKind::Backend, error).into());
            }
        };
        let (mut made, left_out) = if duplicate { (Vec::new(), 0) } else { (event.deliveries, left_out) };
        let unknown = routes.all.iter().filter(|route| route.is_unknown());
        let unreadable = unknown.map(|route| route.subscription).collect();
        let (deliveries, wake) = (made.len(), self.wake.clone());
        // Those that have a lease were handed over.
        made.retain(|delivery| delivery.lease.is_none());
        let routes = routes.clone();
        Ok(Emitted { id: event.id, deliveries, left_out, duplicate, unreadable, made, routes, wake })
    }
}

/// The events of a call.
type Emitting<'e, T> = Batch<'e, T, Result<Emitted, EmitError>>;

/// The ordering key and the attributes of an event.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Routing {
    /// The key that keeps the deliveries to one subscription in order with others of the same key. Without
    /// one, the contract may find a key in the data ([`Contract::ordering_key`]). A key has at most
    /// [`ORDERING_KEY`](crate::bounds::ORDERING_KEY) bytes.
    pub ordering_key: Option<String>,
    /// Names and values by which filters choose the event; never sent. At most
    /// [`ATTRIBUTES`](crate::bounds::ATTRIBUTES) names, [`ATTRIBUTE_VALUES`](crate::bounds::ATTRIBUTE_VALUES)
    /// values and [`ATTRIBUTES_LEN`](crate::bounds::ATTRIBUTES_LEN) bytes.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// The place in a trace that the event comes from, in place of that of
    /// [`Outbox::with_trace_source`].
    pub trace: Option<TraceParent>,
}

impl Routing {
    /// Makes a routing without key and attributes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the ordering key.
    pub fn with_ordering_key(mut self, key: impl Into<String>) -> Self {
        self.ordering_key = Some(key.into());
        self
    }

    /// Sets the place in a trace that the event comes from.
    pub const fn with_trace(mut self, trace: TraceParent) -> Self {
        self.trace = Some(trace);
        self
    }

    /// Adds a value of the attribute `name`.
    pub fn with_attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.entry(name.into()).or_default().push(value.into());
        self
    }
}

/// Tells the place in a trace of the code that emits.
#[derive(Clone, Default)]
struct TraceSource(Option<Arc<dyn Fn() -> Option<TraceParent> + Send + Sync>>);

impl TraceSource {
    fn current(&self) -> Option<TraceParent> {
        self.0.as_ref().and_then(|source| source())
    }
}

impl fmt::Debug for TraceSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TraceSource").field(&self.0.is_some()).finish()
    }
}

/// Whether events for a disabled endpoint are kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum WhileDisabled {
    /// They wait, and are sent when the endpoint is enabled again. After 30 days, or as long as
    /// [`Dispatcher::with_expiry`](crate::dispatch::Dispatcher::with_expiry) says, they expire.
    #[default]
    Keep,
    /// No delivery is made.
    Drop,
}

/// An event that was written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Emitted {
    /// The event's id.
    pub id: EventId,
    /// The number of deliveries that were made; none for a duplicate.
    pub deliveries: usize,
    /// The number of subscriptions that ask for the event's type and got no delivery, because the type does
    /// not exist in the version that they speak ([`Versions`]); none for a duplicate.
    pub left_out: usize,
    /// Whether the same event was there already, so that nothing was changed.
    pub duplicate: bool,
    /// Subscriptions whose rows cannot be read, not even the parts that say whether they ask for the event:
    /// no delivery was made for them, and none is made later. A replay makes up for nothing either, because
    /// it repeats deliveries. Keep the ids, and send what the endpoints missed when the rows are mended.
    ///
    /// Where those parts can be read, the delivery is made, and waits until the row is mended.
    pub unreadable: Vec<SubscriptionId>,
    made: Vec<NewDelivery>,
    /// The routes of the organization, in whose order the deliveries were made.
    routes: Routes,
    wake: Wake,
}

impl Emitted {
    /// Wakes the dispatcher. Call it after the commit of the transaction that [`Outbox::emit_in`] joined.
    pub fn wake(&self) {
        if !self.made.is_empty() {
            let Routes { all, is_cached, .. } = &self.routes;
            let mut routes = all.iter();
            self.wake.wake_for_known(self.made.iter().map(|delivery| {
                let id = delivery.subscription;
                let known = routes.find(|route| route.subscription == id).map(|route| route.known.clone());
                let known = known.unwrap_or_default();
                (id, Known { is_failing: known.is_failing.filter(|_| !is_cached), ..known })
            }));
        }
    }
}

/// Events that were written together.
#[derive(Debug)]
#[non_exhaustive]
pub struct EmittedAll {
    /// The result of each event, in the order given. The error of an event is [`EmitError::Conflict`]: the
    /// organization has another event of this id, and nothing of this one was written.
    pub events: Vec<Result<Emitted, EmitError>>,
}

impl EmittedAll {
    /// The result of the only event.
    fn only(mut self) -> Result<Emitted, EmitError> {
        self.events.pop().expect("invariant: each event of a batch has a result")
    }

    /// Wakes the dispatcher. Call it after the commit of the transaction that [`Outbox::emit_all_in`] joined.
    pub fn wake(&self) {
        self.events.iter().flatten().for_each(Emitted::wake);
    }
}

/// Why an event was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The envelope cannot be written under the contract.
    #[error("event cannot be written in the contract's format")]
    Envelope(#[source] Error),
    /// The data breaks the [schema](crate::event::EventKind::schema) that the contract publishes for the
    /// event's type.
    #[error("event breaks the schema that its type publishes")]
    Data(#[source] Box<DataError>),
    /// The encoded envelope is longer than [`Outbox::with_max_payload`] allows.
    #[error("event takes {len} bytes, expected at most {limit}; see Outbox::with_max_payload")]
    #[non_exhaustive]
    TooLarge {
        /// The length of the envelope in bytes.
        len: usize,
        /// The greatest length that is allowed.
        limit: usize,
    },
    /// No version of the contract has the event's type in its catalogue, so that no receiver would know it.
    #[error(
        "event type `{event_type}` is not in the catalogue of contract `{contract}`, expected one that is; see \
         Contract::with_catalogue"
    )]
    #[non_exhaustive]
    UnknownType {
        /// The type.
        event_type: EventType,
        /// The name of the contract.
        contract: String,
    },
    /// The organization, the ordering key or the attributes are out of their [bounds](crate::bounds).
    #[error("{0}")]
    OutOfBounds(#[from] Excess),
    /// The organization has another event of this id under the contract.
    #[error("event id `{id}` was used for another event of this organization, expected a fresh one")]
    #[non_exhaustive]
    Conflict {
        /// The id.
        id: EventId,
    },
    /// The event could not be made in an older version that a subscription of the organization speaks.
    #[error("event could not be made in an older version, so nothing was written")]
    Version(#[from] VersionError),
    /// The store failed.
    #[error("event could not be stored")]
    Store(#[from] StoreError),
}

/// Makes ids with one request to the system's random source, because a request takes longer than its bytes.
fn new_ids(count: usize) -> impl Iterator<Item = DeliveryId> {
    let now = OffsetDateTime::now_utc();
    let mut random = vec![[0; 10]; count];
    getrandom::fill(random.as_flattened_mut()).expect("invariant: the operating system gives random bytes");
    random.into_iter().map(move |random| DeliveryId::from_parts(now, random))
}

const DEFAULT_MAX_PAYLOAD: usize = 1024 * 1024;
