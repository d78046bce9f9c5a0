//! [`Contract`]: how one platform delivers, as a value.

mod id;
mod parts;
mod subscription_field;
mod versions;

pub use id::ContractId;
pub use parts::{AutoDisable, Judgement, OrderingRule, Retryable, Rotation};
pub use subscription_field::{FieldTarget, SubscriptionField};
pub use versions::{VersionError, Versions};

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde_json::value::RawValue;
use time::{OffsetDateTime, UtcOffset};

use crate::error::{Error, ErrorKind};
use crate::event::{Catalogue, DecodeError, Envelope, EnvelopeFormat, EventData, EventId, Field, Json};
use crate::outcome::Outcome;
use crate::retry::RetryPolicy;
use crate::signature::{Scheme, Secret, Signer, Verified, Verifier};

/// How one platform delivers: envelope, signature, time-out, success, retries, auto-disable, rotation.
///
/// A value, not a trait: a new platform is a new value. Each part has a `with_` setter. Its [`id`](Self::id)
/// is a name, which decides how it delivers, and the version of its data.
///
/// ```
/// use std::time::Duration;
/// use hookwire::contract::Judgement;
/// use hookwire::{Contract, Outcome};
/// use http::StatusCode;
///
/// let contract: Contract = "allison".parse()?;
/// assert_eq!(contract.timeout(), Duration::from_secs(10));
/// assert_eq!(contract.retry().max_attempts(), Some(6));
/// assert_eq!(contract.judge(&Outcome::answered(StatusCode::GONE)), Judgement::Gone);
///
/// // With a time-out of our own.
/// let patient = Contract::allison().with_timeout(Duration::from_secs(30));
/// # assert_eq!(patient.timeout(), Duration::from_secs(30));
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Contract {
    id: ContractId,
    format: EnvelopeFormat,
    catalogue: Catalogue,
    scheme: Option<Scheme>,
    tolerance: Duration,
    timeout: Duration,
    success: RangeInclusive<u16>,
    retry: RetryPolicy,
    retryable: Retryable,
    disables_on_gone: bool,
    auto_disable: Option<AutoDisable>,
    rotation: Rotation,
    ordering: &'static [OrderingRule],
    dedupe_window: Duration,
    copy_window: Option<Duration>,
    subscription_fields: &'static [SubscriptionField],
}

