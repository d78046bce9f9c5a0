//! [`Samples`]: makes a platform's requests without the platform.

use std::fmt;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use time::OffsetDateTime;

use crate::contract::Contract;
use crate::error::{Error, ErrorKind};
use crate::event::{Envelope, EventData, EventId, EventKind, RawEvent};
use crate::signature::{Secret, Signer};

/// Makes the requests that a platform sends: one of each of its event types, signed if the platform signs.
///
/// The same arguments make the same bytes.
///
/// ```
/// use hookwire::receive::{Arrival, Received, Receiver};
/// use hookwire::testing::Samples;
/// use hookwire::{allison, Contract, Secret};
/// use time::macros::datetime;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let now = datetime!(2026-04-17 19:12:03 UTC);
/// let secret = Secret::from_random([7; 32]);
/// let samples = Samples::new(Contract::allison(), &secret)?;
/// let receiver = Receiver::signed(Contract::allison(), &secret)?;
///
/// for (kind, request) in samples.requests(now)? {
///     let admitted = receiver.admit(Arrival::from(&request), now)?;
///     let proven = admitted.prove(request.body(), now).await?;
///     let received = proven.receive::<allison::Event>().await?;
///     let Received::Event { envelope, receipt, .. } = received else { panic!("every sample is an event") };
///     assert_eq!(envelope.event_type(), kind.name());
///     receipt.commit(now).await?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Samples {
    contract: Contract,
    signer: Option<Signer>,
    uri: Uri,
    headers: HeaderMap,
}

impl Samples {
    /// Makes samples of `contract`, signed with `secret`; a platform that does not sign ignores it.
    ///
    /// The requests go to `/` unless [`with_uri`](Self::with_uri) sets another target.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Secret`] for a secret of the wrong form.
    pub fn new(contract: Contract, secret: &Secret) -> Result<Self, Error> {
        let signer = contract.scheme().map(|scheme| Signer::new(scheme, secret)).transpose()?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Self { contract, signer, uri: Uri::from_static("/"), headers })
    }

    /// Sets the target of the requests: a route's path, or the whole URL of a server.
    pub fn with_uri(mut self, uri: Uri) -> Self {
        self.uri = uri;
        self
    }

    /// Sets a header of the requests, such as the one that a guard requires.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The contract.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Makes a request of each event type, sent and signed at `now`; none if the catalogue is open.
    ///
    /// Each has an id of its own, which depends on `now` alone.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn requests(&self, now: OffsetDateTime) -> Result<Vec<(&'static EventKind, Request<Bytes>)>, Error> {
        let ids = (0..=u8::MAX).cycle().map(|number| EventId::from_parts(now, [number; 10]));
        let kinds = self.contract.catalogue().iter();
        kinds.zip(ids).map(|(kind, id)| Ok((kind, self.request(kind.name(), &id, now)?))).collect()
    }

    /// Makes a request with the sample of one event type, sent and signed at `now` as event `id`.
    ///
    /// The id stands where the platform puts it: in the body, in a header, or nowhere.
    ///
    /// ```
    /// use hookwire::testing::Samples;
    /// use hookwire::{Contract, Secret};
    /// use time::macros::datetime;
    ///
    /// let samples = Samples::new(Contract::allo(), &Secret::from_random([7; 32]))?;
    /// let now = datetime!(2026-04-17 19:12:03 UTC);
    /// let request = samples.request("call.completed", &"msg_1".parse()?, now)?;
    /// assert_eq!(request.headers()["webhook-id"], "msg_1");
    /// assert!(request.body().starts_with(br#"{"topic":"call.completed","version":"2.0","#));
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Event`] for a type that is not in the catalogue, and for an id that the platform could
    /// not send; [`ErrorKind::Encode`] and [`ErrorKind::Sign`] for a time that no sender could have.
    pub fn request(
        &self,
        event_type: &str,
        id: &EventId,
        now: OffsetDateTime,
    ) -> Result<Request<Bytes>, Error> {
        let kind = self.contract.catalogue().find(event_type).ok_or_else(|| {
            Error::new(
                ErrorKind::Event,
                format!("contract `{}` has no sample of this event type", self.contract.name()),
            )
        })?;
        let data = RawEvent::new(kind.name(), kind.sample())?;
        self.request_of(&Envelope::from_parts(id.clone(), now, data), now)
    }

    /// Makes a request with an event of your own, signed at `now`.
    ///
    /// ```
    /// use hookwire::testing::Samples;
    /// use hookwire::{allison::CallEnded, Contract, Envelope, Secret};
    /// use time::macros::datetime;
    ///
    /// let samples = Samples::new(Contract::allison(), &Secret::from_random([7; 32]))?;
    /// let created_at = datetime!(2026-04-17 19:12:03 UTC);
    /// let envelope = Envelope::from_parts("evt_1".parse()?, created_at, CallEnded::new("c-1"));
    /// let request = samples.request_of(&envelope, created_at)?;
    /// assert_eq!(request.headers()["x-allison-timestamp"], "1776453123");
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Contract::encode`] and [`Signer::sign`].
    pub fn request_of<T: EventData>(
        &self,
        envelope: &Envelope<T>,
        now: OffsetDateTime,
    ) -> Result<Request<Bytes>, Error> {
        self.request_with(self.contract.encode(envelope)?, &envelope.id, now)
    }

    /// Makes a request with any body, signed at `now`.
    ///
    /// # Errors
    ///
    /// As [`Signer::sign`].
    pub fn request_with(
        &self,
        body: impl Into<Bytes>,
        id: &EventId,
        now: OffsetDateTime,
    ) -> Result<Request<Bytes>, Error> {
        let mut request = Request::new(body.into());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let mut headers = self.headers.clone();
        if let Some(signer) = &self.signer {
            signer.sign_into(&mut headers, id.as_str(), now, request.body())?;
        }
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Returns samples that are signed with another secret.
    pub(super) fn forged(&self) -> Result<Self, Error> {
        let secret = Secret::from_random(*b"what no sender ever has as key..");
        let signer = self.contract.scheme().map(|scheme| Signer::new(scheme, &secret)).transpose()?;
        Ok(Self { signer, ..self.clone() })
    }
}

impl fmt::Debug for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Samples").field("contract", &self.contract.name()).finish_non_exhaustive()
    }
}
