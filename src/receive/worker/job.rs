//! [`Job`]: an event that a worker has to be handled; [`Handle`]: how its handler is called.

use std::any::Any;
use std::error::Error as StdError;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use time::OffsetDateTime;

use crate::contract::Contract;
use crate::event::{DataError, DecodeError, Envelope, EventData};
use crate::receive::answer::unpanicking;
use crate::store::{InboxKey, TakenRequest};

pub(super) type Failure = Box<dyn StdError + Send + Sync>;

/// An event that a [`Worker`](crate::receive::Worker) has to be handled.
#[derive(Debug)]
#[non_exhaustive]
pub struct Job<T> {
    /// The event, or what did not fit where an event of a known type has data that does not.
    pub event: Result<Envelope<T>, Box<DataError>>,
    /// What tells it from others: the same at every attempt, and so what to make a handler's own writes unique by.
    pub key: InboxKey,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// When its request arrived.
    pub received_at: OffsetDateTime,
}

/// Has taken requests handled, and tells of each what went wrong, if something did.
pub(super) type Handle = Arc<dyn Fn(Vec<TakenRequest>) -> BoxFuture<'static, Vec<Told>> + Send + Sync>;
pub(super) type Told = Result<(), String>;

pub(super) fn handle<T, F, R>(contract: Contract, handler: F) -> Handle
where
    T: EventData + Send + 'static,
    F: Fn(Vec<Job<T>>) -> R + Send + Sync + 'static,
    R: Future<Output = Vec<Result<(), Failure>>> + Send + 'static,
{
    let called = Arc::new((contract, handler));
    Arc::new(move |taken| {
        let called = Arc::clone(&called);
        Box::pin(async move {
            let (contract, handler) = &*called;
            let count = taken.len();
            let handled = unpanicking(async move {
                let (mut told, jobs, places) = jobs::<T>(contract, taken);
                if jobs.is_empty() {
                    return told;
                }
                let ends = handler(jobs).await;
                let short = format!("handler told of {} of {} events", ends.len(), places.len());
                let mut ends = ends.into_iter();
                for place in places {
                    told[place] = match ends.next() {
                        Some(end) => end.map_err(|error| reason(&*error)),
                        None => Err(short.clone()),
                    };
                }
                told
            });
            handled.await.unwrap_or_else(|panic| vec![Err(panicked(&*panic)); count])
        })
    })
}

/// What is to be handled, and where it stands among what was taken; and what is to be told of the rest.
fn jobs<T: EventData>(contract: &Contract, taken: Vec<TakenRequest>) -> (Vec<Told>, Vec<Job<T>>, Vec<usize>) {
    let mut told = vec![Ok(()); taken.len()];
    let (mut jobs, mut places) = (Vec::new(), Vec::new());
    for (place, taken) in taken.into_iter().enumerate() {
        let event = match contract.decode::<T>(&taken.request.verified()) {
            Ok(envelope) => Ok(envelope),
            Err(DecodeError::Data(error)) => Err(error),
            // Not asked for: there is nothing to do about it.
            Err(DecodeError::UnexpectedType { .. }) => continue,
            // It was an event when it was kept: the contract has changed since.
            Err(error) => {
                told[place] = Err(reason(&error));
                continue;
            }
        };
        places.push(place);
        jobs.push(Job {
            event,
            key: taken.request.key,
            attempt: taken.attempt,
            received_at: taken.request.received_at,
        });
    }
    (told, jobs, places)
}

/// The error and its causes in one line.
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
    let told =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    bounded(&told.map_or_else(|| "handler panicked".to_owned(), |told| format!("handler panicked: {told}")))
}

fn bounded(text: &str) -> String {
    text.chars().take(MAX_REASON).collect()
}

/// In characters: enough to tell one fault from another.
const MAX_REASON: usize = 1_000;