impl Contract {
    /// Makes a contract called `name`, of version `v1`, that writes envelopes as `format` has them.
    ///
    /// It publishes no event types ([`Catalogue::OPEN`]), is unsigned, takes 2xx within 10 s as success,
    /// tries once, disables nothing, replaces secrets at once, tolerates clocks that are 5 minutes off, and
    /// has receivers remember ids for 7 days. Each is set with its `with_` setter.
    ///
    /// ```
    /// use hookwire::event::{EnvelopeFormat, Field};
    /// use hookwire::{Contract, Scheme};
    ///
    /// const FORMAT: EnvelopeFormat =
    ///     EnvelopeFormat::new(&[Field::Id("id"), Field::Type("kind"), Field::Data("body")]);
    /// let acme = Contract::new("acme", FORMAT)?.with_scheme(Scheme::STANDARD_WEBHOOKS);
    /// assert_eq!(acme.retry().max_attempts(), Some(1));
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Contract`] when the name is not 1 to 64 visible ASCII characters without a slash.
    pub fn new(name: &str, format: EnvelopeFormat) -> Result<Self, Error> {
        Ok(Self::of(ContractId::new(name, FIRST_VERSION)?, format))
    }

    /// One of the contracts of this crate.
    pub(crate) fn preset(name: &str, format: EnvelopeFormat) -> Self {
        Self::new(name, format).expect("invariant: the name of a preset is right")
    }

    fn of(id: ContractId, format: EnvelopeFormat) -> Self {
        Self {
            id,
            format,
            catalogue: Catalogue::OPEN,
            scheme: None,
            tolerance: Duration::from_secs(300),
            timeout: Duration::from_secs(10),
            success: 200..=299,
            retry: RetryPolicy::none(),
            retryable: Retryable::AnyFailure,
            disables_on_gone: false,
            auto_disable: None,
            rotation: Rotation::Immediate,
            ordering: &[],
            dedupe_window: Duration::from_secs(7 * 24 * 3600),
            copy_window: None,
            subscription_fields: &[],
        }
    }

    /// The contract's name and the version of its data: what subscriptions and deliveries refer to.
    pub fn id(&self) -> &ContractId {
        &self.id
    }

    /// The contract's name.
    pub fn name(&self) -> &str {
        self.id.name()
    }

    /// The version of its data.
    pub fn version(&self) -> &str {
        self.id.version()
    }

    /// How its envelope is written.
    pub fn format(&self) -> EnvelopeFormat {
        self.format
    }

    /// The event types it publishes.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// How its requests are signed; `None` when they are not.
    pub fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    /// How far a signed timestamp may be from the receiver's clock, either way.
    pub fn tolerance(&self) -> Duration {
        self.tolerance
    }

    /// How long an endpoint has for its whole answer, name resolution and connecting included.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The statuses that count as success.
    pub fn success(&self) -> &RangeInclusive<u16> {
        &self.success
    }

    /// When a failed delivery is tried again.
    pub fn retry(&self) -> &RetryPolicy {
        &self.retry
    }

    /// Which failures are tried again at all.
    pub fn retryable(&self) -> Retryable {
        self.retryable
    }

    /// Whether `410 Gone` ends the subscription.
    pub fn disables_on_gone(&self) -> bool {
        self.disables_on_gone
    }

    /// When a subscription that keeps failing is disabled; `None` for never.
    pub fn auto_disable(&self) -> Option<&AutoDisable> {
        self.auto_disable.as_ref()
    }

    /// How long an old secret signs after a new one was made.
    pub fn rotation(&self) -> Rotation {
        self.rotation
    }

    /// How long receivers remember an event's id, which is longer than the sender of any contract named here
    /// tries.
    pub fn dedupe_window(&self) -> Duration {
        self.dedupe_window
    }

    /// How long after an event without an id an equal body is a copy of it, and not another event.
    ///
    /// It counts only for events that neither an id nor a time in their body tells apart. A contact that is
    /// renamed to Smith, to Jones and back to Smith is three events, two of which have equal bodies.
    ///
    /// By default it is the time for which an unsigned sender tries, time-outs included, and at least a
    /// minute, for proxies that repeat a request. The bodies of a sender that signs are remembered for the
    /// whole [`dedupe_window`](Self::dedupe_window), or a stranger could send a captured request again.
    pub fn copy_window(&self) -> Duration {
        let window = match (self.copy_window, self.scheme) {
            (Some(window), _) => window,
            (None, Some(_)) => self.dedupe_window,
            (None, None) => self.longest_try().max(SHORTEST_COPY_WINDOW),
        };
        window.min(self.dedupe_window)
    }

    /// How long after its first attempt the sender's last attempt may end, as far as it counts.
    fn longest_try(&self) -> Duration {
        let mut longest = self.timeout;
        let attempts = self.retry.timeline(OffsetDateTime::UNIX_EPOCH).take(MOST_ATTEMPTS);
        for (planned, attempt) in attempts.zip(1..) {
            longest = planned.elapsed.saturating_add(self.timeout.saturating_mul(attempt));
            if longest >= self.dedupe_window {
                break;
            }
        }
        longest
    }

    /// Whether an id, or a time in its body, tells an event apart from others with an equal body.
    pub(crate) fn tells_apart(&self, verified: &Verified<'_>) -> bool {
        let has_time = |field: &Field| matches!(field, Field::CreatedAt(..));
        self.format.carries_id()
            || self.format.fields().iter().any(has_time)
            || self.named_by_header(verified).is_some()
    }

    /// The fields that this contract's subscriptions have beside those of every subscription.
    pub fn subscription_fields(&self) -> &'static [SubscriptionField] {
        self.subscription_fields
    }

    /// Where the data names the ordering key; empty for no order.
    pub fn ordering(&self) -> &'static [OrderingRule] {
        self.ordering
    }

    /// Finds the ordering key in an event's data: deliveries with the same key are sent one after another.
    /// `None` for an event that no [`ordering`](Self::ordering) rule matches, and for data without the key.
    ///
    /// ```
    /// use hookwire::{Contract, RawEvent};
    ///
    /// let call = RawEvent::new("Call Ended", serde_json::json!({"call_id": 9041}))?;
    /// let key = Contract::nectar_desk().ordering_key(call.event_type(), call.data());
    /// assert_eq!(key.as_deref(), Some("9041"));
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn ordering_key(&self, event_type: &str, data: &RawValue) -> Option<String> {
        let rule = self.ordering.iter().find(|rule| event_type.starts_with(rule.prefix()))?;
        let data = Json::new(data.get());
        rule.pointers().iter().find_map(|pointer| {
            let found = data.at(pointer)?;
            let text = found.bytes().map(|text| String::from_utf8_lossy(&text).into_owned());
            text.or_else(|| found.number().map(str::to_owned)).filter(|key| !key.is_empty())
        })
    }

