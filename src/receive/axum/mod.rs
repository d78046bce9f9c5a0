//! For axum: the ready routes [`handler`], [`senders`] and [`store_first`], and the extractors [`Incoming`],
//! [`Received`](crate::receive::Received) and [`Envelope`](crate::Envelope).
//!
//! The raw body is read once, up to the receiver's limit and within its deadline, before anything parses it.
//! The body of a request that is refused by its head is not read at all. No other extractor of the body may
//! stand beside these.
//!
//! A guard sees the request's path, and the peer's address if the application is served with
//! [`into_make_service_with_connect_info`](::axum::Router::into_make_service_with_connect_info). The tenant
//! is the path's parameter of that name.
//!
//! ```
//! use axum::Router;
//! use hookwire::receive::axum::handler;
//! use hookwire::receive::Receiver;
//! use hookwire::{allison, Contract, DataError, Envelope, Secret};
//!
//! let receiver = Receiver::signed(Contract::allison(), &Secret::generate())?;
//! let app: Router = Router::new().route(
//!     "/hooks/allison",
//!     handler(receiver, async |event: Result<Envelope<allison::Event>, Box<DataError>>| {
//!         println!("{}", event?.event_type());
//!         Ok(())
//!     }),
//! );
//! # let _ = app;
//! # Ok::<(), hookwire::Error>(())
//! ```
#![cfg(feature = "axum")]

mod extract;
mod head;
mod response;
mod routes;

pub use extract::Incoming;
pub use routes::{handler, senders, store_first};
