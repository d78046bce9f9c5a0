//! [`Answer`]: what a sender is told; [`Receiver::answer`]: a whole request to one, for any framework.

use std::any::Any;
use std::error::Error as StdError;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use time::OffsetDateTime;

use crate::event::{DataError, Envelope, EventData};
use crate::receive::admission::Permit;
use crate::receive::guard::Arrival;
use crate::receive::receipt::Received;
use crate::receive::receiver::Receiver;
use crate::receive::rejection::Rejection;
use crate::store::Inbox;

/// What a sender is told: a status and, where it should repeat, when. The body is empty.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// The status; exactly 200 for what needs no repeating.
    pub status: StatusCode,
    /// After how long the sender should repeat, for `Retry-After`.
    pub retry_after: Option<Duration>,
    /// What a sender that is answered 401 should show, for `WWW-Authenticate`; nothing for a challenge that says nothing. What a
    /// receiver's guards challenge by is put in by [`Receiver::refuse`].
    pub challenge: Option<&'static str>,
}

impl Answer {
    /// 200: the event is in good hands, or was before.
    pub const OK: Self = Self { status: StatusCode::OK, retry_after: None, challenge: None };

    /// The answer as a response.
    pub fn into_response(self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = self.status;
        if let Some(wait) = self.retry_after {
            // Whole seconds (RFC 9110 section 10.2.3), rounded up: at once is not what was asked for.
            let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            // A guard's own, which may hold what no header does: a sender is answered all the same.
            let challenge = self.challenge.and_then(|challenge| HeaderValue::from_str(challenge).ok());
            let challenge = challenge.unwrap_or(const { HeaderValue::from_static(CHALLENGE) });
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}

impl From<&Rejection> for Answer {
    fn from(rejection: &Rejection) -> Self {
        Self { status: rejection.status(), retry_after: rejection.retry_after(), challenge: None }
    }
}

impl<I> Receiver<I> {
    /// Judges a request by its head: the method, the content type, the length that it says its body has, the guards, and whether
    /// there is what a signature needs. For whoever reads the body, who need not read that of a request that is refused anyway; the
    /// calls that take the body ask the guards once more.
    ///
    /// # Errors
    ///
    /// [`Rejection`] knows its status code.
    pub fn check_head(&self, method: &Method, arrival: &Arrival<'_>) -> Result<(), Rejection> {
        self.check_alive()?;
        acceptable(method, arrival.headers)?;
        let said = arrival.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        self.judge(arrival, said.unwrap_or(0))?;
        self.check_presence(arrival)
    }
}

impl<I: Inbox> Receiver<I> {
    /// Receives a whole request, has `handler` handle its event once, and says what to answer.
    ///
    /// The handler gets the envelope, or what did not fit where an event of a known type has data that does not; passed on with
    /// `?`, the sender repeats the event until the handler's program is mended, or gives it up. When the handler fails or
    /// panics the event is released and the sender asked to repeat it; when it succeeds the event is committed. Duplicates, and
    /// types other than `T` where `T` is one type's data, are answered 200 without it.
    ///
    /// Dropped before it is ready it acts like a crash: the event stays reserved until the
    /// [lease](Self::with_handling_lease) ends. Servers drop what they run for a sender that hangs up: in a task of its own the
    /// handler comes to its end.
    ///
    /// For axum there is more in the feature of that name; every other framework can hand its request over in this form.
    ///
    /// ```
    /// use hookwire::receive::{Arrival, Receiver};
    /// use hookwire::{allison, Contract, DataError, Envelope, Secret};
    /// use http::Method;
    /// use std::error::Error;
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # runtime.block_on(async {
    /// # let (headers, body, now) = (http::HeaderMap::new(), b"{}", time::OffsetDateTime::now_utc());
    /// let receiver = Receiver::signed(Contract::allison(), &Secret::generate())?;
    /// let handle = async |event: Result<Envelope<allison::Event>, Box<DataError>>| {
    ///     let envelope = event?;
    ///     println!("{}", envelope.event_type());
    ///     Ok::<_, Box<dyn Error + Send + Sync>>(())
    /// };
    /// let response = match receiver.answer(&Method::POST, &Arrival::new(&headers), body, now, handle).await {
    ///     Ok(answer) => answer.into_response(),
    ///     Err(rejection) => receiver.refuse(&rejection).into_response(),
    /// };
    /// assert_eq!(response.status(), 401);
    /// # Ok::<(), hookwire::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`Rejection`], for one's own log; [`refuse`](Self::refuse) makes an [`Answer`] of it.
    pub async fn answer<T, F, R, E>(
        &self,
        method: &Method,
        arrival: &Arrival<'_>,
        body: &[u8],
        now: OffsetDateTime,
        handler: F,
    ) -> Result<Answer, Rejection>
    where
        T: EventData,
        F: FnOnce(Result<Envelope<T>, Box<DataError>>) -> R,
        R: Future<Output = Result<(), E>>,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let permit = self.admit(now)?;
        acceptable(method, arrival.headers)?;
        self.judge(arrival, body.len() as u64)?;
        self.answer_admitted(permit, arrival, body, now, handler).await
    }

    pub(super) async fn answer_admitted<T, F, R, E>(
        &self,
        permit: Permit,
        arrival: &Arrival<'_>,
        body: &[u8],
        now: OffsetDateTime,
        handler: F,
    ) -> Result<Answer, Rejection>
    where
        T: EventData,
        F: FnOnce(Result<Envelope<T>, Box<DataError>>) -> R,
        R: Future<Output = Result<(), E>>,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let (event, receipt) = match self.receive_admitted::<T>(Some(permit), *arrival, body, now).await? {
            Received::Event { envelope, receipt } => (Ok(envelope), receipt),
            Received::Undecodable { error, receipt } => (Err(error), receipt),
            Received::Duplicate { .. } | Received::OtherType { .. } => return Ok(Answer::OK),
        };
        // The call itself may panic too, where the handler is a closure that returns a future.
        match unpanicking(async { handler(event).await }).await {
            Ok(Ok(())) => {
                let overrun = self.overrun().map(|observer| (observer, receipt.key().clone()));
                if let (false, Some((observer, key))) = (receipt.commit(now).await?, overrun) {
                    // An observer is the caller's own: its panic ends the call and nothing else.
                    drop(catch_unwind(AssertUnwindSafe(|| observer(&key))));
                }
                Ok(Answer::OK)
            }
            Ok(Err(error)) => {
                // What cannot be released is free when its lease ends.
                drop(receipt.release().await);
                Err(Rejection::Handler(error.into()))
            }
            Err(_panic) => {
                drop(receipt.release().await);
                Err(Rejection::Handler("handler panicked".into()))
            }
        }
    }
}

/// Whether a request is a POST of JSON, as far as it says.
pub(crate) fn acceptable(method: &Method, headers: &HeaderMap) -> Result<(), Rejection> {
    if method != Method::POST {
        return Err(Rejection::Method);
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    // A sender that says nothing is taken at its body.
    let Some(content_type) = types.next() else { return Ok(()) };
    let is_json = content_type.to_str().is_ok_and(|text| {
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        // RFC 6839 section 3.1: a type built on JSON says so by its suffix.
        essence == "application/json" || essence.starts_with("application/") && essence.ends_with("+json")
    });
    if is_json && types.next().is_none() { Ok(()) } else { Err(Rejection::ContentType) }
}

/// A handler is the caller's own: its panic fails this event and nothing else.
pub(super) async fn unpanicking<T>(future: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// A 401 has a challenge (RFC 9110 section 15.5.2), and no registered scheme is that of a signature over the body. It says nothing.
const CHALLENGE: &str = "Webhook";
