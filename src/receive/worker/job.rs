//! [`Job`]: an event that a worker's handler gets; [`Handle`]: how the handler is called.

use std::any::Any;
use std::error::Error as StdError;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use time::OffsetDateTime;

use crate::contract::Contract;
use crate::event::{DataError, DecodeError, Envelope, EventData};
use crate::receive::panic::catch_panic;
use crate::receive::shelf::unfit;
use crate::store::{InboxKey, Leased, StoredRequest};

pub(super) type HandlerError = Box<dyn StdError + Send + Sync>;

/// An event that the handler of a [`Worker`](crate::receive::Worker) gets.
#[derive(Debug)]
#[non_exhaustive]
pub struct Job<T> {
    /// The event, or the error if the data of a known type does not fit that type.
    pub event: Result<Envelope<T>, Box<DataError>>,
    /// The key of its request. It is the same at every attempt, so it can make a handler's own writes unique.
    pub key: InboxKey,
    /// The attempt, from 1.
    pub attempt: u32,
    /// When its request arrived.
    pub received_at: OffsetDateTime,
}

/// Handles requests, and returns the result of each in their order.
pub(super) type Handle =
    Arc<dyn Fn(Vec<Leased<StoredRequest>>) -> BoxFuture<'static, Vec<Handled>> + Send + Sync>;
/// The result of one request.
pub(super) type Handled = Result<(), HandlerFailure>;

/// A handler that failed.
#[derive(Clone)]
pub(super) struct HandlerFailure {
    pub(super) reason: String,
    /// Whether another attempt would fail as well: the data does not fit its type.
    pub(super) is_final: bool,
}

impl HandlerFailure {
    pub(super) fn new(reason: String) -> Self {
        Self { reason, is_final: false }
    }

    fn of(error: &(dyn StdError + 'static)) -> Self {
        Self { reason: reason(error), is_final: unfit(error).is_some() }
    }
}

pub(super) fn handle<T, F, R>(contract: Contract, handler: F) -> Handle
where
    T: EventData + Send + 'static,
    F: Fn(Vec<Job<T>>) -> R + Send + Sync + 'static,
    R: Future<Output = Vec<Result<(), HandlerError>>> + Send + 'static,
{
    let called = Arc::new((contract, handler));
    Arc::new(move |leased| {
        let called = Arc::clone(&called);
        Box::pin(async move {
            let (contract, handler) = &*called;
            let count = leased.len();
            let handled = catch_panic(async move {
                let (mut results, jobs, places) = jobs::<T>(contract, leased);
                if jobs.is_empty() {
                    return results;
                }
                let ends = handler(jobs).await;
                let short = format!("handler told of {} of {} events", ends.len(), places.len());
                let mut ends = ends.into_iter();
                for place in places {
                    results[place] = match ends.next() {
                        Some(end) => end.map_err(|error| HandlerFailure::of(&*error)),
                        None => Err(HandlerFailure::new(short.clone())),
                    };
                }
                results
            });
            let failed = |panic: &(dyn Any + Send)| vec![Err(HandlerFailure::new(panicked(panic))); count];
            handled.await.unwrap_or_else(|panic| failed(&*panic))
        })
    })
}

/// Returns the results of requests that need no handler, the jobs of the others, and their places among the
/// results.
fn jobs<T: EventData>(
    contract: &Contract,
    leased: Vec<Leased<StoredRequest>>,
) -> (Vec<Handled>, Vec<Job<T>>, Vec<usize>) {
    let mut results = vec![Ok(()); leased.len()];
    let (mut jobs, mut places) = (Vec::new(), Vec::new());
    for (place, leased) in leased.into_iter().enumerate() {
        let event = match contract.decode::<T>(&leased.verified()) {
            Ok(envelope) => Ok(envelope),
            Err(DecodeError::Data(error)) => Err(error),
            // The handler did not ask for this type, so there is nothing to do.
            Err(DecodeError::UnexpectedType { .. }) => continue,
            // The request was an event when it was stored, so the contract has changed since.
            Err(error) => {
                results[place] = Err(HandlerFailure::new(reason(&error)));
                continue;
            }
        };
        places.push(place);
        jobs.push(Job {
            event,
            key: leased.row.key,
            attempt: leased.attempt,
            received_at: leased.row.received_at,
        });
    }
    (results, jobs, places)
}

/// Returns the error and its causes in one line.
fn reason(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause.filter(|_| text.len() < MAX_REASON) {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    bounded(&text)
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    let message =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = message.map(|message| format!("handler panicked: {message}"));
    text.map_or_else(|| "handler panicked".to_owned(), |text| bounded(&text))
}

fn bounded(text: &str) -> String {
    text.chars().take(MAX_REASON).collect()
}

/// The most characters of a reason, enough to tell one fault from another.
const MAX_REASON: usize = 1_000;
