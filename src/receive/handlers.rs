//! [`Handlers`]: a closure for each type of event.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::event::{DataError, Envelope, EventData, RawEvent, typed};

type Failure = Box<dyn StdError + Send + Sync>;
type Handled = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;
type Handler = Arc<dyn Fn(Envelope<RawEvent>) -> Handled + Send + Sync>;
type Accepts = fn(&str) -> bool;

/// A closure for each type of event, where that reads better than a `match` over a catalogue.
///
/// The first that takes the event's type gets it. What none takes is handled by doing nothing, unless
/// [`otherwise`](Self::otherwise) says something else.
///
/// ```
/// use hookwire::receive::Handlers;
/// use hookwire::{allison, Envelope};
///
/// let handlers = Handlers::new()
///     .on(async |call: Envelope<allison::CallEnded>| {
///         println!("{} lasted {:?} s", call.data.call_id, call.data.duration_seconds);
///         Ok(())
///     })
///     .on(async |contact: Envelope<allison::ContactCreated>| {
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
    /// No handlers.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same handlers, and `handler` for what `T` accepts: one type's data, or a catalogue.
    ///
    /// Data that does not fit its type is an error that the sender is asked to repeat, until the program is mended.
    pub fn on<T, F, R>(mut self, handler: F) -> Self
    where
        T: EventData + Send + 'static,
        F: Fn(Envelope<T>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Failure>> + Send + 'static,
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

    /// The same handlers, and `handler` for what none of those before takes.
    pub fn otherwise<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(Envelope<RawEvent>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.by_type.push((|_| true, Arc::new(move |raw| -> Handled { Box::pin(handler(raw)) })));
        self
    }

    /// Hands an event to the handler of its type: what [`Receiver::answer`](crate::receive::Receiver::answer) takes.
    ///
    /// # Errors
    ///
    /// The handler's, or that the event's data does not fit its type.
    pub async fn handle(&self, event: Result<Envelope<RawEvent>, Box<DataError>>) -> Result<(), Failure> {
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
