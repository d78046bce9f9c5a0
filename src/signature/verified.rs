//! [`Verified`]: a message that was proved, and how.

use std::borrow::Cow;
use std::fmt;

use http::{HeaderMap, HeaderValue};
use time::OffsetDateTime;
use time::macros::datetime;

use super::scheme::Scheme;

/// A received message together with the proof of where it came from.
///
/// The only thing that can be decoded into an event. A [`Verifier`](crate::Verifier) makes it; so does
/// [`dangerous_unsigned`](Self::dangerous_unsigned), for platforms that sign nothing. [`by`](Self::by) tells which.
///
/// It borrows the request's headers and body; [`into_owned`](Self::into_owned) lets it outlive them.
#[derive(Clone)]
pub struct Verified<'a> {
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) timestamp: Option<i64>,
    pub(super) body: Cow<'a, [u8]>,
    pub(super) by: Proof,
    pub(super) received_at: OffsetDateTime,
    /// Only of unsigned messages: a signed one has taken from them what its scheme names.
    pub(super) headers: Option<Cow<'a, HeaderMap>>,
}

impl<'a> Verified<'a> {
    /// Takes a message as it is, **proved by nothing**, received now.
    ///
    /// For platforms that sign nothing, behind a guard of your own: an unguessable URL, an allow-list of addresses.
    ///
    /// ```
    /// use hookwire::{Proof, Verified};
    ///
    /// let headers = http::HeaderMap::new();
    /// let taken = Verified::dangerous_unsigned(&headers, b"{}");
    /// assert_eq!(taken.by(), Proof::Nothing);
    /// assert_eq!(taken.id(), None);
    /// ```
    pub fn dangerous_unsigned(headers: &'a HeaderMap, body: &'a [u8]) -> Self {
        Self::dangerous_unsigned_at(headers, body, OffsetDateTime::now_utc())
    }

    /// The pure twin of [`dangerous_unsigned`](Self::dangerous_unsigned), received at `now`.
    pub fn dangerous_unsigned_at(headers: &'a HeaderMap, body: &'a [u8], now: OffsetDateTime) -> Self {
        Self {
            id: None,
            timestamp: None,
            body: Cow::Borrowed(body),
            by: Proof::Nothing,
            received_at: now,
            headers: Some(Cow::Borrowed(headers)),
        }
    }

    /// A message that a guard admitted.
    pub(crate) fn guarded_at(
        guard: &'static str,
        headers: &'a HeaderMap,
        body: &'a [u8],
        now: OffsetDateTime,
    ) -> Self {
        Self { by: Proof::Guard(guard), ..Self::dangerous_unsigned_at(headers, body, now) }
    }

    /// A message that an intake kept when it was proven, of the event that it had then.
    pub(crate) fn kept(
        event: &'a str,
        signed_at: Option<OffsetDateTime>,
        body: &'a [u8],
        received_at: OffsetDateTime,
    ) -> Self {
        Self {
            id: Some(Cow::Borrowed(event)),
            timestamp: signed_at.map(OffsetDateTime::unix_timestamp),
            body: Cow::Borrowed(body),
            by: Proof::Kept,
            received_at,
            headers: None,
        }
    }

    /// The id from the scheme's header, if it has one. Believe it only if [`id_is_signed`](Self::id_is_signed).
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether the proof covers [`id`](Self::id).
    pub fn id_is_signed(&self) -> bool {
        match self.by {
            Proof::Signature(scheme) => scheme.signs_id(),
            Proof::Kept => true,
            Proof::Guard(_) | Proof::Nothing => false,
        }
    }

    /// When the message was signed, in whole seconds; nothing if the proof does not cover a time.
    ///
    /// A time beyond the year 9999, which only gets here when its check was switched off, is given as that year's end.
    pub fn timestamp(&self) -> Option<OffsetDateTime> {
        self.timestamp.map(|seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(LAST_TIMESTAMP))
    }

    /// The raw body, as received and as proved.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// What proved the message.
    pub fn by(&self) -> Proof {
        self.by
    }

    /// The time against which the message's age was checked.
    pub fn received_at(&self) -> OffsetDateTime {
        self.received_at
    }

    /// The same with its own copy of everything, for a task that outlives the request.
    pub fn into_owned(self) -> Verified<'static> {
        Verified {
            id: self.id.map(|id| Cow::Owned(id.into_owned())),
            timestamp: self.timestamp,
            body: Cow::Owned(self.body.into_owned()),
            by: self.by,
            received_at: self.received_at,
            headers: self.headers.map(|headers| Cow::Owned(headers.into_owned())),
        }
    }

    /// A header of an unsigned message, if it is there once and is text: where a contract's id travels.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.as_deref()?.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => HeaderValue::to_str(value).ok(),
            _ => None,
        }
    }
}

/// The body is a payload and stays out, and so do the headers, where credentials travel.
impl fmt::Debug for Verified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("id", &self.id())
            .field("timestamp", &self.timestamp)
            .field("body_len", &self.body.len())
            .field("by", &self.by)
            .field("received_at", &self.received_at)
            .finish_non_exhaustive()
    }
}

/// What proved a [`Verified`] message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Proof {
    /// A signature under this scheme.
    Signature(Scheme),
    /// A guard of this name that passed the request, such as a password in a header.
    Guard(&'static str),
    /// An [`Intake`](crate::Intake) that kept it, and its event's id, when it was proven.
    Kept,
    /// Nothing: [`Verified::dangerous_unsigned`].
    Nothing,
}

const LAST_TIMESTAMP: OffsetDateTime = datetime!(9999-12-31 23:59:59 UTC);
