//! The parts of a draft: [`ConditionDraft`], [`AuthenticationDraft`], [`ClientCertificateDraft`],
//! [`RateDraft`], [`RetryDraft`], and [`Hideable`] values.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::reading::{given, only_objects, required};
use crate::error::{Error, ErrorKind};
use crate::retry::RetryPolicy;
use crate::signature::{Secret, StoredSecret};
use crate::subscription::{Authentication, ClientCertificate, Options, Subject};

/// A [`Condition`](crate::subscription::Condition) that a caller asks for.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct ConditionDraft {
    /// The part of the event that it is about; the default is the data.
    #[serde(default = "data")]
    pub part: Subject,
    /// The place in that part (RFC 6901).
    pub pointer: String,
    /// The values, of which one has to stand there.
    pub values: Vec<Value>,
}

impl ConditionDraft {
    /// Makes a condition on the event's data.
    pub fn data<V: Into<Value>>(pointer: impl Into<String>, values: impl IntoIterator<Item = V>) -> Self {
        let values = values.into_iter().map(Into::into).collect();
        Self { part: Subject::Data, pointer: pointer.into(), values }
    }
}

/// A value that no read shows: a new one, or the one that is stored.
///
/// In JSON the stored one is `{"hidden": true}`, as a read shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Hideable<T> {
    /// The stored value stays.
    Hidden,
    /// A new value.
    New(T),
}

/// Reads an object whose members make `T`, a text that makes `T`, or `{"hidden": true}`.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Hideable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrObject<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for TextOrObject<T> {
            type Value = Hideable<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a new value, or {\"hidden\": true}")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(serde::de::value::StrDeserializer::new(text)).map(Hideable::New)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = serde_json::Map::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.contains_key(&name) {
                        return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
                    }
                    members.insert(name, value);
                }
                if members.len() == 1 && members.get("hidden") == Some(&Value::Bool(true)) {
                    return Ok(Hideable::Hidden);
                }
                T::deserialize(Value::Object(members)).map(Hideable::New).map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_any(TextOrObject(std::marker::PhantomData))
    }
}

/// A value that no read shows, as a read shows it: `{"hidden": true}`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Hidden {
    /// Always `true`.
    pub hidden: bool,
}

impl Hidden {
    pub(super) const VALUE: Self = Self { hidden: true };
}

/// The way in which requests authenticate beside their signature.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum AuthenticationKind {
    /// No authentication beside the signature.
    None,
    /// A key as the whole value of a header.
    ApiKey,
    /// A name and a password.
    Basic,
    /// A fixed bearer token.
    Bearer,
    /// A bearer token from the dispatcher's token source.
    BearerFromSource,
}

impl AuthenticationKind {
    pub(super) const fn of(authentication: &Authentication) -> Self {
        match authentication {
            Authentication::None => Self::None,
            Authentication::ApiKey(..) => Self::ApiKey,
            Authentication::Basic(..) => Self::Basic,
            Authentication::Bearer(_) => Self::Bearer,
            Authentication::BearerFromSource => Self::BearerFromSource,
        }
    }
}

/// An [`Authentication`] that a caller asks for. `Debug` shows no credentials.
///
/// A credential that is left out is the stored one, if there is one of the same kind.
#[derive(Clone, Debug, Default, Deserialize)]
#[non_exhaustive]
#[serde(default, deny_unknown_fields, remote = "Self")]
pub struct AuthenticationDraft {
    /// The kind. In a patch, `None` for the kind that is there.
    #[serde(rename = "type", deserialize_with = "required")]
    pub kind: Option<AuthenticationKind>,
    /// The header of an API key.
    #[serde(deserialize_with = "required")]
    pub header: Option<String>,
    /// The API key.
    #[serde(deserialize_with = "required")]
    pub key: Option<Secret>,
    /// The name, which is no text to read back either.
    #[serde(deserialize_with = "required")]
    pub user: Option<String>,
    /// The password.
    #[serde(deserialize_with = "required")]
    pub password: Option<Secret>,
    /// The bearer token.
    #[serde(deserialize_with = "required")]
    pub token: Option<Secret>,
}

impl AuthenticationDraft {
    /// Makes a draft of this kind, without credentials.
    pub fn new(kind: AuthenticationKind) -> Self {
        Self { kind: Some(kind), ..Self::default() }
    }

    /// Makes a draft with a fixed bearer token.
    pub fn bearer(token: Secret) -> Self {
        Self { token: Some(token), ..Self::new(AuthenticationKind::Bearer) }
    }

