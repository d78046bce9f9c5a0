//! [`Versions`]: a contract in its newest version, and how older versions of its data are made.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::to_raw_value;
use time::OffsetDateTime;

use super::Contract;
use crate::error::{Error, ErrorKind};
use crate::event::{DataOf, Envelope, EventData, EventId, EventType, RawEvent, typed};

/// A contract in its newest version, and for each older version a function that makes its data out of the
/// data of the version above it.
///
/// The application emits events in the newest version alone. An `Outbox` and a `Service` of management go
/// down the chain of functions for the subscriptions that speak an older version. A dispatcher needs no
/// functions, because it sends the bytes that are stored.
///
/// A version changes only the data: its catalogue, and how the envelope is written. All versions have the
/// contract's name, scheme, timeout, retries and other terms.
///
/// ```
/// use hookwire::contract::Versions;
/// use hookwire::{Contract, RawEvent};
/// use serde_json::{Value, json};
///
/// let shop = Contract::standard_webhooks().with_name("shop")?;
/// let versions = Versions::new(shop.clone().with_version("v2")?)
///     .with_older(shop, |event: RawEvent| match event.event_type() {
///         // `cents` of v2 was `price` in v1.
///         "order.paid" => {
///             let mut data: Value = serde_json::from_str(event.data().get())?;
///             data["price"] = json!(data["cents"].as_f64().unwrap_or_default() / 100.0);
///             Ok(Some(RawEvent::new("order.paid", data)?))
///         }
///         // This type is new in v2.
///         "order.refunded" => Ok(None),
///         _ => Ok(Some(event)),
///     })?;
/// assert_eq!(versions.newest().version(), "v2");
/// let paid = RawEvent::new("order.paid", json!({"cents": 1999}))?;
/// let old = versions.convert(&paid, "v2", "v1")?.expect("the type is in v1");
/// assert_eq!(old.data().get(), r#"{"cents":1999,"price":19.99}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Versions {
    newest: Contract,
    /// From newer to older.
    older: Vec<Older>,
}

/// An older version.
#[derive(Clone)]
struct Older {
    contract: Contract,
    /// Makes an event of this version out of one of the version above.
    step: Arc<Step>,
}

type Step = dyn Fn(&RawEvent) -> Result<Option<RawEvent>, BoxError> + Send + Sync;
type BoxError = Box<dyn StdError + Send + Sync>;

impl Versions {
    /// Makes a chain with the newest version alone.
    pub const fn new(newest: Contract) -> Self {
        Self { newest, older: Vec::new() }
    }

    /// Adds the version before the oldest so far, and the function that makes its data.
    ///
    /// `step` takes an event of the version above, as its catalogue's enum or as a [`RawEvent`], and returns
    /// the same event in the older version. `Ok(None)` means that the type does not exist there, nor in
    /// still older versions: a subscription that speaks one of these gets no delivery. With an error, the
    /// event is not emitted. A type keeps its name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Contract`] where `older` has another name than the newest version, a version that the
    /// chain has already, or another term, such as a timeout.
    pub fn with_older<New: EventData + 'static, Old: EventData + 'static>(
        mut self,
        older: Contract,
        step: impl Fn(New) -> Result<Option<Old>, Box<dyn StdError + Send + Sync>> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        if older.name() != self.newest.name() {
            let what = format!("older version belongs to contract `{}`", older.name());
            let expected = format!("a version of `{}`", self.newest.name());
            return Err(Error::new(ErrorKind::Contract, what).with_expected(expected));
        }
        if self.find(older.version()).is_some() {
            let what = format!("version `{}` stands in the chain twice", older.version());
            let expected = "each version once; `Contract::with_version` sets it";
            return Err(Error::new(ErrorKind::Contract, what).with_expected(expected));
        }
        self.newest.check_terms(&older)?;
        let step = move |event: &RawEvent| {
            let name = event.event_type();
            if !New::accepts(name) {
                return Err(format!("the function of this version takes no event of type `{name}`").into());
            }
            let Some(old) = step(typed::<New>(name, event.data())?)? else { return Ok(None) };
            if old.event_type() != name {
                let made = old.event_type();
                return Err(format!("the function of this version made `{made}` of `{name}`").into());
            }
            Ok(Some(RawEvent::new(name, to_raw_value(&DataOf(&old))?)?))
        };
        self.older.push(Older { contract: older, step: Arc::new(step) });
        Ok(self)
    }

    /// The contract in its newest version.
    pub const fn newest(&self) -> &Contract {
        &self.newest
    }