    /// Sets the name: a contract that differs in anything but its data needs one of its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Contract`] when the name is not 1 to 64 visible ASCII characters without a slash.
    pub fn with_name(mut self, name: &str) -> Result<Self, Error> {
        self.id = ContractId::new(name, self.version())?;
        Ok(self)
    }

    /// Sets the version of the data. The default is `v1`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Contract`] when the version is not 1 to 64 visible ASCII characters without a slash.
    pub fn with_version(mut self, version: &str) -> Result<Self, Error> {
        self.id = self.id.with_version(version)?;
        Ok(self)
    }

    /// Sets the format of the envelope.
    pub fn with_format(mut self, format: EnvelopeFormat) -> Self {
        self.format = format;
        self
    }

    /// Sets the catalogue, such as one of your own.
    pub fn with_catalogue(mut self, catalogue: Catalogue) -> Self {
        self.catalogue = catalogue;
        self
    }

    /// Sets the signature scheme; `None` signs nothing.
    pub fn with_scheme(mut self, scheme: impl Into<Option<Scheme>>) -> Self {
        self.scheme = scheme.into();
        self
    }

    /// Sets how far a signed timestamp may be from the receiver's clock, either way.
    pub fn with_tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Sets how long an endpoint has for its whole answer, name resolution and connecting included.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the statuses that count as success.
    pub fn with_success(mut self, statuses: RangeInclusive<u16>) -> Self {
        self.success = statuses;
        self
    }

    /// Sets when a failed delivery is tried again. A sender that tries for longer than a week wants a longer
    /// [`dedupe_window`](Self::with_dedupe_window) too, or receivers handle its last attempts anew.
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Sets which failures are tried again at all.
    pub fn with_retryable(mut self, retryable: Retryable) -> Self {
        self.retryable = retryable;
        self
    }

    /// Sets whether `410 Gone` ends the subscription.
    pub fn with_disables_on_gone(mut self, disables: bool) -> Self {
        self.disables_on_gone = disables;
        self
    }

    /// Sets when a subscription that keeps failing is disabled; `None` for never.
    pub fn with_auto_disable(mut self, rule: impl Into<Option<AutoDisable>>) -> Self {
        self.auto_disable = rule.into();
        self
    }

    /// Sets how long an old secret signs after a new one was made.
    pub fn with_rotation(mut self, rotation: Rotation) -> Self {
        self.rotation = rotation;
        self
    }

    /// Sets where the data names the ordering key; no rule for no order.
    pub fn with_ordering(mut self, rules: &'static [OrderingRule]) -> Self {
        self.ordering = rules;
        self
    }

    /// Sets how long receivers remember an event's id.
    pub fn with_dedupe_window(mut self, window: Duration) -> Self {
        self.dedupe_window = window;
        self
    }

