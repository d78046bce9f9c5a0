//! [`Contract`]: how one platform delivers, as a value.

mod parts;

pub use parts::{AutoDisable, Judgement, OrderingRule, Retryable, Rotation};

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;
use serde_json::value::RawValue;
use time::UtcOffset;

use crate::error::{Error, ErrorKind};
use crate::event::{Catalogue, DecodeError, Envelope, EnvelopeFormat, EventData, EventId};
use crate::outcome::Outcome;
use crate::retry::RetryPolicy;
use crate::signature::{Proof, Scheme, Secret, Signer, Verified, Verifier};

/// How one platform delivers: envelope, signature, time-out, success, retries, auto-disable, rotation.
///
/// A value, not a trait: a new platform is a new value. Each part has a `with_` setter.
///
/// ```
/// use std::time::Duration;
/// use hookwire::{Contract, Judgement, Outcome};
/// use http::StatusCode;
///
/// let contract: Contract = "allison".parse()?;
/// assert_eq!(contract.timeout(), Duration::from_secs(10));
/// assert_eq!(contract.retry().max_attempts(), Some(6));
/// assert_eq!(contract.judge(&Outcome::answered(StatusCode::GONE)), Judgement::Gone);
///
/// // The same with our own time-out.
/// let patient = Contract::allison().with_timeout(Duration::from_secs(30));
/// # assert_eq!(patient.timeout(), Duration::from_secs(30));
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Contract {
    name: Cow<'static, str>,
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
}

impl Contract {
    /// A contract called `name` that writes envelopes as `format` has them.
    ///
    /// It publishes no event types ([`Catalogue::OPEN`]), is unsigned, takes 2xx within 10 s as success, tries once, disables
    /// nothing, replaces secrets at once, tolerates clocks that are 5 minutes off, and has receivers remember ids for 7
    /// days. Each is set with its `with_` setter.
    ///
    /// ```
    /// use hookwire::{Contract, EnvelopeFormat, Field, Scheme};
    ///
    /// const FORMAT: EnvelopeFormat = EnvelopeFormat::new(&[Field::Id("id"), Field::Type("kind"), Field::Data("body")]);
    /// let acme = Contract::new("acme", FORMAT).with_scheme(Scheme::STANDARD_WEBHOOKS);
    /// assert_eq!(acme.retry().max_attempts(), Some(1));
    /// ```
    pub fn new(name: impl Into<Cow<'static, str>>, format: EnvelopeFormat) -> Self {
        Self {
            name: name.into(),
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
        }
    }

    /// What the contract is called.
    pub fn name(&self) -> &str {
        &self.name
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

    /// What becomes of the old secret when a new one is made.
    pub fn rotation(&self) -> Rotation {
        self.rotation
    }

    /// How long receivers remember an event's id, which is longer than the sender of any contract named here tries.
    pub fn dedupe_window(&self) -> Duration {
        self.dedupe_window
    }

    /// Where the data names what keeps deliveries in order; empty for no order.
    pub fn ordering(&self) -> &'static [OrderingRule] {
        self.ordering
    }

    /// What keeps deliveries in order: those with the same key are sent one after another. `None` for an event that no
    /// [`ordering`](Self::ordering) rule is about, and for data without the key.
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
        let data: Value = serde_json::from_str(data.get()).ok()?;
        rule.pointers().iter().find_map(|pointer| match data.pointer(pointer)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
    }

    /// The same contract under another name.
    pub fn with_name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// The same contract with another envelope.
    pub fn with_format(mut self, format: EnvelopeFormat) -> Self {
        self.format = format;
        self
    }

    /// The same contract with another catalogue, such as one of your own.
    pub fn with_catalogue(mut self, catalogue: Catalogue) -> Self {
        self.catalogue = catalogue;
        self
    }

    /// The same contract signed by another scheme; `None` for not at all.
    pub fn with_scheme(mut self, scheme: impl Into<Option<Scheme>>) -> Self {
        self.scheme = scheme.into();
        self
    }

    /// The same contract with another tolerance for timestamps.
    pub fn with_tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// The same contract with another time-out.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same contract with another range of statuses that count as success.
    pub fn with_success(mut self, statuses: RangeInclusive<u16>) -> Self {
        self.success = statuses;
        self
    }

