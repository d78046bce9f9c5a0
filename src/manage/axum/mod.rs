//! Management over HTTP, for axum: [`router`] makes the routes.
//!
//! | call | answer |
//! |---|---|
//! | `GET`, `POST /v1/webhook-subscriptions` | a page; 201 with the secret, shown this once |
//! | `GET`, `PUT`, `PATCH`, `DELETE /v1/webhook-subscriptions/{id}` | the subscription; replaced; merged (RFC 7396); 204 |
//! | `POST /v1/webhook-subscriptions/{id}/rotate-secret` | the subscription with the new secret, shown this once |
//! | `POST /v1/webhook-subscriptions/{id}/test` | the outcome of a test event, or 202 with `{"wait": false}` |
//! | `POST /v1/webhook-subscriptions/{id}/replay`, `.../recover` | the number of deliveries that are sent again |
//! | `GET /v1/webhook-subscriptions/{id}/statistics` | attempts by outcome and time, latency, backlog |
//! | `GET /v1/webhook-subscriptions/{id}/deliveries`, `.../deliveries/{delivery}` | a page; one with its attempts |
//! | `POST /v1/webhook-subscriptions/{id}/deliveries/{delivery}/retry`, `/cancel`, `/discard` | the new delivery's id; 204 |
//! | `GET /v1/deliveries/{delivery}` | a delivery of any subscription |
//! | `GET /v1/session`, `/v1/contract` | what the caller may do; how requests are sent |
//! | `GET /v1/dead-letters` | a page of the whole organization's |
//! | `GET /v1/event-types` | the contract's types with descriptions, samples and JSON Schemas |
//! | `POST /v1/events` | 202 with the event's id, if [`Routes::with_emitting`] adds it |
//! | `GET /v1/events`, `/v1/events/{event}`, `/v1/events/{event}/deliveries` | a page; one with its payload; a page |
//! | `GET /v1/openapi.json` | the OpenAPI 3.1 document of these calls (feature `openapi`) |
//!
//! An answer is `{"data": ...}`. A list has also `next`, the text to hand back as `?after=` until it is
//! `null`. A page of a narrowed list may have fewer items than `limit`, even none, although there is a next
//! page. An error is problem details (RFC 9457) with the `field` that is wrong, the `expected` value, and for
//! a URL the `rule` that refuses it.
//!
//! The answer of `GET` can be `PUT` back. Values that no read shows, which are headers, credentials and
//! client certificates, stay where they are left out or written as `{"hidden": true}`. A `PATCH` leaves the
//! fields that it does not name, takes out the fields that are `null`, and merges headers, attributes,
//! authentication and rate by name.
//!
//! With an `Idempotency-Key`, a creation that is sent several times makes one subscription; only the first
//! answer has the secret. The `ETag` of a subscription is its revision: with `If-Match`, a change fails if
//! somebody else changed the subscription since.
//!
//! The fields of the contract's own ([`Contract::subscription_fields`](crate::Contract::subscription_fields))
//! stand beside the others.
//!
//! # Authentication
//!
//! The application authenticates the caller, and puts an [`Access`] into the request's extensions. A request
//! without an `Access` is answered 401, and one that writes without [`Scope::ReadWrite`] 403.
//!
//! ```
//! use axum::extract::Request;
//! use axum::middleware::Next;
//! use axum::response::Response;
//! use axum::Router;
//! use hookwire::manage::Service;
//! use hookwire::manage::axum::{Access, Scope, router};
//! use hookwire::{Contract, MemoryStore};
//!
//! async fn authenticate(mut request: Request, next: Next) -> Response {
//!     if request.headers().get("authorization").is_some_and(|value| value == "Bearer of-your-own-making") {
//!         request.extensions_mut().insert(Access::new("org_1", Scope::ReadWrite));
//!     }
//!     next.run(request).await
//! }
//!
//! let service = Service::new(MemoryStore::new(), Contract::allison());
//! let app: Router = router(service).layer(axum::middleware::from_fn(authenticate));
//! # let _ = app;
//! ```
#![cfg(feature = "axum")]

mod about;
mod access;
mod cors;
mod handle;
pub mod openapi;
mod operation;
mod problem;
mod query;
mod read;
mod router;
mod shown;

pub use access::{Access, Scope};
pub use cors::Cors;
pub use router::{Routes, router};
