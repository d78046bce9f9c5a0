//! [`Handlers`]: a closure for each type of event.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::event::{DataError, Envelope, EventData, RawEvent, typed};

type HandlerError = Box<dyn StdError + Send + Sync>;
type Handled = Pin<Box<dyn Future<Output = Result<(), HandlerError>> + Send>>;
type Handler = Arc<dyn Fn(Envelope<RawEvent>) -> Handled + Send + Sync>;
type Accepts = fn(&str) -> bool;

/// A closure for each type of event, if you prefer that to a `match` over a catalogue.
///
/// An event goes to the first handler that takes its type. If no handler takes it, it counts as handled,
/// unless there is a [fallback](Self::with_fallback).
///
/// ```
/// use hookwire::receive::Handlers;
/// use hookwire::{allison, Envelope};
///
/// let handlers = Handlers::new()
///     .with(async |call: Envelope<allison::CallEnded>| {
///         println!("{} lasted {:?} s", call.data.call_id, call.data.duration_seconds);
///         Ok(())
///     })
///     .with(async |contact: Envelope<allison::ContactCreated>| {
///         println!("hello {:?}", contact.data.name);
///         Ok(())
///     });
/// # let _ = handlers;
/// ```
#[derive(Clone, Default)]
pub struct Handlers {
    by_type: Vec<(Accepts, Handler)>,
}

impl Handlers {
    /// No handlers: every event counts as handled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a handler for the events that `T` accepts: the data of one type, or a catalogue.
    ///
    /// If an event's data does not fit its type, no handler is called. The event counts as handled, because a
    /// repetition would not fit either; [`Receiver::with_shelf`](crate::receive::Receiver::with_shelf) gives
    /// you its data.
    pub fn with<T, F, R>(mut self, handler: F) -> Self
    where
        T: EventData + Send + 'static,
        F: Fn(Envelope<T>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        let handler = move |raw: Envelope<RawEvent>| -> Handled {
            match typed::<T>(raw.data.event_type(), raw.data.data()) {
                Ok(data) => Box::pin(handler(raw.map(|_| data))),
                Err(error) => Box::pin(std::future::ready(Err(error.with_id(raw.id).into()))),
            }
        };
        self.by_type.push((T::accepts, Arc::new(handler)));
        self
    }

    /// Sets the handler for events that no handler before it takes.
    pub fn with_fallback<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(Envelope<RawEvent>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        self.by_type.push((|_| true, Arc::new(move |raw| -> Handled { Box::pin(handler(raw)) })));
        self
    }

    /// Hands an event to the handler of its type. [`Proven::handle`](crate::receive::Proven::handle) and the
    /// ready routes take a closure that calls this.
    ///
    /// # Errors
    ///
    /// The handler's, or the error of data that does not fit its type.
    pub async fn handle(
        &self,
        event: Result<Envelope<RawEvent>, Box<DataError>>,
    ) -> Result<(), HandlerError> {
        let event = event?;
        let handler = self.by_type.iter().find(|(accepts, _)| accepts(event.data.event_type()));
        match handler {
            Some((_, handler)) => handler(event).await,
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers").field("len", &self.by_type.len()).finish_non_exhaustive()
    }
}
