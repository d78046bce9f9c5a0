//! For every server that calls services of tower (hyper, axum, tonic, poem, lambda_http): the services
//! [`handler`], [`senders`] and [`store_first`], and [`ProofLayer`] for a service of your own.
//!
//! The raw body is read once, up to the receiver's limit and within its deadline, before anything parses it.
//! The body of a request that is refused by its head is not read at all.
//!
//! A guard sees the peer's address if the request has an extension of type `SocketAddr`, and the tenant is
//! the request's extension [`Tenant`]. For axum, the routes of `receive::axum` find both by themselves.
//!
//! | server | how it takes a service |
//! |---|---|
//! | hyper | `TowerToHyperService::new(service)` of hyper-util |
//! | axum | `Router::route_service("/hooks", service)` |
//! | tonic | beside its services on the router of `Routes::into_axum_router()` |
//! | poem | `service.compat()` of `poem::endpoint::TowerCompatExt` |
//! | lambda_http | `lambda_http::run(service)` |
//!
//! Frameworks with types of their own, such as actix-web, call [`admit`](crate::receive::Receiver::admit),
//! [`prove`](crate::receive::Admitted::prove) and [`handle`](crate::receive::Proven::handle): see
//! `examples/actix`.
#![cfg(feature = "tower")]

mod any_body;
pub(in crate::receive) mod body;
pub(in crate::receive) mod finish;
pub(in crate::receive) mod head;
mod layer;
pub(in crate::receive) mod respond;
mod service;
mod tenant;

pub use layer::{Proof, ProofLayer};
pub use service::{EventService, handler, senders, store_first};
pub use tenant::Tenant;
