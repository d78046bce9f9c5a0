//! [`Verified`]: a received message with its proof.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use time::OffsetDateTime;
use time::macros::datetime;

use super::request::Request;
use super::scheme::Scheme;

/// A received message with the proof of its origin.
///
/// Only a `Verified` can be decoded into an event. A [`Verifier`](crate::Verifier) makes one. For platforms
/// that sign nothing, [`dangerous_unsigned`](Self::dangerous_unsigned) makes one without a proof.
/// [`by`](Self::by) says which proof there is.
///
/// It borrows the headers and the body of the request; [`into_owned`](Self::into_owned) lets it outlive them.
#[derive(Clone)]
pub struct Verified<'a> {
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) timestamp: Option<i64>,
    pub(super) body: Cow<'a, [u8]>,
    pub(super) by: By,
    pub(super) received_at: OffsetDateTime,
    /// The headers of an unsigned message. A signed message needs no other header than its scheme's.
    pub(super) headers: Option<Headers<'a>>,
}

impl<'a> Verified<'a> {
    /// Accepts a message **without any proof**, received now.
    ///
    /// It is for platforms that sign nothing, behind a guard of your own, such as an unguessable URL or an
    /// allow-list of addresses.
    ///
    /// ```
    /// use hookwire::signature::Proof;
    /// use hookwire::Verified;
    ///
    /// let headers = http::HeaderMap::new();
    /// let taken = Verified::dangerous_unsigned(&headers, b"{}");
    /// assert_eq!(taken.by(), Proof::Nothing);
    /// assert_eq!(taken.id(), None);
    /// ```
    pub fn dangerous_unsigned(headers: &'a HeaderMap, body: &'a [u8]) -> Self {
        Self::dangerous_unsigned_at(headers, body, OffsetDateTime::now_utc())
    }

    /// Accepts a message without any proof, received at `now`: the pure twin of
    /// [`dangerous_unsigned`](Self::dangerous_unsigned).
    pub fn dangerous_unsigned_at(headers: &'a HeaderMap, body: &'a [u8], now: OffsetDateTime) -> Self {
        Self {
            id: None,
            timestamp: None,
            body: Cow::Borrowed(body),
            by: By::Nothing,
            received_at: now,
            headers: Some(Headers::Borrowed(headers)),
        }
    }

    /// Makes a message that a guard admitted.
    pub(crate) fn guarded_at(
        guard: &'static str,
        headers: &'a HeaderMap,
        body: &'a [u8],
        now: OffsetDateTime,
    ) -> Self {
        Self { by: By::Guard(guard), ..Self::dangerous_unsigned_at(headers, body, now) }
    }

    /// Makes a message that was proven in another way than by a scheme.
    pub(crate) fn proven(
        by: Proof,
        signed_at: Option<i64>,
        request: &Request<'a>,
        now: OffsetDateTime,
    ) -> Self {
        Self {
            id: None,
            timestamp: signed_at,
            body: Cow::Borrowed(request.body),
            by: by.into(),
            received_at: now,
            headers: None,
        }
    }