    /// The contract in each version, the newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Contract> {
        std::iter::once(&self.newest).chain(self.older.iter().map(|older| &older.contract))
    }

    /// The contract in this version.
    pub fn find(&self, version: &str) -> Option<&Contract> {
        self.iter().find(|contract| contract.version() == version)
    }

    /// Whether a version publishes this type, or publishes none and so allows any.
    pub fn publishes(&self, event_type: &str) -> bool {
        self.iter().any(|contract| contract.catalogue().allows(event_type))
    }

    /// Makes an event of the version `to` out of an event of the version `from`; `None` where its type does
    /// not exist there.
    ///
    /// # Errors
    ///
    /// [`VersionError`] where a function of the chain fails, and where the chain does not lead from `from`
    /// to `to`.
    pub fn convert(&self, event: &RawEvent, from: &str, to: &str) -> Result<Option<RawEvent>, VersionError> {
        match (self.place(from), self.place(to)) {
            (Some(from), Some(to)) if from <= to => Ok(self.down(event, from, to)?.pop().flatten()),
            _ => Err(self.error(event, to, format!("no function leads there from version `{from}`"))),
        }
    }

    /// Makes an event of each version behind the place `from` up to the place `to`, by their places in
    /// [`iter`](Self::iter). The event itself stands first.
    pub(crate) fn down(
        &self,
        event: &RawEvent,
        from: usize,
        to: usize,
    ) -> Result<Vec<Option<RawEvent>>, VersionError> {
        let mut made = vec![Some(event.clone())];
        for older in &self.older[from..to] {
            let next = match made.last().and_then(Option::as_ref) {
                Some(event) => {
                    (older.step)(event).map_err(|error| self.error(event, older.contract.version(), error))?
                }
                None => None,
            };
            made.push(next);
        }
        for (event, contract) in made.iter_mut().zip(self.iter().skip(from)) {
            // The chain goes on behind a version whose catalogue leaves the type out.
            event.take_if(|event| !contract.catalogue().allows(event.event_type()));
        }
        Ok(made)
    }

    /// Writes an envelope of the version at the place `from` in the versions at these places, which lie
    /// behind it; `None` for one in which the type does not exist.
    #[allow(dead_code, reason = "its callers, outbox and management, are features")]
    pub(crate) fn encode_older(
        &self,
        envelope: &Envelope<RawEvent>,
        from: usize,
        places: &BTreeSet<usize>,
    ) -> Result<BTreeMap<usize, Option<Bytes>>, VersionError> {
        let Some(last) = places.last() else { return Ok(BTreeMap::new()) };
        let made =
            self.down(&envelope.data, from, *last)?.into_iter().zip(self.iter().skip(from)).zip(from..);
        let wanted = made.filter(|(_, place)| places.contains(place));
        let encoded = wanted.map(|((event, contract), place)| {
            let Some(event) = event else { return Ok((place, None)) };
            if let Err(error) = contract.catalogue().check_schema(event.event_type(), event.data()) {
                return Err(self.error(&event, contract.version(), error));
            }
            let envelope = Envelope::from_parts(envelope.id.clone(), envelope.created_at, event);
            match contract.encode(&envelope) {
                Ok(bytes) => Ok((place, Some(bytes))),
                Err(error) => Err(self.error(&envelope.data, contract.version(), error)),
            }
        });
        encoded.collect()
    }

    /// Writes the envelope in `payload`, which is of the version `from`, in the version `to`; `None` where
    /// its type does not exist there. `id` and `created_at` are those of the event, for an envelope without
    /// them.
    ///
    /// # Errors
    ///
    /// [`VersionError`] as of [`convert`](Self::convert), and for a payload that is no envelope of `from`.
    #[allow(dead_code, reason = "its caller, management, is a feature")]
    pub(crate) fn reencode(
        &self,
        (id, created_at): (&EventId, OffsetDateTime),
        payload: &[u8],
        from: &str,
        to: &str,
    ) -> Result<Option<Bytes>, VersionError> {
        let unread = |source: BoxError| self.fault(None, to, source);
        let (Some(from), Some(to)) = (self.place(from), self.place(to)) else {
            return Err(unread(format!("the chain lacks version `{from}` or `{to}`").into()));
        };
        if from > to {
            return Err(unread("the chain leads from newer to older versions only".into()));
        }
        let contract = self.iter().nth(from).unwrap_or(&self.newest);
        let received = contract.format().decode::<RawEvent>(payload).map_err(|error| unread(error.into()))?;
        let created_at = received.created_at.unwrap_or(created_at);
        let envelope = Envelope::from_parts(id.clone(), created_at, received.data);
        Ok(self.encode_older(&envelope, from, &[to].into())?.remove(&to).flatten())
    }

    /// The place of a version in [`iter`](Self::iter).
    pub(crate) fn place(&self, version: &str) -> Option<usize> {
        self.iter().position(|contract| contract.version() == version)
    }

    fn error(&self, event: &RawEvent, version: &str, source: impl Into<BoxError>) -> VersionError {
        self.fault(event.event_type().parse().ok(), version, source.into())
    }

    fn fault(&self, event_type: Option<EventType>, version: &str, source: BoxError) -> VersionError {
        VersionError {
            contract: self.newest.name().to_owned(),
            version: version.to_owned(),
            event_type,
            source,
        }
    }
}

impl From<Contract> for Versions {
    fn from(contract: Contract) -> Self {
        Self::new(contract)
    }
}

impl fmt::Debug for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(Contract::id)).finish()
    }
}

/// The reason why an event could not be made in an older version.
#[derive(Debug, thiserror::Error)]
#[error("event could not be made in version `{version}` of contract `{contract}`")]
#[non_exhaustive]
pub struct VersionError {
    /// The contract's name.
    pub contract: String,
    /// The version.
    pub version: String,
    /// The event's type; `None` where its envelope could not be read.
    pub event_type: Option<EventType>,
    /// The function's error, or the fault of the chain.
    source: BoxError,
}