    /// Builds the authentication. A part that is left out comes from `old`, if that has the same kind. An
    /// error names the part.
    pub(super) fn build(self, old: &Authentication) -> Result<Authentication, (&'static str, Error)> {
        let kind = self.kind.unwrap_or_else(|| AuthenticationKind::of(old));
        let taken: &[&str] = match kind {
            AuthenticationKind::None | AuthenticationKind::BearerFromSource => &[],
            AuthenticationKind::ApiKey => &["header", "key"],
            AuthenticationKind::Basic => &["user", "password"],
            AuthenticationKind::Bearer => &["token"],
        };
        for (name, is_given) in [
            ("header", self.header.is_some()),
            ("key", self.key.is_some()),
            ("user", self.user.is_some()),
            ("password", self.password.is_some()),
            ("token", self.token.is_some()),
        ] {
            if is_given && !taken.contains(&name) {
                let error = Error::new(ErrorKind::Subscription, "this type has no such field");
                return Err((name, error.with_expected("another `type`, or no such field")));
            }
        }
        let missing = |name: &'static str| {
            let error = Error::new(ErrorKind::Subscription, "required field is missing");
            (name, error.with_expected("a value, because none of this type is stored"))
        };
        let same = AuthenticationKind::of(old) == kind;
        let stored = old.secret().filter(|_| same);
        let credential = |given: Option<Secret>, name| match (given, stored) {
            (Some(given), _) => Ok(StoredSecret::from(given)),
            (None, Some(stored)) => Ok(stored.clone()),
            (None, None) => Err(missing(name)),
        };
        let (made, secret) = match kind {
            AuthenticationKind::None => return Ok(Authentication::None),
            AuthenticationKind::BearerFromSource => return Ok(Authentication::BearerFromSource),
            AuthenticationKind::ApiKey => {
                let header = self.header.or_else(|| match old {
                    Authentication::ApiKey(header, _) => Some(header.to_string()),
                    _ => None,
                });
                let header = header.ok_or_else(|| missing("header"))?;
                let made = Authentication::api_key(&header, placeholder());
                (made.map_err(|error| ("header", error))?, credential(self.key, "key")?)
            }
            AuthenticationKind::Basic => {
                let user = self.user.or_else(|| match old {
                    Authentication::Basic(user, _) => Some(user.clone()),
                    _ => None,
                });
                let made = Authentication::basic(user.ok_or_else(|| missing("user"))?, placeholder());
                (made.map_err(|error| ("user", error))?, credential(self.password, "password")?)
            }
            AuthenticationKind::Bearer => {
                let made = Authentication::bearer(placeholder()).map_err(|error| ("token", error))?;
                (made, credential(self.token, "token")?)
            }
        };
        let name = taken.last().copied().unwrap_or_default();
        made.with_secret(secret).map_err(|error| (name, error))
    }
}

/// Stands where a credential is put afterwards.
fn placeholder() -> Secret {
    "x".parse().expect("invariant: it is visible ASCII")
}

/// Reads an authentication that has to say its type; `null` is none.
pub(super) fn typed<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<AuthenticationDraft>, D::Error> {
    let draft = Option::<AuthenticationDraft>::deserialize(deserializer)?;
    let draft = draft.unwrap_or_else(|| AuthenticationDraft::new(AuthenticationKind::None));
    match draft.kind {
        Some(_) => Ok(Some(draft)),
        None => Err(D::Error::missing_field("type")),
    }
}

/// A [`ClientCertificate`] that a caller asks for. `Debug` shows nothing of it.
#[derive(Clone, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct ClientCertificateDraft {
    /// The certificates in PEM, the own one first.
    pub certificates: String,
    /// The private key in PEM.
    pub key: Zeroizing<String>,
}

impl ClientCertificateDraft {
    /// Makes a client certificate of these texts in PEM.
    pub fn new(certificates: impl Into<String>, key: impl Into<Zeroizing<String>>) -> Self {
        Self { certificates: certificates.into(), key: key.into() }
    }

    pub(super) fn build(&self) -> Result<ClientCertificate, Error> {
        ClientCertificate::from_pem(&self.certificates, &self.key)
    }
}

impl fmt::Debug for ClientCertificateDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificateDraft(..)")
    }
}

/// A rate that a caller asks for.
#[derive(Clone, Copy, Debug, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct RateDraft {
    /// The most attempts that may begin in a second.
    pub per_second: f64,
    /// The most attempts that may begin at once after a quiet time.
    #[serde(default = "one")]
    pub burst: u32,
}

impl RateDraft {
    /// Makes a rate of `per_second` attempts, and of `burst` at once.
    pub const fn new(per_second: f64, burst: u32) -> Self {
        Self { per_second, burst }
    }
}

/// Changes of a rate. A field that is `None` stays.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[non_exhaustive]
#[serde(default, deny_unknown_fields, remote = "Self")]
pub struct RatePatch {
    /// The most attempts that may begin in a second; needed where there is no rate yet.
    #[serde(deserialize_with = "required")]
    pub per_second: Option<f64>,
    /// The most attempts that may begin at once; `Some(None)` for one.
    #[serde(deserialize_with = "given")]
    pub burst: Option<Option<u32>>,
}

impl RatePatch {
    /// The rate that the change makes of `old`; `None` where a rate has to have a number per second.
    pub(super) fn apply(self, old: Option<RateDraft>) -> Option<RateDraft> {
        let per_second = self.per_second.or_else(|| old.map(|old| old.per_second))?;
        let burst = match self.burst {
            Some(burst) => burst.unwrap_or_else(one),
            None => old.map_or_else(one, |old| old.burst),
        };
        Some(RateDraft { per_second, burst })
    }
}