    /// Puts the borrowed body in place of its copy.
    pub(crate) fn with_body<'b>(self, body: &'b [u8]) -> Verified<'b>
    where
        'a: 'b,
    {
        Verified { body: Cow::Borrowed(body), ..self }
    }

    /// Puts the decoded body in place of the one that was proven.
    pub(crate) fn with_decoded(self, body: Vec<u8>) -> Self {
        Self { body: Cow::Owned(body), ..self }
    }

    /// Makes the message of one event of a proven request, whose envelope is `body`.
    pub(crate) fn event(&self, body: Vec<u8>) -> Verified<'static> {
        Verified {
            id: None,
            timestamp: self.timestamp,
            body: Cow::Owned(body),
            by: self.by.clone(),
            received_at: self.received_at,
            headers: None,
        }
    }

    /// Makes a message that an intake stored when it was proven, with the event that it had then.
    pub(crate) fn stored(
        event: &'a str,
        signed_at: Option<OffsetDateTime>,
        body: &'a [u8],
        received_at: OffsetDateTime,
    ) -> Self {
        Self {
            id: Some(Cow::Borrowed(event)),
            timestamp: signed_at.map(OffsetDateTime::unix_timestamp),
            body: Cow::Borrowed(body),
            by: By::Stored,
            received_at,
            headers: None,
        }
    }

    /// The id from the scheme's header, if the scheme has one. Trust it only if
    /// [`id_is_signed`](Self::id_is_signed) is true.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether the proof covers [`id`](Self::id).
    pub fn id_is_signed(&self) -> bool {
        match &self.by {
            By::Signature(scheme) => scheme.signs_id(),
            By::Stored => true,
            By::Guard(_) | By::Nothing | By::Provider(_) => false,
        }
    }

    /// The time of signing, in whole seconds; `None` if the proof does not cover a time.
    ///
    /// A time beyond the year 9999, which is possible only without the check of its age, is returned as the
    /// end of that year.
    pub fn timestamp(&self) -> Option<OffsetDateTime> {
        self.timestamp.map(|seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(LAST_TIMESTAMP))
    }

    /// The raw body, as it was received and proved; behind a receiver that decodes bodies, the decoded one.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The proof of the message.
    pub fn by(&self) -> Proof {
        match &self.by {
            By::Signature(scheme) => Proof::Signature(**scheme),
            By::Provider(name) => Proof::Provider(name),
            By::Guard(name) => Proof::Guard(name),
            By::Stored => Proof::Stored,
            By::Nothing => Proof::Nothing,
        }
    }

    /// The scheme of the signature that proves it.
    pub(crate) fn scheme(&self) -> Option<&Scheme> {
        match &self.by {
            By::Signature(scheme) => Some(scheme),
            _ => None,
        }
    }

    /// Whether it was proven by more than a guard.
    pub(crate) fn is_signed(&self) -> bool {
        !matches!(self.by, By::Guard(_) | By::Nothing)
    }

    /// The time of receipt, which the message's age is checked against.
    pub fn received_at(&self) -> OffsetDateTime {
        self.received_at
    }

    /// Copies everything that is borrowed, for a task that outlives the request.
    pub fn into_owned(self) -> Verified<'static> {
        Verified {
            id: self.id.map(|id| Cow::Owned(id.into_owned())),
            timestamp: self.timestamp,
            body: Cow::Owned(self.body.into_owned()),
            by: self.by,
            received_at: self.received_at,
            headers: self.headers.map(Headers::into_owned),
        }
    }

    /// A header of an unsigned message, such as the one with a contract's id, if it stands there once and is
    /// text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.as_ref()?.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => HeaderValue::to_str(value).ok(),
            _ => None,
        }
    }
}

/// Shows neither the body, which is a payload, nor the headers, which may hold credentials.
impl fmt::Debug for Verified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("id", &self.id())
            .field("timestamp", &self.timestamp)
            .field("body_len", &self.body.len())
            .field("by", &self.by())
            .field("received_at", &self.received_at)
            .finish_non_exhaustive()
    }
}

/// The proof of a [`Verified`] message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Proof {
    /// A signature under this scheme.
    Signature(Scheme),
    /// The rule of the provider of this name, if it is no scheme: a token or a message signature.
    Provider(&'static str),
    /// A guard of this name that admitted the request, such as a password in a header.
    Guard(&'static str),
    /// An [`Intake`](crate::Intake), which stored the message and its event's id when it was proven.
    Stored,
    /// No proof: [`Verified::dangerous_unsigned`].
    Nothing,
}

/// Headers, in a form that is small to move.
#[derive(Clone)]
pub(super) enum Headers<'a> {
    Borrowed(&'a HeaderMap),
    Owned(Box<HeaderMap>),
}

impl Headers<'_> {
    fn into_owned(self) -> Headers<'static> {
        Headers::Owned(match self {
            Self::Borrowed(headers) => Box::new(headers.clone()),
            Self::Owned(headers) => headers,
        })
    }
}

impl Deref for Headers<'_> {
    type Target = HeaderMap;

    fn deref(&self) -> &HeaderMap {
        match self {
            Self::Borrowed(headers) => headers,
            Self::Owned(headers) => headers,
        }
    }
}

/// The proof, in a form that is small to move.
#[derive(Clone)]
pub(super) enum By {
    Signature(Arc<Scheme>),
    Provider(&'static str),
    Guard(&'static str),
    Stored,
    Nothing,
}

impl From<Proof> for By {
    fn from(proof: Proof) -> Self {
        match proof {
            Proof::Signature(scheme) => Self::Signature(Arc::new(scheme)),
            Proof::Provider(name) => Self::Provider(name),
            Proof::Guard(name) => Self::Guard(name),
            Proof::Stored => Self::Stored,
            Proof::Nothing => Self::Nothing,
        }
    }
}

const LAST_TIMESTAMP: OffsetDateTime = datetime!(9999-12-31 23:59:59 UTC);