    /// Sets how long after an event without an id an equal body is [a copy of it](Self::copy_window).
    ///
    /// ```
    /// use std::time::Duration;
    /// use hookwire::Contract;
    ///
    /// // Seven seconds of retries and four time-outs, rounded up by a proxy's repeats.
    /// assert_eq!(Contract::nectar_desk().copy_window(), Duration::from_secs(60));
    /// let strict = Contract::nectar_desk().with_copy_window(Duration::from_secs(10));
    /// # assert_eq!(strict.copy_window(), Duration::from_secs(10));
    /// ```
    pub fn with_copy_window(mut self, window: Duration) -> Self {
        self.copy_window = Some(window);
        self
    }

    /// Sets the fields that this contract's subscriptions have beside those of every subscription.
    ///
    /// A name that every subscription has, such as `url`, is never read as one of these.
    pub fn with_subscription_fields(mut self, fields: &'static [SubscriptionField]) -> Self {
        self.subscription_fields = fields;
        self
    }

    /// Writes an envelope: the bytes to store, sign and send.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Encode`] when the data cannot be JSON, the time cannot be RFC 3339 or the type's name is
    /// no [`EventType`](crate::EventType); [`ErrorKind::Event`] when the id holds a full stop, or the
    /// character that ends an id in the signed content, which the scheme could not sign.
    pub fn encode<T: EventData>(&self, envelope: &Envelope<T>) -> Result<Bytes, Error> {
        // The signer would refuse it later, when the event is stored already.
        if let Some(separator) = self.scheme.and_then(|scheme| scheme.id_separator)
            && envelope.id.as_str().contains(['.', char::from(separator)])
        {
            return Err(Error::new(
                ErrorKind::Event,
                "event id holds a full stop or the character that ends an id in the signed content",
            )
            .with_expected("neither"));
        }
        self.format.encode(envelope)
    }

    /// Reads a proven body as an event.
    ///
    /// `T` is a catalogue's enum, which takes any type, or one type's struct, which refuses others.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Data`] for data that does not fit its type (the request is genuine, and the data is
    /// kept); the others for a body that is not this contract's envelope, or whose id is not the header's.
    pub fn decode<T: EventData>(&self, verified: &Verified<'_>) -> Result<Envelope<T>, DecodeError> {
        let received = match self.format.decode::<T>(verified.body()) {
            Ok(received) => received,
            Err(DecodeError::Data(error)) => {
                let id = self.event_id(error.id().cloned(), verified)?;
                return Err(DecodeError::Data(Box::new(error.with_id(id))));
            }
            Err(error) => return Err(error),
        };
        let created_at = received.created_at.or_else(|| verified.timestamp()).unwrap_or_else(|| {
            let at = verified.received_at();
            at.checked_to_offset(UtcOffset::UTC).unwrap_or(at)
        });
        Ok(Envelope {
            id: self.event_id(received.id, verified)?,
            created_at,
            version: received.version,
            data: received.data,
        })
    }

    /// The id in the body, or else the one in the header where the proof covers it, or else the body's hash.
    ///
    /// A header that the proof covers is genuine, and names the message, so it may differ from the id of the
    /// event. Any other header has to be the body's id, or it was changed.
    fn event_id(&self, body: Option<EventId>, verified: &Verified<'_>) -> Result<EventId, DecodeError> {
        let header = self.id_header(verified);
        let shown = if verified.is_signed() { verified.id() } else { verified.header(header) };
        match (body, shown) {
            (Some(body), Some(shown)) if body.as_str() != shown && !verified.id_is_signed() => {
                Err(DecodeError::IdMismatch { header })
            }
            (Some(body), _) => Ok(body),
            (None, _) => match self.named_by_header(verified) {
                Some(named) => named.parse().map_err(|_| DecodeError::InvalidField {
                    field: header,
                    reason: "expected 1 to 256 visible ASCII characters",
                }),
                None => Ok(EventId::of_body(verified.body())),
            },
        }
    }