    /// The same contract with other retries. A sender that then tries for longer than a week wants a longer
    /// [`dedupe_window`](Self::with_dedupe_window) too, or its last attempts are handled anew.
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// The same contract retrying other failures.
    pub fn with_retryable(mut self, retryable: Retryable) -> Self {
        self.retryable = retryable;
        self
    }

    /// The same contract, where `410 Gone` does or does not end the subscription.
    pub fn with_disables_on_gone(mut self, disables: bool) -> Self {
        self.disables_on_gone = disables;
        self
    }

    /// The same contract with another rule for subscriptions that keep failing; `None` for never.
    pub fn with_auto_disable(mut self, rule: impl Into<Option<AutoDisable>>) -> Self {
        self.auto_disable = rule.into();
        self
    }

    /// The same contract with another rule for old secrets.
    pub fn with_rotation(mut self, rotation: Rotation) -> Self {
        self.rotation = rotation;
        self
    }

    /// The same contract finding the ordering key by other rules; none for no order.
    pub fn with_ordering(mut self, rules: &'static [OrderingRule]) -> Self {
        self.ordering = rules;
        self
    }

    /// The same contract with another time for which receivers remember ids.
    pub fn with_dedupe_window(mut self, window: Duration) -> Self {
        self.dedupe_window = window;
        self
    }

    /// Writes an envelope: the bytes to store, sign and send.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Encode`] when the data cannot be JSON, the time cannot be RFC 3339 or the type's name is no
    /// [`EventType`](crate::EventType); [`ErrorKind::Event`] when the id holds a full stop, or whatever else ends a signed id,
    /// which the scheme could not sign.
    pub fn encode<T: EventData>(&self, envelope: &Envelope<T>) -> Result<Bytes, Error> {
        // What the signer would refuse later, when the event is stored already.
        if let Some(separator) = self.scheme.and_then(|scheme| scheme.id_separator)
            && envelope.id.as_str().contains(['.', char::from(separator)])
        {
            return Err(Error::new(
                ErrorKind::Event,
                "event id holds a full stop or what else ends an id that the scheme signs, expected neither",
            ));
        }
        self.format.encode(envelope)
    }

    /// Reads a proven body as an event.
    ///
    /// `T` is a catalogue's enum, which takes any type, or one type's struct, which refuses others.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Data`] for data that does not fit its type (the request is genuine, and the data is kept);
    /// the others for a body that is not this contract's envelope, or whose id is not the header's.
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
    fn event_id(&self, body: Option<EventId>, verified: &Verified<'_>) -> Result<EventId, DecodeError> {
        let (scheme, signed) = match verified.by() {
            Proof::Signature(scheme) => (Some(scheme), true),
            Proof::Kept => (self.scheme, true),
            Proof::Guard(_) | Proof::Nothing => (self.scheme, false),
        };
        let header = scheme.and_then(|scheme| scheme.id_header()).unwrap_or_default();
        let told = if signed { verified.id() } else { verified.header(header) };
        match (body, told) {
            (Some(body), Some(told)) if body.as_str() != told => Err(DecodeError::IdMismatch { header }),
            (Some(body), _) => Ok(body),
            // A header that the signature does not cover proves nothing.
            (None, Some(told)) if !signed || verified.id_is_signed() => {
                told.parse().map_err(|_| DecodeError::InvalidField {
                    field: header,
                    reason: "expected 1 to 256 visible ASCII characters",
                })
            }
            (None, _) => Ok(EventId::of_body(verified.body())),
        }
    }

    /// A signer for this contract's scheme.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsigned`] when the platform does not sign, [`ErrorKind::Secret`] for a secret of the wrong form.
    pub fn signer(&self, secret: &Secret) -> Result<Signer, Error> {
        Signer::new(self.signed()?, secret)
    }

    /// A verifier for this contract's scheme and tolerance.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsigned`] when the platform does not sign, [`ErrorKind::Secret`] for a secret of the wrong form.
    pub fn verifier(&self, secret: &Secret) -> Result<Verifier, Error> {
        Ok(Verifier::new(self.signed()?, secret)?.with_tolerance(self.tolerance))
    }

    /// What an attempt's outcome means under this contract.
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

    fn signed(&self) -> Result<Scheme, Error> {
        self.scheme.ok_or_else(|| {
            Error::new(
                ErrorKind::Unsigned,
                format!(
                    "contract `{}` does not sign its requests, so there is nothing to sign or verify with",
                    self.name
                ),
            )
        })
    }
}
