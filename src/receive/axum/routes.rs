//! The ready routes: [`handler`], [`senders`] and [`store_first`].

use std::error::Error as StdError;
use std::sync::Arc;

use ::axum::extract::Request;
use ::axum::routing::{MethodRouter, any};

use super::head::split;
use crate::event::{DataError, Envelope, EventData};
use crate::receive::receiver::Receiver;
use crate::receive::senders::Senders;
use crate::receive::tower::finish::Finish;
use crate::receive::tower::respond::{handle, handle_by_any, store};
use crate::store::{Inbox, Intake};

/// A route that has `handler` handle each event once. It takes every method: what is not a POST is answered
/// 405.
///
/// If the sender hangs up, the handler still runs to its end, for at most one
/// [lease](Receiver::with_handling_lease) more. The sender's next attempt then finds the event handled.
///
/// If the process dies, the event is handled when its sender repeats it. If the sender tries once
/// ([`Contract::allo_v1`](crate::Contract::allo_v1)) or for a few seconds
/// ([`Contract::nectar_desk`](crate::Contract::nectar_desk)), use [`store_first`] instead.
///
/// The answers are those of [`Proven::handle`](crate::receive::Proven::handle). For a closure per event type,
/// use [`Handlers`](crate::receive::Handlers): `handler(receiver, move |event| { let handlers =
/// handlers.clone(); async move { handlers.handle(event).await } })`.
pub fn handler<T, I, F, R, S>(receiver: impl Into<Arc<Receiver<I>>>, handler: F) -> MethodRouter<S>
where
    T: EventData + Send + 'static,
    I: Inbox + 'static,
    F: Fn(Result<Envelope<T>, Box<DataError>>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<(), Box<dyn StdError + Send + Sync>>> + Send + 'static,
    S: Clone + Send + Sync + 'static,
{
    let receiver = receiver.into();
    any(move |request: Request| {
        let (receiver, handler) = (Arc::clone(&receiver), handler.clone());
        Finish::new(receiver.handling_lease(), async move {
            let (head, mut body) = split(request).await;
            match handle(&receiver, &head, &mut body, handler).await {
                Ok(answer) => answer,
                Err(rejection) => head.refused(body, receiver.refuse(&rejection)).await,
            }
        })
    })
}

/// A route that several senders share: each request is handled by the receiver that proves it.
///
/// The answers are those of [`Senders::admit`] and
/// [`SendersAdmitted::handle`](crate::receive::SendersAdmitted::handle).
///
/// ```
/// use axum::Router;
/// use hookwire::receive::axum::senders;
/// use hookwire::receive::{Receiver, Senders};
/// use hookwire::{allison, Contract, DataError, Envelope, Secret};
///
/// let allisons = Receiver::signed(Contract::allison(), &Secret::generate())?;
/// let handler = async |event: Result<Envelope<allison::Event>, Box<DataError>>| {
///     println!("{}", event?.event_type());
///     Ok(())
/// };
/// let shared = Senders::new().with_handler(allisons, handler);
/// let app: Router = Router::new().route("/hooks", senders(shared));
/// # let _ = app;
/// # Ok::<(), hookwire::Error>(())
/// ```
pub fn senders<S>(senders: impl Into<Arc<Senders>>) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    let senders = senders.into();
    any(move |request: Request| {
        let senders = Arc::clone(&senders);
        Finish::new(senders.handling_lease(), async move {
            let (head, mut body) = split(request).await;
            match handle_by_any(&senders, &head, &mut body).await {
                Ok(answer) => answer,
                Err(rejection) => head.refused(body, senders.refuse(&rejection)).await,
            }
        })
    })
}

/// A route that stores requests for a worker and answers each as soon as it is stored, for handlers that may
/// take longer than a sender waits.
///
/// The answers are those of [`Proven::store_first`](crate::receive::Proven::store_first): 200 if the request
/// is stored, now or before.
///
/// ```
/// use axum::Router;
/// use hookwire::receive::Receiver;
/// use hookwire::receive::axum::store_first;
/// use hookwire::{Contract, MemoryStore, Secret};
///
/// let receiver = Receiver::signed(Contract::allison(), &Secret::generate())?;
/// let receiver = receiver.with_intake(MemoryStore::new());
/// let app: Router = Router::new().route("/hooks/allison", store_first(receiver));
/// # let _ = app;
/// # Ok::<(), hookwire::Error>(())
/// ```
pub fn store_first<I, S>(receiver: impl Into<Arc<Receiver<I>>>) -> MethodRouter<S>
where
    I: Intake + 'static,
    S: Clone + Send + Sync + 'static,
{
    let receiver = receiver.into();
    any(move |request: Request| {
        let receiver = Arc::clone(&receiver);
        async move {
            let (head, mut body) = split(request).await;
            match store(&receiver, &head, &mut body).await {
                Ok(answer) => answer,
                Err(rejection) => head.refused(body, receiver.refuse(&rejection)).await,
            }
        }
    })
}