    /// The id of an event whose body has none: from a header that the proof covers, or from one that nothing
    /// proves if nothing is proven at all.
    fn named_by_header<'v>(&self, verified: &'v Verified<'_>) -> Option<&'v str> {
        match verified.is_signed() {
            true => verified.id().filter(|_| verified.id_is_signed()),
            false => verified.header(self.id_header(verified)),
        }
    }

    /// The name of the header with the message's id, or an empty text.
    fn id_header(&self, verified: &Verified<'_>) -> &'static str {
        let scheme = verified.scheme().or(self.scheme.as_ref());
        scheme.and_then(|scheme| scheme.id_header()).unwrap_or_default()
    }

    /// A signer for this contract's scheme.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsigned`] when the platform does not sign, [`ErrorKind::Secret`] for a secret of the
    /// wrong form.
    pub fn signer(&self, secret: &Secret) -> Result<Signer, Error> {
        Signer::new(self.signed()?, secret)
    }

    /// A verifier for this contract's scheme and tolerance.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsigned`] when the platform does not sign, [`ErrorKind::Secret`] for a secret of the
    /// wrong form.
    pub fn verifier(&self, secret: &Secret) -> Result<Verifier, Error> {
        Ok(Verifier::new(self.signed()?, secret)?.with_tolerance(self.tolerance))
    }

    /// Judges the outcome of an attempt.
    pub fn judge(&self, outcome: &Outcome) -> Judgement {
        let Some(status) = outcome.status() else {
            return Judgement::Retry;
        };
        if self.success.contains(&status.as_u16()) {
            Judgement::Success
        } else if self.disables_on_gone && status == StatusCode::GONE {
            Judgement::Gone
        } else if self.retryable == Retryable::AnyFailure || status.is_server_error() {
            Judgement::Retry
        } else {
            Judgement::Final
        }
    }

    /// The first term in which the contract delivers in another way than `other`; `None` where they differ in
    /// their names and their data at most.
    pub(crate) fn differing_term(&self, other: &Self) -> Option<&'static str> {
        let terms = [
            ("scheme", self.scheme == other.scheme),
            ("tolerance", self.tolerance == other.tolerance),
            ("timeout", self.timeout == other.timeout),
            ("success", self.success == other.success),
            ("retry", self.retry == other.retry),
            ("retryable", self.retryable == other.retryable),
            ("disables_on_gone", self.disables_on_gone == other.disables_on_gone),
            ("auto_disable", self.auto_disable == other.auto_disable),
            ("rotation", self.rotation == other.rotation),
            ("dedupe_window", self.dedupe_window == other.dedupe_window),
            ("copy_window", self.copy_window() == other.copy_window()),
        ];
        terms.into_iter().find(|(_, is_same)| !is_same).map(|(term, _)| term)
    }

    /// Checks that `other`, a contract of the same name, delivers in the same way.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Contract`] with the term that differs.
    pub(crate) fn check_terms(&self, other: &Self) -> Result<(), Error> {
        let Some(term) = self.differing_term(other) else { return Ok(()) };
        let what = format!("two contracts are called `{}` and differ in `{term}`", self.name());
        let expected =
            "contracts of one name that differ in their data at most; `Contract::with_name` names another";
        Err(Error::new(ErrorKind::Contract, what).with_expected(expected))
    }

    fn signed(&self) -> Result<Scheme, Error> {
        self.scheme.ok_or_else(|| {
            Error::new(
                ErrorKind::Unsigned,
                format!(
                    "contract `{}` does not sign its requests, so there is nothing to sign or verify with",
                    self.name()
                ),
            )
        })
    }
}

impl From<&Contract> for ContractId {
    fn from(contract: &Contract) -> Self {
        contract.id.clone().signing(contract.scheme.is_some())
    }
}

/// The time within which a proxy may repeat a request.
const SHORTEST_COPY_WINDOW: Duration = Duration::from_secs(60);
/// A list of delays is no longer than this.
const MOST_ATTEMPTS: usize = 10_001;
/// The version of a contract that was given none.
const FIRST_VERSION: &str = "v1";