impl From<RateDraft> for RatePatch {
    fn from(draft: RateDraft) -> Self {
        Self { per_second: Some(draft.per_second), burst: Some(Some(draft.burst)) }
    }
}

/// A schedule of retries that a caller asks for, in place of the contract's. It has the contract's jitter.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RetryDraft {
    /// One attempt and no retry.
    None,
    /// A retry after each of these delays.
    #[non_exhaustive]
    Delays {
        /// The delays, each counted from the failure before it: 0.001 to 31,536,000 seconds.
        seconds: Vec<f64>,
    },
    /// Delays that grow.
    #[non_exhaustive]
    Exponential {
        /// The first delay.
        first_seconds: f64,
        /// The factor by which each delay is longer than the one before.
        factor: f64,
        /// The longest delay.
        max_delay_seconds: Option<f64>,
        /// The number of attempts, with the first one.
        max_attempts: u32,
    },
}

impl RetryDraft {
    /// The shortest and the longest delay, in seconds.
    pub(super) const BOUNDS: (f64, f64) = (0.001, 31_536_000.0);

    /// Makes a schedule with a retry after each of these delays.
    pub fn delays(seconds: impl IntoIterator<Item = f64>) -> Self {
        Self::Delays { seconds: seconds.into_iter().collect() }
    }

    /// The delays between the attempts.
    pub(super) fn build(&self) -> Result<Vec<Duration>, Error> {
        let (least, most) = Self::BOUNDS;
        let wait = |seconds: f64| {
            let fits = (least..=most).contains(&seconds);
            fits.then(|| Duration::from_secs_f64(seconds)).ok_or_else(|| {
                Error::new(ErrorKind::RetryPolicy, format!("a delay is {seconds} s"))
                    .with_expected(format!("{least} to {most}"))
            })
        };
        match self {
            Self::None => Ok(Vec::new()),
            Self::Delays { seconds } => {
                seconds.iter().take(Options::MAX_RETRIES + 1).map(|seconds| wait(*seconds)).collect()
            }
            Self::Exponential { first_seconds, factor, max_delay_seconds, max_attempts } => {
                let mut policy = RetryPolicy::exponential(wait(*first_seconds)?, *factor);
                if let Some(max) = max_delay_seconds {
                    policy = policy.with_max_delay(wait(*max)?);
                }
                let policy = policy.with_max_attempts(*max_attempts).build()?;
                Ok((1..)
                    .map_while(|attempt| policy.delay_after(attempt))
                    .take(Options::MAX_RETRIES + 1)
                    .collect())
            }
        }
    }
}

/// The fields of every kind of schedule.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
struct RetryFields {
    #[serde(rename = "type")]
    kind: RetryKind,
    #[serde(default, deserialize_with = "required")]
    seconds: Option<Vec<f64>>,
    #[serde(default, deserialize_with = "required")]
    first_seconds: Option<f64>,
    #[serde(default, deserialize_with = "required")]
    factor: Option<f64>,
    #[serde(default, deserialize_with = "given")]
    max_delay_seconds: Option<Option<f64>>,
    #[serde(default, deserialize_with = "required")]
    max_attempts: Option<u32>,
}

#[derive(Clone, Copy, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
enum RetryKind {
    None,
    Delays,
    Exponential,
}

impl<'de> Deserialize<'de> for RetryDraft {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields: RetryFields = Deserialize::deserialize(deserializer)?;
        let RetryFields { kind, seconds, first_seconds, factor, max_delay_seconds, max_attempts } = fields;
        let taken: &'static [&'static str] = match kind {
            RetryKind::None => &["type"],
            RetryKind::Delays => &["type", "seconds"],
            RetryKind::Exponential => {
                &["type", "first_seconds", "factor", "max_delay_seconds", "max_attempts"]
            }
        };
        for (name, is_given) in [
            ("seconds", seconds.is_some()),
            ("first_seconds", first_seconds.is_some()),
            ("factor", factor.is_some()),
            ("max_delay_seconds", max_delay_seconds.is_some()),
            ("max_attempts", max_attempts.is_some()),
        ] {
            if is_given && !taken.contains(&name) {
                return Err(D::Error::unknown_field(name, taken));
            }
        }
        let missing = D::Error::missing_field;
        Ok(match kind {
            RetryKind::None => Self::None,
            RetryKind::Delays => Self::Delays { seconds: seconds.ok_or_else(|| missing("seconds"))? },
            RetryKind::Exponential => Self::Exponential {
                first_seconds: first_seconds.ok_or_else(|| missing("first_seconds"))?,
                factor: factor.unwrap_or(2.0),
                max_delay_seconds: max_delay_seconds.flatten(),
                max_attempts: max_attempts.ok_or_else(|| missing("max_attempts"))?,
            },
        })
    }
}

only_objects!(ConditionDraft, AuthenticationDraft, ClientCertificateDraft, RateDraft, RatePatch, RetryFields,);

const fn one() -> u32 {
    1
}

const fn data() -> Subject {
    Subject::Data
}
