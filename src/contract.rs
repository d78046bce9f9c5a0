//! [`Contract`]: how one platform delivers, as a value.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind};
use crate::event::{Catalogue, DecodeError, Envelope, EnvelopeFormat, EventData, EventId};
use crate::outcome::Outcome;
use crate::platform;
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
    ordering: &'static [&'static str],
    dedupe_window: Duration,
}

impl Contract {
    /// The names that [`FromStr`] knows.
    pub const NAMES: [&'static str; 6] =
        ["allison", "allo", "allo_v1", "nectar_desk", "recept_ai", "standard_webhooks"];

    /// Allison: 6 attempts over 31 h 16 min, 2xx within 10 s, `410` ends a subscription.
    ///
    /// Allison publishes no number for "keeps failing"; 5 days of nothing but failures is our default. It publishes no
    /// version field's meaning either, so any version is read.
    pub fn allison() -> Self {
        Self {
            timeout: seconds(10),
            retry: listed(&[MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, 24 * HOUR]),
            disables_on_gone: true,
            auto_disable: Some(AutoDisable::failing_for(seconds(5 * DAY))),
            ..Self::base(
                "allison",
                EnvelopeFormat::ALLISON,
                platform::allison::Event::CATALOGUE,
                Some(Scheme::ALLISON),
            )
        }
    }

    /// Allo's current API: Standard Webhooks, 8 attempts over 27 h 35 min 5 s, 2xx within 20 s.
    ///
    /// Three failed attempts or more with 12 h between the first and the last inside 24 h start a timer; 5 days of
    /// nothing but failures then disable the endpoint. Allo says nothing of `410`; Standard Webhooks does, and it ends
    /// the subscription.
    pub fn allo() -> Self {
        Self {
            timeout: seconds(20),
            retry: listed(&[5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR]),
            disables_on_gone: true,
            auto_disable: Some(AutoDisable::failing_for(seconds(5 * DAY)).with_trigger(
                3,
                seconds(12 * HOUR),
                seconds(24 * HOUR),
            )),
            rotation: Rotation::Overlap(seconds(DAY)),
            ..Self::base(
                "allo",
                EnvelopeFormat::ALLO,
                platform::allo::Event::CATALOGUE,
                Some(Scheme::STANDARD_WEBHOOKS),
            )
        }
    }

    /// Allo's first API: unsigned, one attempt, 2xx within 30 s.
    ///
    /// It publishes no retries and no rule that disables; both are settable.
    pub fn allo_v1() -> Self {
        Self {
            timeout: seconds(30),
            ..Self::base("allo_v1", EnvelopeFormat::ALLO_V1, platform::allo_v1::Event::CATALOGUE, None)
        }
    }

    /// Nectar Desk: unsigned, in order per call or message, at most 3 retries after 1 s, 2 s and 4 s, and only on network
    /// faults and 5xx.
    ///
    /// No time-out is published; 10 s is our default. The payloads are not published either: the ordering key is looked
    /// for where call centres put a call's or a message's id.
    pub fn nectar_desk() -> Self {
        Self {
            timeout: seconds(10),
            retry: listed(&[1, 2, 4]),
            retryable: Retryable::FaultsAndServerErrors,
            ordering: &["/call_id", "/callId", "/call/id", "/message_id", "/messageId", "/message/id", "/id"],
            ..Self::base(
                "nectar_desk",
                EnvelopeFormat::NECTAR_DESK,
                platform::nectar_desk::Event::CATALOGUE,
                None,
            )
        }
    }

    /// ReceptAI: 8 attempts, exponential from 30 s by 2 up to 1 h, 2xx within 10 s.
    ///
    /// ReceptAI lets a subscription choose how its deliveries are authenticated; Standard Webhooks is our default.
    pub fn recept_ai() -> Self {
        Self {
            timeout: seconds(10),
            retry: RetryPolicy::exponential(seconds(30), 2.0)
                .with_max_delay(seconds(HOUR))
                .with_max_attempts(8)
                .build()
                .expect("invariant: these numbers make a policy"),
            rotation: Rotation::Overlap(seconds(DAY)),
            ..Self::base(
                "recept_ai",
                EnvelopeFormat::RECEPT_AI,
                platform::recept_ai::Event::CATALOGUE,
                Some(Scheme::STANDARD_WEBHOOKS),
            )
        }
    }

    /// Standard Webhooks as its specification recommends: 10 attempts over 3 days 3 h 35 min 5 s, 2xx within 20 s, `410` ends
    /// a subscription, both secrets sign for a day after a rotation. Its catalogue is open.
    ///
    /// Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>, "Retry
    /// schedule" and "Timeouts" (which asks for 15 to 30 s).
    pub fn standard_webhooks() -> Self {
        Self {
            timeout: seconds(20),
            retry: listed(&[
                5,
                5 * MINUTE,
                30 * MINUTE,
                2 * HOUR,
                5 * HOUR,
                10 * HOUR,
                14 * HOUR,
                20 * HOUR,
                24 * HOUR,
            ]),
            disables_on_gone: true,
            auto_disable: Some(AutoDisable::failing_for(seconds(5 * DAY))),
            rotation: Rotation::Overlap(seconds(DAY)),
            ..Self::base(
                "standard_webhooks",
                EnvelopeFormat::STANDARD_WEBHOOKS,
                Catalogue::OPEN,
                Some(Scheme::STANDARD_WEBHOOKS),
            )
        }
    }

    fn base(
        name: &'static str,
        format: EnvelopeFormat,
        catalogue: Catalogue,
        scheme: Option<Scheme>,
    ) -> Self {
        Self {
            name: Cow::Borrowed(name),
            format,
            catalogue,
            scheme,
            tolerance: TOLERANCE,
            timeout: seconds(10),
            success: 200..=299,
            retry: RetryPolicy::none(),
            retryable: Retryable::AnyFailure,
            disables_on_gone: false,
            auto_disable: None,
            rotation: Rotation::Immediate,
            ordering: &[],
            dedupe_window: seconds(7 * DAY),
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

    /// How long receivers remember an event's id, which is longer than the sender tries.
    pub fn dedupe_window(&self) -> Duration {
        self.dedupe_window
    }

    /// What keeps deliveries in order: the first of the contract's JSON pointers (RFC 6901) that finds text or a number
    /// in `data`.
    pub fn ordering_key(&self, data: &RawValue) -> Option<String> {
        if self.ordering.is_empty() {
            return None;
        }
        let data: Value = serde_json::from_str(data.get()).ok()?;
        self.ordering.iter().find_map(|pointer| match data.pointer(pointer)? {
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

    /// The same contract with other retries.
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

    /// The same contract with other JSON pointers (RFC 6901) into the data for the ordering key; none for no order.
    pub fn with_ordering(mut self, pointers: &'static [&'static str]) -> Self {
        self.ordering = pointers;
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
    /// [`ErrorKind::Encode`] when the data cannot be JSON or the time cannot be RFC 3339, [`ErrorKind::Event`] when the id
    /// holds a full stop that the scheme could not sign.
    pub fn encode<T: EventData>(&self, envelope: &Envelope<T>) -> Result<Bytes, Error> {
        if self.scheme.is_some_and(|scheme| scheme.signs_id()) && envelope.id.as_str().contains('.') {
            return Err(Error::new(
                ErrorKind::Event,
                "event id holds a full stop, which the scheme puts between the parts it signs; expected none",
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
        let received = self.format.decode::<T>(verified.body())?;
        let header = self.scheme.and_then(|scheme| scheme.id_header());
        let told = verified.id().or_else(|| verified.header(header?));
        let id = match (received.id, told) {
            (Some(body), Some(told)) if body.as_str() != told => {
                return Err(DecodeError::IdMismatch { header: header.unwrap_or_default() });
            }
            (Some(body), _) => body,
            // A header that the signature does not cover proves nothing.
            (None, Some(told)) if !matches!(verified.by(), Proof::Signature(scheme) if !scheme.signs_id()) => {
                told.parse().map_err(|_| DecodeError::InvalidField {
                    field: header.unwrap_or_default(),
                    reason: "expected 1 to 256 visible ASCII characters",
                })?
            }
            (None, _) => EventId::of_body(verified.body()),
        };
        let created_at =
            received.created_at.or_else(|| verified.timestamp()).unwrap_or_else(|| verified.received_at());
        Ok(Envelope { id, created_at, version: received.version, data: received.data })
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

/// The contract of this name, one of [`Contract::NAMES`].
impl FromStr for Contract {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Ok(match name {
            "allison" => Self::allison(),
            "allo" => Self::allo(),
            "allo_v1" => Self::allo_v1(),
            "nectar_desk" => Self::nectar_desk(),
            "recept_ai" => Self::recept_ai(),
            "standard_webhooks" => Self::standard_webhooks(),
            _ => {
                return Err(Error::new(
                    ErrorKind::Contract,
                    format!("unknown contract, expected one of {}", Self::NAMES.join(", ")),
                ));
            }
        })
    }
}

/// What an outcome means for the delivery.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Judgement {
    /// Delivered.
    Success,
    /// Failed, and tried again if the policy has an attempt left.
    Retry,
    /// Failed for good: another attempt would meet the same answer.
    Final,
    /// The endpoint said that it is gone: the delivery and its subscription end.
    Gone,
}

/// Which failures a contract tries again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Retryable {
    /// Everything that is not a success.
    AnyFailure,
    /// Network faults, time-outs among them, and 5xx; every other answer is final.
    FaultsAndServerErrors,
}

/// What becomes of the old secret when a new one is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Rotation {
    /// The new secret replaces the old one at once.
    Immediate,
    /// Both sign for this long.
    Overlap(Duration),
}

/// When a subscription that keeps failing is disabled.
///
/// A run of failures counts once it has at least `failures` failed attempts, with at least `spread` between the first
/// and the last of them inside `window`; when it then lasts for `after` without one success, the subscription is
/// disabled. One success clears it.
///
/// ```
/// use std::time::Duration;
/// use hookwire::AutoDisable;
///
/// const HOUR: Duration = Duration::from_secs(3600);
/// let rule = AutoDisable::failing_for(HOUR * 120).with_trigger(3, HOUR * 12, HOUR * 24);
/// assert_eq!(rule.after(), HOUR * 120);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AutoDisable {
    after: Duration,
    failures: u32,
    spread: Duration,
    window: Duration,
}

impl AutoDisable {
    /// Disables after this long of nothing but failures, from the first one on.
    pub const fn failing_for(after: Duration) -> Self {
        Self { after, failures: 1, spread: Duration::ZERO, window: Duration::MAX }
    }

    /// The same rule, its timer started only by `failures` failed attempts spread over at least `spread` inside `window`.
    pub fn with_trigger(mut self, failures: u32, spread: Duration, window: Duration) -> Self {
        self.failures = failures;
        self.spread = spread;
        self.window = window;
        self
    }

    /// How long failures last before the subscription is disabled, counted from when the timer started.
    pub fn after(&self) -> Duration {
        self.after
    }

    /// How many failed attempts start the timer.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// How far apart the first and the last of them are at least.
    pub fn spread(&self) -> Duration {
        self.spread
    }

    /// The window that they fall in.
    pub fn window(&self) -> Duration {
        self.window
    }
}

fn listed(delays: &[u64]) -> RetryPolicy {
    RetryPolicy::delays(delays.iter().map(|delay| seconds(*delay)))
        .expect("invariant: these delays make a policy")
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const TOLERANCE: Duration = Duration::from_secs(300);
